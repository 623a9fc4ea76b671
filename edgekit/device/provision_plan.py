"""Which runtime goes onto which board, and why: a decision as a value, before anything is sent or downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RuntimeName = Literal["auto", "litert", "native", "ai_edge_litert", "tflite_runtime", "onnxruntime", "benchmark_model"]
Runner = Literal["payload", "native", "benchmark_model"]
Origin = Literal["published", "supplied", "wheels", "board"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One file that a runtime consists of.

    Attributes:
        what: ``runner``, ``library``, ``module`` or ``numpy``.
        version: empty where it has none of its own.
        size_bytes: of what is sent; 0: nothing is, the board has it from elsewhere.
        exact: the size is that of a file which is here.
        source: ``edgekit``, ``installed``, ``cache``, ``download``, ``supplied``, or ``board``.
        on_board: it is in the workspace already, as far as name and size tell.
        folder: of it below the workspace; empty: it is not there.
    """

    what: Literal["runner", "library", "module", "numpy"]
    name: str
    version: str
    size_bytes: int
    exact: bool
    source: Literal["edgekit", "installed", "cache", "download", "supplied", "board"]
    on_board: bool
    folder: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One runtime that can be tried on a board.

    Attributes:
        runner: what starts there.
        origin: of the library or module.
        name: as results call it: ``LiteRT C API``, ``ai_edge_litert``, ``tflite_runtime``, ``onnxruntime``,
            ``benchmark_model``.
        version: of the library or module.
        python: path of the interpreter there; None: it needs none.
        with_numpy: numpy is sent along.
        why: sentences.
    """

    runner: Runner
    origin: Origin
    name: str
    version: str
    python: str | None
    items: tuple[Item, ...]
    why: tuple[str, ...]
    with_numpy: bool = False

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Tells choices apart."""
        return (self.runner, self.origin, self.name, self.version)

    @property
    def module(self) -> str | None:
        """The Python module that it is; None: a library or a program."""
        return self.name if self.origin in ("wheels", "board") else None

    @property
    def bytes_to_send(self) -> int:
        """What is not on the board yet."""
        return sum(item.size_bytes for item in self.items if not item.on_board)

    @property
    def exact(self) -> bool:
        """Whether :attr:`bytes_to_send` is known, or only about so."""
        return all(item.exact for item in self.items if not item.on_board)

    @property
    def downloads(self) -> tuple[str, ...]:
        """What has to be downloaded first: ``ai-edge-litert 2.3.0``."""
        return tuple(f"{item.name} {item.version}".strip() for item in self.items if item.source == "download")


@dataclass(frozen=True, slots=True, kw_only=True)
class RuledOut:
    """A runtime that cannot or shall not run on this board."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be done for one board.

    Attributes:
        board: its name.
        wanted: the runtime that was asked for.
        system: the facts that decide, in words.
        choices: in the order to try; the first that works there is used. Empty: nothing can run.
        ruled_out: everything else, each with its reason.
        looked: whether the board was asked what it has; if not, choices with modules are not known.
        hint: what the user can do where nothing can run.
    """

    board: str
    wanted: RuntimeName
    system: str
    choices: tuple[Choice, ...]
    ruled_out: tuple[RuledOut, ...]
    looked: bool
    hint: str

    @property
    def chosen(self) -> Choice | None:
        """What is tried first."""
        return self.choices[0] if self.choices else None

    @property
    def refusal(self) -> str:
        """Why nothing can run, in one sentence."""
        reasons = "; ".join(f"{out.what}: {out.reason}" for out in self.ruled_out)
        what = "nothing can run models" if self.wanted == "auto" else f"{self.wanted} cannot be used"
        return f"{what} on this board ({self.system}): {reasons}"
