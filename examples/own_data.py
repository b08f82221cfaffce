"""
Your own images
===============

What you need: FITS images with the source in the middle, and the class of each. The class is the name of
the folder that an image lies in, or a column of a table. This example makes such a folder, checks it, and
trains on it both ways.
"""

# %%
# A folder
# --------
# These sources are simulated, so that you can run the example. Yours come from your telescope.

from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt

import rgbench
from rgbench.simulate import SimulationSpec, Survey, simulate, write_simulation

work = Path(mkdtemp())
sky = simulate(SimulationSpec(n=64, seed=7, survey=Survey(side=100)))
write_simulation(sky, work / "my_images")
for path in sorted((work / "my_images").iterdir()):
    print(path.name, len(list(path.iterdir())) if path.is_dir() else "")

# %%
# One image is spoilt on purpose: its second half is cut off.

spoilt = next((work / "my_images" / "FRI").glob("*.fits"))
spoilt.write_bytes(spoilt.read_bytes()[:20_000])

# %%
# Check before you train
# ----------------------
# ``rgbench data check my_images`` says of each file what is wrong with it, and whether it would be used.
# The same in Python:

found = rgbench.check_folder(work / "my_images")
for one in found:
    if one.problems or not one.usable:
        print(one.name, "|", one.status, "|", one.action)
print(sum(one.usable for one in found), "of", len(found), "files can be used")

# %%
# What was loaded. The brightness is drawn with a square root, since the lobes are much fainter than the
# cores.

data = rgbench.load_folder(work / "my_images")
figure, axes = plt.subplots(2, 4, figsize=(9, 4.8), layout="constrained")
for k, name in enumerate(data.classes):
    for axis, i in zip(axes[:, k], (data.catalogue.label == k).nonzero()[0], strict=False):
        image = data.images[i]
        axis.imshow(image.clip(0) ** 0.5, origin="lower", cmap="inferno")
        axis.set(xticks=[], yticks=[], xlabel=data.catalogue.source_id[i])
    axes[0, k].set_title(name)

# %%
# Train on it
# -----------
# Of each class six sources are for training and four for validation; what is left is the test set. These
# are so few that the answer will be "cannot be told apart", and that is what the answer should be.

small = {"images": {"size": 48}, "recipe": {"epochs": 4, "precision": "float32", "views": 1}}
split = {"split": "becker2021", "train_size": 6, "validation_size": 4}
study = rgbench.Study(
    name="mine",
    networks=("mcrgnet", "lenet"),
    seeds=(1,),
    data={"name": "mine", "path": str(work / "my_images"), **split},
    **small,
)
records = rgbench.run_study(study, rgbench.Store(work / "store"))
print(*rgbench.compare(records).words, sep="\n")

# %%
# With a manifest
# ---------------
# A *manifest* is a table with a row for each image: here name, file and class. Its columns may have other
# names than the usual ones, and so may its classes: say what they mean, and leave out what is no class of
# yours.

words = {"Compact": "point", "FRI": "FRI", "FRII": "FRII", "Bent": "WAT"}
rows = ["ident,file,kind"]
for i in range(len(data.catalogue)):
    kind = "unsure" if i % 9 == 0 else words[data.classes[data.catalogue.label[i]]]
    file = Path(data.catalogue.path[i]).relative_to(work / "my_images")
    rows.append(f"{data.catalogue.source_id[i]},{file},{kind}")
(work / "manifest.csv").write_text("\n".join(rows) + "\n")
print(*rows[:4], sep="\n")

study = rgbench.Study(
    name="mine, by a manifest",
    networks=("mcrgnet",),
    seeds=(1,),
    data={
        "name": "mine",
        "path": str(work / "my_images"),
        "manifest": str(work / "manifest.csv"),
        "columns": {"name": "ident", "path": "file", "label": "kind"},
        "labels": {"point": "Compact"},
        "leave_out": ["unsure"],
        **split,
    },
    **small,
)
records = rgbench.run_study(study, rgbench.Store(work / "store"))
print(*rgbench.compare(records).words, sep="\n")

# %%
# What next?
# ----------
# :doc:`/data` says which files, columns and words are understood, and how images of other pixel scales are
# brought to one. :ref:`sphx_glr_examples_finetuning.py` begins with a trained classifier in place of
# nothing, which needs fewer labels.
