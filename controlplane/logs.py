"""Structured logs: one line per event, with its request, job and site. They never contain bodies or secrets."""

from __future__ import annotations

import logging.config
from typing import Any

import structlog

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure(config: dict[str, str]) -> None:
    """Configures logging (Django's LOGGING_CONFIG). config: {"level": a level's name, "format": "json" or "text"}."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if config["format"] == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "isthmus": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": _SHARED,
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        structlog.processors.format_exc_info,
                        renderer,
                    ],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "isthmus"}},
            "root": {"handlers": ["stderr"], "level": config["level"]},
            # asyncssh logs every channel at INFO: a thousand polls an hour would hide everything else.
            "loggers": {"asyncssh": {"level": "WARNING"}, "celery": {"level": "WARNING"}},
        }
    )
