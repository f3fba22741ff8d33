import duckdb
import pytest

from core.analysis.recipes.expressions import Expression, compiled
from core.errors import UsageError

COLUMNS = {
    'price': Expression('"price"', 'number'),
    'qty': Expression('"qty"', 'number'),
    'outside temp': Expression('"outside temp"', 'number'),
    'site': Expression('"site"', 'text'),
    'open': Expression('"open"', 'boolean'),
    'day': Expression('"day"', 'time'),
}
ROWS = """(SELECT * FROM (VALUES
    ('a', TIMESTAMP '2024-01-01', 1, 2.0, 3.0, -5.0, 'Oslo', true, TIMESTAMP '2024-01-01'),
    ('a', TIMESTAMP '2024-01-02', 2, 4.0, NULL, 5.5, 'Bergen', false, TIMESTAMP '2024-01-02 13:00'),
    ('b', TIMESTAMP '2024-01-01', 3, 10.0, 0.0, 7.0, NULL, true, TIMESTAMP '2024-02-29')
) AS t(_series, _time, _line, price, qty, "outside temp", site, open, day))"""


def values(text: str) -> list[object]:
    sql = compiled(text, COLUMNS).sql
    return [
        row[0] for row in duckdb.sql(f'SELECT v FROM (SELECT _line, {sql} AS v FROM {ROWS}) ORDER BY _line').fetchall()
    ]


@pytest.mark.parametrize(
    ('text', 'found'),
    [
        ('price * qty + 1', [7.0, None, 1.0]),
        ('-price // 3', [-1.0, -2.0, -4.0]),
        ('-price % 3', [1.0, 2.0, 2.0]),
        ('`outside temp` ** 2', [25.0, 30.25, 49.0]),
        ('round(price / 3, 1)', [0.7, 1.3, 3.3]),
        ('max(price, 3, qty)', [3.0, 4.0, 10.0]),
        ('coalesce(qty, 9)', [3.0, 9.0, 0.0]),
        ("price if site == 'Oslo' else None", [2.0, None, None]),
        ('lower(site)', ['oslo', 'bergen', None]),
        ('1 < price <= 4', [True, True, False]),
        ("site in ['Oslo', 'Paris'] or open", [True, False, True]),
        ('qty == None', [False, True, False]),
        ('price is not None and not open', [False, True, False]),
        ("day >= '2024-01-02'", [False, True, True]),
        ('month(day) + weekday(day)', [2.0, 3.0, 6.0]),
        ('diff(price)', [None, 2.0, None]),
        ('cumsum(price)', [2.0, 6.0, 10.0]),
        ('rolling_mean(price, 2)', [2.0, 3.0, 10.0]),
        ("site + '!'", ['Oslo!', 'Bergen!', None]),
        ('price / qty > 1', [False, None, None]),
        ('price / qty in [5]', [False, None, None]),
        ('price % 3 % 2', [0.0, 1.0, 1.0]),
        ("contains('a `outside temp` b', 'outside')", [True, True, True]),
        ('coalesce(None, price)', [2.0, 4.0, 10.0]),
    ],
)
def test_an_expression_means_what_it_says(text: str, found: list[object]) -> None:
    assert values(text) == found


@pytest.mark.parametrize(
    ('text', 'told'),
    [
        ('', 'is empty'),
        ('prize * 2', 'There is no column "prize". Columns are price'),
        ('price = 3', 'write == in place of ='),
        ('price > 3 AND qty > 1', 'small letters'),
        ('price + site', '"site" is a text where a number is needed'),
        ('price > site', 'cannot be compared'),
        ("day > 'yesterday'", 'is no time'),
        ("day > '2024-02-30'", 'is no time'),
        ('price if open else site', 'in some rows'),
        ('rolling_mean(price, 0)', 'whole number of rows'),
        ('rolling_mean(price, qty)', 'whole number of rows'),
        ('rolling_mean(diff(price), 3)', 'Derive a column by diff() first'),
        ('round()', 'takes 1 to 2 arguments, not 0'),
        ('1e999', 'too large'),
        ('price is 3', 'compares with None only'),
        ("site in 'Oslo'", 'stands a list'),
        ('not price', 'is a number where a truth value is needed'),
        ('(' * 60 + 'price' + ')' * 60 + '+' * 3000, 'longer than'),
        ('-' * 200 + 'price', 'nested too deeply'),
        ('price < ' * 200 + 'price', 'longer than'),
        ("site == '\\ud800'", 'no text can have'),
        ('_named_0 == price', 'There is no column "_named_0"'),
        ('log(price)', 'Use ln or log10'),
    ],
)
def test_what_is_wrong_is_said(text: str, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        compiled(text, COLUMNS)
    assert told in raised.value.message


@pytest.mark.parametrize(
    'text',
    [
        "__import__('os').system('true')",
        "read_csv('/etc/passwd')",
        'price.__class__',
        '[x for x in price]',
        'lambda: 1',
        "getenv('HOME')",
        '(SELECT 1)',
        'price; DROP TABLE t',
        'price -- comment',
        "f'{price}'",
        'price[0]',
        '"a" "\\0"',
        '(price := 3)',
        'b"x"',
    ],
)
def test_nothing_else_gets_through(text: str) -> None:
    with pytest.raises(UsageError):
        compiled(text, COLUMNS)


def test_an_expression_never_becomes_far_larger_than_it_is() -> None:
    assert len(compiled('%'.join(['price'] * 36), COLUMNS).sql) < 5000
    nested = 'qty'
    while len(nested) < 900:
        nested = f'(1 if 0 < {nested} < 2 else 2)'
    with pytest.raises(UsageError, match=r'too involved|nested too deeply'):
        compiled(nested, COLUMNS)


@pytest.mark.parametrize('text', ['price' + '.a' * 490, 'price' + '()' * 490, 'price' + '[0]' * 330])
def test_a_long_chain_is_refused_in_words(text: str) -> None:
    with pytest.raises(UsageError):
        compiled(text, COLUMNS)


@pytest.mark.parametrize('places', ['qty', 'None', '1.5', '-(-1)'])
def test_places_to_round_to_are_a_whole_number(places: str) -> None:
    with pytest.raises(UsageError, match=r'round\(\) takes a whole number of places'):
        compiled(f'round(price, {places})', COLUMNS)


@pytest.mark.parametrize(('places', 'same'), [('20', '15'), ('9' * 30, '15'), ('-16', '-15')])
def test_more_places_than_a_number_has_are_as_many_as_it_has(places: str, same: str) -> None:
    assert compiled(f'round(price, {places})', COLUMNS) == compiled(f'round(price, {same})', COLUMNS)


def test_texts_and_names_are_quoted() -> None:
    name = 'a" FROM (SELECT 1) --'
    found = compiled(
        f"site == 'x'' OR 1' or `{name}` > 0", {**COLUMNS, name: Expression('"a"" FROM (SELECT 1) --"', 'number')}
    )
    assert found.kind == 'boolean'
    assert values('site == "O\'slo"') == [False, False, None]
