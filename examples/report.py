"""
Reading a report
================

``rgbench report`` writes one HTML page. This example makes a small one and goes through its most important
parts, in the order in which you should read them.
"""

# %%
# Three networks, three seeds, few epochs: the page is the same as of a real study, and its scores mean
# nothing.

import csv
from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt
import numpy as np

import rgbench

study = rgbench.Study(
    name="to be read",
    networks=("mcrgnet", "lenet", "radio-galaxy-zoo"),
    seeds=(1, 2, 3),
    images={"size": 48},
    recipe={"epochs": 3, "precision": "float32", "views": 1},
)
work = Path(mkdtemp())
rgbench.run_study(study, rgbench.Store(work / "store"))
made = rgbench.write_report(work / "store", rgbench.ReportSpec(table=work / "table.csv"))
report = made.reports[0]
print(report.path.name, f"{report.path.stat().st_size / 1e6:.1f} MB, one file, no network needed")

# %%
# 1. The answer
# -------------
# The page begins with sentences. "Cannot be told apart" is an answer, and with 200 test sources the usual
# one.

comparison = report.comparisons["best"]
print(*comparison.words, sep="\n")

# %%
# 2. The table
# ------------
# One row for each network, the best first. ± is the standard deviation over the seeds. It is *not* the
# uncertainty of the score: that is the interval, which knows of new sources and of new seeds.

print(f"{'network':<18} {'MPCA':>6} {'±':>5}  interval")
for row in csv.DictReader((work / "table.csv").open()):
    mean, spread, low, high = (100 * float(row[f"mpca_{key}"]) for key in ("mean", "spread", "low", "high"))
    print(f"{row['network']:<18} {mean:>6.1f} {spread:>5.1f}  {low:.1f} to {high:.1f}")

# %%
# 3. The differences
# ------------------
# Look at the interval of each difference, not at whether two bars of the table overlap. A pair whose
# interval holds zero is not told apart. The grey bar shows which differences these sources and runs could
# have shown at all.

figure, axis = plt.subplots(figsize=(8, 2.6), layout="constrained")
for place, pair in enumerate(reversed(comparison.pairs)):
    axis.barh(place, 200 * pair.resolvable, left=-100 * pair.resolvable, height=0.5, color="0.9")
    axis.plot([100 * pair.low, 100 * pair.high], [place, place], lw=3, color="tab:blue", alpha=0.6)
    axis.plot(100 * pair.difference, place, "o", color="tab:blue")
axis.set_yticks(range(len(comparison.pairs)), [f"{p.first} − {p.second}" for p in reversed(comparison.pairs)])
axis.axvline(0, color="k", lw=1)
axis.set(xlabel="difference in MPCA / points (blue); too small to be seen here (grey)")

# %%
# 4. Which classes are confused
# -----------------------------
# Rows are the true classes, columns what the network said. The diagonal is right; look for the largest
# number off it.

best = comparison.rows[0]
figure, axis = plt.subplots(figsize=(4.6, 4), layout="constrained")
share = best.confusion / best.confusion.sum(axis=1, keepdims=True)
picture = axis.imshow(share, vmin=0, vmax=1, cmap="Blues")
ticks = range(len(comparison.classes))
for (i, j), n in np.ndenumerate(best.confusion):
    axis.text(j, i, n, ha="center", va="center", color="white" if share[i, j] > 0.6 else "black")
axis.set_xticks(ticks, comparison.classes)
axis.set_yticks(ticks, comparison.classes)
axis.set(xlabel="said by the network", ylabel="published label", title=f"{best.network}, three seeds")
figure.colorbar(picture, label="share of the class")

# %%
# 5. Everything else
# ------------------
# The page goes on: overfitting, ensembles, calibration, sources that all networks miss, likely label
# errors, how it was made, and what to cite. Some sections need a command first: ``rgbench stress`` for
# second views and disturbed images, ``rgbench uncertainty`` and ``rgbench explain``.

print("\n".join(report.warnings) or "Nothing is missing in this report.")

# %%
# What next?
# ----------
# :doc:`/comparison` says how each number is made, and how it was tested. :doc:`/which-test` leads from a
# question to a method.
