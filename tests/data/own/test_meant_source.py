"""The source that is meant: at the position of the table, else in the middle by the header; what is odd is said."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from rgbench.data.load import folder_options
from rgbench.data.own.check import check_folder, check_own
from rgbench.data.own.files import ImageFile, examine
from rgbench.data.own.folder import load_folder
from rgbench.data.own.plan import FolderOptions, parse_plane
from rgbench.errors import SpecError
from rgbench.images.cutout import CutoutSpec
from rgbench.images.fits import read_fits
from rgbench.spec import DataSpec

MIRROR = Path(os.environ["RGBENCH_MIRROR"]) if os.environ.get("RGBENCH_MIRROR") else None
needs_mirror = pytest.mark.skipif(MIRROR is None, reason="needs the public files in $RGBENCH_MIRROR")
SCALE = 1.8


def sky(side: int, ra: float = 150.0, dec: float = 20.0, **other: object) -> fits.Header:
    keys = {
        "CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRVAL1": ra, "CRVAL2": dec, "CRPIX1": (side + 1) / 2,
        "CRPIX2": (side + 1) / 2, "CDELT1": -SCALE / 3600, "CDELT2": SCALE / 3600, "RADESYS": "ICRS",
    }  # fmt: skip
    return fits.Header(keys | other)


def write(path: Path, pixels: np.ndarray, header: fits.Header | None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.writeto(path, pixels.astype(np.float32), header)
    return path


def noise(side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1e-4, (side, side))


@pytest.fixture
def field_of_six(tmp_path) -> tuple[Path, Path, np.ndarray]:
    """One image of 300 pixels with six sources of their own flux, off its middle, a table of them, and places."""
    places = np.array([(60, 60), (60, 240), (150, 70), (240, 60), (240, 240), (100, 150)])
    pixels, header = noise(300), sky(300)
    for i, (row, column) in enumerate(places, start=1):
        pixels[row, column] = i
    write(tmp_path / "d/mosaic.fits", pixels, header)
    where = WCS(header).pixel_to_world(places[:, 1] + 0.3, places[:, 0] - 0.2)
    rows = [f"s{i},mosaic.fits,{p.ra.deg:.7f},{p.dec.deg:.7f},FRI" for i, p in enumerate(where, start=1)]
    table = tmp_path / "m.csv"
    table.write_text("\n".join(["name,path,ra,dec,label", *rows]) + "\n")
    return tmp_path / "d", table, places


def test_labels_belong_to_the_source_at_the_position_of_the_table(field_of_six):
    root, table, _ = field_of_six
    data = load_folder(root, table, options=FolderOptions(cutout=CutoutSpec(size_arcsec=41 * SCALE)))
    assert data.images.shape == (6, 41, 41)
    for i, image in enumerate(data.images, start=1):
        assert np.unravel_index(image.argmax(), image.shape) == (20, 20)
        assert image.max() == i, "the very pixel of the image: it was copied"
    findings = check_folder(root, table, options=FolderOptions(cutout=CutoutSpec(n_pixels=41)))
    assert all(
        "off the position in the manifest; the field is cut about that" in f.problems[0] for f in findings
    )
    whole = load_folder(root, table, options=FolderOptions(cutout=CutoutSpec(n_pixels=41), about="image"))
    assert all((image == whole.images[0]).all() for image in whole.images)
    assert all("the middle is taken all the same" in remark for _, remark in whole.remarks)


def test_with_another_pixel_scale_it_is_cut_about_the_source_too(field_of_six):
    root, table, _ = field_of_six
    data = load_folder(root, table, options=FolderOptions(cutout=CutoutSpec(n_pixels=21, pixel_scale=3.6)))
    for image in data.images:
        assert np.abs(np.array(np.unravel_index(image.argmax(), image.shape)) - 10).max() <= 1


@needs_mirror
def test_sources_of_public_catalogues_off_the_middle_of_public_fits(tmp_path):
    """Sources of two catalogues that lie inside a FITS image of another source, 120 to 263 arcsec off its middle."""
    there = {
        "102_184.412+003.663_0.0778_0034.93": (184.374, 3.612),
        "102_192.328+050.080_0.2493_0084.32": (192.305, 50.012),
        "102_216.568+000.838_0.1250_0092.37": (216.60175, 0.832639),
        "210_150.370+004.577_0.2215_0074.89": (150.42225, 4.59125),
        "210_175.935+022.485_0.1808_0137.16": (175.983583, 22.508667),
        "100_219.320+024.869_0.0896_0086.79": (219.308208, 24.941361),
    }
    rows = [f"s{i},{name}.fits.gz,{ra},{dec}" for i, (name, (ra, dec)) in enumerate(there.items())]
    (tmp_path / "m.csv").write_text("\n".join(["name,path,ra,dec", *rows]) + "\n")
    root, options = MIRROR / "MiraBest_FITS", FolderOptions(cutout=CutoutSpec(n_pixels=11))
    data = load_folder(root, tmp_path / "m.csv", options=options)
    assert len(data.catalogue) == 6
    for image, place, (ra, dec) in zip(data.images, data.catalogue.path, there.values(), strict=True):
        whole = read_fits(place)
        column, row = (round(float(x)) for x in whole.wcs.wcs_world2pix([[ra, dec]], 0)[0])
        np.testing.assert_array_equal(image, whole.pixels[row - 5 : row + 6, column - 5 : column + 6])
        assert image.max() > 10 * np.median(np.abs(whole.pixels)), "there is a source"


def test_the_header_beats_the_name(tmp_path):
    galactic = sky(40, 120.55, -1.22, CTYPE1="GLON-SIN", CTYPE2="GLAT-SIN")
    del galactic["RADESYS"]
    write(tmp_path / "G120.55-01.22.fits", noise(40, 1), galactic)
    for i in range(3):
        write(tmp_path / f"mkt_0.90-1.67GHz_{i}.fits", noise(40, i + 2), sky(40, 100.0 + i, 30.0))
    write(tmp_path / "J123000.00-013000.0.fits", noise(40, 9), None)
    options = FolderOptions(pixel_scale=SCALE)  # of the one without a header
    catalogue = load_folder(tmp_path, options=options).catalogue
    np.testing.assert_allclose(catalogue.ra, [7.85429, 187.5, 100, 101, 102], atol=1e-5)
    np.testing.assert_allclose(catalogue.dec, [61.5591, -1.5, 30, 30, 30], atol=1e-4)
    assert len(set(catalogue.group.tolist())) == 5
    found = {f.name: f.problems for f in check_folder(tmp_path, options=options)}
    assert found["J123000.00-013000.0"] == (
        "the header tells no position (CTYPE1 and CTYPE2 are missing); that in the name is taken, and the source is "
        "taken to lie in the middle",
    )


def test_what_is_not_covered_is_said(tmp_path):
    write(tmp_path / "d/a.fits", noise(50, 1), sky(50))
    write(tmp_path / "d/b.fits", noise(100, 2), sky(100, 151.0))
    options = FolderOptions(cutout=CutoutSpec(n_pixels=96))
    findings = {f.name: f for f in check_folder(tmp_path / "d", options=options)}
    assert findings["a"].problems == ("27% of its field is covered, the rest is blank",)
    assert findings["b"].problems == ()
    assert load_folder(tmp_path / "d", options=options).remarks == (("a", findings["a"].problems[0]),)


def test_a_position_that_is_not_on_the_image_sets_it_aside(tmp_path):
    write(tmp_path / "d/a.fits", noise(40, 1), sky(40))
    write(tmp_path / "d/b.fits", noise(40, 2), sky(40, 151.0))
    (tmp_path / "m.csv").write_text("name,ra,dec\na,150,20.009\nb,150,20.01\n")
    data = load_folder(tmp_path / "d", tmp_path / "m.csv")
    assert data.catalogue.source_id.tolist() == ["a"]
    assert "which is not on the image" in dict(data.set_aside)["b"]
    assert ("a", "its middle is 32.4 arcsec off the position in the manifest") in data.remarks
    assert [name for name, _ in data.remarks] == ["", "a"], "no column of labels, which is said"


def test_a_mosaic_that_is_not_cut_is_said(tmp_path):
    write(tmp_path / "a.fits", noise(1001), sky(1001))
    (finding,) = check_folder(tmp_path)
    assert finding.problems == (
        "is 1001x1001 pixels, of which a network sees the middle only: cut a field out",
    )
    assert check_folder(tmp_path, options=FolderOptions(cutout=CutoutSpec(n_pixels=50)))[0].problems == ()


def test_what_check_says_loading_does(tmp_path, field_of_six):
    root, table, _ = field_of_six
    write(root / "small.fits", noise(20), sky(20, 152.0))
    table.write_text(
        table.read_text() + "gone,gone.fits,1,2,\nsmall,q/small.fits,152,20,\nfar,small.fits,10,10,\n"
    )
    for options in (FolderOptions(), FolderOptions(cutout=CutoutSpec(n_pixels=41))):
        checked, data = check_own(root, table, options=options), load_folder(root, table, options=options)
        assert [
            f.name for f in checked.findings if f.status != "set aside"
        ] == data.catalogue.source_id.tolist()
        assert {f.name for f in checked.findings if f.status == "set aside"} == {n for n, _ in data.set_aside}
        told = {f.name: f.problems for f in checked.findings}
        told[""] = checked.remarks
        assert all(remark in told[name] for name, remark in data.remarks)


def test_one_position_in_all_headers_is_one_sky_group(tmp_path):
    for i in range(4):
        write(tmp_path / f"{i}.fits", noise(20, i), sky(20))
    said = "4 images are within 60 arcsec of each other: one sky group, which no split divides"
    assert check_own(tmp_path).remarks == (said,)
    write(tmp_path / "far.fits", noise(20, 9), sky(20, 160.0))
    assert check_own(tmp_path).remarks == (
        "4 images are within 60 arcsec of another; a split keeps such on one side",
    )


def test_a_plane_is_for_cubes_only(tmp_path):
    cube = np.stack([noise(20, 1), noise(20, 2)])
    write(tmp_path / "cube.fits", cube, None)
    write(tmp_path / "flat.fits", noise(20, 3), None)
    data = load_folder(tmp_path, options=FolderOptions(plane=parse_plane("1")))
    np.testing.assert_array_equal(data.images[0], cube[1].astype(np.float32))
    assert len(data.images) == 2
    assert examine(ImageFile("cube", tmp_path / "cube.fits"), 2)[1].startswith("plane: 2 was given")
    assert (parse_plane("0, 2"), parse_plane(None)) == ((0, 2), None)
    with pytest.raises(SpecError, match="plane: found 'last'; whole numbers from 0"):
        parse_plane("last")


def test_a_study_says_about_what_and_which_plane():
    options = folder_options(DataSpec(path=".", cutout=60, about="image", plane=(0, 1)))
    assert (options.about, options.plane) == ("image", (0, 1))
    assert folder_options(DataSpec(path=".")).about == "source"
