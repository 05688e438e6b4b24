"""Describes a view's methods for OpenAPI: the input, the answers and the errors of each."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import extend_schema

from controlplane.answers import PROBLEM_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from drf_spectacular.utils import OpenApiExample

#: status -> (name of the response, its meaning)
ERRORS: dict[int, tuple[str, str]] = {
    400: ("Invalid", "The request is malformed, or some of its values are not allowed; `errors` says which."),
    401: ("Unauthenticated", "There is no token, or it is wrong, expired or revoked."),
    403: ("Forbidden", "None of the caller's roles allows this, or the token lacks the scope."),
    404: ("NotFound", "The object does not exist, or the caller may not see it."),
    406: ("NotAcceptable", "`Accept` names no format that this address can answer in."),
    409: ("Conflict", "The current state does not allow this, for example because the name is taken."),
    413: ("TooLarge", "The body is larger than the limit."),
    415: ("UnsupportedMediaType", "This address does not take bodies of this content type."),
    422: ("Refused", "This can never be done, or the Idempotency-Key was used for another request."),
    429: ("TooMany", "The caller has called too often; `Retry-After` says when to continue."),
    503: ("Unavailable", "A part of Isthmus, or the caller's identity provider, does not answer at the moment."),
}
_ALWAYS = frozenset({401, 403, 406, 429, 503})
_WITH_BODY = frozenset({400, 413, 415})

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "An error, as in RFC 9457. `code` is for programs, `detail` one sentence for people.",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "examples": ["about:blank"]},
        "title": {"type": "string", "examples": ["Not Found"]},
        "status": {"type": "integer", "examples": [404]},
        "detail": {"type": "string", "examples": ["There is no tenant chemistry here."]},
        "code": {"type": "string", "examples": ["not_found"]},
        "request_id": {"type": "string", "description": "quote it when you ask the operator"},
        "errors": {
            "type": "array",
            "description": "for invalid input: each wrong field, and what is wrong with it",
            "items": {
                "type": "object",
                "required": ["field", "detail"],
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}

_IDEMPOTENCY = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": "A second request with the same key and body is not done again; it gets the first one's answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[ -~]+$"},
}


def operation(
    operation_id: str,
    summary: str,
    *,
    answers: Any,
    takes: Any = None,
    query: Any = None,
    errors: Collection[int] = (),
    examples: Sequence[OpenApiExample] = (),
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Describes a view's handler. Must be the outermost decorator.

    answers: a serializer, answered with 200, or {status: serializer or None}. takes, query: an Input. errors: statuses
    in addition to the implied ones (a variable in the address implies 404; a body or a query implies 400; and so on).
    If several views inherit the handler, {names} in the id and the summary are replaced from the view's `words`.
    """

    def described(handler: Callable[..., Any]) -> Callable[..., Any]:
        handler.__dict__["errors"] = frozenset(errors) | ({400} if query else frozenset())
        extended: Callable[..., Any] = extend_schema(
            operation_id=operation_id,
            summary=summary,
            request=takes,
            responses=answers,
            parameters=[query] if query else None,
            examples=list(examples) or None,
        )(handler)
        return extended

    return described


class ApiSchema(AutoSchema):
    """Adds to each operation what all operations have in common, such as error responses."""

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        described: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if described is None:
            return None
        for name in ("operationId", "summary"):
            described[name] = described[name].format(**getattr(self.view, "words", {}))
        handler = getattr(self.view, self.method.lower())
        is_idempotent = getattr(handler, "is_idempotent", False)
        statuses = _ALWAYS | getattr(handler, "errors", frozenset())
        statuses |= _WITH_BODY if "requestBody" in described else frozenset()
        statuses |= {404} if "{" in self.path else frozenset()
        if is_idempotent:
            described["parameters"] = [*described.get("parameters", []), _IDEMPOTENCY]
            statuses |= {400, 409, 422}
        for status in sorted(statuses):
            described["responses"].setdefault(str(status), {"$ref": f"#/components/responses/{ERRORS[status][0]}"})
        return described

    def get_auth(self) -> list[dict[str, list[str]]]:
        return [{"bearer": []}]

    def get_description(self) -> str:  # type: ignore[override]  # drf-spectacular's stub has another signature
        """Returns the handler's docstring. The view's docstring is for readers of the code."""
        # Python 3.13 removes a docstring's indentation, 3.12 does not; docs/openapi.json must not depend on that.
        return inspect.cleandoc(getattr(self.view, self.method.lower()).__doc__ or "")


class InputExtension(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Describes that an Input refuses unknown names."""

    target_class = "controlplane.api.bodies.Input"
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        schema: dict[str, Any] = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)  # noqa: SLF001
        return {**schema, "additionalProperties": False}


def components() -> dict[str, Any]:
    """Returns the OpenAPI components that operations refer to: {kind: {name: component}}."""
    answers = {
        name: {
            "description": meaning,
            "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for name, meaning in ERRORS.values()
    }
    return {
        "schemas": {"Problem": PROBLEM},
        "responses": answers,
        "securitySchemes": {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "A personal or service token of Isthmus, or an access token of a configured issuer.",
            }
        },
    }
