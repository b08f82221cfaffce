"""What the report's template is filled with, section by section; pictures of sources are in `sources`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from rgbench.comparison.summary import Comparison, Row
from rgbench.report import analysis, citations, figures, numbers, text, words
from rgbench.report.analysis.runs import Beside
from rgbench.report.blocks import data_uri
from rgbench.report.sources import Cell
from rgbench.store import RunRecord

_SECTIONS = (
    ("table", "All networks", None),
    ("ranking", "How sure?", None),
    ("models", "Best and final", "models"),
    ("confusion", "Confusion", "confusions"),
    ("training", "Training", "curves"),
    ("sources", "Sources", ("galleries", "hard")),
    ("runs", "Runs", None),
    ("terms", "Terms", None),
    ("cite", "Cite", None),
)
_BEFORE = {"models": True, "sources": False}
"""Sections before which the early parts, and the others, stand."""
_PRIVATE = ("data.path", "data.manifest", "data.class_labels")
_MAX_PAIRS = 15


def context(
    comparisons: Mapping[str, Comparison],
    records: Sequence[RunRecord],
    title: str = "",
    beside: Beside | None = None,
    cells: Mapping[str, Sequence[Cell]] | None = None,
) -> dict[str, Any]:
    """Collect everything on the page but the pictures of sources.

    Parameters
    ----------
    comparisons : mapping of str to Comparison
        Comparison of each model; the first one leads.
    records : sequence of RunRecord
        The runs.
    title : str
        Title of the page; made from the data set's name if empty.
    beside : Beside, optional
        Runs on fewer training sources, predictions on disturbed images.
    cells : mapping of str to sequence of Cell, optional
        The sources behind the cells of confusion matrices, by network.
    """
    model, main = next(iter(comparisons.items()))
    data = records[0].spec.data.name
    return {
        "title": title or f"Which network classifies {data} best?",
        "model": model,
        "facts": _facts(main, records),
        "answer": list(main.words),
        "problems": _problems(main, records),
        "models": _models(comparisons),
        "confusions": _confusions(main, cells or {}),
        "per_class": _per_class(main),
        "curves": _curves(main, records),
        "train_key": Markup(figures.legend_swatch("train")),
        "valid_key": Markup(figures.legend_swatch("valid")),
        "terms": words.TERMS,
        "methods": citations.methods(main, records),
        "citation": citations.bibliography(records),
        "citation_file": data_uri("application/x-bibtex", citations.bibliography(records)),
        "parts": analysis.parts(main, records, beside),
        "footer": _footer(records),
        **_table(main, data),
        **_ranking(main),
        **_runs(records),
    }


def sections(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List the anchors and names of the sections that have content."""
    found = []
    for anchor, name, needs in _SECTIONS:
        if anchor in _BEFORE:
            found += [(part.anchor, part.menu) for part in content["parts"] if part.early == _BEFORE[anchor]]
        keys = (needs,) if isinstance(needs, str) else needs or ()
        if not keys or any(content[key] for key in keys):
            found.append((anchor, name))
    return found


def _facts(main: Comparison, records: Sequence[RunRecord]) -> list[tuple[str, str]]:
    specs = [record.spec for record in records]
    complete = sum(record.status == "complete" for record in records)
    tested = sorted({row.n_test for row in main.rows if row.n_test})
    return [
        ("data", specs[0].data.name),
        ("protocol", ", ".join(sorted({spec.protocol for spec in specs}))),
        ("classes", ", ".join(main.classes)),
        (
            "test sources",
            "–".join(str(n) for n in dict.fromkeys((*tested[:1], *tested[-1:]))) or numbers.NONE,
        ),
        ("networks", str(len(main.rows))),
        ("seeds", ", ".join(str(seed) for seed in dict.fromkeys(spec.seed for spec in specs))),
        ("runs", f"{complete}" if complete == len(records) else f"{complete} of {len(records)} complete"),
    ]


def _problems(main: Comparison, records: Sequence[RunRecord]) -> list[str]:
    failed = [
        f"{r.spec.network.name}, seed {r.spec.seed}, {r.status}: {r.error or 'it has not ended'}"
        for r in records
        if r.status != "complete"
    ]
    return [*failed, *(f"{row.network}: {text.remarks(row)}" for row in main.rows if not text.learned(row))]


