"""Likely label errors by confident learning (Northcutt, Jiang & Chuang 2021, JAIR 70, 1373).

It needs probabilities for sources that the network was not trained on. Symbols: n sources, k classes; p (n, k)
probabilities; t (k,) the threshold of each class, the mean probability of a class over the sources labelled so; C (k,
k) the confident joint, rows given labels, columns likely true ones; Q = C scaled to the numbers of given labels and to
the sum 1.

A source on the list is one to look at again, not an error for certain: networks are sure and wrong too, of the same
kinds of sources again and again, and a catalogue may be right for reasons that no image shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rgbench.comparison.failures import positions
from rgbench.data.catalogue import Catalogue
from rgbench.data.surveys.links import sky_link
from rgbench.errors import DataError, SpecError, StoreError
from rgbench.escapes import for_csv
from rgbench.numbers import counted, interval, percent
from rgbench.seeds import numpy_generator
from rgbench.statistics.intervals import stratified_weights
from rgbench.statistics.significance import Interval, mpca_interval
from rgbench.store.files import write_bytes
from rgbench.store.store import RunRecord

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
OUT_OF_SAMPLE = ("validation", "test")
_SLACK = 1e-6
_LEAST = 1e-6


@dataclass(frozen=True)
class OutOfSample:
    """Probabilities of networks that were not trained on the sources; row i of every array is one source.

    Attributes
    ----------
    classes : tuple of str
        Class names.
    source_id : ndarray of str, shape (n,)
        The sources.
    label : ndarray of int64, shape (n,)
        Given labels.
    probabilities : ndarray of float64, shape (n, k)
        Class probabilities, averaged over the runs that held the source out.
    side : ndarray of str, shape (n,)
        "test", "validation" or, where runs held it out on both, "validation".

    Raises
    ------
    DataError
        If a side is another one ("train" above all), shapes do not fit, there is no source, or a probability or
        label is not legal.
    """

    classes: tuple[str, ...]
    source_id: NDArray[Any]
    label: Labels
    probabilities: Floats
    side: NDArray[Any]

    def __post_init__(self) -> None:
        n, k = len(self.source_id), len(self.classes)
        if not n or self.label.shape != (n,) or self.probabilities.shape != (n, k) or self.side.shape != (n,):
            raise DataError(
                f"{n} sources, {k} classes, labels {self.label.shape}, probabilities {self.probabilities.shape} and "
                f"sides {self.side.shape} do not fit; (n,), (n, k) and (n,) are needed, none of them empty"
            )
        _refuse_trained(self.source_id, self.side)
        _check(self.label, self.probabilities)

    @property
    def validated(self) -> int:
        """Number of sources that chose the best epoch of a run: their probabilities flatter a little."""
        return int(np.sum(self.side == "validation"))


@dataclass(frozen=True)
class Noise:
    """What confident learning says of the labels.

    Attributes
    ----------
    thresholds : ndarray of float64, shape (k,)
        t; infinite for a class that no source is labelled with.
    confident : ndarray of float64, shape (k, k)
        C: rows given labels, columns likely true ones.
    joint : ndarray of float64, shape (k, k)
        Q: shares of all sources.
    noise_matrix : ndarray of float64, shape (k, k)
        Chance of the given label (row) for a true class (column); columns sum to 1.
    inverse : ndarray of float64, shape (k, k)
        Chance of the true class (column) for a given label (row); rows sum to 1.
    prior : ndarray of float64, shape (k,)
        Shares of the true classes.
    """

    thresholds: Floats
    confident: Floats
    joint: Floats
    noise_matrix: Floats
    inverse: Floats
    prior: Floats

    @property
    def share(self) -> float:
        """Estimated share of wrong labels, the sum of Q off its diagonal."""
        return max(0.0, float(1 - np.trace(self.joint)))


@dataclass(frozen=True)
class Suspects:
    """Sources whose labels are likely wrong, the likeliest first; row i of every array is one source.

    Attributes
    ----------
    source_id, given, suggested : ndarray of str, shape (m,)
        The source, its label, and the class that is likelier.
    ra, dec : ndarray of float64, shape (m,)
        Degrees, ICRS; NaN where the position is not known.
    self_confidence : ndarray of float64, shape (m,)
        Probability of the given label.
    normalised_margin : ndarray of float64, shape (m,)
        Probability of the given label minus that of the likeliest other class, in [-1, 1].
    side, link : ndarray of str, shape (m,)
        As in `OutOfSample`; address of a page that shows the place, "" without position.
    """

    source_id: NDArray[Any]
    given: NDArray[Any]
    suggested: NDArray[Any]
    ra: Floats
    dec: Floats
    self_confidence: Floats
    normalised_margin: Floats
    side: NDArray[Any]
    link: NDArray[Any]

    def __len__(self) -> int:
        return len(self.source_id)


def out_of_sample(
    records: Sequence[RunRecord], model: str = "best", splits: Sequence[str] = OUT_OF_SAMPLE
) -> OutOfSample:
    """Gather probabilities of sources that runs held out, averaged over the runs that did.

    Over the five folds of a data set, validation sides together are a cross-validation of all its training sources.

    Parameters
    ----------
    records : sequence of RunRecord
        Complete runs of one data set, of one network or several.
    model : {"best", "final"}
        Which model of each run. The best one was chosen on the validation sources; the final one was not.
    splits : sequence of {"validation", "test"}
        Sides to take.

    Raises
    ------
    DataError
        If there is nothing to gather, a run was trained on a source that it is asked about, classes differ, or a
        source has two labels.
    SpecError
        If a side is not legal: "train" is refused.
    """
    for split in splits:
        if split not in OUT_OF_SAMPLE:
            raise SpecError(f"splits: found {split!r}; legal are {', '.join(OUT_OF_SAMPLE)}: {_WHY}")
    tables = []
    for record in records:
        # A class tells nothing of how likely the other classes are.
        if (
            record.status != "complete"
            or record.predictions is None
            or not record.predictions.has_probabilities
        ):
            continue
        both = record.predictions.select(model=model)
        held = both.take(
            np.isin(both.split, list(splits)) & (both.label >= 0) & np.isfinite(both.logits).all(axis=1)
        )
        trained = np.isin(held.source_id, both.source_id[both.split == "train"])
        if trained.any():
            raise DataError(
                f"run {record.run_id} was trained on {str(held.source_id[trained][0])!r}, which it held out too"
            )
        if len(held):
            tables.append(held)
    if not tables:
        raise DataError(f"no complete run has predictions of labelled sources on {' or '.join(splits)}")
    if len({table.classes for table in tables}) > 1:
        raise DataError("the runs have different classes: take runs of one data set")
    names, row = np.unique(np.concatenate([x.source_id for x in tables]), return_inverse=True)
    labels, sides = (np.concatenate([getattr(x, key) for x in tables]) for key in ("label", "split"))
    label = np.zeros(len(names), dtype=np.int64)
    label[row] = labels
    if (label[row] != labels).any():
        raise DataError(f"source {str(names[row][label[row] != labels][0])!r} has two labels in these runs")
    total = np.zeros((len(names), len(tables[0].classes)))
    np.add.at(total, row, np.concatenate([x.probabilities() for x in tables]))
    validated = np.bincount(row, weights=sides == "validation", minlength=len(names)) > 0
    mean = total / np.bincount(row)[:, None]
    return OutOfSample(
        tables[0].classes, names, label, mean, np.where(validated, "validation", "test").astype(str)
    )


def no_better_than_guessing(held: OutOfSample, confidence: float = 0.95) -> str:
    """Say why probabilities tell nothing of labels: nothing shows that they know the classes; "" if something does.

    Networks that guess contradict most labels. `confidence` is that of the interval of the mean per-class accuracy,
    which must lie above that of guessing.

    Examples
    --------
    >>> p = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]])
    >>> side = np.array(["test"] * 4)
    >>> no_better_than_guessing(OutOfSample(("FRI", "FRII"), np.arange(4).astype(str), np.array([0, 1, 1, 0]), p, side))
    'of the 4 sources that they held out the runs recognise 75.0 % (mean over the classes, 95 % interval 31.5 to 95.3),
    and guessing recognises 50.0 %: nothing shows that they know more'
    """
    classes = len(np.unique(held.label))
    found = mpca_interval(held.label, held.probabilities.argmax(axis=1) == held.label, confidence)
    if classes < 2 or found.low > 1 / classes:
        return ""
    return (
        f"of the {counted(len(held.label), 'source')} that they held out the runs recognise {percent(found.value)} % "
        f"(mean over the classes, {interval(found.low, found.high, confidence)}), and guessing recognises "
        f"{percent(1 / classes)} %: nothing shows that they know more"
    )


def noise(label: Labels, p: Floats, weights: Floats | None = None) -> Noise:
    """Estimate which labels stand for which true classes.

    Parameters
    ----------
    label : ndarray of int64, shape (n,)
        Given labels.
    p : ndarray of float64, shape (n, k)
        Out-of-sample probabilities; rows sum to 1.
    weights : ndarray of float64, shape (n,), optional
        How often each source counts, e.g. of a bootstrap resample.

    Returns
    -------
    Noise
        Estimates.

    Raises
    ------
    DataError
        If shapes do not fit, or a probability or label is not legal.

    Notes
    -----
    A source is confidently of class j if p_j is at least t_j (less 1e-6), and j is the most probable of such
    classes; sources that are confidently of no class are not counted. Each class has at least one source that is
    labelled rightly. Where the most probable class is not among the confident ones, cleanlab 2.9 takes it all the
    same if there are several confident ones; the paper, and this, do not.

    Estimates are good as far as probabilities rank sources well; a network that is unsure of a class, or favours it,
    is taken care of by the thresholds. A network that errs with conviction makes the share of wrong labels too
    large.

    Examples
    --------
    >>> label = np.array([0, 0, 0, 1, 1, 1])
    >>> first = np.array([0.9, 0.8, 0.1, 0.2, 0.1, 0.3])
    >>> found = noise(label, np.column_stack([first, 1 - first]))
    >>> found.thresholds.round(2).tolist(), found.confident.tolist()
    ([0.6, 0.8], [[2.0, 1.0], [0.0, 2.0]])
    >>> round(found.share, 3)
    0.167
    """
    _check(label, p)
    k = p.shape[1]
    w = np.ones(len(label)) if weights is None else np.asarray(weights, dtype=np.float64)
    given = np.bincount(label, weights=w, minlength=k)
    own = np.bincount(label, weights=w * p[np.arange(len(label)), label], minlength=k)
    thresholds = np.divide(own, given, out=np.full(k, np.inf), where=given > 0)
    sure, likely = _confident(p, thresholds)
    counts = np.bincount(label[sure] * k + likely[sure], weights=w[sure], minlength=k * k)
    cells = counts.astype(np.float64).reshape(k, k)
    np.fill_diagonal(cells, np.maximum(np.diagonal(cells), 1.0))
    scaled = cells / cells.sum(axis=1, keepdims=True) * given[:, None]
    joint = scaled / scaled.sum()
    prior, labelled = joint.sum(axis=0), joint.sum(axis=1)
    by_truth = np.divide(joint, prior, out=np.eye(k), where=prior > 0)
    by_label = np.divide(joint, labelled[:, None], out=np.eye(k), where=labelled[:, None] > 0)
    return Noise(thresholds, cells, joint, by_truth, by_label, prior)


def wrong_share(
    held: OutOfSample, confidence: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Interval:
    """Estimate the share of wrong labels, with a bootstrap interval for other sources.

    Sources are resampled label by label and everything, thresholds included, is estimated anew. The interval holds
    what chance does to the choice of sources, not what the method itself does: see the notes of `noise`.

    Raises
    ------
    SpecError
        If the confidence is out of range or there are fewer than 2 resamples.
    """
    if not 0 < confidence < 1 or resamples < 2:
        raise SpecError(
            f"confidence, resamples: found {confidence}, {resamples}; legal are 0 to 1, 2 or more"
        )
    weights = stratified_weights(held.label, resamples, numpy_generator(seed, "bootstrap"))
    drawn = [noise(held.label, held.probabilities, w.astype(np.float64)).share for w in weights]
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(noise(held.label, held.probabilities).share, float(low), float(high), confidence)


def likely_errors(
    label: Labels, p: Floats, method: Literal["noise rate", "confident joint"] = "noise rate"
) -> NDArray[np.bool_]:
    """Tell which labels are likely wrong, shape (n,).

    Parameters
    ----------
    label, p : ndarray
        As in `noise`.
    method : {"noise rate", "confident joint"}
        "confident joint" takes the sources that C counts off its diagonal. "noise rate" takes, for each pair of
        a given label i and another class j, as many sources labelled i as Q says, n Q_ij rounded down, with the
        largest p_j - p_i (the paper's prune by noise rate), if another class is likelier than the label.

    Raises
    ------
    DataError, SpecError
        As `noise`; if the method is not legal.

    Examples
    --------
    >>> first = np.array([0.9, 0.8, 0.1, 0.2, 0.1, 0.3])
    >>> likely_errors(np.array([0, 0, 0, 1, 1, 1]), np.column_stack([first, 1 - first])).tolist()
    [False, False, True, False, False, False]
    """
    found, k = noise(label, p), p.shape[1]
    if method == "confident joint":
        sure, likely = _confident(p, found.thresholds)
        return np.asarray(sure & (likely != label))
    if method != "noise rate":
        raise SpecError(f"method: found {method!r}; legal are noise rate, confident joint")
    wrong = np.zeros(len(label), dtype=bool)
    for i in range(k):
        own = np.flatnonzero(label == i)
        for j in range(k):
            number = int(len(label) * found.joint[i, j] + _LEAST)
            if i != j and number and len(own):
                margin = p[own, j] - p[own, i]
                wrong[own[np.argsort(-margin, kind="stable")[:number]]] = True
    return np.asarray(wrong & (p.argmax(axis=1) != label))


def suspects(
    held: OutOfSample,
    catalogue: Catalogue | None = None,
    order: Literal["self-confidence", "normalised margin"] = "normalised margin",
    method: Literal["noise rate", "confident joint"] = "noise rate",
    service: str = "legacy",
) -> Suspects:
    """List the sources whose labels are likely wrong, the likeliest first.

    Parameters
    ----------
    held : OutOfSample
        E.g. of `out_of_sample`.
    catalogue : Catalogue, optional
        Where the positions are.
    order : {"self-confidence", "normalised margin"}
        What ranks them, the smallest first.
    method : {"noise rate", "confident joint"}
        As in `likely_errors`.
    service : {"legacy", "aladin", "esasky"}
        Whose page the links open.

    Raises
    ------
    SpecError
        If an option is not legal.
    """
    if order not in ("self-confidence", "normalised margin"):
        raise SpecError(f"order: found {order!r}; legal are self-confidence, normalised margin")
    p, label, n = held.probabilities, held.label, np.arange(len(held.label))
    others = p.copy()
    others[n, label] = -np.inf
    own, margin = p[n, label], p[n, label] - others.max(axis=1)
    rank = own if order == "self-confidence" else margin
    wrong = np.flatnonzero(likely_errors(label, p, method))
    rows = wrong[np.argsort(rank[wrong], kind="stable")]
    ra, dec = positions(held.source_id[rows], catalogue)
    names = np.array(held.classes)
    links = [sky_link(float(a), float(d), service) for a, d in zip(ra, dec, strict=True)]
    return Suspects(
        source_id=held.source_id[rows],
        given=names[label[rows]],
        suggested=names[others[rows].argmax(axis=1)],
        ra=ra,
        dec=dec,
        self_confidence=own[rows],
        normalised_margin=margin[rows],
        side=held.side[rows],
        link=np.array(links, dtype=str),
    )


def write_suspects(path: Path | str, found: Suspects, overwrite: bool = False) -> None:
    """Write the list as CSV, guarded by `rgbench.escapes.for_csv`, or as Parquet; nothing is rounded.

    The columns are source_id, ra_deg, dec_deg, given_label, suggested_label, self_confidence, normalised_margin,
    side and link, and an empty `verdict` to be filled in.

    Raises
    ------
    SpecError
        If the file's name ends neither in .csv nor in .parquet.
    StoreError
        If it is there already and `overwrite` is not set, or cannot be written.
    """
    path = Path(path)
    if path.suffix not in (".csv", ".parquet"):
        raise SpecError(f"{path}: legal endings are .csv and .parquet")
    if path.exists() and not overwrite:
        raise StoreError(f"{path}: is there already; give another name or say that it may be overwritten")
    guard = for_csv if path.suffix == ".csv" else str
    text = ("source_id", "given", "suggested", "side", "link")
    columns = {name: pa.array([guard(str(v)) for v in getattr(found, name)], pa.string()) for name in text}
    numbers = ("ra", "dec", "self_confidence", "normalised_margin")
    columns.update({name: pa.array(getattr(found, name), pa.float64(), from_pandas=True) for name in numbers})
    columns["verdict"] = pa.array([""] * len(found), pa.string())
    table = pa.table({new: columns[old] for new, old in _COLUMNS.items()})
    buffer = BytesIO()
    (pc.write_csv if path.suffix == ".csv" else pq.write_table)(table, buffer)
    write_bytes(path, buffer.getvalue())


_WHY = "a network repeats the labels that it has learnt, so that errors among training sources stay hidden"
_COLUMNS = {
    "source_id": "source_id",
    "ra_deg": "ra",
    "dec_deg": "dec",
    "given_label": "given",
    "suggested_label": "suggested",
    "self_confidence": "self_confidence",
    "normalised_margin": "normalised_margin",
    "side": "side",
    "link": "link",
    "verdict": "verdict",
}


def _confident(p: Floats, thresholds: Floats) -> tuple[NDArray[np.bool_], Labels]:
    """Tell which sources are confidently of a class, and of which."""
    above = p >= thresholds - _SLACK
    return np.asarray(above.any(axis=1)), np.where(above, p, -np.inf).argmax(axis=1)


def _refuse_trained(source_id: NDArray[Any], side: NDArray[Any]) -> None:
    bad = ~np.isin(side, OUT_OF_SAMPLE)
    if bad.any():
        raise DataError(
            f"{int(bad.sum())} of {len(side)} probabilities are not out of sample, e.g. of {str(source_id[bad][0])!r} "
            f"on side {str(side[bad][0])!r}; legal are {', '.join(OUT_OF_SAMPLE)}: {_WHY}"
        )


def _check(label: Labels, p: Floats) -> None:
    if p.ndim != 2 or label.shape != p.shape[:1] or not len(label) or p.shape[1] < 2:
        raise DataError(
            f"labels {label.shape} and probabilities {p.shape} do not fit; (n,) and (n, k) are needed"
        )
    if not (label.min() >= 0 and label.max() < p.shape[1]):
        raise DataError(
            f"labels lie between {label.min()} and {label.max()}; legal are 0 to {p.shape[1] - 1}"
        )
    bad = ~(np.isfinite(p).all(axis=1) & (p >= 0).all(axis=1) & (np.abs(p.sum(axis=1) - 1) < 1e-6))
    if bad.any():
        raise DataError(
            f"row {int(np.flatnonzero(bad)[0])}: {p[bad][0].tolist()} are no probabilities that sum to 1"
        )
