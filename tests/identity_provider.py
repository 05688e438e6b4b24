"""An OpenID provider on loopback for tests: it plays any of the issuers' kinds, and misbehaves on request.

Each test has its own provider. `provider.visitor` is logged in at once, without a page. Every behaviour is an attribute
that is read at each request; `calls` lists the requested paths.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlencode, urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENT, SECRET = "isthmus", "a secret: with+odd/signs"

#: Where each kind of issuer puts `Visitor.claims`: into the ID token, the access token or userinfo.
SHOWN = {
    "egi-check-in": {"userinfo", "introspection"},
    "indigo-iam": {"userinfo", "access", "introspection"},
    "wlcg-iam": {"id", "access", "userinfo", "introspection"},
    "aarc-iam": {"userinfo", "access", "introspection"},
    "keycloak": {"id", "access", "userinfo", "introspection"},
}


@dataclass
class Visitor:
    """A person at the provider: `claims` are those with groups, shown where the provider's kind shows them."""

    sub: str = "a1b2c3"
    name: str = "Ada Lovelace"
    email: str = "ada@example.org"
    claims: dict[str, Any] = field(default_factory=dict)

    def profile(self) -> dict[str, Any]:
        return {"name": self.name, "email": self.email, "preferred_username": self.name.split(" ")[0].lower()}


