"""What the five functions share: providers, the ledger, the copy, records and notices."""

__version__ = "0.1.0"
