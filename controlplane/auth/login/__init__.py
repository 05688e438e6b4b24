"""The browser's login with an issuer, and the pages of login and account."""
