"""A bundle holds what others need, in the same bytes each time; what is wrong with one is said in a sentence."""

from __future__ import annotations

import hashlib
import io
import json
import re
import stat
import struct
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rgbench.bundles.manifest import FORMAT, MANIFEST
from rgbench.bundles.read import read_bundle
from rgbench.bundles.statements import Stated, check_statements, external_data, statements
from rgbench.bundles.write import BundleSpec, write_bundle
from rgbench.errors import ChecksumError, DataError, RgbenchError, SpecError, StoreError
from rgbench.store.digest import is_digest_of
from rgbench.store.store import Store
from rgbench.store.tables import concatenate, write_predictions
from rgbench.tasks.catalogue import tasks

TASK = "rgbench/first-4class@1"
JANE = Stated("Jane Doe")


@pytest.fixture(scope="module")
def store(filled_store, tmp_path_factory):
    return filled_store(tmp_path_factory.mktemp("store"), {"lenet": 0.7, "mcrgnet": 0.8}, seeds=(1, 2))


@pytest.fixture(scope="module")
def bundle(store, tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "results.zip"
    write_bundle(store, path, BundleSpec(JANE, tasks().get(TASK)))
    return path


def members(path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(path, contents, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def resigned(contents: dict[str, bytes], **changes) -> dict[str, bytes]:
    """Give files with a manifest that fits them, as whoever forges a bundle would."""
    manifest = json.loads(contents[MANIFEST]) | changes
    manifest["files"] = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in contents.items()
        if name != MANIFEST
    }
    return {MANIFEST: json.dumps(manifest).encode()} | {k: v for k, v in contents.items() if k != MANIFEST}


def test_the_same_store_gives_the_same_bytes(store, bundle, tmp_path):
    other = tmp_path / "other.zip"
    write_bundle(Store(store.root), other, BundleSpec(JANE, tasks().get(TASK)))
    assert other.read_bytes() == bundle.read_bytes()


def test_every_file_has_its_checksum_and_no_weights_are_there(bundle):
    contents = members(bundle)
    manifest = json.loads(contents.pop(MANIFEST))
    assert manifest["version"] == FORMAT
    assert {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()} == {
        name: each["sha256"] for name, each in manifest["files"].items()
    }
    assert {name.rpartition("/")[2] for name in contents} == {
        "cards.json", "run.json", "cost.json", "predictions.parquet", "history.parquet", "conditions.parquet",
    }  # fmt: skip


def test_what_was_written_is_read(store, bundle):
    found = read_bundle(bundle)
    assert found.task == tasks().get(TASK)
    assert found.sha256 == hashlib.sha256(bundle.read_bytes()).hexdigest()
    for record in found.records:
        own = store.record(record.run_id)
        assert record.spec == own.spec
        assert record.provenance == own.provenance
        np.testing.assert_array_equal(record.predictions.logits, own.predictions.logits)
        np.testing.assert_array_equal(record.history["train_loss"], own.history["train_loss"])
        assert record.run_id in found.conditions
    assert [(each.network, each.external_data, each.by) for each in found.manifest.statements] == [
        ("lenet", "no", "Jane Doe"),
        ("mcrgnet", "no", "Jane Doe"),
    ]


def test_weights_are_taken_if_they_are_asked_for(filled_store, tmp_path):
    made = filled_store(tmp_path / "s", {"lenet": 0.7}, seeds=(1, 2))
    for run_id in made.run_ids():
        (made.run_path(run_id) / "best.safetensors").write_bytes(b"weights")
    for weights in (False, True):
        path = tmp_path / f"{weights}.zip"
        write_bundle(made, path, BundleSpec(JANE, weights=weights))
        assert sum(name.endswith("best.safetensors") for name in members(path)) == 2 * weights
        assert len(read_bundle(path).records) == 2


def test_runs_with_nothing_but_predictions_are_taken(filled_store, tmp_path):
    made = filled_store(tmp_path / "s", {"lenet": 0.7}, seeds=(1,), elsewhere=("lenet",))
    write_bundle(made, tmp_path / "b.zip", BundleSpec(JANE, tasks().get(TASK)))
    (statement,) = read_bundle(tmp_path / "b.zip").manifest.statements
    assert (statement.external_data, statement.external_words) == (
        "not known",
        "it was not trained by rgbench",
    )


def test_no_path_of_this_machine_is_in_it(filled_store, tmp_path):
    data = {"name": "mine", "path": "/home/jane/secret", "manifest": "/home/jane/m.csv"}
    made = filled_store(tmp_path / "s", {"lenet": 0.7}, seeds=(1,), data=data)
    with made.claim(made.records()[0].spec.model_copy(update={"seed": 2})) as directory:
        directory.write_status("failed", error="/home/jane/secret/a.fits: cannot be read")
    manifest = write_bundle(made, tmp_path / "b.zip", BundleSpec(JANE))
    assert [(each.seed, each.why) for each in manifest.left_out] == [(2, "is not complete: failed")]
    assert b"jane/" not in (tmp_path / "b.zip").read_bytes()
    assert read_bundle(tmp_path / "b.zip").records[0].spec.data.name == "mine"


def test_only_runs_of_the_task_are_taken_and_the_others_are_named(filled_store, tmp_path):
    made = filled_store(tmp_path / "s", {"lenet": 0.7}, seeds=(1,))
    filled_store(tmp_path / "s", {"lenet": 0.7}, seeds=(2,), data={"split": "fold-0"})
    manifest = write_bundle(made, tmp_path / "b.zip", BundleSpec(JANE, tasks().get(TASK)))
    assert [(each.seed, each.why) for each in manifest.left_out] == [
        (2, "has the split fold-0, the task published")
    ]
    assert len(read_bundle(tmp_path / "b.zip").records) == 1


def test_a_store_without_a_run_of_the_task_says_why(filled_store, tmp_path):
    made = filled_store(tmp_path / "s", {"lenet": 0.7}, seeds=(2,), data={"split": "fold-0"})
    with pytest.raises(
        DataError, match=r"none of its 1 runs is of rgbench/first-4class@1; run .* has the split fold-0"
    ):
        write_bundle(made, tmp_path / "b.zip", BundleSpec(JANE, tasks().get(TASK)))
    assert not (tmp_path / "b.zip").exists()


def test_nothing_is_overwritten_unasked(store, tmp_path):
    (tmp_path / "b.zip").write_text("mine")
    with pytest.raises(SpecError, match="is there already"):
        write_bundle(store, tmp_path / "b.zip", BundleSpec(JANE))
    write_bundle(store, tmp_path / "b.zip", BundleSpec(JANE, overwrite=True))
    assert read_bundle(tmp_path / "b.zip").task is None


# --- what was seen in training ----------------------------------------------------------------------------


def changed(record, part, **update):
    spec = record.spec
    return replace(record, spec=spec.model_copy(update={part: getattr(spec, part).model_copy(update=update)}))


def test_what_runs_tell_of_their_training(store):
    record, task = store.records()[0], tasks().get(TASK)
    cases = {
        ("no", ""): record,
        ("yes", "its training began with other weights"): changed(record, "network", weights="a" * 64),
        ("yes", "its training labels are votes of several catalogues"): changed(
            record, "recipe", labels="consensus"
        ),
        ("yes", "it was trained on mirabest"): changed(record, "data", name="mirabest", test=task.data),
        ("not known", "its code is in another package, whose weights may be trained ones"): changed(
            record, "network", name="timm:resnet18"
        ),
        ("not known", "it was not trained by rgbench"): replace(record, history={}),
    }
    for told, each in cases.items():
        assert external_data([each], task) == told


def test_somebody_must_state_it_and_may_not_contradict_the_runs(store):
    records = store.records()
    with pytest.raises(SpecError, match="--by"):
        statements(records, Stated(" "))
    with pytest.raises(SpecError, match=r"--external: found the network 'vgg'; legal are .*lenet"):
        statements(records, Stated("Jane", external={"vgg": "no"}))
    tuned = [changed(record, "recipe", labels="consensus") for record in records]
    with pytest.raises(SpecError, match=r"--external lenet=no: its training labels are votes"):
        statements(tuned, Stated("Jane", external={"lenet": "no"}))
    said = statements(records, Stated("Jane", {"lenet": "ImageNet"}, {"mcrgnet": "sky"}))
    assert {each.network: (each.external_data, each.external_words, each.trained_on) for each in said} == {
        "lenet": (
            "yes",
            "ImageNet",
            "the training side of first-galaxy-data, split published, 1,758 sources",
        ),
        "mcrgnet": ("no", "", "sky"),
    }


def test_a_task_that_allows_no_external_data_is_held_to(store):
    records, task = store.records(), tasks().get(TASK)
    strict = task.model_copy(update={"rules": task.rules.model_copy(update={"external_data": "no"})})
    check_statements(statements(records, JANE, strict), records, strict)
    said = statements(records, Stated("Jane", {"lenet": "ImageNet"}), strict)
    check_statements(said, records, task)
    with pytest.raises(DataError, match="lenet has external data: yes; the rules of .* allow none"):
        check_statements(said, records, strict)


# --- bundles of others ------------------------------------------------------------------------------------


def refused(path, kind, said):
    with pytest.raises(kind, match=said) as caught:
        read_bundle(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert "/rgbench-bundle-" not in message, "where it lay meanwhile tells nobody anything"


def run_file(contents, ending):
    return next(name for name in contents if name.endswith(ending))


def test_a_changed_file_is_refused(bundle, tmp_path):
    contents = members(bundle)
    name = run_file(contents, "predictions.parquet")
    contents[name] = contents[name][:-9] + b"x" + contents[name][-8:]
    refused(pack(tmp_path / "b.zip", contents), ChecksumError, f"the file {name} has the SHA-256")


def test_files_too_many_or_too_few_are_refused(bundle, tmp_path):
    contents = members(bundle)
    more = pack(tmp_path / "more.zip", contents | {"more.txt": b""})
    refused(more, DataError, "holds the file 'more.txt', which its bundle.json does not list")
    name = run_file(contents, "predictions.parquet")
    del contents[name]
    refused(pack(tmp_path / "less.zip", contents), DataError, f"lacks the file {name}")


@pytest.mark.parametrize(
    "name",
    [
        "../out.txt",
        "/etc/out",
        "C:\\out",
        "runs/../../out",
        "runs/0123456789abcdef/evil.py",
        "runs/x/run.json",
    ],
)
def test_names_that_lead_elsewhere_are_refused(bundle, tmp_path, name):
    contents = members(bundle) | {name: b"x"}
    refused(pack(tmp_path / "b.zip", resigned(contents)), DataError, "refused|is no name of a file")
    unlisted = members(bundle) | {name: b"x"}
    refused(pack(tmp_path / "c.zip", unlisted), DataError, "refused|does not list")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.zip", "c.zip"]


def test_a_link_is_refused(bundle, tmp_path):
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        for name, content in members(bundle).items():
            info = zipfile.ZipInfo(name)
            if name == "cards.json":
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, content)
    refused(tmp_path / "b.zip", DataError, "is a link, device or the like")


def test_a_bomb_is_stopped_while_it_unpacks(bundle, tmp_path):
    contents = members(bundle)
    contents[run_file(contents, "history.parquet")] = bytes(60 << 20)
    path = pack(tmp_path / "b.zip", resigned(contents), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    refused(path, DataError, "unpacks to more than the limit of 16777216 bytes")


def test_a_bundle_that_somebody_packed_again_is_read(bundle, tmp_path):
    path = pack(tmp_path / "b.zip", members(bundle), zipfile.ZIP_DEFLATED)
    assert len(read_bundle(path).records) == 4


def test_what_is_no_bundle_is_refused(bundle, tmp_path):
    (tmp_path / "text.zip").write_text("not a zip")
    refused(tmp_path / "text.zip", DataError, "neither a .tar.gz nor a .zip")
    refused(tmp_path / "none.zip", DataError, "cannot be read: No such file")
    contents = members(bundle)
    first = "its first file is not bundle.json"
    refused(pack(tmp_path / "empty.zip", {}), DataError, first)
    refused(pack(tmp_path / "late.zip", dict(reversed(contents.items()))), DataError, first)
    refused(pack(tmp_path / "json.zip", contents | {MANIFEST: b"{"}), DataError, "its bundle.json is no JSON")
    refused(pack(tmp_path / "list.zip", contents | {MANIFEST: b"[]"}), DataError, "a table is legal")
    refused(pack(tmp_path / "deep.zip", contents | {MANIFEST: b"[" * 100_000}), DataError, "is no JSON")


def test_a_newer_format_says_so_whatever_else_is_new(bundle, tmp_path):
    contents = members(bundle) | {"runs/0123456789abcdef/new.bin": b""}
    newer = pack(tmp_path / "b.zip", resigned(contents, version=FORMAT + 1, something_new=True))
    refused(newer, StoreError, "has schema version 2, this rgbench reads up to 1; a newer release")


def test_a_bundle_that_states_a_score_is_refused(bundle, tmp_path):
    path = pack(tmp_path / "b.zip", resigned(members(bundle), scores={"lenet": 0.99}))
    refused(path, DataError, "unknown key 'scores'")


def test_predictions_of_another_run_are_refused(bundle, tmp_path):
    contents = members(bundle)
    one, two = [name for name in contents if name.endswith("predictions.parquet")][:2]
    contents[one] = contents[two]
    refused(pack(tmp_path / "b.zip", resigned(contents)), StoreError, f"{one}: is of run")


def test_a_spec_that_was_changed_is_refused(bundle, tmp_path):
    contents = members(bundle)
    name = run_file(contents, "run.json")
    run = json.loads(contents[name])
    run["spec"]["recipe"]["epochs"] += 1
    contents[name] = json.dumps(run).encode()
    refused(pack(tmp_path / "b.zip", resigned(contents)), StoreError, "its spec is that of run")


def test_labels_that_were_changed_are_refused(bundle, tmp_path):
    contents = members(bundle)
    name = run_file(contents, "predictions.parquet")
    record = next(r for r in read_bundle(bundle).records if r.run_id in name)
    said = record.predictions.logits.argmax(axis=1)
    write_predictions(tmp_path / "p.parquet", replace(record.predictions, label=said))
    contents[name] = (tmp_path / "p.parquet").read_bytes()
    refused(pack(tmp_path / "b.zip", resigned(contents)), DataError, "has another label for")


def test_another_task_is_refused(bundle, tmp_path):
    contents = members(bundle)
    other = {"name": TASK, "checksum": "0" * 64}
    refused(
        pack(tmp_path / "a.zip", resigned(contents, task=other)), ChecksumError, "the task here has fe7178f4"
    )
    other = {"name": "me/other@1", "checksum": "0" * 64}
    refused(pack(tmp_path / "b.zip", resigned(contents, task=other)), SpecError, "unknown task 'me/other@1'")


def test_statements_must_be_there_and_fit(bundle, filled_store, tmp_path):
    contents = members(bundle)
    own = json.loads(contents[MANIFEST])["statements"]
    lacking = pack(tmp_path / "a.zip", resigned(contents, statements=own[:1]))
    refused(lacking, DataError, "it states what lenet was trained on")
    made = filled_store(tmp_path / "s", {"lenet": 0.7}, seeds=(1,), recipe={"labels": "consensus"})
    write_bundle(made, tmp_path / "b.zip", BundleSpec(JANE))
    votes = members(tmp_path / "b.zip")
    (said,) = json.loads(votes[MANIFEST])["statements"]
    assert said["external_data"] == "yes"
    forged = pack(tmp_path / "c.zip", resigned(votes, statements=[said | {"external_data": "no"}]))
    refused(forged, DataError, "states that lenet saw no external data, but its training labels")


# --- runs that somebody changed ---------------------------------------------------------------------------


def rewritten(contents, name, table, folder):
    """Give files with another table."""
    write_predictions(folder / "table.parquet", table)
    return contents | {name: (folder / "table.parquet").read_bytes()}


def own_table(bundle, contents, kind="predictions"):
    """Give the name of a table, and what stands in it."""
    name, found = run_file(contents, f"{kind}.parquet"), read_bundle(bundle)
    (record,) = (record for record in found.records if record.run_id in name)
    return name, record.predictions if kind == "predictions" else found.conditions[record.run_id]


@pytest.mark.parametrize("labelled", [True, False])
def test_test_sources_that_stand_twice_are_refused(bundle, tmp_path, labelled):
    contents = members(bundle)
    name, table = own_table(bundle, contents)
    again = replace(
        table,
        source_id=np.char.add("first-galaxy-data/", table.source_id),
        label=table.label if labelled else np.full_like(table.label, -1),
    )
    forged = rewritten(contents, name, concatenate([table, again]), tmp_path)
    said = "is not of rgbench/first-4class@1: it was tested on 200 sources more than once"
    refused(pack(tmp_path / "b.zip", resigned(forged)), DataError, said)


def test_other_images_must_be_of_the_test_sources_with_their_labels_and_classes(bundle, tmp_path):
    contents = members(bundle)
    name, table = own_table(bundle, contents, "conditions")
    first = table.source_id[0]
    cases = {
        "has another label on other images than on its own, for 1 test source: " + re.escape(first): replace(
            table, label=np.where(table.source_id == first, (table.label + 1) % 4, table.label)
        ),
        r"predictions on other images of what are no test sources of it: sky\b": replace(
            table, source_id=np.where(table.source_id == first, "sky", table.source_id)
        ),
        "of what are no test sources of it: rows of another side": replace(
            table, split=np.full(len(table), "validation")
        ),
        r"has the classes Compact, FRI, FRII and Star \(softmax\) on other images": replace(
            table, classes=(*table.classes[:3], "Star")
        ),
        r"Bent \(sigmoid\) on other images": replace(table, activation="sigmoid"),
    }
    for said, changed_table in cases.items():
        forged = rewritten(contents, name, changed_table, tmp_path)
        refused(
            pack(tmp_path / "b.zip", resigned(forged)), DataError, rf"run [0-9a-f]{{16}} \(lenet\) .*{said}"
        )


def with_looks(contents, looks):
    name = run_file(contents, "run.json")
    run = json.loads(contents[name])
    run["provenance"]["looks"] = looks
    return resigned(contents | {name: json.dumps(run).encode()})


@pytest.mark.parametrize("looks", [2, 1000, 10**400, True, "4", None], ids=lambda looks: str(looks)[:9])
def test_looks_that_nobody_plans_are_refused(bundle, tmp_path, looks):
    path = pack(tmp_path / "b.zip", with_looks(members(bundle), looks))
    refused(path, DataError, r"looked at .* times; 1 and 4 are legal")


def test_looks_of_added_seeds_are_read(bundle, tmp_path):
    found = read_bundle(pack(tmp_path / "b.zip", with_looks(members(bundle), 4)))
    assert sorted(record.looks for record in found.records) == [1, 1, 1, 4]
    assert replace(found.records[0], provenance={"looks": 10**400}).looks == 1


@pytest.mark.parametrize("value", ["-1", "NaN", "Infinity", "-Infinity"])
def test_costs_that_are_no_costs_are_refused(bundle, tmp_path, value):
    contents = members(bundle)
    contents[run_file(contents, "cost.json")] = b'{"version": 1, "macs": %s}' % value.encode()
    refused(pack(tmp_path / "b.zip", resigned(contents)), DataError, "has the cost macs of")


def test_cards_and_manifest_are_read_in_one_way_only(bundle, tmp_path):
    contents = members(bundle)
    cards = pack(tmp_path / "a.zip", resigned(contents | {"cards.json": b"not json"}))
    refused(cards, DataError, "its cards.json is no JSON")
    twice = contents[MANIFEST].rstrip()[:-1] + b', "version": 1}'
    refused(pack(tmp_path / "b.zip", contents | {MANIFEST: twice}), DataError, "the key 'version' twice")
    own = json.loads(contents[MANIFEST])["statements"]
    for key in ("by", "trained_on"):
        blank = pack(tmp_path / "c.zip", resigned(contents, statements=[each | {key: " "} for each in own]))
        refused(blank, DataError, rf"statements\.0\.{key}")


# --- predictions made elsewhere ---------------------------------------------------------------------------


def test_the_digest_is_that_of_the_names_and_logits(bundle):
    table = read_bundle(bundle).records[0].predictions
    packed = struct.pack(f"<{table.logits.size}f", *table.logits.ravel().tolist())
    text = ("test\n" + "".join(f"{name}\n" for name in table.source_id)).encode()
    with_side, without = (hashlib.sha256(side + text + packed).hexdigest() for side in (b"validation\n", b""))
    assert is_digest_of(with_side, table, "best")
    assert is_digest_of(without, table, "best")
    assert not is_digest_of(with_side, replace(table, logits=table.logits[::-1]), "best")


@pytest.mark.parametrize("rows", ["test", "both", "some"])
def test_predictions_made_elsewhere_are_held_to_their_digest(scored_store, tmp_path, rows):
    made = scored_store(tmp_path / "s", {"ViT": (1,)}, rows)
    write_bundle(made, tmp_path / "b.zip", BundleSpec(JANE, tasks().get(TASK)))
    contents = members(tmp_path / "b.zip")
    (record,) = read_bundle(tmp_path / "b.zip").records
    name, table = run_file(contents, "predictions.parquet"), record.predictions
    for model in ("best", "final"):
        better = table.logits.copy()
        better[np.flatnonzero(table.model == model)[0]] += (0, 1, 0, 0)
        forged = rewritten(contents, name, replace(table, logits=better), tmp_path)
        said = r"run [0-9a-f]{16} \(ViT\) has other predictions than those of which it has its id"
        refused(pack(tmp_path / "c.zip", resigned(forged)), DataError, said)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_is_told_or_does_no_harm(bundle, tmp_path, data):
    content = bytearray(bundle.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    end = data.draw(st.sampled_from([len(content), place]))
    path = tmp_path / "b.zip"
    path.write_bytes(content[:end])
    try:
        found = read_bundle(path)
    except RgbenchError:
        return
    with zipfile.ZipFile(io.BytesIO(bundle.read_bytes())) as archive:
        assert found.manifest.model_dump(mode="json") == json.loads(archive.read(MANIFEST))
