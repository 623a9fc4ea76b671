"""What `edgekit inspect` knows about a model, as records."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgekit.core.artifact import TensorSpec
from edgekit.core.notice import Notice
from edgekit.model.format import ModelFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDescription:
    """One layer or operation.

    Attributes:
        name: with the models around it ("encoder/conv").
        type: its class.
        output_shape: -1 where a dimension is free; of its first output.
        parameters: numbers in all its weights.
        trainable: those of them that training changes.
        macs: multiply-accumulates for one sample, all calls together; None where the shapes or the type leave it open.
        activation: name of its activation function, or None.
    """

    name: str
    type: str
    output_shape: tuple[int, ...]
    parameters: int
    trainable: int
    macs: int | None
    activation: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What a model was compiled with; names, empty where there is none."""

    loss: str
    optimizer: str
    metrics: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A model with layers, or the graph of a SavedModel.

    Attributes:
        library: what runs it: ``keras``, ``tf_keras`` or ``tensorflow``.
        parameters: numbers in all weights.
        trainable: those of them that training changes; None for a plain SavedModel.
        macs: multiply-accumulates for one sample, where they are known; None for a plain SavedModel.
        layers: in the order of computation; empty for a plain SavedModel.
        last_activations: of each output: ``softmax``, ``sigmoid``, ``linear`` (logits), …; "" where unknown.
        training: None where the file was saved without.
        signatures: of a SavedModel.
    """

    library: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parameters: int
    trainable: int | None
    macs: int | None
    layers: tuple[LayerDescription, ...]
    last_activations: tuple[str, ...]
    training: Training | None
    signatures: tuple[str, ...]
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpSummary:
    """All ops of one kind in a .tflite: highest version, count, multiply-accumulates, operand dtypes."""

    name: str
    version: int
    builtin: bool
    count: int
    macs: int | None
    dtypes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flatbuffer:
    """A ``.tflite``.

    Attributes:
        ops: most multiply-accumulates first.
        macs: of one inference.
        weights_bytes: dtype of the weights → bytes.
        quantization: in words: ``int8, per channel``; ``int8 weights, float32 activations``; ``none``; …
        sparsity: fraction of zeros in the weights; None where it cannot be told.
        sparse_tensors: how many are stored in the sparse encoding.
        min_runtime: the oldest runtimes with all op versions; None where edgekit knows none.
        signatures: names.
        subgraphs: more than one where there is control flow.
    """

    ops: tuple[OpSummary, ...]
    macs: int
    parameters: int
    weights_bytes: dict[str, int]
    quantization: str
    sparsity: float | None
    sparse_tensors: int
    min_runtime: str | None
    signatures: tuple[str, ...]
    subgraphs: int
    converter: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDescription:
    """Everything about a model file that needs no data.

    Attributes:
        path: of the file or folder.
        format: what was found inside.
        size_bytes: of the file, or of all files in the folder.
        gzip_bytes: after gzip -6, what a download weighs.
        network: of a Keras model or SavedModel, else None.
        flatbuffer: of a .tflite, else None.
    """

    path: str
    format: ModelFormat
    size_bytes: int
    gzip_bytes: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parameters: int
    macs: int | None
    network: Network | None = None
    flatbuffer: Flatbuffer | None = None
    notices: tuple[Notice, ...] = field(default=())
