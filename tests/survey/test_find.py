"""A catalogue of a survey that has none: what is found in mosaics whose sources are known."""

from __future__ import annotations

import hashlib
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS

from rgbench.cli.app import main
from rgbench.errors import DataError, SpecError
from rgbench.runs.classifier import load_classifier
from rgbench.simulate import MosaicSpec, write_mosaic
from rgbench.survey import find as finding
from rgbench.survey.catalogue import SurveyCatalogue
from rgbench.survey.find import FINDERS, FindChoice, find_sources
from rgbench.survey.finders import gaussians, islands, segments
from rgbench.survey.finders.islands import Thresholds, Tile
from rgbench.survey.finders.segments import find_segments
from rgbench.survey.mosaics import Mosaic, open_mosaics
from rgbench.survey.outputs import classify_survey
from rgbench.survey.survey import SurveyChoice

needs_photutils = pytest.mark.skipif(find_spec("photutils") is None, reason="needs photutils")
NOISE, BEAM = 1e-4, 3.0
PHOTUTILS = FindChoice("photutils")


def points(places, peaks, side=400, seed=3, width=BEAM):
    """Noise, and a Gaussian of so many pixels at each place (row, column)."""
    rows, columns = np.mgrid[:side, :side]
    pixels = np.random.default_rng(seed).normal(0, NOISE, (side, side))
    for (row, column), peak in zip(places, peaks, strict=True):
        square = (rows - row) ** 2 + (columns - column) ** 2
        pixels += peak * np.exp(-4 * np.log(2) * square / width**2)
    return pixels.astype(np.float32)


def positions_of(header, places):
    rows, columns = np.array(places, dtype=float).T
    return np.column_stack(WCS(header).pixel_to_world_values(columns, rows))


def matched(found, expected):
    """Give the distance, arcsec, of each expected position to the nearest row."""
    ra, dec = found["RA"].to_numpy(), found["DEC"].to_numpy()
    across = (ra - expected[:, :1]) * np.cos(np.radians(expected[:, 1:]))
    return 3600 * np.hypot(across, dec - expected[:, 1:]).min(axis=1)


def command(*words):
    """Give the exit code of a command."""
    with pytest.raises(SystemExit) as ended:
        main([*map(str, words)])
    return ended.value.code


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@needs_photutils
def test_point_sources_with_their_fluxes_and_units(tmp_path, sky_header):
    places, peaks = [(60, 70), (200.4, 301.3), (330, 90)], [0.02, 0.05, 0.002]
    header = sky_header((400, 400))
    fits.writeto(tmp_path / "m.fits", points(places, peaks), header)
    found = find_sources([tmp_path / "m.fits"], tmp_path / "out", PHOTUTILS)
    table = pq.read_table(found.path)
    assert (found.rows, found.finder.split()[0]) == (3, "photutils")
    assert (matched(table, positions_of(header, places)) < 0.3).all()
    assert table["Source_id"].to_pylist() == [0, 1, 2]
    assert set(table["Image"].to_pylist()) == {str(tmp_path / "m.fits")}
    np.testing.assert_allclose(table["Peak_flux"], [0.02, 0.05, 0.002], rtol=0.12)
    np.testing.assert_allclose(table["Total_flux"], [0.02, 0.05, 0.002], rtol=0.2)
    np.testing.assert_allclose(table["Maj"][:2], 5.4, rtol=0.1)
    np.testing.assert_allclose(table["Isl_rms"], NOISE, rtol=0.1)
    units = {name: table.schema.field(name).metadata for name in ("RA", "Total_flux", "Peak_flux", "Maj")}
    assert [each[b"unit"] for each in units.values()] == [b"deg", b"Jy", b"Jy/beam", b"arcsec"]
    catalogue = SurveyCatalogue(found.path)
    assert (catalogue.profile.title, catalogue.profile.name) == ("rgbench survey --find", "Source_id")
    np.testing.assert_allclose(catalogue.positions().size, table["Maj"])


@needs_photutils
@pytest.mark.parametrize(("unit", "factor"), [("mJy/beam", 1e3), ("Jy/pixel", 4 * np.log(2) / np.pi / 9)])
def test_fluxes_are_in_jansky_whatever_the_unit(tmp_path, sky_header, unit, factor):
    header = sky_header((400, 400))
    header["BUNIT"] = unit
    fits.writeto(tmp_path / "m.fits", (points([(200, 200)], [0.02]) * factor).astype(np.float32), header)
    table = pq.read_table(find_sources([tmp_path / "m.fits"], tmp_path / "out", PHOTUTILS).path)
    np.testing.assert_allclose(table["Peak_flux"], 0.02, rtol=0.05)
    np.testing.assert_allclose(table["Total_flux"], 0.02, rtol=0.05)


