"""Makes the digits example from scikit-learn's digits: the data, and a small Keras 3 classifier trained on it.

    pip install 'edgekit[optimize]' scikit-learn
    python examples/digits/make.py

writes digits.npz (1,797 images of 8x8 pixels, 0..16, with labels; the last 500 of a seeded shuffle are the test part)
and digits.keras beside this file. The model takes the raw pixels: its first layer scales them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
TEST_ROWS = 500


def data() -> dict[str, np.ndarray]:
    """``x_train``, ``y_train``, ``x_test``, ``y_test``; images as uint8 of shape (rows, 8, 8, 1)."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    x = digits.images[order].astype(np.uint8)[..., None]
    y = digits.target[order].astype(np.int64)
    return {
        "x_train": x[:-TEST_ROWS],
        "y_train": y[:-TEST_ROWS],
        "x_test": x[-TEST_ROWS:],
        "y_test": y[-TEST_ROWS:],
    }


def classifier():
    """An untrained convolutional classifier of about 65,000 parameters."""
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            layers.Rescaling(1 / 16),
            layers.Conv2D(32, 3, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.Conv2D(64, 3, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.2),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax", name="digit"),
        ],
        name="digits",
    )


def main() -> None:
    """Trains and writes both files."""
    import keras

    keras.utils.set_random_seed(7)
    arrays = data()
    np.savez_compressed(HERE / "digits.npz", **arrays)

    trained = classifier()
    steps = 25 * (len(arrays["x_train"]) // 32)
    schedule = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    trained.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"])
    trained.fit(arrays["x_train"], arrays["y_train"], epochs=25, batch_size=32, verbose=2)
    _, accuracy = trained.evaluate(arrays["x_test"], arrays["y_test"], verbose=0)

    # a fresh copy: the file shall hold the weights, not three times as much of optimizer state
    final = classifier()
    final.set_weights(trained.get_weights())
    final.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    final.save(HERE / "digits.keras")
    print(f"test accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
