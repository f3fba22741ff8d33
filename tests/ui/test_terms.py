"""Words that can be asked what they mean, in a browser: `ui/static/terms.js` and the look on a page of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import browser, running

__all__ = ['browser', 'running']  # the fixtures

STATIC = Path(__file__).parents[2] / 'ui' / 'static'
HEAD = '<!doctype html><meta name="viewport" content="width=device-width"><title>Terms</title>'
TERM = '<button class="term" data-says="Errors of the seasonal naive.">MASE</button>'
# As `components.table` draws a leaderboard.
TABLE = f"""
<table class="cards labelled">
<thead><tr><th style="width: 40%">Model</th><th class="num">{TERM}</th>
<th class="num wide-only">Points</th></tr></thead>
<tbody><tr data-href="/"><td data-label="Model">Theta</td><td class="num" data-label="MASE">0.904</td>
<td class="num wide-only" data-label="Points">36</td></tr></tbody>
</table>
"""

pytestmark = pytest.mark.xdist_group('browser')


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={'width': 390, 'height': 844}, has_touch=True)
    page = context.new_page()
    page.set_content(HEAD + TABLE)
    page.add_style_tag(path=STATIC / 'tokens.css')
    page.add_script_tag(path=STATIC / 'terms.js')
    yield page
    context.close()


def test_labels_of_a_table_s_cards_are_asked_above_them(page: Page) -> None:
    word, said = page.get_by_role('button', name='MASE'), page.get_by_role('tooltip')
    word.tap()
    expect(said).to_have_text('Errors of the seasonal naive.')
    word.tap()
    expect(said).to_have_count(0)
    assert not page.get_by_role('columnheader', name='Model').is_visible(), 'only what can be asked'
    word_box, row_box = word.bounding_box(), page.get_by_text('0.904').bounding_box()
    assert word_box
    assert row_box
    assert word_box['y'] < row_box['y']


def test_a_table_without_terms_has_no_line_above_its_cards(page: Page) -> None:
    page.evaluate("document.querySelector('.term').replaceWith('MASE')")
    assert not page.locator('thead').is_visible()
