"""A dashboard of a dataset from what its version says of itself: what stands where and drawn how.

The profile decides. Names and units tell what is added up (amounts, counts, volumes) and what is averaged (rates,
prices, temperatures, shares), and name prices, energy and sales; the step tells which figure of a day, a month or a
year is worth a panel and whether hours, days or years have a rhythm; several series ask for the greatest of them and
for what they make together. Every row of the grid is full, and nothing is drawn without values. What there was no room
for is told by a note.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from core.panels import COLUMNS, NAME, parsed

TEMPLATES: Final = {'auto': 'What fits best', 'sales': 'Sales', 'energy': 'Energy', 'prices': 'Prices'}
PRICES: Final = ('open', 'high', 'low', 'close')
# Parts of names, as `_words` splits them; of German and French ones too, as far as files name their columns by them.
COUNTED: Final = {
    'sales', 'sale', 'sold', 'qty', 'quantity', 'units', 'count', 'counts', 'orders', 'revenue', 'revenues',
    'turnover', 'amount', 'amounts', 'volume', 'visits', 'visitors', 'passengers', 'patients', 'trips', 'nights',
    'rain', 'rainfall', 'precipitation', 'kwh', 'mwh', 'gwh', 'pedestrians', 'births', 'deaths', 'cases', 'views',
    'sessions', 'bookings', 'budget', 'budgets', 'spending', 'expenditure', 'expenditures', 'wages', 'salaries', 'fees',
    'shipments', 'receipts', 'income', 'earnings', 'profit', 'pnl', 'cost', 'costs', 'spend', 'expenses', 'payments',
    'customers', 'calls', 'tickets', 'clicks', 'impressions', 'downloads', 'installs', 'transactions', 'deliveries',
    'parcels', 'steps', 'crashes', 'accidents', 'items', 'pieces', 'pcs', 'kunden', 'fahrten', 'stück', 'stueck',
    'ertrag', 'gewinn', 'ventes', 'montant', 'quantité', 'ventas', 'importe', 'cantidad', 'ingresos',
}  # fmt: skip
COUNTED_ENDS: Final = (
    *('umsatz', 'menge', 'anzahl', 'betrag', 'erlös', 'erlöse', 'erloes', 'absatz', 'verbrauch', 'kosten', 'besucher'),
    *('zahl', 'zahlen', 'verkäufe', 'verkaeufe', 'niederschlag', 'aufträge', 'auftraege', 'bestellungen', 'einnahmen'),
)  # of compounds: Nettoumsatz
COUNTED_UNITS: Final = {
    'eur', '€', 'usd', '$', 'gbp', '£', 'chf', 'kwh', 'mwh', 'gwh', 'wh', 'kg', 't', 'l', 'm3', 'm³', 'pcs', 'stk',
    'st',
}  # fmt: skip
MONEY: Final = {
    'amount', 'amounts', 'revenue', 'revenues', 'turnover', 'sales', 'income', 'earnings', 'profit', 'cost', 'costs',
    'spend', 'expenses', 'payments', 'montant', 'importe', 'ingresos', 'ertrag', 'gewinn', 'umsatz', 'betrag', 'eur',
    'usd', 'gbp', 'chf', '€', '$', '£',
}  # fmt: skip
WHOLE: Final = {'total', 'load', 'demand', 'consumption', 'gesamt', 'all'}
ADDED: Final = {
    'load',
    'power',
    'demand',
    'generation',
    'production',
    'consumption',
    'kw',
    'mw',
    'gw',
    'traffic',
    'flow',
}
NEVER_ADDED: Final = {
    'price', 'rate', 'ratio', 'share', 'percent', 'pct', 'mean', 'average', 'avg', 'median', 'temperature', 'temp',
    'index', 'weighted', 'unweighted', 'score', 'humidity', 'pressure', 'speed', 'close', 'open', 'high', 'low', 'log',
    'prices', 'rates', 'level', 'balance', 'stock', 'inventory', 'per', 'pro', 'je', 'par', 'min', 'max', 'prix',
    'taux', 'precio', 'tasa', 'margin', 'yield', 'growth', 'change', 'cumulative', 'kumuliert',
}  # fmt: skip
NEVER_ENDS: Final = (
    *('preis', 'preise', 'kurs', 'temperatur', 'anteil', 'quote', 'durchschnitt', 'mittelwert', 'feuchte', 'bestand'),
    *('druck', 'geschwindigkeit', 'stand', 'saldo'),
)
SALES: Final = {'sales', 'sold', 'qty', 'quantity', 'orders', 'revenue', 'turnover', 'bookings', 'receipts'}
ENERGY: Final = {
    'energy', 'electricity', 'load', 'power', 'grid', 'kwh', 'mwh', 'gwh', 'kw', 'mw', 'gw', 'solar', 'wind', 'pjm',
    'consumption', 'generation',
}  # fmt: skip
PRICED: Final = {'close', 'price', 'quote', 'nav'}
NAMELESS: Final = {'y', 'x', 'v', 'value', 'values', 'val', 'data', 'measure', 'target'}
MOST_LINES: Final = 8
TOGETHER: Final = 200  # series that are added up in one panel
EACH_ITS_FIGURE: Final = 4
MANY_VALUES: Final = 2_000_000  # above it a dashboard opens on the last part alone
FEW_VALUES: Final = 300_000
DAY: Final = 86_400
HOUR: Final = 3600
RANGES: Final = (('P5Y', 1826), ('P1Y', 365), ('P3M', 91), ('P30D', 30), ('P7D', 7), ('P1D', 1))
PERIODS: Final = {'P1D': 'day', 'P1W': 'week', 'P1M': 'month', 'P3M': 'quarter', 'P1Y': 'year'}
TALL, LOW = 4, 2

Json = dict[str, Any]
Row = tuple[int, list[Json]]  # height, and panels that share its width


def dashboard(dataset_id: str, manifest: Mapping[str, Any], *, template: str = 'auto', name: str = '') -> Json:
    """Return the specification of a dashboard over one dataset; `template` is one of TEMPLATES.

    `manifest` is a version's; `name`, the dataset's, stands for measures that are called `y` or `value`. A dataset
    without measures gives an empty dashboard.
    """
    facts = _Facts(manifest, name)
    if not facts.measures:
        return parsed({})
    chosen = _template(facts) if template == 'auto' else template
    rows = {'prices': _prices, 'energy': _energy, 'sales': _sales}.get(chosen, _general)(facts)
    panels: list[Json] = []
    top = 0
    for height, row in rows:
        width = COLUMNS // len(row)
        for place, panel in enumerate(row):
            at = {
                'id': f'p{len(panels) + 1}',
                'dataset': dataset_id,
                'x': place * width,
                'y': top,
                'w': width,
                'h': height,
            }
            panels.append(at | panel | {'title': facts.shortened(panel)})
        top += height
    drawn = {name for panel in panels for name in (*panel['query']['measures'], panel['query'].get('volume'))} - {None}
    if left := [name for name in facts.measures if name not in drawn]:
        several = f'{len(drawn)} of {len(manifest["measures"])} measures are drawn here'
        others = f', not {" and ".join(left)}. Add panel draws them.' if len(left) < 3 else ''
        text = f'{several}{others or ". Add panel draws any other one."}'
        whole = {'id': f'p{len(panels) + 1}', 'x': 0, 'y': top, 'w': COLUMNS, 'h': LOW}
        panels.append(whole | {'kind': 'note', 'title': 'Not drawn here', 'show': {'text': text}})
    return parsed({'panels': panels, 'variables': {'range': facts.range}})


def first_look(manifest: Mapping[str, Any], name: str = '') -> Json:
    """Return `kind`, `query` and `show` of the panel to begin with: candles, or the first measure over time."""
    facts = _Facts(manifest, name)
    if not facts.measures:
        return {'kind': 'line', 'query': {'measures': [one for one in manifest['measures'] if len(one) <= NAME][:1]}}
    if all(four := facts.four):
        of = {'series': list(facts.labels[:1])} if facts.many else {}
        return {
            'kind': 'candles',
            'query': {'measures': list(four)} | of | ({'volume': facts.traded} if facts.traded else {}),
        }
    panel = _line(facts, facts.measures[0])
    show = {'axis': 'index'} if facts.indexed(facts.measures[0]) else panel.get('show', {})
    return {'kind': panel['kind'], 'query': panel['query'], 'show': show}


def opening(manifest: Mapping[str, Any]) -> str:
    """Return the measure to draw first: one that varies where any does; '' where none can be named in a query."""
    return next(iter(_Facts(manifest, '').measures), '')


def added(manifest: Mapping[str, Any], name: str = '') -> Sequence[str]:
    """Return the measures whose values of different series at one time are added, as loads are and temperatures not."""
    facts = _Facts(manifest, name)
    return [measure for measure in manifest['measures'] if facts.added(measure)]


def summed(manifest: Mapping[str, Any], name: str = '') -> Sequence[str]:
    """Return the measures whose values at different times are added, as sales are and prices not."""
    facts = _Facts(manifest, name)
    return [measure for measure in manifest['measures'] if facts.summed(measure)]


class _Facts:
    """What matters of a manifest."""

    def __init__(self, manifest: Mapping[str, Any], name: str) -> None:
        time, series = manifest['time'], manifest['series']
        known = {column['name']: column for column in manifest.get('columns') or ()}
        self.rows = int(manifest.get('rows_accepted') or 0)
        self.known = known
        self.measures = self._worth_drawing([name for name in manifest['measures'] if len(name) <= NAME])
        self.name = name
        self.series = int(series['count'])
        self.labels: Sequence[str] = [label for label in series.get('first') or () if label]
        self.step = float(time.get('step_seconds') or 0)
        self.start = datetime.fromisoformat(time['start']) if time.get('start') else None
        self.end = datetime.fromisoformat(time['end']) if time.get('end') else None
        self.days = (self.end - self.start).total_seconds() / DAY if self.start and self.end else 0.0
        self.irregular = self.step > 0 and 'freq' in time and time['freq'] is None
        if self.irregular and not _words(self.measures[0] if self.measures else '') & {*PRICED, *PRICES}:
            # Of events, such as orders, what they come to is asked first.
            self.measures.sort(key=lambda measure: (not self.summed(measure), not self._is_money(measure)))

    def _worth_drawing(self, measures: Sequence[str]) -> list[str]:
        """Measures that have values: those that hold more than a yes or no where any do, else those that vary."""
        some = [name for name in measures if self.known.get(name, {}).get('missing', 0) < max(1, self.rows)]
        distinct = {name: self.known.get(name, {}).get('distinct') or 3 for name in some}
        varied = [name for name in some if distinct[name] > 2]
        return varied or [name for name in some if distinct[name] > 1] or some

    @property
    def many(self) -> bool:
        """Whether there are several series."""
        return self.series > 1

    @property
    def several(self) -> Json:
        """How the lines of several series are kept few."""
        return {'top': MOST_LINES} if self.series > MOST_LINES else {}

    @property
    def greatest(self) -> str:
        """How a title says that not all series are drawn."""
        return f', top {MOST_LINES}' if self.several else ''

    @property
    def within_days(self) -> bool:
        """Whether there are values at several hours of a day."""
        return 0 < self.step <= DAY / 4

    @property
    def daily(self) -> bool:
        """Whether there is about one value a day."""
        return DAY / 4 < self.step <= 1.5 * DAY

    @property
    def period(self) -> str:
        """What single figures tell of: the latest day of hours, week of days; else the step itself."""
        if self.within_days:
            return 'P1D'
        if self.daily:
            return 'P1W' if self.days >= 28 else 'P1D'
        return next((every for every, most in (('P1W', 8), ('P1M', 32), ('P3M', 93)) if self.step <= most * DAY), 'P1Y')

    @property
    def longer(self) -> str:
        """The period above: a week or a month of days, a year of months."""
        if self.within_days:
            return 'P1M' if self.days > 400 else 'P1W' if self.days > 21 else 'P1D'
        return 'P1M' if self.daily and self.days > 60 else 'P1W' if self.daily else 'P1Y'

    @property
    def bars(self) -> str:
        """What a bar of a sum over time lasts, '' for a value each."""
        if not (self.within_days or self.daily):
            return self.period if self.irregular else ''
        return ('P1W' if self.days < 900 else 'P1M') if self.days > 200 else self.period

    @property
    def years(self) -> bool:
        """Whether a year can be laid beside the one before."""
        return self.days > 1.3 * 365

    @property
    def range(self) -> Json:
        """What the dashboard opens on: all, or of very many values the last part."""
        if self.rows <= MANY_VALUES or not self.days:
            return {}
        return {'last': next((last for last, days in RANGES if self.rows * days / self.days <= FEW_VALUES), 'P1D')}

    def summed(self, measure: str) -> bool:
        """Whether values at different times are added: so many orders, so many kilowatt hours."""
        words, unit = _words(self.called(measure)) | _words(measure), self._unit(measure)
        if self._averaged(measure):
            return False
        return unit in COUNTED_UNITS or bool(words & COUNTED) or any(word.endswith(COUNTED_ENDS) for word in words)

    def added(self, measure: str) -> bool:
        """Whether values of different series at one time are added, as loads are and temperatures are not."""
        words = _words(self.called(measure)) | _words(measure)
        return self.summed(measure) or (bool(words & ADDED) and not self._averaged(measure))

    def _is_money(self, measure: str) -> bool:
        words = _words(measure) | {self._unit(measure)}
        return bool(words & MONEY) or any(word.endswith(('umsatz', 'betrag', 'kosten', 'erlös')) for word in words)

    def _unit(self, measure: str) -> str:
        return str(self.known.get(measure, {}).get('unit') or '').strip().lower()

    def _averaged(self, measure: str) -> bool:
        """Whether a sum means nothing: rates, prices, temperatures, shares, and what is held rather than sold."""
        words, unit = _words(self.called(measure)) | _words(measure), self._unit(measure)
        if '%' in measure or '/' in unit or unit == '%' or words & NEVER_ADDED:
            return True
        return any(word.endswith(NEVER_ENDS) for word in words)

    def bare(self, measure: str) -> str:
        """What a measure is called behind another word, as its column is spelled: mean temperature, total Umsatz."""
        return (measure if measure.strip().lower() not in NAMELESS or not self.name else self.name)[:120]

    def called(self, measure: str) -> str:
        """What a measure is called at the beginning of a title: only a plain lowercase word gets a capital."""
        text = self.bare(measure)
        return text.capitalize() if text.isalpha() and text.islower() else text

    def shortened(self, panel: Json) -> str:
        """The title with a word where the dataset's name stands for the measure: the dashboard is called so."""
        measure, title = panel['query']['measures'][0], str(panel['title'])
        if measure.strip().lower() not in NAMELESS or not self.name:
            return title
        if title in (self.called(measure), self.bare(measure)):
            return 'Latest' if panel['kind'] == 'figure' else 'Over time'
        text = title.replace(self.called(measure), 'values').replace(self.bare(measure), 'values')
        text = re.sub(r'^(Mean|Total|Last|Highest|Lowest) values', r'\1 value', text)
        return text[:1].upper() + text[1:]

    def together(self, measure: str) -> Json:
        """All series as one line, or the greatest where they are too many."""
        if not self.many:
            return {}
        if self.series > TOGETHER:
            return {'top': 1}
        return {'group': '*', 'across': 'sum' if self.added(measure) else 'mean'}

    def of_all(self, measure: str) -> str:
        """The name where `together` draws: a panel says itself that it draws all series, but not that it draws one."""
        return self.called(measure) + (', greatest series' if self.series > TOGETHER else '')

    @property
    def value(self) -> str:
        """What values are that a rolling mean counts: hours, days, months."""
        usual = (('hour', 3600), ('day', DAY), ('week', 7 * DAY), ('month', 30.44 * DAY), ('year', 365.25 * DAY))
        return next((name for name, length in usual if abs(self.step / length - 1) < 0.05), 'value')

    @property
    def four(self) -> Sequence[str]:
        """Open, high, low and close, '' for what there is not."""
        return [next((name for name in self.measures if price in _words(name)), '') for price in PRICES]

    @property
    def traded(self) -> str:
        """The volume beside prices, '' where there is none."""
        return next((name for name in self.measures if 'volume' in _words(name)), '')

    def indexed(self, measure: str) -> bool:
        """Whether lines of several series are compared by how they went from a common start, as prices are."""
        least = self.known.get(measure, {}).get('min')
        positive = isinstance(least, int | float) and least > 0
        return self.many and positive and self.step >= 0.9 * DAY and bool(_words(measure) & PRICED)


