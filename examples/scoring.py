"""
Scoring predictions of other code
=================================

Your classifier need not be a network of rgbench. Here a random forest of scikit-learn learns from brightness
profiles, and is scored beside a network, on the same sources and with the same intervals. Any program in any
language can take part: it only has to write a table.
"""

# %%
# Three sides
# -----------
# Train on the training sources. Choose on the validation sources. Look at the test sources once, at the end.
# For other languages, ``rgbench data split first-galaxy-data --out split.csv`` writes the sides into a table.

from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import RandomForestClassifier

import rgbench

data = rgbench.load_data("first-galaxy-data")
split, label = rgbench.published_split(data), data.catalogue.label
train, validation, test = (split.indices(side) for side in ("train", "validation", "test"))
print(len(train), "training,", len(validation), "validation and", len(test), "test sources")

# %%
# Features
# --------
# How much of the light lies within so many pixels of its middle? Turning an image changes nothing of it. The
# figure tells Compact sources from the others. Beyond that it says how large a source looks, rather than which
# shape it has: so do not expect much.

RADII = np.array([2, 4, 6, 8, 11, 14, 18, 23, 30])


def profile(image):
    """Give the share of the light within each radius, and the logarithm of the number of lit pixels."""
    y, x = np.nonzero(image)
    light = image[y, x] / max(image[y, x].sum(), 1)
    far = np.hypot(y - y @ light, x - x @ light)
    return [*(light[far < radius].sum() for radius in RADII), np.log1p(len(y))]


features = np.array([profile(image) for image in data.images.astype(float)])
figure, axis = plt.subplots(figsize=(7, 3.5), layout="constrained")
for k, name in enumerate(data.classes):
    own = features[train][label[train] == k]
    axis.plot(RADII, np.median(own[:, :-1], axis=0), "o-", label=name)
axis.set(xlabel="radius / pixels", ylabel="share of the light within (median)")
axis.legend()

# %%
# A choice, on validation sources
# -------------------------------

forests = [
    RandomForestClassifier(200, min_samples_leaf=leaf, random_state=1).fit(features[train], label[train])
    for leaf in (2, 5, 15)
]
forest = max(forests, key=lambda each: each.score(features[validation], label[validation]))
print("chosen:", forest.min_samples_leaf, "sources in a leaf at least")

# %%
# A table, scored
# ---------------
# The table has a row for each source: its name, or its position, and a probability for each class. Logits or
# classes will do as well. It may be a file (CSV, Parquet, VOTable, FITS). On the command line this is
# ``rgbench score forest.csv --name "random forest" --seed 1``.

rows = np.concatenate((validation, test))
table = {"source_id": data.catalogue.source_id[rows]}
for name, probability in zip(data.classes, forest.predict_proba(features[rows]).T, strict=True):
    table[f"p_{name}"] = probability

store = rgbench.Store(Path(mkdtemp()) / "store")
scored = rgbench.score(table, "random forest", store, rgbench.ScoreSpec(seed=1), data)
print(*scored.remarks, sep="\n")

# %%
# Beside a network
# ----------------
# From now on the forest is a run as any other. Here it stands beside a network that has had six epochs.

study = rgbench.Study(
    name="a network",
    networks=("mcrgnet",),
    seeds=(1,),
    images={"size": 48},
    recipe={"epochs": 6, "precision": "float32", "views": 1},
)
records = [*rgbench.run_study(study, store), scored.record]
comparison = rgbench.compare(records)
print(*comparison.words, sep="\n")

figure, axis = plt.subplots(figsize=(7, 3.5), layout="constrained")
for shift, row in zip((-0.1, 0.1), comparison.rows, strict=True):
    recall = 100 * np.array([(one.mean, one.mean - one.low, one.high - one.mean) for one in row.recalls]).T
    place = np.arange(len(data.classes)) + shift
    axis.errorbar(place, recall[0], recall[1:], fmt="o", capsize=4, label=row.network)
axis.set(xticks=range(len(data.classes)), xticklabels=data.classes, ylim=(0, 105))
axis.set(ylabel="recognised / %, with 95 % intervals")
axis.legend()

# %%
# What next?
# ----------
# :doc:`/score` has every rule of the table, and an example in Keras. ``examples/features_sklearn.py`` measures
# shapes in more detail, and comes close to a network that is fully trained. ``rgbench report`` writes the page
# on which all of them stand: :doc:`report`.
