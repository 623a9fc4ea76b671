"""The door to LiteRT on this machine: a .tflite that takes and gives real values, many rows at a time where it can.

Import and use only in a child process: a damaged .tflite can crash or hang the runtime.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy

from edgekit.core.artifact import TensorSpec
from edgekit.core.errors import DependencyError, ModelError
from edgekit.data.block import Array


class BatchRefused(Exception):
    """The model does not run with this many rows at a time."""


class HostModel:
    """A .tflite in the interpreter.

    Args:
        path: the file.
        num_threads: of the interpreter.

    Attributes:
        inputs: by signature name (else tensor name), in the interpreter's order; batch -1 where it is not fixed.
        outputs: likewise.
        unit: rows that one call takes as the file was made, 1 mostly.

    Raises:
        ModelError: not a .tflite, or with ops that this runtime does not have.
        DependencyError: LiteRT is not installed.
    """

    def __init__(self, path: str, *, num_threads: int) -> None:
        self.path = path
        self._interpreter = _interpreter(path, num_threads)
        names_in, names_out = _signature_names(self._interpreter)
        details_in = self._interpreter.get_input_details()
        details_out = self._interpreter.get_output_details()
        self._in_index = [int(detail["index"]) for detail in details_in]
        self._out_index = [int(detail["index"]) for detail in details_out]
        # a tensor without a batch axis (a waveform) is one row
        self._bare = [len(d["shape"]) == 1 and int(d["shape"][0]) > 1 for d in details_in]
        self.inputs = tuple(_spec(d, names_in, bare) for d, bare in zip(details_in, self._bare))
        self.outputs = tuple(_spec(d, names_out, bare=False) for d in details_out)
        self.unit = max((spec.shape[0] for spec in self.inputs if spec.shape), default=1)
        self.unit = max(1, self.unit)
        self._shapes: list[tuple[int, ...]] = []

    @property
    def can_batch(self) -> bool:
        """Whether other numbers of rows may be tried."""
        return not any(self._bare)

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """One call: tensors in the model's own dtypes and order, with the batch axis.

        Raises:
            BatchRefused: not with these shapes.
        """
        interpreter = self._interpreter
        arrays = [self.as_made(array, place) for place, array in enumerate(inputs)]
        shapes = [tuple(array.shape) for array in arrays]
        try:
            if shapes != self._shapes:
                for index, shape in zip(self._in_index, shapes):
                    interpreter.resize_tensor_input(index, shape)
                interpreter.allocate_tensors()
                self._shapes = shapes
            interpreter.reset_all_variables()  # a fused LSTM keeps its state from the call before
            for index, array in zip(self._in_index, arrays):
                interpreter.set_tensor(index, array)
            interpreter.invoke()
            return [interpreter.get_tensor(index) for index in self._out_index]
        except (RuntimeError, ValueError) as error:
            self._shapes = []
            raise BatchRefused(str(error)) from error

    def as_made(self, tensor: Array, place: int) -> Array:
        """The tensor of input number ``place`` without the batch axis that the file does not have."""
        row: Array = tensor[0]
        return row if self._bare[place] else tensor

    def predict(self, rows: Mapping[str, Array], *, together: bool) -> dict[str, Array]:
        """Real values in, real values out: output name → float32 [rows, …].

        Args:
            rows: input name → array [rows, …], as a dataset opened with :attr:`inputs` gives them.
            together: all rows in one call; else ``unit`` at a time.

        Raises:
            BatchRefused: not so many rows at a time.
        """
        ready = [quantized(rows[spec.name], spec) for spec in self.inputs]
        count = len(ready[0])
        step = count if together else self.unit
        parts: list[list[Array]] = [[] for _ in self.outputs]
        for start in range(0, count, step):
            piece = [array[start : start + step] for array in ready]
            here = len(piece[0])
            if here < step:
                piece = [_padded(array, step) for array in piece]
            for part, output in zip(parts, self.run(piece)):
                part.append(_by_row(output, step, self.unit)[:here])
        return {spec.name: real(numpy.concatenate(part), spec) for spec, part in zip(self.outputs, parts)}


def quantized(array: Array, spec: TensorSpec) -> Array:
    """Real values as the input's dtype: ``round(x / scale) + zero_point``, half to even, clipped.

    Rounding as XNNPACK's quantize kernels do; TensorFlow Lite's reference kernel rounds half away from zero.
    """
    dtype = numpy.dtype(spec.dtype)
    if spec.scale is None:
        return numpy.ascontiguousarray(array, dtype)
    limits = numpy.iinfo(dtype)
    steps = numpy.rint(array.astype(numpy.float32, copy=False) / numpy.float32(spec.scale)) + (spec.zero_point or 0)
    found: Array = numpy.clip(steps, limits.min, limits.max).astype(dtype)
    return found


def real(array: Array, spec: TensorSpec) -> Array:
    """An output's real values, float32: ``scale * (q - zero_point)``."""
    if spec.scale is None:
        return array.astype(numpy.float32)
    return (array.astype(numpy.float32) - numpy.float32(spec.zero_point or 0)) * numpy.float32(spec.scale)


