"""Builds: finding, requesting, polling and ending them."""
