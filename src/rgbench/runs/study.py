"""A study, from its file to its records: resolve, estimate, run what is missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rgbench.data.catalogue import DataSet
from rgbench.data.choices import Tested, check_choices
from rgbench.data.load import load_dataset
from rgbench.errors import SpecError, StoreError
from rgbench.runs.check import canonical_study, check_images, check_sides, check_study, describe_run
from rgbench.runs.device import check_device
from rgbench.runs.execute import Bench, Told, execute
from rgbench.runs.listeners import Chosen, Several, all_of
from rgbench.runs.plan import Plan
from rgbench.runs.precision import settle
from rgbench.runs.prepare import make_split, make_targets
from rgbench.runs.queued import Place, Queue, run_on_queue
from rgbench.runs.side_by_side import Work, check_jobs, choose_team, run_side_by_side
from rgbench.spec import MOST_EPOCHS, RunSpec, Study, read_study, resolve
from rgbench.store.store import RunRecord, Store
from rgbench.training.shortcuts import Shortcuts

_OVERHEAD_MACS = 2e7
"""What a training image costs beside the network's arithmetic, in MACs: reading, turning, copying."""


def find_study(name: str) -> Study:
    """Read a study from a TOML file, or one that ships with the package by its bare name.

    `SpecError` names the file, and the key that is wrong; networks are known, and their layers can be read.
    """
    # A name with NUL is no file.
    if name.endswith(".toml") or ("\0" not in name and Path(name).exists()):
        study = read_study(Path(name))
        try:
            canonical_study(study)
        except SpecError as error:
            raise SpecError(f"{name}: {error}") from error
        return study
    folder = resources.files("rgbench.studies")
    known = sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml"))
    if name not in known:
        raise SpecError(f"no study {name!r}: give a TOML file, or one of {', '.join(known)}")
    with resources.as_file(folder.joinpath(f"{name}.toml")) as path:
        return read_study(path)


def plan_study(
    study: Study,
    dataset: DataSet,
    store: Store,
    device: str | None = None,
    told: Callable[[str], None] = lambda network: None,
) -> Plan:
    """Resolve a study to its runs, and find out which are in the store.

    Parameters
    ----------
    study : Study
        The study.
    dataset : DataSet
        Its data.
    store : Store
        Where runs are kept.
    device : str, optional
        Where runs will be computed: what is faster there is tried. Left out, they are only looked for.
    told : callable
        Is told the name of each network that is tried, before it is.

    Raises
    ------
    SpecError
        If a name, key or value is not legal, the field is larger than the images, or a network cannot be built at
        the image size.
    DataError
        If no source is left to train on, to validate on or to test on, or one has no votes that is to be trained on
        them.
    LeakageError
        If test sources judged a choice that was made for the study.
    StoreError
        If one of the runs is in the store and damaged: the message says how it is computed again.
    """
    canonical = check_study(study, data=False)
    rows, columns = dataset.images.shape[1:]
    scale = dataset.card.pixel_scale
    known = float(scale) if np.isfinite(scale) else None
    runs = resolve(canonical, dataset.checksum, (int(rows), int(columns)), known)
    if study.same_steps:
        runs = [_with_same_steps(spec, dataset) for spec in runs]
    check_images(runs[0], dataset)
    warnings = check_choices(_tested(runs, dataset), dataset, canonical.choices)
    runs, words = settle(runs, len(dataset.classes), store, device, told)
    runs = list({spec.run_id: spec for spec in runs}.values())
    images, work = {}, {}
    for spec in runs:
        split = make_split(spec, dataset)
        check_sides(split, dataset, tested_elsewhere=bool(spec.data.test))
        make_targets(spec, dataset, split)
        facts = describe_run(spec, len(dataset.classes))
        images[spec.run_id] = len(split.indices("train")) * _views(spec)
        work[spec.run_id] = (facts["macs"] + _OVERHEAD_MACS) * spec.recipe.batch_size
    done = frozenset(spec.run_id for spec in runs if _is_complete(store, spec.run_id))
    return Plan(tuple(runs), done, images, work, words, warnings, study.name, store.root)


def _tested(runs: list[RunSpec], dataset: DataSet) -> Iterator[Tested]:
    """Give each run with its test sources; those of a split that is not drawn from the seed are found once."""
    found: dict[tuple[str, int, int], NDArray[np.int64]] = {}
    for spec in runs:
        key = (spec.data.split, spec.seed if spec.data.split == "becker2021" else 0, spec.images.field)
        if key not in found:
            found[key] = make_split(spec, dataset).indices("test")
        yield spec, found[key]


def _is_complete(store: Store, run_id: str) -> bool:
    """Tell whether a run is in the store; of a damaged one say how it is computed again."""
    try:
        return store.is_complete(run_id)
    except StoreError as error:
        raise StoreError(f"{error}. {store.anew(run_id)}") from error


def _with_same_steps(spec: RunSpec, dataset: DataSet) -> RunSpec:
    """Give a run on fewer training sources as many optimiser steps as it would have on all."""
    limit = spec.data.train_limit
    if limit is None:
        return spec
    whole = spec.model_copy(update={"data": spec.data.model_copy(update={"train_limit": None})})
    times = len(make_split(whole, dataset).indices("train")) / limit
    recipe = spec.recipe.model_copy(update={"epochs": max(1, round(spec.recipe.epochs * times))})
    if recipe.epochs > MOST_EPOCHS:
        raise SpecError(
            f"train_limits: {limit} sources would need {recipe.epochs:,} epochs for as many steps; 1 to "
            f"{MOST_EPOCHS:,} are legal: set same_steps = false, or fewer epochs"
        )
    return spec.model_copy(update={"recipe": recipe})


