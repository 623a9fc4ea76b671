"""The store of record."""
