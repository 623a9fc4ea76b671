"""Small models of every kind that edgekit must take; each a function of ``keras`` or ``tf_keras``."""

from __future__ import annotations

from typing import Any

IMAGE = (16, 16, 3)
SPEECH = (24, 10, 1)  # frames by coefficients
AUDIO = (256, 1)
SERIES = (12, 6)
CLASSES = 4


def _norm(library: Any, x: Any, name: str) -> Any:
    """Batch normalization and ReLU; momentum 0.9, so that the averages follow a training of some dozen steps."""
    x = library.layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
    return library.layers.ReLU(name=f"{name}_relu")(x)


def _conv(library: Any, x: Any, filters: int, size: int, name: str, **options: Any) -> Any:
    x = library.layers.Conv2D(filters, size, padding="same", use_bias=False, name=name, **options)(x)
    return _norm(library, x, name)


def _separable(library: Any, x: Any, filters: int, stride: int, name: str) -> Any:
    depthwise = library.layers.DepthwiseConv2D(
        3, strides=stride, padding="same", use_bias=False, name=f"{name}_depthwise"
    )
    x = _norm(library, depthwise(x), f"{name}_depthwise")
    return _conv(library, x, filters, 1, f"{name}_pointwise")


def _pooled(library: Any, x: Any, *, activation: str | None = "softmax") -> Any:
    x = library.layers.GlobalAveragePooling2D(name="pool")(x)
    return library.layers.Dense(CLASSES, activation=activation, name="classes")(x)


def sequential(library: Any) -> Any:
    layers = library.layers
    return library.Sequential(
        [
            layers.Input(IMAGE, name="image"),
            layers.Conv2D(8, 3, activation="relu", name="conv_1"),
            layers.MaxPooling2D(name="shrink"),
            layers.Conv2D(16, 3, activation="relu", name="conv_2"),
            layers.Dropout(0.2, name="drop"),
            layers.Flatten(name="flat"),
            layers.Dense(24, activation="relu", name="hidden"),
            layers.Dense(CLASSES, activation="softmax", name="classes"),
        ],
        name="sequential",
    )


def functional(library: Any) -> Any:
    layers = library.layers
    image = layers.Input(IMAGE, name="image")
    x = _conv(library, image, 8, 3, "conv_1")
    x = layers.MaxPooling2D(name="shrink")(x)
    x = _conv(library, x, 16, 3, "conv_2", strides=2)
    x = layers.Dense(16, activation="relu", name="hidden")(layers.Flatten(name="flat")(x))
    return library.Model(image, layers.Dense(CLASSES, activation="softmax", name="classes")(x), name="functional")


def residual(library: Any) -> Any:
    """ResNet-8 (He et al. 2016, as in MLPerf Tiny): three stages, the shortcut projected where shapes change."""
    layers = library.layers
    image = layers.Input(IMAGE, name="image")
    x = _conv(library, image, 8, 3, "stem")
    for stage, filters in enumerate((8, 16, 24), start=1):
        stride = 1 if stage == 1 else 2
        branch = _conv(library, x, filters, 3, f"stage{stage}_a", strides=stride)
        branch = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"stage{stage}_b")(branch)
        branch = layers.BatchNormalization(momentum=0.9, name=f"stage{stage}_b_norm")(branch)
        if stage > 1:
            x = layers.Conv2D(filters, 1, strides=stride, name=f"stage{stage}_shortcut")(x)
        x = layers.ReLU(name=f"stage{stage}_relu")(layers.Add(name=f"stage{stage}_add")([x, branch]))
    return library.Model(image, _pooled(library, x), name="residual")


