"""A next page is read where its link is safe, and else reported as unread."""

from __future__ import annotations

import pytest

from courier.errors import SourceProtocolError, SourceThrottledError
from courier.providers.paging import PAGE_LIMIT, PagedList, read_list
from tests.unit.providers.fake_api import FakeApi, Reply, Step

PATH = "/reporting/builds"


def page(entries: list[object], link: str | None = None, **headers: str) -> Reply:
    linked = {} if link is None else {"Link": f'<{link}>; rel="next"'}
    return Reply(json=entries, headers=linked | {name.replace("_", "-"): value for name, value in headers.items()})


def read(*steps: Step) -> tuple[PagedList, list[str]]:
    fake = FakeApi(*steps)
    return read_list(fake.client, PATH, kind="list_builds"), [sent.path for sent in fake.sent]


@pytest.mark.parametrize("headers", [{}, {"X_Total_Count": "2"}, {"Link": '</x>; rel="prev"'}, {"X_Next_Page": ""}])
def test_a_list_without_pages_costs_one_request(headers: dict[str, str]) -> None:
    assert read(page(["a", "b"], **headers)) == (PagedList(["a", "b"], None), [PATH])


@pytest.mark.parametrize(
    "link",
    [
        "?page=2",
        f"{PATH}?page=2",
        f"https://api.example.com{PATH}?page=2",
        f"http://api.example.com{PATH}?page=2",
        "https://API.example.com:443/reporting/%62uilds?page=2#top",
    ],
)
def test_a_next_page_of_the_same_list_is_read(link: str) -> None:
    found, paths = read(page(["a"], link, X_Total_Count="2"), page(["b"]))
    assert found == PagedList(["a", "b"], None)
    assert paths == [PATH, f"{PATH}?page=2"]


@pytest.mark.parametrize(
    "header",
    [
        '<?page=1>; rel="prev", <?page=2>; rel="next"',
        '<?page=2>; rel=next; title="a, b"',
        '<?page=2>; title="x"; REL="first Next"',
    ],
)
def test_the_relation_is_found_among_others(header: str) -> None:
    found, paths = read(page(["a"], Link=header), page(["b"]))
    assert (found.entries, paths[1]) == (["a", "b"], f"{PATH}?page=2")


@pytest.mark.parametrize(
    "link",
    [
        f"https://elsewhere.example.com{PATH}?page=2",
        "https://api.example.com/other?page=2",
        f"{PATH}/2",
        PATH,
        "",
        "https://[broken",
        "?page=2 x",
        "?" + "x" * 2_001,
    ],
)
def test_any_other_link_is_reported_and_never_followed(link: str) -> None:
    found, paths = read(page(["a"], link))
    assert found == PagedList(["a"], "list_builds: a next page whose link is not followed")
    assert paths == [PATH]


def test_a_link_to_a_page_that_was_read_ends_the_list() -> None:
    found, paths = read(page(["a"], "?page=2"), page(["b"], "?page=2"))
    assert (found.entries, found.unread) == (["a", "b"], "list_builds: a next page whose link is not followed")
    assert len(paths) == 2


def test_endless_pages_end() -> None:
    replies = [page([number], f"?page={number}") for number in range(PAGE_LIMIT + 5)]
    found, paths = read(*replies)
    assert found.unread == f"list_builds: more pages than the {PAGE_LIMIT} that were read"
    assert len(paths) == PAGE_LIMIT


def test_all_pages_together_take_no_longer_than_one_call() -> None:
    fake = FakeApi(*(page([number], f"?page={number}") for number in range(9)), seconds_per_request=25.0)
    found = read_list(fake.client, PATH, kind="list_builds")
    assert found.unread == "list_builds: more pages than the 3 that were read"


@pytest.mark.parametrize(
    ("headers", "unread"),
    [
        ({"X_Total_Count": "4"}, "list_builds: 1 entries of 4 that its headers announce"),
        ({"Content_Range": "items 0-0/4"}, "list_builds: 1 entries of 4 that its headers announce"),
        ({"X_Next_Page": "2"}, "list_builds: a next page, announced by X-Next-Page"),
        ({"x_ms_continuation": "abc"}, "list_builds: a next page, announced by x-ms-continuation"),
        ({"X_Total_Count": "many"}, None),
        ({"X_Total_Count": "9" * 500}, None),
        ({"Content_Range": "items 0-0/*"}, None),
    ],
)
def test_entries_that_are_only_announced_are_reported(headers: dict[str, str], unread: str | None) -> None:
    assert read(page(["a"], **headers))[0] == PagedList(["a"], unread)


def test_every_page_must_be_a_list() -> None:
    with pytest.raises(SourceProtocolError, match="insights: list_builds returned a document that is not a list"):
        read(page(["a"], "?page=2"), Reply(json={"builds": []}))


def test_a_page_that_fails_fails_the_list() -> None:
    with pytest.raises(SourceThrottledError):
        read(page(["a"], "?page=2"), Reply(429, headers={"Retry-After": "60"}))
