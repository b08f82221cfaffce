"""
Fine-tuning: do my labels help?
===============================

You have labelled some sources of your own survey. Training the classifier further on them may make it
better for that survey, or worse. ``rgbench.finetune`` does it, and says which of the two, on sources that
the networks have not seen.
"""

# %%
# Another survey
# --------------
# These sources are simulated as another telescope would see them: smaller pixels and a smaller beam than
# those of FIRST.

from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt
import numpy as np

import rgbench
from rgbench.simulate import SimulationSpec, Survey, simulate, write_simulation

work = Path(mkdtemp())
finer = Survey(name="finer", beam=2.5, pixel_scale=1.0, side=200)
sky = simulate(SimulationSpec(n=60, seed=11, survey=finer))
write_simulation(sky, work / "mine")

figure, axes = plt.subplots(1, 4, figsize=(10, 2.8), layout="constrained")
for k, axis in enumerate(axes):
    image = sky.images[int(np.flatnonzero(sky.catalogue.label == k)[1])]
    axis.imshow(image.clip(0) ** 0.5, origin="lower", cmap="inferno")
    axis.set(title=sky.classes[k], xticks=[], yticks=[])

# %%
# One call
# --------
# Two folds and three epochs are enough to show the way. The defaults, five folds and ten epochs, take about
# two minutes for 150 sources.

spec = rgbench.FinetuneSpec(epochs=3, folds=2)
result = rgbench.finetune(work / "mine", spec=spec, name="mine-1")
print(result.words)

# %%
# What the answer rests on:

print(*result.basis, sep="\n")

# %%
# The comparison as a picture. Both classifiers answer the same sources; the difference is the bar that
# counts. If it holds zero, keep the old classifier.

found = result.comparison
figure, axes = plt.subplots(1, 2, figsize=(9, 2.2), layout="constrained")
for place, one in enumerate((found.before, found.after)):
    axes[0].plot([100 * one.low, 100 * one.high], [-place, -place], lw=3, color="tab:blue", alpha=0.6)
    axes[0].plot(100 * one.value, -place, "o", color="tab:blue")
axes[0].set_yticks([0, -1], ["first-1", "mine-1"])
axes[0].set(xlabel="mean per-class accuracy / %", ylim=(-1.6, 0.6))
gain = found.difference
axes[1].plot([100 * gain.low, 100 * gain.high], [0, 0], lw=3, color="tab:red", alpha=0.6)
axes[1].plot(100 * gain.value, 0, "o", color="tab:red")
axes[1].axvline(0, color="k", lw=1)
axes[1].set_yticks([0], ["difference"])
axes[1].set(xlabel=f"points: {found.verdict}", ylim=(-1, 1))

# %%
# Use it
# ------
# The new classifier is one file. ``rgbench predict FOLDER --classifier mine-1.safetensors`` takes it, and
# so does Python:

result.classifier.save(work / "mine-1.safetensors")
again = rgbench.load_classifier(work / "mine-1.safetensors")
probabilities = again.predict(sky.images[:4])
for name, row in zip(sky.catalogue.source_id[:4], probabilities, strict=True):
    print(name, dict(zip(again.classes, row.round(2).tolist(), strict=True)))

# %%
# What next?
# ----------
# :doc:`/finetune` says what the comparison can and cannot show, and what a class costs that is missing
# among your labels.
