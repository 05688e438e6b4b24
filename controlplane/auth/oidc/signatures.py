"""Verifies issuers' JSON Web Signatures, with the algorithms that the operator configured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError

from controlplane.auth.oidc import providers
from controlplane.errors import Unauthenticated

if TYPE_CHECKING:
    from controlplane.auth.oidc.issuer import Issuer

#: The longest access token, in characters.
LONGEST = 8 * 1024


def signed(issuer: Issuer, token: str, *, longest: int = LONGEST) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns header and claims of a JWT after checking its signature, and nothing else. longest: in characters.

    Raises Unauthenticated with one sentence, and Unavailable if the issuer's keys cannot be loaded.
    """
    if len(token) > longest:
        raise Unauthenticated("This token is too long.")

    def key(guest: Any) -> Any:
        kid = guest.headers().get("kid")
        kid = kid if isinstance(kid, str) else None
        return providers.keys(issuer, kid=kid).get_by_kid(kid)

    try:
        found = jwt.decode(token, key, algorithms=list(issuer.algorithms))
    except InvalidKeyIdError as error:
        raise Unauthenticated(f"This token was signed with a key that {issuer.name} does not publish.") from error
    except (JoseError, ValueError) as error:
        raise Unauthenticated(f"This token has no valid signature of {issuer.name}.") from error
    if not isinstance(found.claims, dict):
        raise Unauthenticated("This token has no claims.")
    return found.header, found.claims
