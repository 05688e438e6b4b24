"""Login, logout and one's own account."""

from __future__ import annotations

from django.urls import path
from django.views.generic import RedirectView

from controlplane.auth import login, pages

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="account")),
    path("login/", pages.login, name="login"),
    path("logout/", login.LogoutView.as_view(), name="logout"),
    path("account/", pages.account, name="account"),
    path("oidc/<slug:alias>/login/", login.LoginView.as_view(), name="oidc-login"),
    path("oidc/<slug:alias>/callback/", login.CallbackView.as_view(), name="oidc-callback"),
]
