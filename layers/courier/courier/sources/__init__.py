"""Configured accounts: catalog, health, rate limit."""
