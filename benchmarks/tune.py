"""Search a recipe's values for each network of a study, with equally many trials for each; all trials are kept as data.

    python benchmarks/tune.py STUDY --space benchmarks/spaces/sky.toml --trials 12 --out trials.json

A trial is a run of the study with other values, in a store, so a search that is stopped goes on where it was: the same
seed draws the same values again. A trial is judged by the negative log-likelihood (nats) of the validation sources,
the mean of that in their images and in second views of them. Test sources are never looked at. Optuna draws the values
(in the extra `dev`); the first trial of each network has those of the study itself. The file has a table for the study
that takes what was found, `choices`: with it rgbench refuses test sources that judged here.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from rgbench.data.catalogue import DataSet
from rgbench.data.load import load_dataset
from rgbench.diagnostics.stress import views_of
from rgbench.errors import SpecError
from rgbench.measures.classification import accuracy, macro_f1, nll
from rgbench.protocols.choices import Choice
from rgbench.runs.reopen import StoredRun
from rgbench.runs.study import find_study, run_study
from rgbench.spec import Study
from rgbench.store.store import Store
from rgbench.toml import read_toml

SEED = 8901
SECTIONS = ("recipe", "augmentation", "images")

Values = Mapping[str, Any]
"""What a trial sets: values by section and key, as "recipe.learning_rate"."""


def read_space(path: Path) -> dict[str, optuna.distributions.BaseDistribution]:
    """Read which keys are searched, and where: ``low`` and ``high`` (and ``log = true``), or ``choices``."""
    space: dict[str, optuna.distributions.BaseDistribution] = {}
    for section, keys in read_toml(path).items():
        if section not in SECTIONS:
            raise SpecError(f"{path}: section {section!r}; legal are {', '.join(SECTIONS)}")
        for key, range_ in keys.items():
            space[f"{section}.{key}"] = (
                optuna.distributions.CategoricalDistribution(range_["choices"])
                if "choices" in range_
                else optuna.distributions.FloatDistribution(**range_)
            )
    return space


def with_values(study: Study, network: str, values: Values) -> Study:
    """Give the study of one network and its first seed with some values of its own."""
    changed: dict[str, Any] = {section: dict(getattr(study, section)) for section in SECTIONS}
    for name, value in values.items():
        section, key = name.split(".")
        changed[section][key] = value
    return study.model_copy(update=changed | {"networks": (network,), "seeds": study.seeds[:1]})


def judge(run: StoredRun) -> dict[str, float]:
    """Score a run on its validation sources, in their images and in second views."""
    assert run.record.predictions is not None
    plain = run.record.predictions.select(split="validation", model=run.model)
    views = views_of(run)
    seen = [(p.label, p.logits) for p in (plain, *views)]
    found = {
        "nll": nll(*seen[0]),
        "accuracy": accuracy(*seen[0]),
        "macro_f1": macro_f1(*seen[0]),
        "sources": float(len(plain)),
    }
    if views:
        said = plain.logits.argmax(axis=1)
        found |= {
            "view_nll": float(np.mean([nll(*view) for view in seen[1:]])),
            "view_accuracy": float(np.mean([accuracy(*view) for view in seen[1:]])),
            "view_kept": float(np.mean([(logits.argmax(axis=1) == said).mean() for _, logits in seen[1:]])),
        }
    return found


def loss(scores: Mapping[str, float]) -> float:
    """Give what is made small: the mean of the losses in the images and in second views of them."""
    return float(np.mean([scores[key] for key in ("nll", "view_nll") if key in scores]))


def search(
    study: Study, network: str, space: Mapping[str, Any], trials: int, store: Store, dataset: DataSet
) -> list[dict[str, Any]]:
    """Run the trials of one network; give their values and scores, in their order."""
    found: list[dict[str, Any]] = []
    sampler = optuna.samplers.TPESampler(seed=SEED, n_startup_trials=min(10, trials // 2))
    work = optuna.create_study(sampler=sampler)
    for number in range(trials):
        trial = None if number == 0 else work.ask(dict(space))
        values = {} if trial is None else trial.params
        (record,) = run_study(with_values(study, network, values), store, dataset=dataset)
        scores = judge(StoredRun(record, store, dataset=dataset)) if record.status == "complete" else {}
        seconds = record.cost["training_seconds"] if record.cost else None
        found.append({"network": network, "trial": number, "values": values, **scores, "seconds": seconds})
        if trial is not None and scores:
            work.tell(trial, loss(scores))
        elif trial is not None:
            work.tell(trial, state=optuna.trial.TrialState.FAIL)
        print(json.dumps(found[-1]), flush=True)
    return found


def as_choice(study: Study, trials: int) -> dict[str, Any]:
    """Give the table ``[[choices]]`` for a study that takes what was found: docs/choices.md."""
    places = {"data": study.data.name, "splits": (study.data.split,)}
    choice = Choice(
        what="values in a search",
        networks=study.networks,
        trials=trials,
        seeds=1,
        **({} if study.data.split == "becker2021" else places),
    )
    return choice.model_dump(mode="json", exclude_defaults=True)


def main() -> None:
    """Search as the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", help="TOML file, or a study that ships with the package")
    parser.add_argument(
        "--space", type=Path, required=True, help="TOML file: keys, and where they are searched"
    )
    parser.add_argument("--trials", type=int, default=12, help="for each network")
    parser.add_argument("--store", type=Path, default=Path("tuning-store"))
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the trials")
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study, space, store = find_study(asked.study), read_space(asked.space), Store(asked.store)
    dataset = load_dataset(study.data)
    found = [
        row
        for network in study.networks
        for row in search(study, network, space, asked.trials, store, dataset)
    ]
    facts = {
        "study": study.model_dump(mode="json"),
        "space": read_toml(asked.space),
        "machine": platform.machine(),
        "choices": [as_choice(study, asked.trials)],
    }
    asked.out.write_text(
        json.dumps({**facts, "optuna": optuna.__version__, "trials": found}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
