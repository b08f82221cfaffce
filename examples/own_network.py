"""
Your own network
================

A network is one line of layers. Nothing more is needed to count its weights, to see how far it looks, to
train it, and to compare it with a published one.
"""

# %%
# One line
# --------
# Read it from left to right: a convolution of 5 x 5 pixels with 16 maps and ReLU; a maximum over 2 x 2
# pixels; two convolutions with a path around them (``Add[= | ...]``); the mean over what is left; an output
# for each class.

from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt

import rgbench

layers = (
    "C5x5-16 s2 same relu · MP2x2 s2 same · Add[= | C3x3-16 same relu · C3x3-16 same relu] · "
    "MP2x2 s2 same · C3x3-32 same relu · GAP · FC{classes} softmax"
)
facts = rgbench.describe_network("my-net", image_size=96, n_classes=4, layers=layers)
for row in facts["layer_table"]:
    print(f"{row['text'][:60]:<60} {row['output_shape']!s:>14} {row['parameters']:>7,} weights")

# %%
# Beside the published ones
# -------------------------
# Weights, operations and receptive field of a network follow from its layers. The larger the circle, the
# more weights.

names = ("mcrgnet", "radio-galaxy-zoo", "lenet", "convxpress")
known = [rgbench.describe_network(name, image_size=96, n_classes=4) for name in names]
figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
for one in [*known, facts]:
    place, colour = (one["macs"] / 1e6, one["receptive_field"]), "tab:red" if one is facts else "tab:blue"
    axis.scatter(*place, s=one["parameters"] ** 0.45, alpha=0.6, color=colour)
    axis.annotate(
        one["name"], place, xytext=(-45, -3) if one is facts else (8, 10), textcoords="offset points"
    )
axis.set(xscale="log", xlim=(0.4, 400), ylim=(0, 390))
axis.set(xlabel="million multiply-accumulates for an image", ylabel="receptive field / pixels")

# %%
# In a study
# ----------
# The line stands in the study, under a name of your choice. In a TOML file the part ``[layers]`` holds it.

study = rgbench.Study(
    name="mine beside a published one",
    networks=("mcrgnet", "my-net"),
    seeds=(1, 2),
    layers={"my-net": layers},
    images={"size": 48},
    recipe={"epochs": 3, "precision": "float32", "views": 1},
)
records = rgbench.run_study(study, rgbench.Store(Path(mkdtemp()) / "store"))
print(*rgbench.compare(records).words, sep="\n")

# %%
# How the losses fell. The learning rate falls to zero within the three epochs, so the curves become flat. With
# more epochs both go lower.

figure, axis = plt.subplots(figsize=(7, 3.5), layout="constrained")
colours = {"mcrgnet": "tab:blue", "my-net": "tab:red"}
for record in records:
    name, history = record.spec.network.name, record.history
    label = name if record.spec.seed == 1 else None
    axis.plot(history["epoch"], history["validation_loss"], color=colours[name], label=label)
axis.set(xlabel="epoch", ylabel="validation loss", xticks=records[0].history["epoch"])
axis.legend()

# %%
# What next?
# ----------
# :doc:`/networks` has every word of the notation. What it cannot say can be a PyTorch module: ``networks =
# ["my_module:make"]``. To give a network to others, register it from your package: :doc:`/extending`.
