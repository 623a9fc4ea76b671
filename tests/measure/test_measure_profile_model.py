"""What a profile says of its ops: shares, what lies outside the delegate, hints, and what asking has cost."""

from __future__ import annotations

import json

import pytest
from test_measure_profile import profile

from edgekit.measure.profile_hints import Work
from edgekit.measure.profile_model import FileOp, ModelProfile, model_profile, profile_document
from edgekit.runner.protocol import Profile


def file_op(name: str, macs: int | None = None, moved: int | None = None, layer: str = "") -> FileOp:
    return FileOp(name=name, layer=layer, tensor=f"net/{layer}", work=Work(macs=macs, moved_bytes=moved))


def found(recorded: Profile, *ops: FileOp, without_ns: float | None = None, kernels: str = "delegate") -> ModelProfile:
    return model_profile(
        recorded,
        ops,
        device="pi4",
        emulated=False,
        model="m.tflite",
        kind=None,
        kernels=kernels,
        names="tensors",
        without_ns=without_ns,
        created="2026-11-22T10:00:00+00:00",
    )


CONV = ("Convolution (NHWC, F32) IGEMM", None, (100, 100))
OTHER = ("Convolution (NHWC, F32) IGEMM", None, (200, 200))


def test_what_the_delegate_left_has_its_share_and_is_named() -> None:
    one = found(profile(CONV, ("FLOOR_MOD", 1, (300, 300))), file_op("CONV_2D"), file_op("FLOOR_MOD"))
    assert (one.delegated_ops, one.outside_delegate_ns, one.outside_delegate_share) == (1, 300_000, 0.75)
    assert one.ops[1].hint.startswith("not delegated")
    assert "not delegated" not in one.ops[0].hint
    assert [(kind.name, kind.delegated) for kind in one.kinds] == [("FLOOR_MOD", 0), ("CONV_2D", 1)]


def test_without_a_delegate_nothing_is_outside_of_it() -> None:
    one = found(profile(("CONV_2D", 0, (100, 100))), file_op("CONV_2D", 1000), kernels="builtin")
    assert one.outside_delegate_share is None
    assert "not delegated" not in one.ops[0].hint


def test_shares_add_up_and_the_rest_lies_between_the_ops() -> None:
    one = found(profile(CONV, OTHER, whole=(350, 350)), file_op("CONV_2D"), file_op("CONV_2D"))
    assert sum(op.share for op in one.ops) == pytest.approx(1.0)
    assert one.between_ns == pytest.approx(50_000)
    assert one.ops_ns + one.between_ns == pytest.approx(one.whole_ns)


@pytest.mark.parametrize(
    ("macs", "moved", "hint"),
    [
        (200_000, 1_000, "compute-bound: 50% of the best MACs/s"),  # half the MACs/s of the other
        (20_000, 500, "slow: 5% of the best MACs/s"),
        (2_000, 18_000, "memory-bound: 90% of the best bytes/s"),
        (None, 18_000, "memory-bound: 90% of the best bytes/s"),
        (None, None, ""),
    ],
)
def test_an_op_is_told_which_roof_it_stands_under(macs: int | None, moved: int | None, hint: str) -> None:
    recorded = profile(CONV, OTHER, ("Softmax (NC, F32)", None, (100, 100)))
    one = found(
        recorded, file_op("CONV_2D", 200_000, 2_000), file_op("CONV_2D", macs, moved), file_op("SOFTMAX", None, 10_000)
    )
    assert one.ops[1].hint == hint
    assert one.ops[0].hint == "most MACs/s here"
    assert one.ops[2].hint == "memory-bound: most bytes/s here"


def test_from_a_few_microseconds_nothing_is_concluded() -> None:
    one = found(profile(("Softmax (NC, F32)", None, (4, 4))), file_op("SOFTMAX", 1000, 1000))
    assert one.ops[0].hint == "too short to tell"
    assert one.ops[0].macs_per_s is None
    assert one.best_macs_per_s is None


def test_a_merged_op_is_called_so() -> None:
    one = found(profile(CONV), file_op("PAD"), file_op("CONV_2D"))
    assert one.ops[0].hint == "merged into another op"


def test_a_loop_is_known_only_as_a_whole_and_that_is_said() -> None:
    one = found(profile(("WHILE", 0, (900, 900))), file_op("WHILE"))
    assert one.ops[0].hint == "not delegated; holds the time of what it runs inside"
    assert [notice.code for notice in one.notices] == ["control-flow"]


def test_what_asking_costs_is_told_or_that_it_cannot_be() -> None:
    ops = (file_op("CONV_2D"), file_op("CONV_2D"))
    assert found(profile(CONV, OTHER), *ops, without_ns=250_000).cost.ratio == pytest.approx(1.2)
    assert found(profile(CONV, OTHER), *ops, without_ns=5_000).cost.ratio is None
    assert found(profile(CONV, OTHER), *ops).cost.ratio is None


def test_the_document_is_json_and_leaves_the_single_runs_out() -> None:
    document = json.loads(json.dumps(profile_document(found(profile(CONV), file_op("CONV_2D", 10)))))
    assert "recorded" not in document
    assert document["ops"][0]["kernels"] == ["Convolution (NHWC, F32) IGEMM"]
