"""The demo's OpenID provider: `python -m deploy.demo.provider <identity.json>`. It listens on loopback, for demos only.

It is oidc-provider-mock with the people of deploy/people.py. The mock trusts everybody; this provider requires a
password, accepts one client with one secret and its callbacks, and blocks the calls that change people.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import flask
import jinja2
import oidc_provider_mock
from oidc_provider_mock._storage import Client
from werkzeug.serving import make_server

from deploy.demo.identity import CLIENT, Identity, claims
from deploy.people import PEOPLE

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

AUTHORIZE = "/oauth2/authorize"
OPEN = {
    "/.well-known/openid-configuration",
    "/jwks",
    AUTHORIZE,
    "/oauth2/token",
    "/userinfo",
    "/oauth2/end_session",
    "/oauth2/end_session/confirm",
}


def application(identity: Identity) -> flask.Flask:
    """Return the provider as a WSGI application."""
    users = [oidc_provider_mock.User(sub=someone.name, claims=claims(someone)) for someone in PEOPLE]
    strict = {"require_client_registration": True, "issue_refresh_token": False}
    app: flask.Flask = oidc_provider_mock.app(user_claims=users, **strict)
    app.debug = False
    app.wsgi_app = app.wsgi_app.app  # type: ignore[method-assign, attr-defined]  # without its debugger
    pages = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    app.jinja_loader = jinja2.ChoiceLoader([pages, app.jinja_loader])  # type: ignore[list-item]
    app.before_request(lambda: _guard(identity))
    return app


def _guard(identity: Identity) -> ResponseReturnValue | None:
    """Return the response that replaces the mock's own, None to let the mock answer."""
    if flask.request.path not in OPEN:
        return "Nothing here.", 404
    flask.g.oidc_provider_mock_storage.store_client(
        Client(
            id=CLIENT,
            secret=identity.client_secret,
            redirect_uris=identity.callbacks,
            allowed_scopes=(*Client.SCOPES_SUPPORTED, "entitlements", "eduperson_entitlement"),
            token_endpoint_auth_method="client_secret_basic",  # noqa: S106  (a name)
        )
    )
    if flask.request.path == AUTHORIZE and flask.request.method == "POST":
        return _check_login(identity)
    return None


def _check_login(identity: Identity) -> ResponseReturnValue | None:
    """Check the form of the login page. Returns None if person and password are right."""
    form, query = flask.request.form, flask.request.args
    if form.get("action") == "deny" and query.get("redirect_uri") in identity.callbacks:
        error = urlencode({"error": "access_denied", "state": query.get("state", "")})
        return flask.redirect(f"{query['redirect_uri']}?{error}")
    is_known = any(someone.name == form.get("sub") for someone in PEOPLE)
    is_right = secrets.compare_digest(form.get("password", "").encode(), identity.password.encode())
    if is_known and is_right:
        return None
    people = [someone.name for someone in PEOPLE]
    return flask.render_template("authorization_form.html", predefined_users=people, refused=True), 403


def main() -> None:
    """Serve until a signal ends the process."""
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # plain http, on loopback
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    kept = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    identity = Identity(**{**kept, "callbacks": tuple(kept["callbacks"])})
    make_server("127.0.0.1", identity.port, application(identity), threaded=True).serve_forever()


if __name__ == "__main__":
    main()
