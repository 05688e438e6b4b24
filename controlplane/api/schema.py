"""How a view's methods are told in the OpenAPI description: what each takes, answers, and refuses with."""

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

#: status -> the name of the answer, and what it means
ERRORS: dict[int, tuple[str, str]] = {
    400: ("Invalid", "The request is malformed, or some of its values do not fit; `errors` says which."),
    401: ("Unauthenticated", "No token, or one that is wrong, expired or revoked."),
    403: ("Forbidden", "None of the caller's roles allows this, or the token lacks the scope."),
    404: ("NotFound", "There is no such thing, or none that this caller may see."),
    406: ("NotAcceptable", "`Accept` names no format that this can be answered in."),
    409: ("Conflict", "This does not go together with what is there now."),
    413: ("TooLarge", "The body is larger than what is taken."),
    415: ("UnsupportedMediaType", "The body is of another type than is taken."),
    422: ("Refused", "This can never be done, or the Idempotency-Key was used for another request."),
    429: ("TooMany", "The caller has called too often; `Retry-After` says when to go on."),
    503: ("Unavailable", "A part of ours, or the caller's identity provider, does not answer at the moment."),
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
        "request_id": {"type": "string", "description": "tell it to the operator"},
        "errors": {
            "type": "array",
            "description": "of invalid input: what is wrong with which field",
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
    "description": "Sent again with the same key and body, this is not done again, but answered as before.",
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
    """Of a view's handler: tell it so. To be the outermost decorator.

    answers: a serializer, answered with 200, or {status: serializer or None}. takes, query: an Input. errors: statuses
    beside those that follow from the rest (a hole in the address: 404; a body or a query: 400; and so on). Of a handler
    that several views inherit, {words} in the id and the summary come from the view's `words`.
    """

    def told(handler: Callable[..., Any]) -> Callable[..., Any]:
        own = {"errors": frozenset(errors) | ({400} if query else frozenset())}
        handler.__dict__.update(own)
        extended: Callable[..., Any] = extend_schema(
            operation_id=operation_id,
            summary=summary,
            request=takes,
            responses=answers,
            parameters=[query] if query else None,
            examples=list(examples) or None,
        )(handler)
        return extended

    return told


class ApiSchema(AutoSchema):
    """Adds what all operations share, so that no view need repeat it."""

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        told: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if told is None:
            return None
        for name in ("operationId", "summary"):
            told[name] = told[name].format(**getattr(self.view, "words", {}))
        handler = getattr(self.view, self.method.lower())
        is_idempotent = getattr(handler, "is_idempotent", False)
        statuses = _ALWAYS | getattr(handler, "errors", frozenset())
        statuses |= (_WITH_BODY if "requestBody" in told else frozenset()) | (
            {404} if "{" in self.path else frozenset()
        )
        if is_idempotent:
            told["parameters"] = [*told.get("parameters", []), _IDEMPOTENCY]
            statuses |= {400, 409, 422}
        for status in sorted(statuses):
            told["responses"].setdefault(str(status), {"$ref": f"#/components/responses/{ERRORS[status][0]}"})
        return told

    def get_auth(self) -> list[dict[str, list[str]]]:
        return [{"bearer": []}]

    def get_description(self) -> str:  # type: ignore[override]  # of drf-spectacular, which takes none
        """The handler's own docstring alone: a view's is for those who read the code."""
        # Python leaves a docstring's indentation until 3.12 and takes it off since; the committed file must not change.
        return inspect.cleandoc(getattr(self.view, self.method.lower()).__doc__ or "")


class InputExtension(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """An Input takes no other names than its own."""

    target_class = "controlplane.api.bodies.Input"
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        schema: dict[str, Any] = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)  # noqa: SLF001
        return {**schema, "additionalProperties": False}


def components() -> dict[str, Any]:
    """What operations refer to."""
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
