"""Bundles of figures that a pod may ask for by name."""

from __future__ import annotations

from django.db import models

from sites.models.site import Site


class Flavor(models.Model):
    """A named bundle that a pod may ask for at a site: a partition, and what it asks for where the pod does not say.

    cpus, memory (bytes), gpus, time_limit (seconds): defaults, unset where None. largest_*: the most that a pod of this
    flavor may ask for.
    """

    site = models.ForeignKey(Site, on_delete=models.CASCADE, related_name="flavors")
    name = models.SlugField(max_length=63)
    description = models.CharField(max_length=200, blank=True)
    partition = models.CharField(max_length=100, blank=True)
    cpus = models.PositiveIntegerField(null=True, blank=True)
    memory = models.PositiveBigIntegerField(null=True, blank=True, help_text="bytes")
    gpus = models.PositiveIntegerField(null=True, blank=True)
    time_limit = models.PositiveIntegerField(null=True, blank=True, help_text="seconds")
    largest_cpus = models.PositiveIntegerField(null=True, blank=True)
    largest_memory = models.PositiveBigIntegerField(null=True, blank=True, help_text="bytes")
    largest_time_limit = models.PositiveIntegerField(null=True, blank=True, help_text="seconds")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["site", "name"], name="flavor_name_is_the_sites")]

    def __str__(self) -> str:
        return self.name
