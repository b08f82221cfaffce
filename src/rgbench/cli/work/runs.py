"""The commands ``rgbench quickstart | run``: they train networks, and load torch."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console

from rgbench.cli.progress import QueueListener, TerminalListener
from rgbench.cli.queues import NO_QUEUE, QueueAsked
from rgbench.cli.screen import say, warn
from rgbench.cli.work.data import say_loaded
from rgbench.cli.work.queues import parse_share, print_job_script, queue_of, slurm_settings
from rgbench.cli.work.report import say_reports, say_results
from rgbench.cli.work.shipped import say_shipped
from rgbench.comparison.until_decided import run_until_decided
from rgbench.data.catalogue import DataSet
from rgbench.data.load import load_dataset
from rgbench.errors import SpecError
from rgbench.escapes import for_file_name
from rgbench.measures.best import best_on_validation
from rgbench.numbers import counted
from rgbench.queues.hand_on import MOST_JOBS
from rgbench.report.of_store import ReportSpec, report_records
from rgbench.runs import original
from rgbench.runs.check import check_study
from rgbench.runs.device import choose_device, device_kind
from rgbench.runs.listeners import Listener, Several, make_listener
from rgbench.runs.plan import Plan
from rgbench.runs.queued import Queue
from rgbench.runs.side_by_side import check_jobs
from rgbench.runs.study import find_study, plan_study, run_study
from rgbench.runs.threads import in_threads
from rgbench.spec import RunSpec, Study
from rgbench.store.store import RunRecord, Store


@dataclass(frozen=True)
class Places:
    """Where things go: the store, the folder of copied models, the device."""

    store: Path
    models: Path | None
    device: str


@dataclass(frozen=True)
class Way:
    """How the runs of a study are computed.

    Attributes
    ----------
    jobs : int, optional
        Runs at the same time.
    queue : QueueAsked
        The queue, if they are not computed here, or the share of them that is.
    cores : int
        Cores of a run on a queue, or in a share.
    gpus : float, optional
        GPUs of a run on a queue, if that was told.
    until_decided : bool
        Whether seeds are added to pairs that cannot be told apart.
    hours : float, optional
        How long this may take.
    """

    jobs: int | None = None
    queue: QueueAsked = NO_QUEUE
    cores: int = 1
    gpus: float | None = None
    until_decided: bool = False
    hours: float | None = None


@dataclass(frozen=True)
class Machine:
    """On what each run is computed: device, and how much a queue gives it."""

    device: str
    cores: int
    gpus: float = 0.0


HERE = Way()


@dataclass(frozen=True)
class _Asked:
    """A study that is to be run: with its store and data, where and in which way, which share, and who else is told."""

    study: Study
    store: Store
    dataset: DataSet
    machine: Machine
    way: Way
    share: tuple[int, int]
    told: Sequence[Listener]


def run_and_report(
    study_name: str,
    store_path: Path,
    device: str,
    console: Console,
    listeners: Sequence[str] = (),
    shipped: bool = False,
    way: Way = HERE,
) -> None:
    """Run a study, print its table, write its report, say what to try next.

    With `shipped`, say first what the classifier that comes with the package gives on the same data.
    """
    study, store, machine = find_study(study_name), Store(store_path), _machine(way, device)
    share = parse_share(way.queue.share)
    if not way.queue.elsewhere:
        check_jobs(way.jobs, machine.device)
    canonical = check_study(study)
    if way.queue.job_script is not None:
        print_job_script(way.queue.job_script, machine.cores, int(machine.gpus))
        return
    others = [make_listener(name) for name in listeners]
    about = f"{study.name}: protocol {study.protocol}, data {study.data.name}, on {machine.device}"
    say(console, about, style="bold")
    dataset = load_dataset(study.data)
    if study.data.path is not None:
        say_loaded(dataset, console)
    if shipped:
        say_shipped(dataset, machine.device, console)
    asked = _Asked(canonical, store, dataset, machine, way, share, others)
    records, decided = _computed(asked, console)
    if way.queue.share is not None:
        plan = plan_study(study, dataset, store)
        if missing := _missing_elsewhere(plan, store):
            _say_share(str(way.queue.share), missing, console)
            _say_failed(records, console)
            return
        records = [store.record(spec.run_id) for spec in plan.runs]
    _report(study, store, records, dataset, console)
    say(console, *decided)


def _computed(asked: _Asked, console: Console) -> tuple[list[RunRecord], list[str]]:
    """Compute the runs of a study; give their records, and what there is to say of seeds that were added."""
    store, dataset, machine, way = asked.store, asked.dataset, asked.machine, asked.way
    with _ways(way, machine, store, console) as (shown, queue):
        told = Several(shown, *asked.told, say=partial(warn, console))

        def plan(part: Study) -> tuple[RunSpec, ...]:
            return plan_study(part, dataset, store, machine.device).runs

        def compute(part: Study) -> list[RunRecord]:
            jobs = way.jobs or 1
            return run_study(part, store, machine.device, told, dataset, jobs, asked.share, queue)

        if not way.until_decided:
            return compute(asked.study), []
        decided = run_until_decided(asked.study, store, plan, compute, way.hours, partial(say, console))
        return list(decided.records), [decided.words]


def _say_share(share: str, missing: int, console: Console) -> None:
    """Say that a share is done, and how many runs others have still to do."""
    verb = "is" if missing == 1 else "are"
    say(console, f"share {share} is done; {counted(missing, 'run')} of the study {verb} missing elsewhere")


@contextmanager
def _ways(
    way: Way, machine: Machine, store: Store, console: Console
) -> Iterator[tuple[Listener, Queue | None]]:
    """Give who shows how a study goes, and the queue that computes it, if one does."""
    if not way.queue.elsewhere:
        threads = nullcontext() if way.queue.share is None else in_threads(machine.cores)
        with threads, TerminalListener(console, machine.device) as listener:
            yield listener, None
        return
    with (
        queue_of(way.queue, store.root, machine.cores, machine.gpus) as submit,
        QueueListener(console) as shown,
    ):
        assert submit is not None
        yield shown, Queue(submit, machine.cores, _beside(machine.gpus), way.jobs or MOST_JOBS, shown.again)


def _report(study: Study, store: Store, records: list[RunRecord], dataset: DataSet, console: Console) -> None:
    """Write the report of the runs of a study; say what stands in it, and what to try next."""
    spec = ReportSpec(out=store.root / f"{for_file_name(study.name)}.html")
    reports = report_records(records, store, spec, dataset).reports
    for each in reports:
        say_results(each.comparisons[spec.model], each.records, console)
        warn(console, *each.warnings)
    say_reports(reports, console)
    _say_where(reports[0].path, store, records, console)
    _say_failed(records, console)


def _missing_elsewhere(plan: Plan, store: Store) -> int:
    """Count the runs that other shares have still to do: those that failed there are done."""
    states = [store.state(spec.run_id) for spec in plan.missing]
    return sum(state is None or state.status != "failed" for state in states)


def _machine(way: Way, device: str) -> Machine:
    """Choose on what each run is computed; `SpecError` if options contradict each other.

    The machines of a queue are others than this one: "auto" means cuda there where GPUs are asked for.
    """
    queue, settings = way.queue, slurm_settings(way.queue)
    if "cpus_per_task" in settings or "slurm_cpus_per_task" in settings:
        raise SpecError("--slurm-option: cpus_per_task is what --cpus-per-run says")
    if not (queue.elsewhere or queue.job_script):
        return Machine(choose_device(device), way.cores)
    told = any("gpu" in key or "gres" in key for key in settings)
    if device == "auto":
        device = "cuda" if way.gpus or told else "cpu"
    on_gpu = device_kind(device) == "cuda"
    if way.gpus and not on_gpu:
        raise SpecError(f"--gpus-per-run: goes with --device cuda, found {device}")
    gpus = float(on_gpu and not told) if way.gpus is None else float(way.gpus)
    if not (gpus.is_integer() or (queue.ray is not None and 0 < gpus < 1)):
        raise SpecError(
            f"--gpus-per-run: found {gpus:g}; legal are whole numbers, and with --ray those below 1. How Slurm shares "
            "a GPU is a setting of the cluster: --slurm-option slurm_gres=shard:1, for one"
        )
    return Machine(device, way.cores, gpus)


def _beside(gpus: float) -> int:
    """Count the other runs that may share the GPU of a run."""
    return int(1 / gpus + 1e-6) - 1 if 0 < gpus < 1 else 0


def run_original(options: original.OriginalOptions, only_test: str, places: Places, console: Console) -> None:
    """Run the original's quickstart: split, training, both tests, results in the last lines."""
    mode = _only_test_mode(only_test)
    prepared, device = original.prepare_original(options), choose_device(places.device)
    store, dataset = Store(places.store), prepared.dataset
    if options.mnist:
        warn(console, *prepared.left_out)
    _say_data(options.data_path is None, dataset, console)
    if mode == "train":
        with TerminalListener(console, device) as listener:
            records = run_study(prepared.study, store, device, listener, dataset)
    else:
        records = original.trained_before(prepared, store)
    if mode == "time":
        for record in records:
            _say_timing(original.time_model(record, dataset, store, device), device, console)
        return
    for record in records:
        paths = original.write_original_results(places.store, record)
        if places.models is not None and record.status == "complete":
            paths += original.copy_models(places.models, record, store)
        say(console, *(f"wrote {path}" for path in paths))
    for record in records:
        say(console, *original.final_results(record))


