"""Which run is best on validation sources: one rule, for the command line and for the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rgbench.errors import DataError
from rgbench.measures.cards import MAIN, Labels, Logits, MetricCard
from rgbench.measures.catalogue import find_metric
from rgbench.measures.classification import nll
from rgbench.store.store import RunRecord, Store
from rgbench.store.tables import Predictions


def validation_rank(card: MetricCard, y: Labels, scores: Logits) -> tuple[float, float]:
    """Give what sorts predictions of validation sources, the best first.

    Parameters
    ----------
    card : MetricCard
        The metric.
    y, scores : ndarray, shapes (n,) and (n, k)
        True classes and log-probabilities.

    Returns
    -------
    (float, float)
        The metric, with its sign turned if more is better; and the NLL, which decides where that is equal.

    Examples
    --------
    >>> import numpy as np
    >>> p = np.array([[0.8, 0.2], [0.4, 0.6]])
    >>> validation_rank(find_metric("mpca"), np.array([0, 1]), np.log(p))[0]
    -1.0
    """
    sign = -1 if card.higher_is_better else 1
    return round(sign * card.value(y, scores), 12), round(nll(y, scores), 12)


def best_on_validation(records: Sequence[RunRecord], metric: str = MAIN) -> RunRecord:
    """Give the complete run whose saved best model does best on validation sources; never on test sources.

    Predictions made elsewhere take no part: they have no model.

    It is judged by the predictions of the weights that are loaded, so that the run that is named is the run that
    classifies. Where the metric and the NLL are equal, the run whose id comes first is taken.

    Parameters
    ----------
    records : sequence of RunRecord
        Runs, complete or not.
    metric : str
        A registered metric.

    Raises
    ------
    DataError
        If no complete run that was trained here has predictions of validation sources.
    """
    card, found = find_metric(metric), list[tuple[tuple[float, float], str, RunRecord]]()
    for record in records:
        rows = None if record.elsewhere else validation_rows(record)
        if rows is not None:
            found.append((validation_rank(card, rows.label, rows.log_probabilities()), record.run_id, record))
    if not found:
        raise DataError("the store holds no complete run with its predictions; begin with rgbench quickstart")
    # A diverged run's metric is NaN, which would compare as equal to everything.
    return min(found, key=lambda each: (each[0][0] != each[0][0], each[0], each[1]))[2]


def validation_rows(record: RunRecord, model: str = "best") -> Predictions | None:
    """Give what a complete run's model said of labelled validation sources; None if it is not known."""
    if record.status != "complete" or record.predictions is None:
        return None
    rows = record.predictions.select("validation", model)
    rows = rows.take(rows.label >= 0)
    return rows if len(rows) else None


def chosen_run(store: Store, on_damage: Callable[[str], None] | None = None) -> RunRecord:
    """Give the run of a store that is best on validation sources.

    `on_damage` is told of runs that cannot be read, as `Store.records` says; without it they are errors.

    Raises
    ------
    DataError
        If there is no complete run.
    """
    return best_on_validation(store.records(on_damage=on_damage))
