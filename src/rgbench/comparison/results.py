"""What a comparison finds: estimates, rows, and the whole of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rgbench.statistics.label_ceiling import LabelCeiling
from rgbench.statistics.paired import PairedDifference


@dataclass(frozen=True)
class Estimate:
    """A metric of a network over its seeds.

    Attributes
    ----------
    mean, spread : float
        Mean and sample standard deviation over the seeds; the spread of one seed is NaN.
    low, high : float
        Interval of the mean for new test sources and, from two runs on, new seeds or folds; NaN if the metric has none.
    values : tuple of float
        One value per seed.
    """

    mean: float
    spread: float
    low: float
    high: float
    values: tuple[float, ...]


@dataclass(frozen=True)
class Row:
    """One network of a comparison.

    Attributes
    ----------
    network : str
        Its name; with learning rate and epochs where the same network stands there twice.
    seeds : tuple of int
        Seeds of its complete runs.
    n_seeds, n_test : int
        Their number, and the number of test sources of a seed.
    metrics : dict of str to Estimate
        Metrics by name.
    cost : dict of str to float
        Medians over the seeds.
    confusion : ndarray of int, shape (k, k)
        Counts summed over the seeds; rows true, columns predicted.
    per_class : dict of str to ndarray
        Means over the seeds of precision, recall and F1 of each class, of both kinds.
    notes : tuple of str
        What is wrong with its runs, if anything.
    status : str
        "ok", "did not learn" (every run), or, if no run is complete, "failed" or "not finished" (none has failed).
    name : str
        The network's registered name, whatever else stands in `network`.
    """

    network: str
    seeds: tuple[int, ...]
    n_seeds: int
    n_test: int
    metrics: dict[str, Estimate]
    cost: dict[str, float]
    confusion: NDArray[np.int64] | None
    per_class: dict[str, NDArray[np.float64]]
    notes: tuple[str, ...]
    status: str
    name: str


@dataclass(frozen=True)
class KnownScore:
    """A network on the test sources whose class several catalogues agree on.

    Attributes
    ----------
    network : str
        Its name, as in its `Row`.
    n : int
        Number of such sources that a run was tested on.
    consensus, published : dict of str to Estimate
        Metrics on these sources, held against the class that catalogues agree on, and against the published label.
    """

    network: str
    n: int
    consensus: dict[str, Estimate]
    published: dict[str, Estimate]


@dataclass(frozen=True)
class KnownScores:
    """Networks on the test sources whose class several catalogues agree on.

    Attributes
    ----------
    counts : dict of str to int
        Number of these sources by the class agreed on; each counted once, in however many runs it is.
    n_test : int
        Number of all test sources, counted likewise.
    relabelled : int
        Number of the sources agreed on whose published label is another class.
    scores : tuple of KnownScore
        One for each network of the comparison that learnt something.
    """

    counts: dict[str, int]
    n_test: int
    relabelled: int
    scores: tuple[KnownScore, ...]

    @property
    def n(self) -> int:
        """Number of sources agreed on."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class Comparison:
    """A comparison of networks on one test set.

    Attributes
    ----------
    metric : str
        The metric that sorts the rows and that pairs are compared in.
    model : str
        "best" or "final".
    confidence : float
        Coverage of all intervals.
    rows : tuple of Row
        Networks, best first; those that did not learn or failed come last.
    pairs : tuple of PairedDifference
        All pairs of networks that have complete runs on the same test sources.
    classes : tuple of str
        Class names.
    resamples : dict of str to ndarray
        The metric of each network that can be compared on every resample: of the test sources, which all share, and,
        where a network has several runs, of these.
    failed : dict of str to str
        Metrics that could not be worked out for some network, and why; their values are NaN there.
    data : str
        Name of the data set whose sources were tested.
    ceiling : LabelCeiling or None
        What its labels allow; None where they were never held against others.
    words : tuple of str
        The answer in sentences: the best network, its pairs, what limits the comparison, what went wrong.
    known : KnownScores or None
        The networks on the sources whose class several catalogues agree on; None where none is known, or nobody asked.
    """

    metric: str
    model: str
    confidence: float
    rows: tuple[Row, ...]
    pairs: tuple[PairedDifference, ...]
    classes: tuple[str, ...]
    resamples: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    data: str = ""
    ceiling: LabelCeiling | None = None
    words: tuple[str, ...] = ()
    known: KnownScores | None = None

    @property
    def untested(self) -> tuple[str, ...]:
        """Classes of which no network was tested on a source."""
        counts = [row.confusion.sum(axis=1) for row in self.rows if row.confusion is not None]
        sources = np.sum(counts, axis=0) if counts else np.ones(len(self.classes))
        return tuple(name for name, n in zip(self.classes, sources, strict=True) if not n)
