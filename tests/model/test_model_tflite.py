"""What is in a .tflite, and that no file can hang or crash the reader."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.core.errors import ModelError
from edgekit.model.flatbuffer import read
from edgekit.model.tflite import read_tflite


def test_inputs_and_outputs_have_the_signatures_names(tflites: Path) -> None:
    model = read_tflite(tflites / "int8.tflite")
    assert [spec.name for spec in model.inputs] == ["image"]
    assert [spec.name for spec in model.outputs] == ["scores"]
    assert model.inputs[0].dtype == "int8"
    assert model.inputs[0].shape == (1, 8, 8, 1)
    assert model.inputs[0].scale == pytest.approx(1.0, rel=0.02)  # 0..255 in 256 steps
    assert model.inputs[0].zero_point == -128
    assert [signature.key for signature in model.signatures] == ["serving_default"]


def test_macs_follow_from_the_shapes(tflites: Path) -> None:
    for name in ("float.tflite", "int8.tflite"):
        macs = {op.name: op.macs for op in read_tflite(tflites / name).ops if op.macs is not None}
        assert macs["CONV_2D"] == 6 * 6 * 4 * 3 * 3 * 1
        assert macs["FULLY_CONNECTED"] == 6 * 6 * 4 * 3


def test_weights_are_seen_with_their_quantization(tflites: Path) -> None:
    convolution = next(t for t in read_tflite(tflites / "int8.tflite").weights if t.shape == (4, 3, 3, 1))
    assert (convolution.dtype, convolution.scales, convolution.size_bytes) == ("int8", 4, 36)
    flat = next(t for t in read_tflite(tflites / "float.tflite").weights if t.shape == (4, 3, 3, 1))
    assert (flat.dtype, flat.scales, flat.size_bytes, flat.zeros) == ("float32", 0, 144, 0.0)


def test_custom_ops_are_told_from_builtin_ones(tflites: Path) -> None:
    ops = read_tflite(tflites / "flex.tflite").ops
    assert [op.name for op in ops if not op.builtin] == ["FlexRoll"]


def test_a_fused_lstm_counts_its_time_steps(tflites: Path) -> None:
    op = next(op for op in read_tflite(tflites / "lstm.tflite").ops if op.name == "UNIDIRECTIONAL_SEQUENCE_LSTM")
    assert op.macs == 6 * 4 * (4 * 5 + 5 * 5)


@pytest.mark.parametrize("fraction", [0.02, 0.3, 0.7, 0.98])
def test_a_truncated_tflite_is_a_named_error(tflites: Path, tmp_path: Path, fraction: float) -> None:
    whole = (tflites / "int8.tflite").read_bytes()
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(whole[: int(len(whole) * fraction)])
    with pytest.raises(ModelError, match=r"cut\.tflite is (truncated|damaged)") as caught:
        read_tflite(cut)
    assert caught.value.exit_code == 4


def test_another_kind_of_model_is_named(models: Path) -> None:
    with pytest.raises(ModelError, match="keras3-keras") as caught:
        read_tflite(models / "cnn.keras")
    assert "edgekit convert" in str(caught.value.hint)


def test_a_list_longer_than_the_file_is_a_named_error(tmp_path: Path) -> None:
    """An identifier, and then lengths of four billion everywhere."""
    path = tmp_path / "huge.tflite"
    path.write_bytes(b"\x20\0\0\0TFL3" + b"\xff" * 4096)
    with pytest.raises(ModelError):
        read_tflite(path)


def test_random_damage_gives_a_description_or_a_named_error(tflites: Path, tmp_path: Path) -> None:
    dice = random.Random(7)
    whole = (tflites / "int8.tflite").read_bytes()
    path = tmp_path / "mutant.tflite"
    outcomes = set()
    for _ in range(150):
        mutant = bytearray(whole)
        for _ in range(dice.randint(1, 12)):
            mutant[dice.randrange(8, len(mutant))] = dice.randrange(256)
        path.write_bytes(mutant)
        try:
            read(str(path))
            outcomes.add("read")
        except ModelError as error:
            outcomes.add("refused" if path.name in str(error) else "refused without saying what")
    assert outcomes == {"read", "refused"}


def test_reading_a_tflite_imports_no_tensorflow_here(tflites: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from edgekit.model.tflite import read_tflite; "
        f"read_tflite(Path({str(tflites / 'float.tflite')!r})); print('tensorflow' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
