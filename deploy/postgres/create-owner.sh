#!/bin/bash
# The PostgreSQL image runs this once, on an empty volume. It creates the owner of Isthmus' database, who runs migrations and
# creates the web and worker roles (`manage.py prepare_database`) and is not a superuser. \getenv keeps the password out of
# the command line, so `ps` does not show it.
set -euo pipefail
psql --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv password ISTHMUS_OWNER_PASSWORD
CREATE ROLE isthmus_owner LOGIN CREATEROLE PASSWORD :'password';
CREATE DATABASE isthmus OWNER isthmus_owner;
SQL
