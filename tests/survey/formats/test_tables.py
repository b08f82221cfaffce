"""Each table of a survey's classes, read back by a reader of somebody else's."""

import csv
import json
import warnings
from io import StringIO
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.io import fits, votable
from astropy.io.fits.verify import VerifyWarning
from astropy.io.votable.ucd import parse_ucd
from astropy.table import Table

from rgbench.data.own.tabular import read_table
from rgbench.errors import DataError
from rgbench.escapes import for_ascii, from_csv, visible
from rgbench.survey.formats.binary import write_fits
from rgbench.survey.formats.comma import write_csv
from rgbench.survey.formats.texts import plain, plain_type, unique_names
from rgbench.survey.formats.votable import write_votable
from rgbench.survey.formats.written import Written
from rgbench.survey.merge import described
from rgbench.survey.outputs import write_outputs


def written_of(tmp_path, survey, *tables):
    files = [tmp_path / f"{k}.parquet" for k in range(len(tables))]
    for path, table in zip(files, tables, strict=True):
        pq.write_table(table, path)
    return Written(tuple(files), survey.about)


def test_parquet_holds_the_rows_and_says_what_made_them(survey, outputs, rows):
    found = pq.read_table(outputs.files["parquet"][0])
    assert found.schema.equals(rows.schema, check_metadata=False)
    for name in rows.column_names:
        assert repr(found[name].to_pylist()) == repr(rows[name].to_pylist())
        assert found.schema.field(name).metadata == rows.schema.field(name).metadata
    facts = json.loads(found.schema.metadata[b"rgbench"])
    assert facts["classifier"] == "first-1"
    assert len(facts["checksum"]) == 64
    assert facts["prior"] == {"Compact": 0.7}
    assert facts["views"] == 1
    assert list(found.schema.metadata) == [b"rgbench"]


def test_a_catalogues_column_of_our_name_is_renamed_and_keeps_its_words(rows):
    assert rows["before_rg_class"].to_pylist() == ["FR0"] * 10
    assert rows.schema.field("before_rg_class").metadata[b"description"] == b"of another survey"
    assert rows.column_names.count("rg_class") == 1
    assert sum(1 for name in rows["rg_class"].to_pylist() if name) == 8


def test_two_runs_give_the_same_bytes(survey, outputs):
    files = [path for paths in outputs.files.values() for path in paths]
    before = [path.read_bytes() for path in files]
    again = write_outputs(survey, list(outputs.files), inspected=3)
    assert [path for paths in again.files.values() for path in paths] == files
    assert [path.read_bytes() for path in files] == before


def test_partitions_of_a_few_rows_hold_all_rows_in_order(survey, rows, tmp_path):
    from rgbench.survey.merge import write_partitions

    for most, number in ((3, 4), (5, 2), (10, 1), (1, 10)):
        files = write_partitions(survey.merged, tmp_path / "parts", most, survey.about)
        assert len(files) == number
        assert len(list((tmp_path / "parts").iterdir())) == number
        found = pa.concat_tables([pq.read_table(path) for path in files])
        assert found["whole"].equals(rows["whole"])


