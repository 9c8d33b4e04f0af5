"""What Python says about its imports (``PYTHONPROFILEIMPORTTIME``)."""

import re
from collections import Counter
from dataclasses import dataclass

_LINE = re.compile(r"import time: +(\d+) \| +\d+ \| +(\S+)")


@dataclass(frozen=True)
class Imports:
    """Milliseconds spent in each top-level package itself, and every module's name."""

    milliseconds: Counter[str]
    modules: frozenset[str]

    @property
    def total_milliseconds(self) -> float:
        """All imports together."""
        return sum(self.milliseconds.values())

    def largest(self, count: int) -> str:
        """Name the packages that take longest."""
        return ", ".join(f"{name} {spent:.0f}" for name, spent in self.milliseconds.most_common(count))


def read_imports(output: str) -> Imports:
    """Read the lines that Python writes to standard error."""
    milliseconds: Counter[str] = Counter()
    modules = set()
    for match in _LINE.finditer(output):
        modules.add(match[2])
        milliseconds[match[2].split(".")[0]] += int(match[1]) / 1000  # type: ignore[assignment]  # fractions are fine
    return Imports(milliseconds=milliseconds, modules=frozenset(modules))
