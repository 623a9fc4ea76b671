"""The one list of fields: terminal, Markdown and CSV show the same figures under the same names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from edgekit.core import units
from edgekit.measure.emulated import is_emulated
from edgekit.report import words
from edgekit.report.headlines import headline

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One figure of a document.

    Attributes:
        name: the CSV column; it ends with the unit.
        header: over a table's column.
        get: the raw value out of a document; None where there is none.
        show: the value for people.
        right: figures line up on the right.
        where: the tables for people that have it; CSV has all.
    """

    name: str
    header: str
    get: Callable[[Document], Any]
    show: Callable[[Any], str]
    right: bool = False
    where: tuple[Literal["terminal", "markdown"], ...] = ()


def at(path: str) -> Callable[[Document], Any]:
    """The value at ``a.b.c`` of a document; None where the way there ends."""

    def get(document: Document) -> Any:
        value: Any = document
        for name in path.split("."):
            if not isinstance(value, Mapping):
                return None
            value = value.get(name)
        return value

    return get


def _text(value: Any) -> str:
    return words.NOTHING if value is None else str(value)


def _joined(value: Any) -> str:
    return "; ".join(value or ())


def _day_and_minute(value: Any) -> str:
    return str(value)[:16].replace("T", " ")


def _bound(index: int) -> Callable[[Document], Any]:
    return lambda document: (at("latency.ci95_ns")(document) or (None, None))[index]


def _time(name: str, header: str, *where: Literal["terminal", "markdown"]) -> Field:
    return Field(name=name, header=header, get=at(f"latency.{name}"), show=units.duration, right=True, where=where)


def _memory(name: str, header: str, *where: Literal["terminal", "markdown"]) -> Field:
    return Field(name=name, header=header, get=at(f"memory.{name}"), show=units.size, right=True, where=where)


MEASUREMENT_FIELDS: tuple[Field, ...] = (
    Field(name="device", header="device", get=words.device, show=_text, where=("terminal", "markdown")),
    Field(name="emulated", header="emulated", get=is_emulated, show=_text),
    Field(name="model", header="model", get=at("model.name"), show=words.model, where=("terminal", "markdown")),
    Field(name="model_sha256", header="SHA-256", get=at("model.sha256"), show=_text),
    Field(name="kind", header="mode", get=at("model.kind"), show=_text, where=("markdown",)),
    Field(
        name="size_bytes", header="size", get=at("model.size_bytes"), show=units.size, right=True, where=("markdown",)
    ),
    Field(name="runtime", header="runtime", get=at("runtime.name"), show=_text, where=("markdown",)),
    Field(name="runtime_version", header="version", get=at("runtime.version"), show=_text, where=("markdown",)),
    Field(name="delegate", header="delegate", get=at("runtime.delegate"), show=_text, where=("markdown",)),
    Field(name="fully_delegated", header="all ops", get=at("runtime.fully_delegated"), show=_text),
    Field(name="ops", header="ops", get=at("runtime.ops"), show=_text, right=True),
    Field(name="delegated_ops", header="delegated", get=at("runtime.delegated_ops"), show=_text, right=True),
    Field(name="kernels", header="kernels", get=at("runtime.kernels"), show=_text),
    Field(name="weight_cache", header="weight cache", get=at("runtime.weight_cache"), show=_text),
    Field(name="runtime_in_short", header="runtime", get=words.runtime_in_short, show=_text, where=("terminal",)),
    Field(
        name="num_threads",
        header="thr.",
        get=at("num_threads"),
        show=_text,
        right=True,
        where=("terminal", "markdown"),
    ),
    Field(name="processes", header="processes", get=at("processes"), show=_text, right=True, where=("markdown",)),
    Field(name="iterations", header="iterations", get=at("iterations"), show=_text, right=True),
    Field(
        name="latency", header="latency ±95 %", get=at("latency"), show=words.margin, right=True, where=("terminal",)
    ),
    _time("cpu_median_ns", "CPU", "terminal"),
    _time("median_ns", "median", "markdown"),
    Field(name="ci95_low_ns", header="from", get=_bound(0), show=units.duration, right=True, where=("markdown",)),
    Field(name="ci95_high_ns", header="to (95 %)", get=_bound(1), show=units.duration, right=True, where=("markdown",)),
    _time("p90_ns", "p90", "markdown"),
    _time("p95_ns", "p95"),
    _time("p99_ns", "p99", "markdown"),
    _time("min_ns", "min"),
    _time("library_ns", "library"),
    _time("load_ns", "load"),
    _time("init_ns", "init"),
    _time("first_ns", "first"),
    _time("cold_start_ns", "cold start", "terminal", "markdown"),
    Field(name="cold_start_cache", header="page cache", get=at("latency.cold_start_cache"), show=_text),
    _time("warm_start_ns", "warm start"),
    _memory("peak_rss_bytes", "memory", "terminal", "markdown"),
    _memory("model_bytes", "model's share", "markdown"),
    _memory("baseline_bytes", "baseline"),
    _memory("model_anon_bytes", "anonymous"),
    _memory("model_file_bytes", "of files"),
    _memory("pss_bytes", "PSS"),
    _memory("uss_bytes", "USS"),
    Field(name="verdict", header="verdict", get=at("verdict"), show=_text, where=("terminal", "markdown")),
    Field(name="reasons", header="reasons", get=at("reasons"), show=_joined, where=("markdown",)),
    Field(name="plan", header="plan", get=at("plan.name"), show=_text),
    Field(name="created", header="created", get=at("created"), show=_day_and_minute),
    Field(name="samples_file", header="samples", get=at("samples_file"), show=_text),
)


def _whose(result: Document) -> str | None:
    """The board; with its lab where that is another one."""
    lab = result.get("lab")
    return f"{result['device']} @ {lab}" if lab and result["device"] else result["device"]


RESULT_FIELDS: tuple[Field, ...] = (
    Field(name="id", header="id", get=at("id"), show=lambda value: str(value)[:8], where=("terminal", "markdown")),
    Field(name="created", header="created", get=at("created"), show=_day_and_minute, where=("terminal", "markdown")),
    Field(name="kind", header="kind", get=at("kind"), show=_text, where=("markdown",)),
    Field(name="device", header="device", get=_whose, show=_text, where=("terminal", "markdown")),
    Field(name="model", header="model", get=at("model"), show=words.model, where=("terminal", "markdown")),
    Field(name="model_sha256", header="SHA-256", get=at("model_sha256"), show=_text),
    Field(name="result", header="result", get=headline, show=_text, where=("terminal", "markdown")),
    Field(name="verdict", header="verdict", get=at("verdict"), show=_text),
    Field(name="median_ns", header="median", get=at("document.latency.median_ns"), show=units.duration, right=True),
    Field(
        name="cold_start_ns",
        header="cold start",
        get=at("document.latency.cold_start_ns"),
        show=units.duration,
        right=True,
    ),
    Field(
        name="peak_rss_bytes",
        header="memory",
        get=at("document.memory.peak_rss_bytes"),
        show=units.size,
        right=True,
    ),
    Field(name="size_bytes", header="size", get=at("document.size_bytes"), show=units.size, right=True),
    Field(name="metric", header="metric", get=at("document.score.metric"), show=_text),
    Field(name="score", header="score", get=at("document.score.final"), show=_text, right=True),
    Field(name="score_drop", header="drop", get=at("document.score.drop"), show=_text, right=True),
    Field(name="edgekit", header="edgekit", get=at("edgekit"), show=_text),
    Field(name="lab", header="lab", get=at("lab"), show=_text),
)
