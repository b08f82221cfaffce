"""Networks across the data sets of a store: mean ranks, what tells them apart, and which sets share sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from rgbench import numbers
from rgbench.comparison.results import Comparison, Row
from rgbench.comparison.shared_sources import SetSources, Shared, distinct_sets, shared_sources
from rgbench.numbers import Scale, listed
from rgbench.report.blocks import Figure, LeftOut, Section, Table
from rgbench.report.cells import NO_CELL, Cell, chance, difference, span
from rgbench.report.draw.cd_diagram import cd_diagram
from rgbench.report.material import Runs, Setting
from rgbench.report.sections.differences import EQUAL, LARGEST
from rgbench.seeds import numpy_generator
from rgbench.statistics.rank_tests import friedman, friedman_permutation, nemenyi, sets_needed, signed_rank

Floats = NDArray[np.float64]
FEWEST = 3
"""Data sets, and networks, from which Friedman's test is made."""
_DRAWS = 20_000
_NOTES = (
    "The unit is the data set: every network has one number on each, its {metric}, a mean over the seeds. Sets of one "
    "protocol count, each with its own classes, so that ranks are compared, not percentages. A network that "
    "failed on a set has the lowest rank there.",
    "Friedman's test asks whether the networks differ at all; its p-value is by permutation of the ranks, as "
    "chi-squared and F are limits for many data sets. Nemenyi's critical difference is for all pairs at once "
    "(Demsar 2006, JMLR 7, 1). The Bayesian signed-rank test (Benavoli et al. 2017, JMLR 18, 77) gives the "
    "chance that one network is better on a further data set like these, by more than {region}, or that both are as "
    "good as equal. All three take data sets for independent draws: sets that share sources, labels or a survey "
    "are not, and the tests are then surer than they should be.",
)


@dataclass(frozen=True)
class _Set:
    """A data set that counts: its comparison and its setting."""

    name: str
    comparison: Comparison
    setting: Setting

    def row(self, network: str) -> Row:
        """Give the row of a network."""
        return next(row for row in self.comparison.rows if row.network == network)


def section(runs: Runs) -> Section | LeftOut:
    """Compare the networks over the data sets of the store; left out if it holds one comparison only."""
    if not runs.beside.elsewhere:
        return LeftOut("Other data sets", "the store holds runs on one data set only; train on another one")
    sets, left = _chosen(runs)
    networks = [row.network for row in runs.main.rows if all(_has(each, row.network) for each in sets)]
    if len(sets) < 2 or len(networks) < 2:
        return _nothing(sets, left)
    scores = _scores(sets, networks, runs)
    ranks = rankdata(-scores, axis=1).mean(axis=0)
    order = np.argsort(ranks, kind="stable")
    networks, scores, ranks = [networks[i] for i in order], scores[:, order], ranks[order]
    shared = shared_sources([SetSources(each.name, each.setting.all, each.setting.test) for each in sets])
    return Section(
        anchor="across",
        menu="Across sets",
        title="Does the order hold on other data?",
        finding=_order_words(networks, ranks, scores),
        sentences=(
            *_tests(scores),
            *_independence([each.name for each in sets], shared),
            *(f"Not counted: {reason}." for reason in left),
        ),
        figures=_figures(networks, scores),
        tables=(
            _score_table(sets, networks, ranks, runs),
            _pair_table(networks, scores, runs.scale),
            _shared_table(shared),
        ),
        notes=(
            *(note.format(metric=runs.card.short, region=_region(runs.scale)) for note in _NOTES),
            *_sign(runs),
        ),
        cites=("Demsar2006", "Friedman1937", "Benavoli2017"),
    )


def _sign(runs: Runs) -> tuple[str, ...]:
    """Say which way differences are taken where a lower value is better."""
    if runs.card.higher_is_better:
        return ()
    return (
        f"{runs.card.short} is better where it is lower; a difference above 0 favours the first all the same.",
    )


def _region(scale: Scale) -> str:
    return numbers.points(EQUAL) if scale is numbers.PERCENT else f"{EQUAL:g}"


def _chosen(runs: Runs) -> tuple[list[_Set], list[str]]:
    """Choose the data sets that count as repetitions of this report's, and say why others do not."""
    own = Setting.of(runs.complete, runs.beside.data)
    chosen, left = [_Set(own.data, runs.main, own)], []
    for name, comparison in runs.beside.elsewhere.items():
        other = _Set(name, comparison, runs.beside.settings.get(name, Setting(name, own.protocol)))
        if reason := _why_not(other, chosen):
            left.append(f"{name}, {reason}")
        else:
            chosen.append(other)
    return chosen, left


