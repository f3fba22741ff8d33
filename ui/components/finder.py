"""A field to choose one dataset of however many there are, by its name."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Protocol

from nicegui import ui
from nicegui.events import GenericEventArguments, Handler, ValueChangeEventArguments

from core.values import Dataset
from ui.components.paging import FEW, PAUSE
from ui.components.parts import tag

OFFERED = 50  # datasets at a time


class Find(Protocol):
    """Return the datasets that a text is part of the name of, OFFERED of them at most; all of them for no text."""

    def __call__(self, *, query: str = '') -> Awaitable[Sequence[Dataset]]: ...


def finder(
    first: Sequence[Dataset],
    find: Find,
    *,
    value: str,
    also: Mapping[str, str] | None = None,
    on_change: Handler[ValueChangeEventArguments[Any]] | None = None,
) -> ui.select:
    """A field that offers what `also` names and the `first` datasets, by their ids, and finds others as one types."""
    names = {**(also or {}), **_names(first)}
    select = ui.select(names, value=value, with_input=len(names) > FEW, on_change=on_change)
    select.props['aria-label'] = 'Dataset'
    if len(first) < OFFERED:
        return select
    with select.add_slot('after-options'):
        tag('div', 'Type to find others', 'q-item t12 t3')

    async def look(event: GenericEventArguments) -> None:
        text = str(event.args).strip()
        if not text or not (found := _names(await find(query=text))).keys() - names.keys():
            return
        names.update(found)  # behind those that are there: a browser tells what is pressed by its place
        select.set_options(dict(names))
        select.run_method('filter', text)

    select.on('input-value', look, throttle=PAUSE / 1000, leading_events=False)
    return select


def _names(datasets: Sequence[Dataset]) -> dict[str, str]:
    return {str(one.id): one.name for one in datasets}
