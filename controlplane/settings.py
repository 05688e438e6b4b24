"""Every setting, read from the environment. docs/settings.md lists them; a test compares the two."""

from __future__ import annotations

from pathlib import Path

from controlplane.environment import boolean, database, items, number, seconds, string

BASE_DIR = Path(__file__).resolve().parent.parent

# --- the service
DEBUG = boolean("ISTHMUS_DEBUG", default=False)
SECRET_KEY = string("ISTHMUS_SECRET_KEY")
ALLOWED_HOSTS = items("ISTHMUS_ALLOWED_HOSTS", default="localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = items("ISTHMUS_TRUSTED_ORIGINS", default="")
PUBLIC_URL = string("ISTHMUS_PUBLIC_URL", default="")
SECURE_COOKIES = boolean("ISTHMUS_SECURE_COOKIES", default=True)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
SESSION_COOKIE_AGE = seconds("ISTHMUS_SESSION_AGE", default=8 * 3600)
LOG_LEVEL = string("ISTHMUS_LOG_LEVEL", default="INFO")
LOG_FORMAT = string("ISTHMUS_LOG_FORMAT", default="json")
METRICS_TOKEN = string("ISTHMUS_METRICS_TOKEN", default="")

# --- stores
DATABASES = {"default": database(pool_max=number("ISTHMUS_DATABASE_POOL", default=8))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL = string("REDIS_URL")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        # Redis is optional: if it is down, a request loses at most this time.
        "OPTIONS": {"socket_timeout": 0.5, "socket_connect_timeout": 0.5},
    }
}
ENCRYPTION_KEYS = items("ISTHMUS_ENCRYPTION_KEYS", secret=True)
LOG_ARCHIVE = string("ISTHMUS_LOG_ARCHIVE", default=str(BASE_DIR / "var" / "logs"))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": LOG_ARCHIVE}},
    "logs": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": LOG_ARCHIVE, "file_permissions_mode": 0o600, "directory_permissions_mode": 0o700},
    },
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

