"""Structured logs on stderr, one format for ours and for the libraries', with secrets taken out.

Every line of a request carries `request_id`, of a job `job`, and of either `tenant` once it is known who asks.
"""

import json
import logging
import re
import sys
from collections.abc import Iterator, MutableMapping, Set
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import structlog
from pydantic import BaseModel, SecretStr
from structlog.dev import ConsoleRenderer, plain_traceback

from core.settings import Settings

SECRET_NAMES = re.compile(r'passw|secret|token|cookie|authorization|dsn|api_?key|client_id', re.I)
SECRET_TEXTS = re.compile(
    r"""(?P<before>
        (?:password|token|secret|signature|client_id|api_?key|access_?key)['"\\]*\s*[=:]\s*['"\\]*
      | (?<=[?&])(?:key|code|state)=             # OAuth's answers
      | \bBearer\s+ | \bBasic\s+(?=[\w+/=]{12})
      | \b(?:vsk_|sb_secret_|sb_publishable_)
      | \b(?:AKIA|ASIA)(?=[A-Z0-9]{12}) | \ba[ks]-(?=[A-Za-z0-9]{16})   # keys of AWS, tokens of Modal
      | \beyJ(?=[\w-]{8})                        # a JSON Web Token
      | ://[^/\s:@]*:(?=[^/\s@]+@)              # the password of an address
    )[^\s&@'"<>\\]+""",
    re.I | re.X,
)
HIDDEN = '***'
SHORT = 6  # letters of a secret: shorter ones are part of any text, and hidden only where they stand alone
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
    'botocore',
    'boto3',
    'httpx',
    'httpcore',
    'hpack',
)


def leave() -> None:
    """Say no more that connections are closed in the middle of something, which who stops does with purpose."""
    logging.getLogger('psycopg').setLevel(logging.ERROR)
    logging.getLogger('psycopg.pool').setLevel(logging.ERROR)


def configure(settings: Settings) -> None:
    """Send every log record to stderr, as text or as one JSON object a line; no secret of the settings is in any."""
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
        # Its own tracebacks would show the values of local variables.
        else [ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain_traceback)]
    )
    handler = logging.StreamHandler(sys.stderr)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )
    handler.setFormatter(_Censor(formatter, frozenset(_secrets(settings))))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    sys.excepthook = _ended


def redact(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide values under secret names."""
    for key in event:
        if SECRET_NAMES.search(key):
            event[key] = HIDDEN
    return event


def censor(text: str) -> str:
    """Hide what looks like a secret in a text."""
    return SECRET_TEXTS.sub(lambda match: match['before'] + HIDDEN, text)


class _Censor(logging.Formatter):
    """Goes over each finished line, tracebacks included."""

    def __init__(self, formatter: logging.Formatter, known: frozenset[str]) -> None:
        super().__init__()
        self._formatter = formatter
        words = sorted(known, key=len, reverse=True)
        self._known = re.compile('|'.join(map(_pattern, words))) if words else None

    def format(self, record: logging.LogRecord) -> str:
        text = self._formatter.format(record)
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        return censor(text)


def _secrets(settings: BaseModel) -> Iterator[str]:
    """Every secret that the settings hold, in each form in which a line may show it."""
    for name in type(settings).model_fields:
        yield from _within(getattr(settings, name))


def _within(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        password = urlsplit(text).password if '://' in text else None
        for secret in (text, password or '', unquote(password or '')):
            yield from _escaped(_escaped({secret, quote(secret, safe='')})) - {''}
    elif isinstance(value, BaseModel):
        yield from _secrets(value)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _within(item)


def _escaped(texts: Set[str]) -> Set[str]:
    """Texts as they stand, and as a string of JSON or of Python spells them; one inside another takes it twice."""
    return {
        form
        for text in texts
        for form in (
            text,
            json.dumps(text)[1:-1],
            json.dumps(text, ensure_ascii=False)[1:-1],
            repr(text)[1:-1],
            repr('"' + text)[2:-1],  # beside a double quote, Python escapes a single one
        )
    }


def _pattern(secret: str) -> str:
    return re.escape(secret) if len(secret) >= SHORT else rf'(?<!\w){re.escape(secret)}(?!\w)'


def _ended(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Log the error that ends the process: Python's own way would print it unseen."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        logging.getLogger(__name__).critical('ended by an error', exc_info=(kind, error, trace))
