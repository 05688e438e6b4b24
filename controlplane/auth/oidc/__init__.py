"""Other people's tokens: the configured issuers, what they sign, and what their claims give."""
