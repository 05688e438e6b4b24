"""Commands for the whole service, the database roles and row security. No other package imports this one."""