def _words(text: str) -> set[str]:
    """The words of a name: `Adj_Close` → adj, close; `numOrders` → num, orders, and numorders, as of `kWh`."""
    return set(re.findall(r'[^\W\d_]+', f'{re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)} {text}'.lower()))


def _template(facts: _Facts) -> str:
    words = [_words(name) for name in facts.measures]
    if all(any(price in one for one in words) for price in PRICES):
        return 'prices'
    first, name = words[0], _words(facts.name)
    if first & PRICED and 0 < facts.step <= 3.5 * DAY and (facts.indexed(facts.measures[0]) or not facts.many):
        return 'prices'
    if (first | name) & ENERGY and facts.within_days:
        return 'energy'
    events = facts.irregular and facts.summed(facts.measures[0])
    return 'sales' if (first | name) & SALES or events else ''


# Panels


def _panel(kind: str, title: str, query: Json, **show: Any) -> Json:
    kept = {key: value for key, value in query.items() if value not in ('', 0)}
    return {'kind': kind, 'title': title[:200], 'query': kept} | ({'show': show} if show else {})


def _how(facts: _Facts, measure: str) -> Json:
    """The aggregation of a measure over a period; a panel tells itself which period is not over."""
    return {'aggregation': 'sum'} if facts.summed(measure) else {}


