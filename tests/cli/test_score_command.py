"""``rgbench score`` and ``rgbench data split`` on the embedded data set, and what other commands say of such a run."""

from __future__ import annotations

import csv
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from rgbench.cli.app import main
from rgbench.data.sets import load_data
from rgbench.store.store import Store
from tests.fixtures.command import said

CLASSES = ("Compact", "FRI", "FRII", "Bent")


@pytest.fixture(scope="module", autouse=True)
def loaded_once():
    """Load the embedded data set once for all commands: each would take seconds for it."""
    known = cache(load_data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rgbench.data.load.load_data", known)
        yield


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("split") / "split.csv"
    with pytest.raises(SystemExit) as ended:
        main(["data", "split", "first-galaxy-data", "--out", str(path)])
    assert not ended.value.code
    return path


@pytest.fixture(scope="module")
def sources(split) -> list[dict[str, str]]:
    with split.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def table(tmp_path, sources) -> Path:
    """Predictions of the test sources, by another program: three in four are right."""
    path = tmp_path / "predictions.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["source_id", *(f"p_{name}" for name in CLASSES)])
        for number, source in enumerate(row for row in sources if row["split"] == "test"):
            said = (CLASSES.index(source["label"]) + (number % 8 < 2)) % 4
            rows.writerow([source["source_id"], *(0.7 * np.eye(4)[said] + 0.075)])
    return path


def test_the_split_is_written_for_other_programs(split, sources, capsys, tmp_path):
    counts = {
        side: sum(row["split"] == side for row in sources) for side in ("train", "validation", "test", "")
    }
    assert counts == {"train": 1758, "validation": 198, "test": 200, "": 2}
    assert list(sources[0]) == ["source_id", "ra", "dec", "label", "split", "group", "path"]
    assert sources[0]["source_id"] == "J074708.40+171727.6"
    code, _, err = said(capsys, "data", "split", "first-galaxy-data", "--out", str(split))
    assert code == 2
    assert "is there already" in err
    folds = tmp_path / "fold.fits"
    said(capsys, "data", "split", "first-galaxy-data", "--split", "fold-1", "--out", str(folds))
    assert (Table.read(folds)["split"] == "test").sum() == 399  # one has no signal
    code, _, err = said(
        capsys, "data", "split", "first-galaxy-data", "--split", "mine", "--out", str(tmp_path / "a.csv")
    )
    assert code == 2
    assert "published" in err


@pytest.mark.slow
def test_a_table_is_scored_and_stands_in_the_store(table, capsys, tmp_path):
    store = str(tmp_path / "store")
    told = ("--name", "My ViT", "--store", store, "--trained-on", "ImageNet", "--parameters", "86000000")
    code, out, _ = said(capsys, "score", str(table), *told)
    assert code == 0
    assert "My ViT has the best mean per-class accuracy (MPCA), 75.0 %" in out
    assert "200 test sources, 1 seed" in out
    code, out, _ = said(capsys, "score", str(table), *told)
    assert code == 0
    assert "was in the store already; nothing is changed" in out
    _, out, _ = said(capsys, "runs", "--store", store)
    assert "split published, predictions made elsewhere" in out
    assert "rgbench predict" not in out
    code, out, _ = said(capsys, "report", "--store", store)
    assert code == 0
    assert "86,000,000" in (tmp_path / "store" / "report.html").read_text()
    (run_id,) = Store(store).run_ids()
    for command in (
        ("stress",),
        ("uncertainty",),
        ("explain",),
        ("stress", "--run", "My ViT"),
        ("predict", str(tmp_path), "--run", run_id[:6]),
        ("predict", str(tmp_path), "--run", "my vit"),
        ("export", run_id, "--name", "mine"),
        ("export", run_id, "--onnx"),
        ("networks", "show", "mcrgnet", "--picture", str(tmp_path / "a.svg"), "--run", run_id),
    ):
        code, _, err = said(capsys, *command, "--store", store)
        assert code == 2, command
        assert "holds predictions made elsewhere and has no weights" in err, (command, err)
        assert err.count("\n") == 1


def test_classes_alone_say_what_is_not_known(table, sources, capsys, tmp_path):
    votes = tmp_path / "votes.csv"
    test = [row for row in sources if row["split"] == "test"]
    votes.write_text(
        "ra,dec,predicted\n" + "".join(f"{row['ra']},{row['dec']},{row['label']}\n" for row in test)
    )
    code, out, _ = said(capsys, "score", str(votes), "--name", "Voter", "--store", str(tmp_path / "store"))
    assert code == 0
    assert "200 rows of the table were matched by position, within 5 arcsec." in out
    assert re.search(r"Not known, as the table has classes and no probabilities: nll, brier, ece", out)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--data", "first-galaxy"), "did you mean first-galaxy-data"),
        (("--split", "fold-9"), "has no split 'fold-9'"),
        (("--given", "guesses"), "legal are probabilities, logits, classes"),
        (("--tolerance", "60"), "up to 30 is legal"),
        (("--column", "FRI"), "NAME=VALUE is needed"),
        (("--split", "fold-0"), "test sources of first-galaxy-data, split fold-0, are missing"),
        (("--parameters", "0"), "parameters"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(table, capsys, tmp_path, options, why):
    code, _, err = said(capsys, "score", str(table), "--name", "X", "--store", str(tmp_path / "s"), *options)
    assert code != 0
    assert why in err
    assert not (tmp_path / "s").exists()


def test_what_a_message_advises_leads_to_a_score(sources, capsys, tmp_path):
    """Positions of which one is not found, and logits that are called probabilities: two options, one after another."""
    path = tmp_path / "logits.csv"
    test = [row for row in sources if row["split"] == "test"]
    lines = [f"ra_h,dec,{','.join(f'p({name})' for name in CLASSES)}"]
    for number, row in enumerate(test):
        logits = 5 + 3 * np.eye(4)[(CLASSES.index(row["label"]) + (number % 8 < 2)) % 4]
        lines.append(",".join([str(float(row["ra"]) / 15), row["dec"], *map(str, logits)]))
    path.write_text("\n".join(lines))
    options: list[str] = []
    for wanted in (["--column", "ra=ra_h"], ["--given", "logits"]):
        code, _, err = said(
            capsys, "score", str(path), "--name", "X", "--store", str(tmp_path / "s"), *options
        )
        assert code != 0
        assert " ".join(wanted) in err
        options += wanted
    code, out, _ = said(capsys, "score", str(path), "--name", "X", "--store", str(tmp_path / "s"), *options)
    assert code == 0
    assert "200 test sources, 1 seed" in out
