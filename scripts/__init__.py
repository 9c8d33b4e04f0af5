"""Builds the courier and checks the build; `make build`, `make check`, `make verify`, `make verify-runtime`."""
