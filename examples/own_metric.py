"""
Your own metric
===============

A metric is a function of the true classes and the logits, with a decorator that says what it is. From then
on it has a place in tables and comparisons, with an interval. It also works on runs that were computed
before it was written, since a run keeps what the network said of every source.
"""

# %%
# The function
# ------------
# Say that you care about the rare and disputed class most. Then a mean over the classes hides what you want
# to know, and the *worst* recall shows it. ``y`` has the true class of each source, shape (n,); ``logits``
# has one number per class, shape (n, n_classes).

from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt
import numpy as np

import rgbench


@rgbench.metric(
    "Worst recall",
    "smallest share of a class that is recognised",
    interval="bootstrap",
    short="worst recall",
)
def worst_recall(y, logits):
    """Give the recall of the class that is recognised least."""
    right = logits.argmax(axis=1) == y
    return min(float(right[y == k].mean()) for k in np.unique(y))


# %%
# ``interval`` says how its uncertainty is found. "bootstrap" always works, and is too narrow with few
# sources; there are better ones for shares, for losses and for whatever follows from a confusion matrix
# (`rgbench.measures.cards.MetricCard`).
#
# Try it on an example that you can check by hand: of two sources of class 0 one is right, of one source of
# class 1 one.

y = np.array([0, 0, 1])
logits = np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
values = rgbench.measure(y, logits).values
print("worst recall", values["worst_recall"], "MPCA", values["mpca"])

# %%
# In a comparison
# ---------------
# The networks are sorted by it, and compared in it.

study = rgbench.Study(
    name="by the worst class",
    networks=("mcrgnet", "lenet"),
    seeds=(1, 2, 3),
    images={"size": 48},
    recipe={"epochs": 3, "precision": "float32", "views": 1},
)
records = rgbench.run_study(study, rgbench.Store(Path(mkdtemp()) / "store"))
comparison = rgbench.compare(records, metric="worst-recall")
print(*comparison.words, sep="\n")

# %%
# Mean and worst recall of the same networks. After so few epochs some class is hardly recognised at all,
# which the mean hides.

figure, axis = plt.subplots(figsize=(7, 3.2), layout="constrained")
for place, (key, title) in enumerate(
    (("mpca", "mean over the classes (MPCA)"), ("worst_recall", "worst class"))
):
    values = [100 * row.metrics[key].mean for row in comparison.rows]
    axis.bar(np.arange(len(values)) + 0.4 * place - 0.2, values, 0.38, label=title)
axis.set_xticks(range(len(comparison.rows)), [row.network for row in comparison.rows])
axis.set(ylabel="recall / %", ylim=(0, 100))
axis.legend()

# %%
# What next?
# ----------
# In a study file, ``extensions = ["my_metrics.py"]`` imports the file with your function, and ``rgbench
# report --metric worst-recall`` uses it. :doc:`/extending` says how a package brings a metric to everybody
# who installs it.