def _table(main: Comparison, data: str) -> dict[str, Any]:
    stem = f"rgbench-{''.join(c if c.isalnum() else '-' for c in data)}"
    return {
        "columns": text.COLUMNS,
        "has_notes": any(row.notes for row in main.rows),
        "rows": [
            {
                "name": row.network,
                "mark": "" if text.learned(row) else row.status,
                "cells": [_entry(column.value(row), column.show(row)) for column in text.COLUMNS],
                "notes": text.remarks(row),
            }
            for row in main.rows
        ],
        "table_words": "Scores are of the test set: mean over the seeds, ± the standard deviation between them. "
        "Times and images per second are of the machine named under “How it was made”.",
        "downloads": [
            ("CSV, unrounded", f"{stem}.csv", data_uri("text/csv", text.comparison_csv(main))),
            ("LaTeX", f"{stem}.tex", data_uri("application/x-tex", text.comparison_latex(main))),
        ],
    }


def _ranking(main: Comparison) -> dict[str, Any]:
    lines = [_line(row) for row in main.rows]
    said = "; ".join(f"{line.name} {line.words}" for line in lines)
    return {
        "ranking": Markup(figures.interval_figure(lines, "MPCA / %", f"Mean per-class accuracy: {said}")),
        "ranking_words": "Dot: mean over the seeds. Rings: the seeds. Bar: 95 % interval of the mean. "
        "Bars may overlap although the paired test tells two networks apart.",
        "tradeoffs": _tradeoffs(main, said),
        **_pairs(main),
    }


