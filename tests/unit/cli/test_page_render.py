"""How numbers and places are written on the page."""

from __future__ import annotations

import pytest

from cli.page.render import Place, _dollars, _percent, render
from tests.support.page_content import attacked, calm, data_in


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, ""), (1.0, "100 %"), (0.0, "0 %"), (0.9999, "99.9 %"), (0.0001, "0.1 %"), (0.956, "96 %")],
)
def test_only_all_is_a_hundred_percent(share: float | None, text: str) -> None:
    assert _percent(share) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [(1234.5, "$1,234.50"), (0.256, "$0.26"), (0.0671, "$0.067"), (0.000234, "$0.00023"), (0.0, "$0.00")],
)
def test_small_amounts_keep_two_digits(amount: float, text: str) -> None:
    assert _dollars(amount) == text


def test_a_run_that_can_be_continued_says_how_and_a_local_run_is_not_billed() -> None:
    html = render(calm(), Place(bucket_folder="bucket", commands=False, hint="courier run --out <here>"))
    assert "courier run --out &lt;here&gt;" in html
    assert 'id="cost"' not in html
    assert data_in(html)["suffix"] is None
    assert 'id="cost"' in render(calm(), Place(region="eu-central-1"))


def test_no_text_of_a_provider_is_markup_in_the_source() -> None:
    html = render(attacked(), Place(region="eu-central-1"))
    assert html.count("<script") == 2
    assert html.count("</script>") == 2
    assert "<img" not in html
    assert len(data_in(html)["builds"]) == 5


def test_a_page_is_the_same_each_time() -> None:
    place = Place(region="eu-central-1")
    assert render(calm(), place) == render(calm(), place)