def run_study(
    study: Study,
    store: Store,
    device: str = "cpu",
    listener: Chosen | None = None,
    dataset: DataSet | None = None,
    jobs: int | None = 1,
    share: tuple[int, int] = (0, 1),
    queue: Queue | None = None,
) -> list[RunRecord]:
    """Compute every run of a study that is not in the store; give the records of all.

    Parameters
    ----------
    study : Study
        The study.
    store : Store
        Where runs are kept.
    device : str
        A torch device; never exchanged for another one silently.
    listener : Listener, str or several of them
        Who is told how it goes: objects, or names of the registry of listeners, as "progress" or "tensorboard". One
        that fails is told nothing more, which a warning says; it stops no run and changes none.
    dataset : DataSet, optional
        The data, if they are loaded already.
    jobs : int, optional
        Runs that are computed at the same time on a CPU, each in a process of its own. None: as many as there are
        cores, runs and memory for. More than one needs, in a script, the guard ``if __name__ == "__main__":``, as
        all of Python's multiprocessing does. Rates of a run are then measured beside the others, which its cost says.
    share : (int, int)
        Which share of the runs, from 0, of how many: what one job of a queue computes.
    queue : Queue, optional
        Where runs are computed instead of here; `jobs` is without meaning then, and `device` one of the queue's
        machines.

    Returns
    -------
    list of RunRecord
        In the order of the study; failed runs among them, with their reason. Those that a queue lost have the status
        "running".

    Raises
    ------
    SpecError
        If a name or a value of the study is not legal: before any data are loaded.
    DataError
        If the data cannot be loaded, or leave a side of the split empty: before anything is trained.
    DeviceError
        If the device is not there.
    """
    if queue is None:
        check_device(device)
        check_jobs(jobs, device)
    check_study(study, data=dataset is None)
    Shortcuts.chosen()  # a wrong name is told before anything is computed
    told = all_of(listener or ())
    dataset = dataset or load_dataset(study.data)
    plan = plan_study(study, dataset, store, device, told.tries).share(*share)
    _note_choices(plan, study, store)
    told.starts(plan)
    longest_first = sorted(plan.missing, key=lambda spec: -plan.total_work([spec]))
    if queue is not None:
        return _run_elsewhere(plan, longest_first, _place(study, store, dataset, device, queue), queue, told)
    team = choose_team(len(plan.runs), dataset.images.nbytes, device, jobs)
    if team.jobs > 1 and plan.missing:
        _tell_done(plan, store, told)
        run_side_by_side(longest_first, Work(dataset, store.root, study.extensions, team), told)
        return [store.record(spec.run_id) for spec in plan.runs]
    bench, records = Bench(dataset, store, device), []
    for spec in plan.runs:
        if spec.run_id not in plan.done:
            told.run_starts(spec)
        record = execute(spec, bench, Told(partial(told.step, spec), partial(told.epoch, spec)))
        told.run_ends(record)
        records.append(record)
    return records


def _note_choices(plan: Plan, study: Study, store: Store) -> None:
    """Have the store tell of each run what was chosen for the study, so that reports can say it."""
    if not study.choices:
        return
    there = set(store.run_ids())
    for spec in plan.runs:
        known = store.record(spec.run_id).choices if spec.run_id in there else ()
        # What is noted is left alone: another process may hold the run while it computes it.
        if not set(study.choices) <= set(known):
            with store.claim(spec) as directory:
                directory.write_choices(study.choices)


def _run_elsewhere(
    plan: Plan, missing: list[RunSpec], place: Place, queue: Queue, told: Several
) -> list[RunRecord]:
    """Compute the runs of a plan that are missing on a queue; give the records of all."""
    store = Store(place.store)
    _tell_done(plan, store, told)
    lost = run_on_queue(missing, place, store, queue, told)
    return [lost.get(spec.run_id) or store.record(spec.run_id) for spec in plan.runs]


def _place(study: Study, store: Store, dataset: DataSet, device: str, queue: Queue) -> Place:
    root = store.root.resolve()
    how = (study.extensions, device, queue.cores, queue.beside)
    return Place(root, Path.cwd(), dataset.checksum, *how, study.data)


def _tell_done(plan: Plan, store: Store, told: Several) -> None:
    """Tell of the runs that are in the store already."""
    for spec in plan.runs:
        if spec.run_id in plan.done:
            told.run_ends(store.record(spec.run_id))


def stored_records(study: Study, dataset: DataSet, store: Store) -> list[RunRecord]:
    """Give the records of a study's runs that are complete in the store; compute nothing."""
    plan = plan_study(study, dataset, store)
    return [store.record(spec.run_id) for spec in plan.runs if spec.run_id in plan.done]


def measure_rate(device: str, seconds: float = 0.3) -> float:
    """Measure how many MACs/s of a training step the device does, on convolutions like the networks'.

    A training step counts three passes over the network's MACs: forward, and twice backward. The best step counts:
    beside other work most are slower than the training will be, by ten times where threads wait for each other.
    """
    check_device(device)
    layer = torch.nn.Conv2d(32, 32, 3, padding=1).to(device)
    images = torch.zeros(8, 32, 64, 64, device=device)
    macs = 8 * 64 * 64 * 32 * 32 * 9
    rates: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() - began < seconds or len(rates) < 3:
        start = time.perf_counter()
        layer(images).sum().backward()
        float(layer.bias.grad.sum())  # type: ignore[union-attr]
        rates.append(macs / (time.perf_counter() - start))
    return max(rates)


def _views(spec: RunSpec) -> int:
    return len(range(0, 360, spec.augmentation.step)) if spec.augmentation.kind == "rotations" else 1
