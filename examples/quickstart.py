"""
Quickstart: which network is best?
==================================

A *study* trains several networks on the same sources. A *comparison* says which one is best, by how much,
and how sure we can be. This example does both in Python, with real images of the FIRST survey.
"""

# %%
# The study
# ---------
# Two small networks, three seeds and three epochs at half the resolution: enough to show the way, far too
# little for a good network. A key that is left out has the value of the protocol ``modern``;
# :doc:`/study-keys` lists all keys.

from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt
import numpy as np

import rgbench

study = rgbench.Study(
    name="first steps",
    networks=("mcrgnet", "lenet"),
    seeds=(8901, 1826, 4915),
    data={"name": "first-galaxy-data"},
    images={"size": 48},
    recipe={"epochs": 3, "precision": "float32", "views": 1},
)

# %%
# What the networks will see: one training image of each class. The images are nearly empty, since
# everything below three times the noise was set to zero before they were published.

data = rgbench.load_data("first-galaxy-data")
figure, axes = plt.subplots(1, 4, figsize=(10, 2.8), layout="constrained")
for k, axis in enumerate(axes):
    first = int(np.flatnonzero(data.catalogue.label == k)[0])
    axis.imshow(
        rgbench.preprocess(data.images[first])[100:200, 100:200] ** 0.5, origin="lower", cmap="inferno"
    )
    axis.set(title=data.classes[k], xticks=[], yticks=[])

# %%
# Training
# --------
# Runs are kept in a *store*, a folder. A run that is in the store is never computed again, so that a study
# which was stopped goes on where it was.

store = rgbench.Store(Path(mkdtemp()) / "store")
records = rgbench.run_study(study, store)
for record in records:
    print(record.spec.network, record.spec.seed, record.status)

# %%
# The answer
# ----------
# The comparison answers in sentences. Read the interval before the score.

comparison = rgbench.compare(records)
for sentence in comparison.words:
    print("*", sentence)

# %%
# The same as a picture. A dot is the mean over the seeds, a bar its 95 % interval for new sources and new
# seeds. For the difference of two networks read the sentences above, not the overlap of their bars.

figure, axis = plt.subplots(figsize=(7, 2.2), layout="constrained")
for place, row in enumerate(reversed(comparison.rows)):
    score = row.metrics["mpca"]
    axis.plot([100 * score.low, 100 * score.high], [place, place], lw=3, color="tab:blue", alpha=0.5)
    axis.plot(100 * score.mean, place, "o", color="tab:blue")
axis.set_yticks(range(len(comparison.rows)), [row.network for row in reversed(comparison.rows)])
axis.set(xlabel="mean per-class accuracy (MPCA) / %", xlim=(0, 100), ylim=(-0.6, len(comparison.rows) - 0.4))
axis.axvline(25, color="grey", ls=":")
axis.annotate(" guessing", (25, -0.5), color="grey")

# %%
# What next?
# ----------
# * ``rgbench quickstart`` does the same with more epochs, three seeds and a report: :doc:`/for-students`.
# * Your own images: :ref:`sphx_glr_examples_own_data.py`.
# * What each number of the comparison means: :doc:`/comparison`.
