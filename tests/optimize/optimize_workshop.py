"""What the tests of optimize work with: one TensorFlow process, and a folder of models and data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core.child import Child
from edgekit.core.events import EventSink, ignore

TIME_LIMIT_S = 300.0


@dataclass
class Workshop:
    """The TensorFlow process and the folder with models and data."""

    child: Child
    folder: Path

    def call(self, function: str, *, on_event: EventSink = ignore, **arguments: Any) -> Any:
        where = function if function.startswith("tests.") else f"edgekit.optimize.{function}"
        return self.child.call(where, time_limit_s=TIME_LIMIT_S, on_event=on_event, **arguments)

    def reference(self, function: str, **arguments: Any) -> Any:
        return self.call(f"tests.optimize.optimize_models:{function}", **arguments)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def data(self, name: str, rows: int | None = None) -> dict[str, Any]:
        return {"source": self.path(name), "rows": None if rows is None else list(range(rows))}

    def float_model(self, model: str, trust: bool = False) -> tuple[dict[str, Any], Path]:
        """The export's record and the float32 .tflite of a model; made once."""
        made = self.folder / "made" / model
        tflite = made / "float32.tflite"
        if not tflite.exists():
            self.call("export:export", source=self.path(model), out=str(made / "saved"), trust=trust)
            self.call("convert:convert", saved_model=str(made / "saved"), out=str(tflite), mode="float32")
        return json.loads((made / "saved" / "edgekit-export.json").read_text()), tflite