def depthwise(library: Any) -> Any:
    """MobileNet-like (Howard et al. 2017): depthwise and pointwise convolutions, stride 2, ReLU6 at the end."""
    layers = library.layers
    image = layers.Input((32, 32, 3), name="image")
    x = _conv(library, image, 8, 3, "stem", strides=2)
    for index, (filters, stride) in enumerate(((12, 1), (16, 2), (24, 1), (32, 2)), start=1):
        x = _separable(library, x, filters, stride, f"block{index}")
    x = layers.SeparableConv2D(32, 3, padding="same", name="separable")(x)
    return library.Model(image, _pooled(library, layers.ReLU(max_value=6.0, name="relu6")(x)), name="depthwise")


def keyword_spotting(library: Any) -> Any:
    """DS-CNN (Zhang et al. 2017, "Hello Edge"): a wide first convolution, depthwise blocks, average pooling."""
    layers = library.layers
    speech = layers.Input(SPEECH, name="speech")
    x = layers.Conv2D(16, (10, 4), strides=(2, 2), padding="same", use_bias=False, name="stem")(speech)
    x = layers.Dropout(0.1, name="drop")(_norm(library, x, "stem"))
    for index in (1, 2):
        x = _separable(library, x, 16, 1, f"block{index}")
    x = layers.AveragePooling2D((12, 5), name="average")(x)
    x = layers.Flatten(name="flat")(x)
    return library.Model(speech, layers.Dense(CLASSES, activation="softmax", name="classes")(x), name="ds_cnn")


def inception(library: Any) -> Any:
    layers = library.layers
    image = layers.Input(IMAGE, name="image")
    x = _conv(library, image, 8, 3, "stem", strides=2)
    one = _conv(library, x, 4, 1, "one")
    three = _conv(library, _conv(library, x, 4, 1, "three_in"), 8, 3, "three")
    five = _conv(library, _conv(library, x, 4, 1, "five_in"), 4, 5, "five")
    pool = _conv(library, layers.MaxPooling2D(3, strides=1, padding="same", name="pool_in")(x), 4, 1, "pool_out")
    x = layers.Concatenate(name="branches")([one, three, five, pool])
    return library.Model(image, _pooled(library, _conv(library, x, 16, 3, "last")), name="inception")


def densenet(library: Any) -> Any:
    """DenseNet-like (Huang et al. 2017): every layer reads all before it; normalization after the Concat."""
    layers = library.layers
    image = layers.Input(IMAGE, name="image")
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(image)
    for index in (1, 2, 3):
        y = _norm(library, x, f"dense{index}")
        y = layers.Conv2D(6, 3, padding="same", use_bias=False, name=f"dense{index}")(y)
        x = layers.Concatenate(name=f"join{index}")([x, y])
    x = layers.Conv2D(12, 1, use_bias=False, name="transition")(_norm(library, x, "transition"))
    x = layers.AveragePooling2D(2, name="average")(x)
    return library.Model(image, _pooled(library, _norm(library, x, "last")), name="densenet")


def grouped(library: Any) -> Any:
    image = library.layers.Input(IMAGE, name="image")
    x = _conv(library, image, 16, 3, "stem", strides=2)
    x = _conv(library, x, 16, 3, "groups", groups=4)
    return library.Model(image, _pooled(library, _conv(library, x, 24, 1, "mix")), name="grouped")


def squeeze_excite(library: Any) -> Any:
    """Hu et al. 2018: channels weighted by what two Dense layers make of their averages."""
    layers = library.layers
    image = layers.Input(IMAGE, name="image")
    x = _conv(library, image, 16, 3, "stem", strides=2)
    weight = layers.GlobalAveragePooling2D(name="squeeze")(x)
    weight = layers.Dense(4, activation="relu", name="reduce")(weight)
    weight = layers.Dense(16, activation="sigmoid", name="expand")(weight)
    x = layers.Multiply(name="excite")([x, layers.Reshape((1, 1, 16), name="reshape")(weight)])
    return library.Model(image, _pooled(library, _conv(library, x, 16, 3, "last")), name="squeeze_excite")