@needs_photutils
def test_without_a_beam_or_a_unit_fluxes_are_not_known(tmp_path, sky_header):
    header = sky_header((400, 400))
    for key in ("BMAJ", "BMIN", "BPA", "BUNIT"):
        del header[key]
    fits.writeto(tmp_path / "m.fits", points([(200, 200)], [0.02]), header)
    table = pq.read_table(find_sources([tmp_path / "m.fits"], tmp_path / "out", PHOTUTILS).path)
    assert table.num_rows == 1
    assert np.isnan(table["Total_flux"]).all()
    assert np.isnan(table["Peak_flux"]).all()


@needs_photutils
def test_a_simulated_mosaic_is_found_again(tmp_path):
    """Its own catalogue is the truth: 16 of 20 sources are compact, all are bright."""
    mosaic, catalogue = write_mosaic(MosaicSpec(40, 1500, seed=5), tmp_path / "sky")
    truth = Table.read(catalogue)
    compact = np.array([word.strip() == "Compact" for word in truth["truth"].astype(str)])
    table = pq.read_table(find_sources([mosaic], tmp_path / "out", PHOTUTILS).path)
    apart = matched(table, np.column_stack([truth["RA"], truth["DEC"]]))
    assert (apart[compact] < 2).mean() >= 0.9  # others lie in the island of a neighbour
    assert (apart < 60).all()
    assert len(truth) * 0.9 <= table.num_rows <= len(truth) * 1.5


@needs_photutils
def test_noise_alone_holds_no_source(tmp_path, sky_header):
    fits.writeto(tmp_path / "m.fits", points([], []), sky_header((400, 400)))
    with pytest.raises(DataError, match=r"no source above 5 times the noise in 1 image, the first .*m\.fits"):
        find_sources([tmp_path / "m.fits"], tmp_path / "out", PHOTUTILS)


@needs_photutils
@pytest.mark.parametrize("margin", [8, 64])
def test_tiles_find_what_the_whole_finds(tmp_path, sky, monkeypatch, margin):
    """Even where margins are narrower than the sources: those that are cut are looked at again."""
    whole = pq.read_table(find_sources([sky.mosaic], tmp_path / "whole", PHOTUTILS).path)
    for module in (islands, segments):
        monkeypatch.setattr(module, "TILE", 97)
    monkeypatch.setattr(segments, "MARGIN", margin)
    tiled = pq.read_table(find_sources([sky.mosaic], tmp_path / "tiled", PHOTUTILS).path)
    assert whole.num_rows >= 16
    order = [np.argsort(each["RA"].to_numpy()) for each in (whole, tiled)]
    for name in ("RA", "DEC", "Total_flux", "Peak_flux", "Maj", "Isl_rms"):
        one, other = (each[name].to_numpy()[own] for each, own in zip((whole, tiled), order, strict=True))
        np.testing.assert_allclose(one, other, rtol=1e-6)


@needs_photutils
def test_an_extended_source_is_one_row_and_two_lobes_apart_are_two(tmp_path, sky_header):
    rows, columns = np.mgrid[:400, :400]
    pixels = points([(300, 180), (300, 220)], [0.02, 0.02])
    pixels += 0.01 * np.exp(-((rows - 100) ** 2 / 200 + (columns - 200) ** 2 / 3000)).astype(np.float32)
    pixels += points([(100, 150), (100, 250)], [0.02, 0.02]) - points([], [])  # hot spots within it
    fits.writeto(tmp_path / "m.fits", pixels, sky_header((400, 400)))
    table = pq.read_table(find_sources([tmp_path / "m.fits"], tmp_path / "out", PHOTUTILS).path)
    assert table.num_rows == 3
    widest = int(np.argmax(table["Maj"]))
    middle = positions_of(sky_header((400, 400)), [(100, 200)])
    assert matched(table.slice(widest, 1), middle) < 3