def _say_failed(records: list[RunRecord], console: Console) -> None:
    """Name the runs that failed, and those that a queue lost; if some were lost or all failed, end with exit code 1."""
    lost = [record for record in records if record.status == "running"]
    failed = [record for record in records if record.status not in ("running", "complete")]
    for some, word in ((failed, "failed"), (lost, "lost; the same command tries again")):
        if some:
            say(console, f"{len(some)} of {counted(len(records), 'run')} {word}:", style="red")
        for record in some:
            line = f"  {record.spec.network.name}, seed {record.spec.seed}: {record.error}"
            say(console, line, style="red")
    if lost or (failed and len(failed) == len(records)):
        sys.exit(1)


def _say_where(path: Path, store: Store, records: list[RunRecord], console: Console) -> None:
    best = best_on_validation(records).run_id if any(r.status == "complete" for r in records) else None
    lines = [f"Report: {path.resolve()}", f"Runs:   {(store.root / 'runs').resolve()}", "Next:"]
    if best is not None:
        lines.append(
            f"  rgbench predict FITS_FOLDER --run {best[:8]} --store {store.root}   classify your own images"
        )
    lines += [
        f"  rgbench stress --store {store.root}   whether this holds on other images of the same sources",
        "  rgbench networks                            what else can be compared",
        "  rgbench run my-study.toml                   a study of your own (copy studies/quickstart.toml)",
        "  rgbench quickstart -a convxpress.txt -s 8901   the 2021 study's protocol (hours on a CPU)",
    ]
    say(console, *lines)


def _say_data(embedded: bool, dataset: DataSet, console: Console) -> None:
    split = "its published split (--train_size and --val_size do not apply)" if embedded else "the 2021 split"
    say(console, f"{counted(len(dataset.catalogue), 'source')} of {dataset.card.name}, {split}")
    for name, reason in dataset.set_aside:
        warn(console, f"set aside: {name}: {reason}")


def _only_test_mode(text: str) -> str:
    modes = {"false": "train", "true": "test", "time": "time"}
    if text.lower() not in modes:
        raise SpecError(f"--only_test: found {text!r}; legal are False, True, time")
    return modes[text.lower()]


def _say_timing(timed: original.Timing, device: str, console: Console) -> None:
    """Say the rate of each pass, as the original did, and their mean and spread."""
    spec, rates = timed.record.spec, timed.rates
    listed = ", ".join(f"{rate:.1f}" for rate in rates)
    say(
        console,
        f"{spec.network.name}, seed {spec.seed}: {listed} images/s, mean {np.mean(rates):.1f}, "
        f"standard deviation {np.std(rates):.1f} (batch {timed.batch_size}, {device})",
    )
