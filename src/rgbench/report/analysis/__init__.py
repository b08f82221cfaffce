"""The report's later sections, one file each: what the stored runs tell beyond their scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rgbench.comparison.summary import Comparison
from rgbench.report.analysis import (
    across,
    calibration,
    differences,
    doubt,
    ensembles,
    failures,
    labels,
    learning,
    looks,
    overfitting,
    places,
    robustness,
)
from rgbench.report.analysis.runs import Beside, Runs
from rgbench.report.blocks import Section
from rgbench.store import RunRecord

Maker = Callable[[Runs], Section | None]
MAKERS: tuple[Maker, ...] = (
    differences.section,
    places.section,
    across.section,
    overfitting.section,
    learning.section,
    ensembles.section,
    calibration.section,
    doubt.section,
    robustness.section,
    looks.section,
    failures.section,
    labels.section,
)
"""In the order of the page; each gives its section, or None if the runs have nothing for it."""


def parts(main: Comparison, records: Sequence[RunRecord], beside: Beside | None = None) -> list[Section]:
    """Make the sections for which the runs have what is needed.

    Parameters
    ----------
    main : Comparison
        The comparison that leads the report.
    records : sequence of RunRecord
        Its runs.
    beside : Beside, optional
        What stands beside them.
    """
    runs = Runs.of(main, records, beside)
    made = [maker(runs) for maker in MAKERS] if runs.complete else []
    return [section for section in made if section is not None]
