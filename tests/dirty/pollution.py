"""Plain tables, each polluted in one way at a time, with the table that a careful person would read.

Where `tests/dirty/classes.py` tells what the product promises, this set is written from what is published about files
in the wild: RFC 4180; the pollutions that G. Vitagliano et al. counted on open data portals ("Pollock: a data loading
benchmark", VLDB 2023); the dialects that G. van den Burg et al. met ("Wrangling messy CSV files by detecting row and
type patterns", 2019). Every pollution meets every table it can be applied to, those with a place at several places.

What is meant is read as follows. A record has the cells of the header: what is missing is empty at its end, an empty
cell too many is none. A quote that opens or closes nothing is text. Lines around the table and smaller tables below it
are not the table; below the same names it goes on. Rows of names are joined from top to bottom.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from tests.dirty.tables import Row, line, write

Table = list[Row]
Parts = Iterator[tuple[str, str | bytes, Table]]
"""Of each file: where the pollution stands, what is in the file, the table it means."""

POLLUTIONS: dict[str, Callable[[Table, random.Random], Parts]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Polluted:
    """A polluted file: its bytes and the table it means, names first."""

    name: str
    pollution: str
    source: str
    data: bytes
    table: Table


def polluted(
    seed: int = 7, *, sources: Sequence[str] = (), pollutions: Sequence[str] = (), share: float = 1.0
) -> Iterator[Polluted]:
    """Every pollution of every table, or of those named; the same for a seed. `share` takes a part of the places."""
    for source in sources or SOURCES:
        for pollution, maker in POLLUTIONS.items():
            if pollutions and pollution not in pollutions:
                continue
            draw = random.Random(f'{seed}/{source}/{pollution}')
            table = SOURCES[source](random.Random(f'{seed}/{source}'))
            for place, data, meant in maker(table, draw):
                if draw.random() >= share:
                    continue
                yield Polluted(
                    name=f'{source}-{pollution}{place and "-"}{place}.csv',
                    pollution=pollution,
                    source=source,
                    data=data if isinstance(data, bytes) else data.encode(),
                    table=[list(row) for row in meant if row],
                )


# The tables


def _days(draw: random.Random, count: int, form: str) -> list[str]:
    start = date(draw.randint(2015, 2022), draw.randint(1, 12), draw.randint(1, 28))
    return [(start + timedelta(days=index)).strftime(form) for index in range(count)]


def _orders(draw: random.Random) -> Table:
    """Dates, clocks, money, addresses, and texts that hold commas."""
    rows = [['DATE', 'TIME', 'Units', 'ArticleID', 'Amount', 'Kind', 'Details', 'Link', 'Remarks']]
    things = (
        ('GARDEN', 'Hose, green, 20 m', 'hoses/green'),
        ('KITCHEN', 'Bread knife', 'knives/bread'),
        ('OFFICE', 'Pencils (12), assorted', 'pencils/12'),
        ('GARDEN', 'Rake', 'tools/rake'),
        ('HOME', 'Curtain, linen', 'curtains/linen'),
    )
    for day in _days(draw, 40, '%m/%d/%Y'):
        kind, details, link = draw.choice(things)
        remark = draw.choice(('', '', 'paid', 'call first, then deliver', 'gift'))
        clock = f'{draw.randint(8, 19)}:{draw.randint(10, 59)}'
        number = f'{draw.choice("AKR")}{draw.randint(100, 999)}-{draw.randint(1, 9)}'
        units, amount = str(draw.randint(1, 60)), f'{draw.uniform(2, 300):.2f}'
        rows.append([day, clock, units, number, amount, kind, details, f'http://shop.example/{link}?ref=7', remark])
    return rows


def _weather(draw: random.Random) -> Table:
    start = datetime(draw.randint(2012, 2022), draw.randint(1, 12), 3)
    rows = [['Timestamp', 'Temp (C)', 'Wind', 'Gust', 'Rain mm', 'Station']]
    for index in range(60):
        rows.append(
            [
                (start + timedelta(minutes=30 * index)).strftime('%Y-%m-%d %H:%M:%S'),
                f'{draw.uniform(-12, 25):.1f}',
                str(draw.randint(0, 20)),
                draw.choice(('', str(draw.randint(20, 40)))),
                f'{draw.uniform(0, 4):.2f}',
                draw.choice(('EDDF', 'LOWW', 'ENGM')),
            ]
        )
    return rows


def _survey(draw: random.Random) -> Table:
    """Codes, truth values, grades and many gaps."""
    rows = [['id', 'region', 'member', 'grade', 'answer', 'reason']]
    for index in range(35):
        reason = draw.choice(('', '', 'too far', 'price', 'no time'))
        member, grade = draw.choice(('yes', 'no')), draw.choice('12345')
        rows.append(
            [f'P{index + 1:03}', draw.choice(('N', 'S', 'E', 'W')), member, grade, draw.choice(('A', 'B', '')), reason]
        )
    return rows


def _counter(draw: random.Random) -> Table:
    return [['visitors'], *([str(draw.randint(100, 9000))] for _ in range(25))]


def _balance(draw: random.Random) -> Table:
    """Three records."""
    return [
        ['Quarter', 'Revenue', 'Costs', 'Note'],
        *([f'2021-Q{index}', f'{draw.uniform(1, 9):.1f}', f'{draw.uniform(1, 9):.1f}', 'final'] for index in (1, 2, 3)),
    ]


def _meter(draw: random.Random) -> Table:
    """Thousands of records."""
    start = datetime(2020, 1, 5)
    return [
        ['time', 'meter', 'kWh', 'state'],
        *(
            [
                (start + timedelta(minutes=15 * index)).isoformat(),
                f'M-{index % 7}',
                f'{draw.uniform(0, 3):.3f}',
                draw.choice(('ok', 'ok', 'est')),
            ]
            for index in range(2500)
        ),
    ]


def _invoices(draw: random.Random) -> Table:
    """Of other order and forms than the orders, with quotes and apostrophes in texts."""
    rows = [['No', 'Customer', 'Issued', 'Net', 'VAT rate', 'Street', 'Mail', 'Description']]
    for index, day in enumerate(_days(draw, 45, '%d.%m.%Y')):
        name = draw.choice(("O'Neill Ltd", 'Meyer, Huber & Co', 'Acme', 'North Sea Fish', 'Dupont SA'))
        street = draw.choice(('12 High St, Leeds', 'Am Markt 3', '5 rue du Port, Brest', ''))
        text = draw.choice(
            ('Repair of the pump', 'Screws 3/4, boxed', 'Consulting; May', '', 'the so-called "big" one')
        )
        mail = f'{draw.choice(("info", "office", "anna.b"))}@{draw.choice(("mail", "post"))}.example'
        rate = draw.choice(('19%', '7%'))
        rows.append([str(4711 + index), name, day, f'{draw.uniform(10, 5000):.2f}', rate, street, mail, text])
    return rows


def _people(draw: random.Random) -> Table:
    """No number at all."""
    rows = [['first name', 'last name', 'town', 'profession', 'languages']]
    for _ in range(30):
        rows.append(
            [
                draw.choice(('Ada', 'Ben', 'Carla', 'Dinesh', 'Eva Maria')),
                draw.choice(('Smith', 'Novak', 'Rossi', 'van Dyck', 'Yilmaz')),
                draw.choice(('Rome', 'New York', 'Oslo', 'Cape Town', '')),
                draw.choice(('nurse', 'teacher', 'tax adviser', 'pilot')),
                draw.choice(('English', 'English, French', 'Hindi', 'Dutch, Czech')),
            ]
        )
    return rows


def _rates(draw: random.Random) -> Table:
    """Names of several words with brackets, strokes and dots, and numbers with decimal commas."""
    rows = [['Period (UTC/BST)', 'Rate [EUR/MWh]', 'Volume - total [MW]', 'Flag n/e']]
    for day in _days(draw, 30, '%d/%m/%Y 00:00'):
        rate = f'{draw.uniform(-5, 90):.2f}'.replace('.', ',')
        rows.append([f'{day} - {day[:-5]}01:00', rate, str(draw.randint(1000, 9999)), draw.choice(('n/e', '-', ''))])
    return rows


def _titles(draw: random.Random) -> Table:
    """One column of texts."""
    firsts, seconds = ('The road', 'A letter', 'Night', 'Two sons', 'Winter'), ('home', 'to Anna', 'at sea', 'of war')
    return [['title'], *([f'{draw.choice(firsts)} {draw.choice(seconds)}'] for _ in range(22))]


def _pair(draw: random.Random) -> Table:
    """One record."""
    return [['city', 'population', 'founded'], ['Graz', str(draw.randint(200_000, 300_000)), '1128']]


def _panel(draw: random.Random) -> Table:
    """Many columns."""
    months = [f'{year}-{month:02}' for year in (2018, 2019, 2020, 2021) for month in range(1, 13)]
    return [
        ['country', 'unit', *months],
        *(
            [name, draw.choice(('kt', 'TJ')), *(draw.choice((':', '')) if draw.random() < 0.03 else
             f'{draw.uniform(0, 900):.1f}' for _ in months)]
            for name in ('Austria', 'Belgium', 'Cyprus', 'Denmark', 'Estonia', 'Finland', 'Greece', 'Hungary')
        ),
    ]  # fmt: skip


def _log(draw: random.Random) -> Table:
    """Thousands of records with texts."""
    rows = [['stamp', 'level', 'host', 'message']]
    texts = ('started', 'disk full, cleaning up', 'user "root" signed in', 'took 35 ms', 'retry; attempt 2 of 3')
    for index in range(2000):
        stamp = (datetime(2022, 3, 1) + timedelta(seconds=37 * index)).strftime('%Y-%m-%dT%H:%M:%SZ')
        rows.append([stamp, draw.choice(('INFO', 'WARN')), f'srv{draw.randint(1, 9)}', draw.choice(texts)])
    return rows


def _requests(draw: random.Random) -> Table:
    """Lines of a server's log: brackets, slashes, semicolons and quotes within cells."""
    rows = [['client', 'received', 'request', 'status', 'bytes', 'agent']]
    agents = ('curl/7.81.0', 'Mozilla/5.0 (X11; Linux x86_64)', 'Mozilla/5.0 (iPhone; CPU iPhone OS 15_4), mobile', '-')
    start = datetime(2021, draw.randint(1, 12), 9, 6)
    for index in range(50):
        stamp = (start + timedelta(seconds=index * draw.randint(3, 40))).strftime('[%d/%b/%Y:%H:%M:%S +0100]')
        place = draw.choice(('/', '/shop/cart;id=4?x=1,2', '/img/logo.png', '/search?q=%22oak%22&page=2'))
        request = f'{draw.choice(("GET", "POST"))} {place} HTTP/1.1'
        client = f'10.{draw.randint(0, 9)}.{draw.randint(0, 255)}.{draw.randint(1, 254)}'
        status = draw.choice(('200', '200', '304', '404'))
        rows.append(
            [client, stamp, request, status, draw.choice(('-', str(draw.randint(80, 90000)))), draw.choice(agents)]
        )
    return rows


