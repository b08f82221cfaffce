"""Figures and tables of the comparison itself: the scores, the pairs, confusion, training, the runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.comparison.summary import Comparison, Row
from rgbench.report import figures, numbers, text, words
from rgbench.report.blocks import Cell, Figure, Table, Value, file_name
from rgbench.store import RunRecord

_PRIVATE = ("data.path", "data.manifest", "data.class_labels")
_SAID = ("network.name", "seed")
"""Settings that have a column of their own."""
_ALWAYS = ("network", "run", "seed", "status", "time", "peak memory", "written")
"""Columns of the runs that stand there even where all runs share them."""
_MACHINE = ("device", "precision", "machine", "versions")
_MAX_PAIRS = 15
_HISTORY = ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy", "l2", "learning_rate")
_TRADEOFFS = (
    (
        "macs",
        "Score against cost",
        "MACs per image",
        "Up is better, left is cheaper. Bars are 95 % intervals.",
    ),
    (
        "receptive_field",
        "Score against receptive field",
        "receptive field / px",
        "The theoretical receptive field of the last map, in pixels of the network's input; its share of "
        "the image is the coverage, in the CSV table. Bars are 95 % intervals.",
    ),
)


@dataclass(frozen=True)
class MainTable(Table):
    """The table of all networks, whose files hold more than it shows."""

    comparison: Comparison | None = None

    def csv(self) -> str:
        """Give every metric and cost as CSV, fractions and SI units, nothing rounded."""
        return text.comparison_csv(self.comparison) if self.comparison else super().csv()

    def latex(self) -> str:
        r"""Give the table as a LaTeX ``tabular``, what is to note beneath."""
        return text.comparison_latex(self.comparison) if self.comparison else super().latex()


def main_table(main: Comparison, data: str) -> MainTable:
    """Make the table of all networks of a comparison."""
    noted = any(row.notes for row in main.rows)
    rows = [
        (
            Cell(row.network),
            *(Cell(column.show(row), column.value(row)) for column in text.COLUMNS),
            *([Cell(text.remarks(row))] if noted else []),
        )
        for row in main.rows
    ]
    return MainTable(
        file_name("rgbench", data),
        "All networks",
        ("network", *(column.heading for column in text.COLUMNS), *(["notes"] if noted else [])),
        tuple(rows),
        frozenset({len(text.COLUMNS) + 1} if noted else ()),
        {i: row.status for i, row in enumerate(main.rows) if not text.learned(row)},
        ("", *(column.meaning for column in text.COLUMNS), *([""] if noted else [])),
        main,
    )


def ranking_figures(main: Comparison) -> list[Figure]:
    """Draw the scores with their intervals, the paired differences, and scores against costs."""
    drawn = [_scores_figure(main), _pairs_figure(main), *(_tradeoff(main, *each) for each in _TRADEOFFS)]
    return [figure for figure in drawn if figure is not None]


def _scores_figure(main: Comparison) -> Figure:
    lines = [_line(row) for row in main.rows]
    rows = [(line.name, line.middle, line.low, line.high, " ".join(map(repr, line.points))) for line in lines]
    label = f"Mean per-class accuracy: {_said(lines)}"
    return Figure(
        "mpca",
        "Mean per-class accuracy",
        figures.interval_figure(lines, "MPCA / %", label),
        "Dot: mean over the seeds. Rings: the seeds. Bar: 95 % interval of the mean. "
        "Bars may overlap although the paired test tells two networks apart.",
        ("network", "MPCA / %", "low / %", "high / %", "seeds / %"),
        tuple(rows),
    )


def _pairs_figure(main: Comparison) -> Figure | None:
    if not main.pairs:
        return None
    lines = [
        figures.Interval(
            name=f"{pair.first} − {pair.second}",
            middle=100 * pair.difference,
            low=100 * pair.low,
            high=100 * pair.high,
            words=numbers.signed_percent(pair.difference),
            dull=pair.low <= 0 <= pair.high,
        )
        for pair in main.pairs
    ]
    shown, label = lines[:_MAX_PAIRS], f"Paired differences of MPCA: {_said(lines[:_MAX_PAIRS])}"
    left = (
        f" The first {_MAX_PAIRS} of {len(lines)} pairs; all are in the data." if lines[_MAX_PAIRS:] else ""
    )
    return Figure(
        "paired-differences",
        "Paired differences",
        figures.interval_figure(shown, "difference of MPCA / points", label, mark=0.0),
        "The same test sources, answered by both. Bar: 95 % interval of the difference; grey where it "
        f"contains zero, so that either network may be the better one.{left}",
        ("pair", "difference / points", "low / points", "high / points"),
        tuple((line.name, line.middle, line.low, line.high) for line in lines),
    )


def _tradeoff(main: Comparison, cost: str, title: str, axis: str, caption: str) -> Figure | None:
    """Draw scores against a cost; nothing if all networks cost the same."""
    spots = [
        figures.Spot(row.network, value, *scores)
        for row in main.rows
        if (value := text.cost(row, cost)) and (scores := _scores(row)) and text.learned(row)
    ]
    if len({spot.cost for spot in spots}) < 2:
        return None
    label = f"MPCA against {axis}: " + "; ".join(f"{s.name} {s.middle:.1f} at {s.cost:g}" for s in spots)
    return Figure(
        file_name("mpca against", cost),
        title,
        figures.tradeoff_figure(spots, axis, "MPCA / %", label),
        caption,
        ("network", axis, "MPCA / %", "low / %", "high / %"),
        tuple((spot.name, spot.cost, spot.middle, spot.low, spot.high) for spot in spots),
    )


def models_table(comparisons: Mapping[str, Comparison]) -> Table | None:
    """Compare two models of every run, best and final; None if there is only one."""
    if len(comparisons) < 2:
        return None
    names = list(comparisons)[:2]
    found = [{row.network: row for row in comparisons[name].rows} for name in names]
    rows = []
    for network in found[0]:
        pair = [table.get(network) for table in found]
        values = [text.metric(row, "mpca") if row else None for row in pair]
        change = values[1] - values[0] if values[0] is not None and values[1] is not None else None
        cells = [cell for row in pair for cell in _score_cells(row)]
        rows.append((Cell(network), *cells, Cell(numbers.signed_percent(change), change)))
    heads = [head for name in names for head in (f"{name}: MPCA %", f"{name}: 95 % interval")]
    columns = ("network", *heads, f"{names[1]} − {names[0]} / points")
    return Table("best-and-final", "Best and final model", columns, tuple(rows))


def confusion(row: Row, classes: Sequence[str], links: Mapping[tuple[int, int], str]) -> Figure | None:
    """Draw the confusion matrix of a network, None if it has none; `links` are anchors by row and column."""
    if row.confusion is None or not np.sum(row.confusion):
        return None
    matrix = np.asarray(row.confusion)
    said = _confusion_words(matrix, classes)
    label = f"Confusion matrix of {row.network}. {said}"
    counts: list[tuple[Value, ...]] = [(name, *(int(n) for n in matrix[i])) for i, name in enumerate(classes)]
    return Figure(
        file_name("confusion", row.network),
        row.network,
        figures.confusion_figure(matrix, classes, label, links),
        said,
        ("true class", *(f"predicted {name}" for name in classes)),
        tuple(counts),
    )


def _confusion_words(matrix: NDArray[Any], classes: Sequence[str]) -> str:
    total = matrix.sum()
    wrong = matrix * (1 - np.eye(len(matrix)))
    if not wrong.sum():
        return f"All {total:.0f} answers are right."
    i, j = (int(place) for place in np.unravel_index(int(wrong.argmax()), wrong.shape))
    return (
        f"{numbers.percent(float(np.trace(matrix) / total))} % right. Commonest mistake: {classes[i]} taken "
        f"for {classes[j]}, {matrix[i, j]:.0f} of {matrix[i].sum():.0f}."
    )


def class_table(main: Comparison) -> Table | None:
    """Tell precision, recall and F1 of every network and class; None if no run has ended."""
    names = list(dict.fromkeys(name for row in main.rows for name in row.per_class))
    if not names:
        return None
    rows = [
        (Cell(row.network), Cell(class_name), *(_share(row.per_class, name, k) for name in names))
        for row in main.rows
        for k, class_name in enumerate(main.classes)
    ]
    columns = ("network", "class", *(f"{_class_heading(name)} %" for name in names))
    title = "Precision, recall and F1 of every class"
    return Table("per-class", title, columns, tuple(rows), frozenset({1}))


def _class_heading(name: str) -> str:
    """Write the name of a measure for people; those of the 2021 study count every class as equally frequent."""
    plain = name.removesuffix("_2021").replace("f1", "F1")
    return plain if plain == name.replace("f1", "F1") else f"{plain}, classes weighted alike (2021 study),"


def _share(table: Mapping[str, Any], name: str, k: int) -> Cell:
    value = float(table[name][k]) if name in table else None
    return Cell(numbers.percent(value), value)


def training_figures(records: Sequence[RunRecord]) -> list[Figure]:
    """Draw the training curves of a network's runs, each with the settings by which its recipe is another."""
    recipes = [record.spec.recipe.model_dump(mode="json") for record in records]
    differ = [name for name in recipes[0] if any(recipe[name] != recipes[0][name] for recipe in recipes)]
    return [
        _training_figure(record, "".join(f", {name.replace('_', ' ')} {recipe[name]}" for name in differ))
        for record, recipe in zip(records, recipes, strict=True)
    ]


