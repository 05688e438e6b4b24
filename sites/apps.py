from __future__ import annotations

from django.apps import AppConfig


class SitesConfig(AppConfig):
    name = "sites"
    verbose_name = "Sites"
    label = "hpc_sites"  # `sites` is the label of django.contrib.sites
