"""``courier run --provider``: a definition shown without an account."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import courier


@pytest.mark.long
def test_a_definition_is_shown_without_an_account(tmp_path: Path) -> None:
    ended = courier("run", "--provider", "stripe-report-runs", "--out", tmp_path / "out")
    assert (ended.exit_code, ended.err) == (0, "")
    assert "Simulated: Stripe report runs" in ended.out
    assert "1 delivered, 1 failed" in ended.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("strip",), "--provider: no such definition; did you mean stripe-report-runs? known: amazon-ads"),
        (("stripe-report-runs@9",), "--provider: no such definition; did you mean stripe-report-runs?"),
        (("",), "--provider: no such definition; known: "),
        (("stripe-report-runs", "--chaos", 1), "--provider simulates one vendor: omit --sources, --faults and --chaos"),
        (
            ("stripe-report-runs", "--watch", "a/b/c"),
            "--secrets, --secret-prefix, --request and --watch need --sources",
        ),
    ],
)
def test_what_cannot_be_shown_is_refused(tmp_path: Path, arguments: tuple[object, ...], message: str) -> None:
    ended = courier("run", "--provider", *arguments, "--out", tmp_path / "out")
    assert ended.exit_code == 2
    assert message in ended.error_line
    assert not (tmp_path / "out").exists()
