"""Where do networks fail? Accuracy against properties of sources, and the sources that all runs get wrong.

Whether accuracy rises or falls with a property is tested in `rgbench.statistics.trend`.

Symbols: n sources; "right" (n,) the share of the runs that recognise a source, 0 or 1 for one run. Runs that share
test sources are no further sources: intervals and tests count sources, never rows of a table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import fisher_exact, norm

from rgbench.data.catalogue import Catalogue
from rgbench.data.surveys.links import sky_link
from rgbench.errors import DataError, SpecError
from rgbench.statistics.significance import Interval, holm, score_mean_interval
from rgbench.store.store import RunRecord

Floats = NDArray[np.float64]
_Conditions = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Answered:
    """What runs said of their test sources; row i of every array is one source.

    Attributes
    ----------
    classes : tuple of str
        Class names.
    source_id : ndarray of str, shape (n,)
        The sources, in sorted order.
    label : ndarray of int64, shape (n,)
        Class of each.
    answers : ndarray of int64, shape (n, k)
        How many runs gave each class.
    probabilities : ndarray of float64, shape (n, k)
        Class probabilities, averaged over the runs that tested the source and gave any; NaN where none did.
    """

    classes: tuple[str, ...]
    source_id: NDArray[Any]
    label: NDArray[np.int64]
    answers: NDArray[np.int64]
    probabilities: Floats

    @property
    def runs(self) -> NDArray[np.int64]:
        """Number of runs that tested each source, shape (n,)."""
        return np.asarray(self.answers.sum(axis=1))

    @property
    def right(self) -> Floats:
        """Share of the runs that recognise each source, shape (n,)."""
        return np.asarray(self.answers[np.arange(len(self.label)), self.label] / self.runs)


@dataclass(frozen=True)
class Bin:
    """Sources of a range or category of a property.

    Attributes
    ----------
    name : str
        Range or category, in words.
    low, high : float
        Least and greatest value in it; NaN for a category.
    n : int
        Number of sources.
    accuracy : Interval
        Share that is recognised, with its Wilson interval for other sources.
    """

    name: str
    low: float
    high: float
    n: int
    accuracy: Interval


@dataclass(frozen=True)
class Missed:
    """A source that all runs get wrong.

    Attributes
    ----------
    source_id, label : str
        The source and its class.
    answers : tuple of (str, int)
        The classes that runs gave and how often, commonest first.
    probability, of_label : float
        Mean probability of the commonest answer, and of the label.
    ra, dec : float
        Degrees, ICRS; NaN where the position is not known.
    link : str
        Address of a page that shows the place; empty without a position.
    """

    source_id: str
    label: str
    answers: tuple[tuple[str, int], ...]
    probability: float
    of_label: float
    ra: float
    dec: float
    link: str


@dataclass(frozen=True)
class Group:
    """Sources that fail together: those that meet one or two conditions.

    Attributes
    ----------
    conditions : tuple of (str, str)
        Property, and its range or category.
    n : int
        Number of sources.
    accuracy, elsewhere : Interval
        Accuracy in the group and outside it.
    excess : float
        Sources missed beyond those that would be at the rate outside.
    p_value : float
        As in the notes of `failing_groups`, corrected for all groups that were looked at.
    """

    conditions: _Conditions
    n: int
    accuracy: Interval
    elsewhere: Interval
    excess: float
    p_value: float


def collect(records: Sequence[RunRecord], model: str = "best") -> Answered:
    """Gather the test predictions of complete runs, of one network or several, source by source.

    Parameters
    ----------
    records : sequence of RunRecord
        Runs of one data set; those not complete, and predictions that are not finite, are passed over.
    model : {"best", "final"}
        Which model of each run.

    Raises
    ------
    DataError
        If no run has predictions of labelled sources, or runs differ in their classes or a source's label.
    """
    tables = [
        (r.run_id, r.predictions.select("test", model))
        for r in records
        if r.status == "complete" and r.predictions is not None
    ]
    tables = [(run, x.take((x.label >= 0) & np.isfinite(x.logits).all(axis=1))) for run, x in tables]
    tables = [(run, x) for run, x in tables if len(x)]
    if not tables:
        raise DataError("no complete run has test predictions of labelled sources")
    classes = tables[0][1].classes
    other = next((run for run, x in tables if x.classes != classes), None)
    if other is not None:
        raise DataError(
            f"run {other} has other classes than run {tables[0][0]}: compare runs of one data set"
        )
    names, row = np.unique(np.concatenate([x.source_id for _, x in tables]), return_inverse=True)
    labels = np.concatenate([x.label for _, x in tables])
    label = np.zeros(len(names), dtype=np.int64)
    label[row] = labels
    if (label[row] != labels).any():
        raise DataError(f"source {str(names[row][label[row] != labels][0])!r} has two labels in these runs")
    said = np.concatenate([x.probabilities() for _, x in tables])
    answers, total = np.zeros((len(names), len(classes)), np.int64), np.zeros((len(names), len(classes)))
    np.add.at(answers, (row, said.argmax(axis=1)), 1)
    stated = np.concatenate([np.full(len(x), x.has_probabilities) for _, x in tables])
    np.add.at(total, row[stated], said[stated])
    with np.errstate(invalid="ignore"):
        mean = total / np.bincount(row[stated], minlength=len(names))[:, None]
    return Answered(classes, names, label, answers, mean)


def properties(tested: Answered, catalogue: Catalogue) -> dict[str, NDArray[Any]]:
    """Give the properties of the tested sources: class, and every column of numbers or words of a catalogue.

    Measured columns (size, S/N, flux density) are there after `Catalogue.with_measures`. A source that is not in
    the catalogue has NaN or "". Columns with one value only, and words that part nearly every source, are left out.

    Columns are float64 or str, shape (n,), in the order of `tested.source_id`.
    """
    row = _rows(tested.source_id, catalogue)
    found: dict[str, NDArray[Any]] = {"class": np.array(tested.classes)[tested.label]}
    for name, column in catalogue.extra.items():
        if column.ndim != 1:
            continue
        if column.dtype.kind in "iuf":
            values = np.where(row >= 0, column[row].astype(np.float64), np.nan)
            useful = len(np.unique(values[np.isfinite(values)])) > 1
        else:
            values = np.where(row >= 0, column[row].astype(str), "")
            useful = 1 < len(np.unique(values)) <= max(2, len(values) // 5)
        if useful:
            found[name] = values
    return found


def by_number(
    values: NDArray[Any], right: NDArray[Any], bins: int = 5, confidence: float = 0.95
) -> list[Bin]:
    """Give the accuracy in bins of a property with about equal numbers of sources.

    Parameters
    ----------
    values : ndarray, shape (n,)
        The property; sources where it is not finite make a last bin, "not known".
    right : ndarray of bool or float64, shape (n,)
        Whether each source is recognised, or by which share of the runs.
    bins : int
        Number of bins; equal values stay together, so that there may be fewer.
    confidence : float
        Coverage of the intervals.

    Raises
    ------
    SpecError
        If shapes differ, there is no source, or `bins` is below 1.

    Examples
    --------
    >>> for part in by_number(np.arange(100.0), np.arange(100) < 80, bins=2):
    ...     print(part.name, part.n, part.accuracy.value, round(part.accuracy.low, 3), round(part.accuracy.high, 3))
    0 to 49 50 1.0 0.929 1.0
    50 to 99 50 0.6 0.462 0.724
    """
    values, right = np.asarray(values, dtype=np.float64), _checked(values, right)
    if bins < 1:
        raise SpecError(f"bins: found {bins}; legal are 1 and more")
    known = np.isfinite(values)
    edges = np.unique(np.quantile(values[known], np.arange(1, bins) / bins)) if known.any() else np.array([])
    place = np.searchsorted(edges, values, side="left")
    found = []
    for k in range(len(edges) + 1):
        own = known & (place == k)
        if own.any():
            low, high = float(values[own].min()), float(values[own].max())
            name = f"{low:.4g} to {high:.4g}" if high > low else f"{low:.4g}"
            found.append(_bin(name, right[own], confidence, (low, high)))
    return [*found, *([_bin(NOT_KNOWN, right[~known], confidence)] if not known.all() else [])]


def by_category(values: NDArray[Any], right: NDArray[Any], confidence: float = 0.95) -> list[Bin]:
    """Give the accuracy in each category, commonest first; an empty one is "not known".

    Examples
    --------
    >>> [(part.name, part.n) for part in by_category(np.array(["a", "b", "b"]), np.ones(3))]
    [('b', 2), ('a', 1)]
    """
    right, names = _checked(values, right), np.asarray(values).astype(str)
    tally = Counter(names.tolist()).most_common()
    return [_bin(name or NOT_KNOWN, right[names == name], confidence) for name, _ in tally]


def missed_by_all(
    tested: Answered, catalogue: Catalogue | None = None, service: str = "legacy", least_runs: int = 2
) -> list[Missed]:
    """Give the sources that every run gets wrong, those first whose label is believed least.

    Parameters
    ----------
    tested : Answered
        E.g. of `collect`.
    catalogue : Catalogue, optional
        Where the positions are.
    service : {"legacy", "aladin", "esasky"}
        Whose page the link opens.
    least_runs : int
        A source counts if so many runs tested it.

    Examples
    --------
    >>> said = np.array([[0, 3], [2, 1]])
    >>> tested = Answered(("FRI", "FRII"), np.array(["a", "b"]), np.array([0, 0]), said, said / 3)
    >>> [(missed.source_id, missed.label, missed.answers) for missed in missed_by_all(tested)]
    [('a', 'FRI', (('FRII', 3),))]
    """
    n = np.arange(len(tested.label))
    wrong = (tested.answers[n, tested.label] == 0) & (tested.runs >= least_runs)
    belief = tested.probabilities[n, tested.label]
    ra, dec = positions(tested.source_id, catalogue)
    order = [int(i) for i in np.argsort(belief, kind="stable") if wrong[i]]
    return [_missed(tested, i, (float(ra[i]), float(dec[i])), service) for i in order]


def failing_groups(
    of: Mapping[str, NDArray[Any]],
    right: NDArray[Any],
    fewest: int = 20,
    bins: int = 3,
    level: float = 0.05,
) -> list[Group]:
    """Find groups of sources, by one property or two together, in which networks fail more often than elsewhere.

    Parameters
    ----------
    of : mapping of str to ndarray, shape (n,)
        Properties, e.g. of `properties`; numbers are parted into bins of equal numbers of sources. A name may end in
        a unit, as "angular size / arcsec" does, which sentences put behind the numbers.
    right : ndarray of bool or float64, shape (n,)
        Whether each source is recognised, or by which share of the runs; it counts as recognised if more than
        half of the runs do.
    fewest : int
        Groups of fewer sources, inside or outside, are not looked at.
    bins : int
        Number of bins of a property of numbers.
    level : float
        Groups whose corrected p-value is above this are left out.

    Returns
    -------
    list of Group
        Those with most missed sources in excess first. A pair of conditions stands there only if it is also worse
        than what else meets either of them, so that neither comes along without a part in it.

    Notes
    -----
    Fisher's exact tests, one-sided; of the three that a pair must pass the largest p-value counts. Holm's
    correction is for all groups. They overlap, so that one cause may show in several; which property is the cause
    cannot be told from a table of them.
    """
    share = np.asarray(right, dtype=np.float64)
    hit = share > 0.5
    whole: dict[tuple[str, str], NDArray[np.bool_]] = {}
    for name, values in of.items():
        _checked(values, share)
        whole.update({(name, part): mask for part, mask in _parts(values, bins).items()})
    masks = {(key,): mask for key, mask in whole.items()} | {
        (a, b): whole[a] & whole[b] for a, b in combinations(whole, 2) if a[0] != b[0]
    }
    n = len(share)
    masks = {key: mask for key, mask in masks.items() if fewest <= mask.sum() <= n - fewest}
    p = holm([_worse(hit, key, mask, whole) for key, mask in masks.items()])
    found = [_group(key, mask, hit, q) for (key, mask), q in zip(masks.items(), p, strict=True) if q <= level]
    return sorted(found, key=lambda group: -group.excess)


def _checked(values: NDArray[Any], right: NDArray[Any]) -> Floats:
    values, share = np.asarray(values), np.asarray(right, dtype=np.float64)
    if values.ndim != 1 or values.shape != share.shape or not len(share):
        raise SpecError(f"values and right: (n,) of each are needed, found {values.shape} and {share.shape}")
    if not ((share >= 0) & (share <= 1)).all():
        raise SpecError("right: legal are False and True, or shares from 0 to 1")
    return share


def _bin(name: str, right: Floats, confidence: float, span: tuple[float, float] | None = None) -> Bin:
    low, high = span or (float("nan"), float("nan"))
    return Bin(name, low, high, len(right), _accuracy(right, confidence))


def _accuracy(right: NDArray[Any], confidence: float = 0.95) -> Interval:
    """Give the mean with its Wilson interval; shares of runs scatter less than 0 and 1 do, so it is wide enough."""
    n = np.array([float(len(right))])
    z = float(norm.ppf((1 + confidence) / 2))
    low, high = score_mean_interval(np.array([float(right.sum())]), n, z)
    return Interval(float(right.mean()), float(low), float(high), confidence)


def _missed(tested: Answered, i: int, place: tuple[float, float], service: str) -> Missed:
    tally = Counter({name: int(m) for name, m in zip(tested.classes, tested.answers[i], strict=True) if m})
    answers = tuple(tally.most_common())
    chances = dict(zip(tested.classes, tested.probabilities[i].tolist(), strict=True))
    label = tested.classes[tested.label[i]]
    first = answers[0][0]
    link = sky_link(*place, service=service)
    return Missed(str(tested.source_id[i]), label, answers, chances[first], chances[label], *place, link)


def _parts(values: NDArray[Any], bins: int) -> dict[str, NDArray[np.bool_]]:
    """Part sources by a property: masks by the name of the range or category."""
    if values.dtype.kind not in "iuf":
        names = values.astype(str)
        return {name or NOT_KNOWN: names == name for name in sorted(set(names.tolist()))}
    number = values.astype(np.float64)
    found: dict[str, NDArray[np.bool_]] = {}
    for part in by_number(number, np.zeros(len(number)), bins):
        inside = (number >= part.low) & (number <= part.high)
        name = part.name if part.name not in found else f"{part.low!r} to {part.high!r}"
        found[name] = ~np.isfinite(number) if part.name == NOT_KNOWN else inside
    return found


def _worse(
    hit: NDArray[np.bool_],
    conditions: _Conditions,
    mask: NDArray[np.bool_],
    whole: Mapping[tuple[str, str], NDArray[np.bool_]],
) -> float:
    """Test a group against all others and, if it is a pair, against what else meets either of its conditions."""
    against = [np.ones_like(mask), *(whole[key] for key in conditions if len(conditions) > 1)]
    return max(_fisher(hit[own], mask[own]) for own in against)


def _fisher(hit: NDArray[np.bool_], mask: NDArray[np.bool_]) -> float:
    table = [[int((hit & m).sum()), int((~hit & m).sum())] for m in (mask, ~mask)]
    return float(fisher_exact(table, alternative="less").pvalue)


def _group(conditions: _Conditions, mask: NDArray[np.bool_], hit: NDArray[np.bool_], p: float) -> Group:
    inside, outside = _accuracy(hit[mask]), _accuracy(hit[~mask])
    n = int(mask.sum())
    excess = n * (outside.value - inside.value)
    return Group(conditions, n, inside, outside, excess, p)


def _rows(source_id: NDArray[Any], catalogue: Catalogue) -> NDArray[np.int64]:
    """Give each source's row in a catalogue, -1 where it has none."""
    row = {str(name): i for i, name in enumerate(catalogue.source_id)}
    return np.array([row.get(str(name), -1) for name in source_id], dtype=np.int64)