@needs_photutils
@pytest.mark.parametrize("blank", [np.nan, 0.0])
def test_blank_pixels_are_no_noise_and_hold_no_source(tmp_path, sky_header, blank):
    places, peaks = [(60, 170), (340, 260)], [0.02, 0.002]
    pixels = points(places, peaks)
    pixels[:, :150], pixels[190:210] = blank, blank
    header = sky_header((400, 400))
    fits.writeto(tmp_path / "m.fits", pixels, header)
    table = pq.read_table(find_sources([tmp_path / "m.fits"], tmp_path / "out", PHOTUTILS).path)
    assert table.num_rows == 2
    assert (matched(table, positions_of(header, places)) < 1).all()
    np.testing.assert_allclose(table["Isl_rms"], NOISE, rtol=0.1)
    fits.writeto(tmp_path / "m.fits", np.full((400, 400), blank, np.float32), header, overwrite=True)
    with pytest.raises(DataError, match="no source above"):
        find_sources([tmp_path / "m.fits"], tmp_path / "blank", PHOTUTILS)


@needs_photutils
def test_a_source_in_two_mosaics_is_one(tmp_path, sky_header):
    """The one that lies further from the edge is kept."""
    for number, ra in enumerate((180.0, 180.1)):
        header = sky_header((400, 400), ra, 0.0)
        rows, columns = WCS(header).world_to_pixel_values([180.06, 179.95 + 0.2 * number], [0.0, 0.0])[::-1]
        pixels = points(list(zip(rows, columns, strict=True)), [0.02, 0.01], seed=number)
        fits.writeto(tmp_path / f"m{number}.fits", pixels, header)
    table = pq.read_table(find_sources([tmp_path], tmp_path / "out", PHOTUTILS).path)
    expected = np.array([[180.06, 0.0], [179.95, 0.0], [180.15, 0.0]])
    assert table.num_rows == 3
    assert (matched(table, expected) < 0.5).all()
    own = table["Image"].to_pylist()[int(np.argmin(np.abs(table["RA"].to_numpy() - 180.06)))]
    assert own.endswith("m1.fits")


@needs_photutils
def test_the_same_bytes_and_no_second_search(tmp_path, sky, monkeypatch):
    first = find_sources([sky.mosaic], tmp_path / "one", PHOTUTILS)
    assert digest(first.path) == digest(find_sources([sky.mosaic], tmp_path / "two", PHOTUTILS).path)
    assert not list((tmp_path / "one" / "work").glob("found-*"))
    for finder in FINDERS.values():
        monkeypatch.setattr(type(finder), "usable", property(lambda self: False))
    when = first.path.stat().st_mtime_ns
    again = find_sources([sky.mosaic], tmp_path / "one")
    assert (again, again.path.stat().st_mtime_ns) == (first, when)
    with pytest.raises(
        SpecError, match=r"none is installed: pip install 'rgbench\[find\]' or pip install bdsf"
    ):
        find_sources([sky.mosaic], tmp_path / "three")


@needs_photutils
def test_a_search_that_was_stopped_goes_on_with_the_parts_that_are_missing(tmp_path, sky, monkeypatch):
    monkeypatch.setattr(islands, "TILE", 300)
    whole = find_sources([sky.mosaic], tmp_path / "whole", PHOTUTILS)

    def stop(done, total):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_sources([sky.mosaic], tmp_path / "out", PHOTUTILS, told=stop)
    assert not (tmp_path / "out" / "found.parquet").exists()
    looked, look = [], segments._look
    monkeypatch.setattr(segments, "_look", lambda *args: looked.append(args[2]) or look(*args))
    assert digest(find_sources([sky.mosaic], tmp_path / "out", PHOTUTILS).path) == digest(whole.path)
    assert len(set(looked)) == 9 - 4


@needs_photutils
def test_a_catalogue_of_other_images_is_refused(tmp_path, sky):
    out = tmp_path / "out"
    whole = find_sources([sky.mosaic], out, PHOTUTILS)
    with fits.open(sky.mosaic, mode="update") as file:
        file[0].data[:300] = np.nan
    with pytest.raises(SpecError, match=r"found\.parquet is of other images, .* or give --overwrite"):
        find_sources([sky.mosaic], out, PHOTUTILS)
    assert find_sources([sky.mosaic], out, FindChoice("photutils", overwrite=True)).rows < whole.rows
    with pytest.raises(SpecError, match=r"found\.parquet is by photutils"):
        find_sources([sky.mosaic], out, FindChoice("pybdsf"))
    (out / "found.parquet").write_bytes(b"damaged")
    with pytest.raises(SpecError, match="is of other images"):
        find_sources([sky.mosaic], out)