def _training_figure(record: RunRecord, settings: str) -> Figure:
    network, seed, split = record.spec.network.name, record.spec.seed, record.spec.data.split
    fold = (f", {split}" if split.startswith("fold-") else "") + settings
    epoch = words.best_epoch(record.history, record.cost)
    said = words.training_words(record.history, epoch)
    names = [name for name in _HISTORY if name in record.history]
    table = zip(*(record.history[name].tolist() for name in ("epoch", *names)), strict=True)
    return Figure(
        file_name("training", network, str(seed), fold),
        f"seed {seed}{fold}",
        figures.training_figure(record.history, epoch, f"Training of {network}, seed {seed}{fold}. {said}"),
        said,
        ("epoch", *names),
        tuple(table),
    )


def runs_table(records: Sequence[RunRecord]) -> Table:
    """Tell how each run was made, as far as runs differ; what all share stands in `settings_table`."""
    rows = [{"network": Cell(record.spec.network.name)} | _made(record) for record in records]
    shared = _shared(rows)
    names = [name for name in rows[0] if name in _ALWAYS or name not in shared]
    cells = tuple(tuple(row.get(name, Cell("")) for name in names) for row in rows)
    return Table("runs", "The runs", tuple(names), cells, frozenset(range(1, len(names))))


def settings_table(records: Sequence[RunRecord]) -> Table:
    """List the settings that all runs share, and the machine and versions if they share those."""
    shared = _shared([_made(record) for record in records])
    rows = tuple((Cell(name), cell) for name, cell in shared.items() if name not in _ALWAYS)
    title = "Settings that all runs share" if len(records) > 1 else "Settings of the run"
    return Table("settings", title, ("setting", "value"), rows, frozenset({1}))


