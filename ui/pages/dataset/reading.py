"""How a file is read: each choice, what came second, how sure it is, and a field that overrules it."""

from collections.abc import Callable, Mapping
from typing import Any

from nicegui import ui

from core.analysis.ingest.rejects import REPAIRS
from core.errors import UsageError
from ui.components import formats
from ui.components.options import explained, group, option
from ui.components.parts import tag

AUTO = ''
OWN = 'own'
ZONES = ('UTC', 'Europe/London', 'Europe/Paris', 'Europe/Berlin', 'America/New_York', 'America/Chicago',
         'America/Los_Angeles', 'Asia/Tokyo', 'Asia/Kolkata', 'Australia/Sydney')  # fmt: skip
ENCODINGS = {'utf-8': 'UTF-8', 'utf-8-sig': 'UTF-8 (with BOM)', 'utf-16-le': 'UTF-16 LE', 'utf-16-be': 'UTF-16 BE',
             'cp1252': 'Windows 1252', 'latin-1': 'Latin-1', 'shift_jis': 'Shift JIS',
             'gb18030': 'GB 18030'}  # fmt: skip
DELIMITERS = {',': 'comma', ';': 'semicolon', '\t': 'tab', '|': 'bar', ' ': 'space'}
QUOTES = {'"': 'double quote', "'": 'single quote', 'none': 'none'}
COMMENTS = {
    **{'#': 'number sign', '//': 'two slashes', ';': 'semicolon', '%': 'percent sign', '--': 'two hyphens'},
    'none': 'none',
}
ESCAPES = {'"': 'a doubled quote', '\\': 'backslash', 'none': 'none'}
SHAPES = {'auto': 'as found', 'long': 'long: a row is one time', 'wide': 'wide: columns are times or series'}
INTO = {AUTO: 'as found', 'period': 'times', 'series': 'series'}
DUPLICATES = {
    'auto': 'the last, unless most would go',
    'last': 'the last one',
    'first': 'the first one',
    'mean': 'the mean of all',
    'sum': 'the sum of all',
}
DATES = {AUTO: 'as found', 'day': 'day first', 'month': 'month first'}
DECIMALS = {AUTO: 'as found', '.': 'point', ',': 'comma'}
NAMES = {
    'padding': 'Padding',
    'number_format': 'Number formats',
    'null_spelling': 'Missing values',
    'unit': 'Units',
    'duplicate': 'Duplicates',
    'date_format': 'Time formats',
    'guard': 'Apostrophes of downloads',
}
TEXTS = {'shape': 'A wide table is made long.', 'duplicates': 'The others are rejected and listed.'}
STRUCTURE = ('reading', 'shape', 'melt')
"""What may give the table other columns."""