@needs_photutils
def test_what_cannot_be_read_is_told_now_and_later(tmp_path, sky, monkeypatch):
    whole = find_sources([sky.mosaic], tmp_path / "whole", PHOTUTILS)
    monkeypatch.setattr(islands, "TILE", 300)
    read = Mosaic.pixels

    def damaged(mosaic, rows, columns):
        if rows.start == 0 and columns.start == 0 and rows.stop < 600:
            raise DataError(f"{mosaic.name}: cannot be read: a tile is damaged")
        return read(mosaic, rows, columns)

    monkeypatch.setattr(segments, "MARGIN", 64)
    monkeypatch.setattr(Mosaic, "pixels", damaged)
    found = find_sources([sky.mosaic], tmp_path / "out", PHOTUTILS)
    assert 0 < found.rows < whole.rows
    assert found.unread == (f"{sky.mosaic}: cannot be read: a tile is damaged",)
    assert find_sources([sky.mosaic], tmp_path / "out") == found


@pytest.mark.parametrize(("peak", "island"), [(2.0, 3.0), (0.0, 0.0), (np.inf, 3.0)])
def test_thresholds_that_cannot_be(peak, island):
    with pytest.raises(SpecError, match="numbers above 0 are legal"):
        Thresholds(peak, island)
    with pytest.raises(SpecError, match="legal are auto, pybdsf, photutils"):
        FindChoice("sextractor")


def test_one_of_catalogue_and_find(tmp_path, capsys):
    where = ["--images", tmp_path, "--out", tmp_path / "out"]
    for more, said in (
        ([], "neither CATALOGUE nor --find is given; give one of them"),
        (["a.csv", "--find"], "CATALOGUE a.csv and --find are given; give one of them"),
        (["--find", "--column", "ra=x"], "--column: is of a CATALOGUE; with --find there is none"),
        (["a.csv", "--finder", "photutils"], "--finder photutils: goes with --find alone"),
    ):
        assert command("survey", *more, *where) == 2
        assert capsys.readouterr().err == f"error: {said}\n"


@needs_photutils
def test_a_survey_without_a_catalogue_goes_on_after_a_stop(sky, capsys):
    """By the command line and by Python: the same folder, the same catalogue."""
    out = sky.folder / "out"
    where = ["--images", sky.mosaic, "--out", out, "--views", 1, "--jobs", 1]
    assert command("survey", "--find", *where, "--finder", "photutils", "--dry-run") == 0
    assert "sources, found by photutils" in capsys.readouterr().out
    when = (out / "found.parquet").stat().st_mtime_ns
    survey = classify_survey(
        None, [sky.mosaic], out, load_classifier(), SurveyChoice(views=1), 1, ["parquet"]
    )
    assert (out / "found.parquet").stat().st_mtime_ns == when
    assert survey.counts().failed == 0
    assert len(survey.catalogue) == pq.read_metadata(out / "found.parquet").num_rows


class FakeBdsf(SimpleNamespace):
    """In place of PyBDSF: says that there is a source at each pixel of 1 Jy/beam, and keeps what it was told."""

    def process_image(self, path, **options):
        self.told.append(options)
        self.header, self.pixels = fits.getheader(path), fits.getdata(path)
        return self

    def write_catalog(self, outfile, format, catalog_type, incl_empty, clobber):
        assert (format, catalog_type) == ("fits", "srl")
        rows, columns = np.nonzero(self.pixels > 0.9)
        ra, dec = WCS(self.header).pixel_to_world_values(columns, rows)
        units = dict.fromkeys(("RA", "DEC", "RA_max", "DEC_max", "Maj", "Min"), "deg")
        one = np.ones(len(rows))
        values = {"RA": ra, "DEC": dec, "RA_max": ra, "DEC_max": dec, "Maj": one * 0.002, "Min": one * 0.0015}
        fluxes = {"Total_flux": one * 1.5, "Peak_flux": one, "Isl_rms": one * 1e-4}
        if len(rows):
            Table({**values, **fluxes}, units=units).write(outfile, format="fits")
        return bool(len(rows))


