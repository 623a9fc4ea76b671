"""Datasets a user has: open them, stream them, check them."""