def positions(source_id: NDArray[Any], catalogue: Catalogue | None) -> tuple[Floats, Floats]:
    """Give RA and Dec of sources by their names, degrees (ICRS), shape (n,); NaN where they are not known."""
    nowhere = np.full(len(source_id), np.nan)
    if catalogue is None:
        return nowhere, nowhere
    row = _rows(source_id, catalogue)
    return np.where(row >= 0, catalogue.ra[row], np.nan), np.where(row >= 0, catalogue.dec[row], np.nan)


def choose_sources(records: Sequence[RunRecord], per_class: int = 1, model: str = "best") -> list[str]:
    """Choose test sources of which it is worth seeing where networks look: of each class the clearest, and the hardest.

    Parameters
    ----------
    records : sequence of RunRecord
        Complete runs with the same classes.
    per_class : int
        Sources of each class that most runs recognise, and as many that fewest do.
    model : {"best", "final"}
        Which model of each run.

    Returns
    -------
    list of str
        Class by class, recognised ones first; by name where as many runs recognise them.

    Raises
    ------
    DataError
        If no run has predictions of labelled test sources.
    """
    tables = [r.predictions.select("test", model) for r in records if r.predictions is not None]
    labelled = [table.take(table.label >= 0) for table in tables]
    if not sum(len(table) for table in labelled):
        raise DataError("no complete run has predictions of labelled test sources: there is nothing to show")
    names = np.concatenate([table.source_id for table in labelled])
    right = np.concatenate([table.logits.argmax(axis=1) == table.label for table in labelled])
    source, row = np.unique(names, return_inverse=True)
    share = np.bincount(row, weights=right) / np.bincount(row)
    label = np.zeros(len(source), dtype=np.int64)
    label[row] = np.concatenate([table.label for table in labelled])
    chosen: dict[str, None] = {}
    for kind in np.unique(label):
        own = np.flatnonzero(label == kind)
        ranked = own[np.argsort(-share[own], kind="stable")]
        picked = (*ranked[:per_class], *ranked[::-1][:per_class])
        chosen |= dict.fromkeys(str(source[i]) for i in picked)
    return list(chosen)


NOT_KNOWN = "not known"
"""Name of the range of sources whose property is not known."""
