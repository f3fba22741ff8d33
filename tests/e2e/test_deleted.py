"""What was deleted is found again from its list, in a real browser and by the keyboard alone."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.server import Server
from tests.e2e.test_hours_rest import begin, finished, patch

pytestmark = pytest.mark.xdist_group('pages')
FILE = b'ds,y\n2024-01-01,1\n2024-01-02,2\n'


def test_what_was_deleted_is_restored_from_its_list(server: Server, page: Page) -> None:
    api = server.client('keeps@example.com')
    page.context.add_cookies([{'name': one.name, 'value': one.value, 'url': server.url} for one in api.cookies.jar])
    ids = [
        patch(api, begin(api, f'{name}.csv', len(FILE)), FILE).headers['variosync-dataset']
        for name in ('Harbour', 'Lock', 'Quay', *(f'Pier {number}' for number in range(12)))
    ]
    for one in ids[:3]:
        assert api.delete(f'/api/v1/datasets/{one}').status_code == 204
    answer = api.get('/api/v1/datasets/deleted?offset=1&limit=1').json()
    assert ([one['name'] for one in answer['items']], answer['total']) == (['Lock'], 3)

    finished(api)  # until then the page is drawn anew, by which a link that is about to be pressed may go
    page.goto(f'{server.url}/datasets')
    page.get_by_role('link', name='Deleted (3)').press('Enter')
    expect(page).to_have_url(re.compile(r'/datasets\?show=deleted$'))
    lines = page.locator('tbody tr')
    expect(lines).to_have_count(3)
    expect(lines.first).to_contain_text('Quay')
    expect(lines.first).to_contain_text('You')
    page.get_by_role('button', name='Restore Quay').press('Enter')
    expect(lines).to_have_count(2)
    expect(page.locator('.toast').filter(has_text='Quay is back.')).to_be_visible()
    # The keyboard goes on at the row that took its place.
    expect(page.get_by_role('button', name='Restore Lock')).to_be_focused()
    page.keyboard.press('Enter')
    expect(lines).to_have_count(1)
    expect(page.get_by_role('button', name='Restore Harbour')).to_be_focused()
    # Another page is quicker; this one hears of it.
    assert api.post(f'/api/v1/datasets/{ids[0]}/undelete').status_code == 200
    expect(page.get_by_text('Nothing is deleted')).to_be_visible()
    assert api.delete(f'/api/v1/datasets/{ids[0]}').status_code == 204
    page.get_by_role('button', name='Restore Harbour').press('Enter')
    expect(page.get_by_text('Nothing is deleted')).to_be_visible()
    expect(page.get_by_role('heading', name='Deleted datasets')).to_be_focused()
    page.locator('main').get_by_role('link', name='All datasets').first.press('Enter')
    expect(page.locator('tbody tr')).to_have_count(15)
    expect(page.get_by_role('link', name=re.compile('Deleted'))).to_have_count(0)

    page.get_by_label('Find a dataset').fill('pier 1')
    expect(page.locator('tbody tr')).to_have_count(3)
    expect(page).to_have_url(re.compile(r'/datasets\?q=pier\+1$'))
    expect(page.get_by_role('status').filter(has_text='3 datasets found')).to_be_visible()
    for text in ('ship', 'boat'):
        page.get_by_label('Find a dataset').fill(text)
        expect(page.get_by_text(f'None has “{text}” in its name')).to_be_visible()
        expect(page.get_by_role('status').filter(has_text='0 datasets found')).to_be_visible()

    page.goto(f'{server.url}/audit')
    told = page.locator('tbody tr').filter(has_text='Dataset restored')
    expect(told).to_have_count(4)
    expect(told.first).to_contain_text('Harbour')