class IdentityProvider:
    """The provider. Start it with `running`."""

    def __init__(self, kind: str = "keycloak", *, path: str = "") -> None:
        self.kind, self.path = kind, path
        self.keys = [RSAKey.generate_key(2048, auto_kid=True)]
        self.visitor: Visitor | None = Visitor()
        self.calls: list[str] = []
        self.queries: list[dict[str, str]] = []
        self.metadata: dict[str, Any] = {}  # overrides the discovery document
        self.id_claims: dict[str, Any] = {}  # overrides claims of the ID token; None removes one
        self.access_claims: dict[str, Any] = {}
        self.userinfo_claims: dict[str, Any] = {}
        self.callback: dict[str, str | None] = {}  # overrides parameters of the redirect back
        self.announces_iss = True
        self.down: set[str] = set()  # endpoints that answer 503; "all" means every one
        self.delay: dict[str, float] = {}  # seconds before an endpoint answers
        self.drip = 0.0  # seconds between the bytes of discovery
        self.padding = 0  # extra bytes in userinfo's answer
        self.skew = 0  # seconds by which the provider's clock is ahead
        self.takes_wrong_grants = False
        self.server = _Server(("127.0.0.1", 0), _Handler)
        self.server.provider = self
        self._codes: dict[str, dict[str, str]] = {}
        self._opaque: dict[str, dict[str, Any]] = {}

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    @property
    def issuer(self) -> str:
        return self.origin + self.path

    def configuration(self, alias: str = "idp", **fields: Any) -> dict[str, Any]:
        """Return this provider's entry for the file of issuers."""
        return {
            "alias": alias, "name": f"Issuer {alias}", "profile": self.kind, "issuer": self.issuer,
            "client_id": CLIENT, "client_secret": SECRET, **fields,
        }  # fmt: skip

    def rotate(self, *, keep: bool = False) -> None:
        """Sign with a new key from now on, and publish the old one only if `keep`."""
        self.keys = [RSAKey.generate_key(2048, auto_kid=True), *(self.keys if keep else [])]

    def sign(self, claims: dict[str, Any], *, key: Any = None, alg: str = "RS256", **header: Any) -> str:
        """Return a JWT with exactly these claims."""
        key = key or self.keys[0]
        found = {"alg": alg, "kid": key.kid, **header}
        return jwt.encode({k: v for k, v in found.items() if v is not None}, claims, key, algorithms=[alg])

    def access_token(self, visitor: Visitor | None = None, **claims: Any) -> str:
        """Return a JWT access token as this kind of provider issues it; a claim given as None is left out."""
        visitor = visitor or self.visitor or Visitor()
        now = int(time.time()) + self.skew
        body: dict[str, Any] = {
            "iss": self.issuer, "sub": visitor.sub, "azp": CLIENT, "iat": now, "exp": now + 300,
            "jti": secrets.token_hex(8), "scope": "openid profile email", "typ": "Bearer",
        }  # fmt: skip
        if self.kind == "wlcg-iam":
            body |= {"aud": "https://wlcg.cern.ch/jwt/v1/any", "wlcg.ver": "1.0"}
        elif self.kind != "egi-check-in":  # Check-in's access tokens have no audience
            body |= {"aud": ["isthmus-api", "account"]}
        if "access" in SHOWN[self.kind]:
            body |= visitor.claims
        return self.sign({k: v for k, v in {**body, **self.access_claims, **claims}.items() if v is not None})

    def opaque_token(self, visitor: Visitor | None = None, **claims: Any) -> str:
        """Return an access token that only introspection and userinfo know; `active=False` for an expired one."""
        visitor = visitor or self.visitor or Visitor()
        token = secrets.token_urlsafe(32)
        body = {
            "active": True, "iss": self.issuer, "sub": visitor.sub, "client_id": CLIENT, "azp": CLIENT,
            "exp": int(time.time()) + 300, "scope": "openid profile email", "token_type": "Bearer",
        }  # fmt: skip
        if "introspection" in SHOWN[self.kind]:
            body |= visitor.claims
        self._opaque[token] = {k: v for k, v in {**body, **claims}.items() if v is not None}
        return token

    def id_token(self, code: dict[str, str], visitor: Visitor) -> str:
        now = int(time.time()) + self.skew
        body = {
            "iss": self.issuer, "sub": visitor.sub, "aud": CLIENT, "azp": CLIENT, "iat": now, "exp": now + 300,
            "nonce": code.get("nonce"), "typ": "ID", **visitor.profile(),
        }  # fmt: skip
        if "id" in SHOWN[self.kind]:
            body |= visitor.claims
        return self.sign({k: v for k, v in {**body, **self.id_claims}.items() if v is not None})

    # --- the endpoints

    def discovery(self) -> dict[str, Any]:
        ends = {
            "authorization_endpoint": "authorize", "token_endpoint": "token", "userinfo_endpoint": "userinfo",
            "jwks_uri": "jwks", "introspection_endpoint": "introspect", "end_session_endpoint": "logout",
        }  # fmt: skip
        found = {
            "issuer": self.issuer,
            **{name: f"{self.issuer}/{end}" for name, end in ends.items()},
            "authorization_response_iss_parameter_supported": self.announces_iss,
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
        }
        return {k: v for k, v in {**found, **self.metadata}.items() if v is not None}

    def jwks(self) -> dict[str, Any]:
        return {"keys": [key.as_dict(private=False) for key in self.keys]}

    def authorize(self, query: dict[str, str]) -> str:
        """Return the redirect back to the client: with a code, or with an error if nobody logs in."""
        self.queries.append(query)
        back: dict[str, str | None] = {"state": query.get("state", "")}
        if self.announces_iss:
            back["iss"] = self.issuer
        if self.visitor is None:
            back |= {"error": "access_denied", "error_description": "cancelled <b>by the user</b>"}
        else:
            back["code"] = code = secrets.token_urlsafe(16)
            self._codes[code] = query
        back |= self.callback
        return query["redirect_uri"] + "?" + urlencode({k: v for k, v in back.items() if v is not None})

    def token(self, form: dict[str, str], client: tuple[str, str]) -> dict[str, Any] | None:
        """Return the token answer, or None to refuse the grant.

        A code works once, for its client, redirect URI and PKCE verifier.
        """
        code = self._codes.pop(form.get("code", ""), None)
        if code is None or self.visitor is None or client != (CLIENT, SECRET):
            return None
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        agrees = (
            challenge.rstrip(b"=").decode() == code.get("code_challenge")
            and code.get("code_challenge_method") == "S256"
            and form.get("redirect_uri") == code["redirect_uri"]
        )
        if not agrees and not self.takes_wrong_grants:
            return None
        return {
            "access_token": self.opaque_token(), "id_token": self.id_token(code, self.visitor),
            "token_type": "Bearer", "expires_in": 300,
        }  # fmt: skip

    def userinfo(self, token: str) -> dict[str, Any] | None:
        known = self._opaque.get(token)
        if known is None or not known["active"] or self.visitor is None:
            known = self._of_jwt(token)
        if known is None or self.visitor is None:
            return None
        found = {"sub": known["sub"], **self.visitor.profile(), **self.visitor.claims, **self.userinfo_claims}
        return {k: v for k, v in found.items() if v is not None} | ({"pad": "x" * self.padding} if self.padding else {})

    def introspect(self, token: str) -> dict[str, Any]:
        known = self._opaque.get(token) or self._of_jwt(token)
        if known is None:
            return {"active": False}
        shown = self.visitor.claims if self.visitor and "introspection" in SHOWN[self.kind] else {}
        return {"active": True, **shown, **known}

    def _of_jwt(self, token: str) -> dict[str, Any] | None:
        try:
            claims = jwt.decode(token, KeySet(list(self.keys)), algorithms=["RS256"]).claims
        except (JoseError, ValueError):
            return None
        return claims if claims["exp"] > time.time() else None


