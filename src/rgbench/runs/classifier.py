"""A classifier in one file: networks, calibration, what it was trained on. No part of it is code."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rgbench.errors import DataError, RgbenchError, SpecError, StoreError, shown
from rgbench.images.network_input import VIEWS
from rgbench.images.preprocess import find_preset
from rgbench.measures.calibration import Floats, apply_temperature, fit_temperature
from rgbench.measures.combine import combine
from rgbench.measures.conformal import ConformalRule, conformal_sets, conformal_threshold
from rgbench.measures.unlike import Unlikeness
from rgbench.runs.classifier_card import ClassifierCard, ConformalCard, MemberCard, read_card, write_card
from rgbench.runs.device import check_device
from rgbench.runs.embedding import with_hidden
from rgbench.runs.engines import choose_engine
from rgbench.runs.prepare import make_network
from rgbench.runs.trained import Said, Trained, ask, finite, prepared_images
from rgbench.store.files import check_output
from rgbench.store.tables import Outputs, log_probabilities
from rgbench.training.checkpoint import fit_weights, read_tensors, write_tensors

SHIPPED = "first-1"
"""The classifier that is taken where none is named."""
ENDING = ".safetensors"
LONGEST_NAME = 100
"""Characters of the name of a classifier."""
RULE = ConformalRule(alpha=0.1, score="lac", per_class=True)
"""Thresholds of each class's own hold whatever the shares of the classes are."""
AUTO_VIEWS: Literal["auto"] = "auto"
"""One view of each image, and all of them of those that are not `SURE` after it."""
Views = int | Literal["auto"]
SURE = 0.7
"""Probability of a class above which one view is enough: docs/predict.md."""
_UNLIKE = ("mean", "components", "training", "validation")


