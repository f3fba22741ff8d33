"""What a dashboard does with its panels."""

from tests.ui.panels.given import DAY, HOUR, PAGE, Told, ms


def test_panels_move_up_where_one_was_taken_away(told: Told) -> None:
    at = [('a', 0, 0, 12, 2), ('c', 0, 6, 6, 4), ('d', 6, 7, 6, 3), ('e', 0, 10, 12, 2), ('f', 0, 20, 2, 2)]
    panels = [dict(zip(('id', 'x', 'y', 'w', 'h'), one, strict=True)) for one in at]
    body = 'return places.compacted(given).map((one) => [one.id, one.y]);'
    assert told(body, panels) == [['a', 0], ['c', 2], ['d', 2], ['e', 6], ['f', 8]]
    assert told('return places.compacted(given).every((one, at) => one === given[at]);', panels[:1])


def test_files_of_panels_tell_their_dataset_what_they_are_of_and_from_when_to_when(told: Told) -> None:
    names = told(
        """
        const { Panel } = await import('./panel.js');
        return given.map(([title, query, range, step]) => {
            const known = { name: 'Grid 2024', span: [0, 40 * 864e5], step };
            const context = { datasets: { d: known }, zone: 'Europe/Oslo' };
            return Panel.prototype.called.call({ spec: { dataset: 'd', query }, range, context }, title);
        });
        """,
        [
            ['load', {'measures': ['load']}, None, HOUR],
            ['load', {'measures': ['load'], 'series': ['Tromsø']}, [0, 6 * HOUR], HOUR],
            ['a, b, c, d', {'measures': ['a', 'b', 'c', 'd']}, [0, 10 * DAY], DAY],
            ['Grid 2024 in Tromsø', {'measures': ['load'], 'series': ['Tromsø']}, None, DAY],
        ],
    )
    assert names == [
        'Grid 2024, load, 1970-01-01 to 1970-02-10',
        'Grid 2024, load, Tromsø, 1970-01-01 0100 to 1970-01-01 0700',
        'Grid 2024, 4 measures, 1970-01-01 to 1970-01-11',
        'Grid 2024 in Tromsø, 1970-01-01 to 1970-02-10',
    ]


def test_the_frame_of_a_panel_that_is_looked_for_lights_up_once(told: Told) -> None:
    assert told(
        PAGE
        + """
        const { Board } = await import('./dashboard.js'), said = [];
        globalThis.setTimeout = (act, ms) => { said.push(ms > 1000); act(); };
        const classList = { add: (name) => said.push(`+${name}`), remove: (name) => said.push(`-${name}`) };
        Board.prototype.flash({ classList });
        return said;
        """
    ) == ['+found', True, '-found']


def test_the_range_of_a_single_moment_is_that_moment(told: Told) -> None:
    found = told(
        PAGE
        + """
        const { Board } = await import('./dashboard.js');
        return given.map((span) => Board.prototype.said({ range: null, span, zone: 'UTC', step: 0 }));
        """,
        [[ms(2026, 3, 1)] * 2, [ms(2026, 3, 1, 8)] * 2, [ms(2026, 3, 1), ms(2026, 3, 9)]],
    )
    assert found == ['1 Mar 2026', '1 Mar 2026, 08:00', '1 Mar 2026, 00:00 to 9 Mar 2026, 00:00']
