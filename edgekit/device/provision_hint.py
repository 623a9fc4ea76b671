"""What a user can do for a board that nothing can run models on."""

from __future__ import annotations

from edgekit.device.facts import Facts
from edgekit.device.provision_plan import RuntimeName
from edgekit.device.provision_stock import PUBLISHED, Stock, python_problem
from edgekit.runner.runtimes_releases import MODULE_RELEASES


def system(facts: Facts) -> str:
    """``aarch64, glibc 2.36, Python 3.11.2``."""
    python = ".".join(map(str, facts.python.version)) if facts.python else None
    libc = f"{facts.libc} {facts.libc_version or ''}".strip() if facts.libc else "unknown libc"
    return f"{facts.abi or 'unknown architecture'}, {libc}, {f'Python {python}' if python else 'no Python'}"


def hint(board: str, facts: Facts, stock: Stock, wanted: RuntimeName, stateful: bool) -> str:
    """What the user can do where nothing can run."""
    supply = f"`edgekit devices provision {board} --library FILE`"
    python = facts.python.version if facts.python else None
    native_hint = f", or on this machine: {stock.native.hint}" if stock.native and stock.native.hint else ""
    if wanted == "benchmark_model":
        return f"`edgekit devices provision {board} --benchmark-model FILE`"
    if wanted in ("tflite_runtime", "onnxruntime"):
        return _for_module(wanted, facts)
    if facts.libc == "bionic":
        return (
            "Google publishes LiteRT for Android as a Maven package (com.google.ai.edge.litert:litert): take "
            f"jni/arm64-v8a/libLiteRt.so out of it, then {supply}"
        )
    if stock.library is not None:
        return f"supply one that was built for {system(facts)}: {supply}"
    if facts.abi == "armv7l":
        return _for_32_bit(python, supply)
    if facts.libc == "musl" or facts.abi not in PUBLISHED:
        return f"LiteRT is published for aarch64 and x86_64 Linux with glibc; if you have built it yourself: {supply}"
    if python_problem(facts):
        return f"on {board}: `sudo apt-get install python3` (nothing else is needed there){native_hint}"
    if stateful:
        if wanted in ("litert", "native"):
            return "leave out --runtime: the module ai_edge_litert runs it; or build the LSTM with unroll=True"
        return "build the LSTM with unroll=True, or use a board with Python 3.9 to 3.14 and glibc 2.30 or later"
    return f"upgrade the board's system (glibc 2.30 comes with Debian 11 and Ubuntu 20.04), or {supply}"


def _for_module(wanted: str, facts: Facts) -> str:
    """For a module that was asked for by its name."""
    if facts.abi == "armv7l" and wanted == "tflite_runtime":
        return _for_32_bit(facts.python.version if facts.python else None, "`--library FILE`")
    releases = [release for release in MODULE_RELEASES if release.module == wanted]
    oldest, newest = min(r.pythons[0] for r in releases), max(r.pythons[1] for r in releases)
    abis = sorted({abi for release in releases for abi in release.glibc})
    there_is = f"{wanted} is published for Python 3.{oldest} to 3.{newest} on {', '.join(abis)} with glibc"
    return f"{there_is}; " + (
        "a .onnx file needs it" if wanted == "onnxruntime" else "`--runtime litert` uses LiteRT's library instead"
    )


def _for_32_bit(python: tuple[int, int, int] | None, supply: str) -> str:
    own = f"with a library of your own: {supply}"
    if python is None:
        return f"on the board: `sudo apt-get install python3-numpy`, then edgekit sends tflite-runtime itself; or {own}"
    tag = f"cp{python[0]}{python[1]}"
    if not (3, 8) <= python[:2] <= (3, 11):
        return (
            f"tflite-runtime has 32-bit ARM wheels for Python 3.8 to 3.11, not for {python[0]}.{python[1]}: use a "
            f"64-bit system on the board, or Debian 12 (Bookworm); or {own}"
        )
    return (
        "on the board: `sudo apt-get install python3-numpy` (Debian's is older than 2), then edgekit sends "
        f"tflite-runtime itself; or put a numpy wheel for {tag} and armv7l into this machine's cache; or {own}"
    )
