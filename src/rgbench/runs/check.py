"""Everything that a study names, checked before any data are loaded; what only the data tell, before training."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np

from rgbench.data.catalogue import CLASSES, DataSet, Flag
from rgbench.data.choices import choices_of
from rgbench.data.load import folder_options
from rgbench.data.sets import data_sets
from rgbench.data.split import SIDES, Split
from rgbench.errors import DataError, SpecError
from rgbench.images.preprocess import preprocess_batch, presets
from rgbench.networks import canonical_name, describe_network, networks
from rgbench.networks.facts import NetworkFacts
from rgbench.networks.notation.analysis import analyse, split_output
from rgbench.networks.notation.notation import parse_layers, to_text
from rgbench.numbers import counted
from rgbench.spec import OWN_KEYS, DataSpec, RunSpec, Study, resolve

LARGEST_SIDE = 4096
"""Pixels along a side of a network's input; a larger number is taken for a slip."""
MOST_PARAMETERS = 4_000_000_000
"""Parameters of a network; as many take 16 GB before anything is trained."""
_WORDS = {"train": "training", "validation": "validation", "test": "test"}


def check_study(study: Study, data: bool = True) -> Study:
    """Resolve every name and range of a study; no data are loaded.

    Parameters
    ----------
    study : Study
        As a user wrote it.
    data : bool
        Whether the data will be loaded by their name; otherwise they are at hand, under any name.

    Returns
    -------
    Study
        The same with canonical names of networks, and its own networks' layers in canonical form.

    Raises
    ------
    SpecError
        If a network, layer, preset, protocol, data set or option is not legal, or a size does not fit the images
        as far as the card of the data set tells; the message names what is legal.

    Examples
    --------
    >>> check_study(Study(name="s", networks=("convXpress",))).networks
    ('convxpress',)
    >>> check_study(Study(name="s", networks=("mcrgnet",), images={"preset": "modren"}))
    Traceback (most recent call last):
    rgbench.errors.SpecError: [images] preset: unknown preset 'modren'; did you mean modern? The presets are ...
    """
    canonical = canonical_study(study)
    runs = resolve(canonical, checksum="")
    check_preset(runs[0].images.preset, "[images] preset")
    _check_side(runs[0])
    for run in runs:
        _check_views(run)
        _check_sizes(run)
    choices_of(runs[0], canonical.choices)
    if data:
        _check_data(study, runs)
    return canonical


def _check_views(run: RunSpec) -> None:
    """Refuse training views, and a common beam, where they would do nothing, or something else than they say."""
    if run.images.beam > 1 and run.images.frame == "none":
        raise SpecError(
            '[images] beam: needs linear flux, so frame = "sky" and a preset without a stretch, such as "sky"; found '
            f'frame = "{run.images.frame}"'
        )
    if not run.augmentation.reobserves:
        return
    if run.augmentation.kind != "random":
        raise SpecError(
            f'[augmentation] beam, noise: go with kind = "random", found {run.augmentation.kind!r}; leave them out'
        )
    if run.images.frame == "none":
        raise SpecError(
            '[augmentation] beam, noise: need linear flux, so frame = "sky" and a preset without a stretch, such as '
            f'"sky", under [images]; found frame = "{run.images.frame}"'
        )


_ANY_SHAPE = 4
"""Views that images of two different sides can have: without quarter turns (`rgbench.images.augment.views`)."""


def _check_sizes(run: RunSpec) -> None:
    """Refuse views that images of another shape cannot have, and shifts that leave nothing of a source."""
    size = run.images.size
    if isinstance(size, tuple) and size[0] != size[1] and run.recipe.views > _ANY_SHAPE:
        raise SpecError(
            f"[recipe] views: {run.recipe.views} views need square images, and [images] size is {list(size)}; "
            "1, 2 and 4 are legal"
        )
    most = run.images.field / 2
    if run.augmentation.shift > most:
        raise SpecError(
            f"[augmentation] shift: {run.augmentation.shift:g} was given; at most half of the field, {most:g} "
            "pixels, is legal"
        )


