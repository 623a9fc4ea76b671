"""The error tree: every error a user can meet, with its exit status.

EdgekitError                 1  unexpected
├── UsageError               2  usage, configuration, unknown device or recipe
├── DependencyError          3  something is not installed; the hint is the command that installs it
├── ModelError               4  a model file or a conversion
├── DataError                4  a dataset
├── DeviceError              5  a board: everything below, and whatever has no better name
│   ├── UnreachableError        no connection: name, route, refusal, silence
│   ├── AuthenticationError     the board does not take the key or password
│   ├── HostKeyError            unknown or changed host key
│   ├── TransferError           a file did not arrive whole: disk full, permission, checksum
│   ├── BusyError               somebody else holds the board
│   ├── DeadlineError           a command on the board ran past its deadline
│   └── RuntimeMissingError     nothing on the board can run the model: Python, glibc, ABI
├── StoreError               6  the store of record
├── BudgetError              7  a budget or a gate failed
└── MeasurementError         8  measured, but invalid, unstable or inconclusive
"""

from __future__ import annotations


class EdgekitError(Exception):
    """An error with a way out.

    Args:
        message: what happened and where, in one sentence.
        hint: the command or the edit that fixes it.
        details: further facts for ``--json`` (JSON values only).
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None, details: dict[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details or {}

    def __str__(self) -> str:
        return self.message


class UsageError(EdgekitError):
    """Wrong option, configuration, device or recipe name."""

    exit_code = 2


class DependencyError(EdgekitError):
    """A package or a program is not installed."""

    exit_code = 3


class ModelError(EdgekitError):
    """A model file that cannot be used, or a conversion that failed."""

    exit_code = 4


class DataError(EdgekitError):
    """A dataset that cannot be used."""

    exit_code = 4


class DeviceError(EdgekitError):
    """A board that cannot do what was asked."""

    exit_code = 5


class UnreachableError(DeviceError):
    """No connection to the board."""


class AuthenticationError(DeviceError):
    """The board refused the key or the password."""


class HostKeyError(DeviceError):
    """The host key is unknown or has changed."""


class TransferError(DeviceError):
    """A file did not arrive whole."""


class BusyError(DeviceError):
    """Somebody else holds the board."""


class DeadlineError(DeviceError):
    """A command on the board ran past its deadline."""


class RuntimeMissingError(DeviceError):
    """Nothing on the board can run the model."""


class StoreError(EdgekitError):
    """The store of record cannot be read or written."""

    exit_code = 6


class BudgetError(EdgekitError):
    """A budget or a gate failed."""

    exit_code = 7


class MeasurementError(EdgekitError):
    """Measured, but the numbers must not be used."""

    exit_code = 8


def by_name(name: str) -> type[EdgekitError]:
    """The class of this tree that is called ``name``; :class:`EdgekitError` where there is none."""
    found = globals().get(name)
    return found if isinstance(found, type) and issubclass(found, EdgekitError) else EdgekitError