def _said(facts: _Facts, measure: str, name: str) -> str:
    """`name` with how it is made: total sales, mean temperature."""
    rest = name.removeprefix(facts.called(measure))
    return f'{"Total" if facts.summed(measure) else "Mean"} {facts.bare(measure)}{rest}'


def _figure(facts: _Facts, measure: str, every: str = '', how: str = '') -> Json:
    """The latest figure: of a period, all series together."""
    every = every or facts.period
    single = not (facts.within_days or facts.daily) and every == facts.period
    name = facts.of_all(measure)
    if how:
        name = f'{"Highest" if how == "max" else "Lowest"} {facts.bare(measure)}'
    elif not single and not facts.summed(measure):
        name = _said(facts, measure, name)
    title = name if single and not how else f'{name} {"in a" if how else "per"} {PERIODS[every]}'
    query = {'measures': [measure], 'every': every} | ({'aggregation': how} if how else _how(facts, measure))
    return _panel('figure', title, query | facts.together(measure))


def _figures(facts: _Facts, others: Sequence[str] = ()) -> list[Json]:
    """The first row: up to four figures."""
    measures = [*facts.measures[:EACH_ITS_FIGURE]] if not others else list(others)
    if len(measures) > 2:
        return [_figure(facts, measure) for measure in measures]
    single = not facts.many
    if len(measures) == 2:
        more = [_figure(facts, measure, how='max') for measure in measures] if single and facts.within_days else []
        return [_figure(facts, measures[0]), *more[:1], _figure(facts, measures[1]), *more[1:]]
    (first,) = measures
    if facts.many and facts.series <= EACH_ITS_FIGURE and len(facts.labels) == facts.series:
        every = facts.period
        query = {'measures': [first], 'every': every} | _how(facts, first)
        return [
            _panel('figure', f'{label} per {PERIODS[every]}', query | {'series': [label]}) for label in facts.labels
        ]
    longer = [_figure(facts, first, facts.longer)] if facts.longer != facts.period else []
    if single:
        period = facts.longer if facts.longer != facts.period and not facts.within_days else facts.period
        longer += [_figure(facts, first, period, how) for how in (('max', 'min') if facts.within_days else ('max',))]
    return [_figure(facts, first), *longer]


