"""Links to pages that show a position on the sky."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import numpy as np

from rgbench.errors import SpecError

SERVICES = ("legacy", "aladin", "esasky")


def sky_link(ra: float, dec: float, service: str = "legacy", arcmin: float = 5.0) -> str:
    """Write the address of a page that shows a place on the sky; nothing is fetched.

    Parameters
    ----------
    ra, dec : float
        Degrees, ICRS; "" is given if they are no place on the sky: not finite, or beyond 0 to 360, -90 to 90.
    service : {"legacy", "aladin", "esasky"}
        The viewer: of the Legacy Survey (VLASS as the layer), Aladin Lite (NVSS) or ESASky.
    arcmin : float
        Side of the field; the first viewer has steps of two.

    Raises
    ------
    SpecError
        If the service is not known, or the field has no size.

    Examples
    --------
    >>> sky_link(187.70593, 12.39112)
    'https://www.legacysurvey.org/viewer?ra=187.705930&dec=12.391120&layer=vlass1.2&zoom=13&mark=187.705930%2C12.391120'
    >>> sky_link(187.70593, -2.5, "aladin")
    'https://aladin.cds.unistra.fr/AladinLite/?target=187.705930%20-2.500000&fov=0.0833&survey=CDS%2FP%2FNVSS'
    """
    if service not in SERVICES:
        raise SpecError(f"service: found {service!r}; legal are {', '.join(SERVICES)}")
    if arcmin <= 0:
        raise SpecError(f"arcmin: found {arcmin}; legal are numbers above 0")
    if not (0 <= ra <= 360 and -90 <= dec <= 90):
        return ""
    place, fov = f"{ra:.6f} {dec:+.6f}", f"{arcmin / 60:.4f}"
    if service == "aladin":
        query = {"target": place, "fov": fov, "survey": "CDS/P/NVSS"}
        return "https://aladin.cds.unistra.fr/AladinLite/?" + _query(query)
    if service == "esasky":
        return "https://sky.esa.int/esasky/?" + _query({"target": place, "fov": fov, "cooframe": "J2000"})
    # At zoom 13 a screen of some 512 pixels of 0.6 arcsec is five arcmin wide, and each step halves that.
    zoom = int(np.clip(round(13 - np.log2(arcmin / 5)), 1, 16))
    number = {"ra": f"{ra:.6f}", "dec": f"{dec:.6f}"}
    more = {"layer": "vlass1.2", "zoom": str(zoom), "mark": f"{ra:.6f},{dec:.6f}"}
    return "https://www.legacysurvey.org/viewer?" + _query({**number, **more})


def _query(parameters: dict[str, str]) -> str:
    return urlencode(parameters, quote_via=quote, safe="")