def _why_not(other: _Set, chosen: Sequence[_Set]) -> str:
    """Say why runs are no further data set beside those chosen, of which the first is the report's; "" if they are."""
    first, setting = chosen[0], other.setting
    if setting.protocol != first.setting.protocol:
        return f"of protocol {setting.protocol} where this report is of {first.setting.protocol}"
    if setting.data in {each.setting.data for each in chosen}:
        return f"tested on sources of {setting.data}, which counts already"
    if len({row.network for row in other.comparison.rows if _has(first, row.network)}) < 2:
        return "which has fewer than two networks of this report"
    if all(row.status != "ok" for row in other.comparison.rows):
        return "on which no network has learnt anything"
    return ""


def _nothing(sets: Sequence[_Set], left: Sequence[str]) -> Section:
    """Say that nothing can be compared, and why."""
    why = (
        f"No two networks were run on all of {listed([each.name for each in sets])}."
        if len(sets) > 1
        else f"One data set only, {sets[0].name}, so nothing can be said of others."
    )
    return Section(
        anchor="across",
        menu="Across sets",
        title="Does the order hold on other data?",
        sentences=(
            why,
            *(f"Not counted: {reason}." for reason in left),
            f"Friedman's test needs {FEWEST} networks that were run on {FEWEST} data sets or more.",
        ),
    )


def _has(each: _Set, network: str) -> bool:
    return any(row.network == network for row in each.comparison.rows)


def _value(row: Row, metric: str) -> float:
    """Give a network's score on a data set; NaN if all its runs failed."""
    return row.metrics[metric].mean if metric in row.metrics else float("nan")


def _scores(sets: Sequence[_Set], networks: Sequence[str], runs: Runs) -> Floats:
    """Give the scores, shape (sets, networks), negative where lower is better: higher is better in all.

    One that failed has the score of chance, or the lowest if that is less; the lowest, where chance has none.
    """
    sign = 1 if runs.card.higher_is_better else -1
    scores = np.array(
        [[sign * _value(each.row(name), runs.main.metric) for name in networks] for each in sets]
    )
    if runs.card.scale == numbers.PERCENT.name and sign > 0:
        guess = np.array([1 / max(len(each.comparison.classes), 1) for each in sets])
    else:
        guess = np.where(np.isfinite(scores).any(axis=1), np.inf, 0.0)
    worst = np.minimum(guess, np.nanmin(np.column_stack([scores, guess]), axis=1) - 1e-6)
    return np.where(np.isfinite(scores), scores, worst[:, None])


def _order_words(networks: Sequence[str], ranks: Floats, scores: Floats) -> str:
    pairs = list(combinations(range(len(networks)), 2))
    signs = [set(np.sign(scores[:, i] - scores[:, j])) for i, j in pairs]
    held = sum(len(found) == 1 for found in signs)
    best = [name for name, rank in zip(networks, ranks, strict=True) if rank <= ranks[0] + 1e-9]
    return (
        f"On {len(scores)} data sets {listed(best)} {'have' if best[1:] else 'has'} the best mean rank, "
        f"{ranks[0]:.2f} among {len(networks)}; "
        f"{held} of {len(pairs)} pairs of networks {'stands' if held == 1 else 'stand'} in the same order on every one."
    )


def _tests(scores: Floats) -> tuple[str, ...]:
    """Say what the tests of all networks at once give, or what they would need."""
    n, k = scores.shape
    if k < FEWEST:
        return (f"Two networks only: Friedman's test needs {FEWEST} or more; the pair stands below.",)
    need = (
        f"For {k} networks Nemenyi's test can tell the first from the last from {sets_needed(k, k - 1)} data sets "
        f"on, and neighbours from {sets_needed(k, 1)} on, if the order is the same on all."
    )
    if n < FEWEST:
        return (
            f"Two data sets are too few for Friedman's test: no test over data sets is made. {need} What can be "
            "said is said of each data set by itself, in its own report; the chances of pairs below rest on two "
            "numbers and a prior that weighs half a data set.",
        )
    test, generator = friedman(scores), numpy_generator(0, "bootstrap", of="ranks")
    p_value = friedman_permutation(scores, generator, _DRAWS)
    verdict = "the networks differ" if p_value < 0.05 else "no difference between the networks is shown"
    known, better = numbers.p_value(test.p_value), numbers.p_value(test.f_p_value)
    limits = f"by its limit for many data sets {known}, Iman and Davenport's {better}"
    return (f"Friedman's test: {verdict}, p = {numbers.p_value(p_value)} by permutation ({limits}).", need)


