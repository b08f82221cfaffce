"""Runs of a study on queues: the same numbers as here, each computed once, none forgotten."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from astropy.io import fits
from rich.console import Console

from rgbench.cli.app import main
from rgbench.cli.progress import QueueListener
from rgbench.cli.queues import QueueAsked
from rgbench.cli.work.runs import Machine, Way, _beside, _machine
from rgbench.data.load import load_dataset
from rgbench.errors import DataError, DeviceError, SpecError, StoreError
from rgbench.queues import hand_on
from rgbench.queues.hand_on import Compute, Submit, compute_bundle
from rgbench.queues.ray_tasks import RayChoice, on_ray
from rgbench.runs import queued
from rgbench.runs.execute import Told, execute
from rgbench.runs.listeners import Silence
from rgbench.runs.queued import Queue
from rgbench.runs.study import find_study, plan_study, run_study
from rgbench.runs.threads import in_threads
from rgbench.store.files import locked
from rgbench.store.store import RunRecord, Store
from rgbench.training.checkpoint import read_tensors
from tests.fixtures.queues import (
    foreign,
    in_time,
    needs_slurm,
    needs_submitit,
    on_executor,
    processes_with,
    ray,
    slurm,
    submitit,
)

SOURCE = Path(queued.__file__).parents[2]
STUDY = """
name = "queued"
networks = ["lenet"]
seeds = {seeds}
protocol = "modern"

[data]
name = "folder"
path = "sky"
split = "becker2021"
train_size = 6
validation_size = 2

[images]
field = 16
size = 16

[recipe]
epochs = {epochs}
views = 1
precision = "float32"
"""
POISON = """
import os, signal
from pathlib import Path
import rgbench.runs.execute as work
fit = work.fit
def poisoned(network, data, recipe, seed, files, on_step, on_epoch):
    def step(epoch, number):
        poison = Path(os.environ["RGBENCH_POISON"], str(seed))
        if epoch == 2 and poison.exists():
            poison.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
    return fit(network, data, recipe, seed, files, step, on_epoch)
