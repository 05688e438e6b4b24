"""The addresses of login, logout and the account page."""

from __future__ import annotations

from django.urls import path
from django.views.generic import RedirectView

from controlplane.auth.login import pages, views

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="account")),
    path("login/", pages.login, name="login"),
    path("logout/", views.LogoutView.as_view(), name="logout"),
    path("account/", pages.account, name="account"),
    path("oidc/<slug:alias>/login/", views.LoginView.as_view(), name="oidc-login"),
    path("oidc/<slug:alias>/callback/", views.CallbackView.as_view(), name="oidc-callback"),
]
