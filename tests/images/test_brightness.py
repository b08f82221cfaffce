"""Units of BUNIT: every spelling against the parser of astropy."""

from __future__ import annotations

import pytest
from astropy import units
from hypothesis import given
from hypothesis import strategies as st

from rgbench.images.brightness import per_pixel, read_brightness


@given(
    prefix=st.sampled_from(["", "m", "u", "µ", "μ", "n", "k", "M"]),
    area=st.sampled_from(["beam", "pixel", "pix"]),
    form=st.sampled_from(
        [
            "{0}/{1}",
            "{0} / {1}",
            "{0} {1}-1",
            "{0}.{1}**-1",
            "{0} {1}^-1",
            "{1}-1 {0}",
            "{0} {1}**(-1)",
            "{0}/({1})",
        ]
    ),
)
def test_every_spelling_is_what_astropy_makes_of_it(prefix, area, form):
    written = form.format(f"{prefix}Jy", area)
    expected = units.Unit(written.replace("^", "**").replace("μ", "µ"))
    found = read_brightness(written)
    assert found is not None
    per = units.beam if found.per == "beam" else units.pix
    assert (1 * expected).to_value(units.Jy / per) == pytest.approx(found.jansky)
    assert per_pixel(written) == (found.per == "pixel")


@pytest.mark.parametrize(
    ("written", "jansky", "per"),
    [
        ("JY/BEAM", 1.0, "beam"),
        ("MJY/BEAM", 1e-3, "beam"),
        ("UJY/BEAM", 1e-6, "beam"),
        ("Jy.beam^-1", 1.0, "beam"),
        ("Jy/bm", 1.0, "beam"),
        ("Jy/beams", 1.0, "beam"),
        ("[mJy/beam]", 1e-3, "beam"),
        ("microJy/beam", 1e-6, "beam"),
        ("Jansky per beam", 1.0, "beam"),
        ("MJY/PIXEL", 1e-3, "pixel"),
    ],
)
def test_spellings_that_astropy_does_not_read(written, jansky, per):
    assert read_brightness(written) == (jansky, per)


@pytest.mark.parametrize(
    "written",
    ["", "K", "Jy", "MJy/sr", "Jy km/s/beam", "Jy/beam/pixel", "Jy beam", "Jy/beam2", "beam/Jy", "counts"],
)
def test_what_is_no_flux_density_per_beam_or_pixel_is_none(written):
    assert read_brightness(written) is None
