"""Runs of Build Courier on one machine, for `courier run` and the tests."""
