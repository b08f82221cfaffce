"""What is kept of a network's looks: read back as written, refused if strange; which sources are shown."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from rgbench.comparison.failures import choose_sources
from rgbench.diagnostics.embedding import nearest_neighbour_share
from rgbench.errors import DataError, StoreError
from rgbench.spec import Study, resolve
from rgbench.store.attributions import LOOKS_FILE, Looks, read_looks, write_looks
from rgbench.store.store import RunRecord, Store
from rgbench.store.tables import Predictions

HOSTILE = '"><script>alert(1)</script>'


def made(run_id="0123456789abcdef", m=3, n=5):
    rng = np.random.default_rng(1)
    return Looks(
        run_id=run_id,
        method="occlusion",
        classes=np.array(["FRI", "FRII"]),
        shown=np.array([HOSTILE, "b", "c"][:m]),
        label=np.arange(m) % 2 - 1,
        target=np.ones(m, np.int64),
        inputs=rng.random((m, 6, 6), dtype=np.float32),
        maps=rng.normal(size=(m, 6, 6)).astype(np.float32),
        likeness=np.array([0.1, np.nan, -0.2][:m]),
        sources=np.array([f"s{i}" for i in range(n)]),
        source_label=np.arange(n) % 2,
        points=rng.normal(size=(n, 2)),
        explained=np.array([0.5, 0.25]),
        neighbour=0.75,
        field=np.full((6, 6), 1 / 36),
        field_pixels=6.0,
        pixel_scale=float("nan"),
    )


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    store.run_path("0123456789abcdef").mkdir(parents=True)
    return store


def test_what_is_written_is_read(store):
    assert read_looks(store, "0123456789abcdef") is None
    looks = made()
    write_looks(store, looks)
    again = read_looks(store, looks.run_id)
    for each in fields(Looks):
        one, other = getattr(looks, each.name), getattr(again, each.name)
        np.testing.assert_array_equal(one, other)
        assert type(one) is type(other)
    write_looks(store, replace(looks, neighbour=0.5))
    assert read_looks(store, looks.run_id).neighbour == 0.5


def test_strange_files_are_refused(store):
    path = store.run_path("0123456789abcdef") / LOOKS_FILE
    path.write_bytes(b"no file of numpy")
    with pytest.raises(StoreError, match=r"looks\.npz: cannot be read"):
        read_looks(store, "0123456789abcdef")
    np.savez_compressed(path, version=99)
    with pytest.raises(StoreError, match="has schema version 99, this rgbench reads up to 1"):
        read_looks(store, "0123456789abcdef")
    write_looks(store, made())
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(StoreError, match="cannot be read"):
        read_looks(store, "0123456789abcdef")
    other = store.run_path("fedcba9876543210")
    other.mkdir()
    write_looks(store, made())
    (other / LOOKS_FILE).write_bytes(path.read_bytes())
    with pytest.raises(StoreError, match="is of run .0123456789abcdef."):
        read_looks(store, "fedcba9876543210")


def test_a_pickle_is_never_loaded(store):
    path = store.run_path("0123456789abcdef") / LOOKS_FILE
    content = {each.name: getattr(made(), each.name) for each in fields(Looks)}
    np.savez(path, version=1, **(content | {"shown": np.array([{"a": 1}], dtype=object)}))
    with pytest.raises(StoreError, match="cannot be read"):
        read_looks(store, "0123456789abcdef")


def records(rights):
    """Give runs that recognise test source i of 6 (classes 0 0 0 1 1 1) where rights[run][i] is 1."""
    label = np.array([0, 0, 0, 1, 1, 1])
    names = np.array(["e", "d", "c", "b", "a", "f"])
    study = Study(name="x", networks=("mcrgnet",), seeds=tuple(range(len(rights))))
    found = []
    for spec, right in zip(resolve(study, "0" * 64), rights, strict=True):
        said = np.where(right, label, 1 - label)
        n = len(label)
        table = Predictions(
            "0" * 16, ("FRI", "FRII"), "softmax", "1", names, np.full(n, "test"), np.full(n, "best"),
            np.full(n, "clean"), np.zeros(n, np.int64), label, np.eye(2, dtype=np.float32)[said],
        )  # fmt: skip
        found.append(RunRecord("0" * 16, spec, "complete", predictions=table))
    return found


def test_the_clearest_and_the_hardest_of_each_class_are_shown():
    runs = records([[1, 1, 0, 0, 1, 1], [1, 0, 0, 0, 1, 1], [1, 1, 0, 1, 1, 0]])
    assert choose_sources(runs) == ["e", "c", "a", "b"]
    # Equal shares: by name; no source is shown twice.
    assert choose_sources(records([[1] * 6])) == ["c", "e", "a", "f"]
    assert sorted(choose_sources(runs, per_class=5)) == list("abcdef")
    with pytest.raises(DataError, match="nothing to show"):
        choose_sources([])


def test_nearest_neighbours_are_those_of_scikit_learn():
    rng = np.random.default_rng(3)
    label = rng.integers(0, 3, 60)
    points = rng.normal(size=(60, 8)) + label[:, None]
    scores = cross_val_score(KNeighborsClassifier(1), points, label, cv=LeaveOneOut())
    assert nearest_neighbour_share(points, label) == pytest.approx(scores.mean())
    hidden = np.where(np.arange(60) < 10, -1, label)
    again = cross_val_score(KNeighborsClassifier(1), points[10:], label[10:], cv=LeaveOneOut())
    assert nearest_neighbour_share(points, hidden) == pytest.approx(again.mean())
    assert np.isnan(nearest_neighbour_share(points[:1], label[:1]))


@pytest.mark.parametrize(
    "damage", [{"maps": np.zeros((3, 6))}, {"label": np.zeros(2, np.int64)}, {"points": np.zeros((4, 2))}]
)
def test_arrays_that_do_not_belong_together_are_named(store, damage):
    looks = made()
    write_looks(store, replace(looks, **damage))
    with pytest.raises(StoreError, match=r"looks\.npz: is damaged: .*; rgbench explain makes it anew"):
        read_looks(store, looks.run_id)
