"""Maps and embeddings: known answers, symmetry, and the sanity checks of Adebayo et al. 2018."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.decomposition import PCA
from torch import nn

from rgbench.data.catalogue import Card, Catalogue, DataSet, Flag
from rgbench.data.load import load_dataset
from rgbench.diagnostics import attribution
from rgbench.diagnostics.attribution import (
    METHODS,
    gradcam,
    hirescam,
    occlusion,
)
from rgbench.diagnostics.embedding import principal_plane
from rgbench.diagnostics.explain import look_again
from rgbench.errors import DataError, SpecError
from rgbench.networks.modules.build import build_layers, build_network
from rgbench.networks.modules.foreign import ForeignNetwork
from rgbench.networks.notation.notation import parse_layers
from rgbench.runs.embedding import embed
from rgbench.runs.reopen import StoredRun
from rgbench.runs.study import run_study
from rgbench.spec import DataSpec, Study
from rgbench.store.attributions import read_looks
from rgbench.store.store import Store

REGISTERED = (
    "mcrgnet",
    "maslej",
    "lenet-d4",
    "ag-cnn",
    "rg-resnet",
    "rg-convnext",
    "atlas-x-id",
    "convosource",
)
"""Plain, with branches, equivariant, with gates, residual, with a sigmoid output, with maps of full size."""


def map_layers(network, images, smallest=2) -> tuple[str, ...]:
    """Name the modules whose maps are used, with their size: ``stack.14, 6 x 6``."""
    with attribution.quiet(network), torch.enable_grad():
        maps, _ = attribution._last_maps(network, images[:1].clone().requires_grad_(True), smallest)
    return tuple(f"{name}, {each.shape[2]} x {each.shape[3]}" for name, each in maps)


def network_of(text: str, side: int, n_classes: int = 2):
    return build_layers(parse_layers(text), side, n_classes, generator=torch.Generator().manual_seed(1))


def blobs(n: int, side: int) -> torch.Tensor:
    """Prepared images as they come: two spots on an empty sky."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    chance = torch.rand((n, 2, 2), generator=torch.Generator().manual_seed(3)) * side / 2 + side / 4
    spots = [torch.exp(-((y - a) ** 2 + (x - b) ** 2) / 8) for pair in chance for a, b in pair]
    images = torch.stack(spots).view(n, 2, side, side).sum(1, keepdim=True)
    return torch.where(images > 0.05, images, torch.zeros(()))


def of_class(k: int, n: int) -> torch.Tensor:
    return torch.full((n,), k)


# --- known answers ----------------------------------------------------------------------------------------


