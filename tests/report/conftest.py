"""Results are made from the synthetic trials of the measuring room."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "measure"))