def test_fits_gives_back_every_column(survey, outputs, rows):
    path = outputs.files["fits"][0]
    assert path.stat().st_size % 2880 == 0
    with warnings.catch_warnings(), fits.open(path) as hdus:
        # Names of columns as the catalogue has them: "=SUM(A1)".
        warnings.filterwarnings("ignore", category=VerifyWarning, message="It is strongly recommended")
        hdus.verify("exception")
        header, data = hdus[1].header, hdus[1].data
        assert header["RGFORMAT"] == 1
        assert header["RGCHECK"] == survey.about.checksum
        assert header["RGPRIOR"] == "Compact=0.7"
        assert len(data) == len(rows)
        names = [header[f"TTYPE{k + 1}"] for k in range(rows.num_columns)]
    assert names[1:4] == ["RA", "DEC", "ra_2"]
    assert "'" not in "".join(names)
    assert all(len(name) <= 60 and name.isascii() for name in names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = Table.read(path, hdu=1, unit_parse_strict="silent")
    for name, original in zip(names, rows.column_names, strict=True):
        same(table[name], rows[original], for_ascii, pa.string() if "naïve" in original else None)


def test_fits_tells_unit_ucd_and_description(survey, outputs, rows):
    header = fits.getheader(outputs.files["fits"][0], 1)
    for each in described(survey.about.classes):
        k = rows.column_names.index(each.name) + 1
        assert header.get(f"TUNIT{k}", "") == each.unit
        assert header[f"TUCD{k}"] == each.ucd
        assert header[f"TCOMM{k}"] == each.description
    assert header["TUNIT2"] == "deg"
    assert header[f"TUNIT{rows.column_names.index('x' * 90) + 1}"] == "mJy/beam"


def same(column, original, written, kind=None):
    """Compare a column of astropy with one of Arrow."""
    kind = kind or plain_type(original.type)
    values = plain(original, kind)
    for found, wanted in zip(column, values.to_pylist(), strict=True):
        if kind == pa.string():
            text = "" if np.ma.is_masked(found) else str(found)
            assert text == written(wanted or "").rstrip(" ")
        elif wanted is None:
            assert np.ma.is_masked(found) or not np.isfinite(found) or found is np.False_ or not found
        elif isinstance(wanted, float) and np.isnan(wanted):
            assert np.ma.is_masked(found) or np.isnan(found)
        else:
            assert found == wanted


def test_votable_gives_back_every_column_with_its_words(survey, outputs, rows):
    path = outputs.files["votable"][0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=votable.exceptions.W50)  # the unit "=1+1" of the catalogue
        found = votable.parse(path, verify="warn")
        (table,) = found.iter_tables()
        read = table.to_table(use_names_over_ids=False)
    assert table.nrows == len(rows)
    for field, column, original in zip(table.fields, read.colnames, rows.column_names, strict=True):
        assert field.name == visible(original)
        kind = pa.string() if "naïve" in original else None  # 2^64 - 1
        same(read[column], rows[original], lambda text: visible(text, "\n\t"), kind)
    assert [field.ID for field in table.fields][:4] == ["name", "RA", "DEC", "ra_2"]
    by_name = {field.name: field for field in table.fields}
    for each in described(survey.about.classes):
        assert by_name[each.name].ucd == each.ucd
        assert by_name[each.name].description == each.description
        assert (by_name[each.name].unit or None) == (units.Unit(each.unit) if each.unit else None)
    params = {param.name: param.value for param in found.resources[0].params}
    assert params["RGCLASSF"] == "first-1"
    assert params["RGCHECK"] == survey.about.checksum


def test_votable_is_xml_for_any_parser_and_pyvo_reads_it(outputs, rows):
    path = outputs.files["votable"][0]
    space = "{http://www.ivoa.net/xml/VOTable/v1.3}"
    root = ElementTree.parse(path).getroot()
    lines = root.findall(f".//{space}TR")
    assert len(lines) == len(rows)
    place = rows.column_names.index("name")
    assert lines[1][place].text == "</script><script>alert(1)</script>"
    assert lines[2][place].text == "a\\x1b[31mred\\x00"
    pyvo = pytest.importorskip("pyvo")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = pyvo.dal.DALResults(votable.parse(path))
    assert list(results["rg_class"]) == rows["rg_class"].to_pylist()


def test_csv_gives_back_every_cell_and_no_formula(outputs, rows):
    text = outputs.files["csv"][0].read_bytes().decode()
    head, *lines = csv.reader(StringIO(text, newline=""))
    assert [from_csv(name) for name in head] == rows.column_names
    assert not any(cell[:1] in "=@+\t\r" for line in (head, *lines) for cell in line if cell)
    assert len(lines) == len(rows)
    for k, name in enumerate(rows.column_names):
        for line, wanted in zip(lines, plain(rows[name]).to_pylist(), strict=True):
            if isinstance(wanted, float):
                assert np.float32(line[k]) == np.float32(wanted) or (np.isnan(wanted) and line[k] == "nan")
            elif isinstance(wanted, str):
                assert from_csv(line[k]) == wanted
            else:
                assert line[k] == ("" if wanted is None else str(wanted).lower())


def test_csv_is_read_by_rgbench_again(survey, tmp_path, rows):
    write_csv(tmp_path / "plain.csv", written_of(tmp_path, survey, rows.select(["RA", "DEC", "rg_class"])))
    columns = read_table(tmp_path / "plain.csv").columns
    assert columns["rg_class"].values.tolist() == rows["rg_class"].to_pylist()
    np.testing.assert_array_equal(columns["RA"].values, rows["RA"].to_numpy())


def test_fits_takes_widths_from_all_parts(survey, tmp_path):
    parts = [
        pa.table({"a": ["x"], "b": [1]}),
        pa.table({"a": ["xyz" * 9], "b": pa.array([None], pa.int64())}),
    ]
    write_fits(tmp_path / "t.fits", written_of(tmp_path, survey, *parts))
    table = Table.read(tmp_path / "t.fits", hdu=1)
    assert table["a"].tolist() == ["x", "xyz" * 9]
    assert table["b"][0] == 1
    assert np.ma.is_masked(table["b"][1])


@pytest.mark.parametrize(("largest", "kind"), [(2**63 - 1, int), (2**63, str)])
def test_64_bits_without_a_sign_are_numbers_where_they_fit(survey, tmp_path, largest, kind):
    written = written_of(tmp_path, survey, pa.table({"id": pa.array([3, None, largest], pa.uint64())}))
    write_fits(tmp_path / "t.fits", written)
    write_votable(tmp_path / "t.vot", written)
    for found in (Table.read(tmp_path / "t.fits", hdu=1), Table.read(tmp_path / "t.vot")):
        assert kind(found["id"][2]) == kind(largest)
        assert np.ma.is_masked(found["id"][1]) or str(found["id"][1]) == ""
        assert (found["id"].dtype.kind == "i") == (kind is int)


def test_fits_with_too_many_columns_is_refused(survey, tmp_path):
    written = written_of(tmp_path, survey, pa.table({f"c{k}": [k] for k in range(1000)}))
    with pytest.raises(DataError, match="1000 columns; FITS can have 999"):
        write_fits(tmp_path / "t.fits", written)
    assert not (tmp_path / "t.fits").exists()


def test_names_that_differ_in_letters_only_stay_apart():
    assert unique_names(["a", "A", "a_2", "A"], str) == ["a", "A_2", "a_2_2", "A_3"]
    assert unique_names(["x" * 5, "X" * 5], str, longest=5) == ["xxxxx", "XXX_2"]


def test_every_ucd_is_of_the_list_of_the_ivoa():
    for each in described(("Compact", "FRI")):
        assert parse_ucd(each.ucd, check_controlled_vocabulary=True)