@pytest.fixture
def one_convolution():
    """One 1x1 convolution, A = 2 x + 1, read by a dense layer with known weights."""
    network = network_of("C1x1-1 valid · Flat · FC{classes} softmax", 6)
    conv, dense = (m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    with torch.no_grad():
        conv.weight.fill_(2.0)
        conv.bias.fill_(1.0)
        dense.weight.copy_(torch.randn(2, 36, generator=torch.Generator().manual_seed(5)))
    return network, dense.weight.detach().view(2, 6, 6).double().numpy()


def test_one_convolution_has_a_known_map(one_convolution):
    network, weights = one_convolution
    images = torch.rand(3, 1, 6, 6)
    inner = 2 * images[:, 0].double().numpy() + 1
    for k in (0, 1):
        targets = of_class(k, 3)
        share = 1.0  # the map is as large as the image
        wanted = np.maximum(weights[k].mean() * inner * share, 0)
        np.testing.assert_allclose(gradcam(network, images, targets), wanted, atol=1e-6)
        np.testing.assert_allclose(
            hirescam(network, images, targets), np.maximum(weights[k] * inner, 0), atol=1e-6
        )
    assert map_layers(network, images) == ("stack.0, 6 x 6",)


def test_each_image_has_its_own_target(one_convolution):
    network, _ = one_convolution
    images = torch.rand(2, 1, 6, 6)
    mixed = hirescam(network, images, torch.tensor([0, 1]))
    np.testing.assert_array_equal(mixed[0], hirescam(network, images, of_class(0, 2))[0])
    np.testing.assert_array_equal(mixed[1], hirescam(network, images, of_class(1, 2))[1])


def test_occluding_one_convolution_costs_what_its_weights_say(one_convolution):
    """With two classes the log odds are z_0 - z_1: a pixel x gives 2 x (w_0 - w_1), against a sky of zero."""
    network, weights = one_convolution
    image = torch.zeros(1, 1, 6, 6)
    image[0, 0, 1, 2], image[0, 0, 4, 4] = 0.7, -0.4
    wanted = 2 * image[0, 0].double().numpy() * (weights[0] - weights[1])
    found = occlusion(network, image, of_class(0, 1), patch=1)[0]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    np.testing.assert_allclose(occlusion(network, image, of_class(1, 1), patch=1)[0], -wanted, atol=1e-5)


def test_patches_that_overlap_are_averaged(one_convolution):
    network, weights = one_convolution
    image = torch.rand(1, 1, 6, 6)
    found = occlusion(network, image, of_class(0, 1), patch=2)[0]
    sky = float(image.flatten().median())
    loss = 2 * (image[0, 0].double().numpy() - sky) * (weights[0] - weights[1])
    total, covered = np.zeros((6, 6)), np.zeros((6, 6))
    for y in range(5):
        for x in range(5):
            total[y : y + 2, x : x + 2] += loss[y : y + 2, x : x + 2].sum()
            covered[y : y + 2, x : x + 2] += 1
    np.testing.assert_allclose(found, total / covered, atol=1e-5)


def test_a_sigmoid_output_has_its_own_odds(one_convolution):
    network, _ = one_convolution
    network.activation_name = "sigmoid"
    image = torch.zeros(1, 1, 6, 6)
    image[0, 0, 3, 3] = 1.0

    def odds(x: torch.Tensor) -> float:
        p = torch.sigmoid(network(x)[0].double())
        p = p / p.sum()
        return float(torch.log(p[0] / (1 - p[0])))

    with torch.no_grad():
        wanted = odds(image) - odds(torch.zeros_like(image))
    assert occlusion(network, image, of_class(0, 1), patch=1)[0, 3, 3] == pytest.approx(wanted, abs=1e-6)


def test_pixels_of_a_coarse_map_share_what_they_contribute():
    """A linear network: the positive map of full resolution sums up to the logit, whatever the stride."""
    for text in (
        "C2x2-3 s2 valid · Flat · FC{classes} softmax",
        "C4x4-3 s4 valid · Flat · FC{classes} softmax",
    ):
        network = network_of(text, 16)
        with torch.no_grad():
            for weight in network.parameters():
                weight.abs_()
        images = torch.rand(2, 1, 16, 16)
        with torch.no_grad():
            logits = network(images)[:, 1].numpy()  # all biases are 0
        found = hirescam(network, images, of_class(1, 2))
        np.testing.assert_allclose(found.sum((1, 2)), logits, rtol=0.02)


def test_the_ends_of_branches_are_added():
    both = network_of("Concat[C3x3-2 same relu | C3x3-2 same relu] · GAP · FC{classes} softmax", 12)
    images = torch.rand(2, 1, 12, 12)
    assert len(map_layers(both, images)) >= 1
    whole = hirescam(both, images, of_class(0, 2))
    with torch.no_grad():
        inner = both.stack[0](images)
        weights = next(m for m in both.modules() if isinstance(m, nn.Linear)).weight[0] / 144
        wanted = (weights[:, None, None] * inner).sum(1).clamp(min=0).double().numpy()
    np.testing.assert_allclose(whole, wanted, atol=1e-7)


# --- any network ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REGISTERED)
def test_registered_networks_have_maps_and_embeddings(name):
    network, images = build_network(name, 48, 4, seed=2), blobs(2, 48)
    for cam in (gradcam, hirescam):
        assert cam(network, images, of_class(1, 2)).shape == (2, 48, 48)
    # HiResCAM sees all that a class has for it; only a class that nothing speaks for has an empty map.
    assert max(hirescam(network, images, of_class(k, 2)).max() for k in range(4)) > 0
    hidden = occlusion(network, images, of_class(1, 2), patch=12)
    assert hidden.shape == (2, 48, 48)
    assert hidden.any()
    rows = embed(network, iter([images, images[:1]]))
    np.testing.assert_allclose(rows[0], rows[2], atol=1e-5)
    assert rows.shape[0] == 3
    assert np.ptp(rows[:2], axis=0).max() > 0


@pytest.mark.parametrize("name", ["mcrgnet", "lenet", "rg-resnet"])
def test_the_embedding_is_what_the_last_layer_reads(name):
    network, images = build_network(name, 64, 4, seed=2).eval(), blobs(3, 64)
    last = [m for m in network.modules() if isinstance(m, nn.Linear)][-1]
    hidden = torch.from_numpy(embed(network, iter([images])))
    with torch.no_grad():
        np.testing.assert_allclose(F.linear(hidden, last.weight, last.bias), network(images), atol=1e-5)


class Inner(nn.Module):
    """A network from elsewhere: modules that change their input in place, and a functional head."""

    def __init__(self, flat: bool) -> None:
        super().__init__()
        self.flat = flat
        self.conv = nn.Conv2d(1, 5, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(64 if flat else 5, 3)

    def forward(self, x):
        if self.flat:
            return self.head(x.flatten(1))
        return self.head(self.relu(self.conv(x)).mean((2, 3)))


def test_adapters_have_maps_and_say_when_they_have_none():
    images = torch.rand(2, 1, 8, 8)
    network = ForeignNetwork("mine:net", Inner(flat=False), 8, 3, 1)
    found = gradcam(network, images, of_class(2, 2))
    with torch.no_grad():
        weights = network.inner.head.weight[2] / 64
        maps = torch.relu(network.inner.conv(images))
        wanted = (weights[:, None, None] * maps).sum(1).clamp(min=0).double().numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-7)

    flat = ForeignNetwork("mine:flat", Inner(flat=True), 8, 3, 1)
    with pytest.raises(DataError, match="mine:flat has no map of 2 pixels a side.*'occlusion' needs none"):
        gradcam(flat, images, of_class(2, 2))
    assert occlusion(flat, images, of_class(2, 2)).any()
    assert embed(flat, iter([images])).shape == (2, 64)


def test_a_map_of_one_pixel_is_passed_over():
    network = network_of("C3x3-4 same relu · C9x9-4 valid relu · Flat · FC{classes} softmax", 9)
    assert map_layers(network, torch.rand(1, 1, 9, 9)) == ("stack.0, 9 x 9",)


def test_fine_maps_are_of_the_last_layer_that_is_fine():
    network, images = build_network("mcrgnet", 96, 4, seed=1), blobs(2, 96)
    assert map_layers(network, images)[0].endswith("3 x 3")
    (fine,) = map_layers(network, images, 8)
    rows, columns = (int(side) for side in fine.split(", ")[1].split(" x "))
    assert 8 <= rows == columns < 40
    coarse, finer = (METHODS[name](network, images, of_class(0, 2)) for name in ("hirescam", "hirescam-fine"))
    np.testing.assert_array_equal(finer, hirescam(network, images, of_class(0, 2), smallest=8))
    assert (coarse != finer).any()
    with pytest.raises(DataError, match="has no map of 97 pixels a side"):
        map_layers(network, images, 97)


def test_the_network_is_left_as_it_was():
    network, images = build_network("mcrgnet", 50, seed=1).train(), blobs(2, 50)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    original = images.clone()
    for method in METHODS.values():
        method(network, images, of_class(0, 2))
    embed(network, iter([images]))
    assert all(part.training for part in network.modules())
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in network.modules())
    assert all(weight.grad is None for weight in network.parameters())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert torch.equal(images, original)
    assert not images.requires_grad


