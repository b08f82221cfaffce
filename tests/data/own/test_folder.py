"""One's own folders: tables of any kind, flat folders, PNG and HDF5, and fields cut to one pixel scale."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits

from rgbench.data.catalogue import CLASSES, Flag
from rgbench.data.own import folder as folders
from rgbench.data.own.check import check_folder, check_own
from rgbench.data.own.files import ImageFile, list_images, read_image
from rgbench.data.own.folder import FolderOptions, load_folder
from rgbench.data.own.labels import LabelRule
from rgbench.data.own.sources import SourceColumns
from rgbench.errors import DataError, SpecError
from rgbench.images.cutout import CutoutSpec
from rgbench.images.fits import read_fits

MIRROR = Path(os.environ["RGBENCH_MIRROR"]) if os.environ.get("RGBENCH_MIRROR") else None
needs_mirror = pytest.mark.skipif(MIRROR is None, reason="needs the public files in $RGBENCH_MIRROR")


def source(seed: int = 0, side: int = 40) -> np.ndarray:
    image = np.random.default_rng(seed).normal(0, 1e-4, (side, side)).astype(np.float32)
    image[side // 2 - 2 : side // 2 + 2, side // 2 - 2 : side // 2 + 2] += 0.1
    return image


def sky(ra=150.0, dec=20.0, scale=1.8, side=40) -> fits.Header:
    return fits.Header(
        {
            "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": ra, "CRVAL2": dec, "CRPIX1": (side + 1) / 2,
            "CRPIX2": (side + 1) / 2, "CDELT1": -scale / 3600, "CDELT2": scale / 3600, "RADESYS": "ICRS",
        }
    )  # fmt: skip


def write(path: Path, seed=0, side=40, **keys) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.writeto(path, source(seed, side), sky(side=side, **keys) if keys else None)
    return path


def table(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table_with_names_paths_positions_and_more(tmp_path):
    root = tmp_path / "images"
    for seed, place in enumerate(("a.fits", "deep/b.fits.gz", "deep/c.fits", "d.fits", "unused.fits")):
        write(root / place, seed)
    manifest = table(
        tmp_path / "mine.csv",
        "source_name,filename,ra,dec,morph,z,flux",
        "first,deep/c.fits,10,20,bent,0.1,5",
        "a,,11,21,,0.2,6",
        "third,b.fits.gz,,,fr1,,7",
        "J123000.00-013000.0,d.fits,,,FRII,,8",
        "gone,gone.fits,1,2,FRI,,9",
    )
    data = load_folder(root, manifest, options=FolderOptions(labels=LabelRule(mapping={"fr1": "FRI"})))
    catalogue = data.catalogue
    assert catalogue.source_id.tolist() == ["first", "a", "third", "J123000.00-013000.0"]
    assert catalogue.label.tolist() == [3, -1, 1, 2]
    np.testing.assert_array_equal(catalogue.ra, [10, 11, np.nan, 187.5])
    assert catalogue.extra["flux"].tolist() == [5, 6, 7, 8]
    np.testing.assert_array_equal(catalogue.extra["redshift"], [0.1, 0.2, np.nan, np.nan])
    assert "angular_size" not in catalogue.extra
    for row, seed in enumerate((2, 0, 1, 3)):
        np.testing.assert_array_equal(data.images[row], source(seed))
    assert data.set_aside == (("gone", f"{root / 'gone.fits'}: there is no such file"),)
    assert data.classes == CLASSES


def test_a_name_of_two_files_is_set_aside_and_a_path_decides(tmp_path):
    write(tmp_path / "x/a.fits", 1)
    write(tmp_path / "y/a.fits", 2)
    write(tmp_path / "b.fits", 3)
    data = load_folder(tmp_path, table(tmp_path / "m.csv", "name,label,ra,dec", "a,FRI,1,2", "b,FRI,3,4"))
    assert data.catalogue.source_id.tolist() == ["b"]
    assert "x/a.fits and " in dict(data.set_aside)["a"]
    data = load_folder(tmp_path, table(tmp_path / "n.csv", "name,path", "a,y/a.fits"))
    np.testing.assert_array_equal(data.images[0], source(2))
    with pytest.raises(DataError, match=r"the name 'a' is that of .*x/a.fits too"):
        load_folder(tmp_path)


def test_the_testbed_s_manifest_finds_images_in_a_flat_folder(tmp_path):
    write(tmp_path / "J000330.73+002756.1.fits")
    write(tmp_path / "J001247.57+004715.8.fits", 1)
    rows = ("Name,Type-Lit", "J000330.73+002756.1,4", "J001247.57+004715.8,1F")
    data = load_folder(tmp_path, table(tmp_path / "LRG_manifest.csv", *rows))
    assert data.catalogue.source_id.tolist() == ["J000330.73+002756.1"]
    assert data.catalogue.label.tolist() == [3]
    with pytest.raises(DataError, match="row 2: unknown class label '7'; legal are 1 .COMP."):
        load_folder(tmp_path, table(tmp_path / "m.csv", "Name,Type-Lit", "a,7"))


def test_a_folder_without_classes_and_one_of_other_classes(tmp_path):
    for i in range(3):
        write(tmp_path / f"flat/s{i}.fits", i)
    data = load_folder(tmp_path / "flat")
    assert data.catalogue.label.tolist() == [-1, -1, -1]
    assert data.classes == CLASSES
    for root in ("named", "deep/train"):
        write(tmp_path / root / "fr-ii/y.fits", 1)
        write(tmp_path / root / "COMP/x.fits")
        write(tmp_path / root / "Bent/b.fits")
        write(tmp_path / root / "odd/z.fits", 2)
    data = load_folder(tmp_path / "named")  # as the testbed did: only what stands in class folders
    assert data.catalogue.source_id.tolist() == ["x", "y", "b"]
    assert data.catalogue.label.tolist() == [0, 2, 3]
    data = load_folder(tmp_path / "deep")
    assert dict(zip(data.catalogue.source_id.tolist(), data.catalogue.label.tolist(), strict=True)) == {
        "x": 0, "b": 3, "y": 2, "z": -1,
    }  # fmt: skip
    manifest = table(tmp_path / "m.csv", "name,kind", "s0,ring", "s1,arc", "s2,ring")
    options = FolderOptions(columns=SourceColumns(label="kind"), labels=LabelRule(classes=()))
    data = load_folder(tmp_path / "flat", manifest, options=options)
    assert data.classes == ("arc", "ring")
    assert data.catalogue.label.tolist() == [1, 0, 1]


def test_other_pixel_scales_are_set_aside_or_resampled(tmp_path):
    for i in range(3):
        write(tmp_path / f"s{i}.fits", i, ra=150.0 + i)
    write(tmp_path / "coarse.fits", 5, scale=3.6)
    write(tmp_path / "fine.fits", 6, side=120, scale=0.9)
    write(tmp_path / "nowhere.fits", 7)
    data = load_folder(tmp_path)
    assert data.catalogue.source_id.tolist() == ["s0", "s1", "s2"]
    told = load_folder(tmp_path, options=FolderOptions(pixel_scale=1.8))
    assert told.catalogue.source_id.tolist() == ["nowhere", "s0", "s1", "s2"]
    assert "nowhere" in dict(load_folder(tmp_path, options=FolderOptions(pixel_scale=2.0)).set_aside)
    aside = dict(data.set_aside)
    assert "has pixels of 3.6 arcsec, expected 1.8: give a pixel scale to resample it" in aside["coarse"]
    assert "is 120x120 pixels, expected 40x40" in aside["fine"]
    data = load_folder(tmp_path, options=FolderOptions(cutout=CutoutSpec(n_pixels=30, pixel_scale=1.8)))
    assert data.catalogue.source_id.tolist() == ["coarse", "fine", "s0", "s1", "s2"]
    assert "the header tells no position" in dict(data.set_aside)["nowhere"]
    assert data.images.shape == (5, 30, 30)
    assert data.card.pixel_scale == pytest.approx(1.8)
    np.testing.assert_allclose(data.catalogue.ra, [150, 150, 150, 151, 152], atol=1e-9)  # by the headers
    np.testing.assert_array_equal(data.images[2], source(0)[5:35, 5:35])
    # The square source of 4 pixels: 4 x 3.6 arcsec are 8 new pixels, 4 x 0.9 arcsec are 2.
    assert [(image > 0.05).sum() for image in data.images[:2]] == [64, 4]


def test_fields_about_the_source(tmp_path):
    write(tmp_path / "a.fits", ra=150.0, dec=0.0)
    manifest = table(tmp_path / "m.csv", "name,ra,dec", f"a,{150 - 5 * 1.8 / 3600:.9f},0")
    options = FolderOptions(cutout=CutoutSpec(n_pixels=10), about="source")
    data = load_folder(tmp_path, manifest, options=options)
    np.testing.assert_array_equal(data.images[0], source()[15:25, 20:30])
    with pytest.raises(SpecError, match="about: 'middle' was given; legal are image, source"):
        FolderOptions(about="middle")


def test_planes_of_cubes(tmp_path):
    fits.writeto(tmp_path / "c.fits", np.stack([source(1), source(2)]))
    np.testing.assert_array_equal(load_folder(tmp_path, options=FolderOptions(plane=1)).images[0], source(2))
    with pytest.raises(DataError, match="none of 1 images can be used; the first, c: .*give a plane"):
        load_folder(tmp_path)


@pytest.mark.parametrize("layout", ["stack", "groups", "flat"])
def test_hdf5(tmp_path, layout):
    path = tmp_path / "h" / "all.h5"
    path.parent.mkdir()
    names = [f"data_{i}" for i in range(12)]
    with h5py.File(path, "w") as file:
        for i, name in enumerate(names):
            if layout == "groups":
                file[f"{name}/Img"] = source(i)
                file[f"{name}/Label"] = 1.0
            elif layout == "flat":
                file[name] = source(i)
        if layout == "stack":
            file["images"] = np.stack([source(i) for i in range(12)])
            file["names"] = np.array(names, dtype="S")
            file["labels"] = np.arange(12)
    for root in (path, path.parent):
        data = load_folder(root)
        assert data.catalogue.source_id.tolist() == names  # data_2 before data_10
        for i in range(12):
            np.testing.assert_array_equal(data.images[i], source(i))
    manifest = table(tmp_path / "m.csv", "id,class", "data_7,Bent", "data_1,FRI")
    data = load_folder(path, manifest)
    np.testing.assert_array_equal(data.images[0], source(7))
    assert data.catalogue.label.tolist() == [3, 1]
    assert data.catalogue.path[0].startswith(f"{path}::")


def test_hdf5_of_other_layouts_is_refused(tmp_path):
    with h5py.File(tmp_path / "two.h5", "w") as file:
        file["a"], file["b"] = np.zeros((2, 4, 4)), np.zeros((2, 4, 4))
    (tmp_path / "bad.hdf5").write_bytes(b"nothing")
    write(tmp_path / "good.fits")
    aside = dict(load_folder(tmp_path).set_aside)
    assert "holds 2 datasets of three axes and 0 of two; legal are one of shape (n, h, w)" in aside["two"]
    assert "cannot be read as HDF5" in aside["bad"]
    with h5py.File(tmp_path / "plain.h5", "w") as file:
        file["x"] = np.stack([source(1), source(2)])
    assert [f.name for f in list_images([tmp_path / "plain.h5"])] == ["plain_0", "plain_1"]


def test_png(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="needs Pillow")
    grey = np.random.default_rng(0).integers(0, 255, (40, 40)).astype(np.uint8)
    image.fromarray(grey).save(tmp_path / "grey.png")
    image.fromarray(np.stack([grey] * 3, axis=-1)).save(tmp_path / "equal.png")
    image.fromarray(grey.astype(np.uint16) * 200).save(tmp_path / "deep.png")
    image.fromarray(np.stack([grey, grey, 255 - grey], axis=-1)).save(tmp_path / "colour.png")
    clear = np.stack([grey, np.full_like(grey, 9)], axis=-1)
    image.fromarray(clear, mode=None).save(tmp_path / "clear.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "grey.png").read_bytes()[:300])
    data = load_folder(tmp_path)
    assert data.catalogue.source_id.tolist() == ["deep", "equal", "grey"]
    np.testing.assert_array_equal(data.images[0], grey.astype(np.float32) * 200)
    np.testing.assert_array_equal(data.images[1], grey)
    np.testing.assert_array_equal(data.images[2], grey)
    aside = dict(data.set_aside)
    assert "is a colour image (mode RGB)" in aside["colour"]
    assert "has transparent pixels" in aside["clear"]
    assert "cannot be read as PNG" in aside["broken"]


def test_png_without_pillow_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"")

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr("rgbench.data.own.files.import_module", missing)
    with pytest.raises(DataError, match=r"a.png: Pillow is needed to read PNG: pip install pillow"):
        read_image(ImageFile("a", tmp_path / "a.png"))


def test_hidden_and_foreign_files_are_passed_over(tmp_path):
    for name in ("a.fits", "._a.fits", "a_rot_15.fits", "notes.txt", "b.FITS"):
        write(tmp_path / name)
    (tmp_path / "dir.fits").mkdir()
    assert [f.name for f in list_images(sorted(tmp_path.iterdir()))] == ["a", "b"]


@pytest.mark.slow
@needs_mirror
def test_the_public_fits_with_their_table():
    root = MIRROR / "MiraBest_FITS"
    columns = SourceColumns(ra="ra_header", dec="dec_header", label="mb_class4", size="size_arcsec")
    options = FolderOptions(columns, LabelRule(unlabelled=("Hybrid",)), CutoutSpec(n_pixels=150))
    data = load_folder(root, root / "labels.csv", options=options)
    assert data.images.shape == (168, 150, 150)
    assert data.set_aside == ()
    assert Counter(data.catalogue.label.tolist())[-1] == data.catalogue.extra["code"].tolist().count(
        300
    ) + data.catalogue.extra["code"].tolist().count(310)
    np.testing.assert_array_equal(data.images[5], read_fits(data.catalogue.path[5]).pixels[75:225, 75:225])


@needs_mirror
def test_partly_blanked_public_fits_are_flagged():
    data = load_folder(MIRROR / "FITS_defects")
    blanked = (data.catalogue.flags & Flag.BLANKED) != 0
    assert Counter(blanked.tolist()) == {True: 8, False: 1}
    assert [name for name, _ in data.set_aside] == ["200_033.655+000.710_0.2900_0030.76"]
    assert data.card.pixel_scale == pytest.approx(1.8)
    assert data.catalogue.ra[0] == pytest.approx(16.7324936)  # by the header; 16.732 by the name


@needs_mirror
def test_surveys_of_every_kind_are_brought_to_one_field():
    data = load_folder(
        MIRROR / "other_FITS", options=FolderOptions(cutout=CutoutSpec(size_arcsec=270, pixel_scale=1.8))
    )
    assert data.images.shape == (7, 150, 150)
    named = dict(zip(data.catalogue.source_id.tolist(), data.images, strict=True))
    # The same source in FIRST and, at a lower resolution, in NVSS: both peak in the middle of the field.
    for name in ("J105007+304037", "NVSS_J105007.27+304037.52"):
        assert np.isfinite(named[name][60:90, 60:90]).all()


@pytest.mark.slow
@needs_mirror
def test_the_public_png_are_read_as_the_public_hdf5(tmp_path):
    pytest.importorskip("PIL.Image", reason="needs Pillow")
    with zipfile.ZipFile(MIRROR / "RadioGalaxyDataset/galaxy_data.zip") as archive:
        names = [n for n in archive.namelist() if "/test/" in n and n.endswith(".png")]
        archive.extractall(tmp_path, names)
    with zipfile.ZipFile(MIRROR / "RadioGalaxyDataset/galaxy_data_crossvalid_test_h5.zip") as archive:
        archive.extractall(tmp_path / "h5")
    data = load_folder(tmp_path / "galaxy_data" / "test")
    assert len(data.catalogue) == len(names)
    for name, label in zip(data.catalogue.path, data.catalogue.label, strict=True):
        assert Path(name).parent.name == CLASSES[label]
    stack = load_folder(next((tmp_path / "h5").glob("*.h5")))
    assert stack.images.shape == (399, 300, 300)
    assert [reason.rpartition(": ")[2] for _, reason in stack.set_aside] == ["all pixels are equal"]
    assert stack.catalogue.source_id[0] == "data_395"
    # The tests of the two published options share 54 of 200 images.
    theirs = {image.tobytes() for image in stack.images}
    assert sum(image.tobytes() in theirs for image in data.images) == 54


def test_the_commonest_is_the_first_of_equals():
    assert folders.commonest([3, 1, 1, 3]) == 3
    assert folders.commonest([]) is None


@pytest.mark.slow
@needs_mirror
def test_what_is_measured_stands_in_the_table():
    data = load_folder(MIRROR / "MiraBest_FITS", options=FolderOptions(beam=5.4))
    extra = data.catalogue.extra
    assert np.nanmedian(extra["noise"]) == pytest.approx(0.15e-3, rel=0.1), "FIRST's 0.15 mJy/beam"
    np.testing.assert_allclose(extra["peak"] / extra["noise"], extra["signal_to_noise"])
    assert (extra["flux_density"] > 0.8 * extra["peak"]).mean() > 0.95, (
        "Jy is at least Jy/beam, but for noise"
    )
    published = np.array([float(name.split("_")[-1]) for name in data.catalogue.source_id.tolist()])
    large = published > 60
    assert np.median(extra["largest_angular_size"][large] / published[large]) == pytest.approx(1, abs=0.15)
    without = load_folder(MIRROR / "MiraBest_FITS")
    assert np.isnan(without.catalogue.extra["flux_density"]).all(), "the headers tell no beam"
    np.testing.assert_array_equal(without.catalogue.extra["peak"], extra["peak"])


def point(path: Path, beam: float, unit: str = "Jy/beam", factor: float = 1.0, told: bool = True) -> None:
    """Write a point source of 0.1 Jy, seen through a round beam."""
    y, x = (np.indices((80, 80)) - 39.5) * 1.8
    pixels = 0.1 * np.exp(-4 * np.log(2) * (x**2 + y**2) / beam**2)
    pixels += np.random.default_rng(len(path.stem)).normal(0, 1e-4, (80, 80))
    header = sky(side=80, ra=150 + len(path.stem))
    header["BUNIT"] = unit
    if told:
        header["BMAJ"] = header["BMIN"] = beam / 3600
    fits.writeto(path, (factor * pixels).astype(np.float32), header)


def test_flux_densities_are_by_each_image_s_own_beam_and_unit(tmp_path):
    point(tmp_path / "a.fits", 5.4)
    point(tmp_path / "bb.fits", 10.8)
    point(tmp_path / "ccc.fits", 5.4, "mJy beam-1", 1e3)
    point(tmp_path / "dddd.fits", 5.4, "K")
    point(tmp_path / "eeeee.fits", 5.4, told=False)
    point(tmp_path / "ffffff.fits", 5.4, "")
    data = load_folder(tmp_path)
    fluxes = data.catalogue.extra["flux_density"]
    np.testing.assert_allclose(fluxes, [0.1, 0.1, 0.1, np.nan, np.nan, np.nan], rtol=0.03)
    unknown = "its flux density is not known"
    assert data.remarks == (
        ("dddd", f"BUNIT is 'K', not Jy/beam or Jy/pixel: {unknown}"),
        ("eeeee", f"the header tells no beam: {unknown}"),
        ("ffffff", f"BUNIT is missing: {unknown}"),
    )
    told = {finding.name: finding.problems for finding in check_folder(tmp_path)}
    assert told["dddd"] == (f"BUNIT is 'K', not Jy/beam or Jy/pixel: {unknown}",)
    assert told["a"] == ()


def test_what_is_unknown_of_all_flux_densities_is_said_once(tmp_path):
    point(tmp_path / "a.fits", 5.4, told=False)
    point(tmp_path / "bb.fits", 5.4, told=False)
    said = "the headers tell no beam: flux densities are not known"
    assert load_folder(tmp_path).remarks == (("", said),)
    assert said in check_own(tmp_path).remarks
    assert load_folder(tmp_path, options=FolderOptions(beam=5.4)).remarks == ()


def test_a_folder_that_fills_the_memory_is_read_into_a_file(tmp_path, monkeypatch):
    for seed in range(5):
        write(tmp_path / "FRI" / f"{seed}.fits", seed, ra=150.0 + seed)
    write(tmp_path / "FRI" / "small.fits", 9, side=30, ra=160.0)
    resident = load_folder(tmp_path)
    monkeypatch.setattr("rgbench.images.storage.SHARE", 0.0)
    streamed = load_folder(tmp_path)
    assert isinstance(streamed.images, np.memmap)
    assert streamed.checksum == resident.checksum
    assert streamed.set_aside == resident.set_aside
