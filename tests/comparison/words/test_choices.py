"""What a report says of the choices behind its scores: who was tuned, with which budgets, on which sources."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rgbench.comparison.summary import compare
from rgbench.comparison.words.choices import choices_by_run, method_words, touched_words, with_choices
from rgbench.data.sets.first_galaxy_data import sources
from rgbench.data.split import published_split
from rgbench.errors import StoreError
from rgbench.spec import Study, resolve


def specs(*networks, **more):
    return resolve(Study(name="s", networks=networks, seeds=(1, 2), **more), "")


def on_folds(record, data):
    """Give a run as if it had been tested on the test sources of the folds."""
    rows = published_split(data, "fold-0").indices("test")[: len(record.predictions.source_id)]
    table = record.predictions
    names = table.source_id.astype("<U40").copy()
    tested = np.flatnonzero(table.split == "test")
    names[tested] = data.catalogue.source_id[rows[: len(tested)]]
    return replace(record, predictions=replace(table, source_id=names))


def test_unequal_budgets_and_an_edge_are_told():
    said = " ".join(method_words(specs("convxpress", "mcrgnet", "simplenet", "toothless"), ()))
    assert "for convxpress from 4 values with 1 seed and for mcrgnet from 4 values with 2 seeds" in said
    assert "(0.004, the largest, was taken)" in said
    assert "simplenet and toothless have the protocol's. So budgets of tuning were not equal." in said
    assert "convxpress, mcrgnet and radio-galaxy-zoo judged them." in said
    assert said.endswith("No test source judged a choice that is recorded.")


def test_equal_budgets_are_not_called_unequal():
    said = " ".join(method_words(specs("mcrgnet", "radio-galaxy-zoo"), ()))
    assert "from 4 values with 2 seeds" in said
    assert "not equal" not in said
    assert "not equal" in " ".join(method_words(specs("mcrgnet", "simplenet"), ()))


def test_what_was_chosen_of_one_network_is_told_of_it_alone():
    said = method_words(specs("rg-resnet", "rg-convnext"), ())
    (alike,) = (each for each in said if "alike" in each)
    assert "dropout before its output" not in alike
    published, fold = (
        "first-galaxy-data, split 'published'",
        "first-galaxy-data, split 'fold-0', without the test sources of 'published'",
    )
    assert said[-3:-1] == [
        "Of the network rg-resnet what goes into its dense layers and dropout before its output were chosen on "
        f"validation sources ({published}; {fold}).",
        "Of the network rg-convnext dropout before its output was chosen with rg-resnet on validation sources "
        f"({fold}).",
    ]


def test_what_was_not_chosen_is_not_told_of():
    said = method_words(specs("simplenet", protocol="becker2021"), ("Nobody knows.",))
    assert said == ["Nobody knows."]
    said = " ".join(method_words(specs("mcrgnet", recipe={"learning_rate": 1e-3}), ()))
    assert "learning rate" not in said, "the study's own rate is no choice of the protocol"


def test_the_answer_says_which_test_sources_judged(make_run):
    data = sources()
    records = [on_folds(make_run("mcrgnet", seed, 0.8), data) for seed in (1, 2)]
    (said,) = touched_words(records, data)
    judged = int(said.split()[0])
    assert 0 < judged < 56
    assert f"{judged} of the 200 test sources (J" in said
    found = with_choices(compare(records), records, data)
    assert found.words[-1] == said


def test_what_was_chosen_for_a_study_is_told_of_its_runs(make_run):
    data = sources()
    choice = {
        "what": "stretch of my own",
        "data": "first-galaxy-data",
        "splits": ["published"],
        "tried": ["lenet"],
    }
    plain = on_folds(make_run("mcrgnet", 1, 0.8), data)
    record = replace(plain, provenance=plain.provenance | {"choices": [choice]})
    assert choices_by_run([plain, record]) == {record.run_id: record.choices}
    said = method_words([record.trained], touched_words([record], data), choices_by_run([record]))
    assert "Of this study stretch of my own was chosen for all networks alike; lenet judged it." in said
    assert any("judged choices of this study: stretch of my own was chosen" in each for each in said)
    assert "this study" not in " ".join(touched_words([plain], data))
    broken = replace(plain, provenance=plain.provenance | {"choices": [{"what": ""}]})
    with pytest.raises(StoreError, match=f"run {plain.run_id}: choices 1.*run.json is damaged"):
        choices_by_run([broken])


@pytest.mark.parametrize("protocol", ["modern", "sky"])
def test_without_the_data_nobody_knows(make_run, protocol):
    record = make_run("mcrgnet", 1, 0.8)
    record = replace(record, spec=record.spec.model_copy(update={"protocol": protocol}))
    (said,) = touched_words([record], None)
    of = f"of the protocol {protocol}"
    assert said == f"Whether test sources took part in choices {of} cannot be said: the data are not at hand."
