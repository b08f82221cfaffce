"""Write the Keras files of this folder: needs tensorflow and tf_keras, which the tests do not.

Run ``TF_USE_LEGACY_KERAS=1 python make_keras_files.py``; each .h5 is what ``model.save`` of Keras 2 writes,
after two steps of training, so that it holds an optimiser too; outputs.json holds what Keras predicts.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.compat.v1.keras import layers as K

HERE = Path(__file__).parent


def mcrgnet(side: int) -> tf.keras.Model:
    """MCRGNet as the 2021 testbed builds it."""
    model = tf.keras.Sequential()
    for place, filters in enumerate((8, 8, 16, 16, 32)):
        shape = {"input_shape": (side, side, 1)} if place == 0 else {}
        model.add(
            K.Conv2D(
                filters,
                3,
                strides=2,
                padding="same",
                activation="relu",
                kernel_initializer="he_normal",
                **shape,
            )
        )
        model.add(K.Dropout(0.25, seed=8901))
    model.add(K.Flatten())
    model.add(K.Dense(64, activation="relu", kernel_initializer="he_normal"))
    model.add(K.Dropout(0.25))
    model.add(K.Dense(4, activation="softmax"))
    return model


def normalised(side: int) -> tf.keras.Model:
    """Batch normalisation of maps and vectors, activations of their own, L2, valid and strided windows."""
    l2 = tf.keras.regularizers.l2(0.01)
    return tf.keras.Sequential(
        [
            K.Conv2D(6, (5, 3), strides=(2, 1), padding="valid", input_shape=(side, side + 4, 3)),
            K.Activation("relu"),
            K.BatchNormalization(),
            K.MaxPooling2D((3, 3), strides=2, padding="same"),
            K.Conv2D(5, 4, padding="same", activation="relu", use_bias=False),
            K.MaxPooling2D(2),
            K.Flatten(),
            K.BatchNormalization(),
            K.Dense(20, kernel_regularizer=l2, kernel_initializer="glorot_uniform"),
            K.LeakyReLU(alpha=0.3),
            K.BatchNormalization(scale=False),
            K.Dropout(0.5),
            K.Dense(3, activation="sigmoid"),
        ]
    )


def graph(side: int) -> tf.keras.Model:
    """A sum and branches, some of equal shape, as DeepSource and the Maslej network have them."""
    image = K.Input((side, side, 1))
    first = K.Conv2D(4, 5, padding="same", activation="relu")(image)
    x = K.Add()([first, K.Conv2D(4, 5, padding="same", activation="relu")(first)])
    x = K.BatchNormalization()(x)
    a = K.Flatten()(K.Conv2D(3, 4, strides=2, padding="valid", activation="relu")(x))
    b = K.Flatten()(K.MaxPooling2D(2)(K.Conv2D(3, 4, activation="relu")(x)))
    c = K.Flatten()(K.MaxPooling2D(2)(K.Conv2D(3, 4, activation="relu")(x)))
    x = K.Dropout(0.2)(K.Concatenate()([a, b, c]))
    x = K.Dense(7, activation="relu")(x)
    return tf.keras.Model(image, K.Activation("softmax")(K.Dense(2)(x)))


def write(name: str, model: tf.keras.Model) -> dict[str, object]:
    """Train for two steps, save, and give inputs' seed and outputs."""
    rng = np.random.default_rng(1)
    shape, classes = model.input_shape[1:], model.output_shape[1]
    images = rng.random((8, *shape), dtype=np.float32)
    labels = np.eye(classes, dtype=np.float32)[rng.integers(0, classes, 8)]
    model.compile("adam", "categorical_crossentropy")
    model.fit(images, labels, epochs=2, verbose=0)
    model.save(HERE / f"{name}.h5")
    inputs = np.random.default_rng(2).random((3, *shape), dtype=np.float32)
    return {"shape": shape, "outputs": model.predict(inputs, verbose=0).tolist()}


if __name__ == "__main__":
    tf.keras.utils.set_random_seed(8901)
    made = {"mcrgnet": mcrgnet(48), "normalised": normalised(30), "graph": graph(20)}
    outputs = {name: write(name, model) for name, model in made.items()}
    content = {"tensorflow": tf.__version__, "input_seed": 2, "models": outputs}
    (HERE / "outputs.json").write_text(json.dumps(content, indent=1) + "\n")