def _interpreter(path: str, num_threads: int) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise DependencyError("LiteRT is not installed", hint="pip install ai-edge-litert") from error
    try:
        interpreter = Interpreter(model_path=path, num_threads=num_threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError, OSError) as error:
        raise _refused(path, str(error)) from error
    return interpreter


def _refused(path: str, said: str) -> ModelError:
    said = " ".join(said.split())[:300]
    if "Select TensorFlow op" in said or "Flex" in said:
        return ModelError(
            f"{path} needs select-TF (Flex) ops, which LiteRT does not have: {said}",
            hint="convert it without them: `edgekit audit` names the ops",
        )
    if "builtin opcode" in said or "Op builtin_code out of range" in said:
        return ModelError(f"{path} needs a newer runtime: {said}", hint="pip install -U ai-edge-litert")
    return ModelError(
        f"{path} is not a valid TFLite model, or not supported by this runtime: {said}",
        hint="make it again with `edgekit convert` or `edgekit optimize`",
    )


def _signature_names(interpreter: Any) -> tuple[dict[int, str], dict[int, str]]:
    """Tensor index → signature name, of the signature that the main subgraph has; empty without signatures."""
    main = {int(d["index"]) for d in interpreter.get_input_details()}
    for key in interpreter.get_signature_list():
        runner = interpreter.get_signature_runner(key)
        inputs = {int(d["index"]): name for name, d in runner.get_input_details().items()}
        if set(inputs) == main:
            return inputs, {int(d["index"]): name for name, d in runner.get_output_details().items()}
    return {}, {}


def _spec(detail: Mapping[str, Any], names: Mapping[int, str], bare: bool) -> TensorSpec:
    dtype = numpy.dtype(detail["dtype"])
    if dtype.kind not in "biuf":
        raise ModelError(f"the tensor {detail['name']!r} holds {dtype.name}: only numbers can be scored")
    scale, zero_point = detail["quantization"]
    shape = tuple(int(n) for n in detail.get("shape_signature", detail["shape"]))
    if len(shape) != len(detail["shape"]):
        shape = tuple(int(n) for n in detail["shape"])
    return TensorSpec(
        name=names.get(int(detail["index"]), str(detail["name"])),
        dtype=dtype.name,
        shape=(1, *shape) if bare else shape,
        scale=float(scale) if scale and dtype.kind in "iu" else None,
        zero_point=int(zero_point) if scale and dtype.kind in "iu" else None,
    )


def _padded(array: Array, rows: int) -> Array:
    return numpy.concatenate([array, numpy.repeat(array[-1:], rows - len(array), axis=0)])


def _by_row(output: Array, rows: int, unit: int) -> Array:
    """The output with its rows along the first axis.

    Raises:
        BatchRefused: it has another number of rows than went in.
    """
    if output.ndim and output.shape[0] == rows:
        return output
    if rows == 1:
        return output[None]
    raise BatchRefused(f"{rows} rows went in, shape {output.shape} came out (the file takes {unit})")