# --- sanity -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["lenet-d4", "rg-resnet"])
def test_maps_follow_a_flip_where_the_network_does(name, method):
    """A D4 network does for every seed; the ordinary one does not."""
    network, images = build_network(name, 49, 4, seed=2), blobs(2, 49)
    with torch.no_grad():
        k = int(network.eval()(images)[0].argmax())
    straight = METHODS[method](network, images, of_class(k, 2))
    mirrored = METHODS[method](network, images.flip(3), of_class(k, 2))
    turned = METHODS[method](network, images.rot90(1, (2, 3)), of_class(k, 2))
    scale = np.abs(straight).max()
    assert scale > 0
    alike = [
        np.allclose(mirrored[:, :, ::-1], straight, atol=1e-3 * scale),
        np.allclose(turned, np.rot90(straight, 1, (1, 2)), atol=1e-3 * scale),
    ]
    assert alike == [name == "lenet-d4"] * 2


@pytest.mark.parametrize("method", METHODS)
def test_other_weights_make_another_map(method):
    """Adebayo et al. 2018: a map that stays when the weights are drawn anew tells nothing of the network."""
    images = blobs(6, 48)
    one, other = (
        METHODS[method](build_network("lenet", 48, 4, seed=s), images, of_class(0, 6)) for s in (1, 2)
    )
    again = METHODS[method](build_network("lenet", 48, 4, seed=1), images, of_class(0, 6))
    np.testing.assert_array_equal(one, again)
    alike = [
        np.corrcoef(a.ravel(), b.ravel())[0, 1]
        for a, b in zip(one, other, strict=True)
        if a.any() and b.any()
    ]
    assert len(alike) < 6 or np.mean(alike) < 0.9


