"""The notebook: clean as it is kept, and it runs from its first cell to its last."""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "from_data_to_answer.ipynb"


def in_a_kernel(test):
    """Mark a test of the notebook as it was run; what packages of Jupyter warn of is theirs."""
    return pytest.mark.slow(pytest.mark.filterwarnings("ignore")(test))


def cells(kind: str) -> list[dict]:
    return [
        cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf8"))["cells"] if cell["cell_type"] == kind
    ]


def test_it_is_kept_without_outputs_and_its_code_is_python():
    for cell in cells("code"):
        assert (cell["outputs"], cell["execution_count"], cell["metadata"]) == ([], None, {})
        ast.parse("".join(cell["source"]))


def test_its_words_name_what_is_there():
    text = "".join(line for cell in cells("markdown") for line in cell["source"])
    documents = re.findall(r"`(docs/[\w.-]+)`", text)
    assert documents
    assert [name for name in documents if not (ROOT / name).exists()] == []


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook after a run in a real kernel."""
    reason = "needs nbclient and ipykernel: pip install 'rgbench[dev]'"
    nbclient = pytest.importorskip("nbclient", reason=reason)
    pytest.importorskip("ipykernel", reason=reason)
    nbformat = pytest.importorskip("nbformat", reason=reason)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    folder = tmp_path_factory.mktemp("notebook")
    # The kernel of this environment, whatever others are installed on the machine.
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel = folder / "kernels" / "here"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(
        json.dumps({"argv": command, "display_name": "here", "language": "python"})
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(folder))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), *sys.path]))
        options = {"timeout": 1800, "kernel_name": "here", "resources": {"metadata": {"path": str(folder)}}}
        nbclient.NotebookClient(notebook, **options).execute()
    return folder, [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(executed, begins: str) -> list[dict]:
    """Give the outputs of the cell that has a line which begins so."""
    (cell,) = [
        cell for cell in executed[1] if any(line.startswith(begins) for line in cell.source.splitlines())
    ]
    return cell.outputs


@in_a_kernel
def test_progress_is_one_output_that_ends_with_the_last_run(executed):
    (only,) = outputs(executed, "records = ")
    assert only.output_type == "display_data"
    lines = only.data["text/plain"].splitlines()
    assert lines[0] == "4 runs, 0 of them in the store already"
    assert len(lines) == 5
    assert all("validation accuracy" in line for line in lines[1:])


@in_a_kernel
def test_the_answer_stands_in_it(executed):
    (shown,) = outputs(executed, "comparison = ")
    assert "Comparison by mean per-class accuracy (MPCA)" in shown.data["text/html"]
    assert "test sources" in shown.data["text/html"]
    (table,) = outputs(executed, "comparison.to_astropy")
    assert "mcrgnet" in table.data["text/html"]
    printed, wrong = outputs(executed, "table = ")
    assert "surest" in wrong.data["text/html"]
    assert "of 200 test sources are in a wrong class" in printed.text
    assert (executed[0] / "notebook-store" / "report.html").stat().st_size > 10_000


@in_a_kernel
def test_nothing_is_said_on_the_error_stream_and_outputs_are_small(executed):
    said = [output for cell in executed[1] for output in cell.outputs if output.get("name") == "stderr"]
    assert said == []
    assert len(json.dumps([cell.outputs for cell in executed[1]])) < 400_000
