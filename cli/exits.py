"""Exit codes that several commands give."""

from typing import Final

EXIT_BAD_USAGE: Final = 2
# What shells give a command that ended by Ctrl-C: 128 and the signal's number.
EXIT_INTERRUPTED: Final = 130
