"""What is on a board already: files of ours in the workspace, and Python modules that run models."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgekit.core.errors import DeviceError
from edgekit.device.connect import Device
from edgekit.device.facts import Facts
from edgekit.device.transport.protocol import printable

_MODULES = "numpy|ai_edge_litert|tflite_runtime|onnxruntime"

# $1 workspace, $2 Python or nothing. A folder is a module that was pushed
_LOOK = r"""
LC_ALL=C; export LC_ALL
echo begin
for f in "$1"/runtime/*/*; do
  if [ -L "$f" ]; then continue
  elif [ -d "$f" ]; then printf 'folder - %s\n' "${f#"$1"/}"
  elif [ -f "$f" ]; then printf 'file %s %s\n' "$(($(wc -c < "$f")))" "${f#"$1"/}"; fi
done
echo modules
[ -n "$2" ] || exit 0
"$2" -c '
import importlib.util as find
for name in ("numpy", "ai_edge_litert", "tflite_runtime", "onnxruntime"):
    try:
        if find.find_spec(name) is None: continue
        try:
            from importlib.metadata import version
            print(name, version(name.replace("_", "-")))
        except Exception:
            print(name, getattr(__import__(name), "__version__", "?"))
    except Exception: pass
' </dev/null 2>/dev/null
exit 0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """What a board has.

    Attributes:
        files: of ours, relative to the workspace → bytes; None: a folder.
        modules: Python modules → version (``?``: it does not say).
    """

    files: dict[str, int | None]
    modules: dict[str, str]


def look(device: Device, facts: Facts) -> Present:
    """Asks the board in one round trip; nothing is changed.

    Raises:
        DeviceError: it does not answer.
    """
    python = facts.python.path if facts.python else ""
    done = device.transport.run(["sh", "-c", _LOOK, "sh", device.root, python], timeout_s=60)
    _, begin, text = done.text.partition("begin\n")
    ours, middle, modules = text.partition("modules\n")
    if not begin or not middle:
        raise DeviceError(f"{device.name}: the board did not say what it has: {done.complaint or printable(done.text)}")
    found = re.findall(r"^(file|folder) (\d+|-) (runtime/[0-9a-f]{12}/[^\n]+)$", ours, flags=re.MULTILINE)
    return Present(
        files={name: int(size) if kind == "file" else None for kind, size, name in found},
        modules=dict(re.findall(rf"^({_MODULES}) ([\w.+!?-]{{1,40}})$", modules, re.MULTILINE)),
    )
