"""Runs every built-in recipe over every model of the zoo and prints which works and which is refused, as a table.

    python tools/matrix.py --models residual,lstm --recipes int8,filters-int8
    python tools/matrix.py --update            # all of it (an hour or two), into README.md between the markers

Each cell is one call of ``edgekit.optimize`` with its defaults on a small trained model. Cells are kept in a file and
not run twice, so that the tool can be stopped and started again. What is neither a result nor an error with a hint is
a defect: it is printed as one, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

BEGIN, END = "<!-- matrix: begin (tools/matrix.py --update) -->", "<!-- matrix: end -->"
_WORDS = 28
_NOT_SMALLER = 0.98  # of the float32 file
_FALLBACK = "--allow-float-fallback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What came of one recipe on one model.

    Attributes:
        state: ``works``, ``works-with-float`` (only with float ops allowed), ``refused`` or ``defect``.
        reason: the message of a refusal, or the last lines of a defect.
        hint: of a refusal.
        ratio: size of the .tflite over that of the float32 one.
        drop: points of the score that were lost; None where nothing could be scored.
        codes: of the notices.
        seconds: that it took.
    """

    state: Literal["works", "works-with-float", "refused", "defect"]
    reason: str = ""
    hint: str = ""
    ratio: float | None = None
    drop: float | None = None
    codes: tuple[str, ...] = ()
    seconds: float = 0.0


def main() -> int:
    """Fills the missing cells and prints the table."""
    import zoo

    from edgekit.core import decode
    from edgekit.optimize.recipe import BUILTIN

    given = _arguments()
    models = _chosen(given.models, zoo.ZOO, "model")
    recipes = _chosen(given.recipes, BUILTIN, "recipe")
    folder = Path(given.folder).resolve()
    os.chdir(ROOT / "tests")  # where the custom layers of the zoo are
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"cells-{given.library}.json"
    cells: dict[str, Cell] = {}
    if kept.exists() and not given.again:
        cells = {key: decode.from_json(Cell, value, source=kept.name) for key, value in _read(kept).items()}
    for model in models:
        for recipe in recipes:
            key = f"{model} {recipe}"
            if key not in cells:
                cells[key] = _run(model, recipe, given.library, folder)
                kept.write_text(json.dumps({name: asdict(cell) for name, cell in cells.items()}, indent=1) + "\n")
                print(f"{key}: {cells[key].state} {cells[key].reason[:160]}", file=sys.stderr, flush=True)
    text = table(cells, models, recipes)
    print(text)
    if given.update:
        _update(ROOT / "README.md", text)
    return 1 if any(cells[f"{model} {recipe}"].state == "defect" for model in models for recipe in recipes) else 0


def _run(model: str, recipe: str, library: str, folder: Path) -> Cell:
    import zoo

    import edgekit
    from edgekit.core.child import ChildDied
    from edgekit.core.errors import EdgekitError

    source = zoo.saved(model, folder, library, epochs=6)
    data = folder / f"{model}.npz"
    if not data.exists():
        zoo.write_npz(model, data, 512)
    out = folder / f"{model}-{recipe}.tflite"
    custom = (zoo.ZOO[model].custom or {}).get(library, ())
    begin = time.perf_counter()

    def attempt(*, float_fallback: bool) -> Cell:
        made = edgekit.optimize(
            source, data=str(data), recipe=recipe, output=out, custom=custom, allow_float_fallback=float_fallback
        )
        manifest = made.manifest
        assert manifest is not None
        base, score = manifest.steps[0].size_bytes, manifest.score
        return Cell(
            state="works-with-float" if float_fallback else "works",
            ratio=out.stat().st_size / base if base else None,
            drop=None if score is None else score.drop,
            codes=tuple(dict.fromkeys(notice.code for notice in manifest.warnings)),
            seconds=time.perf_counter() - begin,
        )

    try:
        try:
            return attempt(float_fallback=False)
        except EdgekitError as error:
            if _FALLBACK not in str(error.hint):
                raise
            return attempt(float_fallback=True)
    except ChildDied as died:
        return Cell(state="defect", reason=f"a process died: {died.message}", hint=died.hint or "")
    except EdgekitError as error:
        state: Literal["refused", "defect"] = "refused" if error.hint and error.exit_code != 1 else "defect"
        return Cell(state=state, reason=error.message, hint=error.hint or "", seconds=time.perf_counter() - begin)
    except Exception:  # noqa: BLE001 - whatever it is, it is a defect to be shown
        return Cell(state="defect", reason=traceback.format_exc(limit=-3))


def table(cells: dict[str, Cell], models: Iterable[str], recipes: Iterable[str]) -> str:
    """The cells as markdown: a row for each model, a column for each recipe, reasons below."""
    recipes = list(recipes)
    reasons: dict[str, str] = {}
    lines = [f"| | {' | '.join(recipes)} |", f"|---|{'---|' * len(recipes)}"]
    for model in models:
        row = [_shown(cells[f"{model} {recipe}"], recipe, reasons) for recipe in recipes]
        lines.append(f"| {model.replace('_', ' ')} | {' | '.join(row)} |")
    lines += [
        "",
        "✓ works · (✓) works with `--allow-float-fallback`: some ops stay float · = not smaller than the float32 file "
        "(what is small stays float) · a letter: refused, because",
        "",
    ]
    lines += [f"- **{letter}** {reason}" for reason, letter in reasons.items()]
    return "\n".join(lines)


def _shown(cell: Cell, recipe: str, reasons: dict[str, str]) -> str:
    if cell.state in ("works", "works-with-float"):
        mark = "✓" if cell.state == "works" else "(✓)"
        return f"{mark} =" if cell.ratio is not None and cell.ratio > _NOT_SMALLER and recipe != "float32" else mark
    if cell.state == "defect":
        return "**DEFECT**"
    return reasons.setdefault(_few_words(cell.reason), _letter(len(reasons)))


def _few_words(reason: str) -> str:
    """The message without the file's name, shortened."""
    words = reason.replace("|", "/").split()
    words = ["the model" if word.endswith((".keras", ".h5", ".tflite")) else word for word in words]
    return " ".join(words[:_WORDS]) + (" …" if len(words) > _WORDS else "")


def _letter(number: int) -> str:
    return chr(ord("a") + number % 26) * (1 + number // 26)


def _update(readme: Path, text: str) -> None:
    content = readme.read_text()
    before, begin, rest = content.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{readme.name} has no place for the table: add the lines\n{BEGIN}\n{END}")
    readme.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def _chosen(given: str | None, known: Iterable[str], kind: str) -> list[str]:
    names = list(known)
    chosen = given.split(",") if given else names
    for name in chosen:
        if name not in names:
            raise SystemExit(f"unknown {kind} {name!r}; known: {', '.join(names)}")
    return chosen


def _read(path: Path) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(path.read_text())
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="every recipe over every model of the zoo")
    parser.add_argument("--models", help="comma-separated names; default: all")
    parser.add_argument("--recipes", help="comma-separated names; default: all built-in ones")
    parser.add_argument("--library", choices=("keras", "tf_keras"), default="keras", help="that writes the models")
    parser.add_argument("--folder", default="build/matrix", help="of models, data and finished cells")
    parser.add_argument("--again", action="store_true", help="run finished cells once more")
    parser.add_argument("--update", action="store_true", help="write the table into README.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
