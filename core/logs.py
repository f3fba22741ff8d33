"""Structured logs on stderr, one format for ours and for the libraries', with secrets taken out."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from core.settings import Settings

SECRET_NAMES = re.compile(r'passw|secret|token|cookie|authorization|dsn|api_?key|client_id', re.I)
SECRET_TEXTS = re.compile(
    r'(?P<before>(?:password|token|client_id|secret|key)=|Bearer |vsk_|://[^/\s:@]+:)[^\s&@\'"]+', re.I
)
HIDDEN = '***'
QUIET = (
    'urllib3',
    'cmdstanpy',
    'prophet',
    'procrastinate',
    'asyncio',
    'multipart',
    'socketio',
    'engineio',
    'psycopg.pool',
)


def configure(settings: Settings) -> None:
    """Send every log record to stderr, as text or as one JSON object a line."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt='iso', utc=True),
        redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    last: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if settings.log_format == 'json'
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def redact(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide values under secret names, and secrets inside texts."""
    for key, value in event.items():
        if SECRET_NAMES.search(key):
            event[key] = HIDDEN
        elif isinstance(value, str):
            event[key] = SECRET_TEXTS.sub(lambda match: match['before'] + HIDDEN, value)
    return event
