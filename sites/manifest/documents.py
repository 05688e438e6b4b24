"""Reads manifests in JSON or YAML as kubectl does. Pure, and bounded in time and memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson
import yaml

from controlplane.errors import BadRequest, TooLarge

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes. Parsing YAML takes a hundred times as long as parsing JSON; JSON has no limit of its own.
LARGEST_YAML = 1024 * 1024
_DEEPEST = 100
_DOCUMENTS = 200
_INT = re.compile(r"[-+]?0b[01_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+")
_FLOAT = re.compile(
    r"[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)


class _Loader(yaml.CSafeLoader):
    """Reads YAML as Kubernetes does: a date, or a value such as 1:30, is text."""


_NOT_OURS = {f"tag:yaml.org,2002:{name}" for name in ("timestamp", "value", "int", "float")}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _NOT_OURS]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(f"^(?:{_INT.pattern})$"), list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(f"^(?:{_FLOAT.pattern})$"), list("-+0123456789."))


def read_json(body: bytes) -> list[Any]:
    """Parse a JSON body into a list with one document. Raises BadRequest if it is not JSON."""
    try:
        return [orjson.loads(body)]
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON (line {error.lineno}, column {error.colno}).") from None


def read_yaml(body: bytes) -> list[Any]:
    """Parse a YAML body into its documents, with JSON's types only; empty documents are left out.

    Raises TooLarge beyond LARGEST_YAML, and BadRequest for invalid YAML, tags, anchors and aliases: with aliases, a
    short text can expand without bound.
    """
    if len(body) > LARGEST_YAML:
        raise TooLarge(f"A manifest in YAML may have at most {LARGEST_YAML >> 20} MiB: send a larger one as JSON.")
    try:
        _check(yaml.parse(body, Loader=_Loader))
        documents = list(yaml.load_all(body, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        raise BadRequest(f"The body is not YAML: {error.problem}{_place(error.problem_mark)}.") from None
    except (yaml.YAMLError, ValueError):
        # ValueError: a number with more digits than Python parses.
        raise BadRequest("The body is not valid YAML: check its characters and numbers.") from None
    return [_as_json(document) for document in documents if document is not None]


def _check(events: Iterator[Any]) -> None:
    depth = documents = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise BadRequest(f"Anchors and aliases are not supported{_place(event.start_mark)}: repeat the value.")
        if getattr(event, "tag", None) is not None and event.tag != "!":
            raise BadRequest(f"Tags such as {event.tag[:60]} are not supported{_place(event.start_mark)}.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        documents += isinstance(event, yaml.DocumentStartEvent)
        if depth > _DEEPEST or documents > _DOCUMENTS:
            raise BadRequest("The body is nested deeper, or has more documents, than any manifest.")


def _place(mark: Any) -> str:
    return "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"


def _as_json(document: Any) -> Any:
    try:
        return orjson.loads(orjson.dumps(document))
    except TypeError as error:  # the base of orjson's JSONEncodeError
        raise BadRequest(
            f"The YAML holds a value that JSON cannot hold ({error}): put keys into quotes, and use smaller numbers."
        ) from None
