"""A survey from catalogue and mosaics to a class for every row."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from rgbench.cli.app import main
from rgbench.errors import DataError, SpecError, StoreError
from rgbench.runs.classifier import load_classifier
from rgbench.runs.classify import classify_files
from rgbench.survey import plan as plans
from rgbench.survey.catalogue import SurveyCatalogue
from rgbench.survey.estimate import estimate
from rgbench.survey.merge import described
from rgbench.survey.mosaics import Mosaic
from rgbench.survey.outputs import classify_survey
from rgbench.survey.sizes import check_unresolved
from rgbench.survey.survey import SurveyChoice, plan_survey


@pytest.fixture(scope="session")
def classifier():
    return load_classifier()


def rows_of(out: Path) -> pa.Table:
    return pa.concat_tables(pq.read_table(path) for path in sorted((out / "classes").glob("*.parquet")))


def digest(out: Path) -> list[str]:
    return [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted((out / "classes").glob("*.parquet"))
    ]


QUICK = SurveyChoice(views=1)


@pytest.mark.parametrize("views", [1, "auto"])
def test_a_survey_says_what_predict_says_of_cutouts_of_the_same_sources(sky, classifier, views):
    """Cut out by hand, a file each, and given to `rgbench predict`: another path to the same pixels."""
    table, choice = sky.table("cat.fits"), SurveyChoice(views=views)
    survey = classify_survey(table, [sky.mosaic], sky.folder / "out", classifier, choice, jobs=1)
    found = rows_of(sky.folder / "out")
    folder = sky.folder / "cutouts"
    folder.mkdir()
    places = survey.mosaics[0].face.places(np.array(sky.catalogue["RA"]), np.array(sky.catalogue["DEC"]))
    for number, (row, column) in enumerate(zip(*places, strict=True)):
        top, left = round(row - 149.5), round(column - 149.5)
        padded = np.pad(sky.pixels, 300, constant_values=np.nan)[
            300 + top : 600 + top, 300 + left : 600 + left
        ]
        header = sky.header.copy()
        header["CRPIX1"] -= left
        header["CRPIX2"] -= top
        fits.writeto(folder / f"s{number:02d}.fits", padded, header)
    expected = classify_files(classifier.with_views(views), [folder])
    chances = np.column_stack([found[f"rg_p_{name}"] for name in classifier.classes])
    np.testing.assert_allclose(chances, expected.probabilities, atol=2e-4)
    assert found["rg_class"].to_pylist() == expected.columns()["class"].tolist()
    assert found["rg_flags"].to_pylist() == expected.columns()["flags"].tolist()
    assert found["rg_set"].to_pylist() == expected.columns()["set"].tolist()
    np.testing.assert_allclose(found["rg_unlike"], expected.unlike, atol=0.03)
    np.testing.assert_allclose(found["rg_spread"], expected.spread, atol=2e-4)
    assert np.isfinite(found["rg_spread"].to_numpy()[found["rg_class"].to_numpy() != ""]).all()
    assert set(found["rg_class"].to_pylist()) <= set(classifier.classes)


def test_rows_in_are_rows_out(sky, classifier):
    """With their own columns, in order, and a reason where there is no class."""
    table = sky.catalogue
    table.add_row([99, 99, 10.0, -60.0, 0.1, "S"])
    table.add_row([100, 100, np.nan, np.nan, 0.1, "S"])
    survey = classify_survey(
        sky.table("cat.parquet"), [sky.mosaic], sky.folder / "out", classifier, QUICK, jobs=1
    )
    found = rows_of(sky.folder / "out")
    assert found.column_names[: len(table.colnames)] == table.colnames
    assert found.column_names[len(table.colnames) :] == [each.name for each in described(classifier.classes)]
    assert found["Source_id"].to_pylist() == table["Source_id"].tolist()
    assert found["rg_reason"].to_pylist()[:-2] == [""] * (len(table) - 2)
    assert found["rg_reason"].to_pylist()[-2:] == [
        "no mosaic covers the position",
        "the catalogue has no position",
    ]
    counts = survey.counts()
    assert (sum(counts.classes.values()), counts.classes[""], counts.failed) == (len(table), 2, 2)
    np.testing.assert_allclose(found["rg_ra"].to_numpy()[:-2], table["RA"][:-2])
    field = found.schema.field("rg_peak")
    assert field.metadata == {
        b"unit": b"Jy/beam",
        b"ucd": b"phot.flux.density;stat.max;em.radio",
        b"description": b"highest pixel of the source",
    }


def test_measured_properties_are_those_of_made_up_sources(tmp_path, classifier, sky_header):
    """Two point sources: peak, flux density and signal to noise follow from how they were drawn."""
    rows, columns = np.mgrid[:400, :400]
    pixels = np.random.default_rng(2).normal(0, 1e-4, (400, 400)).astype(np.float32)
    header, peaks, places = sky_header((400, 400)), (0.02, 0.05), (130, 270)
    for x, peak in zip(places, peaks, strict=True):
        square = (rows - 200) ** 2 + (columns - x) ** 2
        pixels += (peak * np.exp(-4 * np.log(2) * square / 3.0**2)).astype(np.float32)
    fits.writeto(tmp_path / "m.fits", pixels, header)
    ra, dec = WCS(header).pixel_to_world_values(places, (200, 200))
    Table({"ra": ra, "dec": dec}).write(tmp_path / "c.csv")
    classify_survey(tmp_path / "c.csv", [tmp_path / "m.fits"], tmp_path / "out", classifier, QUICK, jobs=1)
    found = rows_of(tmp_path / "out")
    np.testing.assert_allclose(found["rg_peak"], peaks, rtol=0.02)
    np.testing.assert_allclose(found["rg_flux"], peaks, rtol=0.05)  # of a point source both are the same
    np.testing.assert_allclose(found["rg_snr"], np.array(peaks) / 1e-4, rtol=0.05)


def test_the_light_of_other_rows_is_taken_out_if_rows_are_whole_sources(tmp_path, classifier, sky_header):
    """Two point sources 72 arcsec apart look like a double; where the catalogue is believed they are compact."""
    rows, columns = np.mgrid[:500, :500]
    pixels = np.random.default_rng(2).normal(0, 1e-4, (500, 500)).astype(np.float32)
    places = (230, 270)
    for x in places:
        pixels += (0.02 * np.exp(-4 * np.log(2) * ((rows - 250) ** 2 + (columns - x) ** 2) / 9)).astype(
            np.float32
        )
    header = sky_header((500, 500))
    fits.writeto(tmp_path / "m.fits", pixels, header)
    ra, dec = WCS(header).pixel_to_world_values(places, (250, 250))
    Table({"ra": ra, "dec": dec}).write(tmp_path / "c.csv")
    asked = tmp_path / "c.csv", [tmp_path / "m.fits"]
    classify_survey(*asked, tmp_path / "as-is", classifier, QUICK, jobs=1)
    classify_survey(*asked, tmp_path / "whole", classifier, replace(QUICK, whole_sources=True), jobs=1)
    found, whole = (rows_of(tmp_path / name) for name in ("as-is", "whole"))
    assert whole["rg_class"].to_pylist() == ["Compact", "Compact"]
    assert "FRII" in found["rg_class"].to_pylist()
    assert ["neighbour-out" in each for each in whole["rg_flags"].to_pylist()] == [True, True]
    assert not any("neighbour-out" in each for each in found["rg_flags"].to_pylist())
    np.testing.assert_allclose(whole["rg_nearest"], [72, 72], rtol=1e-3)
    with pytest.raises(SpecError, match="holds the work of another survey"):
        plan_survey(*asked, tmp_path / "whole", classifier, QUICK)


def test_blanked_pixels_and_edges_are_flagged(sky, classifier):
    with fits.open(sky.mosaic, mode="update") as file:
        file[0].data[:500, :500] = np.nan
    classify_survey(sky.table("cat.csv"), [sky.mosaic], sky.folder / "out", classifier, QUICK, jobs=1)
    found = rows_of(sky.folder / "out")
    flags = found["rg_flags"].to_pylist()
    assert "blanked" in flags[0]
    assert found["rg_class"].to_pylist()[0] == ""
    assert found["rg_reason"].to_pylist()[0] == "blanked: there is nothing to classify"
    assert any("part-blanked" in each for each in flags)


@pytest.mark.parametrize("share", [None, (0, 3)])
def test_work_that_was_stopped_goes_on_to_the_same_bytes(sky, classifier, monkeypatch, share):
    monkeypatch.setattr(plans, "SHARD", 3)
    table, whole, parts = sky.table("cat.fits"), sky.folder / "whole", sky.folder / "parts"
    classify_survey(table, [sky.mosaic], whole, classifier, QUICK, jobs=1)
    survey = plan_survey(table, [sky.mosaic], parts, classifier, QUICK)
    if share is None:

        def stop(shard: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            survey.run(1, stop)
    else:
        survey.run(1, share=share)
    done = {path: path.stat().st_mtime_ns for path in (parts / "work" / "done").glob("*.parquet")}
    assert 0 < len(done) < survey.plan.shards
    (parts / "work" / "done" / ".tmp-1-000005.parquet").write_bytes(b"half")
    classify_survey(table, [sky.mosaic], parts, classifier, QUICK, jobs=1)
    assert digest(parts) == digest(whole)
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())
    assert not list((parts / "work").rglob(".tmp-*"))


@pytest.mark.slow
def test_several_processes_give_the_same_bytes_as_one(sky, classifier, monkeypatch):
    monkeypatch.setattr(plans, "SHARD", 3)
    table = sky.table("cat.fits")
    told: list[int] = []
    survey = plan_survey(table, [sky.mosaic], sky.folder / "two", classifier, QUICK)
    assert survey.run(2, told.append) == []
    assert sorted(told) == list(range(survey.plan.shards))
    survey.write()
    classify_survey(table, [sky.mosaic], sky.folder / "one", classifier, QUICK, jobs=1)
    assert digest(sky.folder / "one") == digest(sky.folder / "two")


def test_the_parts_of_the_result_hold_so_many_rows(sky, classifier):
    survey = plan_survey(sky.table("cat.fits"), [sky.mosaic], sky.folder / "out", classifier, QUICK)
    survey.run(1)
    files = survey.write(rows=7)
    assert [pq.read_metadata(path).num_rows for path in files] == [7, 7, 2]
    assert len(survey.write(rows=100)) == 1
    assert len(list((sky.folder / "out" / "classes").iterdir())) == 1


def test_a_folder_of_other_work_is_refused(sky, classifier):
    table = sky.table("cat.fits")
    plan_survey(table, [sky.mosaic], sky.folder / "out", classifier, QUICK).run(1)
    for other in (SurveyChoice(views=2), SurveyChoice(views=1, prior={"Compact": 0.9})):
        with pytest.raises(SpecError, match="holds the work of another survey"):
            plan_survey(table, [sky.mosaic], sky.folder / "out", classifier, other)
    again = SurveyChoice(views=2, overwrite=True)
    assert plan_survey(table, [sky.mosaic], sky.folder / "out", classifier, again).plan.missing() == [0]
    with pytest.raises(SpecError, match="there is no folder"):
        plan_survey(table, [sky.mosaic], sky.folder / "none" / "out", classifier, QUICK)
    with pytest.raises(SpecError, match="is a file"):
        plan_survey(table, [sky.mosaic], table, classifier, QUICK)


def test_work_of_which_nothing_is_done_yet_may_be_asked_for_otherwise(sky, classifier):
    """A dry run plans, and the option that it recommends is given then."""
    asked = sky.table("c.csv"), [sky.mosaic], sky.folder / "out", classifier
    plan_survey(*asked, QUICK)
    again = plan_survey(*asked, replace(QUICK, whole_sources=True))
    assert again.plan.missing() == list(range(again.plan.shards))


def test_a_damaged_part_of_the_work_is_told(sky, classifier):
    table, out = sky.table("cat.fits"), sky.folder / "out"
    survey = classify_survey(table, [sky.mosaic], out, classifier, QUICK, jobs=1)
    survey.plan.done_file(0).write_bytes(b"half")
    with pytest.raises(StoreError, match="remove it, and run the command again"):
        plan_survey(table, [sky.mosaic], out, classifier, QUICK).write()


def test_overlapping_mosaics_of_which_one_is_gone(sky, classifier):
    shutil.copy(sky.mosaic, sky.folder / "second.fits")
    survey = plan_survey(
        sky.table("cat.fits"), [sky.mosaic, sky.folder / "second.fits"], sky.folder / "out", classifier, QUICK
    )
    assert survey.plan.chosen.tolist() == [0] * 16
    assert [mosaic.path.name for mosaic in survey.mosaics] == ["mosaic.fits", "second.fits"]


def test_where_the_best_mosaic_is_blanked_or_damaged_the_next_is_looked_at(sky, classifier, monkeypatch):
    """Three mosaics of one sky: what one lacks is seen in the next, as if that were the only one."""
    table, images = sky.table("cat.fits"), [sky.folder / f"m{k}.fits" for k in range(3)]
    for number, image in enumerate(images):
        pixels = np.pad(sky.pixels, 10 * (2 - number))  # the first has the furthest edges
        header = sky.header.copy()
        for axis in (1, 2):
            header[f"CRPIX{axis}"] += 10 * (2 - number)
        header["BUNIT"] = ("Jy/beam", "Jy/beam", "mJy/beam")[number]
        side = len(pixels)
        if number < 2:
            pixels[: side // 2, (0, side // 2)[number] :] = np.nan
        fits.writeto(image, pixels, header)
    read = Mosaic.pixels

    def damaged(mosaic: Mosaic, rows: slice, columns: slice) -> np.ndarray:
        if mosaic.path.name == "m0.fits" and rows.stop > 0.8 * mosaic.shape[0] and columns.start < 200:
            raise DataError(f"{mosaic.name}: cannot be read: a tile is damaged")
        return read(mosaic, rows, columns)

    monkeypatch.setattr(Mosaic, "pixels", damaged)
    monkeypatch.setattr(plans, "SHARD", 5)
    classify_survey(table, images, sky.folder / "out", classifier, QUICK, jobs=1)
    found = rows_of(sky.folder / "out")
    names = [Path(each).name for each in found["rg_mosaic"].to_pylist()]
    assert names[:8] == ["m1.fits", "m1.fits", "m2.fits", "m2.fits"] * 2
    assert names[8:] == ["m0.fits"] * 4 + ["m1.fits"] + ["m0.fits"] * 3
    assert found["rg_reason"].to_pylist() == [""] * 16
    assert not any("blanked" in each for each in found["rg_flags"].to_pylist())
    classify_survey(table, [sky.mosaic], sky.folder / "one", classifier, QUICK, jobs=1)
    alone = rows_of(sky.folder / "one")
    assert found["rg_class"].to_pylist() == alone["rg_class"].to_pylist()
    milli = np.array([1e-3 if name == "m2.fits" else 1.0 for name in names])
    np.testing.assert_allclose(found["rg_peak"], alone["rg_peak"].to_numpy() * milli, rtol=1e-3)


def test_what_no_mosaic_shows_is_said_of_the_best(sky, classifier):
    for number in range(2):
        blank = np.full_like(sky.pixels, np.nan)
        fits.writeto(sky.folder / f"blank{number}.fits", blank, sky.header)
    images = [sky.folder / f"blank{number}.fits" for number in range(2)]
    classify_survey(sky.table("cat.fits"), images, sky.folder / "out", classifier, QUICK, jobs=1)
    found = rows_of(sky.folder / "out")
    assert set(found["rg_flags"].to_pylist()) == {"blanked"}
    assert {Path(each).name for each in found["rg_mosaic"].to_pylist()} == {"blank0.fits"}


def test_unresolved_sources_get_their_class_from_their_size_if_asked(sky, classifier):
    """Sizes of PyBDSF are degrees; rows without a size, or a position, are as they were."""
    table = sky.catalogue
    table["Maj"][3] = np.nan
    table.add_row([98, 98, 200.0, 30.0, 0.001, "S"])  # on no image
    table.add_row([99, 99, np.nan, np.nan, 0.001, "S"])
    path, limit = sky.table("cat.fits"), 15.0
    with np.errstate(invalid="ignore"):
        small = np.array(table["Maj"] * 3600 < limit) & np.isfinite(table["RA"])
    assert 3 < small.sum() < 14
    choice = SurveyChoice(views=1, unresolved_below=limit)
    formats = ["page", "csv", "regions", "inspect"]
    survey = classify_survey(path, [sky.mosaic], sky.folder / "out", classifier, choice, 1, formats)
    found = rows_of(sky.folder / "out")
    flags = np.array(found["rg_flags"].to_pylist())
    assert np.array_equal(flags == "from-size", small)
    assert set(np.array(found["rg_class"].to_pylist())[small]) == {"Compact"}
    assert set(np.array(found["rg_reason"].to_pylist())[small]) == {""}
    assert set(np.array(found["rg_mosaic"].to_pylist())[small]) == {""}
    chances = np.column_stack([found[f"rg_p_{name}"] for name in classifier.classes])
    assert np.isnan(chances[small]).all()
    np.testing.assert_allclose(found["rg_ra"].to_numpy()[small], table["RA"][small])
    assert sum(survey.plan.size_of(shard) for shard in range(survey.plan.shards)) == 16 - small[:16].sum()
    counts = survey.counts()
    assert (counts.from_size, counts.failed) == (small.sum(), 1)
    page = (sky.folder / "out" / "page.html").read_text()
    assert f"{small.sum()} of 18 rows are called Compact by their sizes in the catalogue" in page
    assert (sky.folder / "out" / "classes.reg").read_text().count("circle(") >= small.sum()
    classify_survey(path, [sky.mosaic], sky.folder / "all", classifier, QUICK, jobs=1)
    without = rows_of(sky.folder / "all")
    assert np.array_equal(
        without.filter(pa.array(~small))["rg_class"], found.filter(pa.array(~small))["rg_class"]
    )
    with pytest.raises(SpecError, match="holds the work of another survey"):
        plan_survey(
            path, [sky.mosaic], sky.folder / "out", classifier, SurveyChoice(views=1, unresolved_below=9)
        )


def test_a_survey_of_unresolved_sources_alone(sky, classifier):
    choice = SurveyChoice(views=1, unresolved_below=1e4)
    survey = classify_survey(
        sky.table("cat.csv"), [sky.mosaic], sky.folder / "out", classifier, choice, jobs=1
    )
    assert survey.plan.shards == 0
    assert survey.counts().classes == {"Compact": 16}


def test_the_command_takes_sizes_and_maps_of_noise(sky, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    (sky.folder / "w").mkdir()
    fits.writeto(sky.folder / "w" / "mosaic.rms.fits", np.ones_like(sky.pixels))
    options = [
        "--noise-maps",
        str(sky.folder / "w"),
        "--unresolved-below",
        "20",
        "--views",
        "1",
        "--jobs",
        "1",
    ]
    command = [
        "survey",
        str(sky.table("cat.fits")),
        "--images",
        str(sky.mosaic),
        "--out",
        str(sky.folder / "out"),
    ]
    small = int((np.array(sky.catalogue["Maj"]) * 3600 < 20).sum())
    with pytest.raises(SystemExit) as stop:
        main([*command, *options, "--format", "csv"])
    assert stop.value.code == 0
    said = capsys.readouterr().out
    assert f"{small} rows are called Compact by their sizes" in said
    assert f"{small} classes follow from sizes in the catalogue (flag from-size)" in said
    with pytest.raises(SystemExit) as stop:
        main([*command, *options, "--weights", str(sky.folder / "w")])
    assert stop.value.code == 2
    assert "--weights and --noise-maps: give one of them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("head", "size", "limit", "says"),
    [
        ("ra,dec,size", "2", 0.0, "found 0; a number of arcsec above 0 is legal"),
        (
            "ra,dec,flux",
            "2",
            5.0,
            r"no column is known to be the size of the sources; say which it is: --column size=",
        ),
        (
            "RA,DEC,FINT,FPEAK,MAJOR (mJy)",
            "2",
            5.0,
            "MAJOR has the unit 'mJy'; one that becomes arcsec is needed",
        ),
        ("RA,DEC,FINT,FPEAK,MAJOR", "wide", 5.0, "MAJOR is no column of numbers"),
    ],
)
def test_sizes_that_cannot_be_told_are_refused(sky, classifier, head, size, limit, says):
    path = sky.folder / "c.csv"
    cells = ["180", "30", *["1"] * (head.count(",") - 2), size]
    path.write_text(f"{head}\n{','.join(cells)}\n")
    with pytest.raises(SpecError, match=says):
        plan_survey(path, [sky.mosaic], sky.folder / "out", classifier, SurveyChoice(unresolved_below=limit))


def test_a_mapped_column_of_sizes_needs_a_unit_and_a_classifier_needs_the_class(sky, classifier):
    path = sky.folder / "c.csv"
    path.write_text("ra,dec,width\n180,30,2\n")
    catalogue = SurveyCatalogue(path, {"size": "width"})
    assert "width has no unit; one that becomes arcsec is needed" in catalogue.size_fault
    path.write_text("ra,dec,width (arcmin)\n180,30,2\n")
    catalogue = SurveyCatalogue(path, {"size": "width"})
    assert not catalogue.size_fault
    check_unresolved(5.0, catalogue, ("FRI", "compact"))
    with pytest.raises(SpecError, match="the classifier has no class Compact; its classes are FRI, FRII"):
        check_unresolved(5.0, catalogue, ("FRI", "FRII"))


def test_the_estimate_is_of_what_is_missing(sky, classifier):
    survey = plan_survey(sky.table("cat.fits"), [sky.mosaic], sky.folder / "out", classifier, QUICK)
    found = estimate(survey, jobs=2)
    assert (found.rows, found.jobs) == (16, 2)
    assert found.pixel_bytes == 4 * sky.pixels.size
    assert found.seconds == pytest.approx(16 / found.rate / 2)
    survey.run(1)
    assert estimate(survey).seconds == 0


def test_pixels_that_cannot_be_read_cost_the_sources_there_alone(sky, classifier, monkeypatch):
    read = Mosaic.pixels

    def damaged(mosaic: Mosaic, rows: slice, columns: slice) -> np.ndarray:
        if rows.start < 300 and columns.start < 300 and rows.stop > 150 and columns.stop > 150:
            raise DataError(f"{mosaic.name}: cannot be read: a tile is damaged")
        return read(mosaic, rows, columns)

    monkeypatch.setattr(Mosaic, "pixels", damaged)
    survey = classify_survey(
        sky.table("cat.fits"), [sky.mosaic], sky.folder / "out", classifier, QUICK, jobs=1, formats=["csv"]
    )
    reasons = rows_of(sky.folder / "out")["rg_reason"].to_pylist()
    lost = [each for each in reasons if each]
    assert 0 < len(lost) < len(reasons)
    assert all(each.endswith("cannot be read: a tile is damaged") for each in lost)
    assert survey.counts().failed == len(lost)


def test_a_mosaic_whose_pixels_are_not_square_is_set_aside(sky, classifier):
    header = sky.header.copy()
    header["CDELT1"] *= 2
    fits.writeto(sky.folder / "long.fits", sky.pixels, header)
    images = [sky.mosaic, sky.folder / "long.fits"]
    survey = plan_survey(sky.table("cat.fits"), images, sky.folder / "out", classifier, QUICK)
    assert [mosaic.path.name for mosaic in survey.mosaics] == ["mosaic.fits"]
    assert "square ones are needed" in survey.aside[0].reason
