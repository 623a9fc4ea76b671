"""What the tests of distillation run in the process with TensorFlow."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy

sys.path.insert(0, str(Path(__file__).parents[1]))


def zoo(name: str, folder: str, library: str = "keras", ending: str = ".keras", epochs: int = 3) -> str:
    """A model of the zoo as a file; made once."""
    from zoo import save

    path = Path(folder) / f"{name}-{library}{ending}"
    return str(path if path.exists() else save(name, Path(folder), library, ending, epochs=epochs))


def rows(name: str, path: str, count: int, labels: bool) -> None:
    """Rows of the zoo as an .npz."""
    from zoo import write_npz

    write_npz(name, Path(path), count, labels=labels)


def soft_loss(
    library: str, kind: str, target: Any, predicted: Any, label: Any, temperature: float, alpha: float
) -> Any:
    """The loss of a batch as a library of Keras computes it."""
    from edgekit.model import libraries
    from edgekit.optimize.distill.loss import Distillation, Head
    from edgekit.optimize.losses import Loss

    keras = libraries.keras() if library == "keras" else libraries.tf_keras()
    own = Loss(spec=("SparseCategoricalCrossentropy", {}), origin="asked for", label_dtype="int64")
    target, predicted = numpy.array(target, "float32"), numpy.array(predicted, "float32")
    loss = Distillation(
        heads=(Head(kind=kind, shape=target.shape[1:]),),  # type: ignore[arg-type]
        names=(),
        labels=own if label is not None else None,
        label_shape=(),
        temperature=temperature,
        alpha=alpha if label is not None else 1.0,
    )
    packed = loss.pack(target, None if label is None else numpy.array(label))
    return float(loss.build(keras)(packed, predicted))


def stream(model: str, data: dict[str, Any], batches: int, teacher: str | None) -> list[Any]:
    """Pairs of inputs and targets, as lists, of the first batches."""
    from edgekit.model import load
    from edgekit.optimize.finetune import plan_tuning
    from edgekit.optimize.tuning import FineTuning

    load.forget()
    loaded = load.load_model(Path(model))
    wanted = FineTuning(batch_size=32, epochs=2, fine_tune="distill" if teacher else "labels")
    plan, _ = plan_tuning(loaded, data, wanted, Path(teacher) if teacher else None)
    assert plan is not None
    return [[x.numpy().tolist(), y.numpy().tolist()] for x, y in plan.stream.take(batches)]


def plan(model: str, data: dict[str, Any], tuning: dict[str, Any], teacher: str) -> dict[str, Any]:
    """What is learnt, and the losses of the epochs after the weights were shaken."""
    from edgekit.model import libraries, load
    from edgekit.optimize.finetune import plan_tuning
    from edgekit.optimize.tuning import FineTuning

    load.forget()
    loaded = load.load_model(Path(model))
    wanted = FineTuning.of({"fine_tune": "distill", "batch_size": 32, "epochs": 3, **tuning})
    found, notices = plan_tuning(loaded, data, wanted, Path(teacher))
    assert found is not None
    random = numpy.random.default_rng(0)
    loaded.model.set_weights(
        [w * (1 + 0.5 * random.normal(size=w.shape)) if w.ndim > 1 else w for w in loaded.model.get_weights()]
    )
    library = libraries.keras() if loaded.library == "keras" else libraries.tf_keras()
    tasks: set[str] = set()
    rates: list[float] = []
    callback = library.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: rates.append(float(numpy.asarray(loaded.model.optimizer.learning_rate)))
    )
    losses = found.fit(library, loaded.model, [callback], lambda event: tasks.add(event.task), step="the step")
    load.forget()
    return {
        "loss": found.loss.described,
        "losses": losses,
        "notices": [notice.code for notice in notices],
        "tasks": sorted(tasks),
        "rates": rates,
    }


def looked_at(model: str) -> dict[str, Any]:
    """The loss that a file was saved with, its layers, inputs and outputs."""
    from edgekit.model import load
    from edgekit.optimize.losses import own_loss

    load.forget()
    loaded = load.load_model(Path(model))
    own = own_loss(loaded)
    return {
        "loss": own.described if own else None,
        "library": loaded.library,
        "layers": [layer.name for layer in loaded.model.layers],
        "outputs": [list(spec.shape[1:]) for spec in load.output_specs(loaded)],
        "parameters": int(loaded.model.count_params()),
    }


def unsteady() -> Any:
    """Other rows at every reading."""
    random = numpy.random.default_rng()
    for _ in range(40):
        yield random.normal(size=(8, 8, 1)).astype("float32")
