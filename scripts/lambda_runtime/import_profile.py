"""Reads the import times that Python writes (``PYTHONPROFILEIMPORTTIME``)."""

import re
from collections import Counter
from dataclasses import dataclass

_LINE = re.compile(r"import time: +(\d+) \| +\d+ \| +(\S+)")


@dataclass(frozen=True)
class Imports:
    """The milliseconds spent in each top-level package itself, and the names of all modules."""

    milliseconds: Counter[str]
    modules: frozenset[str]

    @property
    def total_milliseconds(self) -> float:
        """The time of all imports."""
        return sum(self.milliseconds.values())

    def largest(self, count: int) -> str:
        """Return the slowest packages with their times."""
        return ", ".join(f"{name} {spent:.0f}" for name, spent in self.milliseconds.most_common(count))


def read_imports(output: str) -> Imports:
    """Parse the lines that Python writes to standard error."""
    milliseconds: Counter[str] = Counter()
    modules = set()
    for match in _LINE.finditer(output):
        modules.add(match[2])
        milliseconds[match[2].split(".")[0]] += int(match[1]) / 1000  # type: ignore[assignment]  # fractions are fine
    return Imports(milliseconds=milliseconds, modules=frozenset(modules))
