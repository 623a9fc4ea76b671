"""Boards for tests: a real OpenSSH server on loopback (fixtures follow)."""
