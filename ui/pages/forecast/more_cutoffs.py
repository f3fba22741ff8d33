"""What a verdict on the bands of a forecast takes, and the same forecast asked for with more past cutoffs."""

from uuid import UUID

from nicegui import ui

from core.ask import ENOUGH, Reach
from core.values import Balance
from ui.components.formats import counted
from ui.components.hours import Price
from ui.components.parts import button, tag
from ui.components.terms import Marked
from ui.pages import forecast_choices as choosing
from ui.pages.forecast.state import Shown
from ui.pages.forecast_words import takes
from ui.session import current


class MoreCutoffs:
    """Says of models that were scored on too few forecasts what a verdict takes; one press asks for it."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self._reach: dict[str, Reach] = {}
        self._balance: Balance | None = None
        self._made: tuple[int, UUID] | None = None

    async def load(self, model: str) -> None:
        """Read what a verdict on a model takes, once, if it has none."""
        score = self._shown.score(model)
        if model in self._reach or score is None or score['n_windows'] >= ENOUGH:
            return
        services, user = self._shown.services, self._shown.session.user.id
        self._reach[model] = await services.forecasts.reach(user, self._shown.forecast.id, model)
        self._balance = self._balance or await services.hours.balance(user)

    def has(self, model: str) -> bool:
        """Whether there is something to say of a model."""
        return model in self._reach

    def draw(self, model: str) -> None:
        """Draw it where there is something to say."""
        reach = self._reach.get(model)
        if reach is None:
            return
        tag('p', Marked(takes(reach, marked=True)), 't12 t2')
        price = Price(self._balance, reach.quote) if reach.quote is not None and self._balance is not None else None
        with tag('div', classes='hs wrap'):
            if reach.offered and price is not None:
                self._button(reach, price)
            if reach.room is not None and reach.room < reach.needed and reach.shorter:
                shorter = choosing.again(self._shown.forecast, h=reach.shorter, windows=None)
                href = choosing.write(shorter, dataset=str(self._shown.forecast.dataset_id))
                button(f'Ask for {counted(reach.shorter, "step")}', kind='small', href=href)

    def _button(self, reach: Reach, price: Price) -> None:
        more = reach.offered - reach.windows
        text = f'Test on {counted(more, "more past cutoff")}' if more > 0 else 'Test without a limit of time'

        async def ask() -> None:
            # This page stands until that of the forecast comes: asked for once more, the same is not ordered again.
            if self._made is None or self._made[0] != reach.offered:
                forecasts, asked = self._shown.services.forecasts, self._shown.forecast.id
                made = await forecasts.measure(current().user.id, asked, reach.offered)
                self._made = reach.offered, made.id
            ui.navigate.to(f'/forecasts/{self._made[1]}')

        price.guard(button(text, kind='small', icon_name='play', on_click=ask))
        price.follow(self._shown.services, self._shown.session)
