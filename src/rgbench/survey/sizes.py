"""The class of unresolved sources by their sizes in the catalogue, without a look at an image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rgbench.errors import SpecError
from rgbench.survey.catalogue import Positions, SurveyCatalogue

OPTION = "--unresolved-below"
_COMPACT = "compact"


def compact_class(classes: Sequence[str]) -> str:
    """Give the name of the class of compact sources, "" if there is none.

    Examples
    --------
    >>> compact_class(("FRI", "Compact")), compact_class(("FRI", "FRII"))
    ('Compact', '')
    """
    return next((name for name in classes if name.casefold() == _COMPACT), "")


def check_unresolved(limit: float, catalogue: SurveyCatalogue, classes: Sequence[str]) -> None:
    """Raise `SpecError` if rows cannot be told to be unresolved by their sizes.

    Parameters
    ----------
    limit : float
        Full width at half maximum, arcsec, below which a source is unresolved.
    catalogue : SurveyCatalogue
        Its sizes must be known.
    classes : sequence of str
        Of the classifier; one must be of compact sources.
    """
    if not (math.isfinite(limit) and limit > 0):
        raise SpecError(f"{OPTION}: found {limit:g}; a number of arcsec above 0 is legal")
    if not compact_class(classes):
        raise SpecError(
            f"{OPTION}: the classifier has no class Compact; its classes are {', '.join(classes)}"
        )
    if fault := catalogue.size_fault:
        raise SpecError(f"{OPTION}: {fault}")


def unresolved(positions: Positions, limit: float) -> NDArray[np.bool_]:
    """Tell which rows have a position and a size below a limit, arcsec; a size that is not known is not below it."""
    return np.isfinite(positions.ra) & (positions.size < limit)
