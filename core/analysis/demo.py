"""Two files such as a user would bring, made up from a seed: daily sales of shops, hourly load of a power grid.

`shop_sales`: units and prices of two product groups in six Dutch shops on each of 1,096 days, 13,152 rows by right.
Units follow a trend, the week, the year, the weather, promotions and the country's public holidays, on some of which
the shops are closed. Like any file that people keep by hand it has defects, so many as `PLANTED` says:

- decimal comma: a price written `3,49` in a file of decimal points. It is read all the same, and listed.
- unit suffix: units written `412 pcs`. They are read without the word, and listed.
- padding: blanks around the units. They are taken off, and listed.
- not available: units written `n/a`. The cell is empty, and listed.
- no such date: 30 February, a month 13, or a word. The row is rejected.
- short line: a line that ends after the units. The row is stored without the rest.
- long line: a line with a remark beyond the last column. The row is stored, the remark is cut off and listed.
- duplicate: a line that stands there twice. The first is rejected: of one series and time the last is stored.
- gap: days in a row on which one shop sent nothing.

It is whole, or in the two parts in which it came: all up to the end of August 2026, and September.

`grid_load`: load and temperature of three regions in each hour of a year, stamped in UTC so that no hour is missing or
doubled when clocks change: 26,280 rows, less an outage in one region. Load follows the clock of the place, weekends,
public holidays, heating and cooling. Nothing else is wrong with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from numpy.random import Generator

FIRST_DAY: Final = date(2023, 10, 1)
DAYS: Final = 1096
FIRST_HOUR: Final = datetime(2025, 10, 1, tzinfo=UTC)
HOURS: Final = 8760
NEWS: Final = date(2026, 9, 1)
"""The first day of the second part of the shops' file."""
PLACE: Final = ZoneInfo('Europe/Amsterdam')

SHOPS: Final = {
    'Amsterdam': 1.5, 'Rotterdam': 1.25, 'Utrecht': 1.0, 'Eindhoven': 0.8, 'Groningen': 0.65, 'Maastricht': 0.5,
}  # fmt: skip
WEEK: Final = {'Bakery': (0.86, 0.84, 0.9, 0.96, 1.1, 1.38, 0.96), 'Ice cream': (0.8, 0.78, 0.92, 0.9, 1.05, 1.35, 1.2)}
SUMMER: Final = {'Bakery': 0.06, 'Ice cream': 0.75}
UNITS: Final = {'Bakery': 320.0, 'Ice cream': 110.0}
PRICE: Final = {'Bakery': 3.2, 'Ice cream': 4.1}
REGIONS: Final = {'North': (2900.0, 8.8), 'Middle': (6400.0, 10.2), 'South': (4300.0, 11.1)}
GAP: Final = ('Groningen', date(2025, 2, 10), 9)
OUTAGE: Final = ('South', datetime(2026, 1, 20, 4, tzinfo=UTC), 11)

PLANTED: Final[Mapping[str, Mapping[str, int]]] = {
    'shop_sales': {
        'decimal comma': 24, 'unit suffix': 18, 'padding': 60, 'not available': 36, 'no such date': 7,
        'short line': 5, 'long line': 4, 'duplicate': 12, 'gap': 18,
    },
    'grid_load': {'gap': 11},
}  # fmt: skip
"""How many lines have which defect; a gap counts the rows that are not there."""

BAD_DATES: Final = ('2024-02-30', '2025-13-04', 'yesterday', '2026-00-11', '2024-11-31', '2025-02-29', 'tbc')


@dataclass(slots=True)
class _File:
    """Lines of a file, and the 1-based numbers of those with a defect."""

    lines: list[str]
    planted: dict[str, list[int]] = field(default_factory=dict)
    news: int = 0  # lines before `NEWS`

    def add(self, line: str, defect: str = '') -> None:
        self.lines.append(line)
        if defect:
            self.planted.setdefault(defect, []).append(len(self.lines))

    def bytes(self, start: int = 1, end: int | None = None) -> bytes:
        """The head and the lines from `start` to before `end`, counted from 0."""
        return ('\n'.join([self.lines[0], *self.lines[start:end]]) + '\n').encode()


def shop_sales(seed: int = 1) -> bytes:
    """Return a CSV file: date, shop, group, units, price (euros), promotion, holiday. The same bytes for a seed."""
    return _sales(seed).bytes()


def shop_sales_before(seed: int = 1) -> bytes:
    """Return the part of `shop_sales` before `NEWS`."""
    file = _sales(seed)
    return file.bytes(end=file.news)


def shop_sales_news(seed: int = 1) -> bytes:
    """Return the part of `shop_sales` from `NEWS` on, under the same head."""
    file = _sales(seed)
    return file.bytes(start=file.news)


def grid_load(seed: int = 1) -> bytes:
    """Return a CSV file: time (UTC), region, load in MW, temperature in °C. The same bytes for a seed."""
    return _load(seed).bytes()


