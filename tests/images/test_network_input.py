"""The path without torch gives what the path with torch gives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from rgbench.errors import DataError, SpecError
from rgbench.images.augment import views
from rgbench.images.frame import into_frame, into_turned_frame
from rgbench.images.network_input import VIEWS, Preparation, kept_field, network_input, turned_views
from rgbench.runs.inputs import image_source, prepare
from rgbench.spec import RunSpec, Study, resolve


def spec_of(frame: str = "sky", **images) -> RunSpec:
    own = {"field": 64, "size": 64, "frame": frame} | images
    (spec,) = resolve(Study(name="s", networks=("lenet",), seeds=(1,), protocol="sky", images=own), "")
    return spec


def sources(n: int, side: int, noise: float = 1e-4) -> np.ndarray:
    """Raw images of sources with three lobes, off the middle, in noise; some pixels are missing."""
    chance = np.random.default_rng(3)
    y, x = np.indices((side, side)) - (side - 1) / 2
    images = chance.normal(0, noise, (n, side, side))
    for image in images:
        for at_x, at_y, peak in chance.uniform((-12, -12, 0.002), (12, 12, 0.02), (3, 3)):
            image += peak * np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / 5)
        image[:2, 3] = np.nan
    return images.astype(np.float32)


def with_torch(images: np.ndarray, spec: RunSpec, beams: np.ndarray) -> np.ndarray:
    ready = prepare(images, spec, beams=beams)
    return torch.cat(list(image_source(ready, spec, "cpu").plain(np.arange(len(images))).images())).numpy()


@pytest.mark.parametrize("frame", ["none", "sky", "sky-axis"])
@pytest.mark.parametrize("side", [80, 133, 200])
@pytest.mark.parametrize("beam", [1.0, 1.5])
def test_it_is_that_of_torch(frame, side, beam):
    spec = spec_of(frame, beam=beam)
    images, beams = sources(70, side), np.linspace(0.9, 1.7, 70)
    found, expected = network_input(images, Preparation.of(spec), beams), with_torch(images, spec, beams)
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    # In flux; the root of what is a millionth of the peak differs by more. A round source has no long axis and no tail:
    # what is taken for them turns with the rounding of the convolution.
    flux = 1 if frame == "none" else 2
    turned = frame == "sky-axis" and beam > 1
    off = np.abs(found**flux - expected**flux).max(axis=(1, 2, 3))
    odd = off > (1e-2 if turned else 1e-5)
    assert odd.sum() <= turned
    for one, other in zip(found[odd, 0], expected[odd, 0], strict=True):
        mirrored = (other[::-1], other[:, ::-1], other[::-1, ::-1])
        assert min(np.abs(one**2 - each**2).max() for each in mirrored) < 1e-2


@pytest.mark.parametrize("size", [64, 32])
@pytest.mark.parametrize("preset", ["modern", "becker2021", "minmax"])
def test_presets_and_sizes(preset, size):
    spec = spec_of("none", beam=1.0, preset=preset, size=size)
    images = np.nan_to_num(sources(5, 100))
    found, expected = network_input(images, Preparation.of(spec)), with_torch(images, spec, np.ones(5))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("side", [96, 97])
def test_the_frames_alone_are_those_of_torch(side):
    images = np.maximum(np.nan_to_num(sources(40, side)) - 3e-4, 0)
    for frame, of_torch in (("sky", into_frame), ("sky-axis", into_turned_frame)):
        how = Preparation("none", frame, 64, (64, 64))
        wide = np.zeros((40, kept_field(spec_of()), kept_field(spec_of())), dtype=np.float32)
        wide[:, : images.shape[1], : images.shape[2]] = images[:, : wide.shape[1], : wide.shape[2]]
        expected = of_torch(torch.from_numpy(wide)[:, None], 64).numpy()
        np.testing.assert_allclose(network_input(wide, how), expected, atol=1e-5)


@pytest.mark.parametrize("n", VIEWS)
def test_views_are_those_of_torch(n):
    images = network_input(sources(3, 120), Preparation.of(spec_of()))
    pairs = list(zip(views(torch.from_numpy(images), n), turned_views(images, n), strict=True))
    assert len(pairs) == n
    for expected, found in pairs:
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_the_words_of_a_preparation_are_read_back():
    how = Preparation.of(spec_of(size=32))
    assert Preparation.read(how.words()) == how
    for text in ("", "[]", "{}", '{"size": 3, "shown": null}', '{"size": [3, 3], "shown": null, "more": 1}'):
        with pytest.raises(DataError, match="cannot be read"):
            Preparation.read(text)


def test_what_cannot_be_prepared_is_said():
    how = Preparation.of(spec_of())
    with pytest.raises(DataError, match="64 or more rows"):
        network_input(np.zeros((1, 50, 50)), how)
    with pytest.raises(DataError, match="64 or more rows"):
        network_input(np.zeros((80, 80)), how)
    images = sources(70, 100)
    images[66] = np.nan
    with pytest.raises(DataError, match="image 66"):
        network_input(images, how)
    with pytest.raises(SpecError, match="does not divide a field of 64 x 64"):
        network_input(sources(1, 100), Preparation("sky", "sky", 64, (48, 48)))
    with pytest.raises(SpecError, match="legal are 1, 2, 4, 8"):
        next(turned_views(np.zeros((1, 4, 4), np.float32), 3))
    with pytest.raises(SpecError, match="square"):
        next(turned_views(np.zeros((1, 4, 5), np.float32), 8))


def test_it_needs_no_torch():
    code = "import sys; sys.modules['torch'] = None; import rgbench.images.network_input"
    source = {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    subprocess.run([sys.executable, "-c", code], env=os.environ | source, check=True)
