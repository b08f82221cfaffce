"""What the report's template is filled with, section by section; pictures of sources are in `sources`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from rgbench import numbers
from rgbench.comparison.summary import Comparison
from rgbench.report import sections as analysis
from rgbench.report.blocks import Figure, Table, data_uri
from rgbench.report.draw import figures
from rgbench.report.files import text
from rgbench.report.material import Beside
from rgbench.report.sections import answer, cite, confusion, models, runs, scores, table, terms, training
from rgbench.report.sections.sources import Cell
from rgbench.store.store import RunRecord

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
    parts = analysis.parts(main, records, beside)
    bibliography = cite.bibliography(records, [part.anchor for part in parts if part.notes])
    return {
        "title": title or f"Which network classifies {data} best?",
        "model": model,
        "facts": _facts(main, records),
        "answer": answer.answer(main, records[0].spec.data),
        "problems": _problems(main, records),
        "table": table.main_table(main, data),
        "ranking": scores.ranking_figures(main),
        "pair_sentences": [pair.words for pair in main.pairs],
        "models": models.models_table(comparisons),
        "confusions": _confusions(main, cells or {}),
        "per_class": confusion.class_table(main),
        "curves": _curves(main, records),
        "train_key": Markup(figures.legend_swatch("train")),
        "valid_key": Markup(figures.legend_swatch("valid")),
        "runs": runs.runs_table(records),
        "machine": runs.machine_words(records),
        "settings": runs.settings_table(records),
        "notes": list(dict.fromkeys(note for record in records for note in record.notes)),
        "terms": terms.TERMS,
        "methods": cite.methods(main, records),
        "citation": bibliography,
        "citation_file": data_uri("application/x-bibtex", bibliography),
        "parts": parts,
        "footer": _footer(records),
    }


def figures_of(content: Mapping[str, Any]) -> list[Figure]:
    """List every figure of the page, in its order but for the parts, which come last."""
    return [
        *content["ranking"],
        *(each["figure"] for each in content["confusions"]),
        *(figure for group in content["curves"] for figure in group["figures"]),
        *(figure for part in content["parts"] for figure in part.figures),
    ]


def tables_of(content: Mapping[str, Any]) -> list[Table]:
    """List every table of the page, in its order but for the parts, which come last."""
    own = [content[name] for name in ("table", "models", "per_class", "runs", "settings")]
    return [table for table in (*own, *(t for part in content["parts"] for t in part.tables)) if table]


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
    return [
        *failed,
        *(f"{row.network}: {text.remarks(row)}" for row in main.rows if not text.learned(row)),
        *_several(main, records),
    ]


def _several(main: Comparison, records: Sequence[RunRecord]) -> list[str]:
    """Say of networks with several recipes what the page leaves out."""
    rows = {row.network for row in main.rows}
    names = dict.fromkeys(record.spec.network.name for record in records)
    return [
        f"{name} was trained under several recipes, each with a row of its own; the sections on differences, "
        "overfitting, ensembles and all that follow, and the pictures, leave it out."
        for name in names
        if name not in rows
    ]


def _confusions(main: Comparison, cells: Mapping[str, Sequence[Cell]]) -> list[dict[str, Any]]:
    found = []
    for row in main.rows:
        behind = cells.get(row.network, ())
        links = {cell.place: cell.anchor for cell in behind}
        if figure := confusion.confusion(row, main.classes, links):
            found.append({"figure": figure, "cells": behind})
    return found


def _curves(main: Comparison, records: Sequence[RunRecord]) -> list[dict[str, Any]]:
    trained: dict[str, list[RunRecord]] = {}
    for record in sorted(records, key=lambda r: (r.spec.data.split, r.spec.seed)):
        if len(record.history.get("epoch", ())):
            trained.setdefault(record.spec.network.name, []).append(record)
    order = [name for row in main.rows for name in trained if _is_of(row.network, name)]
    return [
        {"name": name, "figures": training.training_figures(trained[name])}
        for name in dict.fromkeys([*order, *trained])
    ]


def _is_of(row: str, network: str) -> bool:
    """Tell whether a row is a network's; one of several recipes has more behind the name."""
    return row == network or row.startswith(f"{network} (")


def _footer(records: Sequence[RunRecord]) -> str:
    versions = sorted({str(r.provenance.get("versions", {}).get("rgbench", "")) for r in records} - {""})
    dates = [str(r.provenance["written"]) for r in records if r.provenance.get("written")]
    made = f"rgbench {', '.join(versions)}".strip()
    return f"{made}, runs up to {max(dates)[:10]}." if dates else f"{made}."
