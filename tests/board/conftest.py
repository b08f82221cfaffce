"""Two bundles of different people, and the board of both."""

from __future__ import annotations

import pytest

from rgbench.board.build import build_board
from rgbench.bundles.statements import Stated
from rgbench.bundles.write import BundleSpec, write_bundle
from rgbench.tasks.catalogue import tasks

TASK = "rgbench/first-4class@1"
HOSTILE = '"><img src=x onerror="window.pwned = 1"><script>window.pwned = 1</script>'
LAYERS = "C3x3-4 s2 same relu · GAP · FC{classes} softmax"
OWN = f"net {HOSTILE}"


@pytest.fixture(scope="session")
def bundles(filled_store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    skills = {"convxpress": 0.85, "mcrgnet": 0.8, "lenet": 0.6, "radio-galaxy-zoo": 0.79}
    one = filled_store(folder / "one", skills)
    two = filled_store(
        folder / "two",
        {"mcrgnet": 0.7, OWN: 0.45},
        seeds=(7,),
        elsewhere=(OWN,),
        protocol="sky",
        layers={OWN: LAYERS},
    )
    write_bundle(one, folder / "one.zip", BundleSpec(Stated("Jane Doe"), tasks().get(TASK)))
    (label,) = {r.spec.network.label for r in two.records() if r.spec.network.name == OWN}
    said = Stated(f"John {HOSTILE}", {label: HOSTILE}, {label: f"=cmd() {HOSTILE}"})
    write_bundle(two, folder / "two.zip", BundleSpec(said))
    return folder / "one.zip", folder / "two.zip"


@pytest.fixture(scope="session")
def site(bundles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("board") / "site"
    build_board(bundles, folder)
    return folder
