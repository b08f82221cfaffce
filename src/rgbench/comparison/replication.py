"""Do our runs contradict what a paper reports? A verdict for each published number.

The rule stands in the notes of `compare_with`. Values are fractions; a difference is ours minus the published one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import hypot, isfinite, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from rgbench.comparison.published import PER_CLASS, Paper, Test, Value
from rgbench.measures.catalogue import measure, metrics
from rgbench.measures.classification import per_class
from rgbench.seeds import numpy_generator
from rgbench.statistics.intervals import resampled, stratified_weights
from rgbench.statistics.significance import Interval, score_mean_interval
from rgbench.store.store import RunRecord
from rgbench.store.tables import Predictions

SHARES = ("accuracy", "mpca", "macro_f1", "macro_f1_2021", *PER_CLASS)
"""Metrics whose noise from test sources is that of a share of sources, nearly or exactly."""
POWER = 0.8
SET_ASIDE = 0.01
"""Share of the published test sources that may be missing here, as unusable images are set aside."""
_RESAMPLES = 1000
_HALVINGS = 50
MARGIN = 0.05
"""Shares that differ by less, 5 points, are called equivalent."""
_Kind = Literal["equivalent", "not contradicted", "below", "above", "cannot be said"]


@dataclass(frozen=True)
class Found:
    """What runs of one network reach here on one test set.

    Attributes
    ----------
    data : str
        Data set; a set tested on another is no registered name.
    splits : tuple of str
        Splits of the runs, e.g. folds.
    metric, of_class : str
        As in `Value`.
    value : float
        Mean over the runs.
    n_test : int
        Number of test sources; for one class its own.
    values : tuple of float
        One value per split where there are several, else one per run.
    source_error : float or None
        Standard error that the test sources bring; None has it follow from their number, as for a share.
    """

    data: str
    splits: tuple[str, ...]
    metric: str
    value: float
    n_test: int
    values: tuple[float, ...] = ()
    of_class: str = ""
    source_error: float | None = None


@dataclass(frozen=True)
class Verdict:
    """Whether ours contradicts a published number.

    Attributes
    ----------
    title, network : str
        Whose the published number is; the network of ours, empty if there is none.
    value : Value
        The published number.
    kind : {"equivalent", "not contradicted", "below", "above", "cannot be said"}
        Ours against the published one, as numbers: below is better where lower is better. "not contradicted" says
        only that no difference was found; "equivalent" that it is smaller than `MARGIN`.
    replicates : bool
        Whether it is a replication, and no comparison of other methods.
    reason : str
        Why it cannot be said, if so.
    ours, difference : Interval or None
        Ours, and ours minus the published one; None if it cannot be said.
    p_value : float
        Two-sided; NaN if it cannot be said.
    resolvable : float
        Smallest difference that this would have shown in 80 % of the cases, infinite if none; NaN if it cannot be said.
    n_test, n_published : int, int or None
        Test sources here, and those that are published; None where their number is not said.
    runs : int
        Runs, or folds, of ours.
    """

    title: str
    network: str
    value: Value
    kind: _Kind
    replicates: bool = False
    reason: str = ""
    ours: Interval | None = None
    difference: Interval | None = None
    p_value: float = float("nan")
    resolvable: float = float("nan")
    n_test: int = 0
    n_published: int | None = None
    runs: int = 0


def compare_with(
    paper: Paper, found: Mapping[str, Sequence[Found]], confidence: float = 0.95
) -> list[Verdict]:
    """Say per number of a paper whether ours contradicts it.

    Parameters
    ----------
    paper : Paper
        Its numbers.
    found : mapping of str to sequence of Found
        What was found here, by the registered name of the network, e.g. of `found_in`.
    confidence : float
        Coverage of the intervals, in (0, 1).

    Returns
    -------
    list of Verdict
        One for each number and each network of ours that is set against it; what cannot be compared says why.

    Notes
    -----
    Ours differs if the interval of the difference excludes 0. Its half width is the square root of a sum of squares
    (MOVER, Zou & Donner 2008) of four parts, two for either side: the score interval for other test sources (Wilson
    1927), with as many sources as would make the given standard error where one is given; and Student's t times
    the standard error of the mean over runs. Folds share training sources: the variance of their mean is (1/k + 1/(k -
    1)) times that of the k values, not 1/k (Nadeau & Bengio 2003). What a paper does not give is not counted: the
    noise of its test sources if it does not say their number, that of its runs without their scatter.

    Up to one in a hundred of the test sources may be missing here, images that hold nothing. What they could change at
    most, were all of them right or all wrong, is added to the interval on both sides.

    Both sides may have the same test sources, which would make the difference less uncertain, but one would need the
    paper's answers to each source. So this test is rather too cautious, and `resolvable` is what it could have seen in
    80 % of the cases. It is applied to each number by itself: of numbers that agree in truth, up to one in twenty will
    not seem to.

    That no difference was found does not show that there is none. Shares are called equivalent only if two one-sided
    tests, each at 5 %, reject a difference of `MARGIN` or more to either side: if the interval of 90 % lies between
    -`MARGIN` and `MARGIN` (TOST, Schuirmann 1987), and all that could make it wider is known: the number of test
    sources there and the scatter of the runs on both sides. That takes a thousand test sources, or a very high score.

    Examples
    --------
    >>> from rgbench.comparison.published import find_paper
    >>> folds = ("fold-0", "fold-1", "fold-2", "fold-3", "fold-4")
    >>> ours = Found("first-galaxy-data", folds, "accuracy", 0.79, 400, (0.78, 0.79, 0.79, 0.79, 0.80))
    >>> verdicts = compare_with(find_paper("rustige2023"), {"convxpress": [ours]})
    >>> from rgbench.comparison.words.replication import verdict
    >>> next(verdict(v) for v in verdicts if v.kind != "cannot be said")
    'Accuracy of CNN + wGAN (lambda 3): published 0.8135 ± 0.008; ours (convxpress) 0.790 (95 % interval 0.745 to
    0.829, 400 sources, 5 runs): not contradicted; 0.084 is the smallest difference that this would most likely have
    shown'
    """
    verdicts = []
    for test in paper.tests:
        for value in test.values:
            for network in value.networks or ("",):
                own = found.get(network, ())
                reason = _why_not(value, test, own) if network else "this network is not registered here"
                if reason:
                    said = Verdict(value.title, network, value, "cannot be said", reason=reason)
                else:
                    ours = next(f for f in own if _same(value, test, f))
                    said = _judged(value, network, ours, _n_test(value, test), confidence)
                verdicts.append(replace(said, replicates=test.kind == "replication"))
    return verdicts


def found_in(records: Sequence[RunRecord], model: str = "best") -> dict[str, list[Found]]:
    """Gather what complete runs reach on their test sources, in all metrics and per class, by network.

    Runs on fewer training sources than there are take no part. Runs of several folds give one value per fold,
    the mean over its seeds, since seeds on one fold are no new folds.

    Parameters
    ----------
    records : sequence of RunRecord
        Runs of one protocol; another recipe of the same network would be averaged with the first.
    model : {"best", "final"}
        Which model of each run.
    """
    groups: dict[tuple[str, str, str], list[RunRecord]] = {}
    for record in records:
        data = record.spec.data
        if record.status == "complete" and record.predictions is not None and data.train_limit is None:
            name = f"{data.name} tested on {data.test}" if data.test else data.name
            split = "folds" if data.split.startswith("fold-") else data.split
            groups.setdefault((record.spec.network.name, name, split), []).append(record)
    found: dict[str, list[Found]] = {}
    for (network, data_name, _), own in groups.items():
        tests = [r.predictions.select("test", model) for r in own if r.predictions is not None]
        splits = [r.spec.data.split for r in own]
        found.setdefault(network, []).extend(_measured(data_name, splits, tests))
    return found


def _measured(data: str, splits: Sequence[str], tests: Sequence[Predictions]) -> list[Found]:
    """Measure runs of one network on one test set in all metrics."""
    names, first = tuple(dict.fromkeys(splits)), tests[0]

    def of(metric: str, values: list[float], n: int, of_class: str = "", error: float | None = None) -> Found:
        apart = [
            float(np.mean([v for v, s in zip(values, splits, strict=True) if s == name])) for name in names
        ]
        shown = apart if len(names) > 1 else values
        return Found(data, names, metric, float(np.mean(shown)), n, tuple(shown), of_class, error)

    errors = _source_errors(tests)
    scores = [test.log_probabilities() for test in tests]
    measured = [measure(x.label, s).values for x, s in zip(tests, scores, strict=True)]
    found = [
        of(name, [own[name] for own in measured], len(first), error=errors.get(name))
        for name in metrics().names()
    ]
    classes = [per_class(x.label, s) for x, s in zip(tests, scores, strict=True)]
    for k, of_class in enumerate(first.classes):
        n = int(np.sum(first.label == k))
        found += [of(name, [float(c[name][k]) for c in classes], n, of_class) for name in PER_CLASS if n]
    return found


def _source_errors(tests: Sequence[Predictions]) -> dict[str, float]:
    """Give standard errors that test sources bring to means over runs, by bootstrap; none if tests differ."""
    ordered = [test.take(np.argsort(test.source_id)) for test in tests]
    y = ordered[0].label
    if any(not np.array_equal(x.source_id, ordered[0].source_id) for x in ordered):
        return {}
    weights = stratified_weights(y, _RESAMPLES, numpy_generator(0, "bootstrap"))
    errors = {}
    for name, card in metrics():
        drawn: list[NDArray[np.float64] | None] = [
            resampled(card, y, x.log_probabilities(), weights) for x in ordered
        ]
        known = [values for values in drawn if values is not None]
        if known and name != "accuracy":
            errors[name] = float(np.std(np.mean(known, axis=0), ddof=1))
    return errors


def _judged(value: Value, network: str, found: Found, n: int | None, confidence: float) -> Verdict:
    difference = _difference(value, found, n, confidence)
    kind: _Kind = "equivalent" if _equivalent(value, found, n, confidence) else "not contradicted"
    if difference.separable:
        kind = "above" if difference.value > 0 else "below"
    half = (difference.high - difference.low) / 2
    resolvable = half * float(1 + norm.ppf(POWER) / norm.ppf((1 + confidence) / 2))
    return Verdict(
        value.title,
        network,
        value,
        kind,
        ours=_within(_ours(found, confidence), *_range(found.metric)),
        difference=_within(difference, -_width(found.metric), _width(found.metric)),
        p_value=_p_value(value, found, n),
        resolvable=resolvable if resolvable <= _width(found.metric) else float("inf"),
        n_test=found.n_test,
        n_published=n,
        runs=len(found.values),
    )


def _equivalent(value: Value, found: Found, n: int | None, confidence: float) -> bool:
    """Tell whether two one-sided tests reject every difference of a share as large as the margin."""
    counted = n is not None and value.uncertainty is not None and len(found.values) > 1
    if found.metric not in SHARES or value.relation != "exactly" or not counted:
        return False
    inner = _difference(value, found, n, 2 * confidence - 1)
    return inner.low > -MARGIN and inner.high < MARGIN


def _difference(value: Value, found: Found, n: int | None, confidence: float) -> Interval:
    """Give the interval of ours minus the published number."""
    ours = _ours(found, confidence)
    there = _limits(value.value, n, found, _published_runs(value), confidence)
    d = found.value - value.value
    missing = _missing(found, n)
    low = d - hypot(found.value - ours.low, there[1] - value.value) - missing
    high = d + hypot(ours.high - found.value, value.value - there[0]) + missing
    return Interval(d, low, high, confidence)


def _missing(found: Found, n: int | None) -> float:
    """Give what the published test sources that are missing here could change at most."""
    return (n - found.n_test) / n * _width(found.metric) if n is not None and n > found.n_test else 0.0


def _width(metric: str) -> float:
    low, high = _range(metric)
    return high - low


def _range(metric: str) -> tuple[float, float]:
    """Give the smallest and the largest value of a metric; those of one class are shares."""
    return metrics().get(metric).value_range if metric in metrics() else (0.0, 1.0)


def _within(span: Interval, least: float, most: float) -> Interval:
    """End an interval where no value can lie."""
    return replace(span, low=max(span.low, least), high=min(span.high, most))


@dataclass(frozen=True)
class _Runs:
    """Standard error of a mean over runs, and its degrees of freedom; 0 for a known one."""

    error: float
    degrees: int = 0

    def half(self, confidence: float) -> float:
        """Give the half width that runs alone would give the interval."""
        tail = (1 + confidence) / 2
        return self.error * float(t.ppf(tail, self.degrees) if self.degrees else norm.ppf(tail))


def _ours(found: Found, confidence: float) -> Interval:
    low, high = _limits(found.value, found.n_test, found, _our_runs(found), confidence)
    return Interval(found.value, low, high, confidence)


def _limits(
    centre: float, n: int | None, found: Found, runs: _Runs, confidence: float
) -> tuple[float, float]:
    """Give the interval of a value, for other test sources (n of them, None if not known) and other runs."""
    low = high = centre
    if n is not None:
        low, high = _source_limits(centre, n, found, float(norm.ppf((1 + confidence) / 2)))
    half = runs.half(confidence)
    return centre - hypot(centre - low, half), centre + hypot(high - centre, half)


def _source_limits(centre: float, n: int, found: Found, z: float) -> tuple[float, float]:
    """Give the interval for n other test sources, whose noise per source is that of what was found here."""
    error = found.source_error
    if found.metric not in SHARES:
        half = z * float(error or 0.0) * sqrt(found.n_test / n)
        return centre - half, centre + half
    spread = found.value * (1 - found.value)
    # As many sources as would make this error of a share; classes of unequal size make them fewer than n.
    like = spread / error**2 * n / found.n_test if error and spread > 0 else float(n)
    low, high = score_mean_interval(np.array([centre * like]), np.array([like]), z)
    return float(low), float(high)


def _our_runs(found: Found) -> _Runs:
    k = len(found.values)
    if k < 2:
        return _Runs(0.0)
    folds = len(found.splits) > 1
    return _Runs(float(np.std(found.values, ddof=1)) * _of_mean(k, folds), k - 1)


def _published_runs(value: Value) -> _Runs:
    if value.uncertainty is None:
        return _Runs(0.0)
    said, k = value.uncertainty_is or "", value.repeats or 0
    if "standard deviation" not in said or k < 2:
        z = float(norm.ppf(0.975)) if said.startswith("half width") else 1.0
        return _Runs(value.uncertainty / z)
    sample = sqrt(k / (k - 1)) if said.startswith("population") else 1.0
    return _Runs(value.uncertainty * sample * _of_mean(k, said.endswith("folds")), k - 1)


def _of_mean(k: int, folds: bool) -> float:
    """Give the standard error of a mean of k values over their standard deviation."""
    return sqrt(1 / k + 1 / (k - 1)) if folds else sqrt(1 / k)


def _p_value(value: Value, found: Found, n: int | None) -> float:
    """Search the confidence at which the interval of the difference ends at 0."""
    inside, outside = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        separable = middle == 1 or _difference(value, found, n, middle).separable
        inside, outside = (middle, outside) if separable else (inside, middle)
    return 1 - inside


def _why_not(value: Value, test: Test, found: Sequence[Found]) -> str:
    """Say why a number cannot be compared with what was found; empty if it can."""
    if value.relation == "above":
        return "only a bound is published"
    if test.differs:
        return f"the splits differ: {test.differs}"
    own = [f for f in found if (f.metric, f.of_class) == (value.metric, value.of_class)]
    if not own:
        return f"{value.metric} was not measured here" if found else "there is no run of it here"
    there = [f for f in own if f.data == test.data]
    if not there:
        return f"the data differ: {test.data} there, {own[0].data} here"
    fitting = [f for f in there if set(f.splits) <= set(test.our_splits)]
    if not fitting:
        return f"the splits differ: {', '.join(test.our_splits)} there, {', '.join(there[0].splits)} here"
    ours = next((f for f in fitting if _same(value, test, f)), None)
    if ours is None:
        return f"the splits differ: {_n_test(value, test)} test sources there, {fitting[0].n_test} here"
    if not isfinite(ours.value):
        return "ours is not finite"
    if ours.metric not in SHARES and ours.source_error is None:
        return f"it is not known how far {value.metric} depends on the test sources"
    return ""


def _same(value: Value, test: Test, found: Found) -> bool:
    """Tell whether what was found here answers to a published number."""
    same_metric = (found.metric, found.of_class) == (value.metric, value.of_class)
    same_sources = found.data == test.data and set(found.splits) <= set(test.our_splits)
    n = _n_test(value, test) or found.n_test
    missing = n - found.n_test
    few = missing == 0 or (0 < missing <= SET_ASIDE * n and isfinite(_width(found.metric)))
    return same_metric and same_sources and few


def _n_test(value: Value, test: Test) -> int | None:
    return value.n_test or (None if value.of_class else test.n_test)
