"""Shards on queues, and in processes that die: in the end the same bytes as one process gives."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest

from rgbench.errors import SpecError, StoreError
from rgbench.queues import hand_on, ray_tasks
from rgbench.queues import slurm as slurm_jobs
from rgbench.queues.hand_on import (
    Bundles,
    Compute,
    Submit,
    Work,
    compute_bundle,
    run_queue,
)
from rgbench.queues.ray_tasks import RayChoice, on_ray
from rgbench.queues.slurm import SlurmChoice, on_slurm
from rgbench.runs.classifier import load_classifier
from rgbench.survey import executors
from rgbench.survey import plan as plans
from rgbench.survey.executors import run_processes
from rgbench.survey.job import asker, compute
from rgbench.survey.outputs import classify_survey
from rgbench.survey.survey import Survey, SurveyChoice, plan_survey
from tests.fixtures.queues import (
    foreign,
    in_time,
    needs_submitit,
    on_executor,
    processes_with,
    ray,
    slurm,
    submitit,
    until,
)

QUICK = SurveyChoice(views=1)
ROWS = 3
"""Rows of a shard; the sky has 16."""
SMALL = f"""
import os, signal, sys
from pathlib import Path
if "resource_tracker" not in " ".join(sys.orig_argv):
    import rgbench.survey.job, rgbench.survey.plan
    rgbench.survey.plan.SHARD = {ROWS}
    classify = rgbench.survey.job.classify_shard
    def poisoned(work, shard):
        if Path(os.environ.get("POISON", ".") + f"/{{shard}}").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        classify(work, shard)
    rgbench.survey.job.classify_shard = poisoned
