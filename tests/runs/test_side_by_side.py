"""Runs side by side: the same bits as one after another, everybody told, nothing left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal

import numpy as np
import pytest
import torch

from rgbench.data.load import load_dataset
from rgbench.errors import SpecError, StoreError
from rgbench.runs.listeners import Silence
from rgbench.runs.side_by_side import Team, choose_team
from rgbench.runs.study import run_study
from rgbench.spec import Study
from rgbench.store.store import Store


class Notes(Silence):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def run_starts(self, spec):
        self.told.append(("starts", spec.run_id))

    def step(self, spec, epoch, step):
        self.told.append(("step", spec.run_id))

    def run_ends(self, record):
        self.told.append(("ends", record.run_id))


@pytest.fixture(scope="module")
def study(toy_study, toy_images) -> Study:
    return toy_study(toy_images, (5, 2), (20, 20), 2).model_copy(update={"seeds": (1, 2, 3)})


@pytest.fixture(scope="module")
def dataset(study):
    return load_dataset(study.data)


@pytest.mark.slow
def test_runs_side_by_side_give_the_bits_of_runs_one_after_another(study, dataset, tmp_path):
    threads, notes = torch.get_num_threads(), Notes()
    torch.set_num_threads(2)  # for two processes, each of which then has one
    try:
        together = run_study(study, Store(tmp_path / "together"), listener=notes, dataset=dataset, jobs=2)
        torch.set_num_threads(1)
        alone = run_study(study, Store(tmp_path / "alone"), dataset=dataset)
    finally:
        torch.set_num_threads(threads)
    assert [r.run_id for r in together] == [r.run_id for r in alone]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one.predictions.logits, other.predictions.logits)
    assert together[0].cost["device"].endswith("1 threads, beside 1 other run")
    for record in together:
        mine = [kind for kind, run_id in notes.told if run_id == record.run_id]
        assert mine == ["starts", *["step"] * (len(mine) - 2), "ends"]
        assert len(mine) > 3
    assert not multiprocessing.active_children()
    again = run_study(study, Store(tmp_path / "together"), dataset=dataset, jobs=2)
    assert [r.run_id for r in again] == [r.run_id for r in alone]


@pytest.mark.slow
def test_a_process_that_is_killed_is_named_and_leaves_none_behind(study, dataset, tmp_path):
    class Killer(Notes):
        def step(self, spec, epoch, step):
            for process in multiprocessing.active_children():
                os.kill(process.pid, signal.SIGKILL)

    with pytest.raises(StoreError, match=r"run [0-9a-f]{16}: its process ended with exit code -9.*--jobs 1"):
        run_study(study, Store(tmp_path), listener=Killer(), dataset=dataset, jobs=2)
    assert not multiprocessing.active_children()
    assert len(run_study(study, Store(tmp_path), dataset=dataset)) == 3


@pytest.mark.slow
def test_ctrl_c_ends_all_processes(study, dataset, tmp_path):
    class Interrupter(Notes):
        def step(self, spec, epoch, step):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(study, Store(tmp_path), listener=Interrupter(), dataset=dataset, jobs=2)
    assert not multiprocessing.active_children()


def test_the_number_of_processes_fits_the_machine(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    assert choose_team(1, 10**6, "cpu") == Team(1, 16)
    assert choose_team(9, 10**6, "cpu", 4) == Team(4, 4)
    assert choose_team(9, 10**6, "cpu", 32) == Team(9, 1)
    assert choose_team(9, 10**15, "cpu") == Team(1, 16)
    with pytest.raises(SpecError, match="--jobs: found 0; 1 and more are legal"):
        choose_team(9, 10**6, "cpu", 0)
    with pytest.raises(SpecError, match="--jobs: found 2 on device cuda; only 1 is legal"):
        choose_team(9, 10**6, "cuda", 2)
