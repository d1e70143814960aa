"""Opens pages in headless Chromium."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Starts Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        yield chromium
        chromium.close()


@contextlib.contextmanager
def open_page(chromium: Any, path: Path, width: int = 1280, **options: Any) -> Iterator[Any]:
    """Opens a file; fails if it writes to the console, raises an error or uses the network."""
    context = chromium.new_context(viewport={"width": width, "height": 900}, **options)
    page, problems = context.new_page(), []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request",
        lambda request: request.url.startswith("file:") or problems.append(request.url),
    )
    page.goto(path.as_uri())
    yield page
    context.close()
    assert problems == []
