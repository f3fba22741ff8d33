"""What a dashboard does with its panels."""

from typing import Any

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


def test_datasets_that_were_deleted_are_told_of_once_with_those_that_can_be_brought_back(told: Told) -> None:
    def of(*drawn: str, known: tuple[str, ...] = (), deleted: tuple[str, ...] = ()) -> Any:
        given = [
            {'panels': [{'dataset': dataset} for dataset in drawn]},
            {one: {} for one in known},
            {one: {'name': one.upper(), 'until': '29 Dec 2026'} for one in deleted},
        ]
        return told('return variables.lost(...given);', given)

    assert of('a', 'a', '', known=('a',)) == {'text': '', 'back': [], 'all': False}
    kept = '“A” was deleted. It is kept until 29 Dec 2026; once it is back, its panels draw again.'
    assert of('a', 'a', '', deleted=('a',)) == {'text': kept, 'back': ['a'], 'all': True}
    some = of('a', 'b', 'c', 'b', known=('c',), deleted=('a',))
    gone = '2 panels draw what was removed for good. Remove them, or choose another dataset by Edit.'
    assert some == {'text': f'{kept} {gone}', 'back': ['a'], 'all': False}


def test_a_dataset_that_is_back_takes_the_note_away(told: Told) -> None:
    assert told(
        PAGE
        + """
        const { Board } = await import('./dashboard.js'), said = [];
        const board = Object.create(Board.prototype);
        const spec = { panels: [{ dataset: 'a' }] };
        const parts = { bar: {}, empty: {} }, root = { dataset: {} };
        Object.assign(board, { spec, parts, root, known: { a: { version: 1 } }, deleted: {}, away: false });
        Object.assign(board, { tell: (text, ...acts) => said.push([text.slice(0, 11), acts.map(([label]) => label)]) });
        Object.assign(board, { lively: () => said.push(board.away), bar: () => {}, draw: () => {} });
        globalThis.document = { getElementById: () => null };
        board.lost({ a: { name: 'A', until: '29 Dec 2026' } });
        board.version({ dataset: 'a', version: 1 });
        return said;
        """
    ) == [['“A” was del', ['Restore']], True, ['', []], False]


def test_a_note_goes_only_once_it_is_neither_pointed_at_nor_in_focus(told: Told) -> None:
    assert told(
        """
        const { goes } = await import('./dom.js'), made = new EventTarget(), waits = new Map(), said = [];
        let last = 0;
        globalThis.setTimeout = (act) => { waits.set(++last, act); return last; };
        globalThis.clearTimeout = (one) => waits.delete(one);
        made.remove = () => said.push('gone');
        goes(made, 8000);
        for (const name of given) {
            made.dispatchEvent(new Event(name));
            said.push(waits.size);
        }
        for (const act of waits.values()) act();
        return said;
        """,
        ['pointerenter', 'focusin', 'pointerleave', 'focusout'],
    ) == [0, 0, 0, 1, 'gone']


NOTES = """
const said = [], made = () => ({ append() {}, remove() {}, setAttribute() {},
        addEventListener(name, act) { if (name === 'click') said.push(act); } });
Object.assign(globalThis.document, { querySelector: () => null, createElement: made, body: { append() {} } });
globalThis.setTimeout = () => 0;
const { Board } = await import('./dashboard.js'), board = Object.create(Board.prototype), did = [];
Object.assign(board, { past: [], ahead: [], dashboard: { id: 'd' }, spec: { panels: [{ id: 'a' }] } });
Object.assign(board, { arrange: (spec) => { board.spec = spec; }, say: () => {}, later: () => did.push('saved') });
"""


def test_what_was_restored_is_undone_as_any_other_change(told: Told) -> None:
    body = """
    board.rest = async () => ({ spec: { panels: [] }, revision: 3 });
    board.take = ({ spec }) => Object.assign(board, { spec, past: [], ahead: [] });
    await board.restore(1);
    const restored = board.spec.panels.length;
    board.undo();
    const undone = board.spec.panels.length;
    board.redo();
    return [restored, undone, board.spec.panels.length, did];
    """
    assert told(PAGE + NOTES + body) == [0, 1, 0, ['saved', 'saved']]


def test_where_nothing_can_be_undone_on_the_page_earlier_states_are_offered(told: Told) -> None:
    body = 'board.past_states = () => did.push("listed"); board.undo(); said[0](); return did;'
    assert told(PAGE + NOTES + body) == ['listed']
