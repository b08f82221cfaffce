"""Write small_files.zip: needs tensorflow and tf_keras, which the tests do not.

Run ``python make_small_files.py keras`` for Keras 3, then ``python make_small_files.py tf_keras`` for Keras 2; each
adds its model files and, as name.npz, images and what Keras predicts for them. Those of this folder are of
tensorflow 2.21.0, keras 3.15.1 and tf_keras 2.21.0.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
KERAS = sys.argv[1]
keras = importlib.import_module(KERAS)
K = keras.layers


def row() -> object:
    """A sequential model of two classes with the options that are obeyed."""
    return keras.Sequential(
        [
            K.Input((9, 8, 2)),
            K.Conv2D(3, (3, 2), strides=(2, 1), padding="same", use_bias=False, activation=K.LeakyReLU(0.13)),
            K.BatchNormalization(center=False),
            K.ReLU(negative_slope=0.25),
            K.MaxPooling2D((2, 3), strides=1, padding="same"),
            K.Conv2D(3, 2, activation="gelu", kernel_constraint=keras.constraints.NonNeg()),
            K.Softmax(axis=3),
            K.GlobalAveragePooling2D(),
            K.BatchNormalization(scale=False),
            K.Dense(2, activation="sigmoid"),
        ]
    )


def graph() -> object:
    """Branches of equal shape, whose layers are written in another order than they are taken in."""
    image = K.Input((7, 8, 1))
    first, second, third = (K.Conv2D(2, 3, padding="same", name=f"c{i}")(image) for i in range(3))
    x = K.Concatenate()([third, K.BatchNormalization()(first), second])
    x = K.Add()([K.Conv2D(6, 1, name="last")(x), x, x])
    x = K.Flatten()(K.Dropout(0.3)(x))
    x = K.Concatenate(axis=1)([K.Dense(2, name="d1")(x), K.Dense(2, name="d2", activation="relu")(x)])
    return keras.Model(image, K.Activation("softmax")(K.Dense(3)(x)))


def main() -> None:
    """Fill the weights at random, save, and note what is predicted."""
    for name, model in (("row", row()), ("graph", graph())):
        rng = np.random.default_rng(3)
        for layer in model.layers:
            drawn = [rng.normal(0, 0.6, weight.shape) for weight in layer.get_weights()]
            if isinstance(layer, K.BatchNormalization):
                drawn[-1] = np.abs(drawn[-1]) + 0.1
            layer.set_weights(drawn)
        images = rng.random((3, *model.input_shape[1:]), dtype=np.float32)
        outputs = model.predict(images, verbose=0)
        with (
            tempfile.TemporaryDirectory() as made,
            zipfile.ZipFile(HERE / "small_files.zip", "a", 8) as archive,
        ):
            np.savez(Path(made) / f"{KERAS}_{name}.npz", images=images, outputs=outputs)
            model.save(Path(made) / f"{KERAS}_{name}.h5")
            model.save(Path(made) / f"{KERAS}_{name}.keras")
            for path in sorted(Path(made).iterdir()):
                archive.write(path, path.name)


if __name__ == "__main__":
    main()
