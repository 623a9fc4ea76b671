"""edgekit results: one module per purpose; importing them registers their commands, in the order of the help."""

from edgekit.cli.results import look, export, take_in, check  # noqa: F401, I001
from edgekit.cli.results.app import app

__all__ = ["app"]
