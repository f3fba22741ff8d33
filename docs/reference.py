"""The reference that the code tells of itself: `python -m docs.reference` writes it, a test holds the docs to it.

What is written by hand stays: only what stands between `<!-- made: NAME -->` and `<!-- made -->` is replaced.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, cast

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from core import errors
from core.analysis.ingest import Options, convert, manifest, parts, pyramid
from core.settings import Settings
from ui.api import contract, rest
from ui.cli import commands

DOCS = Path(__file__).parent
PAGES = ('cli.md', 'rest.md', 'ENV_VARS.md', 'dataset-format.md')
MADE = re.compile(r'(<!-- made: (\w+) -->\n).*?(<!-- made -->)', re.S)
ANY = SimpleNamespace()

GROUPS: Mapping[str, str] = {
    'Server': r'VARIOSYNC_(HOME|HOST|PORT|PUBLIC_URL|TRUSTED_PROXIES|ENV|OWNER_EMAIL|DEMO|METRICS\w+|LOG\w+|SHUT\w+)',
    'Work, limits and prices': r'VARIOSYNC_(WORKERS|TASK_\w+|MAX_UPLOAD|RATE_LIMIT|TRIAL_HOURS|PRICES)',
    'Sending files to a server': r'VARIOSYNC_(SERVER|API_KEY)',
    'Postgres': r'DATABASE_\w+',
    'Signing in and mail': r'SUPABASE_\w+|VARIOSYNC_(PROVIDERS|OIDC|SMTP_URL|MAIL_FROM)',
    'Objects: Wasabi or another S3': r'AWS_\w+|VARIOSYNC_OBJECT_CACHE',
    'Redis and messages': r'REDIS_URL|VARIOSYNC_EVENTS',
    'Modal': r'MODAL_\w+|VARIOSYNC_MODAL_APP',
}
SIZES = ('memory', 'max_upload', 'object_cache')


def main() -> None:
    """Write every page anew."""
    for name in PAGES:
        path = DOCS / name
        path.write_text(filled(path.read_text(encoding='utf-8')), encoding='utf-8')


def filled(text: str) -> str:
    """Return a page with what the code says now between its marks."""
    return MADE.sub(lambda found: f'{found[1]}\n{MAKERS[found[2]]().strip()}\n\n{found[3]}', text)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown, without the columns that are empty in every row."""
    rows = list(rows)
    kept = [place for place, head in enumerate(heads) if head and any(row[place] for row in rows)]
    lines = [[heads[place] for place in kept], ['---'] * len(kept), *([row[place] for place in kept] for row in rows)]
    return '\n'.join('| ' + ' | '.join(cell.replace('|', r'\|') for cell in line) + ' |' for line in lines)