def _backbone(library: Any, shape: tuple[int, ...]) -> Any:
    layers = library.layers
    image = layers.Input(shape, name="pixels")
    x = _conv(library, image, 8, 3, "stem", strides=2)
    x = _separable(library, x, 16, 2, "block1")
    return library.Model(image, _separable(library, x, 24, 1, "block2"), name="backbone")


def nested(library: Any) -> Any:
    layers = library.layers
    image = layers.Input(IMAGE, name="image")
    head = library.Sequential(
        [
            layers.Input((4, 4, 24), name="features"),
            layers.Flatten(name="flat"),
            layers.Dropout(0.2, name="drop"),
            layers.Dense(CLASSES, activation="softmax", name="classes"),
        ],
        name="head",
    )
    return library.Model(image, head(_backbone(library, IMAGE)(image)), name="nested")


def transfer(library: Any) -> Any:
    """As the Keras guide to transfer learning builds it: augmentation, Rescaling and a backbone inside the model."""
    layers = library.layers
    image = layers.Input((32, 32, 3), name="image")
    augment = library.Sequential(
        [
            layers.Input((32, 32, 3), name="raw"),
            layers.RandomFlip("horizontal", name="flip"),
            layers.RandomRotation(0.02, name="turn"),
        ],
        name="augment",
    )
    x = layers.Rescaling(1 / 127.5, offset=-1, name="rescale")(augment(image))
    backbone = _backbone(library, (32, 32, 3))
    x = layers.GlobalAveragePooling2D(name="pool")(backbone(x))
    x = layers.Dropout(0.2, name="drop")(x)
    return library.Model(image, layers.Dense(CLASSES, name="classes")(x), name="transfer")


def unet(library: Any) -> Any:
    """U-Net-like (Ronneberger et al. 2015): a class for every pixel; one upsampling, one transposed convolution."""
    layers = library.layers
    image = layers.Input(IMAGE, name="image")
    first = _conv(library, image, 8, 3, "down1")
    second = _conv(library, layers.MaxPooling2D(name="shrink1")(first), 12, 3, "down2")
    deep = _conv(library, layers.MaxPooling2D(name="shrink2")(second), 16, 3, "deep")
    x = layers.UpSampling2D(name="grow2")(deep)
    x = _conv(library, layers.Concatenate(name="skip2")([x, second]), 12, 3, "up2")
    x = layers.Conv2DTranspose(8, 2, strides=2, name="grow1")(x)
    x = _conv(library, layers.Concatenate(name="skip1")([x, first]), 8, 3, "up1")
    return library.Model(image, layers.Conv2D(CLASSES, 1, activation="softmax", name="classes")(x), name="unet")


def audio(library: Any) -> Any:
    layers = library.layers
    sound = layers.Input(AUDIO, name="sound")
    x = sound
    for index, filters in enumerate((8, 16, 24), start=1):
        x = layers.Conv1D(filters, 9, strides=2, padding="same", use_bias=False, name=f"conv_{index}")(x)
        x = layers.MaxPooling1D(2, name=f"shrink_{index}")(_norm(library, x, f"conv_{index}"))
    x = layers.GlobalAveragePooling1D(name="pool")(x)
    return library.Model(sound, layers.Dense(CLASSES, activation="softmax", name="classes")(x), name="audio")


def autoencoder(library: Any) -> Any:
    layers = library.layers
    signal = layers.Input((64,), name="signal")
    x = layers.Dense(32, use_bias=False, name="encode_1")(signal)
    x = layers.Dense(8, activation="relu", name="code")(_norm(library, x, "encode_1"))
    x = layers.Dense(32, activation="relu", name="decode_1")(x)
    return library.Model(signal, layers.Dense(64, name="rebuilt")(x), name="autoencoder")


def _recurrent(library: Any, layer: Any, name: str) -> Any:
    layers = library.layers
    series = layers.Input(SERIES, name="series")
    x = layers.Dropout(0.1, name="drop")(layer(series))
    return library.Model(series, layers.Dense(CLASSES, activation="softmax", name="classes")(x), name=name)