class Reading:
    """Fields for the options of a conversion; `found` is what the reader told, `asked` what it was told before."""

    def __init__(
        self,
        *,
        found: Mapping[str, Mapping[str, Any]],
        asked: Mapping[str, Any],
        zone: str = 'UTC',
        on_change: Callable[[], Any] = lambda: None,
    ) -> None:
        self.found = found
        self.zone = zone
        self.asked = {
            'reading': dict(asked.get('reading') or {}),
            'shape': asked.get('shape', 'auto'),
            'melt': dict(asked.get('melt') or {}),
            'off': sorted(asked.get('off') or ()),
            'duplicates': asked.get('duplicates', 'auto'),
            'day_first': asked.get('day_first'),
            'decimal': asked.get('decimal'),
            'time_zone': zone,
        }
        self.chosen: dict[str, Any] = {**self.asked, 'reading': dict(self.asked['reading'])}
        self.chosen['melt'] = dict(self.asked['melt'])
        self.on_change = on_change

    def changes(self) -> dict[str, Any]:
        """Return the options that differ from those of before."""
        return {name: value for name, value in self.chosen.items() if value != self.asked[name]}

    # fields

    def draw_file(self, name: str = '') -> None:
        """Draw what the file as a text is: its encoding, its signs, its lines and its parts.

        Of a file that could not be read, its `name` tells whether it has parts.
        """
        with tag('div', classes='form-3 body'):
            for label, part, options in (
                ('Encoding', 'encoding', ENCODINGS),
                ('Delimiter', 'delimiter', DELIMITERS),
                ('Quotation mark', 'quote', QUOTES),
                ('Escape', 'escape', ESCAPES),
                ('Start of comments', 'comment', COMMENTS),
            ):
                if self._matters(part):
                    self._choice(label, part, options)
            for label, part, most in (
                ('Lines above the table', 'skip', 1_000_000),
                ('Header lines', 'header_lines', 20),
            ):
                if self._matters(part):
                    self._number(label, part, most=most)
            for label, part, suffix in (('Sheet', 'sheet', '.xlsx'), ('File in the archive', 'member', '.zip')):
                if part in self.found or part in self.asked['reading'] or name.lower().endswith(suffix):
                    names = self.found.get(part, {}).get('options') or ()
                    self._choice(label, part, {name: name for name in names})

    def _matters(self, part: str) -> bool:
        """Whether a part of the reading can be told of this file: a workbook has no delimiter."""
        return not self.found or part in self.found or part in self.asked['reading']

    def draw_values(self) -> None:
        """Draw what rows and cells mean."""
        with tag('div', classes='form-3 body'):
            self._select('Table', SHAPES, 'shape')
            with explained('Columns of a wide table are', 'Only where the table is wide.'):
                select = ui.select(INTO, value=self.chosen['melt'].get('into', AUTO))
                select.props['aria-label'] = 'Columns of a wide table are'
            select.on_value_change(lambda event: self._put(self.chosen['melt'], 'into', event.value or None))
            self._select('Of records of one series and time, store', DUPLICATES, 'duplicates')
            with explained('Zone of stamps that name none', 'Times are stored in UTC.'):
                zones = list(dict.fromkeys([self.zone, *ZONES]))
                select = ui.select(zones, value=self.zone, with_input=True)
                select.props['aria-label'] = 'Zone of stamps that name none'
            select.on_value_change(lambda event: self._set('time_zone', event.value or self.zone))
            day = {True: 'day', False: 'month', None: AUTO}
            with explained('Dates such as 03/04/2025', 'Asked where a column leaves it open.'):
                select = ui.select(DATES, value=day[self.asked['day_first']])
                select.props['aria-label'] = 'Dates such as 03/04/2025'
            select.on_value_change(
                lambda event: self._set('day_first', {'day': True, 'month': False}.get(event.value or ''))
            )
            with explained('Decimal mark', 'Decided by the whole column.'):
                select = ui.select(DECIMALS, value=self.asked['decimal'] or AUTO)
                select.props['aria-label'] = 'Decimal mark'
            select.on_value_change(lambda event: self._set('decimal', event.value or None))

    def draw_repairs(self, counts: Mapping[str, int]) -> None:
        """Draw a switch for each repair, with how much it put right."""
        with group('Repairs'):
            for name, text in REPAIRS.items():
                noun = 'record' if name == 'duplicate' else 'cell'
                many = counts.get(name, 0)
                option(
                    NAMES.get(name, name),
                    text,
                    on=name not in self.asked['off'],
                    on_change=lambda on, name=name: self._switch(name, on),
                    state=(formats.counted(many, noun), 'acc') if many else None,
                )

    def _choice(self, label: str, name: str, options: Mapping[str, str]) -> None:
        """One of the usual values, what was found, what came second, or a text of one's own."""
        asked = self.asked['reading'].get(name)
        told = self.found.get(name) or {}
        options = dict(options)
        for other in (told.get('value'), told.get('runner_up')):
            if isinstance(other, str) and other:
                options.setdefault(other, f'\u2018{other}\u2019')
        value = 'none' if asked == '' else asked
        known = value is None or value in options
        with tag('div', classes='vs gap-s'):
            with explained(label, self._said(name, options)):
                shown = {AUTO: 'as found', **options, OWN: 'other…'}
                select = ui.select(shown, value=(value or AUTO) if known else OWN)
                select.props['aria-label'] = label
            own = ui.input(value='' if known else value, placeholder='As it is written')
            own.props['aria-label'] = f'{label}, as it is written'
            own.set_visibility(not known)

        def pick(chosen: str) -> None:
            own.set_visibility(chosen == OWN)
            text = own.value or None if chosen == OWN else {'none': ''}.get(chosen, chosen or None)
            self._put(self.chosen['reading'], name, text)

        select.on_value_change(lambda event: pick(event.value or AUTO))
        own.on_value_change(lambda event: pick(OWN))

    def _number(self, label: str, name: str, *, most: int) -> None:
        with explained(label, self._said(name, {})):
            field = ui.number(value=self.asked['reading'].get(name), min=0, max=most, precision=0)
            field.props['placeholder'] = 'as found'
            field.props['aria-label'] = label
        field.on_value_change(
            lambda event: self._put(
                self.chosen['reading'], name, None if event.value in (None, '') else int(event.value)
            )
        )

    def _select(self, label: str, options: Mapping[str, str], name: str) -> None:
        with explained(label, TEXTS[name]):
            select = ui.select(dict(options), value=self.asked[name])
            select.props['aria-label'] = label
        select.on_value_change(lambda event: self._set(name, event.value or 'auto'))

    def _said(self, name: str, options: Mapping[str, str]) -> str:
        """What was found, how sure that is and what came second."""
        told = self.found.get(name)
        if not told or told.get('value') is None:
            return 'Not told for this file.' if self.found else ''
        parts = [written(told['value'], options)]
        if told.get('asked'):
            parts.append('as you asked')
        else:
            parts.append(f'{formats.percent(told.get("confidence", 1.0), 0)} sure')
        if told.get('runner_up') is not None:
            parts.append(f'next {written(told["runner_up"], options)}')
        return ', '.join(parts)

    def _put(self, of: dict[str, Any], name: str, value: Any) -> None:
        of.pop(name, None)
        if value is not None:
            of[name] = value
        self.on_change()

    def _set(self, name: str, value: Any) -> None:
        self.chosen[name] = value
        self.on_change()

    def _switch(self, name: str, on: bool) -> None:
        self.chosen['off'] = sorted({*self.chosen['off']} - {name} if on else {*self.chosen['off'], name})
        self.on_change()


def written(value: Any, options: Mapping[str, str]) -> str:
    """How a choice is said: `semicolon`, `none`, `2`, `\u2018::\u2019`."""
    if value == '':
        return 'none'
    if isinstance(value, str) and value in options:
        return options[value]
    return formats.number(value) if isinstance(value, int) else str(value)


def roles_to_send(
    shown: Mapping[str, str], chosen: Mapping[str, str], changes: Mapping[str, Any]
) -> dict[str, dict[str, str]]:
    """Return the roles that go along: all that are shown once one was changed, and those chosen alone where the table
    may get other columns. Raise UsageError when two columns are to be the time."""
    roles = dict(chosen) if any(name in changes for name in STRUCTURE) else {**shown, **chosen}
    if list(roles.values()).count('time') > 1:
        raise UsageError('Only one column can be the time. Choose one and make the others attributes.')
    structural = any(name in changes for name in STRUCTURE)
    return {'roles': roles} if chosen or structural else {}
