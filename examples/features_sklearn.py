"""A classifier that is no network: shape features and gradient boosting or an SVM, scored beside stored networks.

    python examples/features_sklearn.py --store rgbench-results

It needs scikit-learn. Classifier and settings are chosen on validation sources; the test sources are only predicted.
docs/score.md says what came of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter, label, map_coordinates, maximum_filter
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import rgbench

RADII = (2, 4, 7, 11, 16, 22, 30, 40)
"""Radii in pixels at which the filters look."""
ANGLES = np.linspace(0, 2 * np.pi, 32, endpoint=False)
NAME = "shape features"


def shape_features(image):
    """Give moments, extents, peaks and bend of an image (h, w), none of which a turn or a mirror changes."""
    y, x = np.nonzero(image > 0)
    flux = image[y, x].astype(float)
    if len(flux) < 3:
        return np.zeros(14)
    share = flux / flux.sum()
    around = np.stack((x, y)) - (np.stack((x, y)) @ share)[:, None]
    variances, axes = np.linalg.eigh((around * share) @ around.T)
    minor, major = axes.T @ around  # along the short and the long axis, pixels
    long, short = np.sqrt(np.maximum(variances[::-1], 1e-6))
    along, across = major / long, minor / max(short, 0.3)
    bend = np.polyfit(along, minor / long, 2, w=np.sqrt(share))[0] if len(flux) > 5 else 0.0
    radius = np.hypot(*around)
    blurred = gaussian_filter(image.astype(float), 1.5)
    peaks = np.argwhere((blurred == maximum_filter(blurred, 7)) & (blurred > 0.2 * blurred.max()))
    apart = np.hypot(*(peaks - peaks.mean(axis=0)).T).max()
    islands, number = label(image > 0, np.ones((3, 3)))
    largest = np.bincount(islands[y, x], weights=share).max()
    moments = [abs(share @ along**3), share @ along**4, abs(share @ across**3), share @ across**4]
    extent = [
        np.log(long),
        np.log(short),
        short / long,
        np.log(len(flux)),
        share.max(),
        share[radius < long].sum(),
    ]
    return np.array([*moments, *extent, abs(bend), len(peaks), apart / long, largest * min(number, 5)])


def filter_features(image):
    """Give the strengths of blobs at several radii, and of their angular waves: filters that a turn does not change.

    As with COSFIRE filters, differences of Gaussians are looked at along circles about the middle of the source.
    """
    pixels = image / max(image.max(), 1)
    total = max(pixels.sum(), 1e-9)
    middle = [(np.arange(n) * pixels.sum(axis=1 - axis)).sum() / total for axis, n in enumerate(pixels.shape)]
    found = []
    for width in (1.0, 2.5):
        blobs = np.maximum(gaussian_filter(pixels, width) - gaussian_filter(pixels, 2 * width), 0)
        for radius in RADII:
            places = [middle[0] + radius * np.sin(ANGLES), middle[1] + radius * np.cos(ANGLES)]
            waves = np.abs(np.fft.rfft(map_coordinates(blobs, places, order=1)))[:5]
            found += np.sqrt(waves).tolist()
    return np.array(found)


def features(images, side=150):
    """Give the features of images (n, h, w), shape (n, k), from their middles."""
    top = (images.shape[1] - side) // 2
    cut = images[:, top : top + side, top : top + side]
    return np.stack([np.concatenate((shape_features(each), filter_features(each))) for each in cut])


def candidates(seed):
    """Give the classifiers to choose from."""
    for rate in (0.05, 0.1):
        for leaves in (7, 15):
            yield HistGradientBoostingClassifier(
                learning_rate=rate,
                max_leaf_nodes=leaves,
                max_iter=150,
                l2_regularization=1.0,
                random_state=seed,
            )
    for strength in (1, 3, 10):
        for gamma in (0.003, 0.01):
            yield make_pipeline(
                StandardScaler(), CalibratedClassifierCV(SVC(C=strength, gamma=gamma), ensemble=False)
            )


def main():
    """Choose on validation sources, predict validation and test sources, write the table, score it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", type=Path, default=Path("rgbench-results"))
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()

    data = rgbench.load_data("first-galaxy-data")
    split, y = rgbench.published_split(data), data.catalogue.label
    train, validation, test = (split.indices(side) for side in ("train", "validation", "test"))
    x = features(data.images)

    tried = []
    for model in candidates(asked.seed):
        model.fit(x[train], y[train])
        tried.append(
            (balanced_accuracy_score(y[validation], model.predict(x[validation])), len(tried), model)
        )
    best, _, model = max(tried)
    print(f"chosen on {len(validation)} validation sources (MPCA {100 * best:.1f} %): {model}")

    rows = np.concatenate((validation, test))
    table = {"source_id": data.catalogue.source_id[rows]}
    table |= {f"p_{name}": p for name, p in zip(data.classes, model.predict_proba(x[rows]).T, strict=True)}
    stated = rgbench.Stated(trained_on=f"the {len(train)} training sources of the published split")
    spec = rgbench.ScoreSpec(seed=asked.seed, stated=stated)
    run = rgbench.score(table, NAME, asked.store, spec, data).record
    print(rgbench.compare([run]).words[0])


if __name__ == "__main__":
    main()
