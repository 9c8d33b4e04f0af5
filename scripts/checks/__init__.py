"""Checks of the template, the state machine and the build; `make verify`, and the light ones in `make check`."""
