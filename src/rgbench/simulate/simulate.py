"""Simulated skies: FIRST-like sources of the four classes from physical parameters, with known truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from rgbench.data.catalogue import CLASSES, Card, Catalogue, DataSet
from rgbench.data.leakage import sky_groups
from rgbench.data.own.manifest import CLASS_FOLDERS
from rgbench.errors import DataError, SpecError
from rgbench.seeds import numpy_generator
from rgbench.simulate.sky import FIRST, Survey, draw_neighbours, make_noise, render
from rgbench.simulate.sources import Blobs, make_blobs
from rgbench.simulate.truth import RANGES, ClassRanges, Truth, check_ranges, draw_truth, source_name

ROLE = "init"
"""Role of the seeds of a simulated sky; ``sky=`` tells them apart from those of a study."""
LARGEST = 0.8
"""Largest angular size of a source over the side of the image, so that none is cut off."""
DETECTED_SIGMA = 3.0
"""A pixel is seen if the noise-free image is above this many times the noise."""
MAX_TRIES = 200
"""Sources drawn before a spec is said to make none that can be seen."""

UNITS: Mapping[str, str] = {
    "ra": "deg",
    "dec": "deg",
    "position_angle": "deg",
    "inclination": "deg",
    "bend": "deg",
    "size_kpc": "kpc",
    "length_kpc": "kpc",
    "size_arcsec": "arcsec",
    "core_east": "arcsec",
    "core_north": "arcsec",
    "flux_mjy": "mJy",
    "core_mjy": "mJy",
    "neighbours_mjy": "mJy",
    "peak_mjy": "mJy/beam",
    "rms_mjy": "mJy/beam",
}
"""Units of the truth table; a column that is not here has none."""


@dataclass(frozen=True)
class SimulationSpec:
    """What to simulate; equal specs give equal skies.

    Attributes
    ----------
    n : int
        Number of sources.
    seed : int
        Seed of the sky. Source i is the same whatever `n` is.
    classes : tuple of str
        Classes, taken in turn: a class that stands there twice has twice as many sources.
    survey : Survey
        Beam, pixels, noise and neighbours.
    ranges : mapping of str to ClassRanges
        What parameters are drawn from.
    noise, neighbours : bool
        Whether the images have them; the sources are the same with and without.
    detected : float
        Least fraction of a source's flux density that must stand in pixels above three times the noise;
        others are drawn anew, as a catalogue would not have them.

    Examples
    --------
    >>> SimulationSpec(n=8, seed=1).classes
    ('Compact', 'FRI', 'FRII', 'Bent')
    """

    n: int
    seed: int
    classes: tuple[str, ...] = CLASSES
    survey: Survey = FIRST
    ranges: Mapping[str, ClassRanges] = field(default_factory=lambda: RANGES)
    noise: bool = True
    neighbours: bool = True
    detected: float = 0.6

    def __post_init__(self) -> None:
        if self.n < 1:
            raise SpecError(f"n is {self.n}; at least 1 source is needed")
        if not 0 <= self.detected < 1:
            raise SpecError(f"detected is {self.detected}; it must be at least 0 and below 1")
        check_ranges(self.ranges)
        for name in self.classes or ("",):
            if name not in self.ranges:
                raise SpecError(f"unknown class {name!r}; the classes are {', '.join(self.ranges)}")


@dataclass(frozen=True)
class _Source:
    """One source: its class, its truth, what was measured on its noise-free image, and the image."""

    label: str
    truth: Truth
    measured: dict[str, float]
    image: NDArray[np.float32]


def simulate(spec: SimulationSpec) -> DataSet:
    """Simulate sources and their images.

    Parameters
    ----------
    spec : SimulationSpec
        How many, of what, seen how.

    Returns
    -------
    DataSet
        Images float32 of shape (n, side, side), Jy/beam, row 0 south. The truth stands in
        ``catalogue.extra``: the attributes of `Truth`, and

        * ``core_mjy``, ``jet_ratio``: flux density of the core as it is beamed, and the ratio of the near
          jet's base to the far one's;
        * ``core_east``, ``core_north``: where the core is, arcseconds from the centre of the image;
        * ``peak_mjy``, ``detected``: the highest pixel (mJy/beam) of the noise-free image, and the
          fraction of the flux density above three times the noise;
        * ``rms_mjy``: the noise, mJy/beam (also where `noise` is false);
        * ``n_neighbours``, ``neighbours_mjy``: number and flux density of the unrelated sources;
        * ``tries``: sources that were drawn until one could be seen.

        There are no published splits.

    Raises
    ------
    SpecError
        If the spec makes no source that fits the image and can be seen.

    Examples
    --------
    >>> sky = simulate(SimulationSpec(n=4, seed=1, survey=Survey(side=150)))
    >>> sky.images.shape, [sky.classes[k] for k in sky.catalogue.label]
    ((4, 150, 150), ['Compact', 'FRI', 'FRII', 'Bent'])
    """
    sources = [_simulate_one(spec, number) for number in range(spec.n)]
    names = [source_name(s.truth.ra, s.truth.dec) for s in sources]
    folders = {name: folder for folder, name in CLASS_FOLDERS.items()}
    ra, dec = np.array([[s.truth.ra, s.truth.dec] for s in sources]).T
    catalogue = Catalogue(
        source_id=np.array(names),
        ra=ra,
        dec=dec,
        label=np.array([CLASSES.index(s.label) for s in sources], dtype=np.int64),
        group=sky_groups(ra, dec),
        path=np.array([f"{folders[s.label]}/{name}.fits" for s, name in zip(sources, names, strict=True)]),
        flags=np.zeros(spec.n, dtype=np.int64),
        extra=_truth_columns(sources),
    )
    return DataSet(_card(spec), catalogue, np.stack([s.image for s in sources]))


def write_simulation(dataset: DataSet, folder: Path | str) -> Path:
    """Write a simulated data set: ``<folder>/<CLASS>/<name>.fits`` and the table ``truth.csv``.

    Parameters
    ----------
    dataset : DataSet
        As from `simulate`.
    folder : path
        A folder that does not exist, or is empty. `rgbench.data.own.folder.load_folder` reads it back.

    Returns
    -------
    Path
        The table (ECSV: comma-separated values under a header that gives their units).

    Raises
    ------
    DataError
        If the folder holds anything, or cannot be written.
    """
    root = Path(folder)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DataError(f"{root}: exists and is not an empty folder; nothing was written")
    catalogue, table = dataset.catalogue, root / "truth.csv"
    try:
        for row, path in enumerate(catalogue.path):
            (root / str(path)).parent.mkdir(parents=True, exist_ok=True)
            _hdu(dataset, row).writeto(root / str(path))
        _truth_table(dataset).write(table, format="ascii.ecsv", delimiter=",")
    except OSError as error:
        raise DataError(f"{root}: cannot be written: {error}") from error
    return table


def _simulate_one(spec: SimulationSpec, number: int) -> _Source:
    """Simulate source `number` from three streams of its own: source, neighbours, noise."""
    label, survey = spec.classes[number % len(spec.classes)], spec.survey
    rng = {
        part: numpy_generator(spec.seed, ROLE, sky=part, source=number)
        for part in ("source", "neighbours", "noise")
    }
    rms = survey.rms.draw(rng["noise"])
    truth, blobs, image, found = _draw_visible(spec, label, rms, rng["source"])
    neighbours = draw_neighbours(survey, rng["neighbours"])
    if not spec.neighbours:
        neighbours = Blobs(*np.zeros((4, 0)))
    image = image + render(neighbours, survey)
    if spec.noise:
        image = image + make_noise(rms, survey, rng["noise"])
    measured = found | {
        "rms_mjy": rms,
        "n_neighbours": len(neighbours.flux),
        "neighbours_mjy": float(neighbours.flux.sum()),
        "core_mjy": float(blobs.flux[0]),
        "core_east": float(blobs.east[0]),
        "core_north": float(blobs.north[0]),
        "jet_ratio": truth.jet_ratio,
    }
    return _Source(label, truth, measured, (image / 1000).astype(np.float32))


def _draw_visible(
    spec: SimulationSpec, label: str, rms: float, rng: np.random.Generator
) -> tuple[Truth, Blobs, NDArray[np.float64], dict[str, float]]:
    """Draw sources until enough of one stands above the noise."""
    for tries in range(1, MAX_TRIES + 1):
        truth = draw_truth(spec.ranges[label], rng, LARGEST * spec.survey.width, label)
        blobs = make_blobs(label, truth, rng)
        image = render(blobs, spec.survey)
        detected = float(image[image > DETECTED_SIGMA * rms].sum() / image.sum())
        if detected >= spec.detected:
            return truth, blobs, image, {"peak_mjy": float(image.max()), "detected": detected, "tries": tries}
    raise SpecError(
        f"{label}: of {MAX_TRIES} sources none has {spec.detected:g} of its flux density above "
        f"{DETECTED_SIGMA:g} times {rms:.3g} mJy/beam; lower `detected` or raise flux_mjy"
    )


def _truth_columns(sources: list[_Source]) -> dict[str, NDArray[Any]]:
    rows = [asdict(s.truth) | s.measured for s in sources]
    names = [name for name in rows[0] if name not in ("ra", "dec")]
    return {name: np.array([row[name] for row in rows]) for name in names}


def _card(spec: SimulationSpec) -> Card:
    survey = spec.survey
    left_out = [f"no {name}" for name in ("noise", "neighbours") if not getattr(spec, name)]
    return Card(
        name="simulated",
        title=f"{spec.n} simulated sources as {survey.name} would see them, seed {spec.seed}",
        survey=survey.name,
        pixel_scale=survey.pixel_scale,
        beam=survey.beam,
        defects=("simulated: no calibration errors, sidelobes or missing short spacings", *left_out),
    )


def _hdu(dataset: DataSet, row: int) -> Any:
    """Make the FITS unit of one image: tangential projection about the centre of the image."""
    card, catalogue = dataset.card, dataset.catalogue
    pixels, degrees = dataset.images[row], card.pixel_scale / 3600
    axes = zip(
        (1, 2),
        ("RA---TAN", "DEC--TAN"),
        (-degrees, degrees),
        (catalogue.ra, catalogue.dec),
        pixels.shape[::-1],
        strict=True,
    )
    header = fits.Header()
    for axis, kind, step, position, size in axes:
        header[f"CTYPE{axis}"] = kind
        header[f"CUNIT{axis}"] = "deg"
        header[f"CRPIX{axis}"] = (size + 1) / 2
        header[f"CRVAL{axis}"] = float(position[row])
        header[f"CDELT{axis}"] = step
    header["RADESYS"] = "ICRS"
    header["BUNIT"] = "JY/BEAM"
    header["BMAJ"] = header["BMIN"] = card.beam / 3600
    header["BPA"] = 0.0
    header["OBJECT"] = str(catalogue.source_id[row])
    header["SURVEY"] = (card.survey, "simulated")
    header["COMMENT"] = "Simulated: not an observation."
    return fits.PrimaryHDU(pixels, header)


def _truth_table(dataset: DataSet) -> Table:
    catalogue = dataset.catalogue
    columns: dict[str, Any] = {
        "source_id": catalogue.source_id,
        "class": np.array(dataset.classes)[catalogue.label],
        "path": catalogue.path,
        "ra": catalogue.ra,
        "dec": catalogue.dec,
    }
    table = Table(columns | catalogue.extra)
    for name, unit in UNITS.items():
        if name in table.colnames:
            table[name].unit = unit
    table.meta["title"] = dataset.card.title
    return table
