"""Apply a classifier to places on the sky: their cutouts are fetched from a survey, kept, and classified."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.data.own.files import ImageFile, SetAside, examine
from rgbench.data.surveys.kept import Cutouts, fetch_positions
from rgbench.data.surveys.places import Place, read_places
from rgbench.data.surveys.sesame import Sesame
from rgbench.data.surveys.surveys import SERVICES, BuildSpec, credits_of
from rgbench.errors import DataError
from rgbench.images.geometry import central_crop
from rgbench.images.noise import mad_noise
from rgbench.runs.classifier import Classifier, load_classifier
from rgbench.runs.classifier_card import ClassifierCard
from rgbench.runs.classify import Classified, Classifying


@dataclass(frozen=True)
class ClassifiedPositions:
    """Classes of places on the sky.

    Attributes
    ----------
    cutouts : Cutouts
        The sources, and the files of their cutouts.
    classified : Classified
        Classes of the files; sources without a cutout are set aside with the reason.
    card : ClassifierCard
        Card of the classifier.
    """

    cutouts: Cutouts
    classified: Classified
    card: ClassifierCard

    def table(self) -> dict[str, NDArray[Any]]:
        """Give the columns of `Classified.table` with a row for each source, in the order in which they were named.

        RA and Dec are those that were asked for. A source without a cutout has no class and no path, and the reason
        as its remark.
        """
        targets, found = self.cutouts.targets, self.classified.table()
        row_of = {path: row for row, path in enumerate(found["path"].tolist())}
        rows = [row_of[str(path)] for path in self.cutouts.paths]
        paths = ["" if reason else str(path) for path, reason in self._files()]
        columns = {key: values[rows] for key, values in found.items()}
        own = {"source": np.array(targets.names), "path": np.array(paths, dtype=str)}
        return columns | own | {"ra": targets.ra, "dec": targets.dec}

    @property
    def set_aside(self) -> list[SetAside]:
        """Sources without a row of `Classified.columns`: their names and the reasons."""
        reasons = dict(self.classified.set_aside)
        names = zip(self.cutouts.targets.names, self.cutouts.paths, strict=True)
        return [SetAside(name, reasons[str(path)]) for name, path in names if str(path) in reasons]

    @property
    def field(self) -> float:
        """Side of the field that the classifier looks at, in arcsec."""
        scale = self.card.domain.pixel_scale or self.cutouts.spec.scale
        return self.card.spec.images.field * scale

    @property
    def survey(self) -> str:
        """Where the cutouts come from."""
        card = self.cutouts.spec.card
        return f"{card.title} from {SERVICES[card.service].title}"

    @property
    def credits(self) -> tuple[str, ...]:
        """What survey and service ask to be acknowledged with."""
        return credits_of(self.cutouts.spec.card)

    def image(self, row: int) -> NDArray[np.float32] | None:
        """Give the field of a source as it is shown, row 0 at the south; None where there is no cutout.

        What lies below one sigma above the sky is cut off.
        """
        path, reason = self._files()[row]
        image, _ = (None, reason) if reason else examine(ImageFile(path.stem, path))
        if image is None:
            return None
        side = max(1, math.ceil(self.field / self.cutouts.spec.scale))
        level = np.nanmedian(image.pixels) + mad_noise(image.pixels[None])[0]
        return np.asarray(np.maximum(central_crop(image.pixels, side), np.float32(level)))

    def _files(self) -> list[tuple[Path, str]]:
        return list(zip(self.cutouts.paths, self.cutouts.reasons, strict=True))


def classify_positions(
    positions: Place | Iterable[Place],
    survey: str | BuildSpec = "first",
    classifier: Classifier | None = None,
    prior: Mapping[str, float] | None = None,
    resolve: bool = False,
) -> ClassifiedPositions:
    """Classify sources by their positions or names: their cutouts are fetched from a public service.

    Cutouts are kept in the cache of downloads, ``$RGBENCH_CACHE``, so that no source is asked for twice.

    Parameters
    ----------
    positions : place or iterable of place
        Positions as "160.80 +24.59" or "10h43m12.3s +24d35m21s", names that hold one as "J104312.3+243521", files of
        tables with names and positions, or pairs (RA, Dec) of degrees; ICRS.
    survey : str or BuildSpec
        Name of a survey: first, nvss, vlass, lotss or racs; or what exactly is fetched from which server.
    classifier : Classifier, optional
        By default that which comes with the package.
    prior : mapping of str to float, optional
        Shares of classes in the survey, as of `rgbench.classify_files`.
    resolve : bool
        Ask CDS Sesame for names that hold no position, as "3C 31".

    Returns
    -------
    ClassifiedPositions
        Its `table` has a row for each source, those without a cutout with the reason.

    Raises
    ------
    SpecError
        If a position cannot be read, or the survey is not known.
    DataError
        If the service cannot be reached, or no source could be classified.

    Examples
    --------
    With a network connection::

        result = rgbench.classify_positions(["J104312.3+243521", "160.80 +24.59"], survey="first")
        result.table()["class"]                          # one of classifier.classes for each
        rgbench.write_sources_page("page.html", result)  # with the pictures
    """
    spec = survey if isinstance(survey, BuildSpec) else BuildSpec(survey)
    cutouts = fetch_positions(read_places(positions, resolve=Sesame() if resolve else None), spec)
    return classify_cutouts(cutouts, classifier or load_classifier(), prior)


def classify_cutouts(
    cutouts: Cutouts,
    classifier: Classifier,
    prior: Mapping[str, float] | None = None,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> ClassifiedPositions:
    """Classify the cutouts of sources.

    Raises
    ------
    DataError
        If none could be classified; the message has the reasons.
    """
    lost = {str(path): reason for path, reason in zip(cutouts.paths, cutouts.reasons, strict=True) if reason}
    cutouts.check_any(cutouts.reasons)
    work = Classifying(classifier, cutouts.found, prior)
    try:
        done = work.run(told)
    except DataError:
        known = dict(work.so_far().set_aside) | lost
        cutouts.check_any([known.get(str(path), "") for path in cutouts.paths])
        raise
    aside = [*done.set_aside, *(SetAside(path, reason) for path, reason in lost.items())]
    return ClassifiedPositions(cutouts, replace(done, set_aside=aside), classifier.card)