def _line(facts: _Facts, measure: str) -> Json:
    """A measure over time, a line each series; events are added up, for one of them tells little."""
    if facts.irregular and facts.summed(measure):
        return _sums(facts, measure)
    query = {'measures': [measure], **_how(facts, measure), **facts.several}
    return _panel('line', f'{facts.called(measure)}{facts.greatest}', query)


def _sums(facts: _Facts, measure: str) -> Json:
    """Bars of what a measure comes to, stacked where series are added."""
    query = {'measures': [measure], 'every': facts.bars, **_how(facts, measure), **facts.several}
    title = f'{facts.called(measure)}{facts.greatest}'
    return _panel('bar', title, query, stacked=facts.many and facts.added(measure))


def _rhythm(facts: _Facts, measure: str) -> Json | None:
    """Hours of a week, days of the years; nothing where there is neither."""
    query = {'measures': [measure], **facts.together(measure)}
    if facts.within_days:
        name = facts.of_all(measure)
        if facts.summed(measure) and (facts.irregular or facts.step < HOUR):
            # A mean would be one of orders or of quarter hours, and none of what an hour comes to.
            name, query = _said(facts, measure, name), query | {'aggregation': 'sum'}
        elif facts.irregular and facts.many:
            return None  # the mean of the means of series is none of all values
        return _panel('heat', f'{name} by hour and weekday', query)
    if facts.daily:
        return _panel('calendar', f'{facts.of_all(measure)} by day', query | _how(facts, measure))
    return None


