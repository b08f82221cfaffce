import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import rotate as skimage_rotate

from rgbench.errors import DataError, SpecError
from rgbench.images.augment import (
    Transformation,
    rotate,
    rotate_stack,
    transform,
    views,
)
from rgbench.images.preprocess import block_mean, central_crop

SHAPES = [(40, 40), (41, 41), (30, 52), (53, 31)]
TOLERANCE = 1e-4


def pictures(n, shape, share=1.0, seed=1):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand((n, *shape), generator=generator)
    return images * (torch.rand(images.shape, generator=generator) < share)


def still(n):
    zero = torch.zeros(n)
    return Transformation(zero, zero.bool(), zero + 1, torch.zeros(n, 2))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [1.0, 0.01], ids=["dense", "sparse"])
def test_rotate_equals_skimage(shape, share):
    angles = [0.0, 15.0, 45.0, 90.0, 100.5, 180.0, 195.0, 270.0, 359.0, -30.0]
    images = pictures(len(angles), shape, share)
    expected = np.stack([skimage_rotate(i.numpy(), a) for i, a in zip(images, angles, strict=True)])
    result = rotate(images, torch.tensor(angles))
    assert result.dtype == torch.float32
    np.testing.assert_allclose(result.numpy(), expected, atol=TOLERANCE)
    with_channel = rotate(images[:, None], torch.tensor(angles))
    assert torch.equal(with_channel[:, 0], result)


@pytest.mark.parametrize("share", [1.0, 0.003], ids=["dense", "sparse"])
def test_rotate_equals_skimage_at_the_size_of_the_protocol(share):
    images = pictures(3, (300, 300), share)
    angles = torch.tensor([15.0, 105.0, 345.0])
    expected = np.stack([skimage_rotate(i.numpy(), float(a)) for i, a in zip(images, angles, strict=True)])
    np.testing.assert_allclose(rotate(images, angles).numpy(), expected, atol=TOLERANCE)


@pytest.mark.parametrize("shape", SHAPES)
def test_rotate_stack_equals_skimage(shape):
    images = pictures(5, shape)
    for angle in (0, 20, 90, 180, 290, 300.5):
        expected = np.stack([skimage_rotate(image.numpy(), angle) for image in images])
        np.testing.assert_allclose(rotate_stack(images, angle).numpy(), expected, atol=TOLERANCE)
    assert rotate_stack(images[:, None], 20).shape == (5, 1, *shape)


def test_channels_turn_together():
    images = pictures(3, (2, 20, 20), 0.01)
    angles = torch.tensor([10.0, 20.0, 30.0])
    result = rotate(images, angles)
    for channel in range(2):
        np.testing.assert_allclose(result[:, channel], rotate(images[:, channel], angles), atol=1e-6)


def test_blank_and_empty_stacks():
    assert not rotate(torch.zeros(2, 9, 9), torch.tensor([10.0, 20.0])).any()
    assert rotate(torch.zeros(0, 9, 9), torch.zeros(0)).shape == (0, 9, 9)
    assert rotate_stack(torch.zeros(0, 9, 9), 15).shape == (0, 9, 9)