def _places(draw: random.Random) -> Table:
    """Coordinates with signs, and with degrees, minutes and seconds."""
    rows = [['site', 'lat', 'lon', 'height (m)', 'written']]
    for index in range(30):
        lat, lon = draw.uniform(-70, 70), draw.uniform(-170, 170)
        written = f'{abs(lat):.0f}°{draw.randint(10, 59)}\'{draw.randint(10, 59)}"{"NS"[lat < 0]}'
        rows.append([f'S{index + 1:02}', f'{lat:+.5f}', f'{lon:+.5f}', str(draw.randint(-40, 3000)), written])
    return rows


def _catalogue(draw: random.Random) -> Table:
    """Inches, thousands, currencies, measures."""
    rows = [['SKU', 'Product', 'Size', 'Price', 'In stock', 'Weight']]
    things = (
        'Screen 24", matt',
        'Pipe 3/4" x 2 m',
        'Screw M4 (100 pcs.)',
        'Nail 2.5", steel',
        'Board & bracket',
        'Cable',
    )
    for index in range(40):
        price = f'${draw.uniform(1, 4000):,.2f}'
        size = draw.choice(('24"', '3/4"', '10 x 20 x 5', 'XL', ''))
        weight = f'{draw.uniform(0.1, 30):.1f} kg'
        rows.append(
            [f'{draw.choice("BKW")}-{2000 + index}', draw.choice(things), size, price, str(draw.randint(0, 90)), weight]
        )
    return rows


