"""Tokens of our own: issued, exchanged at the token endpoint, and turned into callers."""
