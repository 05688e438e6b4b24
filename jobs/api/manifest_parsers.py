"""Parsers for manifests, JSON or YAML, of the size that a kubelet may send (INTERLINK_MAX_BODY)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from rest_framework.parsers import BaseParser

from controlplane.api.bodies import read_body
from sites import manifest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO


class JsonManifest(BaseParser):
    """Parses one JSON document into `{"documents": [...]}`."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        return {"documents": manifest.read_json(_read(stream, parser_context))}


class YamlManifest(BaseParser):
    """Parses any number of YAML documents into `{"documents": [...]}`."""

    media_type = "application/yaml"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        return {"documents": manifest.read_yaml(_read(stream, parser_context))}


class TextYamlManifest(YamlManifest):
    """YAML by an older media type."""

    media_type = "text/yaml"


class OldYamlManifest(YamlManifest):
    """YAML by the oldest media type."""

    media_type = "application/x-yaml"


PARSERS = [JsonManifest, YamlManifest, TextYamlManifest, OldYamlManifest]


def _read(stream: IO[Any], context: Mapping[str, Any] | None) -> bytes:
    return read_body(stream, context, most=settings.INTERLINK_MAX_BODY)
