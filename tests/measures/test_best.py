"""The best run is that whose saved model does best on validation sources: one rule for all who name it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rgbench.comparison.ensembles import choose_subsets
from rgbench.comparison.members import side_of
from rgbench.errors import DataError
from rgbench.measures.best import best_on_validation, chosen_run, validation_rows
from rgbench.measures.classification import mpca, nll
from rgbench.store.store import RunRecord, Store
from rgbench.store.tables import concatenate


@pytest.fixture
def made(make_run):
    """Make a run with predictions of validation sources, by its best and its final model."""

    def make(seed: int, best: float, final: float = 0.5, peak: float = 0.5) -> RunRecord:
        base = make_run("lenet", seed, 0.6)
        tables = [base.predictions]
        for model, skill in (("best", best), ("final", final)):
            own = make_run("lenet", seed, skill, n=80, test_seed=9).predictions
            side = np.full(80, "validation")
            tables.append(replace(own, split=side, model=np.full(80, model)))
        history = {"validation_accuracy": np.array([peak, 0.3])}
        return replace(base, predictions=concatenate(tables), history=history)

    return make


def test_the_saved_model_decides_not_the_best_epoch_nor_the_final_model_nor_the_test(made):
    lucky = made(1, best=0.6, final=0.99, peak=0.99)
    good = made(2, best=0.9, final=0.3, peak=0.5)
    assert best_on_validation([lucky, good]) is good
    assert best_on_validation([good, lucky]) is good


def test_it_is_the_mpca_of_the_stored_rows_with_the_nll_and_the_id_where_they_are_equal(made):
    runs = [made(seed, best=0.7) for seed in range(5)]
    rows = [validation_rows(run) for run in runs]
    keys = [(-mpca(r.label, r.logits), nll(r.label, r.logits)) for r in rows]
    assert best_on_validation(runs) is runs[min(range(5), key=keys.__getitem__)]
    twin = replace(runs[0], run_id="0" * 16)
    assert best_on_validation([runs[0], twin]) is best_on_validation([twin, runs[0]]) is twin


def test_the_report_names_the_same_run(made):
    runs = [made(seed, best=0.7) for seed in range(6)]
    (choice,) = choose_subsets(side_of(runs, "validation"), metric="mpca", largest=1)
    assert runs[choice.index[0]] is best_on_validation(runs)


def test_a_run_that_diverged_is_never_the_best(made):
    good, bad = made(1, best=0.3), made(2, best=0.9)
    broken = replace(bad, predictions=replace(bad.predictions, logits=bad.predictions.logits * np.nan))
    assert best_on_validation([broken, good]) is good


def test_without_validation_rows_there_is_no_best(made, make_run):
    only_test = make_run("lenet", 1, 0.9)
    for records in ([], [only_test], [replace(made(1, 0.9), status="failed")]):
        with pytest.raises(DataError, match="no complete run with its predictions"):
            best_on_validation(records)


def test_the_chosen_run_is_the_best(made, monkeypatch, tmp_path):
    runs = [made(1, 0.5), made(2, 0.9)]
    monkeypatch.setattr(Store, "records", lambda self, on_damage: runs)
    assert chosen_run(Store(tmp_path)) is runs[1]
