"""The `courier` command; never in a layer."""
