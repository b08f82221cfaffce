"""Stacks in files hold what stacks in memory hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rgbench.errors import DataError
from rgbench.images import storage
from rgbench.images.storage import Pile, make_stack, memory_bytes


@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.integers(1, 5), st.sampled_from(["f4", "f8", "u1", ">f4"])),
        max_size=12,
    ),
    st.integers(0, 400),
)
def test_a_pile_gives_what_was_put_on_it(shapes, most):
    rng, pile = np.random.default_rng(1), Pile(most)
    images = [(rng.random(shape[:2]) * 200).astype(shape[2]) for shape in shapes]
    assert [pile.append(image) for image in images] == list(range(len(images)))
    assert len(pile) == len(images)
    for number, image in enumerate(images):
        np.testing.assert_array_equal(pile[number], image)
        assert pile[number].dtype == image.dtype
    alike = [n for n, image in enumerate(images) if image.shape == images[0].shape][::-1] if images else []
    if alike:
        expected = np.stack([images[n] for n in alike])
        np.testing.assert_array_equal(pile.stack(alike), expected)
        assert pile.stack(alike).dtype == expected.dtype


def test_a_large_stack_lies_in_a_file_that_has_no_name(tmp_path, monkeypatch):
    monkeypatch.setattr(storage.tempfile, "tempdir", str(tmp_path))
    stack = make_stack((3, 8, 8), most=100)
    assert isinstance(stack, np.memmap)
    assert not stack.any()
    stack[1] = 5
    assert stack.sum() == 5 * 64
    assert not list(tmp_path.iterdir())
    assert not isinstance(make_stack((3, 8, 8), most=768), np.memmap)


def test_a_disk_without_room_is_told_before_anything_is_written(monkeypatch):
    monkeypatch.setattr(
        storage.os, "statvfs", lambda folder: type("Place", (), {"f_bavail": 1, "f_frsize": 512})()
    )
    with pytest.raises(
        DataError, match=r"0\.0 GB of images do not fit into memory, and 0\.0 GB are free there.*TMPDIR"
    ):
        make_stack((3, 8, 8), most=100)


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("0::/slice/job_7/step_0", "slice/job_7/memory.max"),
        ("0::/slice/job_7", "slice/job_7/memory.max"),
        ("0::/", "memory.max"),
        ("4:cpu,memory:/slurm/job_7", "memory/slurm/job_7/memory.limit_in_bytes"),
    ],
)
def test_the_memory_is_what_a_queue_allows(tmp_path, line, file):
    groups, root = tmp_path / "cgroup", tmp_path / "root"
    groups.write_text(f"3:pids:/elsewhere\nnonsense\n{line}\n")
    limit = root / file
    limit.parent.mkdir(parents=True)
    whole = memory_bytes(tmp_path / "absent", root)
    assert memory_bytes(groups, root) == whole
    limit.write_text("max\n")
    assert memory_bytes(groups, root) == whole
    limit.write_text("1000000\n")
    assert memory_bytes(groups, root) == 1_000_000
