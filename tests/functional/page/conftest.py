"""A real browser, where Chromium is installed (`make test-setup`); without it these tests are skipped."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from cli.page.content import PageContent
from cli.page.render import Place, render
from tests.support.page_content import REGION

NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDE, PHONE = (1280, 900), (390, 844)

# Types of playwright, which is installed with the browser and not before.
Page: TypeAlias = Any
Browser: TypeAlias = Any
OpenPage: TypeAlias = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="make test-setup installs playwright")
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        pytest.skip("make test-setup installs Chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[OpenPage]:
    """Return a function that opens the page of some content; its ``requests`` and ``errors`` are on the page."""
    contexts: list[Any] = []

    def opened(
        content: PageContent,
        *,
        size: tuple[int, int] = WIDE,
        dark: bool = False,
        place: Place = Place(region=REGION),  # noqa: B008 - never changed
        **options: object,
    ) -> Page:
        file = tmp_path / f"page-{len(contexts)}.html"
        file.write_text(render(content, place), encoding="utf-8")
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            **options,
        )
        contexts.append(context)
        page: Page = context.new_page()
        page.set_default_timeout(10_000)
        page.requests, page.errors = [], []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on(
            "console",
            lambda message: page.errors.append(message.text) if message.type == "error" else None,
        )
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-ready=yes]", state="attached")
        return page

    yield opened
    for context in contexts:
        context.close()
