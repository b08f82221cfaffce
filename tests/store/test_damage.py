"""Every file of a store, damaged at random: each is told in one line, the others stay usable, NaN is no answer."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from rgbench.errors import RgbenchError, StoreError
from rgbench.report.of_store import write_report
from rgbench.runs.classifier import load_classifier
from rgbench.runs.reopen import StoredRun
from rgbench.store.attributions import read_looks
from rgbench.store.doubt import read_doubt
from rgbench.store.store import Store
from rgbench.training.checkpoint import read_tensors, write_tensors

FIXTURE = Path(__file__).parents[1] / "fixtures" / "store-0.1"
RUN = "56f1b059efb43921"
"""Has conditions, dropout passes and maps beside it."""
IMAGES = np.random.default_rng(1).normal(0, 0.01, (2, 72, 72)) + np.pad(np.ones((4, 4)), 34)


def mutations(content: bytes, rng: random.Random, n: int) -> list[bytes]:
    """Damage a file: cut, emptied, bits turned, bytes lost, put in twice or overwritten, another file's, zeros."""
    size, found = len(content), [b"", b"\0" * len(content), b"{}", b"[]", b"PAR1", b"\x89HDF\r\n"]
    for _ in range(n):
        at, length = rng.randrange(size), rng.randrange(1, 64)
        bit = bytes([content[at] ^ (1 << rng.randrange(8))])
        found += [
            content[:at],
            content[:at] + bit + content[at + 1 :],
            content[:at] + content[at + length :],
            content[:at] + content[at : at + length] + content[at:],
            content[:at] + rng.randbytes(length) + content[at + length :],
        ]
    return found


def use(store: Store) -> None:
    """Use all that a run's folder holds, as the commands do; what is given must be finite."""
    record = store.record(RUN)
    _ = record.predictions, record.history, read_doubt(store, RUN), store.beside(RUN, "conditions.parquet")
    read_looks(store, RUN)
    for model in ("best", "final"):
        found = StoredRun(RUN, store, model).predict(IMAGES)
        assert np.isfinite(found).all()
        assert ((found >= 0) & (found <= 1)).all()
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-9)


@pytest.mark.parametrize(
    "name",
    [
        "run.json",
        "cost.json",
        "predictions.parquet",
        "history.parquet",
        "best.safetensors",
        "looks.npz",
        "doubt.parquet",
    ],
)
def test_what_is_no_regular_file_is_told_not_waited_for(fifo, tmp_path, name):
    shutil.copytree(FIXTURE, tmp_path / "store")
    store = Store(tmp_path / "store")
    path = store.run_path(RUN) / name
    path.unlink(missing_ok=True)
    fifo(path)
    with pytest.raises(StoreError, match=f"{name}: .*cannot be read: is no regular file"):
        use(store)


def try_all(tmp_path: Path, file: str, seed: int, n: int) -> tuple[int, int]:
    """Damage one file in many ways; give how often that was told, and how often all was as before."""
    shutil.copytree(FIXTURE / "runs" / RUN, tmp_path / "runs" / RUN)
    store, path = Store(tmp_path), tmp_path / "runs" / RUN / file
    use(store)
    kept, said = 0, list[str]()
    for content in mutations(path.read_bytes(), random.Random(f"{file} {seed}"), n):
        path.write_bytes(content)
        try:
            use(store)
            kept += 1
        except RgbenchError as error:  # any other error, or a wrong answer, fails the test
            said.append(str(error))
    assert all(RUN in each and "\n" not in each for each in said)
    return len(said), kept


FILES = sorted(path.name for path in (FIXTURE / "runs" / RUN).iterdir() if not path.name.startswith("."))


@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_is_told_or_changes_nothing(tmp_path, file):
    told, _ = try_all(tmp_path, file, 0, 4)
    assert told >= 4


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_file_damaged_in_many_ways_is_told_or_changes_nothing(tmp_path, file, seed):
    told, _ = try_all(tmp_path, file, seed, 60)
    assert told >= 60


# --- what is damaged costs nothing else -------------------------------------------------------------------


@pytest.fixture
def three(tmp_path) -> Store:
    """A store of one run without a blemish and three others; each test damages what it likes."""
    shutil.copytree(FIXTURE / "runs", tmp_path / "store" / "runs")
    shutil.rmtree(tmp_path / "store" / "runs" / "1243809df6c06326")
    return Store(tmp_path / "store")


OTHER, THIRD = "5ea7dbee727b144a", "a272e5c30b239213"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [cut, folder])
@pytest.mark.parametrize("file", ["run.json", "cost.json", "predictions.parquet", "history.parquet"])
def test_a_damaged_run_is_left_out_and_the_others_are_read(three, file, damage):
    damage(three.run_path(RUN) / file)
    told: list[str] = []
    assert RUN not in {record.run_id for record in three.records(on_damage=told.append)}
    assert len(three.records(on_damage=told.append)) == 3
    (said,) = set(told)
    assert said.startswith(f"Run {RUN} is left out: {three.run_path(RUN) / file}: ")
    assert said.endswith(f"delete the folder {three.run_path(RUN)} and give the command again that made it.")
    assert "\n" not in said
    with pytest.raises(StoreError):
        _ = [(record.predictions, record.history) for record in three.records()]


