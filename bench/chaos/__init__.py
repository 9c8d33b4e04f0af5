"""Every fault that is known, once each, and storms of all of them: what `make chaos` runs."""
