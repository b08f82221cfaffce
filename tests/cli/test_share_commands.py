"""The commands tasks, bundle and board: what they print, write and refuse."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import pytest

from rgbench.cli.app import main
from rgbench.tasks.catalogue import tasks

TASK = "rgbench/first-4class@1"


@pytest.fixture
def rgbench(capsys, monkeypatch, tmp_path):
    """Run a command in a folder of its own; give exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main(list(map(str, arguments)))
        said = capsys.readouterr()
        return end.value.code or 0, " ".join(said.out.split()), " ".join(said.err.split())

    return run


@pytest.fixture
def store(filled_store, tmp_path):
    return filled_store(
        tmp_path / "store", {"lenet": 0.7, "mcrgnet": 0.8}, seeds=(1, 2), elsewhere=("mcrgnet",)
    )


def test_tasks_are_listed_and_shown(rgbench, store):
    code, said, _ = rgbench("tasks")
    assert code == 0
    assert TASK in said
    code, said, _ = rgbench("tasks", TASK, "--store", "store")
    assert code == 0
    assert "test: 200 sources (50 Compact, 50 FRI, 50 FRII, 50 Bent)" in said
    assert "external data: may be used" in said
    assert (
        f"data: first-galaxy-data, split published, checksum {tasks().get(TASK).data_checksum[:12]} " in said
    )
    assert "checksum: fe7178f418ecc578" in said
    assert "of 4 runs in store, 4 of it" in said
    code, _, told = rgbench("tasks", "rgbench/first-4clas@1")
    assert code == 2
    assert f"did you mean {TASK}?" in told
    assert rgbench("tasks", "--store", "store")[0] == 2


def test_runs_that_are_not_of_a_task_are_told_with_the_reason(rgbench, filled_store, tmp_path):
    filled_store(tmp_path / "folds", {"lenet": 0.7}, seeds=(1,), data={"split": "fold-0"})
    _, said, _ = rgbench("tasks", TASK, "--store", "folds")
    assert "of 1 run in folds, 0 of it" in said
    assert "(lenet, seed 1) has the split fold-0, the task published" in said


def test_a_bundle_is_made_checked_and_shown(rgbench, store, tmp_path):
    code, said, _ = rgbench(
        "bundle", "store", "--out", "r.zip", "--task", TASK, "--by", "Jane Doe", "--external", "mcrgnet=no"
    )
    assert code == 0, said
    assert "r.zip: 4 runs of 2 networks" in said
    assert (
        "mcrgnet: trained on the training side of first-galaxy-data, split published; external data: no"
        in said
    )
    code, said, _ = rgbench("bundle", "--check", "r.zip", "--task", TASK)
    assert code == 0
    assert f"r.zip: sound; 4 runs of 2 networks, all of {TASK}" in said
    assert "stated by Jane Doe" in said
    code, said, _ = rgbench("board", "r.zip", "--out", "site")
    assert code == 0
    assert "Board: site/index.html" in said
    assert (tmp_path / "site" / "index.html").is_file()


def test_a_damaged_run_is_left_out_and_said(rgbench, store):
    run_id = store.run_ids()[0]
    (store.run_path(run_id) / "run.json").write_text("{")
    for command in (("tasks", TASK, "--store", "store"), ("bundle", "store", "--out", "r.zip", "--by", "J")):
        code, said, _ = rgbench(*command)
        assert code == 0
        assert f"Run {run_id} is left out: " in said
        assert f"delete the folder store/runs/{run_id}" in said
    assert "r.zip: 3 runs of 2 networks" in said


def test_a_folder_without_runs_stays_as_it_is(rgbench, tmp_path):
    (tmp_path / "photos").mkdir()
    for command in (
        ("bundle", "photos", "--out", "r.zip", "--by", "J"),
        ("tasks", TASK, "--store", "photos"),
    ):
        rgbench(*command)
        assert not any((tmp_path / "photos").iterdir())
    assert "none of its 0 runs" in rgbench("bundle", "photos", "--out", "r.zip", "--by", "J")[2]


def test_what_is_wrong_is_said_in_a_sentence(rgbench, store, filled_store, tmp_path):
    assert "--by" in rgbench("bundle", "store", "--out", "r.zip")[2]
    code, _, told = rgbench("bundle", "store", "--out", "r.zip", "--by", "J", "--external", "lenet")
    assert code == 2
    assert "--external: found 'lenet'; NETWORK=WORDS is legal" in told
    twice = ("--external", "lenet=a", "--external", "lenet=b")
    assert (
        "--external: lenet is given twice"
        in rgbench("bundle", "store", "--out", "r.zip", "--by", "J", *twice)[2]
    )
    assert "there is no such folder" in rgbench("bundle", "nowhere", "--out", "r.zip", "--by", "J")[2]
    assert rgbench("bundle", "store")[0] == 2
    assert rgbench("bundle", "store", "--check", "r.zip")[0] == 2
    assert not (tmp_path / "r.zip").exists()
    rgbench("bundle", "store", "--out", "r.zip", "--by", "J")
    with zipfile.ZipFile(tmp_path / "r.zip", "a") as archive:
        archive.writestr("more", "x")
    for command in (("bundle", "--check", "r.zip"), ("board", "r.zip", "--out", "site")):
        code, _, told = rgbench(*command)
        assert code == 1
        assert "r.zip: holds the file 'more', which its bundle.json does not list" in told
    filled_store(tmp_path / "folds", {"lenet": 0.7}, seeds=(1,), data={"split": "fold-0"})
    rgbench("bundle", "folds", "--out", "f.zip", "--by", "J")
    code, _, told = rgbench("bundle", "--check", "f.zip", "--task", TASK)
    assert code == 1
    assert "f.zip: run " in told
    assert f"(lenet) is not of {TASK}: it has the split fold-0" in told


@pytest.mark.slow
def test_no_torch_is_loaded(store, tmp_path):
    script = f"""
import sys
from rgbench.cli.app import main
for words in (
    ["tasks", "{TASK}", "--store", "store"],
    ["bundle", "store", "--out", "r.zip", "--by", "J"],
    ["bundle", "--check", "r.zip"],
    ["board", "r.zip", "--out", "site"],
):
    try:
        main(words)
    except SystemExit as end:
        assert not end.code, words
    assert "torch" not in sys.modules, words
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, timeout=200)
