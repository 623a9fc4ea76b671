"""Small files of the kernel's, and the SHA-256 of large ones."""

from __future__ import annotations

import importlib
import os

from .answer import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional


def read_text(path: str) -> Optional[str]:
    """The text of a small file; None where it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe must not be waited for
    except OSError:
        return None
    text = b""
    try:
        part = os.read(descriptor, 16384)
        while part and len(text) < 1 << 20:  # the kernel gives its longer lists page by page
            text += part
            part = os.read(descriptor, 16384)
    except OSError:  # a sensor without a reading
        return None
    finally:
        os.close(descriptor)
    return text.decode("utf-8", "replace").strip()


def read_number(path: str, base: int = 10) -> Optional[int]:
    """The whole number in a small file; None where there is none."""
    try:
        return int(read_text(path) or "", base)
    except ValueError:
        return None


def list_folder(path: str) -> List[str]:
    """The names in a folder, none where it cannot be read."""
    try:
        return os.listdir(path)
    except OSError:
        return []


def counters(path: str) -> Dict[str, int]:
    """The numbers of a file of lines such as ``MemTotal: 123 kB`` or ``pswpin 123``."""
    found = {}
    for line in (read_text(path) or "").splitlines():
        words = line.split()
        if len(words) > 1 and words[1].isdigit():
            found[words[0].rstrip(":")] = int(words[1])
    return found


def new_sha256() -> Any:
    """A SHA-256 object without OpenSSL where this Python has one: OpenSSL would be 3 MB in every memory figure."""
    for module in ("_sha2", "_sha256"):
        try:
            return importlib.import_module(module).sha256()
        except (ImportError, AttributeError):
            pass
    import hashlib

    return hashlib.sha256()


def sha256_file(path: str) -> str:
    """The SHA-256 of a file, read through one small buffer that leaves no trace in the memory figures."""
    digest = new_sha256()
    block = bytearray(16384)
    view = memoryview(block)
    try:
        with open(path, "rb", buffering=0) as stream:
            count = stream.readinto(block)
            while count:
                digest.update(view[:count])
                count = stream.readinto(block)
    except OSError as error:
        raise Failure("model-missing", "cannot read %s: %s" % (path, error.strerror)) from error
    return str(digest.hexdigest())
