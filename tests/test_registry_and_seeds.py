"""Registry and seeds: names resolve or explain, roles stay apart."""

from __future__ import annotations

import numpy as np
import pytest

from rgbench.errors import SpecError
from rgbench.registry import Registry
from rgbench.seeds import ROLES, derive_seed, numpy_generator


@pytest.fixture
def shapes() -> Registry[int]:
    registry: Registry[int] = Registry("shape")
    registry.register("convxpress", 1, aliases=["convXpress"])
    registry.register("mcrgnet", 2)
    return registry


def test_names_and_aliases_resolve(shapes):
    assert shapes.get("convXpress") == shapes.get("convxpress") == 1
    assert shapes.canonical("convXpress") == "convxpress"
    assert shapes.names() == ["convxpress", "mcrgnet"]
    assert shapes.aliases("convxpress") == ["convXpress"]


@pytest.mark.parametrize("taken", ["convxpress", "convXpress"])
def test_a_taken_name_is_refused(shapes, taken):
    with pytest.raises(SpecError, match="registered twice"):
        shapes.register(taken, 3)


def test_an_unknown_name_suggests_the_nearest(shapes):
    with pytest.raises(SpecError, match="unknown shape 'mcrgnett'; did you mean mcrgnet"):
        shapes.get("mcrgnett")
    with pytest.raises(SpecError, match="the shapes are convxpress, mcrgnet"):
        shapes.get("zzzz")


def test_seeds_of_different_roles_and_parts_differ():
    seeds = {derive_seed(8901, role, epoch=epoch) for role in ROLES for epoch in range(50)}
    assert len(seeds) == 50 * len(ROLES)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seeds_are_the_same_on_every_machine():
    assert derive_seed(8901, "init") == 3169550906754265424


def test_an_unknown_role_raises():
    with pytest.raises(ValueError, match="unknown seed role 'weather'; the roles are split"):
        derive_seed(1, "weather")


def test_generators_repeat():
    first, second = (numpy_generator(1, "order", epoch=2).random(5) for _ in range(2))
    np.testing.assert_array_equal(first, second)
