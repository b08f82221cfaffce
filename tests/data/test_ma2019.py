"""LRG and unLRG: the catalogues of 2019 as the 2021 testbed used them."""

from __future__ import annotations

import csv
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from rgbench.data.catalogue import CLASSES
from rgbench.data.sets import load_data, ma2019
from rgbench.errors import ChecksumError, DataError, SpecError

MIRROR = Path(os.environ["RGBENCH_MIRROR"]) if os.environ.get("RGBENCH_MIRROR") else None
needs_mirror = pytest.mark.skipif(MIRROR is None, reason="needs the public files in $RGBENCH_MIRROR")
TABLES = {"lrg": "mrt-table3.txt", "unlrg": "mrt-table4.txt"}
SIZES = {"lrg": (1328, 134), "unlrg": (14093, 51)}


@pytest.fixture(scope="module")
def catalogues():
    return {name: ma2019.catalogue(name) for name in TABLES}


def plain_rows(name):
    """Read the derived plain table of names, labels and positions."""
    with (MIRROR / "catalogues" / "lrg_unlrg.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["catalogue"].lower() == name]
    return [row for row in rows if row["label"] != "1F"], [row for row in rows if row["label"] == "1F"]


@needs_mirror
@pytest.mark.parametrize("name", TABLES)
def test_names_labels_and_positions_are_those_of_the_derived_table(catalogues, name):
    rows, fr0 = plain_rows(name)
    catalogue = catalogues[name]
    assert len(rows) + len(fr0) == SIZES[name][0]
    assert catalogue.source_id.tolist() == [row["name"] for row in rows]
    assert [CLASSES[label] for label in catalogue.label] == [row["class4"] for row in rows]
    np.testing.assert_allclose(catalogue.ra, [float(row["ra_deg"]) for row in rows], atol=1e-6)
    np.testing.assert_allclose(catalogue.dec, [float(row["dec_deg"]) for row in rows], atol=1e-6)


@needs_mirror
@pytest.mark.parametrize("name", TABLES)
def test_fr0_sources_are_left_out_but_listed(catalogues, name):
    _, fr0 = plain_rows(name)
    aside = ma2019.set_aside(name)
    assert [source for source, _ in aside] == [row["name"] for row in fr0]
    assert {reason for _, reason in aside} <= {ma2019.FR0_REASON}
    assert not set(catalogues[name].source_id) & {source for source, _ in aside}
    assert (len(catalogues[name]) + len(aside), len(aside)) == SIZES[name]


@needs_mirror
def test_no_name_is_in_both_samples(catalogues):
    names = [set(c.source_id) | {n for n, _ in ma2019.set_aside(key)} for key, c in catalogues.items()]
    assert not names[0] & names[1]


def published_table(name):
    """Read a table of Ma et al.; astropy reads the first by its own description of its bytes.

    The second contradicts its description, but every row has the same twelve words.
    """
    lines = (MIRROR / "catalogues" / "Ma2019_MCRGNet" / TABLES[name]).read_text().splitlines()
    if name == "lrg":
        return Table.read(lines, format="ascii.cds")
    words = [line.split() for line in lines if line.startswith("J")]
    assert {len(row) for row in words} == {12}
    names = (
        "Name",
        "RAh",
        "DEdeg",
        "z",
        "S1.4",
        "rMag",
        "Type-CNN",
        "BT",
        "Type-MAN",
        "BT-MAN",
        "Prob",
        "Flag",
    )
    return Table(rows=words, names=names)


@needs_mirror
@pytest.mark.parametrize("name", TABLES)
def test_the_columns_are_those_of_the_published_tables(catalogues, name):
    theirs = published_table(name)
    place = {str(row): i for i, row in enumerate(theirs["Name"])}
    catalogue = catalogues[name]
    rows = theirs[[place[source] for source in catalogue.source_id]]
    redshift = np.ma.filled(np.ma.asarray(rows["z"], dtype=float), np.nan)
    flux = np.ma.filled(np.ma.asarray(rows["S1.4"], dtype=float), np.nan)
    np.testing.assert_array_equal(catalogue.extra["redshift"], redshift)
    np.testing.assert_allclose(catalogue.extra["flux_density"], flux / 1000)
    assert catalogue.extra["cnn_label"].tolist() == [str(value) for value in rows["Type-CNN"]]
    np.testing.assert_array_equal(catalogue.extra["cnn_probability"], np.asarray(rows["Prob"], dtype=float))
    key = "Type-Lit" if name == "lrg" else "Type-MAN"
    assert catalogue.extra["native"].tolist() == [str(value) for value in rows[key]]
    if name == "lrg":
        origins = ("CoNFIG", "FR0CAT", "FRICAT", "FRIICAT", "Proctor 2011", "Cheung 2007")
        assert catalogue.extra["origin"].tolist() == [origins[int(c) - 1] for c in rows["Catalog"]]
    else:
        certainty = [ma2019.CERTAINTIES[int(flag) - 1] for flag in rows["Flag"]]
        assert catalogue.extra["certainty"].tolist() == certainty


@needs_mirror
@pytest.mark.parametrize(("name", "number"), [("lrg", 6), ("unlrg", 9)])
def test_names_that_contradict_the_table_are_marked(catalogues, name, number):
    catalogue = catalogues[name]
    assert (~catalogue.extra["table_agrees"]).sum() == number
    if name == "lrg":
        bad = set(catalogue.source_id[~catalogue.extra["table_agrees"]])
        assert {"J095407.03+212235.9", "J095456.81+174331.5"} < bad
    theirs = published_table(name)
    place = {str(row): i for i, row in enumerate(theirs["Name"])}
    rows = theirs[[place[source] for source in catalogue.source_id[catalogue.extra["table_agrees"]]]]
    agreed = catalogue.take(catalogue.extra["table_agrees"])
    np.testing.assert_allclose(agreed.ra, np.asarray(rows["RAh"], dtype=float) * 15, atol=2e-4)
    np.testing.assert_allclose(agreed.dec, np.asarray(rows["DEdeg"], dtype=float), atol=5e-5)


@needs_mirror
def test_rows_that_are_out_of_their_columns_are_read_too(catalogues):
    unlrg = catalogues["unlrg"]
    row = unlrg.source_id.tolist().index("J074654.59+193413.7")
    assert unlrg.extra["cnn_probability"][row] == 0.92425
    assert unlrg.extra["cnn_label"][row] == "3"
    assert unlrg.extra["certainty"][row] == "certain"
    row = unlrg.source_id.tolist().index("J141120.51+521209.9")
    assert unlrg.extra["flux_density"][row] == pytest.approx(22.7203)
    assert unlrg.extra["redshift"][row] == 0.4617
    probability = unlrg.extra["cnn_probability"]
    assert ((probability > 0.2) & (probability <= 1)).all()


@needs_mirror
def test_every_name_of_the_manifests_is_in_the_tables(catalogues):
    assert (catalogues["lrg"].extra["origin"] != "").all()
    assert (catalogues["lrg"].extra["certainty"] == "").all()
    assert set(catalogues["unlrg"].extra["certainty"]) <= {"certain", "possible", "uncertain", ""}
    assert set(catalogues["unlrg"].extra["origin"]) == {"Best & Heckman 2012"}
    for catalogue in catalogues.values():
        assert (catalogue.extra["cnn_label"] != "").all()


@needs_mirror
def test_the_labels_of_lrg_are_confounded_with_the_parent_catalogue(catalogues):
    lrg = catalogues["lrg"]
    pairs = Counter(zip(lrg.extra["origin"], np.array(CLASSES)[lrg.label], strict=True))
    assert {c for origin, c in pairs if origin == "Proctor 2011"} == {"Bent"}
    assert pairs["FRICAT", "FRI"] > 100
    assert pairs["FRIICAT", "FRII"] > 50
    assert set(lrg.extra["native"]) == {"1", "2", "3", "4"}


@needs_mirror
def test_agreement_with_mirabest_is_as_published_per_certainty(catalogues):
    """66 % of the sources flagged certain, 46 % of those flagged possible, 3 of 20 uncertain ones.

    The published counts leave out the sources whose rows are shorter or longer than the others; they
    differ from ours by one source, as two of MiraBest are near one of unLRG.
    """
    mirabest, ours = load_data("mirabest-f"), catalogues["unlrg"]
    sky = [
        np.stack([np.cos(d) * np.cos(r), np.cos(d) * np.sin(r), np.sin(d)], axis=1)
        for r, d in ((np.deg2rad(c.ra), np.deg2rad(c.dec)) for c in (mirabest.catalogue, ours))
    ]
    cosine = sky[0] @ sky[1].T
    nearest = cosine.argmax(axis=1)
    close = 1 - cosine.max(axis=1) < (np.deg2rad(10 / 3600)) ** 2 / 2
    theirs = np.array(mirabest.classes)[mirabest.catalogue.label][close]
    same = theirs == np.array(CLASSES)[ours.label[nearest[close]]]
    flags = ours.extra["certainty"][nearest[close]]
    lines = (MIRROR / "catalogues" / "Ma2019_MCRGNet" / TABLES["unlrg"]).read_text().splitlines()
    regular = {line[:19] for line in lines if len(line) == 85}
    counted = np.array([source in regular for source in ours.source_id[nearest[close]]])

    def count(chosen):
        return [
            (int(same[chosen & (flags == f)].sum()), int((chosen & (flags == f)).sum()))
            for f in ma2019.CERTAINTIES
        ]

    assert np.abs(np.array(count(counted)) - [(426, 648), (161, 348), (3, 20)]).max() <= 1
    assert [round(100 * agree / n) for agree, n in count(counted | True)] == [66, 47, 15]
    assert sum(n for _, n in count(counted | True)) == 1060 - 32


@needs_mirror
def test_sky_groups_link_what_is_closer_than_a_minute_of_arc(catalogues):
    for catalogue in catalogues.values():
        assert len(set(catalogue.group)) < len(catalogue)
    unlrg = catalogues["unlrg"]
    numbers, counts = np.unique(unlrg.group, return_counts=True)
    pair = np.flatnonzero(unlrg.group == numbers[counts == 2][0])
    separation = np.hypot(
        np.diff(unlrg.ra[pair])[0] * np.cos(np.deg2rad(unlrg.dec[pair[0]])), np.diff(unlrg.dec[pair])[0]
    )
    assert separation * 3600 < 60


@pytest.mark.parametrize("name", TABLES)
def test_loading_says_that_the_images_were_never_public_and_what_to_do(name):
    with pytest.raises(DataError, match=f"{name} is a catalogue: .* never public.* lrg-first,.*folder"):
        load_data(name)


def test_unknown_samples_name_the_known_ones():
    with pytest.raises(SpecError, match="legal are lrg, unlrg"):
        ma2019.catalogue("LRG")


MANIFEST = "Name,Type-Lit\n"


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    """Give a writer of a made-up LRG in a temporary mirror, with the checksums to match."""
    import hashlib
    from dataclasses import replace

    monkeypatch.setenv("RGBENCH_MIRROR", str(tmp_path))

    def write(manifest: str, table: str) -> None:
        sample = ma2019._SAMPLES["lrg"]
        files = {}
        for key, text in (("manifest", manifest), ("table", table)):
            file = getattr(sample, key)
            path = tmp_path / file.mirror_path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            files[key] = replace(file, sha256=hashlib.sha256(text.encode()).hexdigest())
        monkeypatch.setitem(ma2019._SAMPLES, "lrg", replace(sample, **files))

    return write


ROW = "J000330.73+002756.1   0.05854   0.46558                 5 1  4  4   1 0.99282"


def test_a_name_that_the_table_does_not_know_keeps_its_label(made_up):
    made_up(
        f"{MANIFEST}J000330.73+002756.1,4\nJ010000.00-003000.0,2\nJ020000.00-003000.0,1F\n", f"Title\n{ROW}\n"
    )
    found = ma2019.catalogue("lrg")
    assert found.extra["origin"].tolist() == ["Proctor 2011", ""]
    assert found.extra["cnn_label"].tolist() == ["4", ""]
    assert found.extra["cnn_probability"][0] == 0.99282
    assert np.isnan(found.extra["cnn_probability"][1])
    assert found.dec.tolist()[1] == -0.5
    assert [CLASSES[label] for label in found.label] == ["Bent", "FRI"]
    assert ma2019.set_aside("lrg") == (("J020000.00-003000.0", ma2019.FR0_REASON),)


def test_a_name_that_is_no_position_is_an_error(made_up):
    made_up(f"{MANIFEST}J000330.73+002756.1,4\nM87,2\n", f"{ROW}\n")
    with pytest.raises(DataError, match="LRG_manifest.csv: the name 'M87' is no position"):
        ma2019.catalogue("lrg")


def test_a_wrong_manifest_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("RGBENCH_MIRROR", str(tmp_path))
    (tmp_path / "catalogues" / "original").mkdir(parents=True)
    (tmp_path / "catalogues" / "original" / "LRG_manifest.csv").write_text(MANIFEST)
    with pytest.raises(ChecksumError, match="expected e3e55da8"):
        ma2019.catalogue("lrg")


@needs_mirror
def test_checksums_are_those_of_the_mirror():
    sums = dict(reversed(line.split("  ")) for line in (MIRROR / "SHA256SUMS").read_text().splitlines())
    for sample in ma2019._SAMPLES.values():
        for file in (sample.manifest, sample.table):
            assert sums[file.mirror_path] == file.sha256