@dataclass(frozen=True, eq=False, repr=False)
class Classifier:
    """Networks that classify images, and what is known of them.

    Attributes
    ----------
    card : ClassifierCard
        Classes, temperature, conformal thresholds, domain, positions seen, scores.
    members : tuple of Trained
        The networks; their log-probabilities are averaged.
    unlikeness : Unlikeness or None
        What training sources look like to them, or to the first of them.
    sure : float, optional
        Probability of a class above which the first view of an image is enough; left out, all views are asked of all.

    Examples
    --------
    With the classifier that comes with the package, and images as an array of shape (n, rows, columns)::

        classifier = rgbench.load_classifier()
        classifier.classes                 # ("Compact", "FRI", "FRII", "Bent")
        classifier.predict(images)         # calibrated probabilities, shape (n, 4)
    """

    card: ClassifierCard
    members: tuple[Trained, ...]
    unlikeness: Unlikeness | None = None
    sure: float | None = None

    def __repr__(self) -> str:
        """Give a line: its card and its weights are longer than a screen."""
        return f"<Classifier {self.name}: {', '.join(self.classes)}; {len(self.members)} networks>"

    @property
    def name(self) -> str:
        """Its name and version, ``first-1``."""
        return self.card.name

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the columns of what it gives."""
        return self.card.classes

    @cached_property
    def prior(self) -> Floats:
        """Shares of the classes that its probabilities assume, shape (k,).

        Raises
        ------
        DataError
            If they are not known.
        """
        if self.card.prior is None:
            raise DataError(
                f"classifier {self.name}: the shares of its classes in training are not known; "
                "without --prior it answers"
            )
        return np.array(self.card.prior)

    def logits(self, images: NDArray[np.generic], prepared: bool = False) -> Floats:
        """Give log-probabilities before calibration, those of several members averaged.

        Parameters
        ----------
        images : ndarray, shape (n, h, w)
            Raw images of the pixel scale and beam of training, row 0 at the south edge, the source in the middle. A
            larger one is cut to its centre; noise and sky are measured on all that it shows of the frame of training
            (150 x 150 pixels for `first-1`), so that a smaller one gives somewhat other numbers. Nothing is flagged:
            noise gets a class too. `rgbench.classify_files` looks at scale, beam, noise and blanks.
        prepared : bool
            Whether they are prepared already, as `rgbench.runs.inputs.prepare` does.

        Returns
        -------
        ndarray of float64, shape (n, k)
            Natural logarithms; of one member exactly those of its run.

        Raises
        ------
        DataError
            If an image is smaller than the field of the network, or cannot be used: all blank, for instance; or if
            what a network gives is not finite.
        """
        return self.joined(self._scores(self._ask(images, prepared, 0)))

    def joined(self, scores: Floats) -> Floats:
        """Average the log-probabilities of members, shape (m, n, k), as `logits` does; of one they stay as they are."""
        return scores[0] if len(scores) == 1 else combine(scores, "logit")

    def predict(self, images: NDArray[np.generic], prepared: bool = False) -> Floats:
        """Give calibrated class probabilities, shape (n, k); rows sum to 1. Arguments as of `logits`."""
        return np.exp(self.calibrated(self.logits(images, prepared)))

    def calibrated(self, logits: Floats) -> Floats:
        """Divide what `logits` gave by the temperature: calibrated log-probabilities, shape (n, k)."""
        return log_probabilities(apply_temperature(logits, self.card.temperature), "softmax")

    def sets(self, calibrated: Floats) -> NDArray[np.bool_] | None:
        """Give the conformal sets of calibrated log-probabilities, shape (n, k); None if they are not known."""
        how = self.card.conformal
        return None if how is None else conformal_sets(calibrated, how.thresholds, how.rule)

    def unlike(self, images: NDArray[np.generic], prepared: bool = False) -> Floats:
        """Give how unlike the training sources images are, shape (n,), 0 to 1; NaN if it is not known.

        0.99 means more unlike than 99 % of the validation sources. Arguments as of `logits`.
        """
        if self.unlikeness is None:
            return np.full(len(images), np.nan)
        return self.unlikeness.shares(self.embeddings(images, prepared))

    def embeddings(self, images: NDArray[np.generic], prepared: bool = False) -> NDArray[np.float32]:
        """Give what `unlike` compares, shape (n, d): what the last layers of its networks read, side by side.

        Arguments as of `logits`.
        """
        return self._hidden(self._ask(images, prepared, self._unlike_views, logits=False))

    def logits_and_unlike(self, images: NDArray[np.generic], prepared: bool = False) -> tuple[Floats, Floats]:
        """Give what `logits` and `unlike` give, with fewer passes of the networks. Arguments as of `logits`."""
        scores, unlike = self.members_and_unlike(images, prepared)
        return self.joined(scores), unlike

    def members_and_unlike(
        self, images: NDArray[np.generic], prepared: bool = False
    ) -> tuple[Floats, Floats]:
        """Give the log-probabilities of each member before calibration, shape (m, n, k), and what `unlike` gives.

        Arguments, and what is raised, as of `logits`; what `joined` makes of them is what `logits` gives.
        """
        if self.unlikeness is None:
            return self._scores(self._ask(images, prepared, 0)), np.full(len(images), np.nan)
        said = self._ask(images, prepared, self._unlike_views)
        return self._scores(said), self.unlikeness.shares(self._hidden(said))

    def _hidden(self, said: Said) -> NDArray[np.float32]:
        if said.hidden is not None:
            return said.hidden
        return np.zeros((0, 0 if self.unlikeness is None else len(self.unlikeness.mean)), dtype=np.float32)

    @property
    def _unlike_views(self) -> int:
        # As many views as the training sources were seen in, whatever `with_views` says: fewer lie further off.
        return self.card.unlike_views or self.card.spec.recipe.views

    def _ask(
        self, images: NDArray[np.generic], prepared: bool, hidden_views: int, logits: bool = True
    ) -> Said:
        pixels = prepared_images(images, self.card.spec, prepared)
        if self.sure is None or not logits or not len(pixels):
            return self._ask_pixels(pixels, hidden_views, logits)
        said = self.with_views(1)._ask_pixels(pixels, hidden_views)
        largest = np.exp(self.calibrated(self.joined(self._scores(said)))).max(axis=1)
        doubtful = np.flatnonzero(largest < self.sure)
        if len(doubtful):
            again = self._ask_pixels(pixels[doubtful], 0)
            for own, better in zip(said.logits, again.logits, strict=True):
                own[doubtful] = better
        return said

    def _ask_pixels(self, pixels: NDArray[np.float32], hidden_views: int, logits: bool = True) -> Said:
        """Ask all networks about prepared images, each in the views of its recipe."""
        deep = self.card.unlike_members
        if len({m.spec.images for m in self.members}) == 1:
            return ask(self.members, pixels, hidden_views, logits, deep)
        inner = [hidden_views if number < deep else 0 for number in range(len(self.members))]
        said = [ask((m,), pixels, n, logits) for m, n in zip(self.members, inner, strict=True) if n or logits]
        hidden = [each.hidden for each in said if each.hidden is not None]
        return Said([each for own in said for each in own.logits], np.hstack(hidden) if hidden else None)

    def _scores(self, said: Said) -> Floats:
        """Give the log-probabilities of each member, shape (m, n, k); `DataError` if their mean is not finite."""
        pairs = zip(self.members, said.logits, strict=True)
        scores = np.stack([log_probabilities(logits, member.outputs.activation) for member, logits in pairs])
        finite(self.joined(scores), f"classifier {self.name}")
        return scores

    @property
    def views(self) -> Views:
        """In how many views its networks see an image; `AUTO_VIEWS` if that hangs on the first."""
        return AUTO_VIEWS if self.sure is not None else self.members[0].spec.recipe.views

    def with_views(self, n: int | str) -> Classifier:
        """Give the same classifier that looks at fewer, or more, turns and reflections of each image.

        Parameters
        ----------
        n : {1, 2, 4, 8, 16, 24, 48} or "auto"
            How many; each costs as much as the next. The temperature stays that of the number before. "auto" looks at
            one first, and at all of the number before only where no class has a probability of `SURE` from it.

        Raises
        ------
        SpecError
            If the number is another one.
        """
        if n == AUTO_VIEWS:
            return replace(self, sure=SURE)
        if type(n) is not int or n not in VIEWS:
            raise SpecError(f"views: found {n!r}; legal are {', '.join(map(str, VIEWS))} and {AUTO_VIEWS}")
        members = []
        for member in self.members:
            recipe = member.spec.recipe.model_copy(update={"views": n})
            members.append(replace(member, spec=member.spec.model_copy(update={"recipe": recipe})))
        return replace(self, members=tuple(members), sure=None)

    @property
    def engine(self) -> str:
        """What computes its networks, one of `rgbench.runs.engines.ENGINES`."""
        return self.members[0].engine

    def with_engine(self, name: str) -> Classifier:
        """Give the same classifier, computed by another engine: the same numbers to rounding, often faster.

        Parameters
        ----------
        name : str
            torch, onnx, openvino, openvino-bf16, or auto: see `rgbench.runs.engines.choose_engine`. All but torch
            compute in float32, or openvino-bf16 in bfloat16, whatever the recipe says.

        Raises
        ------
        SpecError
            If there is no such engine, or it is not installed.
        DeviceError
            If it cannot compute where the classifier is.

        Examples
        --------
        ::

            rgbench.load_classifier().with_engine("onnx").predict(images)
        """
        chosen = choose_engine(name, self.members[0].device)
        return replace(self, members=tuple(replace(member, engine=chosen) for member in self.members))

    def tensors(self) -> dict[str, Tensor]:
        """Give all numbers of its file by their names there."""
        tensors: dict[str, Tensor] = {}
        for number, member in enumerate(self.members):
            tensors |= {f"member{number}.{k}": v for k, v in member.network.state_dict().items()}
        if self.unlikeness is not None:
            own = {name: getattr(self.unlikeness, name) for name in _UNLIKE}
            tensors |= {f"unlike.{name}": torch.from_numpy(np.float32(value)) for name, value in own.items()}
        return tensors

    def save(self, path: Path) -> None:
        """Write it to one safetensors file; `load_classifier` reads it back."""
        write_tensors(path, self.tensors(), write_card(self.card))


def load_classifier(path_or_name: Path | str | None = None, device: str = "cpu") -> Classifier:
    """Load a classifier: one that comes with the package, by its name, or any from its file.

    Parameters
    ----------
    path_or_name : path or str, optional
        A file, or a name as ``first-1``; by default the newest that comes with the package.
    device : str
        A torch device.

    Returns
    -------
    Classifier
        Nothing is unpickled, and no code is loaded with it.

    Raises
    ------
    SpecError
        If there is no such classifier.
    StoreError
        If the file cannot be read, or is no classifier: the message names it and what was found.
    DeviceError
        If the device is not there.
    """
    check_device(device)
    path = _find(SHIPPED if path_or_name is None else path_or_name)
    tensors, metadata = read_tensors(path)
    card = read_card(path, metadata)
    for member in card.members:
        if member.spec.network.is_foreign:
            name = member.spec.network.name
            raise StoreError(f"{path}: network {name!r} needs the code of another package")
    for key, values in tensors.items():
        if not torch.isfinite(values).all():
            raise StoreError(f"{path}: is damaged: the tensor {key} has values that are not finite")
    members = tuple(_member(path, number, card, tensors, device) for number in range(len(card.members)))
    made = Classifier(card, members, _unlikeness(path, tensors))
    if made.unlikeness is not None and _widths(made) != len(made.unlikeness.mean):
        raise StoreError(
            f"{path}: is damaged: the tensor unlike.mean has {len(made.unlikeness.mean)} numbers; the last layers of "
            f"{card.unlike_members} of its networks read {_widths(made)}"
        )
    return made


def _widths(classifier: Classifier) -> int:
    """Count what the last layers of the networks read that tell what is unlike training."""
    first, size = classifier.members[: classifier.card.unlike_members], classifier.card.spec.images.size
    rows, columns = (size, size) if isinstance(size, int) else size
    with torch.inference_mode():
        nothing = [
            torch.zeros(1, each.spec.network.channels, rows, columns, device=each.device) for each in first
        ]
        return sum(
            with_hidden(each.network, image)[1].shape[1] for each, image in zip(first, nothing, strict=True)
        )


def names_classifier(wanted: str) -> bool:
    """Tell whether a word names a classifier that comes with the package, or a file of one, there or not."""
    return wanted.endswith(ENDING) or _shipped(wanted).is_file()


def check_name(name: str) -> None:
    """Raise `SpecError` if no classifier can be called so."""
    if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
        raise SpecError(
            f"name: found {shown(name)}; 1 to {LONGEST_NAME} printable characters are legal, as first-1"
        )


def check_classifier_path(path: Path, overwrite: bool) -> None:
    """Raise `SpecError` or `StoreError` if no classifier can be written to a path: before the work, not after it."""
    if path.suffix != ENDING:
        raise SpecError(f"--out {path}: the ending is not {ENDING}")
    check_output(path, overwrite)


def calibrate(
    name: str, members: tuple[MemberCard, ...], classes: tuple[str, ...], y: NDArray[np.int64], scores: Floats
) -> ClassifierCard:
    """Begin a card: temperature, and conformal sets of 90 %, from validation sources.

    Parameters
    ----------
    name : str
        Its name.
    members : tuple of MemberCard
        Its networks.
    classes : tuple of str
        Its classes.
    y, scores : ndarray, shapes (n,) and (n, k)
        True classes of the validation sources, and their log-probabilities before calibration. Without any, the
        temperature is 1 and there are no sets.
    """
    if not len(y):
        return ClassifierCard(name=name, classes=classes, members=members)
    temperature = fit_temperature(y, scores).value
    limits = conformal_threshold(y, apply_temperature(scores, temperature), RULE)
    threshold = tuple(float(value) if np.isfinite(value) else None for value in limits)
    sets = ConformalCard(alpha=RULE.alpha, score=RULE.score, per_class=RULE.per_class, threshold=threshold)
    return ClassifierCard(
        name=name, classes=classes, members=members, temperature=temperature, conformal=sets
    )


def _shipped(wanted: Path | str) -> Path:
    """Give where a classifier of that name lies, if it comes with the package."""
    return Path(str(resources.files("rgbench"))) / "classifiers" / f"{wanted}{ENDING}"


def _find(wanted: Path | str) -> Path:
    """Give the file of a name or a path."""
    shipped, path = _shipped(wanted), Path(wanted)
    if path.name == str(wanted) and shipped.is_file():
        return shipped
    if path.is_file():
        return path
    legal = ", ".join(sorted(each.stem for each in shipped.parent.glob(f"*{ENDING}"))) or "none"
    raise SpecError(
        f"classifier: there is no file and no classifier {str(wanted)!r}; those that come with this rgbench: {legal}; "
        f"others are files ({ENDING}) that rgbench export writes; --run classifies with a stored run"
    )


def _member(
    path: Path, number: int, card: ClassifierCard, tensors: dict[str, Tensor], device: str
) -> Trained:
    spec, prefix = card.members[number].spec, f"member{number}."
    try:
        find_preset(spec.images.preset)
        network = make_network(spec, len(card.classes))
    except RgbenchError as error:
        raise StoreError(f"{path}: member {number} cannot be built: {error}") from error
    own = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    fit_weights(path, own, network)
    outputs = Outputs(card.classes, card.members[number].activation)
    return Trained(spec, outputs, network.to(device).eval(), device)


def _unlikeness(path: Path, tensors: dict[str, Tensor]) -> Unlikeness | None:
    found = {name: tensors[f"unlike.{name}"] for name in _UNLIKE if f"unlike.{name}" in tensors}
    if not found:
        return None
    arrays = {name: value.double().numpy() for name, value in found.items()}
    shapes = {name: array.shape for name, array in arrays.items()}
    if set(arrays) != set(_UNLIKE) or [len(s) for s in shapes.values()] != [1, 2, 2, 1]:
        raise StoreError(
            f"{path}: is damaged: the tensors unlike.{{{','.join(_UNLIKE)}}} have shapes {shapes}"
        )
    (d, c), (n, places) = shapes["components"], shapes["training"]
    if shapes["mean"] != (d,) or places != c + 1 or not n or not shapes["validation"][0]:
        raise StoreError(f"{path}: is damaged: the tensors unlike.* have shapes {shapes}, which do not fit")
    return Unlikeness(**arrays)
