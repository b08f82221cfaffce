"""The campaign's own judge: what is planted is found, and what is sound is held."""

from __future__ import annotations

import gc
import socket
import subprocess
import warnings

import numpy as np
import pytest

from benchmarks.campaign import inputs, mutate, specimens, trials
from benchmarks.campaign.kills import compared
from benchmarks.campaign.ledger import Ledger
from benchmarks.campaign.states import differences, state_of
from benchmarks.campaign.trials import Bad, Verdict, judge
from rgbench.errors import DataError
from rgbench.store.files import read_json, write_json


@pytest.fixture(autouse=True, scope="module")
def _quick_collection():
    """What is loaded already need not be gone through at each collection of a trial."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def _raises(error):
    def trial(path, ground, scratch):
        raise error

    return trial


def _writes_elsewhere(path, ground, scratch):
    (ground / "elsewhere.txt").write_text("x")
    return "result"


def _starts_a_program(path, ground, scratch):
    subprocess.run(["true"], check=True)
    return "result"


def _connects(path, ground, scratch):
    with socket.socket() as one:
        one.connect_ex(("127.0.0.1", 1))
    return "result"


def _leaves_a_temporary_file(path, ground, scratch):
    (scratch / ".tmp-1-a.csv").write_text("x")
    return "result"


def _warns(path, ground, scratch):
    warnings.warn("odd", RuntimeWarning, stacklevel=1)
    return "result"


def _leaves_a_file_open(path, ground, scratch):
    (scratch / "a").open("w")
    return "result"


class _Endless(DataError):
    """An error that gets round what shortens messages."""

    def __str__(self) -> str:
        return "x" * 2001


PLANTED = {
    "KeyError ": _raises(KeyError("no such key")),
    "RecursionError ": _raises(RecursionError()),
    "not on the sky": _raises(Bad("not on the sky")),
    "an error without words": _raises(DataError("")),
    "an error with line breaks or control characters": _raises(DataError("a\nb")),
    "an error of more than 2000 characters": _raises(_Endless()),
    "touches what it must not": _writes_elsewhere,
    "touches what it must not ": _starts_a_program,
    "touches what it must not  ": _connects,
    "leaves a temporary file": _leaves_a_temporary_file,
    "warning RuntimeWarning": _warns,
    "warning ResourceWarning": _leaves_a_file_open,
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name, monkeypatch, tmp_path):
    monkeypatch.setitem(trials.TRIALS, "planted", PLANTED[name])
    verdict = judge("planted", tmp_path / "a", tmp_path)
    assert not verdict.held
    assert verdict.signature.startswith(name.strip())


def test_a_result_and_a_clear_error_are_held(monkeypatch, tmp_path):
    monkeypatch.setitem(trials.TRIALS, "good", lambda path, ground, scratch: "result")
    monkeypatch.setitem(trials.TRIALS, "refusing", _raises(DataError("a.fits: holds no image")))
    assert judge("good", tmp_path / "a", tmp_path) == Verdict(True, "result")
    assert judge("refusing", tmp_path / "a", tmp_path) == Verdict(True, "refused")


SOUND = [
    specimens.Specimen("pickle", "batch.pkl", specimens._batch(), mutate.BYTES),
    specimens.Specimen("batches", "batches.tar.gz", specimens._tar(), mutate.TAR),
    specimens.Specimen("archive", "files.tar.gz", specimens._tar(), mutate.TAR),
    specimens.Specimen("archive", "files.zip", specimens._zip(), mutate.ZIP),
    specimens.Specimen("study", "study.toml", specimens.STUDY.format(epochs=2).encode(), mutate.TEXT),
    specimens.Specimen("table", "t.csv", b"name,class,ra,dec\na,FRI,10.5,2\nb,FRII,11.5,-3\n", mutate.TEXT),
]


@pytest.mark.parametrize("sound", SOUND, ids=lambda sound: sound.kind)
def test_sound_files_give_results(sound, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sky").mkdir()
    (tmp_path / sound.name).write_bytes(sound.content)
    assert judge(sound.trial, tmp_path / sound.name, tmp_path) == Verdict(True, "result")


@pytest.mark.parametrize("number", range(len(SOUND) * 3))
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_broken_files_are_held(number, tmp_path):
    specimen, mutations, sequence = inputs.draw(12, number, SOUND)
    path = tmp_path / specimen.name
    path.write_bytes(inputs.broken(specimen, mutations, sequence))
    verdict = judge(specimen.trial, path, tmp_path)
    assert verdict.held, (verdict, [each.__name__ for each in mutations])


@pytest.mark.parametrize("name", ["../outside.txt", "/tmp/outside.txt", "a/../../outside"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_members_that_lead_out_are_refused(name, kind, monkeypatch, tmp_path):
    monkeypatch.setattr(mutate, "HOSTILE", (name,))
    change, sound = (mutate.tar_member, SOUND[2]) if kind == "tar" else (mutate.zip_member, SOUND[3])
    # A seed at which the member is a small plain file with this name, and nothing but its name is wrong.
    monkeypatch.setattr(mutate, "_pick", lambda rng, choices: choices[0])
    path = tmp_path / sound.name
    path.write_bytes(change(np.random.default_rng(0), sound.content))
    assert judge("archive", path, tmp_path) == Verdict(True, "refused")


@pytest.mark.parametrize("sound", SOUND, ids=lambda sound: sound.kind)
def test_one_number_and_seed_give_one_input(sound):
    first, second = (inputs.broken(*inputs.draw(3, 1, [sound])) for _ in range(2))
    assert first == second
    assert len({inputs.broken(*inputs.draw(3, number, [sound])) for number in range(6)}) > 3


def test_times_may_differ_between_equal_runs_and_nothing_else(tmp_path):
    for name, seconds, score in (("a", 1.0, 0.5), ("b", 2.0, 0.5), ("c", 1.0, 0.6)):
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / "cost.json", {"training_seconds": seconds, "score": score})
    a, b, c = (state_of(tmp_path / name) for name in "abc")
    assert differences(a, b) == []
    assert differences(a, c) == ["cost.json"]
    assert differences(a, {}) == ["cost.json"]


def test_what_stays_after_a_kill_is_told_apart():
    assert compared({"a": "1"}, {"a": "1"}).held
    assert compared({"a": "1", "runs/.tmp-7-b": "2"}, {"a": "1"}).signature == "temporary files stay"
    assert compared({"a": "2"}, {"a": "1"}).signature == "other content: a"


def test_the_ledger_tells_a_fault_once_and_counts_it_always():
    ledger = Ledger()
    assert [ledger.add("table", Verdict(False, "KeyError"), "input 1") for _ in range(2)] == [True, False]
    assert not ledger.add("table", Verdict(True, "refused"), "input 2")
    assert ledger.counts["table"] == {"failed": 2, "held": 1, "refused": 1}
    assert ledger.faults["table: KeyError"]["times"] == 2


def test_kept_counts_hold_no_details_which_lie_beside_the_inputs(tmp_path):
    ledger = Ledger(tmp_path / "failed")
    ledger.add("table", Verdict(False, "KeyError", "in /some/where"), "input 1 of seed 2")
    ledger.write(tmp_path / "counts.json", {"seed": 2})
    kept = read_json(tmp_path / "counts.json")
    assert kept["seed"] == 2
    assert kept["counts"] == {"table": {"failed": 1}}
    assert kept["faults"] == {"table: KeyError": {"times": 1, "first": "input 1 of seed 2"}}
    assert read_json(tmp_path / "failed/faults.json")["table: KeyError"]["detail"] == "in /some/where"
