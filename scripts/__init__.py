"""What builds the courier and judges what was built; `make build`, `make verify`, `make verify-runtime`."""