def _spread(facts: _Facts, measure: str) -> Json:
    """How values are spread: quartiles of several series, a histogram of one."""
    if facts.many:
        return _panel(
            'box', f'Spread of {facts.bare(measure)}{facts.greatest}', {'measures': [measure], **facts.several}
        )
    return _panel('histogram', f'Distribution of {facts.bare(measure)}', {'measures': [measure]})


def _beside(facts: _Facts, measure: str) -> Json | None:
    """The measure beside the same time a year before, or a week before."""
    query = {'measures': [measure], **facts.together(measure)}
    if facts.years:
        every = 'P1M' if facts.step < 28 * DAY else facts.period
        title = f'{facts.of_all(measure)}, year on year'
        return _panel('line', title, query | {'every': every, 'compare': 'P1Y', **_how(facts, measure)})
    if facts.within_days and facts.days > 14:
        title = f'{facts.of_all(measure)}, week on week'
        return _panel('line', title, query | {'every': 'P1D', 'compare': 'P1W', **_how(facts, measure)})
    return None


def _periods(facts: _Facts, measure: str) -> Json | None:
    """Bars or areas by the longer period, stacked where series are added."""
    every = facts.longer
    if facts.days * DAY < 3 * {'P1D': DAY, 'P1W': 7 * DAY, 'P1M': 31 * DAY, 'P1Y': 366 * DAY}[every]:
        return None
    query = {'measures': [measure], 'every': every, **_how(facts, measure)}
    if facts.many and facts.added(measure) and facts.series <= MOST_LINES:
        return _panel('bar', _said(facts, measure, facts.called(measure)), query, stacked=True)
    return _panel('bar', _said(facts, measure, facts.of_all(measure)), query | facts.together(measure))


