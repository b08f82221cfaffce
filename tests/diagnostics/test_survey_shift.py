"""The same test sources, seen by another survey: what is matched, what is paired, the way from fetching on."""

from __future__ import annotations

import gzip
import io
import os
import threading
import warnings
from dataclasses import replace
from importlib import util
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from reproject import reproject_adaptive
from rich.console import Console
from scipy.ndimage import gaussian_filter

from rgbench.cli.work.diagnostics import stress_runs
from rgbench.comparison.robustness import score_conditions, stressed_run
from rgbench.data.catalogue import Card, Catalogue, DataSet
from rgbench.data.load import load_dataset
from rgbench.data.surveys.cutouts import build_cutouts
from rgbench.data.surveys.surveys import BuildSpec, find_survey, surveys
from rgbench.diagnostics.disturbances import BEAM, FWHM_TO_SIGMA, disturb, missing, see_as
from rgbench.diagnostics.stress import stress
from rgbench.diagnostics.survey_shift import match_sources, parse_survey, seen_by
from rgbench.errors import DataError, SpecError
from rgbench.runs.prepare import make_split
from rgbench.runs.reopen import StoredRun
from rgbench.runs.study import run_study
from rgbench.spec import DataSpec, Study
from rgbench.store.conditions import Condition, read_conditions
from rgbench.store.store import Store

pytestmark = pytest.mark.slow

FIRST = Card("first", "", pixel_scale=1.8, beam=5.4)
FITS = Path(os.environ.get("RGBENCH_MIRROR", "nowhere")) / "MiraBest_FITS"
needs_mirror = pytest.mark.skipif(
    not FITS.is_dir(), reason="RGBENCH_MIRROR names no folder with MiraBest_FITS"
)


def catalogue(names, ra=None, dec=None):
    n = len(names)
    nowhere, zero = np.full(n, np.nan), np.zeros(n, np.int64)
    ra, dec = (nowhere if each is None else np.array(each, dtype=float) for each in (ra, dec))
    return Catalogue(np.array(names), ra, dec, zero, np.arange(n), np.array(names), zero)


# --- simulated views ---------------------------------------------------------------------------------------


def test_a_point_source_gets_the_beam_of_the_survey():
    y, x = np.mgrid[:201, :201] - 100
    sigma = 5.4 / 1.8 * FWHM_TO_SIGMA
    image = np.exp(-(x**2 + y**2) / 2 / sigma**2)[None]
    for name in ("lotss", "racs", "nvss"):
        survey = find_survey(name)
        seen = see_as(image, FIRST, survey)[0]
        width = np.sqrt((seen * x**2).sum() / seen.sum()) / FWHM_TO_SIGMA * 1.8
        # Pixels of p arcsec spread by p^2/12, and the interpolation between them by p^2/6, where they are coarser.
        pixels = survey.pixel_scale**2 / 4 if survey.pixel_scale > 1.8 else 0.0
        expected = np.sqrt(survey.beam**2 + pixels / FWHM_TO_SIGMA**2)
        assert width == pytest.approx(expected, rel=0.02), name
        assert seen.sum() == pytest.approx(image.sum(), rel=1e-3)
        assert abs((seen * x).sum()) < 1e-6 * seen.sum(), "the source stays in its place"


@pytest.mark.parametrize("shape", [(2, 150, 150), (1, 64, 64), (1, 63, 63), (1, 60, 80)])
def test_views_keep_the_shape_and_a_level(shape):
    seen = see_as(np.full(shape, 3.0), FIRST, find_survey("nvss"))
    np.testing.assert_allclose(seen, np.full(shape, 3.0))