"""
"""What each new process of Python begins with: small shards, and shards that kill whoever reads them."""


@pytest.fixture(scope="module")
def classifier():
    return load_classifier()


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(plans, "SHARD", ROWS)
    monkeypatch.setattr(hand_on, "PATIENCE", 0.02)


@pytest.fixture
def table(sky) -> Path:
    return sky.table("cat.fits")


@pytest.fixture
def survey(sky, table, classifier) -> Survey:
    """A survey of which nothing is done."""
    return plan_survey(table, [sky.mosaic], sky.folder / "out", classifier, QUICK)


@pytest.fixture
def whole(sky, table, classifier) -> list[str]:
    """What one process gives."""
    classify_survey(table, [sky.mosaic], sky.folder / "whole", classifier, QUICK, 1, ["parquet"])
    return digest(sky.folder / "whole")


@pytest.fixture
def poison(tmp_path, monkeypatch) -> Path:
    """A folder; a file in it named as a shard kills each process that begins the shard."""
    place, start = tmp_path / "poison", tmp_path / "start"
    place.mkdir()
    start.mkdir()
    (start / "sitecustomize.py").write_text(SMALL)
    source = Path(plans.__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(start), str(source)]), prepend=os.pathsep)
    monkeypatch.setenv("POISON", str(place))
    return place


def digest(out: Path) -> list[str]:
    parts = sorted((out / "classes").glob("part-*.parquet"))
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in parts]


def work_of(survey: Survey, told: list[int]) -> Work[int]:
    """Give the work of a survey as a queue has it."""
    missing = survey.plan.missing
    return Work(
        partial(compute, survey.job), lambda shards: [s for s in shards if s in missing()], told.append
    )


def written(survey: Survey) -> list[str]:
    survey.write()
    return digest(survey.out)


class Fake:
    """A queue that computes a bundle at once, unless it is told to fail."""

    def __init__(self, fails: Callable[[int, tuple[int, ...]], bool], late: bool = False) -> None:
        self.fails, self.late, self.bundles, self.most = fails, late, list[tuple[int, ...]](), 0

    def __call__(self, compute: Compute, bundles: Sequence[tuple[int, ...]]) -> list[Future[int]]:
        self.most = max(self.most, len(bundles))
        return [self._one(compute, bundle) for bundle in bundles]

    def _one(self, compute: Compute, bundle: tuple[int, ...]) -> Future[int]:
        future: Future[int] = Future()
        self.bundles.append(bundle)
        if self.late:
            compute_bundle(compute, bundle)
        if self.fails(len(self.bundles), bundle):
            future.set_exception(RuntimeError("Traceback of the queue:\nOSError: node vanished\n---"))
        else:
            future.set_result(compute_bundle(compute, bundle))
        return future


# --- a queue of our own -----------------------------------------------------------------------------------


def test_bundles_that_fail_once_are_handed_on_again(survey, whole):
    queue, told = Fake(lambda number, bundle: number <= 2), list[int]()
    assert run_queue(work_of(survey, told), survey.plan.missing(), queue, Bundles(2, ahead=2)) == {}
    assert queue.bundles == [(0, 1), (2, 3), (4, 5), (0,), (1,), (2,), (3,)]
    assert queue.most == 2
    assert sorted(told) == list(range(6))
    assert written(survey) == whole


def test_a_shard_that_always_fails_is_lost_and_takes_no_other_with_it(survey, whole):
    queue, told = Fake(lambda number, bundle: 1 in bundle), list[int]()
    with pytest.warns(UserWarning, match="failed: OSError: node vanished$"):
        lost = survey.run_on(queue, told.append, most=1)
    assert lost == [1]
    assert queue.bundles.count((1,)) == hand_on.TRIES - 1
    assert sorted(told) == [0, 2, 3, 4, 5]
    survey.write()
    reasons = pq.read_table(survey.out / "classes")["rg_reason"].to_pylist()
    assert reasons.count("its part of the work was not finished") == survey.plan.size_of(1)
    assert survey.counts().failed == survey.plan.size_of(1)
    assert survey.run_on(Fake(lambda number, bundle: False)) == []
    assert written(survey) == whole


def test_what_lies_in_the_folder_counts_not_what_the_queue_says(survey, whole):
    queue, told = Fake(lambda number, bundle: True, late=True), list[int]()
    assert run_queue(work_of(survey, told), survey.plan.missing(), queue, Bundles(3)) == {}
    assert (len(queue.bundles), sorted(told)) == (2, list(range(6)))
    assert written(survey) == whole


def test_a_job_left_over_from_other_work_writes_nothing(survey, sky, table, classifier):
    other = replace(QUICK, views=2, overwrite=True)
    new = plan_survey(table, [sky.mosaic], sky.folder / "out", classifier, other)
    with pytest.raises(StoreError, match="holds the work of another survey by now"):
        compute(survey.job, 0)
    assert new.plan.missing() == list(range(6))


def test_work_that_is_replaced_while_a_shard_is_computed_is_not_mixed(
    survey, sky, table, classifier, monkeypatch
):
    compute(survey.job, 0)  # loads what it needs
    new = plan_survey(
        table, [sky.mosaic], sky.folder / "out", classifier, replace(QUICK, views=2, overwrite=True)
    )
    with pytest.raises(StoreError, match="holds the work of another survey by now"):
        compute(survey.job, 1)
    assert new.plan.missing() == list(range(6))


# --- executors --------------------------------------------------------------------------------------------


@contextmanager
def threads() -> Iterator[Submit]:
    with ThreadPoolExecutor(3) as pool:
        yield on_executor(pool)


@contextmanager
def processes(folder: Path) -> Iterator[Submit]:
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        yield on_executor(pool)


def test_threads_give_the_same_bytes(survey, whole):
    with threads() as submit:
        assert survey.run_on(submit) == []
    assert written(survey) == whole


@foreign
@pytest.mark.slow
@pytest.mark.parametrize("queue", [processes, submitit, ray, slurm], ids=lambda each: each.__name__)
def test_each_queue_gives_the_same_bytes(queue, survey, whole, poison):
    before, told = signal.getsignal(signal.SIGTERM), list[int]()
    with queue(survey.plan.folder) as submit:
        assert signal.getsignal(signal.SIGTERM) == before
        assert survey.run_on(submit, told.append, most=2) == []
    assert sorted(told) == list(range(6))
    assert written(survey) == whole


@foreign
@pytest.mark.slow
def test_a_stop_leaves_no_job_of_submitit_behind(survey, poison):
    jobs = []

    def stopped(compute: Compute, bundles: Sequence[tuple[int, ...]]) -> None:
        jobs.extend(submit(compute, bundles))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), submitit(survey.plan.folder) as submit:
        stopped(partial(compute, survey.job), [tuple(range(6))])
    assert all(job.done() for job in jobs)
    assert not processes_with(str(survey.plan.folder / "slurm"))


@foreign
@pytest.mark.slow
def test_a_node_of_ray_that_is_killed_costs_nothing(survey, whole, poison):
    own = pytest.importorskip("ray", reason="needs Ray")
    utils = pytest.importorskip("ray.cluster_utils", reason="needs the cluster for tests of Ray")
    with in_time():
        head = {"num_cpus": 1, "include_dashboard": False}
        cluster = utils.Cluster(initialize_head=True, head_node_args=head)
    try:
        doomed = cluster.add_node(num_cpus=1)
        with on_ray(RayChoice(cluster.address)) as submit:

            def told(shard: int) -> None:
                if cluster.list_all_nodes()[-1] is doomed:
                    cluster.remove_node(doomed, allow_graceful=False)

            assert survey.run_on(submit, told, most=6) == []
        assert len(cluster.list_all_nodes()) == 1
    finally:
        own.shutdown()
        cluster.shutdown()
    assert written(survey) == whole


@foreign
@pytest.mark.slow
def test_networks_that_actors_of_ray_hold_give_the_same_bytes(survey, whole, monkeypatch):
    """One of the two is killed in the middle: it is started anew."""
    ray = pytest.importorskip("ray", reason="needs Ray")
    held, begin = [], ray_tasks._holders
    monkeypatch.setattr(ray_tasks, "_holders", lambda *asked: held.extend(begin(*asked)) or held)
    asked = []

    def told(shard: int) -> None:
        asked.append(shard)
        if len(asked) == 1:
            for each in held:
                ray.kill(each, no_restart=False)

    with in_time(), on_ray(RayChoice(gpus=0, holders=2), partial(asker, survey.job)) as submit:
        assert survey.run_on(submit, told, most=2) == []
        assert len(held) == 2
    assert sorted(asked) == list(range(6))
    assert written(survey) == whole


@foreign
@pytest.mark.slow
def test_a_cluster_without_a_gpu_or_a_classifier_is_told(survey):
    pytest.importorskip("ray", reason="needs Ray")
    gone = replace(survey.job, folder=survey.out / "nowhere")
    for choice, job, says in (
        (
            RayChoice(gpus=1),
            survey.job,
            "--ray local: the cluster has no GPU; --device cpu computes on its processors",
        ),
        (RayChoice(holders=1), gone, "--ray local: the networks cannot be loaded there: .*nowhere"),
    ):
        with in_time(), pytest.raises(SpecError, match=says), on_ray(choice, partial(asker, job)):
            pass


def dies() -> Callable[[], object]:
    os._exit(3)


def dies_of_work() -> Callable[[object], object]:
    return lambda fields: os._exit(3)


@foreign
@pytest.mark.slow
def test_a_holder_that_dies_each_time_is_given_up(survey, monkeypatch):
    pytest.importorskip("ray", reason="needs Ray")
    monkeypatch.setattr(ray_tasks, "RESTARTS", 2)
    choice = RayChoice(gpus=0, holders=1)
    with (
        in_time(),
        pytest.raises(SpecError, match="the networks cannot be loaded there"),
        on_ray(choice, dies),
    ):
        pass
    with in_time(), on_ray(choice, dies_of_work) as submit:
        (job,) = submit(partial(compute, survey.job), [(0,)])
        until(job.done, 120)
        with pytest.raises(Exception, match="[Aa]ctor"):
            job.result()
    assert 0 in survey.plan.missing()


def test_a_job_that_slurm_lists_no_more_has_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(slurm_jobs, "LOOK", 0.05)
    (tmp_path / "squeue").write_text(f"#!/bin/sh\nread all < {tmp_path}/listed && echo $all")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "listed").write_text("7_1\n")
    listed, kinds = slurm_jobs._Listed(), {}
    for number in ("7_0", "7_1"):
        paths = SimpleNamespace(result_pickle=tmp_path / f"{number}.pkl", stderr=tmp_path / f"{number}.err")
        kinds[number] = slurm_jobs._SlurmFuture(SimpleNamespace(job_id=number, paths=paths), listed)
    assert not any(future.done() for future in kinds.values())  # Slurm may not list yet what is new
    until(kinds["7_0"].done)
    assert not kinds["7_1"].done()
    with pytest.raises(RuntimeError, match=r"job 7_0 was killed; its log: .*7_0\.err"):
        kinds["7_0"].result()
    (tmp_path / "listed").unlink()  # the controller does not answer: nothing is concluded from that
    time.sleep(0.1)
    assert not kinds["7_1"].done()
    (tmp_path / "7_1.pkl").touch()
    assert kinds["7_1"].done()


def test_what_is_not_installed_or_not_there_is_said(tmp_path, monkeypatch):
    for name in ("ray", "submitit"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SpecError, match=r"--ray: needs the package ray: pip install 'rgbench\[ray\]'"):
        on_ray(RayChoice()).__enter__()
    with pytest.raises(SpecError, match=r"--slurm: needs the package submitit: .*rgbench\[slurm\]"):
        on_slurm(tmp_path, SlurmChoice()).__enter__()


def test_where_there_is_no_slurm_it_is_said(tmp_path, monkeypatch):
    needs_submitit()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SpecError, match="--slurm: Could not detect"):
        on_slurm(tmp_path, SlurmChoice()).__enter__()


def test_the_logging_of_the_program_stays_as_it_is(tmp_path):
    """Submitit sets up logging when it is imported; that closes every handler of the process."""
    needs_submitit()
    script = """