def _check_own(wanted: DataSpec) -> None:
    """Check what says how one's own images are read; without a folder of them nothing of it may be given."""
    for key in ("checksum", "frame", "pixel_scale"):
        if getattr(wanted, key):
            raise SpecError(f"[data] {key}: is filled in from the data; leave it out")
    if wanted.path is None:
        given = [key for key in OWN_KEYS if getattr(wanted, key) not in (None, {}, ())]
        if given:
            raise SpecError(
                f"[data] {given[0]}: goes with path, the folder of your own images; give it, or leave both"
            )
        return
    if not wanted.path or not Path(wanted.path).is_dir():
        raise SpecError(f"[data] path: {wanted.path!r}: there is no such folder of images")
    for key in ("manifest", "class_labels"):
        name = getattr(wanted, key)
        if name and not Path(name).is_file():
            raise SpecError(f"[data] {key}: {name}: there is no such file")
    folder_options(wanted)
    if wanted.columns and not wanted.manifest:
        raise SpecError("[data] columns: goes with manifest, the table that has them; give it, or leave both")
    if any(plane < 0 for plane in _planes(wanted)):
        raise SpecError(f"[data] plane: {wanted.plane} was given; 0 or more is legal")
    if wanted.name in data_sets():
        raise SpecError(
            f"[data] name: {wanted.name!r} is the name of a public data set, and path says where your own images are; "
            'give them a name of their own, such as name = "mine"'
        )


def _planes(wanted: DataSpec) -> tuple[int, ...]:
    return () if wanted.plane is None else (wanted.plane,) if isinstance(wanted.plane, int) else wanted.plane


def _check_data(study: Study, runs: list[RunSpec]) -> None:
    """Check the names of data sets, and what the card of a registered one tells about sizes."""
    wanted = study.data
    if wanted.test and _known(wanted.test, "[data] test") == wanted.name:
        raise SpecError(
            f"[data] test: {wanted.test!r} is the training set itself; name another, or leave it out"
        )
    _check_own(wanted)
    if runs[0].recipe.labels == "consensus":
        _check_votes(wanted)
    if wanted.path is not None:
        for run in {run.network.name: run for run in runs if run.network.layers}.values():
            analyse(parse_layers(run.network.layers), run.images.size, len(CLASSES), run.network.channels)
        return
    card = data_sets().get(_known(wanted.name, "[data] name")).card
    for split in dict.fromkeys(run.data.split for run in runs):
        if card.splits is not None and split not in (*card.splits, "becker2021"):
            legal = ", ".join((*card.splits, "becker2021"))
            raise SpecError(f"[data] split: {card.name} has no split {split!r}; legal are {legal}")
    if card.image_size is not None:
        check_field(runs[0], card.image_size, card.name)
    for run in {run.network.name: run for run in runs}.values():
        describe_run(run, len(card.classes))


def _check_votes(wanted: DataSpec) -> None:
    """Refuse to train on what catalogues agree on where they say nothing of the sources."""
    if wanted.path is None and data_sets().get(_known(wanted.name, "[data] name")).card.votes:
        return
    name = wanted.name if wanted.path is None else f"the images in {wanted.path}"
    legal = ", ".join(name for name, entry in data_sets() if entry.card.votes)
    raise SpecError(
        f'[recipe] labels: found "consensus", but {name} has no votes of several catalogues; "published" is legal '
        f'there, and "consensus" for {legal}'
    )


def _check_side(spec: RunSpec) -> None:
    """Raise `SpecError` if the network's input is so large that somebody must have mistyped it."""
    size = spec.images.size
    if max(size if isinstance(size, tuple) else (size,)) > LARGEST_SIDE:
        raise SpecError(f"[images] size: found {size}; 8 to {LARGEST_SIDE} pixels are legal")


def describe_run(spec: RunSpec, n_classes: int) -> NetworkFacts:
    """Describe a run's network at its image size, as `rgbench.networks.describe_network` does.

    Raises
    ------
    SpecError
        If it cannot be built there, or would have more than `MOST_PARAMETERS`.
    """
    facts = describe_network(spec.network.name, spec.images.size, n_classes, layers=spec.network.layers)
    parameters = facts["parameters"] or 0
    if parameters > MOST_PARAMETERS:
        raise SpecError(
            f"{spec.network.name} has {parameters:,} parameters at {spec.images.size} pixels; up to "
            f"{MOST_PARAMETERS:,} are legal: use fewer channels, or smaller images"
        )
    return facts