def test_a_survey_that_is_finer_or_unknown_is_refused():
    image = np.zeros((1, 30, 30))
    with pytest.raises(
        SpecError, match=r"the beam of vlass, 2.5 arcsec, is not larger than that of first, 5.4"
    ):
        disturb(image, ["a"], Condition("survey", survey="vlass-simulated"), FIRST)
    with pytest.raises(SpecError, match="tells no beam"):
        see_as(image, replace(FIRST, beam=float("nan")), find_survey("nvss"))
    with pytest.raises(SpecError, match="own images are needed"):
        disturb(image, ["a"], Condition("survey", survey="nvss"), FIRST)
    with pytest.raises(SpecError, match="nvs"):
        disturb(image, ["a"], Condition("survey", survey="nvs-simulated"), FIRST)
    assert missing(Condition("survey", survey="nvss"), FIRST) is None
    for bad in ("NVSS", "", "a b", "-x", "<script>"):
        with pytest.raises(SpecError, match="small letters"):
            Condition("survey", survey=bad)
    with pytest.raises(SpecError, match="small letters"):
        Condition("survey", 2.0, "nvss")
    assert {name for name, _ in surveys()} >= {"nvss", "lotss", "racs"}


# --- matching ------------------------------------------------------------------------------------------------


def test_sources_are_found_by_name_then_by_the_nearest_position():
    wanted = catalogue(["a", "b", "c", "d", "e"], [10, 20, 30, 40, np.nan], [0, 60, -89.999, 5, np.nan])
    there = catalogue(
        ["x", "y", "a", "z", "w", "v"],
        [20 + 4 / 3600 / np.cos(np.radians(60)), 20.0, 10 + 50 / 3600, 210.0, 40 + 6 / 3600, np.nan],
        [60, 60 + 1 / 3600, 0, -89.9997, 5, np.nan],
    )
    place = match_sources(wanted, there)
    assert place.tolist() == [2, 1, 3, -1, -1]
    near = SkyCoord(wanted.ra[2], wanted.dec[2], unit="deg").separation(SkyCoord(210, -89.9997, unit="deg"))
    assert near.arcsec < 5
    # One image is not given to two sources.
    twice = match_sources(catalogue(["p", "q"], [1.0, 1.0005], [0, 0]), catalogue(["r"], [1.0004], [0]))
    assert twice.tolist() == [-1, 0]


def test_a_name_that_stands_elsewhere_on_the_sky_is_another_source():
    wanted = catalogue(["1", "2", "3"], [10.0, 20.0, np.nan], [0, 0, np.nan])
    there = catalogue(["1", "2", "3"], [99.0, 20 + 70 / 3600, 7.0], [0, 0, 0])
    assert match_sources(wanted, there).tolist() == [-1, -1, 2]


def test_the_option_is_read(tmp_path):
    condition, folder = parse_survey(f"NVSS={tmp_path}")
    assert condition.name == "survey-nvss"
    assert folder == tmp_path
    for bad in ("nvss", "=x", "nvss=", f"nvss={tmp_path / 'none'}"):
        with pytest.raises(SpecError, match="--survey"):
            parse_survey(bad)
    with pytest.raises(SpecError, match="is the name of images that are made"):
        parse_survey(f"nvss-simulated={tmp_path}")


# --- from fetching to the report -----------------------------------------------------------------------------


def as_nvss(content: bytes) -> bytes:
    """Make what NVSS might show of a FIRST image: its beam, its pixels, by an independent regridding."""
    with warnings.catch_warnings(), fits.open(io.BytesIO(content)) as file:
        warnings.simplefilter("ignore")  # headers of the survey are not quite to the standard
        image, wcs = np.nan_to_num(file[0].data.astype(float)), WCS(file[0].header)
    sigma = np.sqrt(45.0**2 - 5.4**2) / 1.8 * FWHM_TO_SIGMA
    wanted = WCS(naxis=2)
    wanted.wcs.ctype, wanted.wcs.cdelt = ["RA---TAN", "DEC--TAN"], [-15 / 3600, 15 / 3600]
    wanted.wcs.crpix, wanted.wcs.crval = [18.5, 18.5], wcs.pixel_to_world_values(149.5, 149.5)
    seen, _ = reproject_adaptive((gaussian_filter(image, sigma), wcs), wanted, (36, 36), kernel="gaussian")
    keys = wanted.to_header()
    keys["BUNIT"], keys["BMAJ"], keys["BMIN"] = "JY/BEAM", 45 / 3600, 45 / 3600
    out = io.BytesIO()
    fits.writeto(out, seen.astype(np.float32), keys)
    return out.getvalue()


