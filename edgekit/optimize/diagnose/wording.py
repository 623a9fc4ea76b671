"""Layers in the sentences of a recommendation: counted, listed, with what their spectra say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgekit.optimize.diagnose.evidence import Evidence
from edgekit.optimize.diagnose.layers import LayerShare

NAMED = 4


def by_kind(found: Evidence, chosen: Callable[[LayerShare], bool]) -> list[tuple[str, list[LayerShare]]]:
    """The chosen layers by kind, the kind with most work first."""
    kinds: dict[str, list[LayerShare]] = {}
    for share in found.shares:
        if chosen(share):
            kinds.setdefault(share.kind, []).append(share)
    return sorted(kinds.items(), key=lambda item: -sum(map(found.work, item[1])))


def counted(shares: Sequence[LayerShare], kind: str) -> str:
    """``3 1×1 convolutions``."""
    noun = "dense layer" if kind == "dense" else kind
    return f"{len(shares)} {noun}{'s' * (len(shares) != 1)}"


def heaviest(found: Evidence, shares: Sequence[LayerShare]) -> str:
    """Names of layers, the one with most work first."""
    return listed([share.name for share in sorted(shares, key=lambda share: -found.work(share))])


def listed(names: Sequence[str]) -> str:
    """Names, the first few of many."""
    names = list(dict.fromkeys(names))
    if len(names) > NAMED + 1:
        return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"
    return ", ".join(names)


def them(names: Sequence[str]) -> str:
    """``it`` or ``them``."""
    return "them" if len(names) > 1 else "it"


def alphas(found: Evidence, layers: Sequence[str]) -> str:
    """What the spectra of some layers say."""
    chosen = [item for item in found.spectra if item.layer in layers and item.law is not None]
    shown = [
        f"{item.layer} {item.verdict}" + (f" (alpha {item.law.alpha:.1f})" if item.law is not None else "")
        for item in chosen[:NAMED]
    ]
    return ", ".join(shown) + (f" and {len(chosen) - NAMED} more" if len(chosen) > NAMED else "")