def planted_lines(seed: int = 1) -> Mapping[str, Sequence[int]]:
    """Return the lines of `shop_sales(seed)` that have each defect of `PLANTED`; a gap has none."""
    return MappingProxyType(_sales(seed).planted)


def easter(year: int) -> date:
    """Return Easter Sunday of the Gregorian calendar (the method in New Scientist of 30 March 1961)."""
    a, b, c = year % 19, year // 100, year % 100
    d, e, g = b // 4, b % 4, (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = c // 4, c % 4
    m = (a + 11 * h) // 319
    r = (2 * e + 2 * i - k - h + m + 32) % 7
    month = (h - m + r + 90) // 25
    return date(year, month, (h - m + r + month + 19) % 32)


@cache
def holidays(year: int) -> Mapping[date, str]:
    """Return the public holidays of the Netherlands by their names in English."""
    sunday = easter(year)
    king = date(year, 4, 27)
    found = {
        date(year, 1, 1): 'New Year',
        sunday: 'Easter Sunday',
        sunday + timedelta(1): 'Easter Monday',
        king - timedelta(1) if king.weekday() == 6 else king: 'King’s Day',
        sunday + timedelta(39): 'Ascension Day',
        sunday + timedelta(49): 'Whit Sunday',
        sunday + timedelta(50): 'Whit Monday',
        date(year, 12, 25): 'Christmas Day',
        date(year, 12, 26): 'Second Christmas Day',
    }
    return MappingProxyType(found | ({date(year, 5, 5): 'Liberation Day'} if year % 5 == 0 else {}))


CLOSED: Final = ('New Year', 'Easter Sunday', 'Whit Sunday', 'Christmas Day')
BUSY: Final = {
    'King’s Day': 1.9, 'Ascension Day': 1.3, 'Whit Monday': 1.25, 'Easter Monday': 1.3, 'Second Christmas Day': 0.7,
}  # fmt: skip


# shops


@dataclass(frozen=True, slots=True)
class _Sale:
    """A row as it should be."""

    day: date
    shop: str
    group: str
    units: int
    price: float
    promotion: int
    holiday: str

    def line(self, *, day: str = '', units: str = '', price: str = '') -> str:
        first = f'{day or self.day.isoformat()},{self.shop},{self.group},{units or self.units}'
        return f'{first},{price or f"{self.price:.2f}"},{self.promotion},{self.holiday}'


def _sales(seed: int) -> _File:
    import numpy as np

    rng = np.random.default_rng([seed, 1])
    rows = _rows(rng)
    shop, first, length = GAP
    silent = range(first.toordinal(), first.toordinal() + length)
    kept = [row for row in rows if row.shop != shop or row.day.toordinal() not in silent]
    return _spoilt(kept, rng)


def _rows(rng: 'Generator') -> list[_Sale]:
    """Return every sale in the order of a file that grows by the day."""
    days = [FIRST_DAY + timedelta(n) for n in range(DAYS)]
    warm = _weather(rng, DAYS, persistence=0.8)
    series = {(shop, group): _sold(days, warm, rng, shop, group) for shop in SHOPS for group in WEEK}
    return [series[key][n] for n in range(DAYS) for key in series]


