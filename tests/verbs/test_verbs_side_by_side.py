"""Runtimes side by side on real boards: this machine, and a machine behind a real sshd."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tiny_onnx
import tiny_tflite
from onnx import TensorProto, helper

import edgekit
from edgekit.core.errors import ModelError, UsageError
from edgekit.core.events import ignore
from edgekit.measure.plan import Plan
from edgekit.verbs.benchmark import benchmarking
from edgekit.verbs.boards import Reach

PLAN = Plan(
    name="quick",
    processes=2,
    memory_processes=1,
    cold_processes=1,
    min_runs=10,
    min_s=0.05,
    warmup_s=0.02,
    warmup_max_s=0.1,
    max_s=5.0,
    retries=0,
)


def measured(models, device="local", **options):
    work = benchmarking(models, plan=PLAN, num_threads=1, **options)
    return work(device, Reach(), ignore)


@pytest.fixture
def model(tmp_path):
    return tiny_tflite.write(tmp_path, tiny_tflite.dense_chain_int8(), "chain.tflite")


@pytest.fixture(autouse=True)
def own_home(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))  # the workspace of `local`


def test_each_runtime_is_a_row_that_says_what_computed(model):
    found = measured(model, runtime="litert,litert-builtin,ai_edge_litert")
    assert [(one.runtime.name, one.runtime.kernels) for one in found.measurements] == [
        ("LiteRT C API", "delegate"),
        ("LiteRT C API", "builtin"),
        ("ai_edge_litert", "delegate"),
    ]
    assert [one.runtime.delegate for one in found.measurements] == ["XNNPACK", "none", "XNNPACK"]
    assert not found.errors
    assert not found.not_measured
    by_xnnpack, _, by_module = (one.samples.latency[0].output_sha256 for one in found.measurements)
    assert by_xnnpack == by_module  # all had the same inputs


def test_a_runtime_that_cannot_run_there_is_a_row_that_says_why_and_stops_nothing(model):
    found = measured(model, runtime="litert,benchmark_model")
    assert [one.runtime.name for one in found.measurements] == ["LiteRT C API"]
    (row,) = found.not_measured
    assert (row.device, row.model, row.runtime, row.num_threads) == ("local", "chain", "benchmark_model", None)
    assert "you have to supply it" in row.error.message
    assert found.errors == ()  # the model was measured


def test_a_model_that_nothing_can_run_is_an_error(model):
    found = measured(model, runtime="benchmark_model")
    assert not found.measurements
    assert [error.message for error in found.errors] == [row.error.message for row in found.not_measured]


def test_an_onnx_file_stands_beside_the_same_weights_as_tflite(tmp_path):
    tflite = tiny_tflite.write(tmp_path, tiny_onnx.dense_tflite(), "dense.tflite")
    found = measured([tflite, tiny_onnx.write(tmp_path, name="dense.onnx")], runtime="litert,onnxruntime")
    assert [(one.model.name, one.runtime.name) for one in found.measurements] == [
        ("dense", "LiteRT C API"),
        ("dense.onnx", "onnxruntime"),
    ]
    onnx = found.measurements[1]
    assert (onnx.runtime.delegate, onnx.runtime.version != "") == ("CPUExecutionProvider", True)
    assert onnx.memory.peak_rss_bytes > 10_000_000
    assert "random-samples" in {notice.code for notice in onnx.notices}


def test_an_onnx_file_alone_needs_no_word_about_its_runtime(tmp_path):
    (one,) = edgekit.benchmark(tiny_onnx.write(tmp_path), plan=PLAN)
    assert one.runtime.name == "onnxruntime"


def test_lengths_that_are_no_batch_and_left_open_are_named(tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "words"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "words"])],
    )
    (one,) = measured(tiny_onnx.write(tmp_path, tiny_onnx.finished(graph))).measurements
    said = next(notice for notice in one.notices if notice.code == "open-shape")
    assert "x [batch, words] is measured with 1" in said.message


def test_a_model_that_cannot_run_with_a_length_of_one_says_so(tmp_path):
    found = measured(tiny_onnx.write(tmp_path, tiny_onnx.dense(shape=("batch", "features"))))
    (error,) = found.errors
    assert isinstance(error, ModelError)
    assert "lengths of 1 where it leaves them open" in error.message


@pytest.mark.parametrize(
    ("runtime", "words"),
    [
        ("litert,onnxruntime", "onnxruntime runs .onnx files, and none is named"),
        ("litert,litert", "named twice"),
        ("litert,tflite-runtime", "tflite-runtime"),
    ],
)
def test_runtimes_that_make_no_sense_are_refused_before_any_board_is_reached(model, runtime, words):
    with pytest.raises(UsageError, match=words):
        benchmarking(model, runtime=runtime, plan=PLAN)


def test_an_onnx_file_without_its_runtime_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"runs model\.onnx") as caught:
        benchmarking(tiny_onnx.write(tmp_path), runtime="litert", plan=PLAN)
    assert "onnxruntime" in caught.value.hint


def test_an_onnx_file_is_refused_where_only_tflite_can_be_used(tmp_path):
    with pytest.raises(ModelError, match=r"model\.onnx is an ONNX file") as caught:
        edgekit.deploy(tiny_onnx.write(tmp_path), device="local")
    assert "edgekit benchmark" in caught.value.hint


def test_the_runtime_of_onnx_files_is_refused_where_tflite_files_run(model):
    with pytest.raises(UsageError, match=r"onnxruntime runs \.onnx files"):
        edgekit.deploy(model, device="local", runtime="onnxruntime")


def test_f58_a_delegate_that_took_no_op_is_not_named_and_the_verdict_says_so(tmp_path):
    model = tiny_tflite.write(tmp_path, tiny_tflite.cast("int32", "int64"))
    (one,) = measured(model, runtime="litert").measurements
    assert one.runtime.delegate == "none"
    assert (one.runtime.ops, one.runtime.delegated_ops) == (1, 0)
    assert all(trial.runtime.delegate == "none" for trial in one.samples.latency)
    assert any(reason.code == "delegate-fell-back" for reason in one.reasons)


def test_f58_a_delegate_that_took_some_ops_is_named_with_how_many(tmp_path):
    from edgekit.measure.measurement import to_document
    from edgekit.report import words

    model = tiny_tflite.write(tmp_path, tiny_tflite.dense_then_floor_mod())
    (one,) = measured(model, runtime="litert").measurements
    assert (one.runtime.delegate, one.runtime.fully_delegated) == ("XNNPACK", False)
    assert (one.runtime.ops, one.runtime.delegated_ops) == (2, 1)
    assert "XNNPACK (1 of 2 ops)" in words.runtime(to_document(one))


def test_the_weight_cache_is_a_row_of_its_own_beside_the_one_without(model):
    found = measured(model, runtime="litert,litert-builtin", weight_cache=True)
    assert [(one.runtime.kernels, one.runtime.weight_cache) for one in found.measurements] == [
        ("delegate", False),
        ("delegate", True),
        ("builtin", False),
    ]
    plain, cached, _ = (one.samples.latency[0].output_sha256 for one in found.measurements)
    assert plain == cached


def test_a_weight_cache_that_was_cut_short_is_made_again(model):
    from edgekit.core.artifact import open_artifact
    from edgekit.verbs.boards import open_board
    from edgekit.verbs.measuring import measure_on
    from edgekit.verbs.ready import push_model, weight_cache_path

    with open_board("local", Reach(), "litert", ignore) as board:
        pushed = push_model(board, open_artifact(model))
        path = weight_cache_path(board, pushed)
        assert measure_on(board, [open_artifact(model)], [1], replace(PLAN, cold_processes=0), ignore)
        board.device.workspace.sh('printf nonsense > "$1"', path)
    cached = measured(model, runtime="litert", weight_cache=True).measurements[1]
    assert cached.runtime.weight_cache is True
    assert cached.verdict != "invalid" or "output-differs" not in {reason.code for reason in cached.reasons}


@pytest.mark.parametrize("runtime", ["litert", "native"])
def test_cold_starts_on_a_board_over_ssh_say_what_became_of_the_page_cache(sshd_board, model, runtime):
    (one,) = measured(model, device="pi4", runtime=runtime).measurements
    assert one.samples.cold
    assert one.samples.cold[0].mode == "cold"
    assert one.latency.cold_start_cache in ("dropped", "partly", "kept")  # a board of the tests may lie in memory
    assert one.latency.cold_start_note == "" or one.latency.cold_start_cache != "dropped"
    assert one.latency.warm_start_ns > 0


@pytest.mark.slow
def test_onnx_runtime_goes_to_a_board_without_pip_or_network(sshd_factory, tmp_path):
    board = sshd_factory(disk_mb=512)
    path = tiny_onnx.write(tmp_path)
    found = measured(path, device="pi4")
    assert not found.errors, found.errors
    (one,) = found.measurements
    assert one.runtime.name == "onnxruntime"
    assert [place.name for place in board.path(f"{board.home}/.edgekit/runtime").glob("*/packages")] == ["packages"]
