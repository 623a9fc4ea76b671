"""Ranges, equalisation and bias correction around int8; how many calibration rows are enough."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from optimize_broken import broken_models
from optimize_litert import run
from optimize_workshop import TIME_LIMIT_S, Workshop

from edgekit.core.child import Child
from edgekit.core.errors import UsageError
from edgekit.optimize import model_tree
from edgekit.optimize.edge_quantizer import open_edge_quantizer
from edgekit.optimize.passes import around, ranges
from edgekit.optimize.passes.bias import correct_biases
from edgekit.optimize.passes.chains import find_pairs, unshare_biases
from edgekit.optimize.passes.equalize import equalize
from edgekit.optimize.passes.error import OutputError
from edgekit.optimize.representative import Rows


@pytest.fixture(scope="module")
def broken(workshop: Workshop) -> Path:
    return broken_models(workshop)


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    with Child(log=tmp_path_factory.mktemp("light") / "log.txt", purpose="quantization") as child:
        yield child


@pytest.fixture(params=["tensorflow", "ai-edge-quantizer"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def training(folder: Path) -> dict[str, Any]:
    return {"source": str(folder / "broken.npz"), "part": "train", "rows": list(range(200))}


def quantized(
    workshop: Workshop, light: Child, folder: Path, kind: str, engine: str, **passes: Any
) -> tuple[dict[str, Any], float]:
    """The record, and the accuracy on rows that nothing else saw."""
    out = folder / "quantized.tflite"
    common = {"out": str(out), "mode": "int8", "representative": training(folder), **passes}
    source = str(folder / f"{kind}.tflite")
    if engine == "tensorflow":
        answer = workshop.call("quantize:quantize", float_model=source, **common)
    else:
        answer = light.call(
            "edgekit.optimize.quantize_tflite:quantize_tflite", time_limit_s=TIME_LIMIT_S, source=source, **common
        )
    arrays = numpy.load(folder / "broken.npz")
    (found,) = run(out, {"x": arrays["x_test"]}, 400).values()
    return answer, float((found.argmax(axis=1) == arrays["y_test"]).mean())


def rows_of(folder: Path, model: Path) -> Rows:
    images = numpy.load(folder / "broken.npz")["x_train"][:200]
    return Rows(lambda: ({"": image} for image in images), model_tree.inputs(model_tree.read(model)))


def test_equalisation_mends_channels_far_apart(workshop: Workshop, light: Child, broken: Path, engine: str) -> None:
    _, plain = quantized(workshop, light, broken, "channels", engine)
    answer, mended = quantized(workshop, light, broken, "channels", engine, equalize=True)
    assert plain < 0.7
    assert mended >= 0.98
    assert "cross-layer equalisation: 3 of 5 layers scaled to the next one" in answer["notes"]
    assert any("left alone: its output goes to TANH" in note for note in answer["notes"])


def test_equalisation_gives_the_same_function(broken: Path) -> None:
    source = broken / "channels.tflite"
    found = equalize(source.read_bytes(), source.name, rows_of(broken, source))
    assert found.pairs == 3
    changed = broken / "equalized.tflite"
    changed.write_bytes(found.content)
    arrays = {"x": numpy.load(broken / "broken.npz")["x_test"]}
    (before,), (after,) = (run(path, arrays, 50).values() for path in (source, changed))
    numpy.testing.assert_allclose(after, before, atol=1e-5)
    assert source.read_bytes() != found.content


def test_layers_that_share_a_row_of_zeros_as_bias_are_equalised_all_the_same(broken: Path) -> None:
    model = model_tree.read(broken / "healthy.tflite")
    graph = model.subgraphs[0]
    first, depthwise = (op for op in graph.operators[:2])
    depthwise.inputs = [int(depthwise.inputs[0]), int(depthwise.inputs[1]), int(first.inputs[2])]
    unshare_biases(model)
    assert int(depthwise.inputs[2]) != int(first.inputs[2])
    pairs, _ = find_pairs(model)
    assert len({pair.bias for pair in pairs}) == len(pairs)


def test_relu6_is_opened_only_where_it_never_clips(broken: Path) -> None:
    source = broken / "healthy.tflite"
    for scale, opened in ((0.01, True), (100.0, False)):
        model = model_tree.read(source)
        graph = model.subgraphs[0]
        first = graph.operators[0]
        first.builtinOptions.fusedActivationFunction = 3  # RELU6
        for index in first.inputs[1:]:
            buffer = model.buffers[graph.tensors[int(index)].buffer]
            values = numpy.frombuffer(bytes(bytearray(buffer.data)), numpy.float32)
            buffer.data = numpy.frombuffer((values * scale).astype("float32").tobytes(), numpy.uint8)
        found = equalize(model_tree.pack(model), source.name, rows_of(broken, source))
        assert [notice.code for notice in found.notices] == (["relu6-opened"] if opened else [])
        assert any("RELU6 clips" in note for note in found.notes) is not opened


def test_a_percentile_mends_a_rare_outlier(workshop: Workshop, light: Child, broken: Path, engine: str) -> None:
    _, plain = quantized(workshop, light, broken, "outlier", engine)
    answer, mended = quantized(workshop, light, broken, "outlier", engine, ranges="percentile")
    assert plain < 0.5
    assert mended >= 0.98
    assert any("99.99 % percentile" in note and "pointwise" in note for note in answer["notes"])


@pytest.mark.filterwarnings("ignore:Warning. Enabling")  # ai-edge-quantizer keeps all tensors too
def test_a_pass_that_brings_nothing_is_undone_and_says_so(broken: Path) -> None:
    source = broken / "healthy.tflite"
    work = open_edge_quantizer(source, "int8", training(broken))
    error = OutputError(work.content, source.name, work.rows)
    narrow = work.with_ranges({name: (low / 50, high / 50) for name, (low, high) in work.ranges.items()})
    kept = around._closer(narrow, work, error, "ranges by mse")
    assert kept.build() == work.build()
    assert kept.notes[0].startswith("ranges by mse undone: the outputs' error in int8 went from")
    assert around._closer(work, narrow, error, "ranges by mse").build() == work.build()


def counted(values: Any) -> Any:
    bits = numpy.asarray(values, numpy.float32).view(numpy.uint32) >> ranges._SHIFT
    return numpy.bincount(bits, minlength=ranges._BINS)


def test_the_percentile_of_the_bins_is_that_of_the_values() -> None:
    values = numpy.random.default_rng(0).normal(0, 3, 200_000).astype("float32")
    low, high = ranges._by_rule(counted(values), (float(values.min()), float(values.max())), "percentile")
    assert low == pytest.approx(numpy.percentile(values, 0.01), rel=0.03)
    assert high == pytest.approx(numpy.percentile(values, 99.99), rel=0.03)


def test_the_least_squared_error_is_found() -> None:
    random = numpy.random.default_rng(0)
    values = numpy.append(random.laplace(0, 1, 1_000_000), 60.0).astype("float32")
    found = float(values.min()), float(values.max())

    def error(extent: tuple[float, float]) -> float:
        step = (extent[1] - extent[0]) / 255
        return float(((numpy.rint(values.clip(*extent) / step) * step - values) ** 2).mean())

    chosen = ranges._by_rule(counted(values), found, "mse")
    best = min(error((max(found[0], -limit), limit)) for limit in numpy.linspace(3, 60, 200))
    assert error(chosen) == pytest.approx(best, rel=0.05)
    assert error(chosen) < 0.5 * error(found)


def test_values_that_are_never_negative_keep_zero_as_their_least() -> None:
    values = numpy.random.default_rng(0).exponential(1, 50_000).astype("float32")
    for rule in ("percentile", "mse"):
        low, high = ranges._by_rule(counted(values), (0.0, float(values.max())), rule)
        assert low == 0.0
        assert 0 < high <= values.max()


def test_a_shifted_bias_is_found_and_taken_back(workshop: Workshop, light: Child, broken: Path) -> None:
    quantized(workshop, light, broken, "healthy", "tensorflow")
    source = broken / "healthy.tflite"
    model = model_tree.read(broken / "quantized.tflite")
    graph = model.subgraphs[0]
    for op in graph.operators[:3]:
        buffer = model.buffers[graph.tensors[int(op.inputs[2])].buffer]
        values = numpy.frombuffer(bytes(bytearray(buffer.data)), numpy.int32)
        buffer.data = numpy.frombuffer((values + 20000).astype("int32").tobytes(), numpy.uint8)
    shifted = model_tree.pack(model)
    found = correct_biases(source.read_bytes(), shifted, source.name, rows_of(broken, source))
    error = OutputError(source.read_bytes(), source.name, rows_of(broken, source))
    assert found.layers >= 3
    assert error.of(found.content) < 0.1 * error.of(shifted)


def test_bias_correction_that_does_not_help_is_undone(workshop: Workshop, light: Child, broken: Path) -> None:
    quantized(workshop, light, broken, "channels", "tensorflow")
    plain = (broken / "quantized.tflite").read_bytes()
    answer, _ = quantized(workshop, light, broken, "channels", "tensorflow", bias_correction=True)
    (note,) = [note for note in answer["notes"] if "bias correction" in note]
    assert ("undone" in note) == ((broken / "quantized.tflite").read_bytes() == plain)


@pytest.mark.parametrize("passes", [{"equalize": True}, {"bias_correction": True}, {"ranges": "mse"}])
def test_passes_are_for_8_bit_activations(workshop: Workshop, broken: Path, passes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="is for the modes int8 and int8-float-io, not int16x8"):
        workshop.call(
            "quantize:quantize", float_model=str(broken / "healthy.tflite"), out="x", mode="int16x8",
            representative=training(broken), **passes,
        )  # fmt: skip


def test_a_misspelt_rule_is_an_error_with_the_nearest_name(workshop: Workshop, broken: Path) -> None:
    with pytest.raises(UsageError, match="unknown rule for the ranges 'percentil'") as caught:
        workshop.call(
            "quantize:quantize", float_model=str(broken / "healthy.tflite"), out="x", mode="int8",
            representative=training(broken), ranges="percentil",
        )  # fmt: skip
    assert "did you mean 'percentile'" in str(caught.value.hint)


def curve(light: Child, folder: Path, kind: str, **options: Any) -> dict[str, Any]:
    return light.call(
        "edgekit.optimize.passes.calibration_curve:calibration_curve", time_limit_s=TIME_LIMIT_S,
        float_model=str(folder / f"{kind}.tflite"), mode="int8", representative=training(folder), **options,
    )  # fmt: skip


def test_the_curve_says_how_many_rows_are_enough(light: Child, broken: Path) -> None:
    found = curve(light, broken, "healthy", counts=[1, 4, 16, 64, 1000])
    points = found["points"]
    assert [point["count"] for point in points] == [1, 4, 16, 64, 200]
    missing = [point["missing_mean"] for point in points]
    assert missing == sorted(missing, reverse=True)
    assert missing[-1] == 0.0
    assert found["enough"] in (1, 4, 16, 64)
    assert f"{found['enough']} row" in found["verdict"]


def test_the_curve_shows_that_rare_rows_make_it_worse(light: Child, broken: Path) -> None:
    found = curve(light, broken, "outlier")
    assert "more rows make it worse" in found["verdict"]
    assert "percentile" in found["verdict"]
