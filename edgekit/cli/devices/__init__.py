"""edgekit devices: one module per command, or two that belong together; importing them registers them."""

from edgekit.cli.devices import check, inventory, provision, schema, selftest, show, trust  # noqa: F401
from edgekit.cli.devices.app import app

__all__ = ["app"]
