"""Catalogues of surveys: which columns are their positions, and rows that come back as they were."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import FK4, SkyCoord
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from rgbench.data.own import parts
from rgbench.errors import DataError, SpecError
from rgbench.survey import catalogue as catalogue_module
from rgbench.survey.catalogue import SurveyCatalogue, find_profile, profiles

# Heads as the surveys publish them, shortened by columns that no rule looks at.
HEADS = {
    "PyBDSF": "Source_id,Isl_id,RA,E_RA,DEC,E_DEC,Total_flux,Peak_flux,RA_max,DEC_max,Maj,Min,PA,DC_Maj,Isl_rms,S_Code",
    "LoTSS": "Source_Name,RA,E_RA,DEC,E_DEC,Peak_flux,Total_flux,Maj,Min,DC_Maj,PA,Isl_rms,S_Code,Mosaic_ID",
    "Selavy": "island_id,component_id,component_name,ra_hms_cont,dec_dms_cont,ra_deg_cont,dec_deg_cont,freq,flux_peak,"
    "flux_int,maj_axis,min_axis,pos_ang",
    "VLASS or RACS by CIRADA": "Component_name,Component_id,Isl_id,RA,DEC,Total_flux,Maj,DC_Maj,S_Code,Duplicate_flag,"
    "Quality_flag",
    "RACS": "Gaussian_ID,Source_ID,Tile_ID,SBID,RA,Dec,E_RA,E_Dec,Total_flux_Gaussian,Maj_axis,Min_axis",
    "rgbench survey --find": "Source_id,Image,RA,DEC,Total_flux,Peak_flux,Maj,Min,Isl_rms,RA_max,DEC_max",
    "FIRST": "RA,DEC,SIDEPROB,FPEAK,FINT,RMS,MAJOR,MINOR,POSANG,FITTED_MAJOR",
    "FIRST by VizieR": "recno,FIRST,RAJ2000,DEJ2000,p(S),Fpeak,Fint,Rms,Maj,Min,PA,fMaj,fMin",
    "NVSS by VizieR": "recno,NVSS,RAJ2000,DEJ2000,e_RAJ2000,S1.4,e_S1.4,MajAxis,MinAxis",
}


@pytest.mark.parametrize("title", HEADS)
def test_heads_of_surveys_are_known(tmp_path, title):
    profile = find_profile(tmp_path / "a.csv", HEADS[title].split(","), {})
    assert profile.title == title
    assert profile.ra.casefold().startswith("ra")
    assert profile.dec.casefold().startswith("de")
    assert profile.size in HEADS[title]


def test_every_profile_is_tried_here():
    assert {each["title"] for each in profiles().values()} == set(HEADS)


def test_other_heads_are_found_or_mapped(tmp_path):
    path = tmp_path / "a.csv"
    assert find_profile(path, ["obj", "raj2000", "dej2000"], {}).placed == ["raj2000", "dej2000"]
    mapped = find_profile(path, ["a", "b", "c"], {"ra": "a", "dec": "b", "size": "c"})
    assert (mapped.ra, mapped.dec, mapped.size) == ("a", "b", "c")
    # Columns that are asked for count more than those of a survey that is known.
    assert find_profile(path, [*HEADS["PyBDSF"].split(","), "x", "y"], {"ra": "x", "dec": "y"}).placed == [
        "x",
        "y",
    ]
    with pytest.raises(SpecError, match="no column is a position; the columns are a, b: say which"):
        find_profile(path, ["a", "b"], {})
    with pytest.raises(SpecError, match="there is no column 'Majj' for size"):
        find_profile(path, HEADS["PyBDSF"].split(","), {"size": "Majj"})
    (path).write_text("ra,dec\n1,2\n")
    with pytest.raises(SpecError, match="unknown key 'rad'; legal are name, position, ra, dec, size"):
        SurveyCatalogue(path, {"rad": "ra"})


@pytest.mark.parametrize("name", ["a.csv", "a.ecsv", "a.vot", "a.fits", "a.parquet"])
def test_all_kinds_of_tables_give_the_same_positions_and_rows(sky, name):
    catalogue = SurveyCatalogue(sky.table(name))
    found = catalogue.positions()
    np.testing.assert_allclose(found.ra, sky.catalogue["RA"], rtol=1e-12)
    np.testing.assert_allclose(found.dec, sky.catalogue["DEC"], rtol=1e-12)
    np.testing.assert_allclose(found.size, sky.catalogue["Maj"] * 3600, rtol=1e-6)
    rows = pa.concat_tables(catalogue.batches(5))
    assert rows.column_names == sky.catalogue.colnames
    for column in sky.catalogue.colnames:
        assert rows[column].to_pylist() == sky.catalogue[column].tolist()


SEXAGESIMAL = "".join(f"s{i},{i}:00:00,+{i}:30:00,{i},{'' if i == 5 else i}\n" for i in range(9))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", ""), ("a.ecsv", ""), ("a.vot", ""), ("a.fits", ""),
        ("a.csv", f"name,ra,dec,n,m (mJy)\n{SEXAGESIMAL}"),
        ("a.tsv", f"name,RA (B1950),DEC (B1950),n,m\n{SEXAGESIMAL}s9,here,+1:0:0,,\ns10,1:0:0,+99:0:0,,"
            .replace(",", "\t")),
        ("a.csv", "name,position,Maj (arcmin)\na,12 30 49.4 +12 23 28,1\n\nb,,2\n\"c\nd\",1 2 3 -4 5 6,\n"),
    ],
)  # fmt: skip
def test_catalogues_read_in_parts_are_those_read_as_a_whole(sky, monkeypatch, name, text):
    """Rows, types, units, positions, sizes, faults and remarks."""
    path = sky.folder / name
    if text:
        path.write_text(text)
    else:
        sky.table(name)
    monkeypatch.setattr(parts, "_BLOCK", 64)
    monkeypatch.setattr(parts, "_SCANNED", 3)
    monkeypatch.setattr(catalogue_module, "BATCH", 4)
    columns = {"size": "Maj"} if "Maj" in text else {}
    found = []
    for reader in (parts.open_table, parts.WholeTable):
        monkeypatch.setattr(catalogue_module, "open_table", reader)
        catalogue = SurveyCatalogue(path, columns)
        places = catalogue.positions()
        found.append((catalogue, pa.concat_tables(catalogue.batches(5)), places))
    (one, rows, places), (other, whole, others) = found
    assert rows.schema.equals(whole.schema, check_metadata=True)
    assert str(rows.to_pydict()) == str(whole.to_pydict())
    assert (len(one), one.remarks, places.faults) == (len(other), other.remarks, others.faults)
    for key in ("ra", "dec", "size"):
        np.testing.assert_array_equal(getattr(places, key), getattr(others, key))


def test_one_bad_row_costs_no_other(tmp_path):
    path = tmp_path / "a.csv"
    rows = [f"s{i},{i}:00:00,+10:00:00" for i in range(9)]
    rows[4] = "s4,here,+10:00:00"
    rows[6] = "s6,1:00:00,+99:00:00"
    path.write_text("\n".join(["name,ra,dec", *rows, "s9,,"]))
    found = SurveyCatalogue(path).positions()
    assert set(found.faults) == {4, 6}
    assert "'here'" in found.faults[4]
    assert np.flatnonzero(np.isnan(found.ra)).tolist() == [4, 6, 9]
    np.testing.assert_allclose(found.ra[:4], [0, 15, 30, 45])


def test_frames_and_units_are_honoured(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("name,RA (B1950),DEC (B1950)\na,45.0,45.0\n")
    expected = SkyCoord(45, 45, unit="deg", frame=FK4(equinox="B1950")).icrs
    catalogue = SurveyCatalogue(path)
    found = catalogue.positions()
    np.testing.assert_allclose([found.ra[0], found.dec[0]], [expected.ra.deg, expected.dec.deg])
    assert any("B1950" in remark for remark in catalogue.remarks)
    table = Table({"ra": [np.pi], "dec": [0.5]}, units={"ra": "rad", "dec": "rad"})
    table.write(tmp_path / "b.fits")
    assert SurveyCatalogue(tmp_path / "b.fits").positions().ra[0] == pytest.approx(180)


def test_whole_numbers_of_which_some_are_missing_stay_whole(tmp_path):
    big = 1237648720693755918
    table = Table({"ra": [1.0, 2.0], "dec": [1.0, 2.0], "id": MaskedColumn([big, 1], mask=[False, True])})
    table.write(tmp_path / "a.vot", format="votable")
    rows = pa.concat_tables(SurveyCatalogue(tmp_path / "a.vot").batches())
    assert rows["id"].to_pylist() == [big, None]


def test_units_and_types_of_parquet_stay(tmp_path):
    schema = pa.schema(
        [pa.field("ra", pa.float32(), metadata={"unit": "deg"}), ("dec", pa.float64()), ("n", pa.int8())]
    )
    pq.write_table(pa.table([[1.5], [2.0], [None]], schema=schema), tmp_path / "a.parquet")
    assert next(iter(SurveyCatalogue(tmp_path / "a.parquet").batches())).schema.equals(
        schema, check_metadata=True
    )


def test_what_is_no_catalogue(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"no table")
    with pytest.raises(DataError, match="cannot be read as a table"):
        SurveyCatalogue(tmp_path / "a.parquet")
    (tmp_path / "b.csv").write_text("ra,dec\n")
    with pytest.raises(DataError, match="holds no source"):
        SurveyCatalogue(tmp_path / "b.csv")


def test_what_was_read_of_a_parquet_file_does_not_stay_in_memory(tmp_path):
    """pyarrow keeps what it has read of a file until the end, unless it is told to read on in pieces."""
    rows, groups = 200_000, 10
    schema = pa.schema([("RA", pa.float64()), ("DEC", pa.float64())])
    with pq.ParquetWriter(tmp_path / "a.parquet", schema) as writer:
        for seed in range(groups):
            rng = np.random.default_rng(seed)
            writer.write_table(
                pa.table([rng.uniform(0, 360, rows), rng.uniform(-90, 90, rows)], schema=schema)
            )
    before, held = pa.total_allocated_bytes(), []
    for _ in SurveyCatalogue(tmp_path / "a.parquet").batches(50_000):
        held.append(pa.total_allocated_bytes() - before)
    assert max(held) < (tmp_path / "a.parquet").stat().st_size / 2


def test_of_names_that_differ_in_capitals_the_exact_one_is_taken(tmp_path):
    """A table of PyBDSF with the positions of hosts beside its own."""
    table = tmp_path / "a.csv"
    table.write_text("Source_id,Isl_id,RA,DEC,S_Code,ra,dec\n1,1,10.5,20.5,S,99.0,-9.0\n")
    assert SurveyCatalogue(table).positions().ra.tolist() == [10.5]
    assert find_profile(table, ["Source_id", "Isl_id", "ra", "Dec", "S_Code"], {}).placed == ["ra", "Dec"]


def test_a_column_of_complex_numbers_is_refused_by_name_before_the_work(tmp_path):
    table = Table({"RA": [10.5], "DEC": [20.5], "pol": np.array([1 + 2j], dtype=np.complex64)})
    table.write(tmp_path / "a.fits")
    with pytest.raises(DataError, match="column pol holds complex numbers, which Parquet does not know"):
        SurveyCatalogue(tmp_path / "a.fits")


def test_a_fits_table_without_rows_holds_no_source(tmp_path):
    Table({"RA": np.zeros(0), "DEC": np.zeros(0), "n": np.zeros(0, "U5")}).write(tmp_path / "a.fits")
    with pytest.raises(DataError, match="holds no source"):
        SurveyCatalogue(tmp_path / "a.fits")


def test_missing_values_of_scaled_columns_are_said_to_be_read_as_numbers(tmp_path):
    flux = fits.Column(name="flux", format="I", array=np.array([1, 2], dtype=np.int16))
    places = [fits.Column(name=name, format="D", array=np.array([10.5, 11.5])) for name in ("RA", "DEC")]
    unit = fits.BinTableHDU.from_columns([*places, flux])
    unit.header["TNULL3"], unit.header["TSCAL3"] = -99, 0.5
    unit.writeto(tmp_path / "a.fits")
    assert any(
        "column flux has TNULL and TSCAL" in each for each in SurveyCatalogue(tmp_path / "a.fits").remarks
    )


def test_the_reason_of_a_row_has_no_number_of_another_row(tmp_path):
    (tmp_path / "a.csv").write_text("RA,DEC\n1,2\n3,95\n4,x\n")
    found = SurveyCatalogue(tmp_path / "a.csv").positions().faults
    assert set(found) == {1, 2}
    assert not any("row 1" in each or "a.csv" in each for each in found.values())
