"""Complete runs made a classifier: calibrated on validation sources, with all that a user should know of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rgbench.data.catalogue import Catalogue, DataSet
from rgbench.data.choices import say_choices
from rgbench.errors import DataError, SpecError
from rgbench.images.domain import Domain, Looked, look
from rgbench.images.geometry import central_crop
from rgbench.measures.best import validation_rows
from rgbench.measures.calibration import Floats, apply_temperature, wilson_intervals
from rgbench.measures.combine import combine
from rgbench.measures.conformal import conformal_sets
from rgbench.measures.unlike import fit_unlikeness
from rgbench.numbers import listed
from rgbench.runs.classifier import Classifier, calibrate, check_name
from rgbench.runs.classifier_card import ClassifierCard, MemberCard, ScoreCard, sight
from rgbench.runs.reopen import StoredRun
from rgbench.spec import DataSpec, RunSpec
from rgbench.store.conditions import Condition, read_conditions
from rgbench.store.tables import Predictions, log_probabilities
from rgbench.version import version

LIMIT_PERCENT = 1.0
"""The least signal to noise is that of this percentile of the training sources; the largest size that of the last."""
LEAST_MEASURED = 0.5
"""Share of the training sources that must have a size, or a ratio to the noise, for a limit to be set."""
POSITION_DECIMALS = 4
NOT_FOR = (
    "Catalogues of all radio sources without --prior: nearly all of them are compact, the training sources are not. "
    "Sources that no survey like that of training has seen: other frequencies, coarser beams, sources larger than the "
    "field. Finding sources: it names the class of the source at the centre of an image. Decisions about single "
    "sources without a look at them."
)


def with_unlikeness(
    classifier: Classifier,
    training: NDArray[np.generic],
    validation: NDArray[np.generic],
    prepared: bool = False,
) -> Classifier:
    """Give the same classifier, which knows what sources are unlike those of training.

    A mirrored and a turned image have the same `unlike`. Where the frame sees to that, all networks look at one view;
    else the first looks at those of the recipe, which cost less than those of all.

    Parameters
    ----------
    classifier : Classifier
        Of networks that are trained.
    training, validation : ndarray, shape (n, h, w)
        Images of both sides, as `Classifier.logits` takes them.
    prepared : bool
        Whether they are prepared already.

    Returns
    -------
    Classifier
    """
    posed = classifier.card.spec.images.frame == "sky-axis"
    how = {
        "unlike_views": 1 if posed else classifier.card.spec.recipe.views,
        "unlike_members": len(classifier.members) if posed else 1,
    }
    made = replace(classifier, card=classifier.card.model_copy(update=how))
    fit = fit_unlikeness(*(made.embeddings(images, prepared) for images in (training, validation)))
    return replace(made, unlikeness=fit)


@dataclass(frozen=True)
class ExportChoice:
    """What a classifier is called, and what its card says in words.

    Attributes
    ----------
    name : str
        Name and version, as ``first-1``.
    model : {"best", "final"}
        Which weights of each run.
    not_for : str
        What it must not be used for.
    domain : Domain, optional
        Its domain; by default measured on the training sources.
    """

    name: str
    model: str = "best"
    not_for: str = NOT_FOR
    domain: Domain | None = None

    def __post_init__(self) -> None:
        check_name(self.name)


def make_classifier(
    runs: Sequence[StoredRun], choice: ExportChoice, views: Sequence[Sequence[Predictions]] = ()
) -> Classifier:
    """Make a classifier of complete runs.

    The temperature and the conformal thresholds come from validation sources, what is like training from training
    sources, the scores from test sources. With several runs, their log-probabilities are averaged.

    Parameters
    ----------
    runs : sequence of StoredRun
        Runs of one data set and split, that prepare images alike.
    choice : ExportChoice
        Name and words.
    views : sequence of sequences of Predictions
        For each run what it says of second views of its validation sources, as `rgbench.diagnostics.stress.views_of`
        gives it: temperature and thresholds then hold for other images too. Left out, they are those of the
        benchmark's own images.

    Returns
    -------
    Classifier
        `Classifier.save` writes it to a file.

    Raises
    ------
    SpecError
        If there is no run, runs differ in what must be equal, or a network needs code from elsewhere.
    DataError
        If a run is not complete, or its data are not to be had.
    """
    first = _check_alike(runs)
    known = [_pooled(runs, "validation", choice.model)]
    known += [_pooled(runs, "validation", choice.model, tables) for tables in zip(*views, strict=True)]
    y, scores = (np.concatenate(part) for part in zip(*known, strict=True))
    card = calibrate(choice.name, tuple(map(member_card, runs)), first.classes, y, scores)
    dataset, train, validation = first.dataset, first.side("train"), first.side("validation")
    domain = choice.domain or measured_domain(dataset, train, first.spec)
    card = card.model_copy(
        update={
            "prior": training_shares(first),
            "domain": domain,
            "seen": positions_seen(dataset.catalogue.take(np.concatenate((train, validation)))),
            "scores": _scores(runs, choice.model, card),
            "choices": " ".join(say_choices([(run.spec, first.side("test")) for run in runs], dataset)),
            "data": f"{_title(first)} (checksum {dataset.checksum[:16]}): {len(train)} training and "
            f"{len(validation)} validation sources of its split {first.spec.data.split!r}",
            "licence": dataset.card.licence,
            "recipe": _recipe(runs)
            + (f"; calibrated on {len(known) - 1} second views too" if known[1:] else ""),
            "not_for": without(_lacking(first), "trained") + choice.not_for,
            "made_with": f"rgbench {version()}",
        }
    )
    made = Classifier(card, tuple(run.trained for run in runs))
    return with_unlikeness(made, dataset.images[train], dataset.images[validation])


def classifier_of_run(run: StoredRun, with_shares: bool = False) -> Classifier:
    """Give a stored run as a classifier, as `classifier_of_runs` gives several."""
    return classifier_of_runs([run], with_shares)


def classifier_of_runs(runs: Sequence[StoredRun], with_shares: bool = False) -> Classifier:
    """Give stored runs as a classifier, of what their store knows; their data are not loaded.

    It is calibrated on the runs' validation sources, where each has any. How unlike the training sources an image is,
    and which of them it is, is not known. Of several runs the log-probabilities are averaged. Where each has a split
    of its own, as in the 2021 protocol, no source is a validation source to all: the answers of each to its own are
    put together then.

    Parameters
    ----------
    runs : sequence of StoredRun
        Complete runs, or imported ones; several must be of one data set and split, and prepare images alike.
    with_shares : bool
        Whether the classes' shares in training are needed. The data are loaded for them, unless classes were weighted
        and the first run was tested on each.

    Raises
    ------
    SpecError
        If there is no run, or runs differ in what must be equal.
    DataError
        If a run diverged.
    """
    first = _check_same(runs)
    names = ", ".join(run.run_id for run in runs)
    y, scores = _validation(runs)
    if not np.isfinite(scores).all():
        raise DataError(f"run {names}: its outputs are not finite; a run that diverged classifies nothing")
    name = f"run {names}" if len(runs) == 1 else f"runs {names}"
    card = calibrate(name, tuple(map(member_card, runs)), first.classes, y, scores)
    own = first.spec.data
    known = {"domain": Domain(pixel_scale=own.pixel_scale, beam=own.beam)}
    shares = {"prior": _shares_of_record(first) or training_shares(first)} if with_shares else {}
    return Classifier(card.model_copy(update=known | shares), tuple(run.trained for run in runs))


def _validation(runs: Sequence[StoredRun]) -> tuple[NDArray[np.int64], Floats]:
    """Give labels and log-probabilities of validation sources: averaged over the runs, where all have the same."""
    found = [validation_rows(run.record, run.model) for run in runs]
    tables = [table for table in found if table is not None]
    if len(tables) < len(runs):
        return np.zeros(0, np.int64), np.zeros((0, len(runs[0].classes)))
    sides = {frozenset(table.source_id.tolist()) for table in tables}
    if len(runs) > 1 and len(sides) == 1:
        return _pooled(runs, "validation", runs[0].model)
    labels, scores = ([t.label for t in tables], [t.log_probabilities() for t in tables])
    return np.concatenate(labels), np.concatenate(scores)


def member_card(run: StoredRun) -> MemberCard:
    """Give the card of a member: its spec, without where its data lay. The id stays: these keys do not enter it."""
    plain = DataSpec()
    own = ("path", "manifest", "class_labels", "columns", "labels", "leave_out")
    places = {key: getattr(plain, key) for key in own}
    spec = run.spec.model_copy(update={"data": run.spec.data.model_copy(update=places)})
    return MemberCard(spec=spec, activation=run.activation)


def training_shares(run: StoredRun) -> tuple[float, ...] | None:
    """Give the shares of the classes that a run's probabilities assume, equal ones where classes were weighted.

    None if a class has no training source: then no share of it can be assumed.
    """
    k, counts = len(run.classes), _training_counts(run)
    if not counts.all():
        return None
    return (1 / k,) * k if run.spec.recipe.class_weights else tuple((counts / counts.sum()).tolist())


def _shares_of_record(run: StoredRun) -> tuple[float, ...] | None:
    """Give the shares without the data: equal ones, of weighted classes that were all tested; None if it cannot."""
    tested, k = run.record.predictions, len(run.classes)
    known = tested is not None and len(np.unique(tested.label[tested.label >= 0])) == k
    return (1 / k,) * k if known and run.spec.recipe.class_weights else None


def without(lacking: Sequence[str], how: str) -> str:
    """Say what a classifier must not be used for that was trained without some classes; "" if it lacks none.

    Examples
    --------
    >>> without(["Compact"], "trained")
    'Surveys with Compact: it was trained without one, so that --prior cannot be used either. '
    """
    if not lacking:
        return ""
    return (
        f"Surveys with {listed(lacking)}: it was {how} without one, so that --prior cannot be used either. "
    )


def _lacking(run: StoredRun) -> list[str]:
    """Give the classes that have no training source."""
    return [name for name, n in zip(run.classes, _training_counts(run).tolist(), strict=True) if not n]


def _training_counts(run: StoredRun) -> NDArray[np.int64]:
    """Count the training sources of each class."""
    return np.bincount(run.dataset.catalogue.label[run.side("train")], minlength=len(run.classes))


def measured_domain(dataset: DataSet, rows: NDArray[np.int64], spec: RunSpec) -> Domain:
    """Measure the domain of a network on its training sources: scale, beam, largest size, least signal to noise.

    Where the noise of the sources was clipped away, the least ratio is that of the noisiest training views.
    """
    scale = spec.data.pixel_scale
    beam = dataset.card.beam if np.isfinite(dataset.card.beam) else None
    known = Domain(pixel_scale=scale, beam=beam)
    frame = spec.data.frame or dataset.images.shape[1:]
    size = (int(frame[0]), int(frame[1]))
    cut = (central_crop(np.asarray(dataset.images[row], dtype=np.float32), size) for row in rows)
    found = with_limits(known, [look(image, spec.images.field, known) for image in cut])
    noise = spec.augmentation.noise
    if found.least_signal_to_noise is None and noise > 0:
        return replace(found, least_signal_to_noise=1 / noise)
    return found


def with_limits(known: Domain, looked: Sequence[Looked]) -> Domain:
    """Give a domain of known scale and beam its limits: the largest size, the least signal to noise of sources."""
    scale = known.pixel_scale
    largest = _percentile(np.array([each.extent for each in looked]), 100 - LIMIT_PERCENT)
    return replace(
        known,
        largest_size=None if largest is None or scale is None else largest * scale,
        least_signal_to_noise=_percentile(np.array([each.signal_to_noise for each in looked]), LIMIT_PERCENT),
    )


def _percentile(values: Floats, percent: float) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.percentile(known, percent)) if len(known) > LEAST_MEASURED * len(values) else None


def _check_alike(runs: Sequence[StoredRun]) -> StoredRun:
    """Give the first of runs that a file can hold together; raise `SpecError` or `DataError` if it cannot."""
    first = _check_same(runs)
    for run in runs:
        if run.record.status != "complete":
            raise DataError(f"run {run.run_id} is {run.record.status}; only complete runs make a classifier")
        if run.spec.network.is_foreign:
            name = run.spec.network.name
            raise SpecError(
                f"run {run.run_id}: network {name!r} needs the code of another package, which no file holds"
            )
    return first


def _check_same(runs: Sequence[StoredRun]) -> StoredRun:
    """Give the first of runs that see the same images; raise `SpecError` if they do not."""
    if not runs:
        raise SpecError("no run is given; one or more are needed")
    first = runs[0]
    for run in runs:
        same = (
            run.classes == first.classes
            and sight(run.spec) == sight(first.spec)
            and run.spec.data == first.spec.data
        )
        if not same:
            raise SpecError(
                f"runs {first.run_id} and {run.run_id} differ in their data, classes, field or preset; a classifier "
                "is made of runs that see the same images"
            )
    return first


def _pooled(
    runs: Sequence[StoredRun], split: str, model: str, tables: Sequence[Predictions] | None = None
) -> tuple[NDArray[np.int64], Floats]:
    """Give labels and averaged log-probabilities of the labelled sources of one side, sorted by source."""
    found = []
    for place, run in enumerate(runs):
        table = run.record.predictions if tables is None else tables[place]
        if table is None:
            raise DataError(f"run {run.run_id}: has no predictions")
        rows = table.select(split, model, condition=None if tables else "clean")
        rows = rows.take(rows.label >= 0)
        found.append(rows.take(np.argsort(rows.source_id)))
    first = found[0]
    if any(not np.array_equal(own.source_id, first.source_id) for own in found):
        raise SpecError(
            f"runs {', '.join(r.run_id for r in runs)} have other {split} sources; one split is needed"
        )
    scores = [own.log_probabilities() for own in found]
    return first.label, scores[0] if len(scores) == 1 else combine(np.stack(scores), "logit")


def positions_seen(catalogue: Catalogue) -> tuple[tuple[float, float], ...]:
    """Give RA and Dec of sources as a card has them: each once, rounded; those that are not known are left out."""
    places = np.column_stack((catalogue.ra, catalogue.dec))
    known = np.round(places[np.isfinite(places).all(axis=1)], POSITION_DECIMALS)
    return tuple((ra, dec) for ra, dec in np.unique(known, axis=0).tolist())


def _scores(runs: Sequence[StoredRun], model: str, card: ClassifierCard) -> tuple[ScoreCard, ...]:
    """Score the test sources as they are, and under each disturbance that all runs were stressed with.

    Rotations are left out: two dozen of them would say one thing.
    """
    y, scores = _pooled(runs, "test", model)
    found = _score_rows(y, scores, "clean", card)
    stressed = [read_conditions(run.store, run.run_id) for run in runs]
    tables = [table for table in stressed if table is not None]
    if len(tables) < len(runs):
        return found
    for condition in dict.fromkeys(tables[0].condition.tolist()):
        if Condition.of(condition).family == "rotation":
            continue
        own = [table.take(table.condition == condition) for table in tables]
        if all(len(table) for table in own):
            y, seen = _pooled(runs, "test", model, own)
            found += _score_rows(y, seen, condition, card)
            found += share_rows(
                y, seen.argmax(axis=1) == scores.argmax(axis=1), "kept", condition, card.classes
            )
    return found


def _score_rows(
    y: NDArray[np.int64], scores: Floats, condition: str, card: ClassifierCard
) -> tuple[ScoreCard, ...]:
    """Give the shares of sources that are recognised, and whose set holds their class; of all and of each class."""
    if not len(y):
        return ()
    calibrated = log_probabilities(apply_temperature(scores, card.temperature), "softmax")
    found = share_rows(y, calibrated.argmax(axis=1) == y, "recognised", condition, card.classes)
    if card.conformal is not None:
        sets = conformal_sets(calibrated, card.conformal.thresholds, card.conformal.rule)
        found += share_rows(y, sets[np.arange(len(y)), y], "covered", condition, card.classes)
    return found


def share_rows(
    y: NDArray[np.int64], hit: NDArray[np.bool_], metric: str, condition: str, classes: tuple[str, ...]
) -> tuple[ScoreCard, ...]:
    """Give the share of sources that are hit, of all and of each class, with Wilson intervals."""
    k = len(classes)
    count = np.append(np.bincount(y, minlength=k), len(y))
    hits = np.append(np.bincount(y[hit], minlength=k), hit.sum())
    low, high = wilson_intervals(hits, count)
    return tuple(
        ScoreCard(
            metric=metric,
            of=(*classes, "")[i],
            condition=condition,
            value=hits[i] / count[i],
            low=low[i],
            high=high[i],
            n=int(count[i]),
        )
        for i in np.flatnonzero(count)
    )


def _title(run: StoredRun) -> str:
    """Name the data; those of one's own by their folder's name, not by where it lies."""
    card = run.dataset.card
    return card.name if run.spec.data.path else card.title


def _recipe(runs: Sequence[StoredRun]) -> str:
    spec = runs[0].spec
    names = dict.fromkeys(f"{run.spec.network.name}" for run in runs)
    seeds = ", ".join(str(run.spec.seed) for run in runs)
    ids = ", ".join(run.run_id for run in runs)
    return (
        f"{', '.join(names)}; protocol {spec.protocol}, preset {spec.images.preset}, {spec.recipe.epochs} epochs; "
        f"seeds {seeds}; runs {ids}"
    )
