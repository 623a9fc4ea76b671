"""Which recorded kernel belongs to which op of the file, and how long an op took."""

from __future__ import annotations

import pytest

from edgekit.core.errors import DeviceError
from edgekit.measure.profile import op_times
from edgekit.runner.conditions import Conditions
from edgekit.runner.protocol import Profile, ProfiledOp, RuntimeUsed

NOTHING = Conditions(
    temperature_c=None,
    frequency_hz=(),
    clock_hz=None,
    governor=None,
    throttle_bits=None,
    load_1min=None,
    memory_available_bytes=None,
    boot_id=None,
)
RUNTIME = RuntimeUsed(name="LiteRT C API", version="2.3.0", delegate="XNNPACK", fully_delegated=None)


def profile(*ops: tuple[str, int | None, tuple[int, ...]], whole: tuple[int, ...] | None = None) -> Profile:
    """Recorded ops as (tag, node or None for the delegate's, microseconds per run)."""
    runs = len(ops[0][2])
    return Profile(
        ops=tuple(
            ProfiledOp(tag=tag, delegated=node is None, node=node or 0, elapsed_us=times) for tag, node, times in ops
        ),
        whole_us=whole or tuple(sum(op[2][run] for op in ops) for run in range(runs)),
        other_runs=0,
        runtime=RUNTIME,
        num_threads=1,
        model_sha256="",
        samples_used=1,
        before=NOTHING,
        after=NOTHING,
        python="3.11",
        cpus=(0,),
    )


def times(found) -> list[float]:
    return [op.elapsed_ns for op in found.ops]


def test_a_pointwise_convolution_runs_as_a_fully_connected_kernel():
    found = op_times(
        profile(
            ("Convolution (NHWC, F32) DWConv", None, (5,)),
            ("Fully Connected (NC, F32) GEMM", None, (7,)),
            ("Fully Connected (NC, F32) GEMM", None, (3,)),
        ),
        ["DEPTHWISE_CONV_2D", "CONV_2D", "FULLY_CONNECTED"],
    )
    assert times(found) == [5000, 7000, 3000]
    assert all(op.delegated for op in found.ops)


def test_the_runtimes_own_ops_are_known_by_their_position():
    found = op_times(
        profile(
            ("Convolution (NHWC, QC8) IGEMM", None, (9,)),
            ("SHAPE", 1, (2,)),
            ("Static Reshape (NC)", None, (1,)),
            ("Fully Connected (NC, QS8, QC8W) GEMM", None, (4,)),
            ("SOFTMAX", 4, (6,)),
        ),
        ["CONV_2D", "SHAPE", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX"],
    )
    assert times(found) == [9000, 2000, 1000, 4000, 6000]
    assert [op.delegated for op in found.ops] == [True, False, True, True, False]


def test_kernels_that_the_delegate_adds_count_for_the_op_that_they_serve():
    found = op_times(
        profile(
            ("Convert (NC, F32, QD8)", None, (2,)),
            ("Convolution (NHWC, QD8, F32, QC8W) IGEMM", None, (9,)),
            ("Convert (NC, F32, QD8)", None, (1,)),
            ("Fully Connected (NC, QD8, F32, QC8W) GEMM", None, (4,)),
            ("Softmax (NC, F32)", None, (3,)),
        ),
        ["CONV_2D", "FULLY_CONNECTED", "SOFTMAX"],
    )
    assert times(found) == [11000, 5000, 3000]
    assert found.ops[0].kernels == ("Convert (NC, F32, QD8)", "Convolution (NHWC, QD8, F32, QC8W) IGEMM")


def test_an_op_that_was_merged_into_another_has_no_time_and_no_kernel():
    found = op_times(
        profile(
            ("Convolution (NHWC, F32) IGEMM", None, (9,)),
            ("Max Pooling (NHWC, F32)", None, (4,)),
        ),
        ["PAD", "CONV_2D", "RELU", "MAX_POOL_2D"],
    )
    assert times(found) == [0, 9000, 0, 4000]
    assert found.ops[0].kernels == ()


def test_a_kernel_that_nobody_has_heard_of_goes_to_its_neighbour_and_is_not_lost():
    found = op_times(
        profile(("Novel Kernel (NC)", None, (5,)), ("Softmax (NC, F32)", None, (3,))),
        ["SOFTMAX"],
    )
    assert found.ops_ns == 8000
    assert times(found) == [8000]


def test_runs_that_something_else_disturbed_do_not_count():
    found = op_times(
        profile(("Softmax (NC, F32)", None, (3, 500, 3, 4, 900, 800)), whole=(9, 600, 9, 10, 999, 888)),
        ["SOFTMAX"],
    )
    assert found.runs == 3
    assert found.ops_ns == pytest.approx(10_000 / 3)
    assert found.whole_ns == pytest.approx(28_000 / 3)


def test_an_op_beyond_the_model_is_an_error_not_a_guess():
    with pytest.raises(DeviceError, match="does not have"):
        op_times(profile(("SOFTMAX", 7, (1,))), ["SOFTMAX"])