def _code(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f'`{text}`' if text else ''


def _words(text: str | None) -> str:
    return ' '.join((text or '').split())


# the command line


def cli() -> str:
    """Every command with what it takes."""
    return '\n\n'.join(_command(name, one) for name, one in command_tree())


def command_tree() -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its whole name such as `variosync hours grant`."""

    def below(name: str, group: Any) -> Iterator[tuple[str, Any]]:
        for word, one in group.commands.items():
            if hasattr(one, 'commands'):
                yield from below(f'{name} {word}', one)
            else:
                yield f'{name} {word}', one

    # Commands are only described here: none of them asks its root for anything.
    return below('variosync', typer.main.get_command(commands(cast(Any, ANY))))


def _command(name: str, one: Any) -> str:
    arguments = [parameter for parameter in one.params if type(parameter).__name__ == 'TyperArgument']
    options = [parameter for parameter in one.params if parameter not in arguments]
    usage = ' '.join([name, *map(_place, arguments), *(['[OPTIONS]'] if options else [])])
    told = [_words(part) for part in one.help.split('\n\n')]
    rows = [
        (_option(parameter), _argument(parameter), _default(parameter), _words(parameter.help))
        for parameter in (*arguments, *options)
    ]
    table = [_table(('option', 'takes', 'default', 'meaning'), rows)] if rows else []
    return '\n\n'.join([f'## {name}', f'`{usage}`', *told, *table])


def _place(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _option(parameter: Any) -> str:
    words = [*parameter.opts, *parameter.secondary_opts] if hasattr(parameter, 'is_flag') else [_place(parameter)]
    return ', '.join(map(_code, words))


def _argument(parameter: Any) -> str:
    """What a parameter of the command line takes."""
    if getattr(parameter, 'is_flag', False):
        return ''
    if parameter.metavar and hasattr(parameter, 'is_flag'):
        return _code(parameter.metavar)
    kind = {int: 'integer', float: 'number', Path: 'file', datetime: 'day'}.get(parameter.type_descriptor.annotation)
    if kind not in ('integer', 'number'):
        return kind or 'text'
    limits = {'minimum': parameter.min, 'maximum': parameter.max}
    return f'{kind} {_bounds({name: one for name, one in limits.items() if one is not None})}'.strip()


def _default(parameter: Any) -> str:
    if parameter.required:
        return 'required'
    return '' if parameter.default is None or parameter.default is False else _code(parameter.default)


# settings


def settings() -> str:
    """Every setting, in groups."""
    told = list(Settings.model_fields.values())
    sections = []
    for title, pattern in GROUPS.items():
        rows = [_setting(name, one) for name, one in Settings.model_fields.items() if _is_in(pattern, one)]
        told = [one for one in told if not _is_in(pattern, one)]
        sections.append(f'## {title}\n\n{_table(("variable", "takes", "default", "meaning"), rows)}')
    if told:
        raise LookupError(f'No group has {", ".join(str(one.alias) for one in told)}.')
    return '\n\n'.join(sections)


def _is_in(pattern: str, one: FieldInfo) -> bool:
    return re.fullmatch(pattern, str(one.alias)) is not None


def _setting(name: str, one: FieldInfo) -> tuple[str, str, str, str]:
    schema = Settings.model_json_schema(by_alias=False)['properties'][name]
    takes = 'size' if name in SIZES else 'secret' if 'SecretStr' in str(one.annotation) else _takes(schema)
    takes = {'Prices': 'JSON', 'object of Issuer': 'JSON', 'list of text': 'JSON'}.get(takes, takes).removesuffix(
        ' or null'
    )
    default = one.default
    if isinstance(default, BaseModel):
        default = default.model_dump()
    elif isinstance(default, Path):
        default = str(default)
    return _code(one.alias), takes, '' if default is None else _code(default), _words(one.description)


# REST


@cache
def openapi() -> dict[str, Any]:
    """The OpenAPI document of `/api/v1/openapi.json`."""
    return rest.describe(rest.routers(_Undefined(), sockets=_Undefined(), origins=_Undefined()))


class _Undefined:
    """Services that routes may name and that nobody asks."""

    def __getattr__(self, name: str) -> '_Undefined':
        return self


def routes() -> str:
    """Every operation, by part of the interface."""
    document = openapi()
    sections: dict[str, list[str]] = {}
    for path, operations in document['paths'].items():
        for method, operation in operations.items():
            told = _operation(method, path.removeprefix(contract.ROOT), operation, document)
            sections.setdefault(operation['tags'][0], []).append(told)
    return '\n\n'.join(f'## {tag.capitalize()}\n\n' + '\n\n'.join(told) for tag, told in sections.items())


COMMON = ('400', '401', '403', '429', '503')


def _operation(method: str, path: str, operation: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    scopes = next((one['bearer'] for one in operation.get('security', ()) if 'bearer' in one), None)
    if scopes is None:
        who = 'Needs nobody to be signed in.'
    elif scopes == ['person']:
        who = 'Needs a session; no API key will do.'
    else:
        who = f'Needs {" and ".join(map(_code, scopes))}.' if scopes else 'Needs a session or any API key.'
    answers = operation['responses']
    good = ', '.join(_answer(status, one) for status, one in answers.items() if status < '400')
    bad = [status for status in answers if status >= '400' and status not in COMMON]
    what = [f'{operation["summary"]}.', _words(operation.get('description')), who]
    told = [f'### {method.upper()} {path}', ' '.join(filter(None, what))]
    rows = [
        (
            _code(one['name']),
            one['in'],
            _takes(one['schema']).removesuffix(' or null'),
            _absent(one),
            _words(one.get('description')),
        )
        for one in operation.get('parameters', ())
        if one['in'] != 'path' or not {'uuid', 'integer'} & {one['schema'].get('format'), one['schema'].get('type')}
    ]
    if rows:
        told.append(_table(('parameter', 'in', 'takes', 'default', 'meaning'), rows))
    for kind, body in operation.get('requestBody', {}).get('content', {}).items():
        schema = _resolved(body.get('schema', {}), document)
        if schema.get('properties'):
            told += ['Body:', _members(schema)]
        else:
            told.append(f'Body: {kind}.')
    return '\n\n'.join([*told, f'Answers {good}.' + (f' Also {", ".join(bad)}.' if bad else '')])


def _answer(status: str, answer: Mapping[str, Any]) -> str:
    kinds = [
        _takes(one['schema']) if kind == 'application/json' else _code(kind)
        for kind, one in answer.get('content', {}).items()
    ]
    return f'{status} {" or ".join(kinds)}'.strip()


def _members(schema: Mapping[str, Any]) -> str:
    required = schema.get('required', ())
    rows = [
        (
            _code(name),
            _takes(one),
            'required' if name in required else _absent({'schema': one}),
            _words(one.get('description') or _inner(one).get('description')),
        )
        for name, one in schema['properties'].items()
    ]
    return _table(('member', 'takes', 'default', 'meaning'), rows)


def _inner(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((one for one in schema.get('anyOf', ()) if one.get('type') != 'null'), schema)


def _absent(parameter: Mapping[str, Any]) -> str:
    if parameter.get('required'):
        return 'required'
    default = parameter['schema'].get('default')
    return '' if default is None or default in ('', [], {}) else _code(default)


def _resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    if '$ref' in schema:
        return cast(Mapping[str, Any], document['components']['schemas'][schema['$ref'].rpartition('/')[2]])
    return schema


def _named(schema: str) -> str:
    """The name of a schema: where two have the same, with the module it is from."""
    return '.'.join(schema.split('__')[-2:])


def _takes(schema: Mapping[str, Any]) -> str:
    """What a value may be, in words."""
    if '$ref' in schema:
        return _named(schema['$ref'].rpartition('/')[2])
    if 'anyOf' in schema:
        return ' or '.join(dict.fromkeys(_takes(one) for one in schema['anyOf']))
    if 'enum' in schema:
        return ', '.join(map(_code, schema['enum']))
    if 'const' in schema:
        return _code(schema['const'])
    kind = schema.get('type', 'any')
    if kind == 'array':
        if 'prefixItems' in schema:
            return f'[{", ".join(map(_takes, schema["prefixItems"]))}]'
        most = f', at most {schema["maxItems"]}' if 'maxItems' in schema else ''
        return f'list of {_takes(schema.get("items", {}))}{most}'
    if kind == 'object':
        inner = schema.get('additionalProperties')
        return f'object of {_takes(inner)}' if isinstance(inner, dict) and inner else 'object'
    if kind in ('integer', 'number'):
        return f'{kind} {_bounds(schema)}'.strip()
    return str({'string': schema.get('format', 'text'), 'boolean': 'true or false'}.get(kind, kind))


def _bounds(schema: Mapping[str, Any]) -> str:
    low = schema.get('minimum', schema.get('exclusiveMinimum'))
    high = schema.get('maximum', schema.get('exclusiveMaximum'))
    above = 'above ' if 'exclusiveMinimum' in schema else ''
    high = None if high is not None and high >= 2**31 - 1 else high
    if high is not None:
        return f'{above}{low:g} to {high:g}' if low is not None else f'to {high:g}'
    return f'{above}{low:g}{"" if above else " or more"}' if low is not None else ''


def values() -> str:
    """The values that answers hold."""
    schemas = openapi()['components']['schemas']
    rows = []
    for name, schema in sorted(schemas.items(), key=lambda item: _named(item[0])):
        members = ', '.join(f'`{member}` {_takes(one)}' for member, one in schema.get('properties', {}).items())
        rows.append((f'**{_named(name)}**', members or _takes(schema), _words(schema.get('description'))))
    return _table(('value', 'members', 'meaning'), rows)


def problems() -> str:
    """The statuses of errors and the codes that come with them."""
    named = vars(errors).values()
    kinds = [one for one in named if isinstance(one, type) and issubclass(one, errors.VariosyncError)]
    codes: dict[int, list[str]] = {}
    for kind in kinds:
        codes.setdefault(kind.status, []).append(_code(kind().code))
    rows = [(str(status), ', '.join(codes.get(status, [])), meaning) for status, meaning in contract.PROBLEMS.items()]
    return _table(('status', 'codes', 'meaning'), rows)


# stored datasets


def stored() -> str:
    """The columns of every Parquet file of a version: of one that is made here."""
    import duckdb

    with TemporaryDirectory() as folder:
        source, into = Path(folder) / 'file.csv', Path(folder) / 'version'
        source.write_text('ds,y\n' + ''.join(f'2024-01-{day:02},{day}\n' for day in range(1, 29)), encoding='utf-8')
        into.mkdir()
        convert(source, name='file.csv', into=into, options=Options(), progress=lambda share, text: None)
        rows = []
        for file in sorted(into.glob('*.parquet')):
            found = duckdb.sql(f"DESCRIBE SELECT * FROM '{file}'").fetchall()
            own = [(name, kind) for name, kind, *_ in found if not file.name.startswith('data') or name[0] == '_']
            rows.append((_code(file.name), ', '.join(f'`{name}` {kind}' for name, kind in own)))
    return _table(('file', 'columns'), rows)


def sizes() -> str:
    """The figures that the format is made by."""
    rows = [
        ('rows of a row group', f'{parts.ROW_GROUP:,}'),
        ('row groups of a part', f'{parts.GROUPS_A_FILE}'),
        ('values of a line from which it has a pyramid', f'{pyramid.SMALL:,}'),
        ('values of a bucket of level 0, about', f'{pyramid.PER_BUCKET}'),
        ('widths of a level in one of the next', f'{pyramid.FACTOR}'),
        ('buckets of a line at which its levels end', f'{pyramid.TOP}'),
    ]
    return _table(('figure', 'value'), rows)


def manifest_keys() -> str:
    """The manifest's dataclasses."""
    kinds = {
        'The manifest': manifest.Manifest,
        '`source`': manifest.SourceFile,
        '`sources[]`': manifest.Source,
        '`columns[]` and `base[]`': manifest.ColumnProfile,
        '`columns[].histogram`': manifest.Histogram,
        '`time`': manifest.TimeProfile,
        '`series`': manifest.SeriesProfile,
        '`files[]`': manifest.StoredFile,
    }
    return '\n\n'.join(
        f'### {title}\n\n{_words(kind.__doc__)}\n\n{_table(("key", "holds", "default"), map(_key, fields(kind)))}'
        for title, kind in kinds.items()
        if is_dataclass(kind)
    )


PLAIN = {'str': 'text', 'int': 'integer', 'float': 'number', 'bool': 'true or false', 'Any': 'any', 'None': 'null'}


def _key(one: 'Field[Any]') -> tuple[str, str, str]:
    default = one.default_factory() if one.default_factory is not MISSING else one.default
    absent = '' if default is MISSING else _code({(): [], None: None}.get(default, default) if default != {} else {})
    written = one.type.__name__ if isinstance(one.type, type) and not hasattr(one.type, '__args__') else str(one.type)
    return _code(one.name), _plainly(written), absent


def _plainly(written: str) -> str:
    """A type of Python as the JSON that it becomes."""
    for name in ('typing.', 'collections.abc.', 'core.analysis.ingest.manifest.'):
        written = written.replace(name, '')
    if found := re.fullmatch(r'tuple\[(.+), \.\.\.\]', written):
        return f'list of {_plainly(found[1])}'
    if found := re.fullmatch(r'Mapping\[str, (.+)\]', written):
        return f'object of {_plainly(found[1])}'
    return ' or '.join(PLAIN.get(part, part) for part in written.split(' | '))


MAKERS: Mapping[str, Callable[[], str]] = {
    'cli': cli,
    'settings': settings,
    'routes': routes,
    'values': values,
    'problems': problems,
    'stored': stored,
    'sizes': sizes,
    'manifest': manifest_keys,
}

if __name__ == '__main__':
    main()