@contextmanager
def running(kind: str = "keycloak", *, path: str = "") -> Iterator[IdentityProvider]:
    """Run a provider until the block ends."""
    provider = IdentityProvider(kind, path=path)
    thread = threading.Thread(target=provider.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        provider.server.shutdown()
        provider.server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    provider: IdentityProvider


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self._serve({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
        self._serve(dict(parse_qsl(body)))

    def _serve(self, form: dict[str, str]) -> None:
        provider, parts = self.server.provider, urlsplit(self.path)
        end = parts.path.removeprefix(provider.path).strip("/")
        provider.calls.append(end)
        time.sleep(provider.delay.get(end, 0))
        if provider.down & {"all", end}:
            return self._answer(503, b"down")
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return self._route(end, query, form)

    def _route(self, end: str, query: dict[str, str], form: dict[str, str]) -> None:
        provider = self.server.provider
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        match end:
            case ".well-known/openid-configuration":
                self._json(provider.discovery())
            case "jwks":
                self._json(provider.jwks())
            case "authorize":
                self._answer(302, b"", Location=provider.authorize(query))
            case "token":
                self._json(provider.token(form, self._client(form)), refusal=400)
            case "userinfo":
                self._json(provider.userinfo(bearer), refusal=401)
            case "introspect":
                is_ours = self._client(form) == (CLIENT, SECRET)
                self._json(provider.introspect(form.get("token", "")) if is_ours else None, refusal=401)
            case "logout":
                provider.queries.append(query)
                self._answer(302, b"", Location=query["post_logout_redirect_uri"])
            case _:
                self._answer(404, b"nothing here")

    def _client(self, form: dict[str, str]) -> tuple[str, str]:
        scheme, _, basic = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic":
            return form.get("client_id", ""), form.get("client_secret", "")
        name, _, secret = base64.b64decode(basic).decode().partition(":")
        return unquote_plus(name), unquote_plus(secret)

    def _json(self, found: dict[str, Any] | None, *, refusal: int = 200) -> None:
        if found is None:
            self._answer(refusal, b'{"error": "invalid_grant"}')
        else:
            self._answer(200, json.dumps(found).encode())

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        drip = self.server.provider.drip
        try:
            for piece in [body[i : i + 1] for i in range(len(body))] if drip else [body]:
                self.wfile.write(piece)
                time.sleep(drip)
        except OSError:
            return  # the client has already closed the connection

    def log_message(self, *args: Any) -> None:
        """Log nothing."""
