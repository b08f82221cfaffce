"""Which test sources took part in choices: of a protocol, of a network, of a study.

What was chosen stands as data where it was chosen (`rgbench.protocols.choices`). A score on sources that judged a
choice flatters it. So a choice of one's own on test sources is refused; one that ships is said beside the score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rgbench.data.catalogue import DataSet
from rgbench.data.combine import joint_groups
from rgbench.data.sets import data_sets
from rgbench.data.split import published_split
from rgbench.errors import ChecksumError, DataError, LeakageError, SpecError
from rgbench.networks.catalogue import card_of, shipped_names
from rgbench.numbers import counted, listed
from rgbench.protocols import protocol_choices, protocols, ships
from rgbench.protocols.choices import Choice
from rgbench.spec import RunSpec, Study, resolve


@dataclass(frozen=True)
class Made:
    """A choice that a run rests on.

    Attributes
    ----------
    choice : Choice
        What was chosen.
    by : str
        Of what, as "the protocol modern".
    ships : bool
        Whether that comes with this package: who runs a study cannot choose it anew.
    network : str
        The network whose card has it; "" where a protocol or a study made it.
    """

    choice: Choice
    by: str
    ships: bool
    network: str = ""


def choices_of(spec: RunSpec, own: Sequence[Choice] = ()) -> list[Made]:
    """Give the choices that a run rests on: those of its protocol, of its network and of its study.

    A choice of a value that the run does not have is left out, as is one for other networks.

    Parameters
    ----------
    spec : RunSpec
        The run.
    own : sequence of Choice
        What was chosen for its study.

    Raises
    ------
    SpecError
        If a choice is of a key that no run has.

    Examples
    --------
    >>> study = Study(name="s", networks=("simplenet",), seeds=(1,), augmentation={"shift": 4.0})
    >>> (spec,) = resolve(study, checksum="")
    >>> sorted({made.by for made in choices_of(spec)}), any(m.choice.what == "shift" for m in choices_of(spec))
    (['the protocol modern'], False)
    """
    name = spec.network.name
    for choice in own:
        _value(spec, choice)
    found = [Made(choice, "this study", False) for choice in own if _rests_on(spec, choice)]
    if spec.protocol in protocols():
        found += [
            Made(choice, f"the protocol {owner}", ships(owner))
            for owner, choice in protocol_choices(spec.protocol)
            if _value(spec, choice) == _value(_plain(owner, spec.protocol, name), choice)
        ]
    else:
        found.append(Made(Choice(what="values"), f"the protocol {spec.protocol}", False))
    card = card_of(name, spec.network.layers)
    if card is not None:
        by, here = f"the network {name}", name in shipped_names()
        found += [Made(choice, by, here, name) for choice in card.choices]
    return [made for made in found if not made.choice.networks or name in made.choice.networks]


def _rests_on(spec: RunSpec, choice: Choice) -> bool:
    """Tell whether a run has one of the values that were tried, where both are known."""
    return not choice.key or not choice.values or _value(spec, choice) in choice.values


@cache
def _plain(owner: str, protocol: str, network: str) -> RunSpec:
    """Give a run of the protocol that made a choice; of that which extends it, where it is not whole by itself."""
    try:
        (spec,) = resolve(Study(name="plain", networks=(network,), seeds=(0,), protocol=owner), checksum="")
    except SpecError:
        (spec,) = resolve(
            Study(name="plain", networks=(network,), seeds=(0,), protocol=protocol), checksum=""
        )
    return spec


def _value(spec: RunSpec, choice: Choice) -> Any:
    """Give the value that a run has where the choice set it; None if that is no key."""
    if not choice.key:
        return None
    section, key = choice.key.split(".")
    part = getattr(spec, section)
    if key not in type(part).model_fields:
        legal = ", ".join(f"{section}.{name}" for name in type(part).model_fields)
        raise SpecError(f"choice of {choice.what}: key {choice.key!r} is unknown; the keys are {legal}")
    return getattr(part, key)


@dataclass(frozen=True)
class Touched:
    """Which of some test sources took part in a choice.

    Attributes
    ----------
    made : Made
        The choice.
    judged : ndarray of bool, shape (n,)
        Whether each was among the validation sources that judged it, or within 60 arcsec of one.
    trained : ndarray of bool, shape (n,)
        Whether each was among those that the trials were trained on, or near one, and judged nothing.
    unknown : str
        Why that cannot be said; "" if it can.
    """

    made: Made
    judged: NDArray[np.bool_]
    trained: NDArray[np.bool_]
    unknown: str = ""


def touched(made: Made, dataset: DataSet, rows: NDArray[np.int64]) -> Touched:
    """Find out which test sources took part in a choice.

    Parameters
    ----------
    made : Made
        The choice.
    dataset : DataSet
        What is tested on.
    rows : ndarray of int64, shape (n,)
        Its test sources.

    Returns
    -------
    Touched
        By sky groups, as splits are made; of the same data set also where positions are not known.
    """
    none = np.zeros(len(rows), dtype=bool)
    if not made.choice.data:
        return Touched(made, none, none, "is not recorded")
    try:
        tuning = _tuning(made.choice, dataset)
        sides = _sides(made.choice, tuning)
    except (ChecksumError, DataError) as error:
        return Touched(made, none, none, f"cannot be said: {error}")
    if tuning is dataset:
        groups, others = dataset.catalogue.group, dataset.catalogue.group
    else:
        judges = np.flatnonzero(sides)
        for catalogue, own, name in (
            (dataset.catalogue, rows, counted(len(rows), "test source")),
            (tuning.catalogue, judges, f"{counted(len(judges), 'source')} of {made.choice.data}"),
        ):
            if nowhere := int(np.sum(~np.isfinite(catalogue.ra[own]))):
                why = f"cannot be said: the positions of {nowhere} of the {name} are not known"
                return Touched(made, none, none, why)
        joint = joint_groups(dataset.catalogue, tuning.catalogue)
        groups, others = joint[: len(dataset.catalogue)], joint[len(dataset.catalogue) :]
    judged = np.isin(groups[rows], others[sides == "validation"])
    trained = np.isin(groups[rows], others[sides == "train"]) & ~judged
    return Touched(made, judged, trained)


def _tuning(choice: Choice, dataset: DataSet) -> DataSet:
    """Give the data set of a choice: that which is tested on, if it is the same."""
    needed = {*choice.splits, *choice.without}
    if choice.data == dataset.card.name and needed <= set(dataset.splits):
        return dataset
    try:
        return _known(data_sets().canonical(choice.data))
    except SpecError as error:
        raise SpecError(f"choice of {choice.what}, data: {error}") from error


@cache
def _known(name: str) -> DataSet:
    entry = data_sets().get(name)
    return entry.load() if entry.sources is None else entry.sources()


def _sides(choice: Choice, tuning: DataSet) -> NDArray[Any]:
    """Give for each source "validation" if it judged in one of the splits, else "train" if one was trained on it."""
    group = tuning.catalogue.group
    kept = [published_split(tuning, name).assignment == "test" for name in choice.without]
    untouched = np.isin(group, group[np.any(kept, axis=0)]) if kept else np.zeros(len(group), dtype=bool)
    sides = np.full(len(group), "", dtype="<U10")
    for side in ("train", "validation"):
        for name in choice.splits:
            sides[(published_split(tuning, name).assignment == side) & ~untouched] = side
    return sides


Tested = tuple[RunSpec, NDArray[np.int64]]
"""A run, and the rows of its data set that it is tested on."""
Own = Mapping[str, Sequence[Choice]]
"""What was chosen for the study of a run, by the run's id."""


