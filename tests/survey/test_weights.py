"""Maps of weight and noise: which belongs to which mosaic, and which mosaic is taken by them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from rgbench.errors import DataError, SpecError
from rgbench.survey.mosaics import find_mosaics
from rgbench.survey.plan import NOT_COVERED
from rgbench.survey.survey import SurveyChoice, plan_survey
from rgbench.survey.weights import NOISE, WEIGHTS, find_weights, map_files

SIDE = 60


def put(path: Path, header=None, value: float = 1.0, shape=(SIDE, SIDE)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.writeto(path, np.full(shape, value, np.float32), header)
    return path


def matched(folder: Path, mosaics: list[str], maps: list[str], header) -> list[str]:
    images = [put(folder / name, header) for name in mosaics]
    files = [put(folder / name) for name in maps]
    found = find_weights(files, find_mosaics(images, folder, []), WEIGHTS, folder)
    return [each.image.path.relative_to(folder).as_posix() for each in found.maps]


@pytest.mark.parametrize(
    ("mosaics", "maps"),
    [
        (["P1.fits", "P12.fits"], ["P1-weight.fits", "P12.weight.fits"]),
        (["P1.fits", "P1-b.fits"], ["w/P1_rms.fits", "w/P1-b_rms.fits"]),
        (
            ["a/mosaic-blanked.fits", "b/mosaic-blanked.fits"],
            ["a/mosaic-weights.fits", "b/mosaic-weights.fits"],
        ),
        (["T01.J0002.tt0.subim.fits"], ["T01.J0002.tt0.rms.subim.fits"]),
        (["a.image.fits", "c.fits"], ["noise/A.fits", "noise/C.NOISE.v2.fits"]),
    ],
)
def test_maps_are_matched_by_the_words_of_their_names(tmp_path, sky_header, mosaics, maps):
    assert matched(tmp_path, mosaics, maps, sky_header((SIDE, SIDE))) == maps


@pytest.mark.parametrize(
    ("mosaics", "maps", "says"),
    [
        (["P1.fits", "P2.fits"], ["P1-weight.fits"], r"no file is the map of .*P2\.fits; one file is needed"),
        (
            ["P1.fits"],
            ["P1-weight.fits", "P1.wht.fits"],
            r"P1-weight\.fits and .*P1\.wht\.fits could be the map of",
        ),
        (
            ["a/P1.fits", "b/P1.fits"],
            ["w/P1-weight.fits"],
            r"could be the map of .*a/P1\.fits or .*b/P1\.fits",
        ),
    ],
)
def test_what_is_not_clear_is_refused(tmp_path, sky_header, mosaics, maps, says):
    with pytest.raises(SpecError, match=says):
        matched(tmp_path, mosaics, maps, sky_header((SIDE, SIDE)))


def test_a_map_without_positions_needs_the_pixels_of_its_mosaic(tmp_path, sky_header):
    mosaics = find_mosaics([put(tmp_path / "m.fits", sky_header((SIDE, SIDE)))], tmp_path, [])
    other = put(tmp_path / "m-rms.fits", shape=(30, 30))
    with pytest.raises(DataError, match="tells no position and has 30 x 30 pixels, .* has 60 x 60"):
        find_weights([other], mosaics, NOISE, tmp_path)
    (tmp_path / "m.rms.fits").write_bytes(b"no map")
    with pytest.raises(DataError, match=r"--noise-maps .*m\.rms\.fits: "):
        find_weights([tmp_path / "m.rms.fits"], mosaics, NOISE, tmp_path)


def test_files_that_are_images_too_are_maps_if_their_names_say_so(tmp_path, sky_header):
    images = [put(tmp_path / name) for name in ("a.fits", "a-rms.fits", "b.fits")]
    alone = put(tmp_path / "w" / "b.fits")
    assert map_files([tmp_path], images, WEIGHTS) == [images[1], alone]
    with pytest.raises(DataError, match="--weights .*none: there is no such file or folder"):
        map_files([tmp_path / "none"], images, WEIGHTS)


def overlapping(folder: Path, header_of) -> tuple[list[Path], Path]:
    """Two mosaics, and a catalogue of which the first three rows lie on both; all nearer to the middle of the first."""
    images = [put(folder / "m0.fits", header_of((300, 300), 180.0, 0.0), 0, (300, 300))]
    images.append(put(folder / "m1.fits", header_of((300, 300), 180.05, 0.0), 0, (300, 300)))
    (folder / "c.csv").write_text("ra,dec\n180,0\n180.01,0\n179.99,0.02\n179.94,0\n180.11,0\n10,10\n")
    return images, folder / "c.csv"


@pytest.mark.parametrize(("kind", "winner"), [("weights", 1), ("noise_maps", 0)])
def test_the_greater_weight_or_the_smaller_noise_wins(tmp_path, sky_header, kind, winner):
    """On the grid of the mosaic without positions, and with positions of its own."""
    images, table = overlapping(tmp_path, sky_header)
    maps = [put(tmp_path / "w" / "m0-map.fits", None, 2.0, (300, 300))]
    maps.append(put(tmp_path / "w" / "m1-map.fits", sky_header((600, 600), 180.05, 0.0), 3.0, (600, 600)))
    assert all(path.exists() for path in maps)
    assert plan_survey(table, images, tmp_path / "out").plan.chosen.tolist() == [0, 0, 0, 0, 1, NOT_COVERED]
    survey = plan_survey(table, images, tmp_path / "new", choice=SurveyChoice(**{kind: (tmp_path / "w",)}))
    assert survey.plan.chosen.tolist() == [winner] * 3 + [0, 1, NOT_COVERED]


def test_a_weight_that_is_none_comes_last(tmp_path, sky_header):
    images, table = overlapping(tmp_path, sky_header)
    for name, value in (("m0-rms.fits", np.nan), ("m1-rms.fits", 9.0)):
        put(tmp_path / "w" / name, None, value, (300, 300))
    survey = plan_survey(
        table, images, tmp_path / "out", choice=SurveyChoice(noise_maps=(tmp_path / "w",), views=1)
    )
    assert survey.plan.chosen.tolist()[:3] == [1, 1, 1]
    silent = tmp_path / "w" / "m0-rms.fits"
    assert survey.plan.remarks == [f"{silent}: no number above 0 at 3 of the 3 rows for which it counts"]
    survey.run(1)
    with pytest.raises(SpecError, match="holds the work of another survey"):
        plan_survey(table, images, tmp_path / "out", choice=SurveyChoice(weights=(tmp_path / "w",), views=1))
    both = SurveyChoice(weights=(tmp_path / "w",), noise_maps=(tmp_path / "w",))
    with pytest.raises(SpecError, match="--weights and --noise-maps: give one of them"):
        plan_survey(table, images, tmp_path / "out", choice=both)


def test_maps_of_large_mosaics_are_read_a_part_at_a_time(tmp_path, sky_header, monkeypatch):
    from rgbench.survey import weights

    monkeypatch.setattr(weights, "_TOGETHER", 16)
    values = np.arange(SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)
    header = sky_header((SIDE, SIDE))
    fits.writeto(tmp_path / "m.fits", values, header)
    (mosaic,) = find_mosaics([tmp_path / "m.fits"], tmp_path, [])
    rng = np.random.default_rng(3)
    rows, columns = rng.uniform(-5, SIDE + 5, (2, 200))
    ra, dec = mosaic.face.positions(rows, columns)
    found = weights.values_at(weights.Map(mosaic, mosaic.face), ra, dec)
    near = np.rint([rows, columns]).astype(int)
    inside = ((near >= 0) & (near < SIDE)).all(axis=0)
    assert np.array_equal(found[inside], values[near[0, inside], near[1, inside]])
    assert np.isnan(found[~inside]).all()