def _tradeoffs(main: Comparison, said: str) -> list[dict[str, Any]]:
    """Draw scores against operations, and against how much of the image a network sees."""
    wanted = (
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
    drawn = []
    for cost, title, axis, caption in wanted:
        spots = [
            figures.Spot(row.network, value, *scores)
            for row in main.rows
            if (value := text.cost(row, cost)) and (scores := _scores(row)) and text.learned(row)
        ]
        if len({spot.cost for spot in spots}) > 1:
            drawing = figures.tradeoff_figure(spots, axis, "MPCA / %", f"MPCA against {axis}: {said}")
            drawn.append({"title": title, "drawing": Markup(drawing), "words": caption})
    return drawn


def _pairs(main: Comparison) -> dict[str, Any]:
    pairs = list(main.pairs)
    lines = [
        figures.Interval(
            name=f"{pair.first} − {pair.second}",
            middle=100 * pair.difference,
            low=100 * pair.low,
            high=100 * pair.high,
            words=numbers.signed_percent(pair.difference),
            dull=pair.low <= 0 <= pair.high,
        )
        for pair in pairs[:_MAX_PAIRS]
    ]
    said = "; ".join(f"{line.name} {line.words}" for line in lines)
    drawing = ""
    if lines:
        label = f"Paired differences of MPCA: {said}"
        drawing = figures.interval_figure(lines, "difference of MPCA / points", label, mark=0.0)
    return {
        "paired": Markup(drawing),
        "paired_words": "The same test sources, answered by both. Bar: 95 % interval of the difference; grey where it "
        "contains zero, so that either network may be the better one.",
        "pair_sentences": [pair.words for pair in pairs],
    }


def _models(comparisons: Mapping[str, Comparison]) -> dict[str, Any] | None:
    if len(comparisons) < 2:
        return None
    names = list(comparisons)[:2]
    tables = [{row.network: row for row in comparisons[name].rows} for name in names]
    rows = []
    for network in tables[0]:
        pair = [table.get(network) for table in tables]
        values = [text.metric(row, "mpca") if row else None for row in pair]
        cells = [cell for row in pair for cell in _score_cells(row)]
        change = values[1] - values[0] if values[0] is not None and values[1] is not None else None
        rows.append({"name": network, "cells": [*cells, _entry(change, numbers.signed_percent(change))]})
    return {"names": names, "change": f"{names[1]} − {names[0]}", "rows": rows}


def _score_cells(row: Row | None) -> list[dict[str, str]]:
    columns = [column for column in text.COLUMNS if column.key in ("mpca", "interval")]
    if row is None:
        return [_entry(None, numbers.NONE) for _ in columns]
    return [_entry(column.value(row), column.show(row)) for column in columns]


def _confusions(main: Comparison, cells: Mapping[str, Sequence[Cell]]) -> list[dict[str, Any]]:
    found = []
    for row in main.rows:
        if row.confusion is None or not np.sum(row.confusion):
            continue
        matrix = np.asarray(row.confusion)
        said = _confusion_words(matrix, main.classes)
        label = f"Confusion matrix of {row.network}. {said}"
        behind = cells.get(row.network, ())
        links = {cell.place: cell.anchor for cell in behind}
        drawing = Markup(figures.confusion_figure(matrix, main.classes, label, links))
        found.append({"title": row.network, "drawing": drawing, "words": said, "cells": behind})
    return found


def _confusion_words(matrix: Any, classes: Sequence[str]) -> str:
    total = matrix.sum()
    wrong = matrix * (1 - np.eye(len(matrix)))
    if not wrong.sum():
        return f"All {total:.0f} answers are right."
    i, j = np.unravel_index(wrong.argmax(), wrong.shape)
    return (
        f"{numbers.percent(float(np.trace(matrix) / total))} % right. Commonest mistake: {classes[i]} taken "
        f"for {classes[j]}, {matrix[i, j]:.0f} of {matrix[i].sum():.0f}."
    )


def _per_class(main: Comparison) -> dict[str, Any] | None:
    names = list(dict.fromkeys(name for row in main.rows for name in row.per_class))
    if not names:
        return None
    rows = [
        {
            "name": row.network,
            "class_name": class_name,
            "cells": [_percent_entry(row.per_class, name, k) for name in names],
        }
        for row in main.rows
        for k, class_name in enumerate(main.classes)
    ]
    return {"names": [f"{name} %" for name in names], "rows": rows}


def _percent_entry(table: Mapping[str, Any], name: str, k: int) -> dict[str, str]:
    value = float(table[name][k]) if name in table else None
    return _entry(value, numbers.percent(value))


def _curves(main: Comparison, records: Sequence[RunRecord]) -> list[dict[str, Any]]:
    groups = []
    for row in main.rows:
        own = [r for r in records if r.spec.network.name == row.network and len(r.history.get("epoch", ()))]
        if own:
            groups.append({"name": row.network, "figures": [_curve(record) for record in own]})
    return groups


def _curve(record: RunRecord) -> dict[str, Any]:
    epoch = words.best_epoch(record.history, record.cost)
    said = words.training_words(record.history, epoch)
    label = f"Training of {record.spec.network.name}, seed {record.spec.seed}. {said}"
    drawing = Markup(figures.training_figure(record.history, epoch, label))
    return {"title": f"seed {record.spec.seed}", "drawing": drawing, "words": said}


def _runs(records: Sequence[RunRecord]) -> dict[str, Any]:
    flat = [_flatten(record.spec.model_dump(mode="json")) for record in records]
    shared = {key: value for key, value in flat[0].items() if all(one.get(key) == value for one in flat)}
    own = [key for key in flat[0] if key not in shared and key not in ("network.name", "seed")]
    columns: list[tuple[str, Callable[[RunRecord], str]]] = [
        ("run", lambda r: r.run_id),
        ("seed", lambda r: str(r.spec.seed)),
        ("status", lambda r: r.status),
        ("device", lambda r: str(r.cost.get("device") or r.provenance.get("device", numbers.NONE))),
        ("precision", lambda r: str(r.cost.get("precision", numbers.NONE))),
        ("time", lambda r: numbers.duration(r.cost.get("training_seconds"))),
        ("peak memory", lambda r: numbers.count(1e6 * r.cost.get("peak_memory_mb", np.nan), "B")),
        ("machine", lambda r: str(r.provenance.get("machine", numbers.NONE))),
        ("versions", _versions),
        ("written", lambda r: str(r.provenance.get("written", numbers.NONE))),
    ]
    rows = [
        {
            "name": record.spec.network.name,
            "cells": [*(show(record) for _, show in columns), *(str(settings.get(key, "")) for key in own)],
        }
        for record, settings in zip(records, flat, strict=True)
    ]
    return {
        "run_columns": [*(name for name, _ in columns), *own],
        "runs": rows,
        "settings": [(key, json.dumps(value)) for key, value in shared.items()],
        "notes": list(dict.fromkeys(note for record in records for note in record.notes)),
    }


def _versions(record: RunRecord) -> str:
    versions = dict(record.provenance.get("versions", {}))
    python = record.provenance.get("python")
    return ", ".join(
        f"{name} {version}" for name, version in ({"python": python} | versions).items() if version
    )


def _flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{name}.")
        elif name not in _PRIVATE:
            flat[name] = value
    return flat


def _footer(records: Sequence[RunRecord]) -> str:
    versions = sorted({str(r.provenance.get("versions", {}).get("rgbench", "")) for r in records} - {""})
    dates = [str(r.provenance["written"]) for r in records if r.provenance.get("written")]
    made = f"rgbench {', '.join(versions)}".strip()
    return f"{made}, runs up to {max(dates)[:10]}." if dates else f"{made}."


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


def _entry(value: float | None, shown: str) -> dict[str, str]:
    return {"value": "" if value is None else repr(float(value)), "text": shown}
