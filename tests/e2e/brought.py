"""Somebody new, and with a file; that a browser can sign up and upload is what `test_main_job` and others are about."""

from pathlib import Path

import httpx
from playwright.sync_api import Page

from tests.e2e.server import Server
from tests.e2e.test_hours_rest import finished, upload


def signed_up(page: Page, server: Server, email: str) -> httpx.Client:
    """Make an account that this page's browser is signed in to; return a program that is so, too."""
    client = server.client(email)
    page.context.add_cookies(
        [{'name': one.name, 'value': one.value or '', 'url': server.url} for one in client.cookies.jar]
    )
    return client


def brought(page: Page, server: Server, email: str, file: Path) -> str:
    """Make such an account and the dataset of a file in it; return its id."""
    client = signed_up(page, server, email)
    dataset = upload(client, file.name, file.read_bytes())
    finished(client)
    return dataset
