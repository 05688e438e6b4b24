"""Reads what callers send: limits the size of bodies and refuses unknown fields."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson
from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.parsers import BaseParser

from controlplane.errors import BadRequest, Invalid, TooLarge

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO

    from rest_framework.request import Request

#: The name of a Kubernetes resource, such as nvidia.com/gpu.
RESOURCE = r"^[A-Za-z0-9]([A-Za-z0-9._/-]{0,200}[A-Za-z0-9])?$"
_LARGEST = 2**31 - 1
#: Query parameters that every view takes.
_COMMON = frozenset({"format"})


class JsonBody(BaseParser):
    """Parses a JSON object. Raises BadRequest for anything else, and TooLarge."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        try:
            return an_object(orjson.loads(read_body(stream, parser_context)))
        except orjson.JSONDecodeError as error:
            raise BadRequest(f"The body is not JSON (line {error.lineno}, column {error.colno}).") from None


def read_body(stream: IO[Any], context: Mapping[str, Any] | None, *, most: int | None = None) -> bytes:
    """Returns the body as bytes. Raises TooLarge above `most` bytes (API_MAX_BODY) without reading the rest."""
    most = settings.API_MAX_BODY if most is None else most
    stated = str(context["request"].META.get("CONTENT_LENGTH", "")) if context else ""
    body = b"" if stated.isdigit() and int(stated) > most else bytes(stream.read(most + 1))
    if len(body) > most or (stated.isdigit() and int(stated) > most):
        raise TooLarge(f"The body is larger than the limit of {most} bytes.")
    return body


def an_object(body: Any) -> dict[str, Any]:
    """Returns `body` if it is a JSON object. Raises BadRequest otherwise."""
    if not isinstance(body, dict):
        raise BadRequest("The body must be an object: names and values between curly brackets.")
    return body


@extend_schema_field(
    {
        "type": "object",
        "propertyNames": {"pattern": RESOURCE},
        "additionalProperties": {"type": "integer", "minimum": 0, "maximum": _LARGEST},
    }
)
class Resources(serializers.DictField):
    """A field of the form {resource: number}."""

    child = serializers.IntegerField(min_value=0, max_value=_LARGEST)

    def to_internal_value(self, data: Any) -> Any:
        values = super().to_internal_value(data)
        if odd := [name for name in values if not re.fullmatch(RESOURCE, name)]:
            raise serializers.ValidationError({odd[0][:100]: "Not the name of a resource, such as nvidia.com/gpu."})
        return values


class Input(serializers.Serializer[Any]):
    """Values that a caller sends. Refuses unknown names: they are typing errors, or belong to another request."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := sorted(set(data) - set(self.fields))):
            known = ", ".join(sorted(self.fields)) or "none"
            raise serializers.ValidationError(
                {str(name)[:100]: f"There is no such field; there are: {known}." for name in unknown}
            )
        return super().to_internal_value(data)


def given(request: Request, kind: type[Input], *, partial: bool = False) -> dict[str, Any]:
    """Returns the validated values of the body. Raises BadRequest, and DRF's ValidationError (answered as Invalid)."""
    return _checked(kind, an_object(request.data), partial=partial)


def asked(request: Request, kind: type[Input]) -> dict[str, Any]:
    """Returns the validated query parameters; missing ones have their defaults, or are absent.

    Raises Invalid if a parameter is repeated, and DRF's ValidationError.
    """
    fields = kind().fields
    sent: dict[str, Any] = {}
    for name in request.query_params:
        if name in _COMMON and name not in fields:
            continue
        values = request.query_params.getlist(name)
        is_list = isinstance(fields.get(name), serializers.ListField)
        if len(values) > 1 and not is_list:
            raise Invalid({name[:100]: "Give this parameter once."})
        sent[name] = values if is_list else values[0]
    return _checked(kind, sent)


def _checked(kind: type[Input], data: dict[str, Any], *, partial: bool = False) -> dict[str, Any]:
    serializer = kind(data=data, partial=partial)
    serializer.is_valid(raise_exception=True)
    values: dict[str, Any] = serializer.validated_data
    return values
