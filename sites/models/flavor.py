"""Flavors: bundles of figures that a pod may ask for by name."""

from __future__ import annotations

from django.db import models

from sites.models.site import Site


class Flavor(models.Model):
    """A named bundle of figures that a pod may ask for at a site. Operators change it in Django's admin."""

    site = models.ForeignKey(
        Site, on_delete=models.CASCADE, related_name="flavors", help_text="the site that offers it"
    )
    name = models.SlugField(max_length=63, help_text="what pods call it; unique at the site")
    description = models.CharField(max_length=200, blank=True, help_text="one line for people who choose a flavor")
    partition = models.CharField(max_length=100, blank=True, help_text="where its pods go; empty is the default one")
    cpus = models.PositiveIntegerField(null=True, blank=True, help_text="for pods that do not name a number of CPUs")
    memory = models.PositiveBigIntegerField(null=True, blank=True, help_text="bytes, for pods that do not name any")
    gpus = models.PositiveIntegerField(null=True, blank=True, help_text="for pods that do not name a number of GPUs")
    time_limit = models.PositiveIntegerField(null=True, blank=True, help_text="seconds, for pods without a deadline")
    largest_cpus = models.PositiveIntegerField(null=True, blank=True, help_text="the most that a pod may ask for")
    largest_memory = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="bytes that a pod may ask for, at most"
    )
    largest_time_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="seconds that a pod may ask for, at most"
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["site", "name"], name="flavor_name_is_the_sites")]

    def __str__(self) -> str:
        return self.name
