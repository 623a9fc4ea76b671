"""The artifact: a ``.tflite`` file and the manifest that says where it came from and what it must compute."""

from __future__ import annotations

import base64
import json
import shutil
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgekit.core import decode, files
from edgekit.core.errors import ModelError
from edgekit.core.notice import Notice

if TYPE_CHECKING:
    import numpy

MANIFEST_SUFFIX = ".edgekit.json"
SCHEMA = "edgekit.artifact/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input or output of a model.

    Attributes:
        name: the signature's name of it (a .tflite without signatures: the tensor's name).
        dtype: numpy's name, e.g. ``int8``.
        shape: with the batch dimension; -1 where it is not fixed.
        scale: real = scale * (quantized - zero_point); None where it is not quantized.
        zero_point: see ``scale``.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    scale: float | None = None
    zero_point: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorData:
    """The raw little-endian bytes of one tensor, compressed (zlib) and in base64."""

    dtype: str
    shape: tuple[int, ...]
    zlib_base64: str

    @classmethod
    def of(cls, array: numpy.ndarray[Any, Any]) -> TensorData:
        """Packs a numpy array."""
        raw = array.astype(array.dtype.newbyteorder("<"), order="C").tobytes()
        text = base64.b64encode(zlib.compress(raw, 6)).decode()
        return cls(dtype=str(array.dtype), shape=tuple(int(n) for n in array.shape), zlib_base64=text)

    def raw(self) -> bytes:
        """The tensor's bytes, as a runtime's buffer wants them."""
        return zlib.decompress(base64.b64decode(self.zlib_base64))

    def array(self) -> numpy.ndarray[Any, Any]:
        """The tensor as a numpy array."""
        import numpy

        return numpy.frombuffer(self.raw(), dtype=numpy.dtype(self.dtype).newbyteorder("<")).reshape(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenSample:
    """What the model must compute for one real sample; both sides in the model's own dtypes and order."""

    inputs: tuple[TensorData, ...]
    outputs: tuple[TensorData, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How good a model is on the evaluation rows.

    Attributes:
        metric: ``top-1``, ``top-5``, ``mse``, ``mae``, ``auc``, ``agreement`` or ``module:function``.
        reference: of the float model, in the metric's own unit (fractions for top-k, auc and agreement);
            ``float`` in JSON documents.
        final: of the model in question.
        drop: percentage points lost where the metric is a fraction; else the relative change in percent
            (positive is worse).
        count: evaluation rows.
        ci95: 95 % confidence interval of ``final`` (Wilson 1927 for counts, else bootstrap over the rows); None where
            the metric has no value per row.
        drop_ci95: likewise of ``drop``, from the same rows for both models (Agresti and Min 2005, else bootstrap). A
            drop whose interval holds 0 may be noise.
        details: further figures (``cosine``, ``max_abs_difference``, …).
    """

    metric: str
    reference: float | None
    final: float | None
    drop: float | None
    count: int
    ci95: tuple[float, float] | None = None
    drop_ci95: tuple[float, float] | None = None
    details: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a model took on a board, with what the figures depend on.

    Attributes:
        device: name of the board; ``emulated``: its processor is a program.
        latency_ns: median over its processes; ``ci95_ns`` its 95 % confidence interval.
        peak_rss_bytes: peak resident memory of a process with the model.
        runtime: name and version; ``num_threads`` of its interpreter.
        processes: fresh processes that were measured.
        verdict: ``valid``, ``unstable`` or ``invalid``, with ``reasons``.
    """

    device: str
    latency_ns: float | None
    ci95_ns: tuple[float, float] | None
    peak_rss_bytes: int | None
    runtime: str
    num_threads: int
    processes: int
    verdict: str
    reasons: tuple[str, ...] = ()
    emulated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """The recipe without one of its steps, beside the whole: what that step paid.

    Attributes:
        without: the step that was left out.
        size_bytes, gzip_bytes, macs, score, drop, measured: of the result without it; see :class:`StepRecord`.
    """

    without: str
    size_bytes: int
    gzip_bytes: int
    macs: int | None
    score: float | None
    drop: float | None
    measured: Measured | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One step of a recipe, as it was done.

    Attributes:
        name: ``float32``, ``prune``, ``quantize``, …
        parameters: everything that the result depends on.
        path: the intermediate file; it stays on disk.
        sha256: of that file.
        size_bytes: of that file.
        gzip_bytes: of the same file after gzip -6, what a download weighs.
        score: after this step; None where it was not scored.
        drop: percentage points lost against the float model.
        seconds: how long the step took when it was really done.
        cached: the result was taken from the cache this time.
        notes: what a person should read about this step.
        details: figures of the step's own (achieved sparsity per layer, largest difference, …).
        macs: multiply-accumulates of one inference; None where an op cannot be counted.
        parameters_count: values in the weights.
        score_ci95, drop_ci95: see :class:`Score`.
        measured: on the board, where one was named.
        forecast: what was expected of the step before it was done, and whether that came true.
    """

    name: str
    parameters: dict[str, Any]
    path: str
    sha256: str
    size_bytes: int
    gzip_bytes: int
    score: float | None
    drop: float | None
    seconds: float
    cached: bool
    notes: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    macs: int | None = None
    parameters_count: int | None = None
    score_ci95: tuple[float, float] | None = None
    drop_ci95: tuple[float, float] | None = None
    measured: Measured | None = None
    forecast: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Whether a ``.tflite`` is what it claims to be.

    Attributes:
        full_integer: every op computes in integers and every input and output is an integer.
        float_ops: ops with a float operand, as ``NAME (count)``.
        flex_ops: select-TF ops, as names.
        min_runtime: the oldest TensorFlow Lite / LiteRT version with all op versions, or None if unknown.
        op_versions: builtin op name → highest version used.
        problems: further findings, each a sentence.
    """

    full_integer: bool
    float_ops: tuple[str, ...]
    flex_ops: tuple[str, ...]
    min_runtime: str | None
    op_versions: dict[str, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """``NAME.edgekit.json``: everything that is needed to trust, reproduce and test a ``.tflite``.

    Attributes:
        sha256: of the .tflite.
        source: file name of the model it was made from; ``source_sha256`` its content.
        recipe: the recipe with all its parameters.
        data: role → fingerprint of the rows used (``training``, ``representative``, ``evaluation``).
        preprocessing: what was done to the raw data before the model saw it.
        kind: float32, float16, dynamic, int8, int8-float-io, int16x8.
        float_reference: sha256 of the float .tflite it is compared with.
        versions: package name → version.
        ablation: what each step paid, where that was asked for.
        attempts: the strengths of the recipe that were tried for the budgets, the last one being this result.
    """

    schema: Literal["edgekit.artifact/1"] = "edgekit.artifact/1"
    name: str
    sha256: str
    size_bytes: int
    gzip_bytes: int
    kind: str
    source: str
    source_sha256: str
    recipe: dict[str, Any]
    data: dict[str, str]
    preprocessing: dict[str, Any]
    steps: tuple[StepRecord, ...]
    score: Score | None
    audit: Audit
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    golden: tuple[GoldenSample, ...]
    float_reference: str | None
    warnings: tuple[Notice, ...]
    versions: dict[str, str]
    created: str
    ablation: tuple[Ablation, ...] = ()
    attempts: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A ``.tflite`` with its manifest (None: a bare file that edgekit did not make)."""

    path: Path
    manifest: Manifest | None

    @property
    def name(self) -> str:
        """The file's name without ``.tflite``."""
        return self.path.name.removesuffix(".tflite")


def manifest_path(model: Path) -> Path:
    """``model.tflite`` → ``model.edgekit.json``."""
    return model.with_name(model.name.removesuffix(".tflite") + MANIFEST_SUFFIX)


def write_artifact(made: Path, output: Path, manifest: Manifest) -> Artifact:
    """Puts a made .tflite and its manifest in place: both, or neither.

    Where the same was made before, its manifest stays, so that a board that has it needs nothing new.

    Raises:
        UsageError: the folder cannot be written to.
    """
    before = manifest_path(output)
    same = before.is_file() and _making(before.read_bytes()) == _making(_bytes(manifest))
    content = before.read_bytes() if same else _bytes(manifest)
    with files.appearing(before) as record, files.appearing(output) as model:
        shutil.copyfile(made, model)
        files.fill(record, content, before)
    return Artifact(path=output, manifest=manifest)


def write_manifest(model: Path, manifest: Manifest) -> Path:
    """Writes the manifest beside a model that is there already.

    Raises:
        UsageError: the folder cannot be written to.
    """
    path = manifest_path(model)
    files.write_bytes(path, _bytes(manifest))
    return path


def _bytes(manifest: Manifest) -> bytes:
    return (json.dumps(decode.to_json(manifest), indent=1) + "\n").encode()


def _making(manifest: bytes) -> Any:
    """What a manifest says, but when it was said and what came from the cache; None: it says nothing."""
    try:
        value = json.loads(manifest)
        return {**value, "created": "", "steps": [{**step, "cached": False} for step in value["steps"]]}
    except (ValueError, LookupError, TypeError):
        return None


def open_artifact(model: Path) -> Artifact:
    """A ``.tflite`` and, where one lies beside it, its manifest.

    Raises:
        ModelError: no such file; a manifest that cannot be read, or that belongs to another file.
    """
    from edgekit.core.hashing import sha256_file

    if not model.is_file():
        raise ModelError(f"no such file: {model}", hint="check the path; `edgekit optimize` makes a .tflite")
    path = manifest_path(model)
    try:
        beside = path.is_file()
    except OSError:  # the model's name is so long already that this one is too long
        beside = False
    if not beside:
        return Artifact(path=model, manifest=None)
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} is not JSON: {error}", hint=f"delete it, or make {model.name} again") from error
    manifest = decode.from_json(Manifest, value, source=str(path), error=ModelError, lenient=True)
    if manifest.sha256 != sha256_file(model):
        raise ModelError(
            f"{path.name} describes another file than {model.name} (the SHA-256 differ)",
            hint=f"delete {path} to use the bare model, or make the model again",
        )
    return Artifact(path=model, manifest=manifest)
