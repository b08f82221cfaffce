"""Fine-tuning: a classifier trained further on one's own sources, and an honest answer whether that helped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rgbench.data.own.plan import FolderOptions
from rgbench.finetuning.own import OwnSources, read_own
from rgbench.finetuning.spec import FinetuneSpec
from rgbench.finetuning.train import OnStep, Tuner
from rgbench.finetuning.verdict import BeforeAfter, HeldOut, compare
from rgbench.finetuning.words import answer, basis, recalibrated, result
from rgbench.images.domain import Domain
from rgbench.measures.calibration import Floats
from rgbench.runs.classifier import Classifier, calibrate, check_name, load_classifier
from rgbench.runs.classifier_card import OWN, ClassifierCard, MemberCard
from rgbench.runs.export import positions_seen, share_rows, with_limits, with_unlikeness, without
from rgbench.runs.trained import Trained
from rgbench.spec import DataSpec, NetworkSpec
from rgbench.version import version

NAME = "my-classifier"
"""How the card calls the sources that it was scored on."""


@dataclass(frozen=True, eq=False)
class Finetuned:
    """A classifier trained further, and its comparison with the one that it came from.

    Attributes
    ----------
    classifier : Classifier
        Trained on all of one's own sources; `Classifier.save` writes it to a file.
    parent : Classifier
        Where it came from.
    comparison : BeforeAfter
        Both on the same sources that neither has seen, with intervals.
    own : OwnSources
        The sources, and what was set aside.
    words : str
        The answer, in sentences.
    basis : tuple of str
        What it rests on, and what it leaves out, in sentences.
    """

    classifier: Classifier
    parent: Classifier
    comparison: BeforeAfter
    own: OwnSources
    words: str
    basis: tuple[str, ...]


def finetune(
    images: Path | str,
    labels: Path | str | None = None,
    classifier: Classifier | Path | str | None = None,
    spec: FinetuneSpec | None = None,
    options: FolderOptions | None = None,
    name: str = NAME,
    on_step: OnStep = lambda done, total: None,
) -> Finetuned:
    """Train a classifier further on one's own labelled sources, and say whether that made it better for them.

    Sources are dealt into folds, sky groups whole. Each is classified by networks that began with the weights of the
    classifier and were trained on the other folds; so is it by the classifier as it was. The difference has an
    interval. The classifier that is given back was trained on all sources; its temperature and conformal sets come
    from the held-out ones.

    Parameters
    ----------
    images : path
        Folder of images, or one HDF5 file.
    labels : path, optional
        Table of sources and labels: CSV, ECSV, VOTable, FITS or Parquet. Without one, the names of folders are the
        labels.
    classifier : Classifier, path or str, optional
        Where training begins: a classifier, its file or its name; by default that which comes with the package.
    spec : FinetuneSpec, optional
        Epochs, learning rate, folds, seeds.
    options : FolderOptions, optional
        Columns of the table, and what its labels mean.
    name : str
        Name and version of what comes of it.
    on_step : callable
        Called after each training step with the number of steps that are done, and of all.

    Returns
    -------
    Finetuned
        The classifier, the comparison, and the answer in words. Equal arguments give equal bits on one machine.

    Raises
    ------
    DataError
        If the table or a label is wrong, there is one class only, or too few sources of a class, or too few that the
        classifier has not seen: before anything is trained.
    SpecError
        If an option is wrong.

    Examples
    --------
    With a folder of FITS images and a table of their names and classes::

        result = rgbench.finetune("my_images", "my_labels.csv")
        print(result.words)                     # Which is better on your sources, with an interval?
        result.comparison.difference            # Interval(value=0.08, low=0.02, high=0.15, confidence=0.95)
        result.classifier.save(Path("my-classifier.safetensors"))
    """
    how = spec or FinetuneSpec()
    check_name(name)
    parent = classifier if isinstance(classifier, Classifier) else load_classifier(classifier)
    how.seeds_of(parent)
    own = read_own(images, labels, parent, options or FolderOptions(), how.folds)
    tuner = Tuner(parent, own, how)
    fold = tuner.folds()
    step = _counter(on_step, tuner.steps(fold))
    after = tuner.held_out(fold, step)
    found = compare(_held_out(tuner, fold, after))
    members = tuner.tuned(np.arange(len(own)), step)
    made = _with_unlikeness(Classifier(_card(tuner, members, found, name), members), own, fold)
    told = basis(found, own, parent.name, bool(parent.card.seen), how.epochs > 0)
    words = answer if how.epochs else recalibrated
    return Finetuned(made, parent, found, own, words(found, parent.name, name), tuple(told))


def _counter(on_step: OnStep, total: int) -> Callable[[], None]:
    numbers = count(1)
    return lambda: on_step(next(numbers), total)


def _held_out(tuner: Tuner, fold: NDArray[np.int64], after: Floats) -> HeldOut:
    own, scored = tuner.own, tuner.own.scored
    before = tuner.classifier.logits(own.fields[scored], prepared=True)
    rows = own.catalogue.take(scored)
    return HeldOut(rows.source_id, rows.label, rows.group, fold[scored], before, after[scored])


def _card(tuner: Tuner, members: tuple[Trained, ...], found: BeforeAfter, name: str) -> ClassifierCard:
    own, parent, held = tuner.own, tuner.classifier.card, found.held_out
    parts = zip(parent.members, tuner.classifier.members, members, strict=True)
    cards = tuple(_member(tuner, *part) for part in parts)
    card = calibrate(name, cards, parent.classes, held.label, held.after)
    # Not how often their sets hold their class: the sets were made from these sources.
    scores = share_rows(held.label, held.right()[1], "recognised", OWN, card.classes)
    return card.model_copy(
        update={
            "prior": _prior(tuner),
            "domain": _wider(parent.domain, with_limits(parent.domain, own.looked)),
            "seen": tuple(sorted({*parent.seen, *positions_seen(own.catalogue)})),
            "scores": scores,
            "data": f"{_described(own)}; before that {parent.data or parent.name}",
            "licence": f"one's own images: that of their owner; {parent.name}: {parent.licence or 'not known'}",
            "recipe": _recipe(tuner, result(found, parent.name, name)),
            "not_for": _not_for(tuner),
            "made_with": f"rgbench {version()}",
        }
    )


def _member(tuner: Tuner, before: MemberCard, began: Trained, member: Trained) -> MemberCard:
    """Give the card of a network: its data are one's own, its weights began with those of another."""
    if not tuner.how.epochs:
        return before
    spec, own = member.spec, tuner.own
    data = DataSpec(
        name=own.card.name,
        checksum=own.checksum,
        frame=spec.data.frame,
        pixel_scale=spec.data.pixel_scale,
    )
    network = NetworkSpec(**{**spec.network.model_dump(), "weights": _digest(began)})
    return MemberCard(
        spec=spec.model_copy(update={"data": data, "network": network}), activation=before.activation
    )


