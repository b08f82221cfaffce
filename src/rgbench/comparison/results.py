"""What a comparison finds: estimates, rows, and the whole of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.measures.cards import MetricCard
from rgbench.measures.catalogue import find_metric
from rgbench.notebook import Tabular, html_table
from rgbench.numbers import NONE, count, is_number, scale
from rgbench.statistics.paired import PairedDifference

PARTS = {"mean": "", "spread": "_spread", "low": "_low", "high": "_high"}
"""Parts of an estimate, and what the names of their columns end in."""


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
    views : int
        Turned and mirrored images of a source that one scored answer is the mean of, as its recipe has it.
    recalls : tuple of Estimate
        Recall of each class, in the order of the classes; NaN where no source of a class was tested.
    elsewhere : bool
        Whether its predictions were made elsewhere.
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
    views: int = 1
    recalls: tuple[Estimate, ...] = ()
    elsewhere: bool = False

    @property
    def answer_costs(self) -> dict[str, float]:
        """The costs, those of answering for a scored answer, which takes all its views.

        Examples
        --------
        >>> cost = {"macs": 1e6, "inference_images_per_second": 80.0, "parameters": 5.0}
        >>> Row("a", (1,), 1, 9, {}, cost, None, {}, (), "ok", "a", views=8).answer_costs
        {'macs': 8000000.0, 'inference_images_per_second': 10.0, 'parameters': 5.0}
        """
        factors = {"macs": self.views, "inference_images_per_second": 1 / self.views}
        return {name: factors.get(name, 1) * value for name, value in self.cost.items()}


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
class Sentence:
    """A sentence of an answer.

    Attributes
    ----------
    text : str
        With its full stop.
    of_pairs : bool
        Whether it is about a single pair of networks, or says where others of that kind stand.
    """

    text: str
    of_pairs: bool = False


@dataclass(frozen=True)
class Comparison(Tabular):
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
    sentences : tuple of Sentence
        The answer: the best network, its pairs, what limits the comparison, what went wrong.
    known : KnownScores or None
        The networks on the sources whose class several catalogues agree on; None where none is known, or nobody asked.
    maybe_best : tuple of str
        Networks that may be the best: no other is told to be better, in one study of twenty wrongly.
    looks : int
        How often the pairs were to be compared, at most, while seeds were added to undecided ones; p-values count it.
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
    sentences: tuple[Sentence, ...] = ()
    known: KnownScores | None = None
    maybe_best: tuple[str, ...] = ()
    looks: int = 1

    @property
    def words(self) -> tuple[str, ...]:
        """The answer, as texts."""
        return tuple(sentence.text for sentence in self.sentences)

    @property
    def untested(self) -> tuple[str, ...]:
        """Classes of which no network was tested on a source."""
        counts = [row.confusion.sum(axis=1) for row in self.rows if row.confusion is not None]
        sources = np.sum(counts, axis=0) if counts else np.ones(len(self.classes))
        return tuple(name for name, n in zip(self.classes, sources, strict=True) if not n)

    def table(self) -> dict[str, NDArray[Any]]:
        """Give the numbers of every network.

        Returns
        -------
        dict of str to ndarray, shape (n,)
            A row for each network. ``network`` and ``status``; ``seeds``, ``test_sources`` and ``views``, which are
            numbers. The mean of every metric under its name and, where it is known, the recall of every class as
            ``recall_CLASS``: fractions, each with its ``_spread``, ``_low`` and ``_high``, as in `PARTS`. Every cost,
            of a scored answer with all its views (`Row.answer_costs`), in SI units. NaN stands for what is not known.
        """
        found: dict[str, list[Estimate | None]] = {
            name: [row.metrics.get(name) for row in self.rows] for row in self.rows for name in row.metrics
        }
        if any(row.recalls for row in self.rows):
            for k, name in enumerate(self.classes):
                found[f"recall_{name}"] = [row.recalls[k] if row.recalls else None for row in self.rows]
        costs = [row.answer_costs for row in self.rows]
        return {
            "network": np.array([row.network for row in self.rows], dtype=str),
            "status": np.array([row.status for row in self.rows], dtype=str),
            "seeds": np.array([row.n_seeds for row in self.rows], dtype=int),
            "test_sources": np.array([row.n_test for row in self.rows], dtype=int),
            "views": np.array([row.views for row in self.rows], dtype=int),
            **{
                name + ending: np.array([getattr(each, part, np.nan) for each in own], dtype=float)
                for name, own in found.items()
                for part, ending in PARTS.items()
            },
            **{
                name: np.array([own.get(name, np.nan) for own in costs], dtype=float)
                for name in dict.fromkeys(name for own in costs for name in own)
            },
        }

    def _repr_html_(self) -> str:
        card = find_metric(self.metric)
        rows = [self._shown(row, card) for row in self.rows]
        return html_table(f"Comparison by {card.words}", rows, self.words)

    def _shown(self, row: Row, card: MetricCard) -> dict[str, str]:
        own = scale(card.scale)
        found = row.metrics.get(self.metric, Estimate(np.nan, np.nan, np.nan, np.nan, ()))
        spread = f" ± {own.show(found.spread)}" if is_number(found.spread) else ""
        interval = f"{own.show(found.low)} – {own.show(found.high)}" if is_number(found.low) else NONE
        return {
            "network": row.network,
            own.heading(card.short): f"{own.show(found.mean)}{spread}",
            f"{100 * self.confidence:g} % interval": interval,
            "seeds": str(row.n_seeds),
            "parameters": count(row.cost.get("parameters")),
            "remarks": "; ".join(row.notes),
        }