def say_choices(runs: Iterable[Tested], dataset: DataSet, own: Own | None = None) -> list[str]:
    """Say which test sources took part in the choices that runs rest on, whoever made them; nothing if none did."""
    known = own or {}
    return list(_sentences(list(_touched(runs, dataset, lambda spec: known.get(spec.run_id, ()))), dataset))


def check_choices(runs: Iterable[Tested], dataset: DataSet, own: Sequence[Choice] = ()) -> tuple[str, ...]:
    """Refuse choices of one's own on test sources; say which of those that ship were made on them.

    Parameters
    ----------
    runs : iterable of (RunSpec, ndarray of int64)
        Runs, and their test sources.
    dataset : DataSet
        Their data.
    own : sequence of Choice
        What was chosen for their study.

    Returns
    -------
    tuple of str
        Sentences: what ships and rests on test sources, and where that cannot be said.

    Raises
    ------
    LeakageError
        If test sources judged a choice that does not ship: how many, and some of them.
    """
    found = list(_touched(runs, dataset, lambda spec: own))
    for each, rows in found:
        if each.judged.any() and not each.made.ships:
            raise LeakageError(
                f"{_of(each.judged)} judged the choice of {each.made.choice.what} ({each.made.by}): "
                f"{_named(dataset, rows[each.judged])}; choose on other sources, or test on others"
            )
    return tuple(_sentences(found, dataset))