# --- Django
INSTALLED_APPS = [
    "controlplane.auth.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "controlplane.audit",
    "controlplane.tenants",
    "controlplane.auth",
    "controlplane.ops",
    "sites",
    "jobs",
    "frontend",
]
MIDDLEWARE = [
    "controlplane.requests.RequestMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "controlplane.urls"
WSGI_APPLICATION = "controlplane.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
AUTH_USER_MODEL = "tenants.Person"
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend", "controlplane.auth.backend.IssuerBackend"]
LOGIN_URL = "/login/"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True  # serves files from the installed packages: no collectstatic before a start
APPEND_SLASH = False  # the wire's paths have no trailing slash, and a kubelet would lose its pod in a redirect
# Only for the forms of the admin pages; the wire limits bodies itself, after authentication (INTERLINK_MAX_BODY).
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
LOGGING_CONFIG = "controlplane.logs.configure"
LOGGING = {"level": LOG_LEVEL, "format": LOG_FORMAT}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["controlplane.auth.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "controlplane.answers.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "DEFAULT_SCHEMA_CLASS": "controlplane.api.schema.ApiSchema",
}

# --- who may call
TOKEN_LONGEST = seconds("ISTHMUS_TOKEN_LONGEST", default=365 * 86400)
TOKEN_OVERLAP = seconds("ISTHMUS_TOKEN_OVERLAP", default=600)
NODE_TOKEN_LIFETIME = seconds("ISTHMUS_NODE_TOKEN_LIFETIME", default=900)
AUTH_FAILURES = number("ISTHMUS_AUTH_FAILURES", default=20)
FOREIGN_TOKEN_MEMORY = seconds("ISTHMUS_FOREIGN_TOKEN_MEMORY", default=60, most=60)
MEMBERSHIP_LAPSE = seconds("ISTHMUS_MEMBERSHIP_LAPSE", default=30 * 86400)
ISSUERS = string("ISTHMUS_ISSUERS", default="")
ISSUER_TIMEOUT = seconds("ISTHMUS_ISSUER_TIMEOUT", default=5)
ISSUER_MEMORY = seconds("ISTHMUS_ISSUER_MEMORY", default=3600)
ISSUER_RETRY = seconds("ISTHMUS_ISSUER_RETRY", default=30)

# --- allocations
START_RETRY = seconds("ISTHMUS_START_RETRY", default=60)
HOLD_PATIENCE = seconds("ISTHMUS_HOLD_PATIENCE", default=900)

# --- the REST API
API_RATE = number("ISTHMUS_API_RATE", default=600)
API_PAGE = number("ISTHMUS_API_PAGE", default=50)
API_PAGE_MOST = number("ISTHMUS_API_PAGE_MOST", default=500)
API_MAX_BODY = number("ISTHMUS_API_MAX_BODY", default=1024 * 1024)
KEEP_ANSWERS = seconds("ISTHMUS_KEEP_ANSWERS", default=86400)
SPECTACULAR_SETTINGS = {
    "TITLE": "Isthmus",
    "VERSION": "v1",
    "OAS_VERSION": "3.1.0",
    "DESCRIPTION": "Tenants, virtual nodes, allocations and jobs at HPC sites. How to call it: docs/api.md.",
    "SCHEMA_PATH_PREFIX": "/api/v1/",
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "POSTPROCESSING_HOOKS": [],  # no shared enums: two fields called `role` have different choices
    "SWAGGER_UI_DIST": "SIDECAR",  # scripts from our own host only
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# --- workers
CELERY_BROKER_URL = REDIS_URL
WORKER_THREADS = number("ISTHMUS_WORKER_THREADS", default=32)
CELERY_WORKER_CONCURRENCY = WORKER_THREADS
WORKER_DRAIN = seconds("ISTHMUS_WORKER_DRAIN", default=30)

# --- the interLink wire
INTERLINK_MAX_BODY = number("ISTHMUS_INTERLINK_MAX_BODY", default=16 * 1024 * 1024)
INTERLINK_RETRY_FOR = seconds("ISTHMUS_INTERLINK_RETRY_FOR", default=100)
INTERLINK_LIST_LIMIT = number("ISTHMUS_INTERLINK_LIST_LIMIT", default=1000)
INTERLINK_PING_MEMORY = seconds("ISTHMUS_INTERLINK_PING_MEMORY", default=300)
TOKEN_MEMORY = seconds("ISTHMUS_TOKEN_MEMORY", default=5, most=5)
WEB_THREADS = number("ISTHMUS_WEB_THREADS", default=32)
WEB_PROCESSES = number("ISTHMUS_WEB_PROCESSES", default=2)
NODE_PODS = number("ISTHMUS_NODE_PODS", default=1000)
NODE_CPUS = number("ISTHMUS_NODE_CPUS", default=128)
NODE_MEMORY = number("ISTHMUS_NODE_MEMORY", default=512 * 1024 * 1024 * 1024)

# --- submitting, polling, cancelling
BATCH_JOBS = number("ISTHMUS_BATCH_JOBS", default=200)
BATCH_BYTES = number("ISTHMUS_BATCH_BYTES", default=32 * 1024 * 1024)
RETRY_FIRST = seconds("ISTHMUS_RETRY_FIRST", default=2)
RETRY_LONGEST = seconds("ISTHMUS_RETRY_LONGEST", default=300)
SUBMIT_RECOVER_AFTER = seconds("ISTHMUS_SUBMIT_RECOVER_AFTER", default=150)
JOB_LOST_AFTER = seconds("ISTHMUS_JOB_LOST_AFTER", default=3600)
LOST_WATCH = seconds("ISTHMUS_LOST_WATCH", default=7 * 86400)
ORPHAN_AFTER = seconds("ISTHMUS_ORPHAN_AFTER", default=3600)
POLLED_FLUSH = seconds("ISTHMUS_POLLED_FLUSH", default=30)
CAPACITY_EVERY = seconds("ISTHMUS_CAPACITY_EVERY", default=60)

# --- logs
LOG_FOLLOW_IDLE = seconds("ISTHMUS_LOG_FOLLOW_IDLE", default=3600)
LOG_FOLLOW_INTERVAL = seconds("ISTHMUS_LOG_FOLLOW_INTERVAL", default=0.5)
LOG_FOLLOWS_PER_TENANT = number("ISTHMUS_LOG_FOLLOWS_PER_TENANT", default=8)
LOG_ARCHIVE_BYTES = number("ISTHMUS_LOG_ARCHIVE_BYTES", default=10 * 1024 * 1024)

# --- kept how long
KEEP_JOBS = seconds("ISTHMUS_KEEP_JOBS", default=90 * 86400)
KEEP_LOGS = seconds("ISTHMUS_KEEP_LOGS", default=30 * 86400)
KEEP_TOMBSTONES = seconds("ISTHMUS_KEEP_TOMBSTONES", default=7 * 86400)
KEEP_USAGE = seconds("ISTHMUS_KEEP_USAGE", default=5 * 365 * 86400)
KEEP_AUDIT = seconds("ISTHMUS_KEEP_AUDIT", default=5 * 365 * 86400)
KEEP_FOLDERS = seconds("ISTHMUS_KEEP_FOLDERS", default=86400)
