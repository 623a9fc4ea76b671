from __future__ import annotations

import pytest

from edgekit.core.decode import from_json, to_json
from edgekit.core.errors import UsageError
from edgekit.data.spec import DataSpec, Preprocessing, data_spec, parse_numbers, parse_scale


@pytest.mark.parametrize(("text", "value"), [("1/255", 1 / 255), ("0.5", 0.5), ("2", 2.0), ("1/127.5", 1 / 127.5)])
def test_a_scale_is_a_number_or_a_fraction(text: str, value: float) -> None:
    assert parse_scale(text) == value


@pytest.mark.parametrize("text", ["", "a", "1/0", "0", "nan", "1/2/3", "inf"])
def test_a_scale_that_is_no_number_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="--scale"):
        parse_scale(text)


def test_mean_is_one_value_or_one_per_channel() -> None:
    assert parse_numbers("0.5", option="--mean") == (0.5,)
    assert parse_numbers("0.485,0.456,0.406", option="--mean") == (0.485, 0.456, 0.406)
    with pytest.raises(UsageError, match="--mean"):
        parse_numbers("0.4;0.5", option="--mean")


def test_a_zero_standard_deviation_is_refused() -> None:
    with pytest.raises(UsageError, match="--std must not be 0"):
        parse_numbers("1,0,1", option="--std")


def test_a_spec_survives_the_way_to_another_process() -> None:
    spec = DataSpec(
        source="x.npz",
        preprocessing=Preprocessing(scale=1 / 255, mean=(1.0,), function="a:b"),
        rows=(1, 5),
        part="train",
        image_size=(8, 9),
        channels=3,
    )
    assert from_json(DataSpec, to_json(spec), source="test") == spec


def test_a_spec_is_made_from_what_a_user_writes() -> None:
    spec = data_spec("x.npz", scale="1/2", mean="1,2", std=[3.0, 4.0])
    assert spec.preprocessing == Preprocessing(scale=0.5, mean=(1.0, 2.0), std=(3.0, 4.0))


def test_a_spec_is_made_from_numbers_too() -> None:
    spec = data_spec("x.npz", scale=1 / 255, mean=0.5, std=2)
    assert spec.preprocessing == Preprocessing(scale=1 / 255, mean=(0.5,), std=(2.0,))
    with pytest.raises(UsageError, match="--scale"):
        data_spec("x.npz", scale=0)
    with pytest.raises(UsageError, match="--mean"):
        data_spec("x.npz", mean=[None])  # type: ignore[list-item]  # what a user may do