@pytest.mark.parametrize(
    ("file", "key", "value", "message"),
    [
        ("cost.json", "best_epoch", float("nan"), "best_epoch is nan"),
        ("run.json", "run_id", "x" * 5000, r"is of run 'x+\.\.\., not of"),
    ],
)
def test_a_value_that_makes_no_sense_is_told_on_a_short_line(three, file, key, value, message):
    """Found by the campaign: a traceback, and a line of 5,000 characters."""
    path, told = three.run_path(RUN) / file, []
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    assert len(three.records(on_damage=told.append)) == 3
    assert re.search(message, told[0])
    assert len(told[0]) < 600


def test_the_report_names_what_is_damaged_and_has_the_rest(three):
    cut(three.run_path(RUN) / "predictions.parquet")
    cut(three.run_path(THIRD) / "doubt.parquet")
    cut(three.run_path(OTHER) / "conditions.parquet")
    cut(three.run_path(OTHER) / "looks.npz")
    made = write_report(three)
    (report,) = made.reports
    assert {record.run_id for record in report.records} == set(three.run_ids()) - {RUN}
    assert [RUN in told for told in made.warnings] == [True]
    lost = [told for told in report.warnings if told.startswith("The report is without a file of run")]
    assert [told.split(": ")[0][-16:] for told in lost] == [OTHER, THIRD, OTHER]
    assert [told.split(", and ")[-1] for told in lost] == [
        f"rgbench {command} makes it again." for command in ("stress", "uncertainty", "explain")
    ]


def test_runs_that_can_be_read_are_given_and_of_the_others_one_is_told(three):
    cut(three.run_path(RUN) / "run.json")
    cut(three.run_path(THIRD) / "predictions.parquet")  # not looked at
    told = []
    found = [record.run_id for record in three.readable(lambda *both: told.append(both))]
    assert sorted([*found, RUN]) == sorted(three.run_ids())
    assert [record.run_id for record in three.readable()] == found
    ((run_id, error),) = told
    assert run_id == RUN
    assert "run.json: cannot be read" in str(error)


def test_nothing_left_to_report_is_an_error_that_names_all(three):
    for run_id in three.run_ids():
        cut(three.run_path(run_id) / "run.json")
    with pytest.raises(StoreError, match=r"no run can be read\. Run 56f1b059efb43921 is left out"):
        write_report(three)


# --- weights and classifiers ------------------------------------------------------------------------------


def test_tensors_that_differ_from_their_checksum_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    tensors = {
        "w": torch.arange(6.0).reshape(2, 3),
        "n": torch.tensor(3),
        "half": torch.ones(2, dtype=torch.bfloat16),
    }
    write_tensors(path, tensors, {"card": "x"})
    found, metadata = read_tensors(path)
    assert metadata["format_version"] == "1"
    save_file(found | {"w": found["w"] + 1e-6}, path, metadata)
    with pytest.raises(StoreError, match="its content differs from the checksum"):
        read_tensors(path)
    save_file(found, path, metadata | {"card": "y"})
    with pytest.raises(StoreError, match="its content differs from the checksum"):
        read_tensors(path)
    save_file(found, path, metadata | {"format_version": "2"})
    with pytest.raises(
        StoreError, match=r"schema version 2, this rgbench reads up to 1.*pip install --upgrade"
    ):
        read_tensors(path)
    save_file(found, path, {"card": "x"})
    assert read_tensors(path)[1] == {"card": "x"}


def test_the_classifier_of_before_opens_without_a_word(recwarn, capsys):
    assert load_classifier("first-1").classes
    assert not recwarn.list
    assert capsys.readouterr() == ("", "")


def test_weights_that_are_not_finite_are_no_answer(three):
    path = three.run_path(RUN) / "best.safetensors"
    tensors, _ = read_tensors(path)
    write_tensors(path, {key: torch.full_like(value, float("nan")) for key, value in tensors.items()}, {})
    with pytest.raises(RgbenchError, match=f"run {RUN}: its outputs are not finite for 2 of 2 images"):
        StoredRun(RUN, three).predict(IMAGES)


# --- a full disk, a store that cannot be written -----------------------------------------------------------

_FULL = """
import resource, signal, sys
from pathlib import Path
from rgbench.errors import StoreError
from rgbench.store.files import write_bytes
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
path = Path(sys.argv[1])
write_bytes(path, b"old")
try:
    write_bytes(path, b"new" * 1000)
except StoreError as error:
    print(error)
"""


def test_a_file_that_does_not_fit_leaves_the_old_one(tmp_path):
    path = tmp_path / "run.json"
    ran = subprocess.run([sys.executable, "-c", _FULL, str(path)], capture_output=True, text=True, check=True)
    assert ran.stdout == f"{path}: cannot be written: File too large\n"
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["run.json"]