@pytest.fixture
def bdsf(monkeypatch):
    fake = FakeBdsf(told=[])
    monkeypatch.setitem(sys.modules, gaussians.PYBDSF, fake)
    monkeypatch.setattr(type(FINDERS["pybdsf"]), "usable", property(lambda self: self.package == "bdsf"))
    monkeypatch.setattr(finding.metadata, "version", lambda package: "0")
    return fake


@pytest.mark.parametrize("unit", ["Jy/beam", "mJy/beam"])
def test_pybdsf_is_told_the_tile_and_its_answer_read(tmp_path, sky_header, bdsf, monkeypatch, unit):
    """Sources of margins are left to their own tile; one that no tile holds twice."""
    monkeypatch.setattr(islands, "TILE", 150)
    monkeypatch.setattr(gaussians, "MARGIN", 40)
    places = [(20, 30), (149, 150), (150, 390), (300, 160)]
    pixels = points([], [])
    for row, column in places:
        pixels[row, column] = 1
    header = sky_header((400, 400), 359.99, -40.0)
    header["BUNIT"] = unit
    fits.writeto(tmp_path / "m.fits", pixels * np.float32(1000 if unit[0] == "m" else 1), header)
    found = find_sources([tmp_path / "m.fits"], tmp_path / "out")
    table = pq.read_table(found.path)
    assert (found.rows, found.finder) == (4, "pybdsf 0")
    assert matched(table, positions_of(header, places)).max() < 0.01
    assert table["Maj"].to_pylist() == pytest.approx([7.2] * 4)
    assert table["Total_flux"].to_pylist() == pytest.approx([1.5] * 4)
    told = bdsf.told[0]
    assert told["beam"] == pytest.approx((0.0015, 0.0015, 0.0))
    assert (told["thresh_pix"], told["thresh_isl"], told["group_by_isl"]) == (5.0, 3.0, True)
    assert len(bdsf.told) == 9


def test_pybdsf_that_fails_is_told(tmp_path, sky_header, bdsf, monkeypatch):
    def fails(path, **options):
        raise RuntimeError("no  way")

    monkeypatch.setattr(bdsf, "process_image", fails, raising=False)
    fits.writeto(tmp_path / "m.fits", points([(200, 200)], [0.02]), sky_header((400, 400)))
    with pytest.raises(
        DataError, match=r"1 part could not be searched, the first: .*PyBDSF failed on a part of it: no way"
    ):
        find_sources([tmp_path / "m.fits"], tmp_path / "out")


@needs_photutils
@pytest.mark.skipif(find_spec("bdsf") is None, reason="needs PyBDSF (pip install bdsf)")
def test_pybdsf_and_photutils_find_the_same(tmp_path, sky_header):
    places, peaks = [(60, 70), (200.4, 301.3), (330, 90)], [0.02, 0.05, 0.002]
    header = sky_header((400, 400))
    fits.writeto(tmp_path / "m.fits", points(places, peaks), header)
    one, other = (
        pq.read_table(find_sources([tmp_path / "m.fits"], tmp_path / name, FindChoice(name)).path)
        for name in ("pybdsf", "photutils")
    )
    np.testing.assert_allclose(one["RA"], other["RA"], atol=1e-4)
    np.testing.assert_allclose(one["Peak_flux"], other["Peak_flux"], rtol=0.15)
    np.testing.assert_allclose(one["Total_flux"], peaks, rtol=0.1)
    np.testing.assert_allclose(one["Maj"], other["Maj"], rtol=0.3)


@needs_photutils
def test_an_island_belongs_to_the_tile_of_its_brightest_pixel(tmp_path, sky_header):
    fits.writeto(tmp_path / "m.fits", points([(99.8, 200)], [0.02]), sky_header((400, 400)))
    find = find_segments(next(open_mosaics(tmp_path / "m.fits")), Thresholds())
    assert [len(find(Tile(rows, (0, 400)))) for rows in ((0, 100), (100, 400))] == [0, 1]


@needs_photutils
def test_a_folder_of_another_survey_is_refused_before_the_search(sky):
    asked = [sky.mosaic], sky.folder / "out"
    classify_survey(sky.table("cat.fits"), *asked, choice=SurveyChoice(views=1), jobs=1, formats=["parquet"])
    with pytest.raises(SpecError, match="holds a survey whose catalogue is none of these images"):
        find_sources(*asked, PHOTUTILS)
    assert not (sky.folder / "out" / "found.parquet").exists()
