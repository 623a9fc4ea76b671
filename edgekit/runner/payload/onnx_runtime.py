"""ONNX Runtime through its Python module."""

from __future__ import annotations

import importlib
import time

from .answer import Failure
from .python_module import PythonModule, module_version, refuse_weight_cache
from .runs import middle
from .tensors import DTYPES, tensor_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Tuple, Union

    from .kinds import Record, Source

# the same for ONNX Runtime: y = x, one float
EMPTY_ONNX = (
    "08073a370a100a017812017922084964656e746974791201675a0f0a0178120a0a08080112040a020801620f0a0179120a0a0808011204"
    "0a02080142040a00100d"
)


class OnnxRuntime(PythonModule):
    """ONNX Runtime with its CPU execution provider, through its Python API.

    Inputs and outputs are bound once and their memory is reused, so that a run copies nothing. What the call itself
    costs is part of every figure and cannot be told apart; :meth:`call_overhead` says how much it is.
    """

    def open(self) -> None:
        """Imports the module."""
        try:
            self.numpy = importlib.import_module("numpy")
            self.onnxruntime = importlib.import_module(self.name)
        except ImportError as error:
            code = "module-missing" if error.name in ("numpy", self.name) else "module-broken"
            raise Failure(code, "import %s: %s" % (self.name, error)) from error
        except Exception as error:  # an extension module may raise anything
            raise Failure("module-broken", "import %s: %r" % (self.name, error)) from error
        self.version = module_version(self.name)

    def prove(self) -> None:
        """Runs a model that does nothing."""
        try:
            self.call_overhead(1)
        except Failure:
            raise
        except Exception as error:  # an extension module may raise anything
            raise Failure("module-broken", "%s %s: %r" % (self.name, self.version, error)) from error

    def build(self, num_threads: int) -> None:
        """Builds the session and its buffers; these have the model's fixed sizes, and 1 for every other."""
        refuse_weight_cache(self)
        if self.kernels == "builtin":
            raise Failure("kernels-unsupported", "%s has one set of kernels for the CPU" % self.name)
        try:
            session = self._session(self.model, num_threads)
        except Exception as error:  # an extension module may raise anything
            raise Failure("model-unreadable", "%s cannot use %s: %s" % (self.name, self.model, error)) from error
        self.inputs = [self._tensor(value) for value in session.get_inputs()]
        self.outputs = [self._tensor(value) for value in session.get_outputs()]
        taken = session.get_providers()
        self.delegate = taken[0] if taken else "none"
        self.fully_delegated = len(taken) == 1
        self.session = session
        self.binding, self.values = self._bound(session, self.inputs, self.outputs)
        self.run = self._run
        self.arguments = (self.binding,)

    def put(self, index: int, source: Source) -> None:
        """Fills an input from bytes or from a place in a file."""
        tensor = self.inputs[index]
        if not isinstance(source, bytes):
            with open(source[0], "rb") as stream:
                stream.seek(source[1])
                source = stream.read(tensor["bytes"])
        array_ = self.numpy.frombuffer(source, dtype=tensor["dtype"]).reshape(tensor["shape"])
        self.values[index].update_inplace(array_)

    def get(self, index: int) -> bytes:
        """The raw bytes of an output; only now is the shape of one known that the model leaves open."""
        value = self.binding.get_outputs()[index].numpy()
        tensor = self.outputs[index]
        tensor.update(shape=[int(length) for length in value.shape], bytes=int(value.nbytes))
        return bytes(value.tobytes())

    def call_overhead(self, runs: int = 200) -> int:
        """Nanoseconds of a run of a model that does nothing: the call from Python and the session's own work."""
        session = self._session(bytes.fromhex(EMPTY_ONNX), 1)
        tensors = [[self._tensor(value) for value in side] for side in (session.get_inputs(), session.get_outputs())]
        binding, values = self._bound(session, *tensors)
        values[0].update_inplace(self.numpy.zeros(1, dtype="float32"))
        costs = []
        for _ in range(runs):
            start = time.perf_counter_ns()
            session.run_with_iobinding(binding)
            costs.append(time.perf_counter_ns() - start)
        return middle(costs)

    def _run(self, binding: Any) -> int:
        try:
            self.session.run_with_iobinding(binding)
        except Exception as error:  # the session's own exceptions have no class in common
            text = "%s cannot run the model with lengths of 1 where it leaves them open: %s"
            raise Failure("model-unsupported", text % (self.name, error)) from error
        return 0

    def _session(self, model: Union[str, bytes], num_threads: int) -> Any:
        options = self.onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        return self.onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def _bound(self, session: Any, inputs: List[Record], outputs: List[Record]) -> Tuple[Any, List[Any]]:
        """Where a session reads and writes, and the inputs' memory."""
        binding, values = session.io_binding(), []
        for tensor in inputs:
            make = self.onnxruntime.OrtValue.ortvalue_from_shape_and_type
            values.append(make(tensor["shape"], self.numpy.dtype(tensor["dtype"]).type, "cpu"))
            binding.bind_ortvalue_input(tensor["name"], values[-1])
        for tensor in outputs:
            binding.bind_output(tensor["name"], "cpu")
        return binding, values

    def _tensor(self, value: Any) -> Record:
        """One input or output as the session describes it: ``tensor(float)``, ``['batch', 3, 224, 224]``."""
        kind = value.type[7:-1] if value.type.startswith("tensor(") else value.type
        name = {"float": "float32", "double": "float64"}.get(kind, kind)
        for number_, (known, _width) in DTYPES.items():
            if name == known:
                lengths = [length if isinstance(length, int) and length >= 0 else 1 for length in value.shape]
                return tensor_record(value.name, number_, lengths)
        raise Failure("model-unsupported", "the tensor %s has type %s: not supported" % (value.name, value.type))