def lstm(library: Any) -> Any:
    return _recurrent(library, library.layers.LSTM(16, name="memory"), "lstm")


def gru(library: Any) -> Any:
    return _recurrent(library, library.layers.GRU(16, name="memory"), "gru")


def bidirectional(library: Any) -> Any:
    memory = library.layers.Bidirectional(library.layers.LSTM(10, name="memory"), name="both_ways")
    return _recurrent(library, memory, "bidirectional")


def transformer(library: Any) -> Any:
    """One encoder block (Vaswani et al. 2017)."""
    layers = library.layers
    series = layers.Input(SERIES, name="series")
    x = layers.Dense(16, name="embed")(series)
    attended = layers.MultiHeadAttention(4, 4, name="attention")(x, x)
    x = layers.LayerNormalization(name="norm_1")(layers.Add(name="add_1")([x, attended]))
    y = layers.Dense(32, activation="relu", name="widen")(x)
    y = layers.Dropout(0.1, name="drop")(layers.Dense(16, name="narrow")(y))
    x = layers.LayerNormalization(name="norm_2")(layers.Add(name="add_2")([x, y]))
    x = layers.GlobalAveragePooling1D(name="pool")(x)
    return library.Model(series, layers.Dense(CLASSES, activation="softmax", name="classes")(x), name="transformer")


def multi_input(library: Any) -> Any:
    layers = library.layers
    image, meta = layers.Input(IMAGE, name="image"), layers.Input((5,), name="meta")
    x = layers.GlobalAveragePooling2D(name="pool")(_conv(library, image, 12, 3, "conv", strides=2))
    x = layers.Concatenate(name="joined")([x, layers.Dense(8, activation="relu", name="facts")(meta)])
    x = layers.Dense(16, activation="relu", name="hidden")(x)
    scores = layers.Dense(CLASSES, activation="softmax", name="classes")(x)
    return library.Model([image, meta], scores, name="multi_input")


def multi_output(library: Any) -> Any:
    layers = library.layers
    image = layers.Input(IMAGE, name="image")
    x = layers.MaxPooling2D(name="shrink")(_conv(library, image, 8, 3, "conv_1"))
    x = layers.GlobalAveragePooling2D(name="pool")(_conv(library, x, 16, 3, "conv_2"))
    kind = layers.Dense(CLASSES, activation="softmax", name="kind")(x)
    return library.Model(image, [kind, layers.Dense(1, name="size")(x)], name="multi_output")


def logits(library: Any) -> Any:
    image = library.layers.Input(IMAGE, name="image")
    x = _conv(library, _conv(library, image, 8, 3, "conv_1", strides=2), 16, 3, "conv_2")
    return library.Model(image, _pooled(library, x, activation=None), name="logits")


def softmax_layer(library: Any) -> Any:
    """The softmax is a layer of its own."""
    layers = library.layers
    image = layers.Input((8, 8, 1), name="image")
    x = layers.Flatten(name="flat")(_conv(library, image, 8, 3, "conv"))
    x = layers.Dense(CLASSES, name="scores")(layers.Dense(16, activation="relu", name="hidden")(x))
    return library.Model(image, layers.Softmax(name="classes")(x), name="softmax_layer")


def custom(library: Any) -> Any:
    """A layer and an activation of the user's own, from the file zoo_custom.py (``--custom zoo_custom:Gate``)."""
    import zoo_custom

    layers = library.layers
    gate = zoo_custom.Gate if library.__name__ == "keras" else zoo_custom.OldGate
    image = layers.Input(IMAGE, name="image")
    x = _conv(library, image, 8, 3, "conv_1", strides=2)
    x = gate(name="gate")(x)
    x = layers.Conv2D(12, 3, activation=zoo_custom.soft_step, name="conv_2")(x)
    return library.Model(image, _pooled(library, x), name="custom")