def _touched(
    runs: Iterable[Tested], dataset: DataSet, own: Callable[[RunSpec], Sequence[Choice]]
) -> Iterator[tuple[Touched, NDArray[np.int64]]]:
    """Hold every choice against the test sources of every split, each once."""
    settings, done = set[str](), set[tuple[str, str, bytes]]()
    alike: dict[tuple[str, bytes], Touched] = {}
    for spec, rows in runs:
        place = rows.tobytes()
        rest = f"{spec.augmentation} {spec.recipe} {own(spec)} {place!r}"
        setting = f"{spec.network} {spec.protocol} {spec.images} {rest}"
        if setting in settings:
            continue
        settings.add(setting)
        for made in choices_of(spec, own(spec)):
            key = (made.by, repr(made.choice), place)
            if key not in done:
                done.add(key)
                there = (where(made.choice), place)
                if there not in alike:
                    alike[there] = touched(made, dataset, rows)
                yield replace(alike[there], made=made), rows


def _sentences(found: Sequence[tuple[Touched, NDArray[np.int64]]], dataset: DataSet) -> Iterator[str]:
    """Say for each maker, test set and place of choice how many sources took part, and in which choices."""
    alike: dict[tuple[str, ...], list[tuple[Touched, NDArray[np.int64]]]] = {}
    for each, rows in found:
        if each.unknown or each.judged.any():
            place = each.unknown or f"{where(each.made.choice)} {rows.tobytes()!r}"
            alike.setdefault((each.made.by, place), []).append((each, rows))
    for members in alike.values():
        (first, rows), by = members[0], members[0][0].made.by
        names = list(dict.fromkeys(each.made.choice.what for each, _ in members))
        if first.unknown:
            yield f"Whether test sources took part in choices of {by} ({listed(names)}) {first.unknown}."
            continue
        trained = int(first.trained.sum())
        yield (
            f"{_of(first.judged)} ({_named(dataset, rows[first.judged])}) judged choices of {by}: {listed(names)} "
            f"{'were' if names[1:] else 'was'} chosen on validation sources that hold them "
            f"({where(first.made.choice)}). So scores may be too good."
            + (f" {trained} others were trained on in its trials." if trained else "")
        )


def where(choice: Choice) -> str:
    """Say on which sources a choice was made.

    Examples
    --------
    >>> where(Choice(what="shift", data="mnist", splits=("fold-0",), without=("published",)))
    "mnist, split 'fold-0', without the test sources of 'published'"
    """
    if not choice.data:
        return "not recorded"
    names = listed([repr(name) for name in choice.splits])
    said = f"{choice.data}, {'split' if len(choice.splits) == 1 else 'splits'} {names}"
    return (
        f"{said}, without the test sources of {listed([repr(n) for n in choice.without])}"
        if choice.without
        else said
    )


def _of(judged: NDArray[np.bool_]) -> str:
    return f"{int(judged.sum())} of the {counted(len(judged), 'test source')}"


def _named(dataset: DataSet, rows: NDArray[np.int64]) -> str:
    return listed([str(name) for name in dataset.catalogue.source_id[rows].tolist()])