@pytest.fixture(scope="module")
def images() -> dict[str, bytes]:
    found = sorted(FITS.glob("[12]00_*.fits.gz"))
    both = [path for code in "12" for path in [p for p in found if p.name.startswith(code)][:14]]
    return {path.name.removesuffix(".fits.gz"): gzip.decompress(path.read_bytes()) for path in both}


@pytest.fixture(scope="module")
def trained(images, tmp_path_factory) -> Store:
    root = tmp_path_factory.mktemp("first")
    for name, content in images.items():
        place = root / "sky" / ("FRI" if name.startswith("1") else "FRII")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{name}.fits").write_bytes(content)
    study = Study(
        name="shift",
        networks=("mcrgnet",),
        seeds=(1, 2),
        data=DataSpec(
            name="sky", path=str(root / "sky"), split="becker2021", train_size=6, validation_size=2, beam=5.4
        ),
        images={"field": 64, "size": 64},
        recipe={"epochs": 1, "views": 1, "precision": "float32"},
    )
    store = Store(root / "store")
    assert [r.error for r in run_study(study, store)] == [None, None]
    return store


@pytest.fixture(scope="module")
def nvss(images, trained, tmp_path_factory) -> Path:
    """Fetch the test sources from a server that stands in for the service; one has no image there."""
    folder = tmp_path_factory.mktemp("cutouts") / "nvss"
    path = Path(__file__).parents[1] / "data" / "surveys" / "cutout_server.py"
    spec = util.spec_from_file_location("cutout_server", path)
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    dataset = load_dataset(trained.records()[0].spec.data)
    table = dataset.catalogue
    places = {str(n): (a, d) for n, a, d in zip(table.source_id, table.ra, table.dec, strict=True)}
    served = {places[name]: as_nvss(content) for name, content in list(images.items())[1:]}
    with module.CutoutServer(served) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        names = list(places)
        quick = BuildSpec("nvss", server=server.url("hips2fits"), rate=1000.0, backoff=0.01)
        result = build_cutouts(names, *np.array([places[n] for n in names]).T, folder, quick)
        server.shutdown()
    assert len(result.done) == len(images) - 1
    return folder


@needs_mirror
def test_from_cutouts_to_the_paired_loss(trained, nvss, images):
    records = trained.records()
    dataset = load_dataset(records[0].spec.data)
    out = io.StringIO()
    stress_runs(trained.root, None, [f"nvss={nvss}"], "cpu", Console(file=out, width=300))
    assert "sources, made by simulation, " in out.getvalue()
    assert "sources (survey-nvss) " in out.getvalue()
    first = next(iter(images))
    runs = []
    for record in records:
        tested = dataset.catalogue.source_id[make_split(record.spec, dataset).indices("test")].tolist()
        rows = read_conditions(trained, record.run_id).select("test", "best", condition="survey-nvss")
        assert sorted(rows.source_id.tolist()) == sorted(set(tested) - {first})
        said = f"survey-nvss: {len(tested) - (first in tested)} of {len(tested)} test sources"
        assert said in out.getvalue()
        runs.append(stressed_run(record, read_conditions(trained, record.run_id)))
    for run in runs:
        (score,) = [s for s in score_conditions([run]) if s.condition.name == "survey-nvss"]
        seen = run.disturbed[Condition("survey", survey="nvss")]
        both = np.isin(run.clean.source_id, seen.source_id)
        right = (
            (run.clean.logits.argmax(axis=1) == run.clean.label)[both],
            seen.logits.argmax(axis=1) == seen.label,
        )
        assert score.n_sources == both.sum()
        assert score.clean["accuracy"][0] == pytest.approx(right[0].mean())
        assert score.drops["accuracy"][0] == pytest.approx(right[0].mean() - right[1].mean())


