"""A small survey whose catalogue holds all that may go wrong in a format."""

from datetime import datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from rgbench.survey.outputs import write_outputs
from rgbench.survey.survey import SurveyChoice, plan_survey

HOSTILE = [
    "=HYPERLINK(1)",
    "</script><script>alert(1)</script>",
    "a\x1b[31mred\x00",
    'say "hi", twice\nand go',
    "β Cas ]]> </TD> &amp;",
    "@SUM(A1)",
    "",
    "'=x",
    "-12.5",
    None,
]
"""Names of the sources; the ninth is not covered by the mosaic, the tenth has no position."""
EVERY = ["parquet", "page", "regions", "fits", "votable", "csv", "inspect"]
SIDE, SCALE = 700, 1.8


def write_mosaic(path, rng):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [180, 30]
    wcs.wcs.crpix, wcs.wcs.cdelt = [SIDE / 2, SIDE / 2], [-SCALE / 3600, SCALE / 3600]
    sky = rng.normal(0, 1.4e-4, (SIDE, SIDE)).astype("f4")
    y, x = np.mgrid[:SIDE, :SIDE]
    places = [(110 + 160 * (k % 4), 200 + 250 * (k // 4)) for k in range(8)]
    for k, (px, py) in enumerate(places):
        for shift in (-(2 + 2 * k), 2 + 2 * k):
            sky += 0.02 * np.exp(-((x - px - shift) ** 2 + (y - py) ** 2) / (2 * 1.3**2))
    header = wcs.to_header()
    header["BUNIT"] = "Jy/beam"
    header["BMAJ"] = header["BMIN"] = 5.4 / 3600
    header["BPA"] = 0.0
    fits.writeto(path, sky, header)
    return wcs.pixel_to_world_values(*np.array(places).T)


def hostile_table(ra, dec):
    ra, dec = [*ra, 10.0, np.nan], [*dec, 10.0, np.nan]
    n = len(ra)
    numbers = list(range(n))
    fields = {
        "name": (pa.array(HOSTILE), {}),
        "RA": (pa.array(ra), {"unit": "deg"}),
        "DEC": (pa.array(dec), {"unit": "deg"}),
        "ra": (pa.array([f"{k}h" for k in numbers]), {}),
        "rg_class": (pa.array(["FR0"] * n), {"description": "of another survey"}),
        "=SUM(A1)": (pa.array([1, None, *numbers[2:]], pa.int8()), {}),
        "</script><b>": (pa.array([True, None] * (n // 2)), {}),
        "it's [naïve] \x1b": (pa.array([0, 2**64 - 1, None, *numbers[3:]], pa.uint64()), {}),
        "x" * 90: (pa.array(np.linspace(0, 1, n), pa.float32()), {"unit": "mJy/beam"}),
        "x" * 90 + "y": (
            pa.array([np.nan, np.inf, -np.inf, None, *map(float, numbers[4:])]),
            {"unit": "=1+1"},
        ),
        "when": (pa.array([datetime(2026, 1, 2, 3, 4, 5)] * n), {}),
        "list": (pa.array([[1.5, 2.5]] * (n - 1) + [None]), {}),
        "kind": (pa.array(["S", "M"] * (n // 2)).dictionary_encode(), {}),
        "exact": (pa.array([Decimal("1.10")] * n), {}),
        "raw": (pa.array([b"\xff\x00"] * n), {}),
        "small": (pa.array([200] * n, pa.uint8()), {}),
        "whole": (pa.array([-(2**31), *numbers[1:]], pa.int32()), {"unit": "s"}),
        "nothing": (pa.nulls(n), {}),
    }
    schema = pa.schema([pa.field(k, v.type, metadata=m or None) for k, (v, m) in fields.items()])
    return pa.table([v for v, _ in fields.values()], schema=schema)


@pytest.fixture(scope="session")
def survey(tmp_path_factory):
    folder = tmp_path_factory.mktemp("survey")
    ra, dec = write_mosaic(folder / "mosaic <b>.fits", np.random.default_rng(0))
    pq.write_table(hostile_table(ra, dec), folder / "catalogue.parquet")
    columns = {"ra": "RA", "dec": "DEC", "name": "name"}
    choice = SurveyChoice(columns=columns, views=1, prior={"Compact": 0.7})
    made = plan_survey(
        folder / "catalogue.parquet", [folder / "mosaic <b>.fits"], folder / "out", choice=choice
    )
    made.run(1)
    return made


@pytest.fixture(scope="session")
def outputs(survey):
    return write_outputs(survey, EVERY, inspected=3)


@pytest.fixture(scope="session")
def rows(survey):
    return pa.concat_tables(survey.merged.tables())
