"""The one door to paramiko: imports it when it is needed, and keeps its logging to itself."""

from __future__ import annotations

import functools
import logging
from typing import Any

from edgekit.core.errors import DependencyError


@functools.cache
def load() -> Any:
    """The module ``paramiko``.

    Raises:
        DependencyError: not installed, or older than 5 (which still signs with SHA-1).
    """
    try:
        import paramiko
    except ImportError as error:
        raise DependencyError("paramiko is not installed", hint="pip install 'paramiko>=5.0'") from error
    if int(str(paramiko.__version__).partition(".")[0]) < 5:
        raise DependencyError(
            f"paramiko {paramiko.__version__} is too old: it accepts SHA-1 signatures",
            hint="pip install 'paramiko>=5.0'",
        )
    # its threads log tracebacks of every lost connection; what they mean reaches the caller as our error
    logger = logging.getLogger("paramiko")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return paramiko
