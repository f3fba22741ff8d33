"""What a press on the chart of a dataset means."""

from tests.ui.panels.given import PAGE, Told


def test_a_press_on_a_mean_means_the_nearest_of_its_points(told: Told) -> None:
    found = told(
        PAGE
        + """
        globalThis.location = { href: 'http://localhost/datasets/d' };
        globalThis.history = { replaceState() {} };
        const { default: chart } = await import('./series.js');
        const said = [], bytes = (...numbers) => [...new Uint8Array(new Uint32Array(numbers).buffer)];
        const columns = [['t', 3], ['y', 3]], lines = [{ name: 'a', n: 3, columns }];
        const header = new TextEncoder().encode(JSON.stringify({ kind: 'line', lines }).padEnd(96));
        const numbers = new Uint8Array(Float64Array.from([10, 11, 12, 5, NaN, 90]).buffer);
        const body = new Uint8Array([0x56, 0x53, 0x51, 0x31, ...bytes(96), ...header, ...numbers]);
        globalThis.fetch = (url) => { said.push(url.split('?')[1]); return Promise.resolve(new Response(body)); };
        const page = { ...chart.methods, dataset: 'd', known: { version: 1 }, $emit: (_, point) => said.push(point) };
        const press = { t: 11, of: { series: 'a', measure: 'load' }, around: [7, 15], y: (value) => 100 - value };
        await page.pressed(press, 20);
        await page.pressed({ ...press, around: null }, 20);
        return said;
        """
    )
    asked = 'kind=line&width=4000&measures=load&series=a&from=9&to=13'
    of = {'series': 'a', 'measure': 'load'}
    assert found == [asked, {'t': 12, **of}, {'t': 11, **of}]


def test_of_two_presses_the_newer_one_counts_whichever_is_answered_last(told: Told) -> None:
    found = told(
        PAGE
        + """
        globalThis.location = { href: 'http://localhost/datasets/d' };
        globalThis.history = { replaceState() {} };
        const { default: chart } = await import('./series.js');
        const said = [], waiting = [], of = { series: 'a', measure: 'load' };
        const page = { ...chart.methods, $emit: (_, { t }) => said.push(t) };
        page.nearest = () => new Promise((answered) => waiting.push(answered));
        const press = (t, around = [0, 9]) => page.pressed({ t, of, around, y: () => 0 }, 0);
        const first = press(1), second = press(2);
        waiting[1](2);
        await second;
        waiting[0](1);
        await first;
        const third = press(3);
        await press(4, null);
        waiting[2](3);
        await third;
        return said;
        """
    )
    assert found == [2, 4]


def test_a_page_opens_with_the_measure_it_is_told_unless_its_address_names_others(told: Told) -> None:
    found = told(
        PAGE
        + """
        const { asked } = await import('./series.js'), first = { measures: ['lat', 'load'], series: [], marks: true };
        const opened = (address, opening) => asked(address, { ...first, opening }).measures;
        return [opened('', 'load'), opened('', ''), opened('?measure=lat', 'load'), opened('?measure=gone', 'load')];
        """
    )
    assert found == [['load'], ['lat'], ['lat'], ['load']]
