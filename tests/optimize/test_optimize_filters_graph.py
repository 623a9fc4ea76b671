"""Filter pruning: which channels belong together, which must stay, and that the small model computes what the big one
does with the same channels at zero, for every way in which layers can be joined."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import zoo

from edgekit.core.errors import ModelError
from edgekit.model import load
from edgekit.model.format import ModelFormat
from edgekit.model.load import LoadedModel
from edgekit.optimize.filters.choose import Choice, choose
from edgekit.optimize.filters.criteria import scores
from edgekit.optimize.filters.exactness import check, random_inputs
from edgekit.optimize.filters.graph import Dependencies, analyse
from edgekit.optimize.filters.nodes import leaves
from edgekit.optimize.filters.surgery import derive_student, narrow

LIBRARIES = ("keras", "tf_keras")


def loaded_of(model: Any, library: Any) -> LoadedModel:
    kind = ModelFormat(name="keras3-keras", library=library, library_version=None)
    return LoadedModel(model=model, library=library, format=kind, path=Path("model.keras"))


def unsettle(model: Any) -> None:
    """Weights of a trained model are nowhere 0 or 1; fresh ones would hide a forgotten scale or mean."""
    random = numpy.random.default_rng(4)
    for _, layer in leaves(model):
        if type(layer).__name__ != "Normalization":
            values = [w + random.uniform(0.02, 0.3, w.shape).astype(w.dtype) for w in layer.get_weights()]
            layer.set_weights(values)


def cut(model: Any, library: str, ratio: float = 0.5) -> tuple[Any, Dependencies, dict[str, list[int]]]:
    unsettle(model)
    found = analyse(model, library)
    keep = choose(found, scores("l1", model, found).values, Choice(ratio=ratio))
    small = narrow(model, library, keep, dependencies=found)
    exactness = check(loaded_of(model, library), small, found, keep)
    assert exactness.rebuilt == 0
    assert exactness.masked <= 1e-4 * exactness.scale
    return small, found, keep


# ----------------------------------------------------------------------------------------------- structures

Build = Callable[[Any], Any]
STRUCTURES: dict[str, tuple[Build, set[str]]] = {}


def structure(*prunable: str) -> Callable[[Build], Build]:
    """A model, and the groups of which channels may go."""

    def add(build: Build) -> Build:
        STRUCTURES[build.__name__] = (build, set(prunable))
        return build

    return add


@structure("twice", "hidden")
def a_layer_called_twice(library: Any) -> Any:
    layers = library.layers
    left, right = layers.Input((8, 8, 2), name="left"), layers.Input((8, 8, 2), name="right")
    twice = layers.Conv2D(6, 3, activation="relu", name="twice")
    x = layers.Subtract()([twice(left), twice(right)])
    x = layers.Dense(5, activation="relu", name="hidden")(layers.Flatten()(x))
    return library.Model([left, right], layers.Dense(2, name="out")(x))


@structure("inner/conv", "hidden")
def a_model_called_twice(library: Any) -> Any:
    layers = library.layers
    seen = layers.Input((8, 8, 2), name="seen")
    inner = library.Model(seen, layers.GlobalMaxPooling2D()(layers.Conv2D(6, 3, name="conv")(seen)), name="inner")
    left, right = layers.Input((8, 8, 2), name="left"), layers.Input((8, 8, 2), name="right")
    x = layers.Concatenate()([inner(left), inner(right)])
    return library.Model([left, right], layers.Dense(2)(layers.Dense(5, activation="relu", name="hidden")(x)))


@structure("first", "second")
def concatenated_and_added(library: Any) -> Any:
    """The Add joins channels of one convolution with those of two others, at an offset."""
    layers = library.layers
    image = layers.Input((8, 8, 2))
    one = layers.Conv2D(4, 3, padding="same", name="first")(image)
    two = layers.Conv2D(6, 3, padding="same", name="second")(image)
    joined = layers.Concatenate()([one, two])
    other = layers.Conv2D(10, 1, name="other")(image)
    x = layers.ReLU()(layers.Add()([joined, other]))
    return library.Model(image, layers.Dense(3, name="out")(layers.GlobalAveragePooling2D()(x)))


@structure("decode", "grow")
def a_vector_becomes_an_image(library: Any) -> Any:
    layers = library.layers
    code = layers.Input((5,))
    x = layers.Dense(3 * 3 * 8, activation="relu", name="decode")(code)
    x = layers.Reshape((3, 3, 8), name="image")(x)
    x = layers.Conv2DTranspose(6, 3, strides=2, activation="elu", name="grow")(x)
    return library.Model(code, layers.Conv2D(1, 3, name="out")(x))


@structure("conv", "hidden")
def normalized_in_groups(library: Any) -> Any:
    layers = library.layers
    image = layers.Input((8, 8, 2))
    x = layers.GroupNormalization(groups=4, name="groups")(layers.Conv2D(8, 3, name="conv")(image))
    x = layers.PReLU(shared_axes=[1, 2], name="slopes")(x)
    x = layers.Dense(6, activation="sigmoid", name="hidden")(layers.GlobalAveragePooling2D()(x))
    return library.Model(image, layers.Dense(2)(x))


@structure("widen", "mix")
def many_groups(library: Any) -> Any:
    """ResNeXt-like: more groups than channels in each."""
    layers = library.layers
    image = layers.Input((8, 8, 2))
    x = layers.Conv2D(16, 1, activation="relu", name="widen")(image)
    x = layers.Conv2D(16, 3, groups=8, activation="relu", name="grouped")(x)
    x = layers.Conv2D(6, 1, activation="relu", name="mix")(x)
    return library.Model(image, layers.Dense(2)(layers.Flatten()(x)))


@structure("table", "conv")
def an_embedding(library: Any) -> Any:
    layers = library.layers
    words = layers.Input((12,), dtype="int32")
    x = layers.Embedding(30, 8, name="table")(words)
    x = layers.Conv1D(6, 3, activation="gelu", name="conv")(x)
    return library.Model(words, layers.Dense(2)(layers.LSTM(4, name="memory")(x)))


@structure("frames/conv", "each")
def time_distributed(library: Any) -> Any:
    layers = library.layers
    seen = layers.Input((8, 8, 1), name="seen")
    x = layers.BatchNormalization()(layers.Conv2D(6, 3, name="conv")(seen))
    inner = library.Model(seen, layers.Flatten()(layers.ReLU()(x)), name="inner")
    film = layers.Input((3, 8, 8, 1))
    x = layers.TimeDistributed(inner, name="frames")(film)
    x = layers.TimeDistributed(layers.Dense(5, activation="relu"), name="each")(x)
    return library.Model(film, layers.Dense(2)(layers.Flatten()(x)))


@structure("conv", "deep")
def a_gate_for_every_place(library: Any) -> Any:
    """A single channel spread over all others, and a depthwise layer that makes two of each."""
    layers = library.layers
    image = layers.Input((8, 8, 2))
    x = layers.Conv2D(6, 3, padding="same", activation="swish", name="conv")(image)
    x = layers.Multiply()([x, layers.Conv2D(1, 1, activation="sigmoid", name="gate")(image)])
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x)
    x = layers.SeparableConv2D(8, 3, depth_multiplier=2, activation="relu", name="deep")(x)
    return library.Model(image, layers.Dense(2)(layers.GlobalMaxPooling2D()(x)))


@structure("attend", "attend_other")
def attention_to_something_else(library: Any) -> Any:
    layers = library.layers
    series, other = layers.Input((6, 8), name="series"), layers.Input((5, 4), name="other")
    x = layers.MultiHeadAttention(4, 3, name="attend")(series, series)
    x = layers.MultiHeadAttention(2, 3, value_dim=5, name="attend_other")(query=x, value=other, key=other)
    return library.Model([series, other], layers.Dense(2)(layers.LayerNormalization()(x)))


@structure("hidden")
def channels_that_are_an_output_too(library: Any) -> Any:
    layers = library.layers
    image = layers.Input((8, 8, 2))
    seen = layers.Conv2D(6, 3, name="seen")(image)
    x = layers.Dense(8, activation="relu", name="hidden")(layers.Flatten()(seen))
    return library.Model(image, [layers.Dense(2)(x), seen])


@structure("conv", "last")
def plain_operations(library: Any) -> Any:
    """Functions in the place of layers: the hard swish of MobileNetV3, a sum, a mean, a slice of places."""
    layers = library.layers
    image = layers.Input((8, 8, 2))
    x = layers.Conv2D(6, 3, name="conv")(image)
    x = x * layers.ReLU(6.0)(x + 3.0) * (1.0 / 6.0)
    x = (x + x * 0.5)[:, 1:, :, :]
    x = layers.Conv2D(8, 3, activation="relu", name="last")(x)
    return library.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


@structure("before")
def permuted(library: Any) -> Any:
    """Channels behind a Permute are no channels any more."""
    layers = library.layers
    image = layers.Input((8, 8, 2))
    x = layers.Conv2D(6, 3, activation="relu", name="before")(image)
    x = layers.Conv2D(4, 1, activation="relu", name="turned")(x)
    x = layers.Permute((3, 1, 2))(x)
    return library.Model(image, layers.Dense(2)(layers.Conv2D(3, 1, activation="softmax", name="compared")(x)))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", STRUCTURES)
def test_the_small_model_is_the_big_one_with_zeros_however_layers_are_joined(name: str, library: str) -> None:
    build, prunable = STRUCTURES[name]
    module = zoo.library_of(library)
    module.backend.clear_session()
    module.utils.set_random_seed(2)
    model = build(module)
    small, found, keep = cut(model, library)
    assert set(keep) == prunable, {group.name: group.frozen for group in found.groups}
    assert small.count_params() < model.count_params()
    assert [tuple(t.shape) for t in small.outputs] == [tuple(t.shape) for t in model.outputs]
    for group in found.groups:
        if group.name in keep:
            assert len(keep[group.name]) == (group.channels.size + 1) // 2


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    "name",
    [
        "nested",
        "squeeze_excite",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("residual", "depthwise", "densenet", "inception", "transfer", "unet", "transformer", "audio")
        ),
    ],
)
def test_the_models_of_the_zoo_are_cut_exactly(name: str, library: str) -> None:
    model = zoo.build(name, library)
    names = [layer.name for layer in model.layers]
    small, _, keep = cut(model, library)
    assert keep
    assert [layer.name for layer in small.layers] == names
    assert type(small) is type(model)
    assert small.count_params() < 0.8 * model.count_params()


def test_the_masks_of_a_residual_network_written_down_by_hand_give_the_same_outputs() -> None:
    """The same as the product checks itself, but with zeros that this test sets, layer by layer."""
    model = zoo.build("residual")
    unsettle(model)
    keep = {"stage2_a": list(range(3, 16)), "stage2_b": list(range(16))[::2], "stem": [0, 1, 2, 3, 4, 6]}
    small = narrow(model, "keras", keep)
    tied = {"stem": ("stem", "stage1_b"), "stage2_b": ("stage2_b", "stage2_shortcut"), "stage2_a": ("stage2_a",)}
    for group, kept in keep.items():
        for name in tied[group]:
            gone = [place for place in range(model.get_layer(name).filters) if place not in kept]
            for layer in [model.get_layer(name)] + [x for x in model.layers if x.name == f"{name}_norm"]:
                values = layer.get_weights()
                for index, weight in enumerate(values):
                    if not ("norm" in layer.name and index == 3):  # a variance of 0 would divide by it
                        weight[..., gone] = 0
                layer.set_weights(values)
    image = random_inputs(loaded_of(model, "keras"), "normal", 0)["image"]
    wanted, given = (numpy.asarray(m(image, training=False)) for m in (model, small))
    assert numpy.abs(wanted - given).max() <= 1e-5
    assert small.get_layer("stage2_shortcut").filters == 8
    assert tuple(small.get_layer("stage3_a").kernel.shape) == (3, 3, 8, 24)


def test_flattened_channels_are_cut_in_the_order_in_which_they_were_flattened() -> None:
    module = zoo.library_of("keras")
    layers = module.layers
    model = module.Sequential(
        [layers.Input((4, 4, 1)), layers.Conv2D(3, 3, name="conv"), layers.Flatten(), layers.Dense(1, name="out")]
    )
    kernel = numpy.arange(12, dtype="float32").reshape(12, 1)  # 2 by 2 places of 3 channels
    model.get_layer("out").set_weights([kernel, numpy.zeros(1, "float32")])
    small = narrow(model, "keras", {"conv": [0, 2]})
    assert numpy.asarray(small.get_layer("out").kernel).ravel().tolist() == [0, 2, 3, 5, 6, 8, 9, 11]


def test_with_nothing_cut_the_rebuilt_model_is_the_same_to_the_bit() -> None:
    model = zoo.build("unet")
    unsettle(model)
    same = narrow(model, "keras", {})
    image = random_inputs(loaded_of(model, "keras"), (0.0, 1.0), 0)["image"]
    assert numpy.array_equal(numpy.asarray(model(image)), numpy.asarray(same(image)))
    assert same.optimizer is not None
    assert same.loss is not None


# --------------------------------------------------------------------------------------------- what must stay


def reasons(model: Any, library: str = "keras") -> dict[str, str | None]:
    return {group.name: group.frozen for group in analyse(model, library).groups}


def test_what_must_stay_is_named_with_the_reason() -> None:
    why = reasons(zoo.build("transformer"))
    assert why["classes"] == "they are an output of the model"
    assert why["embed"] is not None
    assert why["embed"].startswith("norm_1 (LayerNormalization) takes its statistics over all channels")
    assert why["attention"] is None
    assert why["widen"] is None


@pytest.mark.parametrize("library", LIBRARIES)
def test_channels_that_reach_a_layer_of_the_authors_own_stay_and_the_others_go(library: str) -> None:
    model = zoo.build("custom", library)
    _, found, keep = cut(model, library)
    assert list(keep) == ["conv_2"]
    assert dict(found.unknown) == {"gate": "a layer of the author's own may do anything with channels"}
    assert "gate" in str(found.group("conv_1").frozen)


@pytest.mark.parametrize("library", LIBRARIES)
def test_channels_that_a_lambda_or_a_softmax_reads_stay(library: str) -> None:
    module = zoo.library_of(library)
    layers = module.layers
    image = layers.Input((8, 8, 2))
    read = layers.Lambda(lambda x: x * 2.0, name="any")(layers.Conv2D(4, 3, name="read")(image))
    x = layers.Conv2D(4, 3, activation="softmax", name="compared")(read)
    x = layers.Conv2D(4, 1, activation="relu", name="free")(x)
    model = module.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    why = reasons(model, library)
    assert why["read"] == "any (Lambda) reads them: a Lambda may do anything with channels"
    assert why["compared"] == "the activation softmax of compared compares channels"
    assert why["free"] is None
    assert list(cut(model, library)[2]) == ["free"]


def test_a_channel_that_must_stay_cannot_be_cut_by_hand() -> None:
    model = zoo.build("residual")
    with pytest.raises(ModelError, match="channel 2 of classes must stay: they are an output of the model"):
        narrow(model, "keras", {"classes": [0, 1]})


def test_a_wrong_cut_is_found_out() -> None:
    """The check itself can fail: other channels than those that were cut are set to zero."""
    model = zoo.build("residual")
    unsettle(model)
    found = analyse(model, "keras")
    small = narrow(model, "keras", {"stage1_a": [0, 1, 2, 3]})
    with pytest.raises(ModelError, match="computes something else"):
        check(loaded_of(model, "keras"), small, found, {"stage1_a": [0, 1, 2, 4]})


# ------------------------------------------------------------------------------------------------- students


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_student_has_the_teachers_architecture_at_half_its_width_and_new_weights(library: str) -> None:
    teacher = zoo.build("residual", library)
    before = [numpy.array(value) for value in teacher.get_weights()]
    student = derive_student(loaded_of(teacher, library), 0.5, seed=3)
    again = derive_student(loaded_of(teacher, library), 0.5, seed=3)
    other = derive_student(loaded_of(teacher, library), 0.5, seed=4)
    assert student.get_layer("stage3_a").filters == 12
    assert student.output_shape == teacher.output_shape
    kernels = [numpy.asarray(m.get_layer("stem").get_weights()[0]) for m in (student, again, other)]
    assert numpy.array_equal(kernels[0], kernels[1])
    assert not numpy.array_equal(kernels[0], kernels[2])
    assert all(numpy.array_equal(old, new) for old, new in zip(before, teacher.get_weights()))


def test_a_student_may_begin_with_the_teachers_best_filters() -> None:
    teacher = zoo.build("sequential")
    student = derive_student(loaded_of(teacher, "keras"), 0.25, seed=0, derive="filters")
    kernel = numpy.asarray(teacher.get_layer("conv_1").kernel)
    best = sorted(numpy.argsort(-numpy.abs(kernel).sum(axis=(0, 1, 2)))[:2])
    assert numpy.array_equal(numpy.asarray(student.get_layer("conv_1").kernel), kernel[..., best])


def test_a_model_with_an_input_of_open_size_is_cut_too() -> None:
    module = zoo.library_of("keras")
    layers = module.layers
    image = layers.Input((None, None, 3))
    x = layers.Conv2D(8, 3, activation="relu", name="conv")(image)
    model = module.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    small, _, _ = cut(model, "keras")
    assert small.get_layer("conv").filters == 4
    rows = random_inputs(dataclasses.replace(loaded_of(small, "keras")), "normal", 0)
    assert load.forward(loaded_of(small, "keras"), rows)[next(iter(load.output_names(loaded_of(small, "keras"))))].shape
