"""Croissant: every reference leads somewhere, the table is the one that is named, and mlcroissant reads it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from rgbench.cli.app import main
from rgbench.data.catalogue import Card, Catalogue, DataSet
from rgbench.data.croissant import CONFORMS_TO, TABLE, File, describe, source_table, write_croissant
from rgbench.data.sets import load_data
from rgbench.data.split import Split, published_split
from rgbench.errors import SpecError

SIDES = np.array(["train", "validation", "test", "test", "", "train"])
LIBRARY = """
import sys, json
import mlcroissant
found = mlcroissant.Dataset(jsonld=sys.argv[1])
issues = found.metadata.ctx.issues
assert not issues.errors and not issues.warnings, (issues.errors, issues.warnings)
rows = [{key.split("/")[1]: value.decode() if isinstance(value, bytes) else value for key, value in row.items()}
        for row in found.records("sources")]
print(json.dumps(rows))
"""


def dataset(**changes) -> DataSet:
    n = 6
    catalogue = Catalogue(
        source_id=np.array([f"s,{k}" for k in range(n)]),
        ra=np.array([10.5, np.nan, 12, 13, 14, 15]),
        dec=np.array([-1.25, np.nan, 2, 3, 4, 5]),
        label=np.array([0, 1, 1, 0, -1, 1]),
        group=np.arange(n),
        path=np.array([f"a/{k}.fits" for k in range(n)]),
        flags=np.zeros(n, dtype=np.int64),
    )
    card = Card("toy", "A toy", licence="Free.", classes=("A", "B"), defects=("small",), keys=("Griese2023",))
    return DataSet(replace(card, **changes), catalogue, np.zeros((n, 8, 9)), {"published": SIDES})


def split() -> Split:
    return Split("published", SIDES, np.arange(6))


def ids(node) -> list[str]:
    """Collect the @id of each thing that is declared: it has a type."""
    if isinstance(node, list):
        return [found for each in node for found in ids(each)]
    if not isinstance(node, dict):
        return []
    own = [node["@id"]] if "@type" in node and "@id" in node else []
    return own + [found for key, each in node.items() if key != "@context" for found in ids(each)]


def references(node) -> list[str]:
    """Collect the @id of each thing that is referred to: a record with nothing else."""
    if isinstance(node, list):
        return [found for each in node for found in references(each)]
    if not isinstance(node, dict):
        return []
    own = [node["@id"]] if set(node) == {"@id"} else []
    return own + [found for key, each in node.items() if key != "@context" for found in references(each)]


def check_structure(document: dict, table: str) -> list[dict[str, str]]:
    """Check what the standard asks for; give the rows of the table."""
    assert document["conformsTo"] == CONFORMS_TO
    assert document["@type"] == "sc:Dataset"
    for key in ("name", "description", "license", "citeAs", "url", "distribution", "recordSet"):
        assert document[key], key
    declared = ids({key: value for key, value in document.items() if key != "@type"})
    assert len(declared) == len(set(declared))
    assert set(references(document)) <= set(declared)
    files = {file["@id"]: file for file in document["distribution"]}
    for file in files.values():
        assert set(file) == {"@type", "@id", "name", "contentUrl", "encodingFormat", "sha256"}
        assert len(bytes.fromhex(file["sha256"])) == 32
    assert files[TABLE]["sha256"] == hashlib.sha256(table.encode()).hexdigest()
    rows = list(csv.DictReader(io.StringIO(table)))
    (sources,) = (each for each in document["recordSet"] if each["@id"] == "sources")
    assert [field["source"]["extract"]["column"] for field in sources["field"]] == list(rows[0])
    for records in document["recordSet"]:
        names = {field["@id"] for field in records["field"]}
        assert all(field.startswith(f"{records['@id']}/") for field in names)
        assert all(set(row) == names for row in records.get("data", []))
        assert records["key"]["@id"] in names
    return rows


def test_a_data_set_and_a_split_of_any_origin():
    archive = File("toy.zip", "https://example.org/toy.zip", "0" * 64, "application/zip")
    document, table = describe(dataset(), split(), [archive]), source_table(dataset(), split())
    rows = check_structure(document, table)
    assert rows[1] == {
        "source_id": "s,1",
        "ra": "",
        "dec": "",
        "label": "B",
        "split": "validation",
        "group": "1",
        "image": "a/1.fits",
    }
    assert rows[4]["label"] == rows[4]["split"] == ""
    assert document["distribution"][0]["contentUrl"] == archive.url
    assert document["rai:dataLimitations"] == ["small"]
    assert document["datePublished"] == "2023"
    assert "2 train, 1 validation, 2 test" in document["description"]
    listed = {
        each["@id"]: [row[f"{each['@id']}/name"] for row in each["data"]]
        for each in document["recordSet"][:2]
    }
    assert listed == {"classes": ["A", "B"], "splits": ["train", "validation", "test"]}


def test_without_a_split_there_is_no_column_for_it():
    document, table = describe(dataset()), source_table(dataset())
    rows = check_structure(document, table)
    assert "split" not in rows[0]
    assert [each["@id"] for each in document["recordSet"]] == ["classes", "sources"]


def test_what_a_card_does_not_tell_is_said_to_be_unknown():
    document = describe(dataset(licence="", defects=(), keys=(), doi=""))
    assert document["license"] == document["citeAs"] == document["url"] == "not known"
    assert "datePublished" not in document
    assert describe(dataset(keys=("Nobody2030",), paper="Nobody 2030"))["citeAs"] == "Nobody 2030"
    assert describe(dataset(doi="10.1/x"))["sameAs"] == "https://doi.org/10.1/x"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("croissant")
    return write_croissant("first-galaxy-data", None, folder)


def test_the_embedded_data_set(written):
    path, table = written
    document = json.loads(path.read_text(encoding="utf8"))
    rows = check_structure(document, table.read_text(encoding="utf8"))
    loaded = load_data("first-galaxy-data")
    assigned = published_split(loaded).assignment
    assert [row["split"] for row in rows] == assigned.tolist()
    assert [row["source_id"] for row in rows] == loaded.catalogue.source_id.tolist()
    assert [float(row["ra"]) for row in rows] == loaded.catalogue.ra.tolist()
    classes = [row["classes/name"] for row in document["recordSet"][0]["data"]]
    assert [classes.index(row["label"]) for row in rows] == loaded.catalogue.label.tolist()
    assert document["distribution"][0]["sha256"].startswith("1f9656a9")
    assert document["identifier"] == f"sha256:{loaded.checksum}"
    assert "FRI-WAT" in "".join(document["rai:dataLimitations"])


@pytest.mark.slow
def test_mlcroissant_finds_no_fault_and_reads_the_sources(written):
    if find_spec("mlcroissant") is None:
        pytest.skip("pip install mlcroissant")
    path, table = written
    # In a process of its own: its libraries warn while they are imported.
    done = subprocess.run(
        [sys.executable, "-c", LIBRARY, path], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    expected = list(csv.DictReader(io.StringIO(table.read_text(encoding="utf8"))))
    assert [row["label"] for row in read] == [row["label"] for row in expected]
    assert [row["split"] for row in read] == [row["split"] or None for row in expected]


def test_the_command_writes_two_files_and_replaces_none(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as done:
        main(["data", "croissant", "first-galaxy-data", "--split", "fold-1", "--out", "there"])
    assert done.value.code == 0
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == [
        "first-galaxy-data.croissant.json",
        "first-galaxy-data.csv",
    ]
    assert "Split: fold-1." in (tmp_path / "there" / "first-galaxy-data.croissant.json").read_text()
    with pytest.raises(SpecError, match="is there already"):
        write_croissant("first-galaxy-data", None, tmp_path / "there")
    with pytest.raises(SpecError, match="has no split 'fold-9'; its splits: published, fold-0"):
        write_croissant("first-galaxy-data", "fold-9", tmp_path / "elsewhere")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(SpecError, match="is a file; name a folder"):
        write_croissant("first-galaxy-data", None, tmp_path / "file")
