"""Regions, coverage and HATS of a survey, read back by the programs that they are for."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits

from rgbench.errors import DataError
from rgbench.survey.formats.about import About
from rgbench.survey.formats.coverage import order_of
from rgbench.survey.formats.hats import write_hats
from rgbench.survey.formats.regions import COLOURS, write_regions
from rgbench.survey.formats.written import Written
from rgbench.survey.mosaics import open_mosaics
from rgbench.survey.outputs import write_outputs

regions = pytest.importorskip("regions")
needs_moc = pytest.mark.skipif(find_spec("mocpy") is None, reason="needs mocpy")
needs_healpix = pytest.mark.skipif(find_spec("astropy_healpix") is None, reason="needs astropy-healpix")
needs_lsdb = pytest.mark.skipif(find_spec("lsdb") is None, reason="needs lsdb")


def test_regions_are_circles_about_the_sources_in_the_colours_of_their_classes(survey, outputs, rows):
    found = regions.Regions.read(outputs.files["regions"][0], format="ds9")
    wanted = [row for row in rows.to_pylist() if row["rg_class"]]
    assert len(found) == len(wanted) == 8
    for region, row in zip(found, wanted, strict=True):
        at = SkyCoord(row["rg_ra"], row["rg_dec"], unit="deg")
        assert region.center.separation(at).arcsec < 0.001
        assert region.center.frame.name == "icrs"
        assert region.radius.to_value("arcsec") == pytest.approx(max(row["rg_size"], 5.4) / 2, abs=1e-3)
        assert region.meta["text"] == row["rg_class"]
        assert region.visual["edgecolor"] == COLOURS[survey.about.classes.index(row["rg_class"])]


def test_regions_of_classes_with_any_name_stay_one_each(tmp_path):
    names = ("FR{II}; circle(1,2,3)", 'a"b\ncircle(1,2,3)', "# é")
    columns = {
        "rg_class": list(names),
        "rg_ra": [1.0] * 3,
        "rg_dec": [-2.0] * 3,
        "rg_size": [np.nan, 8.0, 2.0],
    }
    pq.write_table(pa.table({**columns, "rg_mosaic": ["a", "b", "a"]}), tmp_path / "t.parquet")
    about = About("c", "", "", names, 1, {})
    write_regions(tmp_path / "t.reg", Written((tmp_path / "t.parquet",), about), {"a": 6.0, "b": np.nan})
    found = regions.Regions.read(tmp_path / "t.reg", format="ds9")
    assert [each.radius.to_value("arcsec") for each in found] == [3.0, 4.0, 3.0]
    assert len({each.visual["edgecolor"] for each in found}) == 3


@needs_moc
def test_the_coverage_is_that_of_the_mosaic(survey):
    from mocpy import MOC

    path = write_outputs(survey, ["moc"]).files["moc"][0]
    moc = MOC.from_fits(path)
    mosaic = survey.mosaics[0]
    area = np.prod(mosaic.shape) * (mosaic.face.pixel_scale / 3600) ** 2
    assert moc.sky_fraction * 41252.96 == pytest.approx(area, rel=0.03)
    assert moc.max_order == order_of(mosaic)
    rng = np.random.default_rng(0)
    height, width = mosaic.shape
    inside = mosaic.face.positions(rng.uniform(0, height - 1, 500), rng.uniform(0, width - 1, 500))
    outside = mosaic.face.positions(np.array([-20.0, height + 20]), np.array([9.0, 9.0]))
    assert moc.contains_skycoords(SkyCoord(*inside, unit="deg")).all()
    assert not moc.contains_skycoords(SkyCoord(*outside, unit="deg")).any()
    before = path.read_bytes()
    assert write_outputs(survey, ["moc"]).files["moc"][0].read_bytes() == before


@needs_moc
@pytest.mark.parametrize(
    ("projection", "side", "step"), [("SIN", 400, 0.02), ("CAR", 360, 1.0), ("AIT", 360, 1.0)]
)
def test_coverage_of_other_projections(tmp_path, projection, side, step):
    from mocpy import MOC

    from rgbench.survey.formats.coverage import write_coverage

    header = fits.Header()
    shape = (side // 2, side)
    for k, (kind, at) in enumerate((("RA---", 359.9 if step < 1 else 180.0), ("DEC--", 0.0)), start=1):
        header[f"CTYPE{k}"], header[f"CRVAL{k}"] = f"{kind}{projection}", at
        header[f"CRPIX{k}"], header[f"CDELT{k}"] = shape[2 - k] / 2 + 0.5, (-step, step)[k - 1]
        header[f"CUNIT{k}"] = "deg"
    fits.writeto(tmp_path / "m.fits", np.zeros(shape, "f4"), header)
    write_coverage(tmp_path / "moc.fits", list(open_mosaics(tmp_path / "m.fits")))
    moc = MOC.from_fits(tmp_path / "moc.fits")
    area = shape[0] * shape[1] * step**2 if step < 1 else 41252.96
    assert moc.sky_fraction * 41252.96 == pytest.approx(area, rel=0.03)


@needs_healpix
def test_hats_holds_every_row_with_a_position_by_cells(survey, outputs, rows, tmp_path):
    written = Written(tuple(outputs.files["parquet"]), survey.about)
    places = survey.catalogue.positions()
    assert write_hats(tmp_path / "hats", written, places.ra, places.dec, most=3) == 1
    files = sorted((tmp_path / "hats/dataset").rglob("*.parquet"))
    assert len(files) > 2
    found = pa.concat_tables(pq.read_table(path, partitioning=None) for path in files)
    assert sorted(found["RA"].to_pylist()) == sorted(rows["RA"].to_pylist()[:9])
    assert found["rg_ra"].to_pylist() == found["RA"].to_pylist()
    index = pq.read_table(files[0], partitioning=None)["_healpix_29"].to_numpy()
    assert (np.diff(index) >= 0).all()
    info = (tmp_path / "hats/partition_info.csv").read_text().splitlines()
    assert info[0] == "Norder,Npix,num_rows"
    assert sum(int(line.split(",")[2]) for line in info[1:]) == 9
    for line in info[1:]:
        order, pixel, _ = map(int, line.split(","))
        path = tmp_path / f"hats/dataset/Norder={order}/Dir={pixel // 10000 * 10000}/Npix={pixel}.parquet"
        own = pq.read_table(path, partitioning=None)["_healpix_29"].to_numpy()
        assert set((own >> 2 * (29 - order)).tolist()) == {pixel}
    whole = pq.read_metadata(tmp_path / "hats/dataset/_metadata")
    assert whole.num_rows == 9
    facts = json.loads(pq.read_schema(tmp_path / "hats/dataset/_common_metadata").metadata[b"rgbench"])
    assert facts["classifier"] == "first-1"


@needs_healpix
def test_hats_without_a_position_is_refused(survey, outputs, tmp_path):
    written = Written(tuple(outputs.files["parquet"]), survey.about)
    nowhere = np.full(10, np.nan)
    with pytest.raises(DataError, match="no row has a position"):
        write_hats(tmp_path / "hats", written, nowhere, nowhere)


_LSDB = """
import json, sys, warnings
warnings.simplefilter("ignore")
import lsdb
catalog = lsdb.open_catalog(sys.argv[1])
near = catalog.cone_search(ra=180.0, dec=30.0, radius_arcsec=3600).compute()
whole = catalog.compute()
print(json.dumps({
    "rows": len(whole), "near": len(near), "partitions": catalog.npartitions,
    "classes": sorted(whole["rg_class"].tolist()), "columns": list(whole.columns),
    "index": whole.index.name,
}))
"""


@pytest.mark.slow
@needs_lsdb
@needs_healpix
def test_lsdb_opens_the_hats_catalogue(survey, outputs, rows, tmp_path):
    written = Written(tuple(outputs.files["parquet"]), survey.about)
    places = survey.catalogue.positions()
    write_hats(tmp_path / "hats", written, places.ra, places.dec, most=3)
    # In a process of its own: it brings Dask and Numba, and their warnings.
    said = subprocess.run(
        [sys.executable, "-c", _LSDB, str(tmp_path / "hats")],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout.splitlines()[-1])
    assert found["rows"] == 9
    assert found["near"] == 8
    assert found["partitions"] > 2
    assert found["classes"] == sorted(rows["rg_class"].to_pylist()[:9])
    assert found["index"] == "_healpix_29"
    assert set(rows.column_names) <= set(found["columns"])


@needs_healpix
def test_the_index_of_another_hats_catalogue_gives_way(survey, outputs, tmp_path):
    table = pq.read_table(outputs.files["parquet"][0])
    pq.write_table(table.add_column(0, "_healpix_29", pa.array(range(10))), tmp_path / "t.parquet")
    places = survey.catalogue.positions()
    written = Written((tmp_path / "t.parquet",), survey.about)
    write_hats(tmp_path / "hats", written, places.ra, places.dec)
    for file in (tmp_path / "hats/dataset").rglob("*.parquet"):
        found = pq.read_table(file, partitioning=None)
        assert found.column_names.count("_healpix_29") == 1
        assert min(found["_healpix_29"].to_pylist()) > 10
