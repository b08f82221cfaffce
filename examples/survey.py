"""
A survey: from a mosaic to classes
==================================

A catalogue and a mosaic go in, and every row of the catalogue gets a class. Nothing is trained: the
classifier ``first-1`` comes with the package.
"""

# %%
# A sky whose truth is known
# --------------------------
# The mosaic is simulated, with the noise and the beam of FIRST. Its catalogue looks like one that PyBDSF
# wrote; the column ``truth`` has the class that each source was drawn with, which no real catalogue has.

from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt
import numpy as np
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.wcs import WCS

import rgbench
from rgbench.simulate import MosaicSpec, write_mosaic

work = Path(mkdtemp())
mosaic, catalogue = write_mosaic(MosaicSpec(n=80, side=1200, seed=3), work)
print(mosaic.name, catalogue.name)

# %%
# One call
# --------
# On the command line: ``rgbench survey sources.fits --images mosaic.fits --out classes --views 1
# --whole-sources``. Each row of this catalogue is a whole source, and that must be said: the light of its
# neighbours is then taken out of its picture.

choice = rgbench.SurveyChoice(views=1, whole_sources=True)
survey = rgbench.classify_survey(
    catalogue, [mosaic], work / "classes", choice=choice, jobs=1, formats=["parquet"]
)
print(dict(survey.counts().classes))

# %%
# What came out
# -------------
# The catalogue is there with all its rows, and the columns that begin with ``rg_`` are new. A row without a
# class has a flag that says why.

(path,) = sorted((work / "classes" / "classes").glob("*.parquet"))
table = pq.read_table(path).to_pydict()
print("row  class    p(FRII)  set        flags")
for i in range(6):
    p, flags = table["rg_p_FRII"][i], table["rg_flags"][i]
    print(f"{i:<4} {table['rg_class'][i]:<8} {p:>7.3f}  {table['rg_set'][i]:<10} {flags}")

# %%
# On the mosaic. Circles are sources, coloured by their class; a cross marks those whose class is not the
# one that they were drawn with.

colours = {"Compact": "tab:cyan", "FRI": "gold", "FRII": "magenta", "Bent": "lime"}
with fits.open(mosaic) as opened:
    pixels, header = opened[0].data, opened[0].header
x, y = WCS(header).celestial.wcs_world2pix(table["rg_ra"], table["rg_dec"], 0)
figure, axis = plt.subplots(figsize=(7, 7), layout="constrained")
level = np.nanstd(np.clip(pixels, None, np.nanpercentile(pixels, 95)))
axis.imshow(np.arcsinh(pixels / level), origin="lower", cmap="gray", vmin=0, vmax=6)
said, truth = np.array(table["rg_class"]), np.array(table["truth"])
for name, colour in colours.items():
    own = said == name
    axis.scatter(x[own], y[own], s=160, facecolors="none", edgecolors=colour, label=f"{name}: {own.sum()}")
wrong = (said != "") & (said != truth)
axis.scatter(x[wrong], y[wrong], marker="x", color="red", label=f"not as drawn: {wrong.sum()}")
axis.set(xticks=[], yticks=[])
axis.legend(loc="upper left", bbox_to_anchor=(0, -0.01), ncols=3)

# %%
# How many of each class are there?
# ---------------------------------
# Do not count the names: sum the probabilities, and say how common the classes are in your survey. Without
# that, the classifier assumes that all four are equally common, which no survey is. Here four of five
# sources are Compact.

choice = rgbench.SurveyChoice(views=1, whole_sources=True, prior={"Compact": 0.8})
again = rgbench.classify_survey(
    catalogue, [mosaic], work / "with-prior", choice=choice, jobs=1, formats=["parquet"]
)
(path,) = sorted((work / "with-prior" / "classes").glob("*.parquet"))
prior = pq.read_table(path).to_pydict()
print("class     drawn  expected  expected with the prior")
for name in ("Compact", "FRI", "FRII", "Bent"):
    column = f"rg_p_{name}"
    print(
        f"{name:<8} {(truth == name).sum():>6} {np.nansum(table[column]):>9.1f} {np.nansum(prior[column]):>12.1f}"
    )

# %%
# What next?
# ----------
# :doc:`/survey` says what goes in and how a cluster helps, :doc:`/survey-outputs` has every column and
# format, and :doc:`/survey-find` makes the catalogue if you have none.
