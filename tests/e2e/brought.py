"""Somebody new with a file; that a browser can sign up and upload is what `test_main_job` and others are about."""

from pathlib import Path

from playwright.sync_api import Page

from tests.e2e.server import Server
from tests.e2e.test_hours_rest import finished, upload


def brought(page: Page, server: Server, email: str, file: Path) -> str:
    """Make an account that this page's browser is signed in to, and the dataset of a file in it; return its id."""
    client = server.client(email)
    page.context.add_cookies(
        [{'name': one.name, 'value': one.value or '', 'url': server.url} for one in client.cookies.jar]
    )
    dataset = upload(client, file.name, file.read_bytes())
    finished(client)
    return dataset
