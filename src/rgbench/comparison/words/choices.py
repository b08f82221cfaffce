"""Which choices a comparison rests on, and which of its test sources took part in them, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from rgbench.comparison.results import Comparison, Sentence
from rgbench.data.catalogue import DataSet
from rgbench.data.choices import Made, Own, Tested, choices_of, say_choices, where
from rgbench.numbers import counted, listed
from rgbench.protocols.choices import Choice
from rgbench.spec import RunSpec
from rgbench.store.store import RunRecord

LEARNING_RATE = "recipe.learning_rate"


def with_choices(found: Comparison, records: Sequence[RunRecord], data: DataSet | None) -> Comparison:
    """Give a comparison whose answer says which of its test sources took part in choices.

    Parameters
    ----------
    found : Comparison
        As from `rgbench.compare`.
    records : sequence of RunRecord
        Its runs.
    data : DataSet, optional
        Their data; without them it is said that nobody knows.
    """
    return replace(found, sentences=(*found.sentences, *map(Sentence, touched_words(records, data))))


def touched_words(records: Sequence[RunRecord], data: DataSet | None) -> list[str]:
    """Say which test sources of runs took part in choices that they rest on; nothing if none did.

    Returns
    -------
    list of str
        Sentences with their full stops.
    """
    complete = [record for record in records if record.predictions is not None and not record.elsewhere]
    own = choices_by_run(complete)
    if data is None:
        makers = listed(list(dict.fromkeys(made.by for made in _made([r.trained for r in complete], own))))
        return (
            [
                f"Whether test sources took part in choices of {makers} cannot be said: the data are not at hand."
            ]
            if makers
            else []
        )
    place = {name: row for row, name in enumerate(data.catalogue.source_id.tolist())}
    return say_choices((_tested(record, place) for record in complete), data, own)


def choices_by_run(records: Sequence[RunRecord]) -> Own:
    """Give what was chosen for the studies of runs, as the store tells it."""
    return {record.run_id: record.choices for record in records if record.choices}


def _made(specs: Sequence[RunSpec], own: Own) -> Iterator[Made]:
    for spec in specs:
        yield from choices_of(spec, own.get(spec.run_id, ()))


def _tested(record: RunRecord, place: dict[str, int]) -> Tested:
    """Give a run with the rows of its test sources; a source that the data no longer have is left out."""
    assert record.predictions is not None
    names = np.unique(record.predictions.source_id[record.predictions.split == "test"]).tolist()
    return record.trained, np.array([place[name] for name in names if name in place], dtype=np.int64)


def method_words(specs: Sequence[RunSpec], touched: Sequence[str], own: Own | None = None) -> list[str]:
    """Say for a paper what was chosen for its networks, with which budgets, and whether test sources took part.

    Parameters
    ----------
    specs : sequence of RunSpec
        The runs that are compared.
    touched : sequence of str
        As of `touched_words`.
    own : mapping, optional
        As of `choices_by_run`.

    Examples
    --------
    >>> from rgbench.spec import Study, resolve
    >>> names = ("convxpress", "mcrgnet", "simplenet")
    >>> print(*method_words(resolve(Study(name="s", networks=names), ""), ()), sep=" ")
    The learning rate was chosen for convxpress from 4 values with 1 seed and for mcrgnet from 4 values with 2 seeds
    (0.004, the largest, was taken), on validation sources (first-galaxy-data, split 'published'); simplenet has the
    protocol's. So budgets of tuning were not equal. Of the protocol modern stretch, field, dropout among the
    convolutions, epochs and 4 others were chosen for all networks alike; convxpress, mcrgnet and radio-galaxy-zoo
    judged them. No test source judged a choice that is recorded.
    """
    last = list(touched) or ["No test source judged a choice that is recorded."]
    known = own or {}
    return [*_rates(specs, known), *_for_all(specs, known), *_of_networks(specs, known), *last]


def _rates(specs: Sequence[RunSpec], own: Own) -> Iterator[str]:
    """Say for which networks the learning rate was chosen, and with which budgets."""
    chosen: dict[str, Choice] = {}
    rates: dict[str, float] = {}
    for spec in specs:
        rates[spec.network.name] = spec.recipe.learning_rate
        for made in _made([spec], own):
            if made.choice.key == LEARNING_RATE and made.choice.networks and made.choice.data:
                chosen[spec.network.name] = made.choice
    if not chosen:
        return
    each = [f"for {name} {_budget(choice, rates[name])}" for name, choice in chosen.items()]
    places = "; ".join(dict.fromkeys(where(choice) for choice in chosen.values()))
    others = [name for name in rates if name not in chosen]
    rest = f"; {listed(others)} {'have' if len(others) > 1 else 'has'} the protocol's" if others else ""
    equal = not others and len({(choice.tries, choice.seeds) for choice in chosen.values()}) == 1
    end = "" if equal else " So budgets of tuning were not equal."
    yield f"The learning rate was chosen {listed(each)}, on validation sources ({places}){rest}.{end}"


def _budget(choice: Choice, taken: float) -> str:
    """Say from how many values and with how many seeds a rate was chosen, and whether it is at the edge of them."""
    said = f"from {counted(choice.tries, 'value')}" if choice.tries else "from values that are not recorded"
    if choice.seeds:
        said += f" with {counted(choice.seeds, 'seed')}"
    tried = [value for value in choice.values if isinstance(value, int | float)]
    if len(tried) > 1 and taken in (min(tried), max(tried)):
        said += f" ({taken:g}, the {'largest' if taken == max(tried) else 'smallest'}, was taken)"
    return said


def _for_all(specs: Sequence[RunSpec], own: Own) -> Iterator[str]:
    """Say what was chosen for all networks, and which of them judged it."""
    alike: dict[str, list[Choice]] = {}
    for made in _made(specs, own):
        known = alike.setdefault(made.by, [])
        for_all = not made.network and not made.choice.networks
        if for_all and made.choice.data and made.choice not in known:
            known.append(made.choice)
    for by, choices in alike.items():
        judges = sorted({name for choice in choices for name in choice.tried})
        if choices and judges:
            what = listed([choice.what for choice in choices])
            yield (
                f"Of {by} {what} {'were' if len(choices) > 1 else 'was'} chosen for all networks alike; "
                f"{listed(judges)} judged {'them' if len(choices) > 1 else 'it'}."
            )


def _of_networks(specs: Sequence[RunSpec], own: Own) -> Iterator[str]:
    """Say what was chosen of the design of each network, and which others judged it."""
    known: dict[str, dict[str, Choice]] = {}
    for made in _made(specs, own):
        if made.network and made.choice.data:
            known.setdefault(made.network, {})[made.choice.what] = made.choice
    for name, choices in known.items():
        places = "; ".join(dict.fromkeys(where(choice) for choice in choices.values()))
        judges = sorted({judge for choice in choices.values() for judge in choice.tried} - {name})
        by = f" with {listed(judges)}" if judges else ""
        verb = "were" if len(choices) > 1 else "was"
        yield f"Of the network {name} {listed(list(choices))} {verb} chosen{by} on validation sources ({places})."
