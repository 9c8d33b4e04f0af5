"""Runs of Build Courier on one machine, as `courier run` and the tests start them."""
