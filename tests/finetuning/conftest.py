"""A small classifier with a skill of its own, and a sky that it has not seen."""

from __future__ import annotations

from pathlib import Path

import pytest

import rgbench
from rgbench.data.own.plan import FolderOptions
from rgbench.finetuning.own import OwnSources, read_own
from rgbench.runs.classifier import Classifier
from rgbench.runs.export import ExportChoice, make_classifier
from rgbench.runs.reopen import StoredRun
from rgbench.simulate import SimulationSpec, Survey, simulate, write_simulation
from rgbench.store.store import Store


def write_sky(folder: Path, n: int, seed: int) -> Path:
    write_simulation(
        simulate(SimulationSpec(n=n, seed=seed, survey=Survey(side=80), neighbours=False)), folder
    )
    return folder


@pytest.fixture(scope="session")
def old_sky(tmp_path_factory) -> Path:
    return write_sky(tmp_path_factory.mktemp("old"), 140, 1)


@pytest.fixture(scope="session")
def sky(tmp_path_factory) -> Path:
    return write_sky(tmp_path_factory.mktemp("sky"), 80, 2)


@pytest.fixture(scope="session")
def parent(tmp_path_factory, old_sky, toy_study) -> Classifier:
    store = Store(tmp_path_factory.mktemp("store"))
    study = toy_study(old_sky, (20, 8), (48, 24), epochs=6)
    rgbench.run_study(study, store)
    first = StoredRun(store.run_ids()[0], store)
    twin = StoredRun(first.record, store, dataset=first.dataset)
    twin.trained.network.load_state_dict(
        {key: value * 1.05 for key, value in first.trained.network.state_dict().items()}
    )
    return make_classifier([first, twin], ExportChoice("toy-1"))


@pytest.fixture(scope="session")
def parent_file(parent, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("parent") / "toy-1.safetensors"
    parent.save(path)
    return path


@pytest.fixture(scope="session")
def own(sky, parent) -> OwnSources:
    return read_own(sky, None, parent, FolderOptions())


@pytest.fixture(scope="session")
def truth(sky) -> dict[str, str]:
    """The class of each source, by its folder."""
    names = {"COMP": "Compact", "FRI": "FRI", "FRII": "FRII", "BENT": "Bent"}
    return {path.stem: names[path.parent.name] for path in sorted(sky.rglob("*.fits"))}
