"""The report's later sections, one file each: what the stored runs tell beyond their scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rgbench.comparison.summary import Comparison
from rgbench.report.blocks import Section
from rgbench.report.material import Beside, Runs
from rgbench.report.sections import (
    across,
    attribution,
    calibration,
    differences,
    ensembles,
    failures,
    label_errors,
    learning_curve,
    overfitting,
    ranking,
    robustness,
    uncertainty,
)
from rgbench.store.store import RunRecord

Maker = Callable[[Runs], Section | None]
MAKERS: tuple[Maker, ...] = (
    differences.section,
    ranking.section,
    across.section,
    overfitting.section,
    learning_curve.section,
    ensembles.section,
    calibration.section,
    uncertainty.section,
    robustness.section,
    attribution.section,
    failures.section,
    label_errors.section,
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