def _voices(draw: random.Random) -> Table:
    """Long answers in several languages, with signs of all sorts."""
    rows = [['respondent', 'language', 'score', 'What could be better?', 'follow-up']]
    told = (
        ('en', "It's fine; I wouldn't change much, except the opening hours (too short!) and the queue at the desk."),
        ('de', 'Mehr Parkplätze, bitte. Außerdem: die Öffnungszeiten am Samstag sind zu kurz – schade.'),
        ('fr', "L'accueil était très agréable, mais l'attente fut longue ; merci d'y penser à l'avenir."),
        ('es', '¿Por qué no abren los domingos? La atención, excelente.'),
        ('it', 'Tutto bene, però il caffè è "caro" e la coda troppo lunga.'),
        ('pt', 'Não há informação suficiente: horários, preços, transportes.'),
        ('en', ''),
        ('de', 'passt'),
    )
    for index in range(32):
        language, text = draw.choice(told)
        rows.append([f'R-{index + 100}', language, draw.choice('12345'), text, draw.choice(('yes', 'no', ''))])
    return rows


def _statement(draw: random.Random) -> Table:
    """Sums with their sign behind, and texts cut by a bank."""
    rows = [['Buchungstag', 'Wertstellung', 'Vorgang', 'Verwendungszweck', 'Umsatz', 'Saldo']]
    balance = 2500.0
    for day in _days(draw, 45, '%d.%m.%y'):
        change = draw.uniform(-900, 800)
        balance += change
        kind = draw.choice(('LASTSCHRIFT', 'GUTSCHRIFT', 'KARTENZAHLUNG', 'DAUERAUFTRAG'))
        text = draw.choice(
            ('MIETE 04/21 HAUS 3', 'SVWZ+ RE-NR. 2021-118, KD 77', 'EREF+ 0001/AB', 'DANKE; BIS BALD', '')
        )
        rows.append([day, day, kind, text, _behind(change), _behind(balance)])
    return rows


def _behind(value: float) -> str:
    """A sum with points between thousands, a decimal comma, and its sign behind it."""
    text = f'{abs(value):,.2f}'.translate(str.maketrans(',.', '.,'))
    return f'{text}{"-" if value < 0 else "+"}'


