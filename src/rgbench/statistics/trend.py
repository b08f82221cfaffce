"""Does accuracy rise or fall with a property of sources? The slope of a logistic regression, with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from rgbench.errors import SpecError

Floats = NDArray[np.float64]
_STEPS = 50
_CLOSE = 1e-10
_FEWEST = 10


@dataclass(frozen=True)
class Trend:
    """A trend of accuracy with a property.

    Attributes
    ----------
    slope, low, high : float
        Change of the logarithm of the odds of being recognised per `step`, and its interval; NaN if no slope can
        be fitted.
    p_value : float
        Two-sided Wald test of no slope.
    step : float
        Change of the property that the slope is for: a standard deviation, or a factor of 2 on a logarithmic scale.
    scale : {"linear", "log"}
        Scale of the property.
    n : int
        Sources whose property is known.
    confidence : float
        Coverage of the interval.
    reason : str
        Why no slope can be fitted, if so.
    """

    slope: float
    low: float
    high: float
    p_value: float
    step: float
    scale: str
    n: int
    confidence: float
    reason: str = ""


def trend(
    values: NDArray[Any],
    right: NDArray[Any],
    strata: NDArray[Any] | None = None,
    scale: Literal["linear", "log"] = "linear",
    confidence: float = 0.95,
) -> Trend:
    """Fit a logistic regression of being recognised on a property.

    Parameters
    ----------
    values : ndarray, shape (n,)
        The property; sources where it is not finite (or not above 0, on a logarithmic scale) take no part.
    right : ndarray of bool or float64, shape (n,)
        Whether each source is recognised, or by which share of the runs.
    strata : ndarray, shape (n,), optional
        Classes with intercepts of their own. Without them a property that differs between classes shows a trend
        where only classes differ.
    scale : {"linear", "log"}
        "log" for sizes, flux densities and S/N, which span decades.
    confidence : float
        Coverage of the interval, in (0, 1).

    Raises
    ------
    SpecError
        If shapes differ, a share is no share, or an option is not legal.

    Notes
    -----
    Newton's iteration for the maximum of the likelihood. The interval is Wald's with Student's t: from the information
    matrix for one run, from the sandwich estimate with residuals over 1 - leverage (HC3, MacKinnon & White 1985) for
    shares of several runs, which are no binomial numbers. Strata in which all sources are recognised, or none, say
    nothing of a slope and are left out. Without a trend p is below 0.05 in 1 to 6 % of simulated cases (n = 50 to
    1000, 1 to 9 runs).

    Examples
    --------
    >>> size = np.repeat([1.0, 2.0, 4.0, 8.0], 50)
    >>> right = np.concatenate([np.arange(50) < m for m in (45, 40, 35, 25)])
    >>> found = trend(size, right, scale="log")
    >>> [round(float(np.exp(x)), 2) for x in (found.slope, found.low, found.high)], f"{found.p_value:.1e}"
    ([0.49, 0.36, 0.67], '1.8e-05')
    """
    x, y, groups = _usable(values, right, strata, scale)
    if not 0 < confidence < 1:
        raise SpecError(f"confidence: found {confidence}; legal are numbers above 0 and below 1")
    reason = _why_not(x, y, groups)
    step = 1.0 if scale == "log" or reason else float(np.std(x))
    x = x / step
    if not reason:
        slope, error = _fit(x - x.mean(), y, groups)
        if not np.isfinite(error):
            reason = "the values part recognised sources from others (nearly) completely"
    if reason:
        nan = float("nan")
        return Trend(nan, nan, nan, nan, step, scale, len(x), confidence, reason)
    degrees = len(x) - 1 - len(np.unique(groups))
    half = float(student.ppf((1 + confidence) / 2, degrees)) * error
    p_value = float(2 * student.sf(abs(slope) / error, degrees))
    return Trend(slope, slope - half, slope + half, p_value, step, scale, len(x), confidence)


def _usable(
    values: NDArray[Any], right: NDArray[Any], strata: NDArray[Any] | None, scale: str
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Give property, share and stratum of the sources that can say something."""
    x, y = np.asarray(values, dtype=np.float64), np.asarray(right, dtype=np.float64)
    own = np.zeros(len(y), dtype=np.int64) if strata is None else np.asarray(strata)
    if x.ndim != 1 or not x.shape == y.shape == own.shape:
        raise SpecError(
            f"values, right, strata: (n,) of each, found shapes {x.shape}, {y.shape} and {own.shape}"
        )
    if scale not in ("linear", "log"):
        raise SpecError(f"scale: found {scale!r}; legal are linear, log")
    if not ((y >= 0) & (y <= 1)).all():
        raise SpecError("right: legal are False and True, or shares from 0 to 1")
    keep = np.isfinite(x) & ((x > 0) if scale == "log" else True)
    x, y, own = x[keep], y[keep], own[keep]
    x = np.log2(x) if scale == "log" else x
    _, groups = np.unique(own, return_inverse=True)
    mixed = np.array([0 < y[groups == g].mean() < 1 for g in range(len(np.unique(groups)))], dtype=bool)
    if mixed.any():
        stays = mixed[groups]
        x, y = x[stays], y[stays]
        _, groups = np.unique(groups[stays], return_inverse=True)
    return x, y, groups.astype(np.int64)


def _why_not(x: Floats, y: Floats, groups: NDArray[np.int64]) -> str:
    if len(x) < _FEWEST:
        return f"only {len(x)} sources are left, {_FEWEST} are needed"
    if y.min() == y.max():
        return "all sources fare alike"
    if max(float(np.ptp(x[groups == g])) for g in np.unique(groups)) == 0:
        return "the property does not vary"
    return ""


def _fit(x: Floats, y: Floats, groups: NDArray[np.int64]) -> tuple[float, float]:
    """Fit slope and intercepts; the error of the slope is infinite if the iteration does not settle."""
    design = np.column_stack([x, np.eye(int(groups.max()) + 1)[groups]])
    beta = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ beta, -30, 30)))
        information = design.T @ (design * (chance * (1 - chance))[:, None])
        if np.linalg.cond(information) > 1e12:
            return float("nan"), float("inf")
        move = np.linalg.solve(information, design.T @ (y - chance))
        beta = beta + move * min(1.0, 5 / max(float(np.abs(move).max()), 1e-300))
        if np.abs(move).max() < _CLOSE:
            break
    else:
        return float("nan"), float("inf")
    if np.abs(design @ beta).max() > 25:
        return float("nan"), float("inf")
    inverse = np.linalg.inv(information)
    if np.isin(y, (0.0, 1.0)).all():
        return float(beta[0]), float(np.sqrt(inverse[0, 0]))
    leverage = np.einsum("ij,jk,ik->i", design, inverse, design) * chance * (1 - chance)
    score = design * ((y - chance) / (1 - leverage))[:, None]
    return float(beta[0]), float(np.sqrt((inverse @ (score.T @ score) @ inverse)[0, 0]))
