"""What consumers get: records and notices."""
