"""Seeds are added to undecided pairs only, later comparisons count the looks, and equal networks are not told apart."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from scipy.special import expit

from rgbench.comparison import until_decided
from rgbench.comparison.summary import compare
from rgbench.comparison.until_decided import LOOKS, run_until_decided
from rgbench.errors import SpecError
from rgbench.seeds import derive_seed
from rgbench.spec import Study, resolve
from rgbench.statistics.paired import recognition_differences
from rgbench.statistics.recognition import Answers
from rgbench.store.store import Store
from rgbench.store.tables import Predictions, write_predictions

CLASSES = ("Compact", "FRI", "FRII", "Bent")
N = 200


class Lab:
    """Networks of known skill, whose runs are drawn and not trained."""

    def __init__(self, store: Store, skills: dict[str, float], seed: int = 0) -> None:
        self.store, self.skills, self.seed = store, skills, seed
        self.asked: list[tuple[tuple[str, ...], tuple[int, ...]]] = []

    def plan(self, study: Study):
        return resolve(study, "checksum", (300, 300), 1.8)

    def compute(self, study: Study):
        self.asked.append((study.networks, study.seeds))
        return [self.run(spec) for spec in self.plan(study)]

    def until_decided(self, study: Study, **how):
        return run_until_decided(study, self.store, self.plan, self.compute, **how)

    def run(self, spec):
        hard = np.random.default_rng([self.seed, 1]).normal(0, 1.8, N)
        drawn = np.random.default_rng(
            [self.seed, spec.seed, derive_seed(0, "init", name=spec.network.name) % 2**31]
        )
        y = np.arange(N) % 4
        right = drawn.random(N) < expit(self.skills[spec.network.name] + 0.1 * drawn.normal() - hard)
        logits = np.where(right[:, None], np.eye(4)[y], np.eye(4)[(y + 1) % 4]).astype(np.float32) * 5
        with self.store.claim(spec) as run:
            table = Predictions(
                run_id=spec.run_id,
                classes=CLASSES,
                activation="softmax",
                source_id=np.array([f"s{i:03}" for i in range(N)]),
                split=np.full(N, "test"),
                model=np.full(N, "best"),
                member=np.zeros(N, np.int32),
                condition=np.full(N, "clean"),
                label=y.astype(np.int64),
                label_version="",
                logits=logits,
            )
            write_predictions(run.path / "predictions.parquet", table)
            run.write_cost({})
            run.write_status("complete")
        return self.store.record(spec.run_id)


STUDY = Study(name="decide", networks=("lenet", "mcrgnet", "radio-galaxy-zoo"), seeds=(1, 2, 3))


def test_seeds_are_added_to_undecided_pairs_alone_and_the_store_tells_the_looks(tmp_path):
    store, said = Store(tmp_path), []
    lab = Lab(store, {"lenet": -2.0, "mcrgnet": 1.5, "radio-galaxy-zoo": 1.5})
    found = lab.until_decided(STUDY, say=said.append)
    assert lab.asked[0] == (STUDY.networks, STUDY.seeds)
    assert all(set(networks) == {"mcrgnet", "radio-galaxy-zoo"} for networks, _ in lab.asked[1:])
    assert len(lab.asked) == LOOKS
    assert found.looks == LOOKS
    assert [set(pair) for pair in found.undecided] == [{"mcrgnet", "radio-galaxy-zoo"}]
    assert len(said) == LOOKS - 1
    assert said[0].startswith("1 pair cannot be told apart: seeds ")
    assert "Not told apart:" in found.words
    later = compare(store.records())
    assert later.looks == LOOKS
    assert any("multiplied by 4" in sentence for sentence in later.words)
    alone = compare([replace(record, provenance={}) for record in store.records()])
    assert alone.looks == 1
    for counted, once in zip(later.pairs, alone.pairs, strict=True):
        assert counted.p_value == pytest.approx(min(1.0, LOOKS * once.p_value))
        assert (counted.low, counted.high) == (once.low, once.high)


class Stopped(Lab):
    """A lab that is stopped after so many added runs, as by Ctrl-C."""

    added = 1

    def run(self, spec):
        if spec.seed not in STUDY.seeds:
            if self.added == 0:
                raise KeyboardInterrupt
            self.added -= 1
        return super().run(spec)


def test_what_was_added_before_a_stop_is_counted_and_the_same_command_goes_on(tmp_path):
    skills = {"lenet": -2.0, "mcrgnet": 1.5, "radio-galaxy-zoo": 1.5}
    store, whole = Store(tmp_path / "stopped"), Store(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        Stopped(store, skills).until_decided(STUDY, say=lambda _: None)
    added = [record for record in store.records() if record.spec.seed not in STUDY.seeds]
    assert sorted(record.status for record in added) == ["complete", "running", "running", "running"]
    assert {record.looks for record in added} == {LOOKS}
    complete = [record for record in store.records() if record.status == "complete"]
    assert compare(complete).looks == LOOKS
    again = Lab(store, skills).until_decided(STUDY, say=lambda _: None)
    straight = Lab(whole, skills).until_decided(STUDY, say=lambda _: None)
    assert store.run_ids() == whole.run_ids()
    assert again.words == straight.words
    assert {record.looks for record in store.records() if record.spec.seed not in STUDY.seeds} == {LOOKS}
    assert {record.looks for record in store.records() if record.spec.seed in STUDY.seeds} == {1}


def test_of_a_schedule_only_the_undecided_networks_get_seeds(tmp_path):
    lines = [{"network": name, "learning_rate": 1e-3, "epochs": 3} for name in STUDY.networks]
    study = Study.model_validate(STUDY.model_dump() | {"schedule": [*lines, lines[1] | {"epochs": 6}]})
    lab = Lab(Store(tmp_path), {"lenet": -2.0, "mcrgnet": 1.5, "radio-galaxy-zoo": 1.5})
    found = lab.until_decided(study, say=lambda _: None)
    assert {networks for networks, _ in lab.asked[1:]} <= set(permutations(("mcrgnet", "radio-galaxy-zoo")))
    seeds = {name: {r.spec.seed for r in found.records if r.spec.network.name == name} for name in lab.skills}
    assert {name: len(own) for name, own in seeds.items()} == {
        "lenet": 3,
        "mcrgnet": 9,
        "radio-galaxy-zoo": 9,
    }


def test_where_no_two_networks_can_be_compared_nothing_is_called_decided(tmp_path):
    lab = Lab(Store(tmp_path), {"lenet": 0.0})
    found = lab.until_decided(STUDY.model_copy(update={"networks": ("lenet",)}))
    assert (found.looks, found.undecided, len(lab.asked)) == (0, (), 1)
    assert found.words == "No two networks can be compared: no seeds are added."


def test_what_is_decided_at_once_gets_no_seeds(tmp_path):
    store = Store(tmp_path)
    study = STUDY.model_copy(update={"networks": ("lenet", "mcrgnet")})
    lab = Lab(store, {"lenet": -2.0, "mcrgnet": 2.0})
    found = lab.until_decided(study)
    assert (found.looks, found.undecided, len(lab.asked)) == (1, (), 1)
    assert compare(store.records()).looks == 1


def test_it_ends_when_more_seeds_would_take_too_long(tmp_path, monkeypatch):
    clock = iter(range(0, 10**6, 1800))
    monkeypatch.setattr(until_decided.time, "monotonic", lambda: float(next(clock)))
    store = Store(tmp_path)
    lab = Lab(store, {"lenet": 1.5, "mcrgnet": 1.5, "radio-galaxy-zoo": 1.5})
    found = lab.until_decided(STUDY, hours=1.2, say=lambda _: None)
    assert len(lab.asked) == 2
    assert "longer than 1.2 h" in found.why


def test_new_seeds_are_the_same_for_everybody_and_stand_in_no_study_twice():
    first, second = (until_decided._new_seeds([8901, 1826, 4915]) for _ in range(2))
    assert first == second
    assert len({8901, 1826, 4915, *first, *until_decided._new_seeds([8901, 1826, 4915, *first])}) == 7


@pytest.mark.parametrize(
    "change",
    [{"splits": ("fold-0", "fold-1")}, {"data": {"split": "becker2021"}}, {"train_limits": (100, 200)}],
)
def test_seeds_that_do_not_share_a_test_set_are_refused(tmp_path, change):
    study = Study(name="decide", networks=("lenet", "mcrgnet"), seeds=(1, 2), **change)
    with pytest.raises(SpecError, match="needs one split"):
        Lab(Store(tmp_path), {}).until_decided(study)


@pytest.mark.slow
def test_equal_networks_are_seldom_told_apart_at_any_look():
    """The same plan on drawn answers: three seeds, two more for undecided networks at each look."""
    false, cases = 0, 60
    for case in range(cases):
        rng = np.random.default_rng([case, 3])
        hard, y = rng.normal(0, 1.8, N), np.arange(N) % 4
        runs = {name: np.zeros((0, N), bool) for name in "abc"}
        adding, seeds = set(runs), 3
        for _ in range(LOOKS):
            for name in adding:
                chance = expit(1.5 + 0.2 * rng.normal(size=(seeds, 1)) - hard)
                runs[name] = np.concatenate([runs[name], rng.random((seeds, N)) < chance])
            answers = [Answers(name, y, right, ("published",) * len(right)) for name, right in runs.items()]
            pairs = recognition_differences(answers, 0.95, looks=LOOKS).pairs
            adding, seeds = {name for p in pairs if not p.separable for name in (p.first, p.second)}, 2
            if any(pair.separable for pair in pairs):
                false += 1
                break
    assert false / cases <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / cases)
