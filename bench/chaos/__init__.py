"""The chaos campaign of `make chaos`: every known fault once, and storms of all of them."""