work.fit = poisoned
"""
"""What each job imports: a file named as a seed kills, once, the run of the seed after an epoch."""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with images and studies of them, and a store with what one process computes."""
    root = tmp_path_factory.mktemp("queued")
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:24, :24] - 11.5
    for apart, name in ((0, "COMP"), (4, "FRII")):
        (root / "sky" / name).mkdir(parents=True)
        for i in range(12):
            spots = np.exp(-((np.abs(x) - apart) ** 2 + y**2) / 4) * rng.uniform(0.5, 2)
            header = fits.Header(
                {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CDELT1": -5e-4, "CDELT2": 5e-4}
            )
            image = (spots + rng.normal(0, 0.01, spots.shape)).astype(np.float32)
            fits.writeto(root / "sky" / name / f"J{apart:02d}{i:02d}00.0+{10 + i}0000.fits", image, header)
    (root / "study.toml").write_text(STUDY.format(seeds=[1, 2, 3], epochs=3))
    (root / "long.toml").write_text(STUDY.format(seeds=[1, 2], epochs=2000))
    with there(root), in_threads(1):
        run_study(find_study("study.toml"), Store(root / "here"))
    return root


@contextmanager
def there(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@pytest.fixture
def study(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setattr(hand_on, "PATIENCE", 0.02)
    monkeypatch.setattr(queued, "LOOK", 0.05)
    queued._bench.cache_clear()
    return find_study("study.toml")


@pytest.fixture
def poison(tmp_path, monkeypatch) -> Path:
    """A folder; a file in it named as a seed kills the first job that trains with the seed."""
    folder = tmp_path / "poison"
    folder.mkdir()
    (tmp_path / "poison.py").write_text(POISON)
    monkeypatch.setenv("RGBENCH_EXTENSIONS", str(tmp_path / "poison.py"))
    monkeypatch.setenv("RGBENCH_POISON", str(folder))
    monkeypatch.setenv("PYTHONPATH", str(SOURCE), prepend=os.pathsep)
    return folder


def alike(one: Store, other: Store) -> None:
    """Raise unless two stores hold the same runs with the same weights, predictions and histories, to the bit."""
    assert one.run_ids() == other.run_ids() != []
    for run_id in one.run_ids():
        first, second = one.record(run_id), other.record(run_id)
        assert first.status == second.status == "complete"
        files = [s.run_path(run_id) / "predictions.parquet" for s in (one, other)]
        assert files[0].read_bytes() == files[1].read_bytes()
        for name in set(first.history) - {"seconds", "train_seconds"}:
            np.testing.assert_array_equal(first.history[name], second.history[name])
        for model in ("best", "final"):
            a, b = (read_tensors(s.run_path(run_id) / f"{model}.safetensors")[0] for s in (one, other))
            assert all((a[key] == b[key]).all() for key in a)
        assert not (other.run_path(run_id) / "checkpoint.safetensors").exists()


class Notes(Silence):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def run_starts(self, spec) -> None:
        self.told.append(("starts", spec.run_id))

    def run_ends(self, record: RunRecord) -> None:
        self.told.append(("ends", record.run_id))


class Fake:
    """A queue of this process: computes at once, and fails where it is told to."""

    def __init__(self, fails=lambda number: False) -> None:
        self.fails, self.runs = fails, list[str]()

    def __call__(self, compute: Compute, bundles: Sequence[Sequence[object]]) -> list[Future[int]]:
        return [self._one(compute, *bundle) for bundle in bundles]

    def _one(self, compute: Compute, part) -> Future[int]:
        future: Future[int] = Future()
        self.runs.append(part.run_id)
        try:
            if self.fails(len(self.runs)):
                raise RuntimeError("slurmstepd: error: Detected 1 oom-kill event")
            future.set_result(compute_bundle(compute, [part]))
        except Exception as error:
            future.set_exception(error)
        return future


# --- a queue of our own -----------------------------------------------------------------------------------


def test_the_runs_are_those_of_one_process_to_the_bit(place, study, tmp_path):
    store, notes, submit = Store(tmp_path / "store"), Notes(), Fake()
    records = run_study(study, store, listener=notes, queue=Queue(submit))
    assert [record.spec.seed for record in records] == [1, 2, 3]
    alike(Store(place / "here"), store)
    assert sorted(submit.runs) == store.run_ids()
    for run_id in store.run_ids():
        assert [kind for kind, whose in notes.told if whose == run_id] == ["starts", "ends"]
    assert "1 threads" in records[0].cost["device"]
    again = Fake()
    assert len(run_study(study, store, queue=Queue(again))) == 3
    assert again.runs == [], "what is in the store is not handed on"


def test_a_job_that_fails_is_submitted_again_alone_and_at_once(place, study, tmp_path):
    told = list[tuple[int, str]]()
    submit = Fake(lambda number: number == 1)
    queue = Queue(submit, most=2, again=lambda spec, why: told.append((spec.seed, why)))
    run_study(study, Store(tmp_path / "store"), queue=queue)
    assert [submit.runs.count(run_id) for run_id in dict.fromkeys(submit.runs)] == [2, 1, 1]
    assert told == [(1, "slurmstepd: error: Detected 1 oom-kill event")]
    alike(Store(place / "here"), Store(tmp_path / "store"))


def test_a_run_whose_jobs_fail_always_is_lost_and_costs_no_other(place, study, tmp_path):
    store = Store(tmp_path / "store")
    doomed = plan_study(study, load_dataset(study.data), store).runs[1].run_id

    class Doom(Fake):
        def _one(self, compute, part):
            self.fails = lambda number: part.run_id == doomed
            return super()._one(compute, part)

    submit, notes = Doom(), Notes()
    records = run_study(study, store, listener=notes, queue=Queue(submit))
    assert submit.runs.count(doomed) == hand_on.TRIES
    assert [record.status for record in records] == ["complete", "running", "complete"]
    assert records[1].error == "its job failed 3 times: slurmstepd: error: Detected 1 oom-kill event"
    assert ("ends", doomed) in notes.told
    run_study(study, store, queue=Queue(Fake()))
    alike(Store(place / "here"), store)


def test_a_run_that_fails_by_itself_is_stored_as_failed_and_not_tried_again(study, tmp_path, monkeypatch):
    def fail(*rest):
        raise DataError("no pixels")

    monkeypatch.setattr("rgbench.runs.execute.fit", fail)
    store, submit = Store(tmp_path / "store"), Fake()
    records = run_study(study, store, queue=Queue(submit))
    assert {record.status for record in records} == {"failed"}
    assert len(submit.runs) == 3


def test_a_run_that_failed_before_is_tried_again(place, study, tmp_path):
    store = Store(tmp_path / "store")
    for spec in plan_study(study, load_dataset(study.data), store).runs[:1]:
        with store.claim(spec) as directory:
            directory.write_status("failed", "DataError: once")
        run = store.run_path(spec.run_id) / "run.json"
        run.write_text(run.read_text().replace('"written": "2', '"written": "1'))
    run_study(study, store, queue=Queue(Fake()))
    alike(Store(place / "here"), store)


def test_two_drivers_at_once_compute_each_run_once(place, study, tmp_path, monkeypatch):
    computed, original = list[str](), queued.execute

    def counting(spec, bench):
        def step(epoch, number):
            if (epoch, number) == (1, 0):
                computed.append(spec.run_id)

        return original(spec, bench, Told(step))

    monkeypatch.setattr(queued, "execute", counting)
    store, found = Store(tmp_path / "store"), list[list[RunRecord]]()
    with ThreadPoolExecutor(1) as pool:  # one: runs of one process would share the generator of dropout

        def drive() -> None:
            found.append(run_study(study, store, queue=Queue(on_executor(pool))))

        drivers = [Thread(target=drive, daemon=True) for _ in range(2)]
        for driver in drivers:
            driver.start()
        for driver in drivers:
            driver.join(120)
    assert sorted(computed) == store.run_ids()
    assert [[record.status for record in records] for records in found] == [["complete"] * 3] * 2
    alike(Store(place / "here"), store)


def test_a_job_that_sees_other_data_says_so(study, tmp_path, place):
    dataset = load_dataset(study.data)
    images = dataset.images.copy()
    images[0, 0, 0] += 1
    other = replace(dataset, images=images)
    submit, said = Fake(), list[str]()
    queue = Queue(submit, again=lambda spec, why: said.append(why))
    records = run_study(study, Store(tmp_path / "store"), dataset=other, queue=queue)
    assert {record.status for record in records} == {"running"}
    assert all("where the job runs, and" in why for why in said)


def test_a_store_that_cannot_be_locked_is_said_before_anything_is_submitted(study, tmp_path, monkeypatch):
    @contextmanager
    def no_locks(path: Path) -> Iterator[None]:
        raise StoreError(f"{path}: cannot be locked: No locks available")
        yield

    monkeypatch.setattr(queued, "locked", no_locks)
    submit = Fake()
    with pytest.raises(StoreError, match="cannot be locked: No locks available"):
        run_study(study, Store(tmp_path / "store"), queue=Queue(submit))
    assert submit.runs == []
    assert locked is not no_locks


def test_what_the_terminal_shows(study, tmp_path):
    console = Console(file=io.StringIO(), width=200)
    with QueueListener(console) as listener:
        queue = Queue(Fake(lambda number: number in (1, 4, 5)), again=listener.again)
        run_study(study, Store(tmp_path / "store"), listener=listener, queue=queue)
    said = console.file.getvalue()
    assert "3 runs, 0 of them in the store already" in said
    assert "lenet, seed 2: validation accuracy" in said
    assert said.count("its job ended without it and is submitted again (slurmstepd: error:") == 2
    assert "lenet, seed 1: lost: its job failed 3 times: slurmstepd: error:" in said
    assert "3 ended, 0 at work, 0 waiting" in said


@pytest.mark.parametrize("which", [{1}, {1, 2, 3}])
def test_a_command_that_lost_runs_reports_the_others_and_ends_with_1(
    study, tmp_path, capsys, monkeypatch, which
):
    class Doom(Fake):
        def _one(self, compute, part):
            self.fails = lambda number: part.spec.seed in which
            return super()._one(compute, part)

    @contextmanager
    def queue(*asked) -> Iterator[Submit]:
        yield Doom()

    monkeypatch.setattr("rgbench.cli.work.runs.queue_of", queue)
    with pytest.raises(SystemExit) as ended:
        main(["run", "study.toml", "--store", str(tmp_path / "store"), "--slurm"])
    assert ended.value.code == 1
    said = capsys.readouterr().out
    assert "Report:" in said
    count = "1 of 3 runs" if len(which) == 1 else "3 of 3 runs"
    assert f"{count} lost; the same command tries again:" in said
    assert "lenet, seed 1: its job failed 3 times: slurmstepd: error: Detected 1 oom-kill event" in said


# --- what is asked of a queue -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "slurm", "ray", "gpus", "found"),
    [
        ("auto", None, "auto", None, Machine("cpu", 1, 0)),
        ("auto", None, "auto", 0.25, Machine("cuda", 1, 0.25)),
        ("cuda", None, "auto", None, Machine("cuda", 1, 1)),
        ("auto", [], None, None, Machine("cpu", 1, 0)),
        ("auto", [], None, 2, Machine("cuda", 1, 2)),
        ("cuda", [], None, None, Machine("cuda", 1, 1)),
        ("auto", ["slurm_gres=shard:1"], None, None, Machine("cuda", 1, 0)),
        ("cpu", ["slurm_partition=cpu"], None, None, Machine("cpu", 1, 0)),
    ],
)
def test_the_device_of_a_queue_is_what_is_asked_for_not_what_is_here(device, slurm, ray, gpus, found):
    assert _machine(Way(queue=QueueAsked(slurm, ray), gpus=gpus), device) == found


def test_options_that_contradict_each_other_are_said():
    ray, slurm = QueueAsked(ray="auto"), QueueAsked(slurm=[])
    with pytest.raises(SpecError, match=r"--gpus-per-run: goes with --device cuda, found cpu"):
        _machine(Way(queue=ray, gpus=1), "cpu")
    with pytest.raises(SpecError, match=r"--gpus-per-run: found 0\.25; .*slurm_gres=shard:1"):
        _machine(Way(queue=slurm, gpus=0.25), "auto")
    for gpus in (1.5, float("nan"), float("inf")):
        with pytest.raises(SpecError, match=rf"--gpus-per-run: found {gpus:g}"):
            _machine(Way(queue=ray, gpus=gpus), "auto")
    with pytest.raises(SpecError, match=r"cpus_per_task is what --cpus-per-run says"):
        _machine(Way(queue=QueueAsked(slurm=["cpus_per_task=4"])), "cpu")
    with pytest.raises(DeviceError, match=r"device 'gpu' is not known"):
        _machine(Way(queue=ray), "gpu")
    assert [_beside(gpus) for gpus in (0, 1, 0.5, 0.25, 0.3, 2)] == [0, 0, 1, 3, 2, 0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--ray", "auto", "--slurm"], "give one of --slurm, --ray and --shard"),
        (["--gpus-per-run", "1"], "goes with --slurm, --ray or --job-script"),
        (["--cpus-per-run", "2"], "goes with --slurm, --ray, --shard or --job-script"),
        (["--shard", "1/2", "--jobs", "2"], "give more shares instead"),
        (["--shard", "3/2"], "--shard: found '3/2'; K/N is legal"),
        (["--slurm", "--slurm-option", "partition"], "NAME=VALUE is needed"),
        (["--slurm-option", "cluster=local", "--slurm-option", "nodez=1"], "--slurm: "),
    ],
)
def test_options_that_are_not_legal_end_in_one_line(study, tmp_path, capsys, options, said):
    with pytest.raises(SystemExit) as ended:
        main(["run", "study.toml", "--store", str(tmp_path / "store"), *options])
    assert ended.value.code == 2
    assert said in " ".join(capsys.readouterr().err.replace("│", " ").split())


@pytest.mark.parametrize(("option", "name"), [("--slurm", "submitit"), ("--ray=auto", "ray")])
def test_what_is_not_installed_is_said(study, tmp_path, capsys, monkeypatch, option, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SystemExit) as ended:
        main(["run", "study.toml", "--store", str(tmp_path / "store"), option])
    assert ended.value.code == 2
    extra = "slurm" if name == "submitit" else "ray"
    assert f"needs the package {name}: pip install 'rgbench[{extra}]'" in capsys.readouterr().err


# --- shares -----------------------------------------------------------------------------------------------


def test_shares_together_are_the_study(place, study, tmp_path, capsys):
    store = tmp_path / "store"
    main_of = ["run", "study.toml", "--store", str(store)]
    with pytest.raises(SystemExit) as ended:
        main([*main_of, "--shard", "1/2"])
    assert not ended.value.code
    said = capsys.readouterr().out
    assert "share 1/2 is done; 1 run of the study is missing elsewhere" in said
    assert "Report:" not in said
    assert len(Store(store).run_ids()) == 2
    with pytest.raises(SystemExit) as ended:
        main([*main_of, "--shard", "2/2"])
    assert not ended.value.code
    assert "Report:" in capsys.readouterr().out, "the last share writes the report"
    alike(Store(place / "here"), Store(store))


def test_the_job_script_has_the_command_of_a_share(study, tmp_path, capsys, monkeypatch):
    words = ["run", "study.toml", "--store", "my store", "--job-script", "3", "--cpus-per-run", "2"]
    monkeypatch.setattr(sys, "argv", ["rgbench", *words])
    monkeypatch.chdir(tmp_path)
    study_file = Path(queued.__file__).parents[1] / "studies" / "smoke.toml"
    (tmp_path / "study.toml").write_bytes(study_file.read_bytes())
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert not ended.value.code
    lines = capsys.readouterr().out.splitlines()
    assert "--array=1-3 --cpus-per-task=2" in lines[1]
    assert lines[-1] == "rgbench run study.toml --store 'my store' --cpus-per-run 2 --jobs 1 --shard \"$K/3\""


# --- submitit and Ray -------------------------------------------------------------------------------------


@foreign
@pytest.mark.slow
@pytest.mark.parametrize("queue", [submitit, ray, slurm], ids=lambda each: each.__name__)
def test_a_killed_job_is_submitted_again_and_goes_on_from_its_last_epoch(
    queue, place, study, tmp_path, poison
):
    (poison / "2").touch()
    store, again = Store(tmp_path / "store"), list[int]()
    with queue(tmp_path) as submit:
        asked = Queue(submit, most=2, again=lambda spec, why: again.append(spec.seed))
        run_study(study, store, queue=asked)
    assert again == [2]
    alike(Store(place / "here"), store)


@foreign
@pytest.mark.slow
def test_a_node_of_ray_that_is_killed_costs_nothing(place, study, tmp_path, poison):
    own = pytest.importorskip("ray", reason="needs Ray")
    utils = pytest.importorskip("ray.cluster_utils", reason="needs the cluster for tests of Ray")
    with in_time():
        head = {"num_cpus": 1, "include_dashboard": False}
        cluster = utils.Cluster(initialize_head=True, head_node_args=head)
    store = Store(tmp_path / "store")
    try:
        doomed = cluster.add_node(num_cpus=1)

        class Killer(Notes):
            def run_ends(self, record: RunRecord) -> None:
                super().run_ends(record)
                if doomed in cluster.list_all_nodes():
                    cluster.remove_node(doomed, allow_graceful=False)

        with on_ray(RayChoice(cluster.address)) as submit:
            run_study(study, store, listener=Killer(), queue=Queue(submit))
        assert len(cluster.list_all_nodes()) == 1
    finally:
        own.shutdown()
        cluster.shutdown()
    alike(Store(place / "here"), store)


# --- commands ---------------------------------------------------------------------------------------------

LOCAL = ("--slurm-option", "cluster=local", "--slurm-option", "timeout_min=10")


def start(*arguments: object) -> subprocess.Popen[str]:
    def heed() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)

    return subprocess.Popen(
        [sys.executable, "-m", "rgbench", "run", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed,
    )


@foreign
@pytest.mark.slow
def test_two_commands_at_once_and_a_killed_job(place, study, tmp_path, poison):
    needs_submitit()
    (poison / "1").touch()
    asked = ["study.toml", "--store", tmp_path / "store", *LOCAL, "--jobs", 2]
    both = [start(*asked) for _ in range(2)]
    said = ""
    for process in both:
        out, err = process.communicate(timeout=400)
        assert process.returncode == 0, out + err
        assert "Report:" in out
        said += out
    assert said.count("its job ended without it and is submitted again") == 1
    alike(Store(place / "here"), Store(tmp_path / "store"))


@foreign
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes by /proc")
@pytest.mark.parametrize(
    ("number", "cluster"), [(signal.SIGINT, "local"), (signal.SIGTERM, "local"), (signal.SIGTERM, "slurm")]
)
def test_a_stop_cancels_the_jobs_and_leaves_a_store_that_goes_on(
    place, study, tmp_path, poison, number, cluster
):
    needs_submitit()
    if cluster == "slurm":
        needs_slurm()
    store = tmp_path / "store"
    asked = ["long.toml", "--store", store, "--slurm-option", f"cluster={cluster}"]
    asked += ["--slurm-option", "timeout_min=10"]
    process, end = start(*asked), time.monotonic() + 120
    while not list(store.glob("runs/*/checkpoint.safetensors")):
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    line = err.splitlines()[-1]  # submitit's local jobs say more when they are cancelled
    assert "runs and epochs that were finished are in the store; to go on from there: rgbench run" in line
    end = time.monotonic() + 20
    while processes_with(str(store / "slurm")):
        assert time.monotonic() < end, "a job was left behind"
        time.sleep(0.1)
    assert list(store.glob("runs/*/checkpoint.safetensors"))
    for spec in plan_study(find_study("long.toml"), load_dataset(study.data), Store(store)).runs:
        with locked(Store(store).run_path(spec.run_id) / ".lock"):
            pass


def test_a_run_of_the_store_is_taken_from_it(place, study, tmp_path):
    """What a job does that was submitted twice."""
    store = Store(place / "here")
    (spec, *_) = plan_study(study, load_dataset(study.data), store).runs
    before = (store.run_path(spec.run_id) / "run.json").stat().st_mtime_ns
    where = queued.Place(store.root.resolve(), place, spec.data.checksum, (), "cpu", 1, 0, study.data)
    queued.compute_run(where, queued.Part(spec.run_id, spec))
    assert (store.run_path(spec.run_id) / "run.json").stat().st_mtime_ns == before
    assert queued.execute is execute
