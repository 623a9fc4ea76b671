"""int8 with the layers that lose the accuracy kept out of it: as few as the allowed drop needs, or those named."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core.events import EventSink, ignore, task
from edgekit.core.notice import Notice
from edgekit.optimize import model_tree
from edgekit.optimize.convert import Converted, check_mode, write
from edgekit.optimize.edge_quantizer import EdgeQuantizer
from edgekit.optimize.passes.around import finish
from edgekit.optimize.passes.choice import NO_PASSES, check_passes
from edgekit.optimize.quantize import TensorflowQuantizer
from edgekit.optimize.quantize_tflite import write_versioned
from edgekit.optimize.selective import words
from edgekit.optimize.selective.choose import Chooser, KeepAs, Kept, part_of
from edgekit.optimize.selective.culprits import Culprit
from edgekit.optimize.selective.engine import INT8_MODES, Int8Mode, open_engine
from edgekit.optimize.selective.islands import Islands, count_islands
from edgekit.optimize.selective.layers import find_layers, read_layers
from edgekit.optimize.selective.rows import Figures, SearchRows
from edgekit.optimize.selective.search import Candidate

_KEEP_AS: tuple[KeepAs, ...] = ("float32", "int16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selective(Converted):
    """A mixed ``.tflite`` that was written, and how its layers were chosen. Figures are on the search rows.

    Attributes:
        quantizer: ``tensorflow`` or ``ai-edge-quantizer``.
        kept: layers out of int8.
        keep_as: what those are kept in.
        metric: of the search.
        rows: that were searched with.
        max_drop: what was allowed.
        met: whether it holds; None where nothing was searched.
        float_score: of the float model.
        plain: figures of int8 without any layer kept.
        result: figures of what was written.
        ranking: every layer, the loudest first; empty where no search was needed.
        tried: the sets of layers that were tried, in order.
        islands: what the kept layers cost.
    """

    quantizer: str
    kept: tuple[Kept, ...]
    keep_as: str
    metric: str
    rows: int
    max_drop: float
    met: bool | None
    float_score: float
    plain: Figures
    result: Figures
    ranking: tuple[Culprit, ...]
    tried: tuple[Candidate, ...]
    islands: Islands


def quantize_selectively(
    float_model: str,
    out: str,
    mode: str,
    representative: Mapping[str, Any],
    *,
    search: Mapping[str, Any] | None = None,
    max_drop: float = 1.0,
    keep: Sequence[str] | None = None,
    keep_as: str = "float32",
    metric: str = "auto",
    quantizer: str | None = None,
    recurrent: Sequence[Mapping[str, str]] = (),
    ranges: str = "minmax",
    equalize: bool = False,
    bias_correction: bool = False,
    on_event: EventSink = ignore,
) -> Selective:
    """Quantizes a float .tflite to int8, and keeps as few layers as needed out of it. Runs in a child.

    Args:
        float_model: the float32 file.
        out: the ``.tflite`` to write.
        mode: ``int8`` or ``int8-float-io``.
        representative: a :class:`edgekit.data.spec.DataSpec` as JSON values.
        search: rows to decide with, likewise: never those of the evaluation. None: the representative ones.
        max_drop: what may be lost on them, in percentage points (percent for metrics that are no fraction).
        keep: layers to keep, by name; None: search.
        keep_as: ``float32``; or ``int16``, 16-bit activations with 8-bit weights, which ai-edge-quantizer alone mixes
            with int8.
        metric: see :func:`edgekit.optimize.score.score_tflite`; without labels it is the agreement with float.
        quantizer: ``tensorflow`` or ``ai-edge-quantizer``; None: the first where this process has TensorFlow loaded.
        recurrent: the ``recurrent`` of the export, for error messages.
        ranges, equalize, bias_correction: see :class:`edgekit.optimize.passes.choice.Passes`.

    Raises:
        UsageError: an unknown mode or layer; ``out`` cannot be written.
        DataError: rows that would ruin the model or do not fit it.
        DependencyError: the quantizer is not installed.
        ModelError: not a float model, or one that the quantizer refuses.
    """
    wanted = check_mode(mode, INT8_MODES, "mode for selective quantization")
    kind = check_mode(keep_as, _KEEP_AS, "way to keep a layer")
    passes = check_passes(wanted, ranges, equalize, bias_correction)
    work = open_engine(
        float_model, wanted, kind, representative, quantizer=quantizer, recurrent=recurrent, passes=passes,
        on_event=on_event,
    )  # fmt: skip
    graph = read_layers(work.content, work.source)
    named = find_layers(keep, graph) if keep is not None else None
    with task("read the search rows", on_event):
        original = Path(float_model).read_bytes() if equalize else work.content
        rows = SearchRows(
            search or representative, original, metric=metric, apart_from=representative if search else None
        )
    chooser = Chooser(work, graph, rows, kind, max_drop)
    with task("search for the layers to keep out of int8" if named is None else "compare with plain int8", on_event):
        parts = chooser.search(on_event) if named is None else [part_of(layer) for layer in named]
        met = chooser.attempts.holds(parts) if named is None else None
    result = chooser.attempts.figures(parts)
    content = chooser.build(frozenset(tensor for part in parts for tensor in part.tensors))
    notes: tuple[str, ...] = work.notes
    if passes != NO_PASSES:
        content, notes = finish(work, content, passes, on_event)
        result = rows.figures(content)
        met = None if met is None else result.within(max_drop)
    islands = count_islands(content, chooser.build(frozenset()), graph)
    kept = tuple(chooser.described(part, parts, by_user=named is not None) for part in parts)
    engine = "ai-edge-quantizer" if isinstance(work, EdgeQuantizer) else "tensorflow"
    told = words.Told(
        kept=tuple((item.name, item.reason) for item in kept),
        keep_as=kind,
        metric=rows.metric,
        rows=rows.count,
        own_rows=search is not None,
        mixed=rows.mixed,
        max_drop=max_drop,
        unit=rows.unit,
        met=met,
        all_kept=chooser.all_kept,
        plain=chooser.attempts.figures([]),
        result=result,
        islands=islands,
        layers=len(graph.layers),
        cured=passes != NO_PASSES,
        switched=kind == "int16" and quantizer != "ai-edge-quantizer",
    )
    written = _written(work, content, out, wanted, (*notes, *told.notes()), (*work.notices, *told.notices()), kind)
    return Selective(
        **{item.name: getattr(written, item.name) for item in dataclasses.fields(Converted)},
        quantizer=engine,
        kept=kept,
        keep_as=kind,
        metric=rows.metric,
        rows=rows.count,
        max_drop=max_drop,
        met=met,
        float_score=rows.reference,
        plain=told.plain,
        result=result,
        ranking=chooser.ranking,
        tried=tuple(chooser.attempts.tried),
        islands=islands,
    )


def _written(
    work: TensorflowQuantizer | EdgeQuantizer,
    content: bytes,
    out: str,
    mode: Int8Mode,
    notes: tuple[str, ...],
    notices: tuple[Notice, ...],
    keep_as: KeepAs,
) -> Converted:
    if isinstance(work, EdgeQuantizer):
        return write_versioned(
            content, Path(out), mode, samples=work.samples, notes=notes, notices=notices, int16=keep_as == "int16"
        )
    return write(
        model_tree.parse(content, out), content, Path(out), mode, samples=work.samples, notes=notes, notices=notices
    )
