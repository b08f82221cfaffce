"""Probabilities for a survey whose classes have other shares than the training sources had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rgbench.errors import SpecError
from rgbench.measures.calibration import Floats


def parse_shares(text: str, option: str = "--prior") -> dict[str, float]:
    """Read shares of classes as ``compact=0.95,fri=0.02``.

    Parameters
    ----------
    text : str
        Names and numbers, comma-separated.
    option : str
        What messages begin with.

    Raises
    ------
    SpecError
        If a part is not of the form name=number, or a name stands twice.

    Examples
    --------
    >>> parse_shares("compact=0.95, fri=0.02")
    {'compact': 0.95, 'fri': 0.02}
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        try:
            share = float(number)
        except ValueError:
            share = float("nan")
        if not (name and equals) or np.isnan(share):
            raise SpecError(f"{option}: found {part.strip()!r}; CLASS=SHARE is legal, as in compact=0.95")
        if name.lower() in found:
            raise SpecError(f"{option}: {name} stands there twice")
        found[name.lower()] = share
    return found


def complete_shares(
    given: Mapping[str, float], classes: Sequence[str], trained: Floats, option: str = "--prior"
) -> Floats:
    """Give the share of every class, where some are told: the others divide the rest as in training.

    Parameters
    ----------
    given : mapping of str to float
        Shares by class, whatever the case of its letters; each from 0 to 1.
    classes : sequence of str
        The classes, k of them.
    trained : ndarray of float64, shape (k,)
        Shares of the classes in training; each above 0.
    option : str
        What messages begin with.

    Returns
    -------
    ndarray of float64, shape (k,)
        Shares, with sum 1.

    Raises
    ------
    SpecError
        If a class is unknown, or named in two spellings, a share is not legal, the shares sum to more than 1, or to
        less though every class is named or the classes that are left had no share in training.

    Examples
    --------
    >>> complete_shares({"compact": 0.95}, ("Compact", "FRI", "FRII"), np.array([0.2, 0.4, 0.4])).round(3).tolist()
    [0.95, 0.025, 0.025]
    """
    places = {name.lower(): k for k, name in enumerate(classes)}
    shares, named = np.zeros(len(classes)), np.zeros(len(classes), dtype=bool)
    for name, share in given.items():
        if name.lower() not in places:
            raise SpecError(f"{option}: there is no class {name!r}; legal are {', '.join(classes)}")
        if named[places[name.lower()]]:
            one, other = (each for each in given if each.lower() == name.lower())
            raise SpecError(f"{option}: {one!r} and {other!r} are one class; name it once")
        if not 0 <= share <= 1:
            raise SpecError(f"{option}: {name} is {share}; a share from 0 to 1 is legal")
        shares[places[name.lower()]], named[places[name.lower()]] = share, True
    rest = 1 - float(shares.sum())
    if rest < -1e-9:
        raise SpecError(f"{option}: the shares sum to {1 - rest:g}; at most 1 is legal")
    if rest <= 1e-9:
        return np.asarray(shares / shares.sum())
    left = float(trained[~named].sum())
    if left <= 0:
        raise SpecError(
            f"{option}: the shares sum to {1 - rest:g}, and no class is left for the rest; 1 is legal"
        )
    return np.where(named, shares, trained * rest / left)


def with_prior(log_probabilities: Floats, prior: Floats, trained: Floats) -> Floats:
    """Correct probabilities for other shares of the classes: p'_k is proportional to p_k prior_k / trained_k.

    Parameters
    ----------
    log_probabilities : ndarray of float64, shape (n, k)
        Log-probabilities for classes with the shares of training.
    prior, trained : ndarray of float64, shape (k,)
        Shares of the classes in the survey, and those in training, class weights included. `trained` is above 0.

    Returns
    -------
    ndarray of float64, shape (n, k)
        Log-probabilities; minus infinity for a class without a share in the survey.

    Notes
    -----
    It holds where sources of one class look the same in both, so that only their number differs.

    References
    ----------
    Saerens, Latinne & Decaestecker 2002, Neural Computation 14, 21, equation 2.4.

    Examples
    --------
    >>> p = with_prior(np.log([[0.2, 0.8]]), np.array([0.9, 0.1]), np.array([0.5, 0.5]))
    >>> np.exp(p).round(3).tolist()  # 0.2 * 0.9 / (0.2 * 0.9 + 0.8 * 0.1)
    [[0.692, 0.308]]
    """
    with np.errstate(divide="ignore"):
        scores = log_probabilities + np.log(prior) - np.log(trained)
    return np.asarray(scores - np.logaddexp.reduce(scores, axis=-1, keepdims=True))
