"""The best and the final model of each network side by side."""

from __future__ import annotations

from rgbench.comparison.results import Row
from rgbench.report.blocks import LeftOut, Section, Table
from rgbench.report.cells import NO_CELL, Cell, difference, span
from rgbench.report.files import text
from rgbench.report.material import Runs


def section(runs: Runs) -> Section | LeftOut:
    """Compare two models of every run, best and final; None if there is only one."""
    if len(runs.comparisons) < 2:
        return LeftOut("Best and final model", "one model of each run was compared")
    return Section(
        "models",
        "Best and final",
        "Does the last epoch do worse than the best one?",
        finding=_finding(runs),
        sentences=(
            f"The rest of this report is about the {runs.main.model} model of each run. Here both models are tested. "
            "A final model that is worse than the best one is a sign of overfitting.",
        ),
        tables=(_table(runs),),
    )


def _finding(runs: Runs) -> str:
    """Say which network changes most from the one model to the other."""
    first, second = list(runs.comparisons)[:2]
    found = [
        {row.network: text.value_of(row, runs.main.metric) for row in runs.comparisons[n].rows}
        for n in (first, second)
    ]
    changes = {
        name: after - before
        for name, before in found[0].items()
        if before is not None and (after := found[1].get(name)) is not None
    }
    if not changes:
        return "No network has both models."
    most = max(changes, key=lambda name: abs(changes[name]))
    change = runs.scale.difference(changes[most])
    return f"The largest change in {runs.card.short} from the {first} to the {second} model is {change}, of {most}."


def _table(runs: Runs) -> Table:
    names, scale, short = list(runs.comparisons)[:2], runs.scale, runs.card.short
    found = [{row.network: row for row in runs.comparisons[name].rows} for name in names]
    rows = []
    # Of predictions made elsewhere one model is known, which stands for both.
    for network in (name for name, row in found[0].items() if not row.elsewhere):
        pair = [table.get(network) for table in found]
        values = [text.value_of(row, runs.main.metric) if row else None for row in pair]
        change = values[1] - values[0] if values[0] is not None and values[1] is not None else None
        cells = [cell for row in pair for cell in _cells(runs, row)]
        rows.append((Cell(network), *cells, difference(change, scale)))
    heads = [head for name in names for head in (f"{name}: {scale.heading(short)}", f"{name}: 95 % interval")]
    columns = ("network", *heads, scale.differences(f"{names[1]} − {names[0]}"))
    return Table("best-and-final", "Best and final model", columns, tuple(rows), headed=False)


def _cells(runs: Runs, row: Row | None) -> list[Cell]:
    if row is None:
        return [NO_CELL, NO_CELL]
    mean, spread, low, high = (
        text.value_of(row, runs.main.metric, part) for part in ("mean", "spread", "low", "high")
    )
    shown = text.mean_spread(row, runs.card)
    return [Cell(shown, mean, spread=spread, scale=runs.scale), span(low, high, runs.scale)]
