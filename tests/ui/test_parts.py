"""Small parts: what they are called for somebody who does not see them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement
from nicegui.events import GenericEventArguments
from nicegui.testing import user_simulation

from tests.ui.site import until
from ui.components import parts
from ui.components.parts import Tag, button, facts, field, tag
from ui.components.shares import parts_of, percents
from ui.components.table import Column, table
from ui.components.terms import Marked, says

MARKED = ('written(', 're.fullmatch(')


def click(element: Tag, *, detail: int) -> None:
    """Press a button as a browser tells it: `detail` counts the clicks of a double click."""
    (listener,) = element._event_listeners.values()
    element._handle_event({'listener_id': listener.id, 'args': {'detail': detail}})


async def test_a_button_that_works_takes_no_second_press() -> None:
    ordered: list[int] = []
    done = asyncio.Event()

    async def order() -> None:
        ordered.append(1)
        await done.wait()

    async with user_simulation() as user:
        ui.page('/order')(lambda: button('Order', on_click=lambda: order()))
        await user.open('/order')
        pressed: Any = user.find('Order').elements.pop()
        click(pressed, detail=1)
        await until(lambda: ordered)
        assert pressed.props['aria-busy'] == 'true'
        click(pressed, detail=1)
        done.set()
        await until(lambda: 'aria-busy' not in pressed.props)
        click(pressed, detail=2)
        await asyncio.sleep(0)
        assert len(ordered) == 1, 'the second click of a double click comes late'
        click(pressed, detail=1)
        await until(lambda: len(ordered) == 2)


async def test_a_button_whose_order_fails_takes_the_next_press() -> None:
    ordered: list[str] = []

    async def order(event: GenericEventArguments) -> None:
        ordered.append(event.sender.tag)
        if len(ordered) == 1:
            raise ValueError('refused')

    async with user_simulation() as user:
        ui.page('/fails')(lambda: button('Order', on_click=order))
        caught: list[Exception] = []
        await user.open('/fails')
        pressed: Any = user.find('Order').elements.pop()
        pressed.client.on_exception(caught.append)
        click(pressed, detail=1)
        await until(lambda: caught)
        click(pressed, detail=1)
        await until(lambda: len(ordered) == 2)


async def test_a_button_whose_order_draws_its_place_again_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    gone: list[Tag] = []
    done: list[bool] = []

    async def order(event: GenericEventArguments) -> None:
        await asyncio.sleep(0)
        event.sender.delete()
        monkeypatch.setattr(Tag, 'update', lambda element: gone.append(element))
        asyncio.get_running_loop().call_soon(done.append, True)

    async with user_simulation() as user:
        ui.page('/again')(lambda: button('Restore', on_click=order))
        await user.open('/again')
        pressed: Any = user.find('Restore').elements.pop()
        click(pressed, detail=1)
        await until(lambda: done)
    assert gone == []


async def test_what_is_done_at_once_may_be_pressed_quickly() -> None:
    steps: list[int] = []
    async with user_simulation() as user:
        ui.page('/steps')(lambda: button('Step', on_click=lambda: steps.append(1)))
        await user.open('/steps')
        pressed: Any = user.find('Step').elements.pop()
        for detail in (1, 2, 3):
            click(pressed, detail=detail)
    assert len(steps) == 3


async def test_a_field_names_its_control_unless_that_has_a_name() -> None:
    def fields() -> None:
        with field('Steps ahead'):
            ui.number(value=1).mark('plain')
        with field('Holidays'):
            ui.select(['None', 'DE'], value='None').props('aria-label="Holidays of a country"').mark('named')
        with field('Series') as outer:
            pass
        with outer:
            ui.input().mark('later')

    async with user_simulation() as user:
        ui.page('/fields')(fields)
        await user.open('/fields')
        found = {
            mark: user.find(marker=mark).elements.pop().props['aria-label'] for mark in ('plain', 'named', 'later')
        }
    assert found == {'plain': 'Steps ahead', 'named': 'Holidays of a country', 'later': 'Series'}


async def test_terms_in_text_in_heads_of_columns_and_in_labels_say_what_they_mean() -> None:
    def page() -> None:
        tag('p', Marked('From past {cutoffs|cutoff}, as {coverage}')).mark('text')
        table([Column[str](label='MASE', cell=str), Column[str](label='Name', cell=str, hint='Of whom.')], ['a'])
        with field('Past cutoffs', word='backtest'):
            ui.number(value=1).mark('control')
        facts({'Cutoff': 'May', 'File': 'a.csv'})

    async with user_simulation() as user:
        ui.page('/terms')(page)
        await user.open('/terms')
        said = {one.text: one.props['data-says'] for one in user.find(kind=TextElement).elements if one.tag == 'button'}
        text = ''.join(one.text for one in user.find(marker='text').elements.pop().descendants())
        named = user.find(marker='control').elements.pop().props['aria-label']
    assert said == {
        'cutoffs': says('cutoff'),
        'coverage': says('coverage'),
        'MASE': says('MASE'),
        'Name': 'Of whom.',
        'Past cutoffs': says('backtest'),
        'Cutoff': says('cutoff'),
    }
    assert (text, named) == ('From past cutoffs, as coverage', 'Past cutoffs')


@pytest.mark.parametrize(
    ('weights', 'told'),
    [
        ((0.494, 0.386, 0.12), ['49%', '39%', '12%']),
        ((1, 1, 1), ['34%', '33%', '33%']),
        ((0.998, 0.002), ['>99%', '<1%']),
        ((1,), ['100%']),
        ((0, 0), ['0%', '0%']),
    ],
)
def test_parts_of_a_whole_are_a_hundred_percent_together(weights: tuple[float, ...], told: list[str]) -> None:
    assert percents(weights) == told


async def test_the_bar_of_a_part_is_as_long_as_its_part_of_the_whole() -> None:
    async with user_simulation() as user:
        ui.page('/parts')(lambda: parts_of({'Theta': 0.25, 'Prophet': 0.5, 'Naive': 0.25}, 'series-1', 'Auto', most=2))
        await user.open('/parts')
        bars = [e for e in user._client.elements.values() if e.tag == 'i']
        assert [bar.style['width'] for bar in bars] == ['50.00%', '25.00%']


def test_numbers_of_pages_are_written_as_their_user_reads_them() -> None:
    """Only what passes `written`, `count` or `number` has the user's marks between thousands."""
    root = Path(parts.__file__).parents[1]
    for file in (*root.glob('components/*.py'), *root.glob('pages/**/*.py')):
        for line in file.read_text(encoding='utf-8').splitlines():
            assert file.name == 'formats.py' or ':,}' not in line or any(one in line for one in MARKED), (file, line)