def _smooth(facts: _Facts, measure: str) -> Json | None:
    """The measure with its rolling mean over about a year of months, a week of days, a day of hours."""
    window = 24 if 0 < facts.step <= DAY / 12 else 7 if facts.daily else 12 if facts.step > 20 * DAY else 13
    if facts.many or not facts.step or facts.days * DAY < 3 * window * facts.step:
        return None
    query = {'measures': [measure], 'overlays': [f'mean~{window}']}
    return _panel('line', f'{facts.called(measure)}, {window}-{facts.value} mean', query)


def _pairs(panels: Sequence[Json | None], most: int = 4) -> list[Row]:
    """Rows of two; a last one alone has the row for itself."""
    found = [panel for panel in panels if panel][:most]
    return [(TALL, found[at : at + 2]) for at in range(0, len(found), 2)]


# Templates


def _general(facts: _Facts) -> list[Row]:
    first, *others = facts.measures
    lines = [_line(facts, measure) for measure in others[:2]]
    rest = [_rhythm(facts, first), _periods(facts, first), _beside(facts, first), _spread(facts, first)]
    more = [*lines, *rest, _smooth(facts, first)]
    return [(LOW, _figures(facts)), (TALL, [_line(facts, first)]), *_pairs(more)]


def _energy(facts: _Facts) -> list[Row]:
    # What a grid uses as a whole stands in front of what it comes from.
    first, *others = sorted(facts.measures, key=lambda measure: not _words(measure) & WHOLE)
    more = [_rhythm(facts, first), _periods(facts, first), *[_line(facts, one) for one in others[:2]]]
    more += [_beside(facts, first), _spread(facts, first)]
    return [(LOW, _figures(facts, [first, *others][:EACH_ITS_FIGURE])), (TALL, [_line(facts, first)]), *_pairs(more)]