def _spectrum(draw: random.Random) -> Table:
    """Numbers with exponents, units in names, and words for what was not measured."""
    rows = [['run', 'lambda [nm]', 'flux (W/m^2)', 'sigma', 'ratio I/I0', 'quality']]
    for index in range(50):
        flux, sigma = 10 ** draw.uniform(-7, -2), 10 ** draw.uniform(-9, -4)
        ratio = draw.choice(('NaN', f'{draw.uniform(0, 1):.4f}', f'{draw.uniform(0, 1):.4f}'))
        rows.append(
            [str(index // 10), f'{400 + 2.5 * index:.1f}', f'{flux:.3E}', f'{sigma:.1e}', ratio, draw.choice('AB')]
        )
    return rows


def _addresses(draw: random.Random) -> Table:
    """Nothing to count with: postcodes with zeros in front, telephone numbers."""
    rows = [['Name', 'Street', 'Postcode', 'Town', 'Country', 'Phone']]
    for _ in range(36):
        name = draw.choice(('Dr. Ida Berg', 'Kowalski, Jan', "Mary O'Hara", 'Bäckerei Groß', 'Société Dubois'))
        street = draw.choice(('Hauptstr. 5a', '12, rue Haute', 'Flat 3, 8 Mill Lane', 'ul. Polna 7/2', 'P.O. Box 118'))
        code = draw.choice((f'0{draw.randint(1000, 9999)}', f'{draw.randint(10000, 99999)}', 'EC1A 1BB'))
        phone = draw.choice((f'+49 30 {draw.randint(10000, 99999)}-0', f'(020) 7946 0{draw.randint(100, 999)}', ''))
        rows.append(
            [
                name,
                street,
                code,
                draw.choice(('Lyon', 'Köln', 'Leeds', 'Bad Ems')),
                draw.choice(('DE', 'FR', 'GB')),
                phone,
            ]
        )
    return rows


def _terms(draw: random.Random) -> Table:
    """Two columns of texts, the second long."""
    terms = ('mean', 'median', 'mode', 'range', 'sample', 'census', 'outlier', 'panel', 'cohort', 'quota', 'index',
             'trend', 'season', 'cycle', 'level', 'lag')  # fmt: skip
    ends = (
        'the sum of all values, divided by their number',
        'what stands in the middle',
        'a value far from all others; see also: range',
        'part of a whole, drawn by chance',
        'that which comes back every year',
    )
    return [['term', 'meaning'], *([term, draw.choice(ends)] for term in terms)]


def _keys(draw: random.Random) -> Table:
    """Identifiers and check sums."""
    rows = [['uuid', 'sha1', 'short', 'parent', 'size']]
    for _ in range(40):
        key = f'{draw.getrandbits(128):032x}'
        uuid = '-'.join((key[:8], key[8:12], key[12:16], key[16:20], key[20:]))
        parent = draw.choice(('', rows[-1][2] if len(rows) > 1 else ''))
        rows.append(
            [uuid, f'{draw.getrandbits(160):040x}', f'{draw.getrandbits(28):07x}', parent, str(draw.randint(1, 10**7))]
        )
    return rows


def _sightings(draw: random.Random) -> Table:
    """Mostly empty cells."""
    kinds = ('heron', 'stork', 'kite', 'owl', 'tern', 'gull', 'swift')
    rows = [['day', 'observer', *kinds, 'note']]
    for day in _days(draw, 40, '%Y-%m-%d'):
        counts = [str(draw.randint(1, 30)) if draw.random() < 0.12 else '' for _ in kinds]
        rows.append([day, draw.choice(('jk', 'mm', 'to')), *counts, draw.choice(('', '', '', '', 'fog, no sight'))])
    return rows


def _happenings(draw: random.Random) -> Table:
    """JSON within cells."""
    rows = [['id', 'at', 'event', 'payload', 'tags']]
    for index in range(36):
        at = str(1_600_000_000 + 977 * index)
        event = draw.choice(('login', 'order.created', 'order.paid'))
        payload = draw.choice((
            f'{{"user": {draw.randint(1, 99)}, "ok": true}}',
            f'{{"items": [{{"sku": "A{draw.randint(1, 9)}", "n": 2}}], "total": {draw.uniform(1, 99):.2f}}}',
            '{}',
        ))  # fmt: skip
        rows.append([f'evt_{index:04}', at, event, payload, draw.choice(('[]', '["new", "web"]', '["app"]'))])
    return rows


def _pages(draw: random.Random) -> Table:
    """Addresses that hold delimiters of all sorts."""
    rows = [['rank', 'url', 'referrer', 'visits', 'share']]
    for index in range(40):
        url = draw.choice((
            'https://www.example.org/a;v=1.1/b,c?x=1,2&y=3#top',
            'https://shop.example/p/4711|red',
            'ftp://files.example/pub/list.txt',
            'https://maps.example/@48.2,16.3,12z',
        ))  # fmt: skip
        referrer = draw.choice(('', 'https://search.example/?q=a+b;c', 'mailto:a@b.example,c@d.example'))
        rows.append([str(index + 1), url, referrer, str(draw.randint(10, 90000)), f'{draw.uniform(0, 9):.1f}%'])
    return rows


FIRST: Final = {
    'orders': _orders, 'weather': _weather, 'survey': _survey, 'counter': _counter, 'balance': _balance,
    'meter': _meter,
}  # fmt: skip
"""The tables by which rules were tuned first."""
SECOND: Final = {
    'invoices': _invoices, 'people': _people, 'rates': _rates, 'titles': _titles, 'pair': _pair, 'panel': _panel,
    'log': _log,
}  # fmt: skip
"""The tables that measured those rules, and were tuned by afterwards."""
THIRD: Final = {
    'requests': _requests, 'places': _places, 'catalogue': _catalogue, 'voices': _voices, 'statement': _statement,
    'spectrum': _spectrum, 'addresses': _addresses, 'terms': _terms, 'keys': _keys, 'sightings': _sightings,
    'happenings': _happenings, 'pages': _pages,
}  # fmt: skip
"""The tables kept aside to measure what rules are worth."""
SOURCES: dict[str, Callable[[random.Random], Table]] = {**FIRST, **SECOND, **THIRD}


# How pollutions are written down


def _whole(maker: Callable[[Table], tuple[str | bytes, Table] | None]) -> None:
    """A pollution of the file as a whole; none where it cannot be."""

    def parts(table: Table, draw: random.Random) -> Parts:
        made = maker(table)
        if made:
            yield '', *made

    POLLUTIONS[maker.__name__.strip('_')] = parts


def _as(name: str, form: Callable[[Table], str | bytes | None]) -> None:
    """A pollution that leaves the table as it is."""

    def parts(table: Table, draw: random.Random) -> Parts:
        data = form(table)
        if data is not None:
            yield '', data, table

    POLLUTIONS[name] = parts


def _cells(maker: Callable[[Table, int, int], tuple[str, Row] | None], *, header: bool = False) -> None:
    """A pollution of one cell: `maker` gives the line and the record it means."""

    def parts(table: Table, draw: random.Random) -> Parts:
        last = len(table) - 1
        rows = sorted({*([0] if header else []), 1, (last + 1) // 2, last})
        columns = range(len(table[0])) if len(table[0]) < 12 else (0, 1, 2, 25, len(table[0]) - 1)
        for row in rows:
            for column in columns:
                made = maker(table, row, column)
                if made:
                    text = write(table[:row]) + made[0] + '\n' + write(table[row + 1 :])
                    yield f'{row}-{column}', text, [*table[:row], made[1], *table[row + 1 :]]

    POLLUTIONS[maker.__name__.strip('_')] = parts


def _rows(name: str, form: Callable[[Row], str | None], *, header: bool = False, **dialect: Any) -> None:
    """A pollution of one record, which means what it was."""

    def parts(table: Table, draw: random.Random) -> Parts:
        last = len(table) - 1
        for row in sorted({*([0] if header else []), 1, (last + 1) // 2, last}):
            text = form(table[row])
            if text is not None:
                yield str(row), write(table[:row], **dialect) + text + '\n' + write(table[row + 1 :], **dialect), table

    POLLUTIONS[name] = parts


# Files and tables


@_whole
def no_payload(table: Table) -> tuple[str, Table]:
    return '', []


@_whole
def header_only(table: Table) -> tuple[str, Table]:
    return write(table[:1]), table[:1]


@_whole
def one_data_row(table: Table) -> tuple[str, Table]:
    return write(table[:2]), table[:2]


@_whole
def five_data_rows(table: Table) -> tuple[str, Table]:
    return write(table[:6]), table[:6]


def _telling(table: Table) -> bool:
    """Whether it shows that a first record is no header: a column of numbers or dates."""
    return len(table) > 2 and any(all(row[i][:1].isdigit() for row in table[1:]) for i in range(len(table[0])))


@_whole
def no_header(table: Table) -> tuple[str, Table] | None:
    return (write(table[1:]), table[1:]) if _telling(table) else None


_as('plain', write)
_as('no_trailing_newline', lambda table: write(table)[:-1])
_as('double_trailing_newline', lambda table: write(table) + '\n')
_as('trailing_blank_lines', lambda table: write(table) + '\n\n  \n\n')
_as('leading_blank_lines', lambda table: '\n\n' + write(table))
_as('preamble_line', lambda table: 'Statistical office\n\n' + write(table))
_as(
    'preamble_lines',
    lambda table: 'Statistical office\nSeries of the year, revised\nNotes: see below\n\n' + write(table),
)
_as('preamble_padded', lambda table: (len(table[0]) > 1 and (
    _padded(table, 'Report', 'Date: 2020-05-01') + _padded(table, '') + write(table))) or None)  # fmt: skip
_as('preamble_close', lambda table: 'Statistical office of the land\n' + write(table) if len(table[0]) > 1 else None)
_as('preamble_comments', lambda table: '# exported by a tool\n# version 3, build 7\n' + write(table))
_as('footnote', lambda table: write(table) + '\nSource: statistical office\n' if len(table[0]) > 1 else None)
_as('footnotes', lambda table: write(table) + '\n1) provisional, to be revised\n2) without islands\n'
    if len(table[0]) > 2 else None)  # fmt: skip
_as('footnote_close', lambda table: write(table) + 'Source: statistical office\n' if len(table[0]) > 2 else None)
_as(
    'footnote_padded', lambda table: (len(table[0]) > 2 and write(table) + _padded(table, '', 'Source: office')) or None
)
_as('sep_line', lambda table: 'sep=;\n' + write(table, delimiter=';') if len(table[0]) > 1 else None)


def _padded(table: Table, *texts: str) -> str:
    """Lines of one cell as spreadsheets write them; none for a table of one column."""
    return ''.join(line([text, *[''] * (len(table[0]) - 1)]) + '\n' for text in texts) if len(table[0]) > 1 else ''


OTHER: Final = [['code', 'meaning'], ['A', 'first'], ['B', 'second'], ['C', 'third']]


def _enough(table: Table) -> bool:
    return len(table) > 12 and len(table[0]) > 2


_as('multitable_same', lambda table: (_enough(table) and (
    write(table[: len(table) // 2]) + '\n' + write([table[0], *table[len(table) // 2 :]]))) or None)  # fmt: skip
_as('multitable_same_close', lambda table: (_enough(table) and (
    write(table[: len(table) // 2]) + write([table[0], *table[len(table) // 2 :]]))) or None)  # fmt: skip
_as('multitable_fewer', lambda table: (_enough(table) and write(table) + '\n' + write(OTHER)) or None)
_as('multitable_fewer_titled', lambda table: (_enough(table) and write(table) + '\nCodes\n' + write(OTHER)) or None)
_as('multitable_more', lambda table: (_enough(table) and len(table[0]) < 12 and write(table) + '\n' + write(
    [[f'{name}{i}' for i in range(len(table[0]) + 2)] for name in ('field', 'p', 'q', 'r')])) or None)  # fmt: skip
_as('multitable_before', lambda table: (_enough(table) and write(OTHER) + '\n' + write(table)) or None)


# Headers


@_whole
def header_two_rows(table: Table) -> tuple[str, Table] | None:
    """Groups above names, each group written above its first column."""
    width = len(table[0])
    if width < 4 or not _telling(table):
        return None
    groups = ['' if i % 2 or not i else f'group {i // 2}' for i in range(width)]
    full = ['' if i < 2 else f'group {i // 2}' for i in range(width)]
    names = [f'{group} {name}'.strip() for group, name in zip(full, table[0], strict=True)]
    return write([groups, *table]), [names, *table[1:]]


@_whole
def header_two_full_rows(table: Table) -> tuple[str, Table] | None:
    """A kind above each name."""
    if len(table[0]) < 3 or not _telling(table):
        return None
    kinds = [('key', 'seen', 'told')[i % 3] for i in range(len(table[0]))]
    return write([kinds, *table]), [[f'{a} {b}' for a, b in zip(kinds, table[0], strict=True)], *table[1:]]


@_whole
def header_three_rows(table: Table) -> tuple[str, Table] | None:
    if len(table[0]) < 3 or not _telling(table):
        return None
    kinds = [('key', 'seen', 'told')[i % 3] for i in range(len(table[0]))]
    units = ['(unit)'] * len(table[0])
    names = [f'{a} {b} {c}' for a, b, c in zip(kinds, table[0], units, strict=True)]
    return write([kinds, table[0], units, *table[1:]]), [names, *table[1:]]


@_whole
def header_units_row(table: Table) -> tuple[str, Table] | None:
    """Units below the names of the columns of numbers."""
    if len(table[0]) < 3 or len(table) < 5 or not _telling(table):
        return None
    counted = [all(row[i][:1].isdigit() for row in table[1:]) for i in range(len(table[0]))]
    units = [('m/s', '°C', 'kg', '[-]')[i % 4] if number else '' for i, number in enumerate(counted)]
    return write([table[0], units, *table[1:]]), [
        [f'{name} {unit}'.strip() for name, unit in zip(table[0], units, strict=True)],
        *table[1:],
    ]


@_whole
def header_more_names(table: Table) -> tuple[str, Table] | None:
    if len(table[0]) < 3 or len(table) < 5:
        return None
    names = [*table[0], 'unused']
    return write([names, *table[1:]]), [names, *([*row, ''] for row in table[1:])]


@_whole
def header_ends_in_delimiter(table: Table) -> tuple[str, Table] | None:
    return (line(table[0]) + ',\n' + write(table[1:]), table) if len(table[0]) > 2 and len(table) > 5 else None


@_whole
def records_end_in_delimiter(table: Table) -> tuple[str, Table] | None:
    if len(table[0]) < 3:
        return None
    return line(table[0]) + '\n' + ''.join(line(row) + ',\n' for row in table[1:]), table


@_whole
def header_without_row_names(table: Table) -> tuple[str, Table] | None:
    if len(table[0]) < 2 or len(table) < 5:
        return None
    rows = [[str(index), *row] for index, row in enumerate(table[1:])]
    return write([table[0], *rows]), [['', *table[0]], *rows]


@_whole
def header_duplicate_names(table: Table) -> tuple[str, Table] | None:
    if len(table[0]) < 3:
        return None
    names = [*table[0][:2], table[0][1], *table[0][3:]]
    return write([names, *table[1:]]), [names, *table[1:]]


@_whole
def header_empty_name(table: Table) -> tuple[str, Table] | None:
    if len(table[0]) < 3:
        return None
    names = ['', *table[0][1:]]
    return write([names, *table[1:]]), [names, *table[1:]]


@_whole
def header_last_name_empty(table: Table) -> tuple[str, Table] | None:
    if len(table[0]) < 3:
        return None
    names = [*table[0][:-1], '']
    return write([names, *table[1:]]), [names, *table[1:]]


@_whole
def header_alone_quoted(table: Table) -> tuple[str, Table]:
    return write(table[:1], always=True) + write(table[1:]), table


@_whole
def empty_columns(table: Table) -> tuple[str, Table]:
    """Two columns at the end that hold nothing and have no names, as spreadsheets leave them."""
    return ''.join(line(row) + ',,\n' for row in table), table


# Dialects


def _in(delimiter: str, **dialect: Any) -> Callable[[Table], str | None]:
    return lambda table: write(table, delimiter=delimiter, **dialect) if len(table[0]) > 1 else None


for _name, _delimiter in (
    ('tab', '\t'), ('semicolon', ';'), ('pipe', '|'), ('space', ' '), ('comma_space', ', '), ('caret', '^'),
    ('tilde', '~'), ('colon', ':'), ('two_pipes', '||'), ('two_colons', '::'), ('section', '§'),
    ('semicolon_space', '; '),
    ('hash', '#'), ('asterisk', '*'), ('start_of_heading', '\x01'), ('ampersand', '&'), ('tab_pipe', '\t|\t'),
    ('arrow', '->'), ('broken_bar', '¦'), ('dollars', '$$'),
):  # fmt: skip
    _as(f'delimiter_{_name}', _in(_delimiter))
    if _name in ('tab', 'semicolon', 'pipe', 'space', 'colon'):
        _as(f'delimiter_{_name}_all_quoted', _in(_delimiter, always=True))


def _holds(table: Table, *marks: str) -> bool:
    return any(mark in cell for row in table for cell in row for mark in marks)


def _given(table: Table, texts: Sequence[str]) -> Table:
    """The table with texts in every third record, in its last column; unchanged where there is but one column."""
    if len(table[0]) < 2:
        return table
    return [[*row[:-1], texts[i // 3 % len(texts)]] if i and i % 3 == 1 else row for i, row in enumerate(table)]


def _texts(name: str, texts: Sequence[str], form: Callable[[Table], str | bytes]) -> None:
    """A dialect or an encoding that shows by the texts it must carry; none where it cannot carry those of the table."""

    def maker(table: Table) -> tuple[str | bytes, Table] | None:
        if len(table[0]) < 2:
            return None
        table = _given(table, texts)
        try:
            return form(table), table
        except UnicodeEncodeError:
            return None

    maker.__name__ = name
    _whole(maker)


COMMAS: Final = ('left, then right', 'one, two', 'well, then')
QUOTES: Final = ('the "red" one', 'so "called", it is', '"quoted" first', 'last is "quoted"')
for _name, _quote in (('apostrophe', "'"), ('backtick', '`')):
    _texts(f'quote_{_name}', COMMAS, lambda table, quote=_quote: write(table, quote=quote))  # type: ignore[misc]
    _as(f'quote_{_name}_all', lambda table, quote=_quote: write(table, quote=quote, always=True))  # type: ignore[misc]
_as('quote_all', lambda table: write(table, always=True))
_as('quote_texts', lambda table: write(table, always=True, bare=lambda cell: cell[:1].isdigit() or cell[:1] == '-'))
_as('quote_numbers', lambda table: ''.join(
    ','.join(f'"{cell}"' if cell[:1].isdigit() else line([cell]) for cell in row) + '\n' for row in table))  # fmt: skip
_texts('escape_doubled', QUOTES, write)
_texts('escape_doubled_all', QUOTES, lambda table: write(table, always=True))
_texts('escape_backslash', QUOTES, lambda table: write(table, escape='\\'))
_texts('escape_backslash_all', QUOTES, lambda table: write(table, escape='\\', always=True))
_texts('escape_none', QUOTES, lambda table: ''.join(
    ','.join(f'"{cell}"' if ',' in cell or '"' in cell else cell for cell in row) + '\n' for row in table))  # fmt: skip
_texts('escape_none_all', QUOTES, lambda table: ''.join(
    ','.join(f'"{cell}"' for cell in row) + '\n' for row in table))  # fmt: skip
_texts('escape_without_quotes', COMMAS, lambda table: ''.join(
    ','.join(cell.replace('\\', '\\\\').replace(',', '\\,') for cell in row) + '\n' for row in table))  # fmt: skip
_texts('backslashes_as_text', ('C:\\data\\new', 'D:\\old, gone\\', '\\\\host\\share'), lambda table: write(table))
_texts('backslashes_in_quotes', ('C:\\data\\new', 'D:\\old, gone\\x', '\\\\host\\share'),
       lambda table: write(table, always=True))  # fmt: skip
_texts('breaks_in_cells', ('first\nsecond', 'a, b\n\nc', 'x\n"y"\nz'), write)
_texts('breaks_in_cells_pair', ('first\nsecond', 'a, b\n\nc'), lambda table: write(table, newline='\r\n'))
_texts('breaks_in_cells_return', ('first\nsecond', 'a, b\n\nc'), lambda table: write(table, newline='\r'))
_texts('apostrophes_in_texts', ("it's", "the boys' room", "'tis so, isn't it", "'s-Hertogenbosch"), write)
_as('records_return', lambda table: write(table, newline='\r'))
_as('records_pair', lambda table: write(table, newline='\r\n'))
_as('records_doubled', lambda table: write(table, newline='\n\n'))
_as('records_mixed', lambda table: ''.join(line(row) + ('\n', '\r\n', '\r')[i % 3] for i, row in enumerate(table)))
_as('records_half', lambda table: write(table[: len(table) // 2], newline='\r\n') + write(table[len(table) // 2 :]))
_as('quote_around_records', lambda table: None if _holds(table, ',', '"') or len(table[0]) < 2 else ''.join(
    f'"{",".join(row)}"\n' for row in table))  # fmt: skip
_as('blanks_behind', lambda table: ''.join(line(row) + '   \n' for row in table) if len(table[0]) > 1 else None)
_as('blanks_around', lambda table: None if len(table[0]) < 2 else ''.join(
    ' , '.join(line([cell]) for cell in row) + '\n' for row in table))  # fmt: skip
_as('columns_aligned', lambda table: None if len(table[0]) < 3 or _holds(table, ' ') else '\n'.join(
    '  '.join((cell or '-').ljust(max(len(other[i]) for other in table)) for i, cell in enumerate(row)).rstrip()
    for row in table) if all(all(row) for row in table) else None)  # fmt: skip

for _name, _encoding in (
    ('utf_8_sig', 'utf-8-sig'), ('utf_16', 'utf-16'), ('utf_16_le', 'utf-16-le'), ('utf_16_be', 'utf-16-be'),
    ('latin_1', 'latin-1'), ('cp1252', 'cp1252'), ('cp1250', 'cp1250'), ('cp1251', 'cp1251'),
):  # fmt: skip
    _letters = {'cp1250': ('Plzeň', 'Řím, Žďár'), 'cp1251': ('Москва', 'Нижний Новгород, центр')}.get(
        _encoding, ('café', 'Größe, weiß')
    )
    _texts(f'encoding_{_name}', _letters, lambda table, encoding=_encoding: write(table).encode(encoding))  # type: ignore


# Records and cells


@_cells
def more_separators(table: Table, row: int, column: int) -> tuple[str, Row] | None:
    """An additional delimiter in front of a cell."""
    cells = table[row]
    if len(cells) < 3 or len(table) < 4:
        return None
    return line([*cells[:column], '', *cells[column:]]), cells


@_cells
def fewer_separators(table: Table, row: int, column: int) -> tuple[str, Row] | None:
    """The delimiter in front of a cell is missing, so both cells are one."""
    cells = table[row]
    if (
        not column
        or len(cells) < 3
        or len(table) < 4
        or any(',' in c or '"' in c for c in cells[column - 1 : column + 1])
    ):
        return None
    record = [*cells[: column - 1], cells[column - 1] + cells[column], *cells[column + 1 :]]
    return line(record), [*record, '']


@_whole
def more_separators_in_header(table: Table) -> tuple[str, Table] | None:
    if len(table[0]) < 3 or len(table) < 5:
        return None
    return line([table[0][0], '', *table[0][1:]]) + '\n' + write(table[1:]), table


def _with_quote(table: Table, row: int, column: int, form: Callable[[str], str]) -> tuple[str, Row]:
    cells = table[row]
    texts = [line([cell]) for cell in cells]
    inner = form(cells[column])
    texts[column] = f'"{inner}"' if texts[column] != cells[column] else inner
    return ','.join(texts), [*cells[:column], inner, *cells[column + 1 :]]


def extra_quote_in_front(table: Table, row: int, column: int) -> tuple[str, Row]:
    return _with_quote(table, row, column, lambda cell: f'"{cell}')


def extra_quote_inside(table: Table, row: int, column: int) -> tuple[str, Row] | None:
    if len(table[row][column]) < 2 or '"' in table[row][column]:
        return None
    return _with_quote(table, row, column, lambda cell: f'{cell[: len(cell) // 2]}"{cell[len(cell) // 2 :]}')


def extra_quote_behind(table: Table, row: int, column: int) -> tuple[str, Row]:
    return _with_quote(table, row, column, lambda cell: f'{cell}"')


for _maker in (extra_quote_in_front, extra_quote_inside, extra_quote_behind):
    _cells(_maker, header=True)


@_cells
def closing_quote_missing(table: Table, row: int, column: int) -> tuple[str, Row] | None:
    """A cell with a comma that is opened and not closed."""
    cells = table[row]
    if ',' not in cells[column] or '"' in ''.join(cells):
        return None
    texts = [line([cell]) for cell in cells]
    texts[column] = f'"{cells[column]}'
    return ','.join(texts), [*cells[:column], f'"{cells[column]}', *cells[column + 1 :]]


@_cells
def opening_quote_missing(table: Table, row: int, column: int) -> tuple[str, Row] | None:
    cells = table[row]
    if ',' not in cells[column] or '"' in ''.join(cells):
        return None
    texts = [line([cell]) for cell in cells]
    texts[column] = f'{cells[column]}"'
    return ','.join(texts), [*cells[:column], f'{cells[column]}"', *cells[column + 1 :]]


@_cells
def quotes_missing(table: Table, row: int, column: int) -> tuple[str, Row] | None:
    """A cell with a comma and a blank behind it that nothing protects."""
    cells = table[row]
    if ', ' not in cells[column] or '"' in ''.join(cells):
        return None
    return ','.join(cell if i == column else line([cell]) for i, cell in enumerate(cells)), cells


@_cells
def nul_in_cell(table: Table, row: int, column: int) -> tuple[str, Row] | None:
    cells = table[row]
    if not cells[column] or ',' in cells[column]:
        return None
    return line([*cells[:column], f'{cells[column]}\0', *cells[column + 1 :]]), cells


@_cells
def cut_short(table: Table, row: int, column: int) -> tuple[str, Row] | None:
    """A record that ends behind a cell."""
    if not column or len(table) < 4:
        return None
    cells = table[row]
    return line(cells[:column]), [*cells[:column], *[''] * (len(cells) - column)]


def _several(row: Row) -> bool:
    return len(row) > 2


for _name, _delimiter in (('space', ' '), ('semicolon', ';'), ('tab', '\t'), ('pipe', '|'), ('comma_space', ', ')):
    _rows(
        f'row_of_{_name}',
        lambda row, delimiter=_delimiter: line(row, delimiter=delimiter) if _several(row) else None,  # type: ignore
        header=True,
    )
_rows('row_of_comma', lambda row: line(row) if _several(row) else None, delimiter=';')
_rows('row_all_quoted', lambda row: line(row, always=True), header=True)
_rows('row_in_apostrophes', lambda row: None if "'" in ''.join(row) or '"' in ''.join(row) else line(
    row, quote="'", always=True), always=True)  # fmt: skip
_rows('row_in_apostrophes_needed', lambda row: None if "'" in ''.join(row) or ',' not in ''.join(row) else line(
    row, quote="'"))  # fmt: skip
_rows('row_escaped_otherwise', lambda row: None if '"' not in ''.join(row) else line(row, escape='\\'))
_rows('blank_line_before', lambda row: '\n' + line(row))
_rows('empty_record_before', lambda row: ',' * (len(row) - 1) + '\n' + line(row) if _several(row) else None)
_rows('ends_in_delimiter', lambda row: line(row) + ',' if _several(row) else None)
_rows('ends_in_delimiters', lambda row: line(row) + ',,,' if _several(row) else None)
_rows('return_at_end', lambda row: line(row) + '\r')