def _independence(names: Sequence[str], shared: Sequence[Shared]) -> tuple[str, ...]:
    """Say which data sets share sources, for then they are not independent."""
    common = [each for each in shared if each.tested]
    unknown = [f"{each.first} with {each.second}" for each in shared if each.tested is None]
    said = [
        f"{each.tested:,} test sources of {each.first} are test sources of {each.second} too: these two are not "
        "independent."
        for each in common
    ]
    if common:
        said.append(
            f"Counting sets that share test sources as one leaves {distinct_sets(names, shared)} of the "
            f"{len(names)} data sets{', at most' if unknown else ''}."
        )
    if unknown:
        said.append(f"Without positions it is not known which sources these share: {listed(unknown)}.")
    if not common and not unknown:
        said.append("No test source stands in two of the data sets.")
    trained = [each for each in shared if each.all and not each.tested]
    if trained:
        pairs = listed([f"{each.first} and {each.second} ({each.all:,})" for each in trained])
        said.append(f"Sources of other sides, by which networks are trained, are shared by {pairs}.")
    return tuple(said)


def _figures(networks: Sequence[str], scores: Floats) -> tuple[Figure, ...]:
    if min(scores.shape) < FEWEST:
        return ()
    test = nemenyi(scores)
    groups = [" ".join(networks[i] for i in group) for group in test.groups]
    label = "; ".join(f"{name} {rank:.2f}" for name, rank in zip(networks, test.ranks, strict=True))
    apart = "Bars join networks that Nemenyi's test does not tell apart at 0.05."
    return (
        Figure(
            "critical-difference",
            f"Mean ranks over {len(scores)} data sets",
            cd_diagram(networks, test, f"Mean ranks: {label}"),
            apart if groups else "All networks are told apart by Nemenyi's test at 0.05.",
            ("network", "mean rank", "critical difference", "not told apart from"),
            tuple(
                (name, float(test.ranks[i]), test.critical_difference, _others(networks, test.p_values[i], i))
                for i, name in enumerate(networks)
            ),
        ),
    )


def _others(networks: Sequence[str], p_values: Floats, own: int) -> str:
    return ", ".join(name for j, name in enumerate(networks) if j != own and p_values[j] >= 0.05)


def _score_table(sets: Sequence[_Set], networks: Sequence[str], ranks: Floats, runs: Runs) -> Table:
    columns, short = ["network", "mean rank"], runs.card.short
    for each in sets:
        columns += [f"{each.name}: {runs.scale.heading(short)}", f"{each.name}: 95 % interval"]
    rows = [
        (
            Cell(name),
            Cell(f"{rank:.2f}", float(rank)),
            *(cell for each in sets for cell in _score_cells(each.row(name), runs)),
        )
        for name, rank in zip(networks, ranks, strict=True)
    ]
    title = f"{numbers.capital(short)} on every data set"
    return Table("across-sets", title, tuple(columns), tuple(rows))


def _score_cells(row: Row, runs: Runs) -> tuple[Cell, Cell]:
    if runs.main.metric not in row.metrics:
        return Cell(row.status), NO_CELL
    found = row.metrics[runs.main.metric]
    mark = "" if row.status == "ok" else f" ({row.status})"
    return (
        Cell(f"{runs.scale.show(found.mean)}{mark}", found.mean, scale=runs.scale),
        span(found.low, found.high, runs.scale),
    )


def _pair_table(networks: Sequence[str], scores: Floats, scale: Scale) -> Table:
    columns = (
        "first", "second", scale.differences("mean difference"), "first better", "practically equal", "second better",
    )  # fmt: skip
    rows = []
    for i, j in combinations(range(min(len(networks), LARGEST)), 2):
        d = scores[:, i] - scores[:, j]
        chances = signed_rank(
            d, numpy_generator(0, "bootstrap", first=networks[i], second=networks[j]), EQUAL, draws=_DRAWS
        )
        shares = (chance(p) for p in (chances.right, chances.rope, chances.left))
        rows.append((Cell(networks[i]), Cell(networks[j]), difference(float(d.mean()), scale), *shares))
    title = "Every pair, by the Bayesian signed-rank test"
    return Table("across-pairs", title, columns, tuple(rows), frozenset({1}))


def _shared_table(shared: Sequence[Shared]) -> Table:
    columns = ("data set", "and", "test sources in both", "sources in both")
    rows = [(Cell(each.first), Cell(each.second), _count(each.tested), _count(each.all)) for each in shared]
    return Table(
        "across-shared",
        "Sources of the first within 10 arcsec of one of the second",
        columns,
        tuple(rows),
        frozenset({1}),
    )


def _count(value: int | None) -> Cell:
    return Cell("not known" if value is None else f"{value:,}", value)
