"""Bringing one finished report home: a fresh link from the provider, the copy, the checkpoint in the ledger."""
