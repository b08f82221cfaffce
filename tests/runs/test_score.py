"""Predictions made elsewhere: matched, checked, stored as a run, and compared with runs that were trained here."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.metrics import balanced_accuracy_score, log_loss

import rgbench
from rgbench.comparison.groups import comparable_groups, group_records
from rgbench.comparison.label_errors import out_of_sample
from rgbench.data.catalogue import CLASSES, Card, Catalogue, DataSet
from rgbench.data.own.predicted import PredictedColumns
from rgbench.errors import DataError, LeakageError, RgbenchError, SpecError
from rgbench.measures.best import best_on_validation
from rgbench.measures.catalogue import metrics
from rgbench.report.html import write_page
from rgbench.runs.find import find_runs
from rgbench.runs.reopen import StoredRun
from rgbench.runs.score import ScoreSpec, Stated, score
from rgbench.spec import DataSpec, ScoredSpec, Study, resolve
from rgbench.store.costs import take_measured
from rgbench.store.store import RunRecord, Store
from rgbench.store.tables import MODELS, Predictions, concatenate

N = 60
SIDES = np.array(["train"] * 20 + ["validation"] * 16 + ["test"] * 24)
VALIDATION, TEST = np.flatnonzero(SIDES == "validation"), np.flatnonzero(SIDES == "test")
BOTH = np.flatnonzero(SIDES != "train")


@pytest.fixture(scope="module")
def data() -> DataSet:
    """Sources a degree apart, in turn of each class."""
    names = np.array([f"J{i:02d}" for i in range(N)])
    catalogue = Catalogue(
        names, np.arange(N) * 1.0, np.zeros(N), np.arange(N) % 4, np.arange(N), names, np.zeros(N, np.int64)
    )
    images = np.random.default_rng(0).integers(0, 255, (N, 32, 32), dtype=np.uint8)
    return DataSet(Card("toy", "Toys", pixel_scale=1.8), catalogue, images, {"published": SIDES})


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


def toy(**changes) -> ScoreSpec:
    return ScoreSpec(data=DataSpec(name="toy"), **changes)


def numbers(rows=TEST, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return softmax(1.5 * np.eye(4)[rows % 4] + rng.normal(size=(len(rows), 4)), axis=1)


def table(rows=TEST, seed: int = 0, head: str = "p_") -> dict:
    p = numbers(rows, seed)
    return {
        "source_id": [f"J{i:02d}" for i in rows],
        **{f"{head}{c}": p[:, k] for k, c in enumerate(CLASSES)},
    }


def classes_of(rows=TEST, seed: int = 0) -> dict:
    said = numbers(rows, seed).argmax(axis=1)
    return {"source_id": [f"J{i:02d}" for i in rows], "predicted": np.array(CLASSES)[said]}


def trained(
    data, networks=("convxpress", "mcrgnet"), protocol="modern", seeds=(1, 2), limit=None
) -> list[RunRecord]:
    """Runs as if they had been trained on the data."""
    study = Study(
        name="s",
        networks=networks,
        seeds=seeds,
        protocol=protocol,
        data={"name": "toy", "train_limit": limit},
    )
    records = []
    for spec in resolve(study, data.checksum, (32, 32), 1.8):
        parts = []
        for model in MODELS:
            for side, rows in (("validation", VALIDATION), ("test", TEST)):
                n, skill = len(rows), 1 + len(spec.network.name) / 10
                noise = np.random.default_rng([spec.seed, len(side), len(spec.network.name)]).normal(
                    size=(n, 4)
                )
                parts.append(
                    Predictions(
                        spec.run_id, CLASSES, "softmax", "1", data.catalogue.source_id[rows], np.full(n, side),
                        np.full(n, model), np.full(n, "clean"), np.zeros(n, np.int64), data.catalogue.label[rows],
                        (skill * np.eye(4)[rows % 4] + noise).astype(np.float32),
                    )
                )  # fmt: skip
        cost = {"parameters": 1000, "macs": 10, "inference_images_per_second": 3.0}
        records.append(RunRecord(spec.run_id, spec, "complete", predictions=concatenate(parts), cost=cost))
    return records


def test_scores_are_those_of_scikit_learn(data, store):
    record = score(table(), "My ViT", store, toy(), data).record
    row = rgbench.compare([record]).rows[0]
    y, p = TEST % 4, numbers().astype(np.float32).astype(float)
    assert row.metrics["mpca"].mean == pytest.approx(balanced_accuracy_score(y, p.argmax(axis=1)))
    assert row.metrics["nll"].mean == pytest.approx(log_loss(y, p / p.sum(axis=1, keepdims=True)), rel=1e-6)
    assert (row.network, row.n_test, row.elsewhere, row.status) == ("My ViT", 24, True, "ok")
    assert record.history == {}
    assert record.cost == {}
    assert record.provenance.keys() == {"written", "versions"}


def test_scoring_again_changes_nothing_whatever_the_order_and_the_format(data, store, tmp_path):
    first = score(table(), "My ViT", store, toy(), data)
    files = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in store.run_path(first.record.run_id).iterdir()}
    shuffled = {key: np.array(values)[::-1] for key, values in table().items()}
    path = tmp_path / "t.csv"
    lines = [",".join(shuffled), *(",".join(map(str, row)) for row in zip(*shuffled.values(), strict=True))]
    path.write_text("\n".join(lines))
    for again in (score(shuffled, "My ViT", store, toy(), data), score(path, "My ViT", store, toy(), data)):
        assert not again.is_new
        assert again.record.run_id == first.record.run_id
    assert {
        p: (p.read_bytes(), p.stat().st_mtime_ns) for p in store.run_path(first.record.run_id).iterdir()
    } == files


def test_the_id_is_that_of_content_name_seed_and_data_and_stays(data, store, tmp_path):
    record = score(table(), "My ViT", store, toy(stated=Stated("ImageNet", 5, "a", "b")), dataset=data).record
    plain = score(table(), "My ViT", Store(tmp_path / "other"), toy(), data).record
    assert record.run_id == plain.run_id == record.spec.run_id
    # Golden: ids of stored runs must stay.
    spec = ScoredSpec(
        data={"name": "toy", "checksum": "c"},
        network={"name": "n"},
        seed=3,
        elsewhere={"table": "t", "outputs": "classes"},
    )
    assert spec.run_id == "1445f10bc1437006"
    assert record.cost == {"parameters": 5}
    others = [
        score(table(), "Other", store, toy(), data),
        score(table(), "My ViT", store, toy(seed=1), data),
        score(table(seed=1), "My ViT", store, toy(seed=2), data),
        score(table(BOTH), "Third", store, toy(), data),
    ]
    assert len({record.run_id, *(each.record.run_id for each in others)}) == 5


def test_nothing_is_replaced_unasked(data, store):
    first = score(table(), "My ViT", store, toy(), data).record
    with pytest.raises(SpecError, match="other predictions of the same name, seed and data.*--overwrite"):
        score(table(seed=1), "My ViT", store, toy(), data)
    with pytest.raises(SpecError, match="something else is stated"):
        score(table(), "My ViT", store, toy(stated=Stated("ImageNet")), data)
    assert store.run_ids() == [first.run_id]
    said = score(
        table(), "My ViT", store, toy(stated=Stated("ImageNet"), overwrite=True), dataset=data
    ).record
    assert said.spec.elsewhere.trained_on == "ImageNet"
    other = score(table(seed=1), "My ViT", store, toy(overwrite=True), data).record
    assert store.run_ids() == [other.run_id] != [first.run_id]


def test_a_trained_run_never_gives_way(data, store):
    (run, *_) = trained(data, ("mcrgnet",), seeds=(1,))
    with store.claim(run.spec) as directory:
        directory.write_status("complete")
    with pytest.raises(SpecError, match="is a network of rgbench"):
        score(table(), "MCRGNet", store, toy(seed=1, overwrite=True), data)
    with pytest.raises(SpecError, match="is a network of rgbench"):
        score(table(), "VGG16_D_real", store, toy(), data)  # an alias, with other capitals
    own = run.spec.model_copy(update={"network": run.spec.network.model_copy(update={"name": "own net"})})
    with store.claim(own) as directory:
        directory.write_status("complete")
    with pytest.raises(SpecError, match="was trained here under this name"):
        score(table(), "Own Net", store, toy(seed=1, overwrite=True), data)


@pytest.mark.parametrize("name", ["", " x", "a\nb", "x" * 61])
def test_names_that_cannot_be_printed(data, store, name):
    with pytest.raises(SpecError, match="--name"):
        score(table(), name, store, toy(), data)


def test_missing_sources_are_named_and_only_asked_for_left_out(data, store):
    with pytest.raises(
        DataError, match="2 of 24 test sources of toy, split published, are missing: J36 and J37"
    ):
        score(table(TEST[2:]), "Part", store, toy(), data)
    assert store.run_ids() == []
    part = score(table(TEST[2:]), "Part", store, toy(partial=True), data)
    assert "J36 and J37" in part.remarks[0]
    assert part.remarks[0] in part.record.notes[0]
    with pytest.raises(DataError, match="24 of 24 test sources"):
        score(table(VALIDATION), "None", store, toy(partial=True), data)


def test_a_part_of_the_sources_never_leads_nor_is_compared(data, store):
    y = np.eye(4)[TEST[:8] % 4]
    perfect = {"source_id": data.catalogue.source_id[TEST[:8]], **dict(zip(CLASSES, y.T, strict=True))}
    part = score(perfect, "Part", store, toy(partial=True), data).record
    found = rgbench.compare([part, *trained(data)])
    assert [row.network for row in found.rows][-1] == "Part"
    assert found.rows[-1].metrics["mpca"].mean == 1
    assert {pair.first for pair in found.pairs} | {pair.second for pair in found.pairs} == {
        "convxpress",
        "mcrgnet",
    }
    assert any("Part was tested on other sources" in line for line in found.words)


def test_unknown_silent_and_double_rows_are_said_by_name(data, store):
    rows = table(BOTH)
    rows["source_id"] += ["J99", "J36", "J00"]
    for name in CLASSES:
        rows[f"p_{name}"] = [*rows[f"p_{name}"], 0.25, rows[f"p_{name}"][16], 0.25]
    found = score(rows, "Told", store, toy(), data)
    assert [remark for remark in found.remarks if "J99" in remark] == [
        "1 row of the table mean no source of toy: J99."
    ]
    assert any("J36" in remark and "twice" in remark for remark in found.remarks)
    assert any("training sources: passed over" in remark for remark in found.remarks)
    rows["p_FRI"][-2], rows["p_FRII"][-2] = rows["p_FRII"][-2], rows["p_FRI"][-2]
    with pytest.raises(DataError, match=r"1 source stand.*different values: J36 \(rows 17 and 42\)"):
        score(rows, "Told", store, toy(), data)
    silent = table()
    for name in CLASSES:
        silent[f"p_{name}"] = silent[f"p_{name}"].copy()
        silent[f"p_{name}"][3] = np.nan
    with pytest.raises(DataError, match="1 of 24 test sources .* missing: J39"):
        score(silent, "Silent", store, toy(), data)


def test_positions_do_for_names(data, store):
    by_name = score(table(), "Named", store, toy(), data).record
    placed = table() | {"ra": TEST + 3 / 3600, "dec": np.full(len(TEST), 1e-4)}
    del placed["source_id"]
    found = score(placed, "Placed", store, toy(), data)
    assert "24 rows of the table were matched by position, within 5 arcsec." in found.remarks
    np.testing.assert_array_equal(found.record.predictions.logits, by_name.predictions.logits)
    with pytest.raises(DataError, match="no row of the table is a source of toy"):
        score(placed, "Tight", store, toy(tolerance=1), data)


def test_validation_sources_are_taken_whole_or_not_at_all(data, store):
    whole = score(table(BOTH), "Whole", store, toy(), data).record
    assert len(whole.predictions.select("validation", "best")) == len(VALIDATION)
    half = score(table(BOTH[3:]), "Half", store, toy(), data)
    assert "13 validation sources of the table are left out, as 3 others are missing" in half.remarks[0]
    assert len(half.record.predictions.select("validation", "best")) == 0


def test_training_sources_near_test_sources_are_refused(data, store, tmp_path):
    path = tmp_path / "train.csv"

    def scored(text: str):
        path.write_text(text)
        return score(table(), "Leaky", store, toy(training_sources=path), data)

    with pytest.raises(LeakageError, match=r"J40 \(test\) and J40 \(train\)"):
        scored("source_id\nJ01\nJ40\n")
    with pytest.raises(LeakageError, match=r"J41 \(test\) and mine \(train\)"):
        scored(f"id,ra,dec\nmine,{41 + 50 / 3600},0\nfar,41.5,0\n")
    near = data.catalogue.group.copy()
    near[3] = near[50]
    grouped = replace(data, catalogue=replace(data.catalogue, group=near), splits={"published": SIDES.copy()})
    path.write_text("source_id\nJ03\n")
    with pytest.raises(LeakageError, match=r"J50 \(test\) and J03 \(train\)"):
        score(table(), "Leaky", store, toy(training_sources=path), grouped)
    assert store.run_ids() == []
    found = scored("source_id,ra,dec\nJ01,,\nmine,41.5,0\nunknown,,\n")
    assert (
        "lists 3 training sources, of which 1 is a source of toy. None is a test source" in found.remarks[-1]
    )
    assert "1 source of it have no position and are none of toy: unknown" in found.remarks[-1]


def test_training_sources_that_are_none_of_the_data_are_doubted(data, store, tmp_path):
    path = tmp_path / "train.csv"

    def said(rows: list[str]) -> str:
        path.write_text("\n".join(rows))
        return score(table(), "Told", store, toy(training_sources=path), data).remarks[-1]

    degrees = ["ra,dec", *(f"{i}.0,0.0" for i in range(1, 19))]
    assert "lists 18 training sources, of which 18 are sources of toy. None is" in said(degrees)
    hours = ["ra,dec", *(f"{i / 15},0.001" for i in range(1, 10, 2))]
    assert "none of them is a source of toy: are the positions in degrees?" in said(hours)
    assert "none of them is a source of toy: sources are called as 'J00'" in said(["id", "X1", "X2"])


@pytest.mark.parametrize("make", ["probabilities", "classes"])
def test_predictions_that_are_all_right_are_doubted(data, store, make):
    truth = TEST % 4
    own = {"class": np.array(CLASSES)[truth]}
    if make == "probabilities":
        own = {f"p_{name}": (truth == k) * 1.0 for k, name in enumerate(CLASSES)}
    names = {"source_id": [f"J{i:02d}" for i in TEST]}
    said = "The predicted class is the published label of all 24 test sources: is that the column of the true classes?"
    found = score(names | own, "Oracle", store, toy(), data)
    assert said in found.remarks
    assert any(said in note for note in found.record.notes)
    assert not any(
        "published label" in remark for remark in score(table(), "Model", store, toy(), data).remarks
    )


def test_rows_that_lie_elsewhere_than_the_source_they_name_are_said(data, store):
    shifted = table() | {"ra": TEST * 1.0, "dec": np.zeros(len(TEST))}
    plain = score(shifted, "Plain", store, toy(), data)
    assert not any("arcsec from" in remark for remark in plain.remarks)
    shifted["ra"] = np.roll(shifted["ra"], 1)
    shifted["ra"][5], shifted["dec"][5] = np.nan, np.nan
    shifted["ra"][6] = TEST[6] + 4.9 / 3600
    found = score(shifted, "Rolled", store, toy(), data)
    assert (
        "22 rows lie more than 5 arcsec from the source that they name, e.g. J36; names decide."
        in found.remarks
    )
    np.testing.assert_array_equal(found.record.predictions.logits, plain.record.predictions.logits)


def test_ties_are_counted(data, store):
    tied = table()
    for name, value in zip(CLASSES, (0.1, 0.4, 0.4, 0.1), strict=True):
        tied[f"p_{name}"][[2, 7, 9]] = value
    said = "In 3 rows two classes have the same highest probability; the first of them in the order of the data set"
    found = score(tied, "Tied", store, toy(), data)
    assert any(said in remark for remark in found.remarks)
    assert not any("same highest" in remark for remark in score(table(), "Free", store, toy(), data).remarks)


def test_one_table_under_two_seeds_is_doubted(data, store):
    first = score(table(), "My ViT", store, toy(seed=1), data)
    assert not any("seed" in remark for remark in first.remarks)
    second = score(table(), "My ViT", store, toy(seed=2), data)
    said = "Seed 1 of this model has the same predictions: seeds must be runs that were trained anew."
    assert said in second.remarks
    assert said in second.record.notes[-1]
    third = score(table(), "My ViT", store, toy(seed=3), data)
    assert any(remark.startswith("Seeds 1 and 2 of this model have") for remark in third.remarks)
    for other in (
        score(table(seed=5), "My ViT", store, toy(seed=4), data),
        score(table(), "Other", store, toy(seed=5), data),
    ):
        assert not any("of this model" in remark for remark in other.remarks)


def test_rows_that_may_be_the_missing_ones_are_named_in_the_error(data, store):
    rows = table()
    rows["source_id"][0] = "J36x"
    for name in CLASSES:
        rows[f"p_{name}"][1] = np.nan
    said = (
        "2 of 24 test sources .* missing: J36 and J37. 1 row of the table mean no source of toy: J36x. 1 row say "
        "nothing: J37. A score on a part"
    )
    with pytest.raises(DataError, match=said):
        score(rows, "Lost", store, toy(), data)
    for name in CLASSES:
        rows[f"p_{name}"][:] = np.nan
    with pytest.raises(DataError, match="24 of 24 test sources .* 23 rows say nothing: J37"):
        score(rows, "Lost", store, toy(partial=True), data)


def test_a_score_that_fails_makes_no_store(data, tmp_path):
    train = tmp_path / "train.csv"
    train.write_text("source_id\nJ40\n")
    for name, rows, spec in (
        ("mcrgnet", table(), toy()),
        ("Short", table(TEST[1:]), toy()),
        ("Half", {"source_id": ["J36"]}, toy()),
        ("Leaky", table(), toy(training_sources=train)),
        ("Stated", table(), toy(stated=Stated(parameters=-1))),
    ):
        with pytest.raises(RgbenchError):
            score(rows, name, tmp_path / "store", spec, data)
        assert not (tmp_path / "store").exists(), name
    assert score(table(), "Whole", tmp_path / "store", toy(), data).is_new


def test_classes_alone_have_no_calibration(data, store):
    record = score(classes_of(), "Voter", store, toy(), data).record
    same = score(table(), "Prober", store, toy(), data).record
    found = rgbench.compare([record, same])
    rows = {row.network: row for row in found.rows}
    known = {name for name, each in rows["Voter"].metrics.items() if np.isfinite(each.mean)}
    assert known == {"mpca", "accuracy", "macro_f1", "macro_f1_2021", "mcc"}
    for name in known:
        np.testing.assert_equal(astuple(rows["Voter"].metrics[name]), astuple(rows["Prober"].metrics[name]))
    assert set(found.failed) == {name for name, _ in metrics()} - known
    assert all("only classes are known of Voter" in why for why in found.failed.values())
    by_loss = rgbench.compare([record, same], metric="nll")
    assert [row.network for row in by_loss.rows] == ["Prober", "Voter"]
    assert by_loss.pairs == ()
    with pytest.raises(DataError, match="no complete run has predictions"):
        out_of_sample([record])


def test_it_stands_beside_the_networks_of_every_protocol(data, store):
    modern, sky = trained(data), trained(data, protocol="sky")
    mine = [score(table(seed=s), "My ViT", store, toy(seed=s), data).record for s in (1, 2)]
    groups = group_records([*mine, *modern, *sky])
    assert [len(group) for group in groups] == [6, 6]
    assert all(group[-2:] == mine for group in groups)
    assert [len(lead) for lead, _ in comparable_groups([*mine, *modern])] == [6]
    limited = trained(data, limit=8)
    assert [len(group) for group in group_records([*mine, *limited])] == [4, 2]
    assert [len(lead) for lead, _ in comparable_groups([*mine, *limited, *modern])] == [6]
    found = rgbench.compare([*mine, *modern])
    assert {row.network: row.n_seeds for row in found.rows} == {"My ViT": 2, "convxpress": 2, "mcrgnet": 2}
    assert len(found.pairs) == 3


def test_one_name_for_two_kinds_of_runs_is_refused(data, store):
    mine = score(table(), "My ViT", store, toy(), data).record
    (run,) = trained(data, ("mcrgnet",), seeds=(1,))
    spec = run.spec.model_copy(update={"network": run.spec.network.model_copy(update={"name": "My ViT"})})
    with pytest.raises(SpecError, match="some of its runs were trained here"):
        rgbench.compare([mine, replace(run, spec=spec)])


def test_whoever_needs_weights_says_that_there_are_none(data, store):
    record = score(table(BOTH), "My ViT", store, toy(), data).record
    score(table(BOTH, 1), "My ViT", store, toy(seed=1), data)
    said = rf"^run My ViT seed 0 \({record.run_id[:8]}\) holds predictions made elsewhere and has no weights$"
    for run in (record, record.run_id):
        with pytest.raises(SpecError, match=said):
            StoredRun(run, store)
    assert [each.spec.seed for each in find_runs(store, "my vit")] == [0, 1]
    with pytest.raises(DataError, match="no complete run"):
        best_on_validation([record])
    assert take_measured([record], store.root) == [record]


def test_logits_of_a_sigmoid_or_softmax_are_kept_as_given(data, store):
    logits = np.random.default_rng(5).normal(size=(len(TEST), 4)) * 9
    said = {"source_id": data.catalogue.source_id[TEST], **dict(zip(CLASSES, logits.T, strict=True))}
    spec = toy(columns=PredictedColumns(given="logits"))
    record = score(said, "Logits", store, spec, data).record
    test = record.predictions.select("test", "best")
    np.testing.assert_allclose(
        test.log_probabilities(), log_softmax(logits.astype(np.float32).astype(float), axis=1), rtol=1e-5
    )


@pytest.mark.parametrize("classes_only", [False, True])
def test_the_report_has_it_in_every_section_that_it_suffices_for(data, store, tmp_path, classes_only):
    stated = Stated("1,000 sources of <b>LoTSS</b>", 86_000_000, "https://example.org/vit", "")
    made = classes_of if classes_only else table
    mine = score(made(), "My ViT", store, toy(stated=stated), data).record
    whole = score(table(BOTH, 3), "Whole", store, toy(), data).record
    records = [*trained(data), mine, whole]
    comparisons = {model: rgbench.compare(records, model=model) for model in MODELS}
    text = write_page(tmp_path / "r.html", comparisons, records).read_text()
    assert "The predictions of My ViT and Whole were made elsewhere" in text.replace(
        "Whole and My ViT", "My ViT and Whole"
    )
    assert "1,000 sources of &lt;b&gt;LoTSS" in text
    assert "https://example.org/vit" in text
    lacking = "no probabilities" if classes_only else "no validation sources"
    assert f"Left out: My ViT, of which {lacking} are known." in text
    assert "Left out: Whole" not in text
    assert ("only classes are known of My ViT" in text) is classes_only
    assert "All runs: " in text or "Settings that all runs share" in text


def test_a_report_of_nothing_but_predictions_made_elsewhere(data, store, tmp_path):
    mine = [score(classes_of(seed=s), f"Model {s}", store, toy(), data).record for s in (1, 2)]
    text = write_page(tmp_path / "r.html", {"best": rgbench.compare(mine)}, mine).read_text()
    assert "Model 1" in text
    assert "none has probabilities of validation and test sources" in text