def _sales(facts: _Facts) -> list[Row]:
    first, *others = facts.measures
    more = [_beside(facts, first), _rhythm(facts, first), *[_line(facts, one) for one in others[:2]]]
    more += [_periods(facts, first), _spread(facts, first), _smooth(facts, first)]
    return [(LOW, _figures(facts)), (TALL, [_sums(facts, first)]), *_pairs(more)]


def _prices(facts: _Facts) -> list[Row]:
    """Candles with what traders read; of several series how each went, from a common start."""
    four = facts.four if all(facts.four) else [facts.measures[0]]
    close, volume = four[-1], facts.traded
    one = {'top': 1} if facts.many else {}
    every = {} if len(four) > 1 else {'every': 'P1D' if facts.within_days else 'P1W' if facts.days < 900 else 'P1M'}
    of = ' of the greatest series' if facts.many else ''
    candles = _panel('candles', f'Price{of}', {'measures': four, 'volume': volume, **every, **one})
    daily = {'every': 'P1D', 'aggregation': 'last'} if facts.within_days else {}
    title = facts.called(close)
    bands = _panel(
        'line', f'{title}, Bollinger bands', {'measures': [close], 'overlays': ['bollinger~20~2'], **daily, **one}
    )
    swing = _panel('line', f'{title}, RSI', {'measures': [close], 'overlays': ['rsi~14'], **daily, **one})
    traded = None
    if volume:
        query = {'measures': [volume], 'every': 'P1M', 'aggregation': 'sum', **one}
        traded = _panel('bar', f'Total {facts.bare(volume)}{of}', query)
    if facts.many:
        query = {'measures': [close], **facts.several}
        latest = _panel('figure', f'Last {facts.bare(close)}', query | {'every': 'P1D', 'aggregation': 'last'})
        went = _panel('line', title, query, axis='index' if facts.indexed(close) else 'linear')
        return [(TALL, [went, latest]), (TALL + 1, [candles]), *_pairs([bands, swing, traded])]
    told = [(f'Last {facts.bare(close)}', close, 'P1D', 'last')]
    if facts.days > 60:
        told.append((f'{title}, end of month', close, 'P1M', 'last'))
    if len(four) > 1:
        told += [('Highest of a month', four[1], 'P1M', 'max'), ('Lowest of a month', four[2], 'P1M', 'min')]
    figures = [
        _panel('figure', name, {'measures': [measure], 'every': step, 'aggregation': how})
        for name, measure, step, how in told
    ]
    rest = [bands, swing, traded, _spread(facts, close), _beside(facts, close)]
    return [(LOW, figures), (TALL + 1, [candles]), *_pairs(rest)]
