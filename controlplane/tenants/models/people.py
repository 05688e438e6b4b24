"""People who log in."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Q


class Person(AbstractUser):
    """A person who logs in, identified by (issuer, subject). A local administrator has neither.

    For a person with an issuer, Django's username is a hash of both and is never shown: two issuers may use the same
    name for different people.
    """

    first_name = None  # type: ignore[assignment]  # people have one name, as their issuer gives it
    last_name = None  # type: ignore[assignment]
    name = models.CharField(
        max_length=200, blank=True, help_text="as the issuer gives it. Written by controlplane/auth/oidc/people.py."
    )
    issuer = models.CharField(max_length=200, blank=True, help_text="the address of the identity provider")
    subject = models.CharField(max_length=255, blank=True, help_text="the issuer's own, unchanging name of the person")

    class Meta:
        verbose_name_plural = "people"
        constraints = [
            models.UniqueConstraint(
                fields=["issuer", "subject"], condition=~Q(subject=""), name="person_is_issuer_and_subject"
            ),
        ]

    def __str__(self) -> str:
        return self.get_full_name()

    def get_full_name(self) -> str:
        return self.name or self.username

    def get_short_name(self) -> str:
        return self.get_full_name()
