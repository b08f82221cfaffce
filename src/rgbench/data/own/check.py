"""What is wrong with each file of a folder, and what loading would do with it."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rgbench.data.leakage import RADIUS, sky_groups
from rgbench.data.own.files import MISSING, ImageFile, examine, passed_over, search_images
from rgbench.data.own.folder import (
    SCALE_TOLERANCE,
    beam_axes,
    commonest,
    difference,
    far_off,
    field_of,
    no_flux_density,
    offset,
    placed,
)
from rgbench.data.own.plan import FolderOptions, Wanted, plan_folder
from rgbench.errors import DataError
from rgbench.images.cutout import COPIED
from rgbench.images.fits import NO_BEAM, Beam, FitsImage
from rgbench.images.measure import PLATEAU

OK, CUT, RESAMPLED, REPAIRED, SET_ASIDE = STATUSES = (
    "ok",
    "cut to size",
    "resampled",
    "repaired",
    "set aside",
)
"""What becomes of a file: loaded as it is; its field copied, or brought to another pixel scale; mended; left out."""
_NOWHERE = (float("nan"), float("nan"))


@dataclass(frozen=True)
class Finding:
    """What was found of one file, or of a row of the manifest without one.

    Attributes
    ----------
    name : str
        Name of the source.
    path : str
        File, and the place within an HDF5 file; where it was looked for, if it is missing.
    status : str
        One of `STATUSES`.
    problems : tuple of str
        What is wrong or odd; an image that is odd may be loaded as it is all the same.
    action : str
        What loading would do, in words.
    shape : tuple of int
        Rows and columns; empty if it could not be read.
    pixel_scale : float
        Arcsec per pixel; NaN if it is not known.
    blanked : float
        Fraction of the pixels that are NaN.
    position : (float, float)
        RA and Dec of the middle of the image, by the header; degrees, ICRS; NaN if they are not known.
    beam : Beam
        Major and minor axis in arcsec, position angle in degrees; NaN if they are not known.
    label : str
        Class of the source; "" for none.
    there : bool
        Whether there is such a file; a row of the table may name none.
    """

    name: str
    path: str
    status: str
    problems: tuple[str, ...]
    action: str
    shape: tuple[int, ...] = ()
    pixel_scale: float = float("nan")
    blanked: float = float("nan")
    position: tuple[float, float] = _NOWHERE
    beam: Beam = NO_BEAM
    label: str = ""
    there: bool = True

    @property
    def usable(self) -> bool:
        """Whether it would be loaded."""
        return self.status != SET_ASIDE


class Check(NamedTuple):
    """What was found of each file, and what concerns all of them."""

    findings: list[Finding]
    remarks: tuple[str, ...]


@dataclass
class _Facts:
    """What is gathered of one file on the way to its finding."""

    wanted: Wanted
    problems: list[str] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)
    cut: str = ""
    copied: bool = False
    aside: str = ""
    digest: str = ""
    loaded: tuple[tuple[int, ...], float] | None = None
    scale_fault: str = ""
    unit: str = ""
    beam: tuple[float, float] = _NOWHERE
    about: dict[str, Any] = field(default_factory=dict)

    def finding(self) -> Finding:
        done = [*self.repairs, *([self.cut] if self.cut else [])]
        action = self.aside or "; ".join(done) or "loaded as it is"
        w = self.wanted
        about = {"label": w.label, **self.about}
        return Finding(w.name, w.file.place, self._status(), tuple(self.problems), action, **about)

    def _status(self) -> str:
        if self.aside:
            return SET_ASIDE
        if self.repairs or not self.cut:
            return REPAIRED if self.repairs else OK
        return CUT if self.copied else RESAMPLED


def check_folder(
    folder: Path | str,
    manifest: Path | str | None = None,
    class_labels: Path | str | None = None,
    image_size: tuple[int, int] | None = None,
    options: FolderOptions | None = None,
) -> list[Finding]:
    """Check every image of a folder, and every row of its manifest.

    Parameters
    ----------
    folder, manifest, class_labels : path
        As of `rgbench.data.own.folder.load_folder`, whose doing this foretells.
    image_size, options : (int, int), FolderOptions
        As of the same.

    Returns
    -------
    list of Finding
        In the order of loading; then the files that would not be looked at, by path. Off-centre is an image
        whose middle lies 5 arcsec or more from the position in the manifest, or else in its name.

    Raises
    ------
    DataError
        If there is no such folder, the manifest is wrong, or there is no image.
    """
    return check_own(folder, manifest, class_labels, image_size, options).findings


def check_own(
    folder: Path | str,
    manifest: Path | str | None = None,
    class_labels: Path | str | None = None,
    image_size: tuple[int, int] | None = None,
    options: FolderOptions | None = None,
) -> Check:
    """Check as `check_folder` does; say too how the table was read, and which images are too near to be split."""
    root, options = Path(folder), options or FolderOptions()
    plan = plan_folder(root, manifest, class_labels, options)
    wanted = plan.wanted
    facts = [_inspect(w, options) for w in wanted]
    _compare(facts, image_size, cut=options.cutout is not None)
    _name_duplicates(facts)
    if manifest is None:
        _name_homonyms(facts)
    remarks = _judge_fluxes(facts)
    used = {w.file.place for w in wanted}
    paths = {Path(manifest).resolve()} if manifest is not None else set()
    search = search_images([root])
    others = [f for f in search.files if f.place not in used and f.path.resolve() not in paths]
    passed = passed_over({path: kind for path, kind in search.passed.items() if path.resolve() not in paths})
    reason = "in no class folder" if manifest is None else "not in the manifest"
    findings = [*(f.finding() for f in facts), *(_left_out(file, reason) for file in others)]
    offsets = [offset(f.wanted, f.about["position"]) for f in facts if "position" in f.about]
    notes = [*plan.remarks, *remarks, *far_off(offsets), *_near(facts), *([passed] if passed else [])]
    return Check(findings, tuple(notes))


def _judge_fluxes(facts: list[_Facts]) -> list[str]:
    """Name the images whose flux density is not known; give what is said of all of them at once."""
    # By their places: names may stand there twice.
    kept = {f.wanted.file.place: f for f in facts if not f.aside}
    said = no_flux_density(list(kept), [f.unit for f in kept.values()], [f.beam for f in kept.values()])
    for place, remark in said:
        if place:
            kept[place].problems.append(remark)
    return [remark for place, remark in said if not place]


def _near(facts: list[_Facts]) -> list[str]:
    """Say how many of the images that would be loaded are in sky groups, which no split divides."""
    kept = [placed(f.wanted, f.about["position"]) for f in facts if not f.aside]
    if not kept:
        return []
    group = sky_groups(*np.array([(w.ra, w.dec) for w in kept], dtype=np.float64).T)
    sizes = np.bincount(group)
    if len(kept) > 1 and sizes.max() == len(kept):
        return [
            f"{len(kept)} images are within {RADIUS:g} arcsec of each other: one sky group, which no split divides"
        ]
    near = int(sizes[sizes > 1].sum())
    return (
        [f"{near} images are within {RADIUS:g} arcsec of another; a split keeps such on one side"]
        if near
        else []
    )


def summary(findings: list[Finding]) -> dict[str, int]:
    """Count findings by status; all of `STATUSES` are there.

    Examples
    --------
    >>> summary([Finding("a", "a.fits", "ok", (), "loaded as it is")])
    {'ok': 1, 'cut to size': 0, 'resampled': 0, 'repaired': 0, 'set aside': 0}
    """
    counts = Counter(finding.status for finding in findings)
    return {status: counts[status] for status in STATUSES}


def _left_out(file: ImageFile, reason: str) -> Finding:
    return Finding(file.name, file.place, SET_ASIDE, (reason,), "left out")


def _inspect(w: Wanted, options: FolderOptions) -> _Facts:
    facts = _Facts(w)
    image, reason = examine(w.file, options.plane)
    if image is None:
        facts.problems.append("in the manifest, but missing" if reason == MISSING else reason)
        facts.aside = f"set aside: {'give its path' if w.file.absent else reason}"
        facts.about = {"there": reason not in (MISSING, w.file.absent)}
        return facts
    _describe(facts, image)
    _judge_pixels(facts, image, reason)
    _judge_cards(facts, image, options)
    _judge_loading(facts, image, reason, options)
    return facts


def _describe(facts: _Facts, image: FitsImage) -> None:
    pixels = image.pixels
    facts.digest = hashlib.sha256(
        f"{pixels.shape}".encode() + np.ascontiguousarray(pixels).tobytes()
    ).hexdigest()
    facts.about = {
        "shape": pixels.shape,
        "pixel_scale": image.pixel_scale,
        "blanked": float(np.isnan(pixels).mean()),
        "position": image.centre,
        "beam": image.beam,
    }


def _judge_pixels(facts: _Facts, image: FitsImage, reason: str) -> None:
    pixels = image.pixels
    if reason:
        facts.problems.append(reason)
        return
    blanked = np.isnan(pixels).mean()
    if blanked:
        facts.problems.append(f"{blanked:.2%} of the pixels are blanked")
    count = np.count_nonzero(pixels == np.nanmax(pixels))
    if count >= PLATEAU:
        facts.problems.append(f"{count} pixels share the highest value: it may be saturated")


def _judge_cards(facts: _Facts, image: FitsImage, options: FolderOptions) -> None:
    """Name the cards of scale and beam that are there and are not understood."""
    facts.scale_fault = image.scale_fault
    if image.scale_fault and image.scale_fault != image.position_fault:
        facts.problems.append(f"the header tells no pixel scale: {image.scale_fault}")
    if image.beam_fault:
        facts.problems.append(f"the header tells no beam: {image.beam_fault}")
    facts.problems += image.remarks
    facts.unit, facts.beam = image.unit, beam_axes(image, options)


def _judge_loading(facts: _Facts, image: FitsImage, reason: str, options: FolderOptions) -> None:
    """Do what loading would do with this image, and put it in words."""
    if np.isnan(image.pixels).any():
        facts.repairs.append("flagged BLANKED: preparing it sets the blanked pixels to zero flux")
    if len(image.plane):
        facts.repairs.append(f"{len(image.plane)} further axes dropped")
    if reason:
        facts.aside = f"set aside: {reason}"
        return
    try:
        found = field_of(facts.wanted, image, options)
    except DataError as error:
        why = str(error).removeprefix(f"{image.path}: ")
        facts.problems.append(why)
        facts.aside = f"set aside: {why}"
        return
    facts.problems += found.remarks
    if found.method:
        rows, columns = found.pixels.shape
        facts.cut = f"field of {rows}x{columns} pixels of {found.scale:.3g} arcsec {found.method}"
        facts.copied = found.method == COPIED
    facts.loaded = (found.pixels.shape, found.scale)


def _compare(facts: list[_Facts], image_size: tuple[int, int] | None, cut: bool) -> None:
    """Tell images of another shape or pixel scale than most, and set them aside if loading would."""
    loaded = [f.loaded for f in facts if f.loaded is not None]
    shape = image_size or commonest([s for s, _ in loaded]) or (0, 0)
    scale = commonest([round(s, 3) for _, s in loaded if np.isfinite(s)])
    usual = commonest(
        [round(f.about["pixel_scale"], 3) for f in facts if np.isfinite(f.about.get("pixel_scale", np.nan))]
    )
    for f in facts:
        own = f.about.get("pixel_scale", np.nan)
        if usual is not None and abs(own / usual - 1) > SCALE_TOLERANCE:
            f.problems.append(f"has pixels of {own:.3g} arcsec, most have {usual:.3g}")
        if f.loaded is None:
            continue
        reason = difference(f.loaded[0], shape, f.loaded[1], scale, f.scale_fault)
        if reason is not None:
            if not cut and "arcsec" not in reason:
                f.problems.append(reason)
            f.aside = f"set aside: {reason}"


def _name_duplicates(facts: list[_Facts]) -> None:
    groups: dict[str, list[_Facts]] = defaultdict(list)
    for f in facts:
        if f.digest and "all pixels" not in " ".join(f.problems):
            groups[f.digest].append(f)
    for group in groups.values():
        for f in group[1:]:
            f.problems.append(f"has the same pixels as {group[0].wanted.file.place}")


def _name_homonyms(facts: list[_Facts]) -> None:
    groups: dict[str, list[_Facts]] = defaultdict(list)
    for f in facts:
        groups[f.wanted.name].append(f)
    for group in groups.values():
        for f in group[1:]:
            f.problems.append(f"has the name of {group[0].wanted.file.place}")
            f.aside = "loading stops here: rename one of the two"
