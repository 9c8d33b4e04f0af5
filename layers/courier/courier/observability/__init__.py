"""Logs (`logger`), metrics, the redaction of foreign text, and the events that provider clients report."""