def _sold(days: Sequence[date], warm: Any, rng: 'Generator', shop: str, group: str) -> list[_Sale]:
    """Return the sales of a product group in a shop: trend × week × year × weather × promotion × holiday × noise."""
    import numpy as np

    n = np.arange(len(days))
    promotion = _promotions(rng, len(days))
    year = np.array([day.timetuple().tm_yday for day in days])
    wave = np.cos(2 * np.pi * (year - 205) / 365.25)
    trend = 1 + rng.uniform(0.02, 0.12) * n / 365.25
    week = np.array([WEEK[group][day.weekday()] for day in days])
    season = np.exp(SUMMER[group] * wave) * np.exp((0.12 if group == 'Ice cream' else -0.01) * warm)
    level = UNITS[group] * SHOPS[shop] * trend * week * season * np.where(promotion, rng.uniform(1.25, 1.5), 1.0)
    level = level * np.array([_feast(day, group) for day in days])
    units = rng.poisson(level * np.exp(rng.normal(0, 0.05, len(days))))
    price = PRICE[group] * 1.03 ** (n // 183 / 2) * np.where(promotion, 0.85, 1.0)
    rows = []
    for at, day in enumerate(days):
        name = holidays(day.year).get(day, '')
        count = 0 if name in CLOSED else int(units[at])
        rows.append(_Sale(day, shop, group, count, round(float(price[at]), 2), int(promotion[at]), name))
    return rows


def _feast(day: date, group: str) -> float:
    """Return how a holiday, or the days before it, move the sales."""
    if name := holidays(day.year).get(day):
        return BUSY.get(name, 1.0)
    ahead = [holidays(eve.year).get(eve) for eve in (day + timedelta(1), day + timedelta(2))]
    if group == 'Bakery' and any(name in CLOSED for name in ahead):
        return 1.45
    return 1.0


def _promotions(rng: 'Generator', days: int) -> Any:
    """Return which days are in a promotion: a week at a time, about one week in seven."""
    import numpy as np

    return np.repeat(rng.random(days // 7 + 1) < 0.14, 7)[:days]


def _weather(rng: 'Generator', steps: int, *, persistence: float) -> Any:
    """Return an autoregressive series with variance 1."""
    import numpy as np

    shocks = rng.normal(0, np.sqrt(1 - persistence**2), steps)
    series = np.empty(steps)
    series[0] = shocks[0]
    for at in range(1, steps):
        series[at] = persistence * series[at - 1] + shocks[at]
    return series


def _spoilt(rows: Sequence[_Sale], rng: 'Generator') -> _File:
    """Write the rows with the planted defects; no row has two."""
    wanted = {name: count for name, count in PLANTED['shop_sales'].items() if name != 'gap'}
    open_days = [at for at, row in enumerate(rows) if row.units and not row.holiday]
    chosen = rng.choice(open_days, size=sum(wanted.values()), replace=False).tolist()
    defects: dict[int, str] = {}
    for name, count in wanted.items():
        defects |= dict.fromkeys(chosen[:count], name)
        chosen = chosen[count:]
    dates = iter(BAD_DATES)
    file = _File(['date,shop,group,units,price,promotion,holiday'])
    for at, row in enumerate(rows):
        defect = defects.get(at, '')
        file.add(_broken(row, defect, dates), defect)
        if defect == 'duplicate':
            file.add(row.line())
        if row.day < NEWS:
            file.news = len(file.lines)
    return file


def _broken(row: _Sale, defect: str, dates: Any) -> str:
    match defect:
        case 'decimal comma':
            return row.line(price='"' + f'{row.price:.2f}'.replace('.', ',') + '"')
        case 'unit suffix':
            return row.line(units=f'{row.units} pcs')
        case 'padding':
            return row.line(units=f'  {row.units} ')
        case 'not available':
            return row.line(units='n/a')
        case 'no such date':
            return row.line(day=next(dates))
        case 'short line':
            return row.line().rsplit(',', 3)[0]
        case 'long line':
            return f'{row.line()},counted twice'
    return row.line()


# power


def _load(seed: int) -> _File:
    import numpy as np

    rng = np.random.default_rng([seed, 2])
    stamps = [FIRST_HOUR + timedelta(hours=n) for n in range(HOURS)]
    weather = _weather(rng, HOURS, persistence=0.985)
    regions = {name: _region(rng, stamps, weather, *figures) for name, figures in REGIONS.items()}
    region, start, length = OUTAGE
    silent = {start + timedelta(hours=n) for n in range(length)}
    file = _File(['time_utc,region,load_mw,temperature_c'])
    for at, stamp in enumerate(stamps):
        for name, (load, temperature) in regions.items():
            if name != region or stamp not in silent:
                file.add(f'{stamp:%Y-%m-%dT%H:%M:%SZ},{name},{load[at]:.1f},{temperature[at]:.1f}')
    return file


def _region(rng: 'Generator', stamps: Sequence[datetime], weather: Any, size: float, mean: float) -> tuple[Any, Any]:
    """Return load in MW and temperature in °C by the hour."""
    import numpy as np

    local = [stamp.astimezone(PLACE) for stamp in stamps]
    hour = np.array([stamp.hour for stamp in local])
    day = np.array([stamp.timetuple().tm_yday for stamp in local])
    own = 0.85 * weather + 0.53 * _weather(rng, len(stamps), persistence=0.97)
    sun = np.cos(2 * np.pi * (hour - 15) / 24) * (2.2 + 1.4 * np.cos(2 * np.pi * (day - 200) / 365.25))
    temperature = mean + 7.5 * np.cos(2 * np.pi * (day - 205) / 365.25) + sun + 3.2 * own
    free = np.array([stamp.weekday() >= 5 or stamp.date() in holidays(stamp.year) for stamp in local])
    morning, evening = np.exp(-((hour - 9) ** 2) / 12), np.exp(-((hour - 19) ** 2) / 9)
    night = np.exp(-(np.minimum(hour, 24 - hour) ** 2) / 14)
    shape = 0.92 + np.where(free, 0.08, 0.2) * morning + 0.2 * evening - 0.2 * night - np.where(free, 0.09, 0.0)
    heating, cooling = np.maximum(0, 16 - temperature), np.maximum(0, temperature - 21)
    drift = _weather(rng, len(stamps), persistence=0.9)
    load = size * (shape + 0.011 * heating + 0.014 * cooling) * (1 + 0.012 * drift)
    return load, temperature
