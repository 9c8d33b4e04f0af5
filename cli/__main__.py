"""``python -m cli``, where the `courier` command is not on the path."""

from cli.main import main

main()
