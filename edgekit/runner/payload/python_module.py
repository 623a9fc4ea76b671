"""LiteRT's or TensorFlow Lite's Python module, as it is installed on the board or was pushed."""

from __future__ import annotations

import importlib
import os
import sys

from .answer import Failure
from .tensors import DTYPES, tensor_record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional, Tuple

    from .kinds import Record, Source

# a whole .tflite without a single op: enough for a module runtime to show that it can build an interpreter
EMPTY_MODEL = (
    "1800000054464c3300000e00140010000c000800000004000e000000100000001c00000050000000030000000100000008000000"
    "040004000400000001000000100000000c00140010000c00080004000c0000001000000010000000100000001000000000000000"
    "00000000000000000000000000000000"
)


class PythonModule:
    """``ai_edge_litert`` or ``tflite_runtime`` as it is installed on the board."""

    def __init__(self, module: str) -> None:
        self.name = module
        self.version = ""
        self.inputs: List[Record] = []
        self.outputs: List[Record] = []
        self.delegate = "unknown"
        self.fully_delegated: Optional[bool] = None
        self.arguments: Tuple[Any, ...] = ()
        self.nothing = None
        self.kernels = "delegate"  # set before build
        self.weight_cache = ""  # set before build

    def files(self) -> List[str]:
        """What may be read when the runtime is loaded: the Python files and libraries of the module and of numpy."""
        find = importlib.import_module("importlib.util").find_spec
        specs = [find(name) for name in ("numpy", self.name)]
        folders = [folder for spec in specs if spec for folder in spec.submodule_search_locations or ()]
        found = []
        for folder in (*folders, *(folder + ".libs" for folder in folders)):
            for place, _folders, names in os.walk(folder):
                found += [
                    os.path.join(place, name) for name in names if name.endswith((".py", ".pyc")) or ".so" in name
                ]
        return found

    def open(self) -> None:
        """Imports the module."""
        try:
            self.numpy = importlib.import_module("numpy")
            self.interpreter_module = importlib.import_module(self.name + ".interpreter")
            self.interpreter_class = self.interpreter_module.Interpreter
        except ImportError as error:
            code = "module-missing" if error.name in ("numpy", self.name) else "module-broken"
            raise Failure(code, "import %s: %s" % (self.name, error)) from error
        except Exception as error:  # an extension module may raise anything
            raise Failure("module-broken", "import %s: %r" % (self.name, error)) from error
        self.version = module_version(self.name)

    def prove(self) -> None:
        """Builds an interpreter for an empty model: tflite_runtime beside numpy 2 imports well and fails here."""
        try:
            self.interpreter_class(model_content=bytes.fromhex(EMPTY_MODEL)).allocate_tensors()
        except Exception as error:  # an extension module may raise anything
            raise Failure("module-broken", "%s %s: %r" % (self.name, self.version, error)) from error

    def load(self, model: str) -> None:
        """Opens the model file; these modules want the number of threads here, so :meth:`build` does the work."""
        self.model = model

    def build(self, num_threads: int) -> None:
        """Builds the interpreter and its buffers."""
        refuse_weight_cache(self)
        resolver = self._resolver()
        try:
            interpreter = self.interpreter_class(model_path=self.model, num_threads=num_threads, **resolver)
            interpreter.allocate_tensors()
        except Exception as error:  # an extension module may raise anything
            raise Failure("model-unreadable", "%s cannot use %s: %s" % (self.name, self.model, error)) from error
        self.interpreter = interpreter
        self._inputs = interpreter.get_input_details()
        self._outputs = interpreter.get_output_details()
        self.inputs = [self._record(detail) for detail in self._inputs]
        self.outputs = [self._record(detail) for detail in self._outputs]
        self._find_delegate()
        self.run = interpreter.invoke

    def _resolver(self) -> Record:
        """What an interpreter without the default delegate is made with."""
        if self.kernels == "delegate":
            return {}
        try:
            kind = self.interpreter_module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        except AttributeError:
            text = "%s %s cannot leave its delegate out" % (self.name, self.version)
            raise Failure("kernels-unsupported", text) from None
        return {"experimental_op_resolver_type": kind}

    def rebuild(self, num_threads: int) -> None:
        """A fresh interpreter for the same model: without what stateful ops remember."""
        self.build(num_threads)

    def put(self, index: int, source: Source) -> None:
        """Fills an input from bytes or from a place in a file."""
        if not isinstance(source, bytes):
            with open(source[0], "rb") as stream:
                stream.seek(source[1])
                source = stream.read(self.inputs[index]["bytes"])
        detail = self._inputs[index]
        value = self.numpy.frombuffer(source, dtype=detail["dtype"]).reshape(detail["shape"])
        self.interpreter.set_tensor(detail["index"], value)

    def get(self, index: int) -> bytes:
        """The raw bytes of an output."""
        return bytes(self.interpreter.get_tensor(self._outputs[index]["index"]).tobytes())

    def _record(self, detail: Record) -> Record:
        dtype = self.numpy.dtype(detail["dtype"])
        for number_, (name, _width) in DTYPES.items():
            if name == dtype.name:
                return tensor_record(detail["name"], number_, [int(n) for n in detail["shape"]])
        raise Failure("model-unsupported", "the tensor %s has type %s: not supported" % (detail["name"], dtype))

    def _find_delegate(self) -> None:
        """Sees from the ops whether a delegate (XNNPACK is the only one here) took the model, and all of it."""
        try:
            delegates = [op for op in self.interpreter._get_ops_details() if op["op_name"] == "DELEGATE"]
        except Exception:  # noqa: BLE001 - a private method: where it is gone, the answer is "unknown"
            return
        self.delegate = "XNNPACK" if delegates else "none"
        self.fully_delegated = False
        if len(delegates) == 1:
            variable = {detail["index"] for detail in self._inputs}
            taken = {int(index) for index in delegates[0]["inputs"]}
            given = {int(index) for index in delegates[0]["outputs"]}
            wanted = {detail["index"] for detail in self._outputs}
            # whatever another op computed before or after it would show as a further input, or as a missing output
            self.fully_delegated = variable <= taken and wanted <= given | variable


def refuse_weight_cache(engine: PythonModule) -> None:
    """Raises Failure where a file for packed weights is asked of a Python module."""
    if engine.weight_cache:
        text = "%s has no option for a file with packed weights; LiteRT's library of 2.1.3 or later has"
        raise Failure("weight-cache-unsupported", text % engine.name)


def module_version(name: str) -> str:
    """The version of an installed module; empty where it cannot be found out."""
    version = getattr(sys.modules.get(name), "__version__", "")
    if not version:
        try:
            version = importlib.import_module("importlib.metadata").version(name.replace("_", "-"))
        except ImportError:  # Python 3.7, or a module without metadata
            version = ""
    return str(version)
