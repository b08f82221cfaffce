"""The examples of docs/score.md and of the folder of examples run as they stand."""

from __future__ import annotations

import re
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from rgbench.store.store import Store

ROOT = Path(__file__).parents[1]
CODE = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "docs" / "score.md").read_text(encoding="utf8"), re.M | re.S
)
KERAS = next(code for code in CODE if "keras" in code)
SKLEARN = next(code for code in CODE if "sklearn" in code)


def run_of(folder: Path):
    (record,) = Store(folder / "rgbench-results").records()
    return record


def test_the_example_in_keras_is_python():
    compile(KERAS, "docs/score.md", "exec")


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("tf_keras") is None, reason="tf_keras is not installed: pip install tensorflow tf_keras"
)
def test_the_example_in_keras_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(KERAS.replace("epochs=15", "epochs=1"), "docs/score.md", "exec"), {})
    assert "test sources, 1 seed" in capsys.readouterr().out
    assert run_of(tmp_path).spec.elsewhere.outputs == "logits"


@pytest.mark.slow
def test_the_example_in_scikit_learn_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(SKLEARN, "docs/score.md", "exec"), {})
    assert "200 test sources, 1 seed" in capsys.readouterr().out
    table = run_of(tmp_path).predictions
    assert {side: len(table.select(side, "best")) for side in ("validation", "test")} == {
        "validation": 198,
        "test": 200,
    }


@pytest.mark.slow
def test_shape_features_do_as_the_document_says(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["features_sklearn.py", "--store", str(tmp_path / "rgbench-results")])
    runpy.run_path(str(ROOT / "examples" / "features_sklearn.py"), run_name="__main__")
    measured = float(re.search(r"\(MPCA\), ([\d.]+) %", capsys.readouterr().out)[1])
    said = float(
        re.search(r"recognise ([\d.]+) %", (ROOT / "docs" / "score.md").read_text(encoding="utf8"))[1]
    )
    # Other versions of scikit-learn give other last digits.
    assert measured == pytest.approx(said, abs=2.0)
    assert run_of(tmp_path).spec.network.name == "shape features"
