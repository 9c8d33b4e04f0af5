"""The tables of shipped definitions in docs/providers.md: what each uses, and what it was checked against."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from courier.providers.http_json.definition import Definition
from courier.providers.http_json.shipped import ShippedDefinition


def shipped_table(folder: Path) -> str:
    """Return the tables as Markdown."""
    found = {
        path.stem: ShippedDefinition.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        for path in sorted(folder.glob("*@*.yaml"))
    }
    rows = [
        "| Definition | API | Credentials | Start and status | File | Also |",
        "|---|---|---|---|---|---|",
    ]
    for name, shipped in found.items():
        api = shipped.api
        cells = (_credentials(api), ", ".join(_calls(api)), ", ".join(_file(api)), ", ".join(_more(api)))
        link = f"../layers/courier/courier/providers/definitions/{name}.yaml"
        rows.append(f"| [{name}]({link}) | {shipped.title} | {' | '.join(cells)} |")
    rows += [
        "",
        "Each one passes the same tests against a simulated vendor, which `courier run --provider NAME` shows. What",
        "nobody here wrote has checked these (`make verify-providers`):",
        "",
        "| Definition | Checked by: what it covers | Taken for granted |",
        "|---|---|---|",
    ]
    for name, shipped in found.items():
        rows.append(f"| {name} | {'; '.join(shipped.tried) or '-'} | {' '.join(shipped.unchecked) or '-'} |")
    return "\n".join(rows)


def _credentials(api: Definition) -> str:
    auth = api.auth
    text = {
        "oauth2": f"OAuth2, {auth.grant.replace('_', ' ')}",
        "header": f"key in `{auth.name}`",
        "login": "login call",
    }.get(auth.kind, auth.kind)
    return text + (f", `{'`, `'.join(auth.also)}`" if auth.also else "")


def _calls(api: Definition) -> Iterator[str]:
    start = api.start
    if start is not None:
        if start.form is not None:
            yield "form"
        if start.id is not None and start.id.header is not None:
            yield f"id in `{start.id.header}`"
        if start.then is not None:
            yield "second step"
        if start.once is not None:
            yield "idempotency key"
    if api.preflight is not None:
        yield "dry run"
    yield f"status by {api.status.method}"
    if api.status.codes:
        yield "HTTP status is the state"


def _file(api: Definition) -> Iterator[str]:
    link = api.link
    if link is None:
        yield "none"
        return
    if link.call is not None:
        yield "link by a second call"
    elif link.file is not None:
        yield "on the API, with credentials"
    else:
        yield "link in the status" if link.auth is not True else "link in the status, with credentials"
    if link.each is not None:
        yield "one of several"
    for name in ("bytes", "sha256", "expires", "gzip"):
        if getattr(link, name) is not None:
            yield name
    if link.none_means is not None or link.none_when is not None:
        yield "may be none"


def _more(api: Definition) -> Iterator[str]:
    if api.list is not None:
        yield "list" if api.list.next is None else "list with pages"
    if api.cancel is not None:
        yield "cancel"
    if api.rules:
        yield "rules"
    if api.words.empty or "empty" in api.status.codes.values():
        yield "empty end"
    if api.words.gone:
        yield "gone"