import io, logging, os, sys
from pathlib import Path
from rgbench.queues.slurm import SlurmChoice, on_slurm

class Own(logging.StreamHandler):
    def close(self):
        self.stream.close()

logging.getLogger("own").addHandler(Own(io.StringIO()))
with on_slurm(Path(sys.argv[1]), SlurmChoice(cluster="local")):
    logging.getLogger("own").warning("heard")
assert logging.getLogger("own").handlers[0].stream.getvalue() == "heard\\n"
assert "SUBMITIT_LOG_LEVEL" not in os.environ
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)


# --- processes of this machine ----------------------------------------------------------------------------


def children_of(pid: int) -> list[int]:
    """Give the processes of multiprocessing whose parent a process is, by what the system says."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            spawned = b"spawn_main" in (folder / "cmdline").read_bytes()
        except (OSError, IndexError):  # it has ended meanwhile
            continue
        if parent == pid and spawned:
            found.append(int(folder.name))
    return found


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes by /proc")


@needs_proc
@pytest.mark.slow
def test_a_worker_that_is_killed_costs_nothing(survey, whole):
    killed = list[int]()

    def told(shard: int) -> None:
        if not killed:
            killed.append(children_of(os.getpid())[0])
            os.kill(killed[0], signal.SIGKILL)

    assert survey.run(2, told) == []
    assert killed
    assert written(survey) == whole


@pytest.mark.slow
def test_processes_that_die_before_they_begin_are_an_error(survey, monkeypatch, tmp_path):
    monkeypatch.setattr(executors, "STARTS", 1)
    (tmp_path / "sitecustomize.py").write_text("import os, sys\nos._exit(1)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(StoreError, match="die before they begin"):
        run_processes(survey.job, survey.plan.missing(), 2, lambda shard: None)


def start(*arguments: object) -> subprocess.Popen[str]:
    def heed() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)

    return subprocess.Popen(
        [sys.executable, "-m", "rgbench", "survey", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed,
    )


def ended(process: subprocess.Popen[str]) -> int:
    """Wait for the end of a command; give its exit code."""
    process.communicate(timeout=300)
    return process.returncode


def command(sky, table: Path, out: str = "out", *more: object) -> list[object]:
    asked = [table, "--images", sky.mosaic, "--out", sky.folder / out, "--views", 1, "--format", "parquet"]
    return [*asked, *more]


@pytest.mark.slow
def test_a_shard_that_kills_its_process_is_lost_alone_and_tried_again(sky, table, whole, poison):
    (poison / "2").touch()
    process = start(*command(sky, table, "out", "--jobs", 2))
    out, err = process.communicate(timeout=300)
    assert process.returncode == 3, err
    assert "1 part of the work, 3 rows, could not be done" in out
    reasons = pq.read_table(sky.folder / "out" / "classes")["rg_reason"].to_pylist()
    assert reasons.count("its part of the work was not finished") == 3
    assert reasons.count("") == 13
    (poison / "2").unlink()
    assert ended(start(*command(sky, table, "out", "--jobs", 2))) == 0
    assert digest(sky.folder / "out") == whole


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_command_that_is_stopped_leaves_no_process_and_goes_on(sky, table, whole, poison, number):
    asked = command(sky, table, "out", "--jobs", 2)
    process, done = start(*asked), sky.folder / "out" / "work" / "done"
    until(lambda: any(done.glob("*.parquet")))
    workers = children_of(process.pid)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), 20)
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 128 + number, err
        (said,) = err.splitlines()
        assert "parts of the work are done, and are kept; to go on: rgbench survey" in said
    assert ended(start(*asked)) == 0
    assert digest(sky.folder / "out") == whole
    assert not list(done.glob(".tmp-*"))


@pytest.mark.slow
def test_two_commands_at_once_in_one_folder(sky, table, whole, poison):
    asked = command(sky, table, "out", "--jobs", 1)
    both = [start(*asked) for _ in range(2)]
    for process in both:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    assert digest(sky.folder / "out") == whole


def test_two_drivers_at_once_do_the_work_once(survey, whole):
    told: list[list[int]] = [[], []]
    drivers = [
        Thread(target=survey.run_on, args=(on_executor(Now()), each.append), daemon=True) for each in told
    ]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join(60)
    assert [sorted(each) for each in told] == [list(range(6))] * 2
    assert written(survey) == whole


class Now(Executor):
    """Computes what it is given at once."""

    def submit(self, call, /, *arguments, **options):
        future: Future[object] = Future()
        future.set_result(call(*arguments, **options))
        return future


# --- the job script ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_job_script_computes_shares_and_the_command_writes_the_result(sky, table, whole, poison):
    script, err = start(*command(sky, table, "out", "--job-script", 2)).communicate(timeout=300)
    assert script.startswith("#!/bin/bash\n#SBATCH"), err
    assert "16 rows" in err
    path = sky.folder / "job.sh"
    path.write_text(script.replace("\nrgbench ", f"\n{sys.executable} -m rgbench "))
    for number in (1, 2):
        environment = {**os.environ, "SLURM_ARRAY_TASK_ID": str(number)}
        subprocess.run(["bash", str(path)], env=environment, check=True, cwd=sky.folder, capture_output=True)
        assert len(list((sky.folder / "out" / "work" / "done").glob("*.parquet"))) == 3 * number
    assert ended(start(*command(sky, table))) == 0
    assert digest(sky.folder / "out") == whole