def _digest(member: Trained) -> str:
    """Give the SHA-256 of a network's weights."""
    digest = hashlib.sha256()
    for key, value in sorted(member.network.state_dict().items()):
        digest.update(key.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _prior(tuner: Tuner) -> tuple[float, ...] | None:
    """Give the shares of the classes that probabilities assume; None if a class was not among one's own."""
    if not tuner.how.epochs:
        return tuner.classifier.card.prior
    counts = tuner.own.counts
    if not counts.all():
        return None
    weighted = tuner.classifier.card.spec.recipe.class_weights
    shares = np.full(len(counts), 1 / len(counts)) if weighted else counts / counts.sum()
    return tuple(shares.tolist())


def _not_for(tuner: Tuner) -> str:
    """Say what it must not be used for: as its parent, and where classes occur that it was trained further without."""
    lacking = [name for name, n in zip(tuner.own.classes, tuner.own.counts.tolist(), strict=True) if not n]
    own = without(lacking, "trained further") if tuner.how.epochs else ""
    return own + tuner.classifier.card.not_for


def _wider(one: Domain, other: Domain) -> Domain:
    """Give a domain with the wider limits of two."""
    sizes, ratios = (
        [value for value in pair if value is not None]
        for pair in (
            (one.largest_size, other.largest_size),
            (one.least_signal_to_noise, other.least_signal_to_noise),
        )
    )
    return replace(
        one, largest_size=max(sizes, default=None), least_signal_to_noise=min(ratios, default=None)
    )


def _described(own: OwnSources) -> str:
    counts = ", ".join(f"{n} {name}" for n, name in zip(own.counts.tolist(), own.classes, strict=True) if n)
    return f"{own.card.name} (checksum {own.checksum[:16]}): {len(own)} sources ({counts})"


def _recipe(tuner: Tuner, said: str) -> str:
    how, parent = tuner.how, tuner.classifier
    seeds = ", ".join(map(str, how.seeds_of(parent)))
    return (
        f"{parent.name}, trained further: {how.epochs} epochs, learning rate {how.learning_rate:g}, seeds {seeds}, "
        f"scored in {how.folds} folds of sky groups. {said} {parent.name}: {parent.card.recipe or 'not known'}"
    )


def _with_unlikeness(made: Classifier, own: OwnSources, fold: NDArray[np.int64]) -> Classifier:
    """Learn what one's own sources look like: one fold is measured by its distance to the others."""
    return with_unlikeness(made, own.fields[fold != 0], own.fields[fold == 0], prepared=True)
