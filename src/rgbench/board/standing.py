"""How the entries of a task stand to each other: every number from the predictions, by the code of the reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rgbench.board.entries import Entry, Field
from rgbench.comparison.ranking import RankInterval, ranks_of
from rgbench.comparison.results import Comparison, Row
from rgbench.comparison.robustness import ConditionScore, score_conditions, stressed_run
from rgbench.comparison.second_views import STANDARD
from rgbench.comparison.summary import compare
from rgbench.comparison.words.second_views import with_second_views
from rgbench.errors import SpecError
from rgbench.measures.cards import MAIN, MetricCard
from rgbench.measures.catalogue import metrics
from rgbench.store.store import RunRecord
from rgbench.store.tables import Predictions
from rgbench.tasks.catalogue import Task
from rgbench.tasks.check import in_terms_of


@dataclass(frozen=True)
class Place:
    """An entry with all that was found of it.

    Attributes
    ----------
    entry : Entry
        The entry.
    row : Row
        Its scores and costs.
    ranks : RankInterval or None
        Its possible ranks, and the letters of its tie groups; None where it is not compared.
    conditions : tuple of ConditionScore
        How it does on disturbed and on second images; none where its runs were not all tested on them.
    """

    entry: Entry
    row: Row
    ranks: RankInterval | None
    conditions: tuple[ConditionScore, ...]

    @property
    def groups(self) -> str:
        """Letters of its tie groups; "" for none."""
        return self.ranks.group if self.ranks else ""

    @property
    def second(self) -> ConditionScore | None:
        """How it does on another image of the same sources."""
        return next((score for score in self.conditions if score.condition == STANDARD), None)

    def worst(self, metric: str) -> ConditionScore | None:
        """Give the condition, other than second images and rotations, under which it loses most in a metric."""
        others = [s for s in self.conditions if s.condition.family not in (STANDARD.family, "rotation")]
        return max(others, key=lambda score: score.drops[metric][0], default=None)


@dataclass(frozen=True)
class Standing:
    """The entries of a task beside each other.

    Attributes
    ----------
    task : Task
        The task.
    comparison : Comparison
        All entries, by their labels.
    places : tuple of Place
        Best first; those that learnt nothing last.
    notes : tuple of str
        What was left out or is odd, in sentences.
    """

    task: Task
    comparison: Comparison
    places: tuple[Place, ...]
    notes: tuple[str, ...]

    @property
    def card(self) -> MetricCard:
        """The metric of the task."""
        return metrics().get(self.task.metric)

    @property
    def condition_metric(self) -> str:
        """The metric in which disturbed images are scored: that of the task, if it is one of recognition."""
        return self.task.metric if self.card.is_recognition else MAIN

    @property
    def groups(self) -> dict[str, list[str]]:
        """Labels of the entries of each tie group, by its letter, best first; one entry may be in several."""
        found: dict[str, list[str]] = {}
        for place in self.places:
            for letter in letters(place.groups):
                found.setdefault(letter, []).append(place.entry.label)
        return dict(sorted(found.items(), key=lambda item: (len(item[0]), item[0])))


def letters(group: str) -> list[str]:
    """Part the letters of tie groups, which have numbers behind them when there are many.

    Examples
    --------
    >>> letters("abz1")
    ['a', 'b', 'z1']
    """
    found: list[str] = []
    for character in group:
        if character.isdigit() and found:
            found[-1] += character
        else:
            found.append(character)
    return found


def stand(field: Field) -> Standing:
    """Compare the entries of a task.

    Parameters
    ----------
    field : Field
        The entries.

    Returns
    -------
    Standing
        Whatever the bundles say of scores is not asked.
    """
    task = field.task
    runs = {entry.label: entry.comparable(task) for entry in field.entries}
    records = [record for own in runs.values() for record in own]
    conditions, notes = _conditions(field, runs)
    found = compare(records, metric=task.metric)
    found = with_second_views(
        found, records, {key: each for own in conditions.values() for key, each in own.items()}
    )
    ranks = {each.network: each for each in ranks_of(found)}
    entries = {entry.label: entry for entry in field.entries}
    places = tuple(
        Place(
            entries[row.network],
            row,
            ranks.get(row.network),
            _scores(runs[row.network], conditions.get(row.network, {}), found.confidence),
        )
        for row in found.rows
    )
    return Standing(task, found, places, (*field.notes, *notes))


def _conditions(
    field: Field, runs: Mapping[str, list[RunRecord]]
) -> tuple[dict[str, dict[str, Predictions]], list[str]]:
    """Give predictions on other images of each entry, by run id, where all its runs have them, and what is wrong."""
    kept, notes = {}, []
    for entry in field.entries:
        known = entry.bundle.conditions
        if not all(record.run_id in known for record in entry.records):
            continue
        own = {record.run_id: in_terms_of(field.task, known[record.run_id]) for record in entry.records}
        try:
            for record in runs[entry.label]:
                stressed_run(record, own[record.run_id])
        except SpecError as error:
            notes.append(f"Of {entry.label} nothing is said on other images: {error}.")
        else:
            kept[entry.label] = own
    return kept, notes


def _scores(
    runs: list[RunRecord], conditions: Mapping[str, Predictions], confidence: float
) -> tuple[ConditionScore, ...]:
    if not conditions:
        return ()
    stressed = [stressed_run(record, conditions[record.run_id]) for record in runs]
    # None is left if a package is not here that brought all that was done to the images.
    return tuple(score_conditions(stressed, confidence)) if all(run.disturbed for run in stressed) else ()