def test_the_map_of_the_first_class_is_not_that_of_the_second():
    network, images = build_network("rg-resnet", 48, 4, seed=1), blobs(2, 48)
    maps = [hirescam(network, images, of_class(k, 2)) for k in range(4)]
    assert not np.allclose(maps[0], maps[1], atol=1e-6)


def test_blanking_what_is_blank_changes_nothing():
    images = blobs(3, 48)
    found = occlusion(build_network("lenet", 48, 4, seed=1), images, of_class(0, 3), patch=4)
    reach = F.max_pool2d((images != 0).float(), 7, stride=1, padding=3)[:, 0].numpy() > 0
    assert (found[~reach] == 0).all()
    assert (found[(images[:, 0] != 0).numpy()] != 0).all()
    assert not occlusion(build_network("lenet", 48, 4, seed=1), images * 0, of_class(0, 3)).any()


def test_patches_must_fit():
    network, images = build_network("lenet", 48, 4, seed=1), blobs(1, 48)
    with pytest.raises(SpecError, match="patch: 49 was given; 1 to 48 pixels"):
        occlusion(network, images, of_class(0, 1), patch=49)


def test_captum_makes_the_same_maps():
    attr = pytest.importorskip("captum.attr", reason="captum is not installed")
    network, images = build_network("rg-resnet", 48, 4, seed=1).eval(), blobs(3, 48)
    (layer,) = map_layers(network, images)
    module = network.get_submodule(layer.split(",")[0])
    theirs = attr.LayerGradCam(network, module).attribute(images, target=2, relu_attributions=False)
    share = theirs.shape[2] * theirs.shape[3] / 48**2
    wanted = F.interpolate(theirs.double() * share, (48, 48), mode="bilinear").clamp(min=0)[:, 0]
    np.testing.assert_allclose(gradcam(network, images, of_class(2, 3)), wanted.detach(), atol=1e-7)

    def odds(x: torch.Tensor) -> torch.Tensor:
        z = network(x)
        return z[:, 2] - z[:, [0, 1, 3]].logsumexp(1)

    theirs = attr.Occlusion(odds).attribute(
        images, sliding_window_shapes=(1, 12, 12), strides=(1, 6, 6), baselines=0.0
    )
    ours = occlusion(network, images, of_class(2, 3), patch=12)
    np.testing.assert_allclose(ours, theirs[:, 0].detach(), atol=1e-4)


# --- the plane --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(40, 7), (12, 300), (5, 2), (3, 1), (1, 4)])
def test_the_plane_is_scikit_learn_s(shape):
    rows = np.random.default_rng(4).normal(size=shape) * np.linspace(1, 3, shape[1])
    points, explained = principal_plane(rows.astype(np.float32))
    assert points.shape == (shape[0], 2)
    n = min(2, *shape) if shape[0] > 1 else 0
    if n:
        theirs = PCA(n, svd_solver="full").fit(rows.astype(np.float32).astype(float))
        np.testing.assert_allclose(explained[:n], theirs.explained_variance_ratio_, atol=1e-9)
        wanted = theirs.transform(rows.astype(np.float32).astype(float))
        np.testing.assert_allclose(np.abs(points[:, :n]), np.abs(wanted), atol=1e-5)
    assert (points.max(0) >= -points.min(0) - 1e-9).all()
    assert not points[:, max(n, 1) :].any()


def test_what_has_no_plane():
    assert not principal_plane(np.ones((4, 3)))[0].any()
    for bad in (np.zeros((0, 3)), np.array([[1.0, np.nan]])):
        with pytest.raises(DataError, match="rows of finite numbers"):
            principal_plane(bad)
    with pytest.raises(DataError, match="none is given"):
        embed(build_network("lenet", 48, 4, seed=1), iter([]))


# --- a stored run -----------------------------------------------------------------------------------------

SIDE, FIELD = 60, 48


@pytest.fixture(scope="module")
def dataset() -> DataSet:
    """One blob, or two; the last source has no label, the one before no usable image."""
    n = 44
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    label = np.arange(n) % 2
    images = rng.normal(0, 0.01, (n, SIDE, SIDE))
    for image, kind in zip(images, label, strict=True):
        place = kind * 8 * np.exp(1j * rng.uniform(0, 2 * np.pi))
        for spot in (place, -place):
            image += np.exp(-((x - spot.real) ** 2 + (y - spot.imag) ** 2) / 6)
    label[-1], flags = -1, np.zeros(n, np.int64)
    images[-2], flags[-2] = 0, int(Flag.UNUSABLE)
    names, nothing = np.array([f"s{i:03d}" for i in range(n)]), np.full(n, np.nan)
    catalogue = Catalogue(names, nothing, nothing, label.astype(np.int64), np.arange(n), names, flags)
    sides = np.array(["train"] * 24 + ["validation"] * 8 + ["test"] * 10 + ["", ""])
    card = Card("toy", "toy", classes=("one", "two"), pixel_scale=1.8, beam=5.4)
    return DataSet(card, catalogue, images.astype(np.float32), {"published": sides})


