"""Figures of an emulated board are called so, and nothing compares with them."""

from __future__ import annotations

import pytest
from synthetic_trials import SHA, make_samples

from edgekit.core.errors import MeasurementError
from edgekit.measure.conditions import BoardLimits
from edgekit.measure.emulated import called, is_emulated, refuse_emulated
from edgekit.measure.measurement import MeasuredModel, Measurement, measurement_from, to_document
from edgekit.measure.notices import slower_than_float


def measured(device: str, *, emulated: bool, kind: str = "int8", median_ns: float = 2e6) -> Measurement:
    return measurement_from(
        make_samples(median_ns=median_ns),
        device=device,
        model=MeasuredModel(name=f"{kind}.tflite", sha256=SHA, kind=kind),
        limits=BoardLimits(emulated=emulated),
    )


def test_a_measurement_knows_that_its_board_is_emulated() -> None:
    document = to_document(measured("pi4", emulated=True))
    assert (document["device"], document["emulated"]) == ("pi4", True)
    assert any(reason.startswith("emulated:") for reason in document["reasons"])
    assert to_document(measured("pi4", emulated=False))["emulated"] is False


def test_an_emulated_board_is_called_so_once() -> None:
    assert called("pi4", True) == called(called("pi4", True), True) == "pi4 (emulated)"
    assert called("pi4", False) == "pi4"


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({"emulated": True}, True),
        ({"emulated": False, "reasons": []}, False),
        ({"reasons": ["emulated: an emulated processor: the times say nothing about a real board"]}, True),
        ({"device": "pi4", "benchmark": {"emulated": True}}, True),
        ({"device": "pi4", "benchmark": None}, False),
        ({"reasons": ["contended: emulated: no"]}, False),
    ],
)
def test_documents_from_before_there_was_a_field_are_recognised_too(document, found) -> None:
    assert is_emulated(document) is found


def test_comparing_with_an_emulated_board_is_refused_and_names_it() -> None:
    pair = [measured("pi4", emulated=False), measured("qemu", emulated=True), measured("qemu", emulated=True)]
    with pytest.raises(MeasurementError, match=r"cannot compare what was measured on qemu \(emulated\):") as refused:
        refuse_emulated(pair, doing="compare")
    assert refused.value.exit_code == 8
    assert refused.value.details == {"emulated": ["qemu (emulated)"]}


def test_real_boards_may_be_compared() -> None:
    refuse_emulated([measured("pi4", emulated=False), measured("pi5", emulated=False)], doing="compare")


def test_a_mode_is_not_called_slower_than_the_float_model_of_the_emulated_twin() -> None:
    real = measured("pi4", emulated=False, kind="float32", median_ns=1e6)
    twin = measured("pi4", emulated=True, kind="int8", median_ns=9e6)
    assert slower_than_float([real, twin]) == ()


def test_what_is_said_about_an_emulated_board_has_the_word_in_it() -> None:
    both = [
        measured("pi4", emulated=True, kind="float32", median_ns=1e6),
        measured("pi4", emulated=True, kind="dynamic", median_ns=9e6),
    ]
    (notice,) = slower_than_float(both)
    assert "(pi4 (emulated), 1 thread)" in notice.message
