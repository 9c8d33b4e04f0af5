"""Runs what `make build` made under Lambda's own runtime interface client; `make verify-runtime`."""
