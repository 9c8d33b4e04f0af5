"""The generated reference of the command line."""

from __future__ import annotations

from scripts.generate import whole_summaries

REFERENCE = """# `courier`

* `probe`: Call sources...
* `config`: Check...

## `courier probe`

Call sources now.

## `courier config`

Check sources.

* `probe`: Send...

### `courier config probe`

Send one harmless request.
"""


def test_commands_of_equal_name_keep_their_own_summaries() -> None:
    lines = [line for line in whole_summaries(REFERENCE).splitlines() if line.startswith("* ")]
    assert lines == [
        "* `probe`: Call sources now.",
        "* `config`: Check sources.",
        "* `probe`: Send one harmless request.",
    ]