def test_one_angle_per_image():
    with pytest.raises(DataError, match="one angle for each image"):
        rotate(torch.zeros(2, 9, 9), torch.zeros(3))


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 24), st.integers(2, 24), st.floats(-720, 720))
def test_both_ways_to_rotate_agree(rows, columns, angle):
    images = torch.zeros(1, rows, columns)
    images[0, rows // 3, columns // 2] = 1.0
    angles = torch.tensor([angle])
    dense = images + torch.full_like(images, 1e-9)
    torch.testing.assert_close(rotate(images, angles), rotate(dense, angles), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("field", [None, 20, 21, 60])
def test_no_transformation_is_the_central_crop(shape, field):
    images = pictures(3, (1, *shape))
    result = transform(images, still(3), field).numpy()
    expected = images.numpy() if field is None else central_crop(images.numpy(), field)
    np.testing.assert_allclose(result, expected, atol=TOLERANCE)


def test_shrinking_is_the_mean_of_blocks():
    images = pictures(3, (1, 40, 40))
    result = transform(images, still(3), field=32, size=16)
    expected = block_mean(central_crop(images.numpy(), 32), 2)
    np.testing.assert_allclose(result.numpy(), expected, atol=TOLERANCE)
    with pytest.raises(DataError, match="size: 15"):
        transform(images, still(3), field=32, size=15)


def test_one_transformation_per_image():
    with pytest.raises(DataError, match="3 transformations"):
        transform(torch.zeros(2, 1, 8, 8), still(3))


def test_each_part_of_a_transformation_does_what_its_name_says():
    image = torch.zeros(1, 1, 41, 41)
    image[0, 0, 20, 30] = 1.0
    zero = torch.zeros(1)

    def place(angle=0.0, mirror=False, zoom=1.0, shift=(0.0, 0.0)):
        how = Transformation(zero + angle, torch.tensor([mirror]), zero + zoom, torch.tensor([shift]))
        result = transform(image, how)[0, 0]
        return tuple(int(i) - 20 for i in np.unravel_index(int(result.argmax()), (41, 41)))

    assert place() == (0, 10)
    assert place(angle=90.0) == (-10, 0)
    assert place(mirror=True) == (0, -10)
    assert place(zoom=1.5) == (0, 15)
    assert place(shift=(3.0, -2.0)) == (-2, 13)
    assert place(angle=90.0, mirror=True, zoom=1.5, shift=(3.0, -2.0)) == (13, 3)


def test_turning_by_transform_equals_rotate():
    images = pictures(4, (1, 40, 40))
    how = still(4)
    how = Transformation(torch.tensor([10.0, 100.0, 200.0, 300.0]), how.mirror, how.zoom, how.shift)
    torch.testing.assert_close(transform(images, how), rotate(images, how.angle))


def test_one_kind_of_chance_does_not_move_another():
    def draw(*how):
        return Transformation.draw(1000, *how, torch.Generator().manual_seed(5))

    all_of_it, no_flip, nothing = (
        draw(True, True, 0.08, 4.0),
        draw(True, False, 0.08, 4.0),
        draw(False, False, 0, 0),
    )
    assert torch.equal(all_of_it.angle, no_flip.angle)
    assert torch.equal(all_of_it.zoom, no_flip.zoom)
    assert 400 < int(all_of_it.mirror.sum()) < 600
    assert 0 <= float(all_of_it.angle.min()) <= float(all_of_it.angle.max()) < 360
    assert float(all_of_it.zoom.log().abs().max()) <= 0.08 + 1e-6
    assert float(all_of_it.shift.abs().max()) <= 4
    assert not no_flip.mirror.any()
    assert torch.equal(nothing.angle, torch.zeros(1000))
    assert torch.equal(nothing.zoom, torch.ones(1000))
    assert torch.equal(nothing.shift, torch.zeros(1000, 2))


def test_views_are_the_eight_of_a_square():
    image = torch.arange(9.0).view(1, 1, 3, 3)
    eight = list(views(image, 8))
    assert torch.equal(eight[0], image)
    assert len({tuple(view.flatten().tolist()) for view in eight}) == 8
    for n in (1, 2, 4):
        chosen = list(views(image, n))
        assert len(chosen) == n
        assert len({tuple(view.flatten().tolist()) for view in chosen}) == n
    with pytest.raises(SpecError, match="views: 3"):
        list(views(image, 3))


@pytest.mark.parametrize("n", [16, 24, 48])
def test_more_views_are_the_eight_of_turned_images(n):
    """An image that is turned by a step between views has the same views in another order."""
    y, x = torch.meshgrid(torch.arange(65.0) - 32, torch.arange(65.0) - 32, indexing="ij")
    image = torch.exp(-((x - 9) ** 2 / 72 + (y - 4) ** 2 / 32))[None, None]
    step = 90 / (n // 8)
    turned = rotate_stack(image, step)
    mean, again = (torch.stack(list(views(each, n))).mean(dim=0) for each in (image, turned))
    assert len(list(views(image, n))) == n
    assert torch.equal(next(views(image, n)), image)
    assert (mean - again).abs().max() < 0.01
    eight = [torch.stack(list(views(each, 8))).mean(dim=0) for each in (image, turned)]
    assert (eight[0] - eight[1]).abs().max() > 0.03


def test_views_of_oblong_images_keep_their_shape():
    image = torch.rand(2, 1, 3, 5)
    assert {view.shape for view in views(image, 4)} == {image.shape}
    with pytest.raises(SpecError, match="square"):
        list(views(image, 8))
