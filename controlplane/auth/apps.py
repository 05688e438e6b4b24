from __future__ import annotations

from django.apps import AppConfig


class AuthConfig(AppConfig):
    name = "controlplane.auth"
    label = "isthmus_auth"  # `auth` is Django's own
