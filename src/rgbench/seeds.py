"""A seed is addressed by its role, so that one source of randomness never moves another.

Nothing in the package seeds a global generator. A study has one seed; each use of chance asks for
its own number, derived by hashing the study seed, the role and whatever else may vary.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np

ROLES = ("split", "init", "order", "augmentation", "dropout", "bootstrap", "seeds")
"""Every role that may ask for a seed; "seeds" are those that are added to a study (``--until-decided``)."""


def derive_seed(study_seed: int, role: str, **parts: int | str) -> int:
    """Derive the seed of one role from the study seed.

    Parameters
    ----------
    study_seed : int
        The seed that the user gave.
    role : str
        One of `ROLES`.
    **parts : int or str
        Whatever else tells two uses apart, e.g. ``epoch=3``.

    Returns
    -------
    int
        A number in [0, 2**63), equal on every machine.

    Raises
    ------
    ValueError
        If the role is not one of `ROLES`.

    Examples
    --------
    >>> derive_seed(8901, "order", epoch=0) == derive_seed(8901, "order", epoch=0)
    True
    >>> derive_seed(8901, "order", epoch=0) == derive_seed(8901, "dropout", epoch=0)
    False
    """
    if role not in ROLES:
        raise ValueError(f"unknown seed role {role!r}; the roles are {', '.join(ROLES)}")
    address = json.dumps([int(study_seed), role, parts], sort_keys=True)
    return int.from_bytes(hashlib.sha256(address.encode()).digest()[:8], "big") >> 1


def numpy_generator(study_seed: int, role: str, **parts: int | str) -> np.random.Generator:
    """Make the NumPy generator of one role; arguments as in `derive_seed`."""
    return np.random.default_rng(derive_seed(study_seed, role, **parts))