@pytest.fixture(scope="module")
def run(tmp_path_factory, dataset) -> StoredRun:
    study = Study(
        name="toy",
        networks=("lenet",),
        seeds=(1,),
        data=DataSpec(name="toy"),
        images={"field": FIELD, "size": FIELD // 2, "preset": "becker2021"},
        augmentation={"kind": "none"},
        recipe={"epochs": 4, "batch_size": 8, "precision": "float32", "views": 1},
    )
    store = Store(tmp_path_factory.mktemp("store"))
    (record,) = run_study(study, store, dataset=dataset)
    assert record.error is None
    return StoredRun(record, store, dataset=dataset)


@pytest.mark.parametrize("method", METHODS)
def test_maps_of_a_run_lie_over_its_images(run, dataset, method):
    found = look_again(run, ["s041", "s003", "s043"], method)
    assert found.shown.tolist() == ["s041", "s003", "s043"]
    assert found.maps.shape == found.inputs.shape == (3, FIELD // 2, FIELD // 2)
    assert found.pixel_scale == 2 * 1.8
    assert found.label.tolist() == [1, 1, -1]
    stored = run.record.predictions.select("test", "best")
    row = stored.source_id.tolist().index("s041")
    assert found.target[0] == stored.logits[row].argmax()
    alone = look_again(run, ["s003"], method).maps[0]
    np.testing.assert_allclose(alone, found.maps[1], atol=1e-5)
    # The source that the map is laid over stands where it stands in the raw image.
    raw = dataset.images[3][6:54, 6:54].reshape(24, 2, 24, 2).mean((1, 3))
    assert np.corrcoef(found.inputs[1].ravel(), raw.ravel())[0, 1] > 0.95
    np.testing.assert_array_equal(read_looks(run.store, run.run_id).maps[0], alone)


def test_wrong_requests_are_named(run):
    with pytest.raises(
        SpecError, match="unknown method 'lime'; the methods are gradcam, gradcam-fine, hirescam"
    ):
        look_again(run, ["s000"], "lime")
    with pytest.raises(SpecError, match="toy has no source 's999'"):
        look_again(run, ["s000", "s999"])
    with pytest.raises(SpecError, match="no source given"):
        look_again(run, [])
    with pytest.raises(DataError, match="source 's042' of toy has no usable image"):
        look_again(run, ["s000", "s042"])


def test_test_sources_have_their_places_in_the_plane(run):
    found = look_again(run, ["s000"])
    assert sorted(found.sources.tolist()) == [f"s{i:03d}" for i in range(32, 42)]
    assert found.points.shape == (10, 2)
    assert found.classes.tolist() == ["one", "two"]
    assert found.source_label.tolist() == [int(name[1:]) % 2 for name in found.sources]
    assert 0 < found.explained.sum() <= 1 + 1e-9
    centres = [found.points[found.source_label == k].mean(0) for k in (0, 1)]
    assert np.hypot(*(centres[0] - centres[1])) > 0.5 * found.points.std()


@pytest.mark.slow
@pytest.mark.skipif("RGBENCH_MIRROR" not in os.environ, reason="needs the real images: set RGBENCH_MIRROR")
def test_twenty_real_sources_take_seconds():
    """Grad-CAM and occlusion of 20 FIRST cutouts at 96 pixels; the sky around the source is left alone."""
    real = load_dataset(DataSpec(name="first-galaxy-data"))
    from rgbench.images.preprocess import central_crop, preprocess_batch

    pixels = central_crop(preprocess_batch(real.images[:20], "modern"), 96)
    images = torch.from_numpy(np.ascontiguousarray(pixels))[:, None]
    network = build_network("mcrgnet", 96, 4, seed=1)
    began = time.process_time()
    gradcam(network, images, of_class(0, 20))
    found = occlusion(network, images, of_class(0, 20))
    assert time.process_time() - began < 20
    near = F.max_pool2d((images != 0).float(), 15, stride=1, padding=7)[:, 0].numpy() > 0
    assert not found[~near].any()
    assert found[near].any()