@needs_mirror
def test_fetched_and_simulated_views_are_alike(trained, nvss):
    record = trained.records()[0]
    dataset = load_dataset(record.spec.data)
    index = np.arange(len(dataset.catalogue))
    found = seen_by(Condition("survey", survey="nvss"), nvss, dataset, index, field=180)
    assert [reason for _, reason in found.missing] == ["no image of it"]
    both = np.isin(dataset.catalogue.source_id, found.data.catalogue.source_id)
    simulated = see_as(dataset.images[both], FIRST, find_survey("nvss"))
    middle = (slice(None), slice(60, 240), slice(60, 240))
    for a, b in zip(found.data.images[middle], simulated[middle], strict=True):
        assert np.corrcoef(np.nan_to_num(a).ravel(), b.ravel())[0, 1] > 0.98
    classes = [found.data.classes[label] for label in found.data.catalogue.label]
    assert classes == ["FRI" if name.startswith("1") else "FRII" for name in found.data.catalogue.source_id]


@needs_mirror
def test_what_is_not_of_the_sources_is_refused(trained, nvss, dataset_of_strangers):
    condition = Condition("survey", survey="nvss")
    with pytest.raises(
        DataError, match="none of 27 images shows one of the 3 test sources; .*no image of it"
    ):
        seen_by(condition, nvss, dataset_of_strangers, np.arange(3))
    unknown = replace(dataset_of_strangers, card=replace(FIRST, pixel_scale=float("nan")))
    with pytest.raises(DataError, match="pixel scale is not known"):
        seen_by(condition, nvss, unknown, np.arange(3))
    dataset = load_dataset(trained.records()[0].spec.data)
    moved = replace(dataset.catalogue, dec=dataset.catalogue.dec + 0.1)
    with pytest.raises(DataError, match="the image of that name lies more than 60 arcsec off"):
        seen_by(condition, nvss, replace(dataset, catalogue=moved), np.arange(3, 6))
    with pytest.raises(SpecError, match="was fetched from nvss, not from lotss"):
        seen_by(Condition("survey", survey="lotss"), nvss, dataset, np.arange(1, 6))


@needs_mirror
def test_an_image_that_shows_less_than_the_field_is_not_used(trained, nvss):
    """The cutouts are as wide as the data's, so that the outermost pixels lie between no four of theirs."""
    dataset = load_dataset(trained.records()[0].spec.data)
    condition, index = Condition("survey", survey="nvss"), np.arange(1, 6)
    with pytest.raises(DataError, match="its image shows 79 % of the field"):
        seen_by(condition, nvss, dataset, index)
    pixels = seen_by(condition, nvss, dataset, index, field=250).data.images
    assert pixels.shape[1:] == dataset.images.shape[1:]
    assert np.isfinite(pixels[:, 25:275, 25:275]).all()


@pytest.fixture
def dataset_of_strangers():
    strangers = catalogue(["p", "q", "r"], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    return DataSet(FIRST, strangers, np.zeros((3, 30, 30)), {})


@needs_mirror
def test_only_the_survey_is_asked_where_no_condition_is(trained, nvss):
    record = trained.records()[0]
    dataset = load_dataset(record.spec.data)
    index = make_split(record.spec, dataset).indices("test")
    condition = Condition("survey", survey="nvss")
    seen = {condition: seen_by(condition, nvss, dataset, index, field=64).data}
    rows = stress(StoredRun(record, trained, dataset=dataset), (), seen=seen)
    assert set(rows.condition) == {"survey-nvss"}
    (again,) = [{condition: replace(data, images=data.images[::-1])} for data in seen.values()]
    other = stress(StoredRun(record, trained, dataset=dataset), (), seen=again)
    assert len(other) == len(rows), "rows of images that are given anew are replaced"
    assert not np.array_equal(other.logits, rows.logits)


@needs_mirror
def test_a_survey_of_any_name_is_tested_with_the_beams_of_its_headers(trained, nvss):
    """The name is no known survey's; the network is told 45 arcsec of FIRST's 5.4, as each header says."""
    record = trained.records()[0]
    dataset = load_dataset(record.spec.data)
    run = StoredRun(record, trained, dataset=dataset)
    index = run.side("test")
    own = Condition("survey", survey="my-telescope")
    found = seen_by(own, nvss, dataset, index, field=64).data
    np.testing.assert_allclose(found.catalogue.extra[BEAM], 45 / 5.4, rtol=1e-6)
    rows = stress(run, (), seen={own: found})
    assert set(rows.condition) == {"survey-my-telescope"}
    assert np.isfinite(rows.logits).all()
