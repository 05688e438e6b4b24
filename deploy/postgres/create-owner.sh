#!/bin/bash
# Run once by the PostgreSQL image on an empty volume: the owner of Isthmus' database, who runs migrations and creates the
# web and worker roles (`manage.py prepare_database`), and is no superuser. The shell's own history and `ps` see no password.
set -euo pipefail
psql --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv password ISTHMUS_OWNER_PASSWORD
CREATE ROLE isthmus_owner LOGIN CREATEROLE PASSWORD :'password';
CREATE DATABASE isthmus OWNER isthmus_owner;
SQL