def machine_words(records: Sequence[RunRecord]) -> str:
    """Say on what machine and with which versions all runs were made; "" if they share none of it."""
    shared = _shared([_made(record) for record in records])
    said = [f"{name} {shared[name].text}" for name in _MACHINE if name in shared]
    return f"{'All runs' if len(records) > 1 else 'The run'}: {'; '.join(said)}." if said else ""


def _made(record: RunRecord) -> dict[str, Cell]:
    """Give how a run was made: what it is, what it took, and all its settings."""
    cost, origin = record.cost, record.provenance
    memory = 1e6 * cost.get("peak_memory_mb", np.nan)
    settings = _flatten(record.spec.model_dump(mode="json"))
    return {
        "run": Cell(record.run_id),
        "seed": Cell(str(record.spec.seed), record.spec.seed),
        "status": Cell(record.status),
        "time": _measured(cost.get("training_seconds"), numbers.duration),
        "peak memory": _measured(memory, lambda value: numbers.count(value, "B")),
        "written": Cell(str(origin.get("written", numbers.NONE))),
        "device": Cell(str(cost.get("device") or origin.get("device", numbers.NONE))),
        "precision": Cell(str(cost.get("precision", numbers.NONE))),
        "machine": Cell(str(origin.get("machine", numbers.NONE))),
        "versions": Cell(_versions(record)),
        **{name: Cell(json.dumps(value)) for name, value in settings.items() if name not in _SAID},
    }


def _shared(rows: Sequence[Mapping[str, Cell]]) -> dict[str, Cell]:
    """Give what is the same in all rows."""
    return {name: cell for name, cell in rows[0].items() if all(row.get(name) == cell for row in rows)}


def _flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{name}.")
        elif name not in _PRIVATE:
            flat[name] = value
    return flat


def _measured(value: float | None, show: Callable[[float | None], str]) -> Cell:
    return Cell(show(value), value if numbers.is_number(value) else None)


def _versions(record: RunRecord) -> str:
    known = {"python": record.provenance.get("python")} | dict(record.provenance.get("versions", {}))
    return ", ".join(f"{name} {version}" for name, version in known.items() if version)


def _said(lines: Sequence[figures.Interval]) -> str:
    return "; ".join(f"{line.name} {line.words}" for line in lines)


def _line(row: Row) -> figures.Interval:
    estimate = row.metrics.get("mpca")
    middle, low, high = _scores(row) or (np.nan, np.nan, np.nan)
    spread = text.metric(row, "mpca", "spread")
    shown = numbers.percent(middle / 100) + (f" ± {numbers.percent(spread)}" if spread is not None else "")
    return figures.Interval(
        name=row.network,
        middle=middle,
        low=low,
        high=high,
        points=tuple(100 * float(value) for value in estimate.values) if estimate is not None else (),
        words=shown if text.learned(row) else f"{row.status}, {shown}",
        dull=not text.learned(row),
    )


def _scores(row: Row) -> tuple[float, float, float] | None:
    """Give the mean MPCA and the ends of its interval in percent; None if there is no mean."""
    mean, low, high = (text.metric(row, "mpca", part) for part in ("mean", "low", "high"))
    if mean is None:
        return None
    return 100 * mean, 100 * (mean if low is None else low), 100 * (mean if high is None else high)


def _score_cells(row: Row | None) -> list[Cell]:
    if row is None:
        return [Cell(numbers.NONE), Cell(numbers.NONE)]
    shown = {column.key: column.show(row) for column in text.COLUMNS}
    mean, spread, low, high = (text.metric(row, "mpca", part) for part in ("mean", "spread", "low", "high"))
    return [Cell(shown["mpca"], mean, spread=spread), Cell(shown["interval"], low, high)]
