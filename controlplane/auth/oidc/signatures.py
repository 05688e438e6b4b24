"""JSON Web Signatures of issuers: whether one of them signed this, by an algorithm that we chose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError

from controlplane.auth.oidc import providers
from controlplane.errors import Unauthenticated

if TYPE_CHECKING:
    from controlplane.auth.oidc.issuer import Issuer

#: The longest token that is looked at.
LONGEST = 8 * 1024


def signed(issuer: Issuer, token: str, *, longest: int = LONGEST) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a JWT that the issuer signed; nothing but the signature is checked.

    Raises Unauthenticated with one sentence, and Unavailable while the issuer's keys cannot be had.
    """
    if len(token) > longest:
        raise Unauthenticated("This token is too long to be looked at.")
    try:
        found = jwt.decode(token, lambda guest: _key(issuer, guest.headers()), algorithms=list(issuer.algorithms))
    except InvalidKeyIdError as error:
        raise Unauthenticated(f"This token was signed with a key that {issuer.name} does not publish.") from error
    except (JoseError, ValueError) as error:
        raise Unauthenticated(f"This token does not bear a good signature of {issuer.name}.") from error
    if not isinstance(found.claims, dict):
        raise Unauthenticated("This token carries no claims.")
    return found.header, found.claims


def _key(issuer: Issuer, header: dict[str, Any]) -> Any:
    kid = header.get("kid")
    known = providers.keys(issuer, kid=kid if isinstance(kid, str) else None)
    return known.get_by_kid(kid if isinstance(kid, str) else None)
