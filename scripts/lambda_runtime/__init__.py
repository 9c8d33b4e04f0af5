"""Runs built functions in local sandboxes under Lambda's runtime interface client; `make verify-runtime`."""
