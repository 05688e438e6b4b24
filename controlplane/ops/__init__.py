"""Commands of the whole service, the database roles and row security. Nothing imports it."""