def canonical_study(study: Study) -> Study:
    """Give a study with canonical network names, and its own networks' layers in canonical form."""
    own = {}
    for name, text in study.layers.items():
        if name in networks():
            raise SpecError(f"[layers] {name!r}: a registered network has that name; choose another")
        try:
            layers = parse_layers(text)
            split_output(layers)
            own[name] = to_text(layers)
        except SpecError as error:
            raise SpecError(f"[layers] {name!r}: {error}") from error

    def canonical(name: str) -> str:
        return name if name in own else canonical_name(name)

    lines = tuple(line.model_copy(update={"network": canonical(line.network)}) for line in study.schedule)
    names = tuple(map(canonical, study.networks))
    trained = {line.network for line in lines}
    if lines and trained != set(names):
        raise SpecError(
            f"schedule: trains {', '.join(sorted(trained))}, but networks lists {', '.join(names)}: list the same"
        )
    choices = tuple(
        choice.model_copy(update={"networks": tuple(map(canonical, choice.networks))})
        for choice in study.choices
    )
    return study.model_copy(update={"networks": names, "schedule": lines, "layers": own, "choices": choices})


def check_preset(name: str, where: str) -> None:
    """Raise `SpecError` if a preset is not registered, or cannot be imported; the message begins with `where`."""
    try:
        presets().get(name)
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None


def check_field(spec: RunSpec, image_size: tuple[int, int], name: str) -> None:
    """Raise `SpecError` if the field is larger than the images, (rows, columns), of a data set.

    Images that are not square are held by their longer side.
    """
    if spec.images.field > max(image_size):
        raise SpecError(
            f"field = {spec.images.field}: the images of {name} have {_by(image_size)} pixels; "
            f"8 to {max(image_size)} is legal"
        )


def check_images(spec: RunSpec, dataset: DataSet) -> None:
    """Raise `SpecError` if the field is larger than the images, or than what the preset leaves of them.

    The preset is tried on the first image that can be used; one that it cannot prepare is left to the run.
    """
    whole, name = dataset.images.shape[1:], dataset.card.name
    check_field(spec, whole, name)
    usable = np.flatnonzero((dataset.catalogue.flags & Flag.UNUSABLE) == 0)[:1]
    with suppress(DataError):
        left = (
            preprocess_batch(dataset.images[usable], spec.images.preset).shape[1:] if len(usable) else whole
        )
        if spec.images.field > max(left):
            raise SpecError(
                f"field = {spec.images.field}: of the images of {name}, {_by(whole)} pixels, the preset "
                f"{spec.images.preset!r} leaves {_by(left)}; 8 to {max(left)} is legal"
            )


def check_sides(split: Split, dataset: DataSet, tested_elsewhere: bool = False) -> None:
    """Raise `DataError` if a split has no training, validation or test source left; the message says why.

    A run cannot be trained, its best epoch not be chosen, or nothing be tested without them. So it is with a class
    of which the data have sources, but none for training or testing; another data set, on which is tested, need not
    have every class.
    """
    for side in SIDES:
        if len(split.indices(side)) == 0:
            raise DataError(f"no {_WORDS[side]} source is left: {_why_none(side, split, dataset)}")
    for side in ("train",) if tested_elsewhere else ("train", "test"):
        _check_classes(side, split, dataset)


def _check_classes(side: str, split: Split, dataset: DataSet) -> None:
    """Raise `DataError` if a class that the data have is missing on a side of a split."""
    label = dataset.catalogue.label
    there = set(label[split.indices(side)].tolist())
    for number, name in enumerate(dataset.classes):
        count = int((label == number).sum())
        if count and number not in there:
            drawn = side == "test" and split.name.startswith("becker2021")
            advice = "give smaller numbers for train_size and validation_size, or " if drawn else ""
            raise DataError(
                f"no {_WORDS[side]} source of the class {name} is left in the split {split.name!r} of "
                f"{dataset.card.name}, which has {counted(count, 'source')} of it: {advice}label more of them, or "
                "leave the class out"
            )


def _why_none(side: str, split: Split, dataset: DataSet) -> str:
    """Say why a side of a split is empty."""
    reasons = [reason for _, reason in split.removed if reason.startswith(side)]
    if not reasons:
        return f"the split {split.name!r} of {dataset.card.name} has none"
    near = [reason for reason in reasons if "sky group" in reason]
    if len(near) < len(reasons):
        return f"all {len(reasons)} were taken out of the split {split.name!r}, the first because its {reasons[0]}"
    others = " or ".join(
        _WORDS[other] for other in ("test", "validation") if any(f"({other})" in reason for reason in near)
    )
    # Rows of no side were taken out, or never used.
    if len(set(dataset.catalogue.group.tolist())) == 1:
        return f"all {len(dataset.catalogue)} are in one sky group with {others} sources"
    return f"all {len(near)} are in sky groups with {others} sources"


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _known(name: str, where: str) -> str:
    try:
        return data_sets().canonical(name)
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None
