"""Camera frames as they are: the preprocessing taken into the model, so that an app feeds bytes."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

from edgekit.core import decode
from edgekit.core.errors import UsageError
from edgekit.core.hashing import sha256_file
from edgekit.data.spec import DataChoice, DataSpec, Preprocessing
from edgekit.optimize.cache import StepCache
from edgekit.optimize.made import Made, Source, ending_of, notices_of
from edgekit.optimize.request import Request
from edgekit.optimize.versions import versions
from edgekit.optimize.workers import Workers

_BYTES = {"scale": 1.0}
_NONE = Preprocessing(scale=1.0)


def raw_input(request: Request, source: Source, workers: Workers, cache: StepCache) -> tuple[Request, Source]:
    """Run and source for raw frames, where a byte alone cannot carry the preprocessing: another one for each channel.

    The preprocessing goes into a copy of the Keras model, and the rows stay raw. Where it is the same for all channels
    nothing is changed here: :func:`bytes_in` makes it the quantization of the input.

    Raises:
        UsageError: there are no data with preprocessing, or it is not arithmetic; channels of a .tflite differ.
        ModelError: the model cannot take it in.
    """
    preprocessing = request.data.preprocessing
    if preprocessing is None:
        raise UsageError(
            "--uint8-input takes the preprocessing of the data into the model, and there are no data",
            hint="name them with --data, and their preprocessing with --scale, --mean, --std",
        )
    if all(len(values or ()) <= 1 for values in (preprocessing.mean, preprocessing.std)):
        return request, source
    if source.format.name == "tflite":
        raise UsageError(
            f"{source.path.name}: --mean and --std differ between channels, which the bytes of a .tflite cannot carry",
            hint="start from the Keras model that it was made from",
        )
    values = decode.to_json(preprocessing)
    key = {"source": source.sha256, "trust": source.trust, "code": source.code, "fold": values, "versions": versions()}
    found = cache.lookup("fold-input", key)
    if found is None:
        with cache.making("fold-input", key) as making:
            name = f"{source.path.stem}{ending_of(source.format)}"
            making.record = workers.heavy(
                "edgekit.optimize.refit.fold_input:fold_input",
                source=str(source.path),
                out=str(making.folder / name),
                preprocessing=values,
                trust=source.trust,
            )
        folder, record = making.folder, making.record
    else:
        folder, record = found
    path = folder / Path(record["path"]).name
    folded = dataclasses.replace(source, path=path, sha256=sha256_file(path), format=_format(path, source))
    return dataclasses.replace(request, data=_raw(request.data)), folded


def bytes_in(made: Made, data: DataChoice, workers: Workers, cache: StepCache) -> Made:
    """The .tflite with an input of bytes: what was preprocessing is the quantization of that input.

    Raises:
        ModelError: several inputs, or one that is neither float32 nor int8.
    """
    preprocessing = data.preprocessing
    arithmetic = preprocessing is not None and preprocessing.arithmetic
    values = decode.to_json(preprocessing) if arithmetic else _BYTES
    key = {"tflite": sha256_file(made.tflite), "preprocessing": values, "versions": versions()}
    found = cache.lookup("uint8-input", key)
    cached = found is not None
    if found is None:
        with cache.making("uint8-input", key) as making:
            begin = time.perf_counter()
            answer = workers.light(
                "edgekit.optimize.refit.uint8_input:uint8_input",
                source=str(made.tflite),
                out=str(making.folder / "model.tflite"),
                preprocessing=values,
            )
            making.record = {**answer, "seconds": time.perf_counter() - begin}
        folder, record = making.folder, making.record
    else:
        folder, record = found
    first = dataclasses.replace(
        made.inputs[0], dtype="uint8", scale=record["scale"], zero_point=int(record["zero_point"])
    )
    return dataclasses.replace(
        made,
        name="uint8-input",
        parameters=values,
        tflite=folder / "model.tflite",
        inputs=(first, *made.inputs[1:]),
        seconds=record["seconds"],
        cached=cached,
        notes=tuple(record["notes"]),
        details={key: record[key] for key in ("scale", "zero_point", "op", "offset_error", "max_abs_difference")},
        notices=notices_of(record),
    )


def _format(path: Path, source: Source) -> Any:
    from edgekit.model.format import detect_format

    return detect_format(path) if path.suffix != source.path.suffix else source.format


def _raw(data: DataChoice) -> DataChoice:
    def raw(spec: DataSpec | None) -> DataSpec | None:
        return None if spec is None else dataclasses.replace(spec, preprocessing=_NONE)

    return dataclasses.replace(
        data,
        data=raw(data.data),
        representative=raw(data.representative),
        evaluation=raw(data.evaluation),
        training=raw(data.training),
    )
