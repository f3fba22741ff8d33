"""Every setting, read once per entry point from the environment. A test compares `docs/ENV_VARS.md` with it."""

import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Prices(BaseModel):
    """Seconds of the user's hours that a task may cost at most; what is charged is never more than what was measured.

    A conversion costs `convert` + `convert_rows` per million rows; a forecast costs `forecast` + Σ over its models of
    series × the model's price, for series of up to 1,000 points, and in proportion for longer ones.
    """

    model_config = ConfigDict(frozen=True, extra='forbid')

    convert: NonNegativeFloat = 10
    convert_rows: NonNegativeFloat = 15
    forecast: NonNegativeFloat = 20
    models: dict[str, NonNegativeFloat] = {
        'auto': 6,
        'seasonal_naive': 0.1,
        'ets': 2,
        'theta': 1,
        'mstl': 1,
        'prophet': 3,
        'lightgbm': 1,
    }


class Settings(BaseSettings):
    """What the environment says; nothing else reads it."""

    model_config = SettingsConfigDict(frozen=True, extra='ignore')

    home: Path = Field(
        Path('~/.variosync'),
        alias='VARIOSYNC_HOME',
        description='Folder of the embedded database, objects and secrets.',
    )
    host: str = Field('127.0.0.1', alias='VARIOSYNC_HOST', description='Address the server listens on.')
    port: int = Field(8080, ge=1, le=65535, alias='VARIOSYNC_PORT', description='Port the server listens on.')
    public_url: str | None = Field(
        None,
        alias='VARIOSYNC_PUBLIC_URL',
        description='Address users see, such as `https://app.example.com`; forms and sockets from it are trusted.',
    )
    owner_email: str = Field(
        'owner@localhost',
        alias='VARIOSYNC_OWNER_EMAIL',
        description='Account of the owner, who signs in by the link printed at start.',
    )
    memory: str = Field(
        '2GB', alias='VARIOSYNC_TASK_MEMORY', description='Memory one compute task may use, such as `512MB`.'
    )
    task_timeout: float = Field(
        3600, gt=0, alias='VARIOSYNC_TASK_TIMEOUT', description='Seconds one attempt of a task may take.'
    )
    workers: int = Field(
        2,
        ge=0,
        le=64,
        alias='VARIOSYNC_WORKERS',
        description='Jobs that run at the same time inside `variosync serve`; 0 leaves them to `variosync worker`.',
    )
    max_upload: str = Field('5GB', alias='VARIOSYNC_MAX_UPLOAD', description='Largest file that may be uploaded.')
    trial_hours: float = Field(
        2, ge=0, le=10_000, alias='VARIOSYNC_TRIAL_HOURS', description='Hours a new account is given.'
    )
    prices: Prices = Field(
        Prices(),
        alias='VARIOSYNC_PRICES',
        description='Price table of tasks in seconds, as JSON such as `{"convert": 10, "models": {"auto": 6}}`.',
    )
    rate_limit: int = Field(
        1200,
        ge=1,
        alias='VARIOSYNC_RATE_LIMIT',
        description='REST requests a minute that one user or one address may make; one API key gets half.',
    )
    demo: bool = Field(
        True, alias='VARIOSYNC_DEMO', description='Whether the owner’s first start fills a small workspace.'
    )
    metrics_token: SecretStr | None = Field(
        None,
        min_length=16,
        alias='VARIOSYNC_METRICS_TOKEN',
        description='Bearer token for `/metrics`; without it there is no `/metrics`.',
    )
    log_format: Literal['text', 'json'] = Field(
        'text', alias='VARIOSYNC_LOG_FORMAT', description='`json` for one object a line.'
    )
    log_level: Literal['DEBUG', 'INFO', 'WARNING', 'ERROR'] = Field(
        'INFO', alias='VARIOSYNC_LOG_LEVEL', description='Least severe message that is logged.'
    )

    @property
    def home_path(self) -> Path:
        """The home with `~` expanded, absolute."""
        return self.home.expanduser().absolute()


UNITS = {'': 1, 'K': 2**10, 'M': 2**20, 'G': 2**30, 'T': 2**40}


def parse_bytes(text: str) -> int:
    """Return the bytes of a size such as `512MB` or `1.5 GB` (powers of 1024). Raise ValueError when it is no size."""
    match = re.fullmatch(r'(\d+(?:\.\d*)?)\s*([KMGT]?)I?B?', text.strip().upper())
    value = float(match[1]) * UNITS[match[2]] if match else 0
    if not 0 < value < 2**60:
        raise ValueError(f'"{text}" is no size: write one such as 512MB or 2GB')
    return int(value)
