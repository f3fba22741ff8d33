"""Every setting, read once per entry point from the environment. A test compares `docs/ENV_VARS.md` with it."""

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict


class Prices(BaseModel):
    """Seconds of the user's hours that a task may cost at most; what is charged is never more than what was measured.

    A conversion costs `convert` + `convert_rows` per million rows; a forecast costs `forecast` + Σ over its models of
    series × the model's price, for series of up to 1,000 points and three past cutoffs, and in proportion for more. A
    model without a price has the highest of them.
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
        'arima': 4,
        'croston': 0.5,
        'prophet': 3,
        'lightgbm': 1,
        'linear': 1,
        'tft': 6,
    }


class Issuer(BaseModel):
    """An OpenID Connect provider that people may sign in with."""

    model_config = ConfigDict(frozen=True, extra='forbid')

    issuer: str
    client_id: str
    client_secret: SecretStr


class Settings(BaseSettings):
    """What the environment says; nothing else reads it."""

    model_config = SettingsConfigDict(frozen=True, extra='ignore', env_ignore_empty=True, hide_input_in_errors=True)

    home: Path = Field(
        Path('~/.variosync'),
        alias='VARIOSYNC_HOME',
        description='Folder of the embedded database, objects and secrets.',
    )
    host: str = Field('127.0.0.1', alias='VARIOSYNC_HOST', description='Address the server listens on.')
    port: int = Field(
        8080,
        ge=1,
        le=65535,
        alias='VARIOSYNC_PORT',
        description='Port the server listens on; `PORT` is read too.',
        validation_alias=AliasChoices('VARIOSYNC_PORT', 'PORT'),
    )
    public_url: str | None = Field(
        None,
        alias='VARIOSYNC_PUBLIC_URL',
        description='Address users see, such as `https://app.example.com`; forms and sockets from it are trusted.',
    )
    trusted_proxies: int = Field(
        0,
        ge=0,
        le=10,
        alias='VARIOSYNC_TRUSTED_PROXIES',
        description='Proxies before the server: browsers are that many from the right of `X-Forwarded-For`.',
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
    environment: Literal['development', 'production'] = Field(
        'development',
        alias='VARIOSYNC_ENV',
        description='`production` refuses to start with a setting that is not safe on the open internet.',
    )
    server: str | None = Field(
        None, alias='VARIOSYNC_SERVER', description='Server that `variosync upload` sends files to.'
    )
    api_key: SecretStr | None = Field(
        None, alias='VARIOSYNC_API_KEY', description='API key that `variosync upload` sends them with.'
    )
    database_url: SecretStr | None = Field(
        None,
        alias='DATABASE_URL',
        description='A Postgres of your own, by its session pooler or directly, as the role that owns the tables.',
    )
    database_pool_url: SecretStr | None = Field(
        None,
        alias='DATABASE_POOL_URL',
        description='The same database by its transaction pooler, for the web server.',
    )
    supabase_url: str | None = Field(
        None,
        alias='SUPABASE_URL',
        description='Address of a Supabase project: its Auth and Storage replace ours. Needs `DATABASE_URL`.',
    )
    supabase_key: SecretStr | None = Field(
        None,
        alias='SUPABASE_PUBLISHABLE_KEY',
        description='Its publishable key, or the legacy anon key; `SUPABASE_KEY` is read too.',
        validation_alias=AliasChoices('SUPABASE_PUBLISHABLE_KEY', 'SUPABASE_KEY'),
    )
    supabase_secret: SecretStr | None = Field(
        None,
        alias='SUPABASE_SECRET_KEY',
        description='Its secret key, or the legacy service key; `SUPABASE_SERVICE_ROLE_KEY` is read too.',
        validation_alias=AliasChoices('SUPABASE_SECRET_KEY', 'SUPABASE_SERVICE_ROLE_KEY'),
    )
    supabase_bucket: str = Field(
        'uploads', alias='SUPABASE_BUCKET', description='Bucket of Supabase Storage in which uploads arrive.'
    )
    providers: tuple[str, ...] = Field(
        (),
        alias='VARIOSYNC_PROVIDERS',
        description='Providers that the Supabase project signs in with, as JSON such as `["google", "github"]`.',
    )
    oidc: dict[str, Issuer] = Field(
        {},
        alias='VARIOSYNC_OIDC',
        description='OpenID Connect providers, as JSON: name → `issuer`, `client_id`, `client_secret`.',
    )
    smtp_url: SecretStr | None = Field(
        None,
        alias='VARIOSYNC_SMTP_URL',
        description='Mail server, such as `smtp://name:password@host:587`; without it mails wait in the outbox.',
    )
    mail_from: str = Field(
        'VARIOSYNC <variosync@localhost>', alias='VARIOSYNC_MAIL_FROM', description='Sender of our mails.'
    )
    bucket: str | None = Field(
        None,
        alias='AWS_BUCKET_NAME',
        description='Bucket of an S3-compatible store (Wasabi, AWS) that holds the objects instead of local files.',
    )
    bucket_endpoint: str | None = Field(
        None,
        alias='AWS_ENDPOINT_URL',
        description='Address of that store, such as `https://s3.eu-central-1.wasabisys.com`; without it AWS itself.',
    )
    bucket_region: str = Field('us-east-1', alias='AWS_REGION', description='Region of the bucket.')
    bucket_key: SecretStr | None = Field(
        None, alias='AWS_ACCESS_KEY_ID', description='Name of the access key of the bucket.'
    )
    bucket_secret: SecretStr | None = Field(
        None, alias='AWS_SECRET_ACCESS_KEY', description='Secret of that access key.'
    )
    object_cache: str = Field(
        '2GB', alias='VARIOSYNC_OBJECT_CACHE', description='Disk space for local copies of objects of a bucket.'
    )
    redis_url: SecretStr | None = Field(
        None,
        alias='REDIS_URL',
        description='Redis for caches, limits and messages, such as `rediss://…`; without it they stay in process.',
    )
    events: Literal['auto', 'postgres', 'redis', 'realtime'] = Field(
        'auto',
        alias='VARIOSYNC_EVENTS',
        description='What carries messages between processes: `auto` is Redis where it is set, else Postgres.',
    )
    modal_token_id: SecretStr | None = Field(
        None, alias='MODAL_TOKEN_ID', description='Modal account that runs the tasks. Needs `AWS_BUCKET_NAME`.'
    )
    modal_token_secret: SecretStr | None = Field(
        None, alias='MODAL_TOKEN_SECRET', description='Secret of that account.'
    )
    modal_app: str = Field('variosync', alias='VARIOSYNC_MODAL_APP', description='Name of the deployed Modal app.')
    modal_environment: str | None = Field(
        None, alias='MODAL_ENVIRONMENT', description='Modal environment of the app; without it the account’s default.'
    )
    shutdown_delay: float = Field(
        25,
        ge=0,
        le=300,
        alias='VARIOSYNC_SHUTDOWN_DELAY',
        description='Seconds that requests on their way may take to end once the server is told to stop.',
    )
    log_format: Literal['text', 'json'] = Field(
        'text', alias='VARIOSYNC_LOG_FORMAT', description='`json` for one object a line.'
    )
    log_level: Literal['DEBUG', 'INFO', 'WARNING', 'ERROR'] = Field(
        'INFO', alias='VARIOSYNC_LOG_LEVEL', description='Least severe message that is logged.'
    )

    @field_validator('memory', 'max_upload', 'object_cache')
    @classmethod
    def _is_a_size(cls, text: str) -> str:
        parse_bytes(text)
        return text

    @field_validator('supabase_url', 'public_url')
    @classmethod
    def _is_an_address(cls, text: str | None) -> str | None:
        if text is not None and not re.match(r'https?://[^/\s]', text):
            raise ValueError(f'"{text}" is no address: write one such as https://app.example.com')
        return text

    @model_validator(mode='after')
    def _together(self) -> Self:
        """Refuse settings that do not work together, each by name."""
        needs: dict[str, tuple[object, dict[str, object]]] = {
            'DATABASE_POOL_URL': (self.database_pool_url, {'DATABASE_URL': self.database_url}),
            'SUPABASE_URL': (
                self.supabase_url,
                {
                    'DATABASE_URL': self.database_url,
                    'SUPABASE_PUBLISHABLE_KEY': self.supabase_key,
                    'SUPABASE_SECRET_KEY': self.supabase_secret,
                },
            ),
            'AWS_BUCKET_NAME': (
                self.bucket,
                {'AWS_ACCESS_KEY_ID': self.bucket_key, 'AWS_SECRET_ACCESS_KEY': self.bucket_secret},
            ),
            'MODAL_TOKEN_ID': (
                self.modal_token_id,
                {'AWS_BUCKET_NAME': self.bucket, 'MODAL_TOKEN_SECRET': self.modal_token_secret},
            ),
            'VARIOSYNC_EVENTS=redis': (self.events == 'redis', {'REDIS_URL': self.redis_url}),
            'VARIOSYNC_EVENTS=realtime': (self.events == 'realtime', {'SUPABASE_URL': self.supabase_url}),
        }
        for name, (value, others) in needs.items():
            missing = [other for other, given in others.items() if not given]
            if value and missing:
                raise ValueError(f'{name} needs {" and ".join(missing)} too')
        if self.environment == 'production':
            self._check_production()
        return self

    def _check_production(self) -> None:
        if not (self.public_url or '').startswith('https://'):
            raise ValueError('VARIOSYNC_ENV=production needs VARIOSYNC_PUBLIC_URL with https://')
        if self.owner_email == Settings.model_fields['owner_email'].default:
            raise ValueError('VARIOSYNC_ENV=production needs VARIOSYNC_OWNER_EMAIL')

    @property
    def mailed_links(self) -> Literal['sent', 'kept'] | None:
        """How a sign-in link reaches people: `sent` by mail, `kept` in this machine's outbox, or not at all."""
        if self.supabase_url or self.smtp_url:
            return 'sent'
        return None if self.environment == 'production' else 'kept'

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
