"""What a network looks at: class-activation maps, occlusion maps, and the embedding of its last hidden layer.

Maps are in the frame of the network's input: row 0 is the south edge, as everywhere, and the side of the field
in arcsec goes with them. They tell what moves the output, not whether the network is right; a map that stays
when the weights are drawn anew tells of the image alone (Adebayo et al. 2018, arXiv 1810.03292).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from rgbench.errors import DataError, SpecError
from rgbench.networks.modules.build import Network
from rgbench.runs.logits import quiet

BATCH = 64
"""Images, or occluded copies of one, that go through a network together."""
FINE = 8
"""Pixels a side that a map needs to show where in a source something is."""
PATCHES = 12
"""Side of the field in occluding patches; they overlap by half."""

Floats = NDArray[np.float64]
Named = list[tuple[str, Tensor]]
Weight = Callable[[Tensor, Tensor], Tensor]


def gradcam(network: Network, images: Tensor, targets: Tensor, smallest: int = 2) -> Floats:
    """Make gradient-weighted class-activation maps: ReLU of sum over c of mean(dz/dA_c) A_c.

    Parameters
    ----------
    network : Network
        Any network that has maps; it is run without dropout.
    images : Tensor, shape (n, channels, h, w)
        Prepared images, on the device of the network.
    targets : Tensor of int64, shape (n,)
        The class whose logit z is explained, of each image.
    smallest : int
        Maps with fewer pixels along their longer side are passed over.

    Returns
    -------
    ndarray of float64, shape (n, h, w)
        Logit per pixel of the image, 0 or more: A is the last map on the way to the logits, resampled to
        the image bilinearly. Where several are last, as at the ends of branches or gates, their
        contributions are added; one that feeds another counts on both ways.

    Raises
    ------
    DataError
        If the network has no such map; `occlusion` needs none.

    References
    ----------
    Selvaraju et al. 2017, arXiv 1610.02391.

    Examples
    --------
    >>> from rgbench.networks.modules.build import build_network
    >>> images = torch.rand(2, 1, 64, 64)
    >>> gradcam(build_network("mcrgnet", 64, seed=1), images, torch.tensor([0, 3])).shape
    (2, 64, 64)
    """
    return _activation_maps(network, images, targets, _averaged, smallest)


def hirescam(network: Network, images: Tensor, targets: Tensor, smallest: int = 2) -> Floats:
    """Make class-activation maps weighted pixel by pixel: ReLU of sum over c of (dz/dA_c) A_c.

    Arguments, result and errors as in `gradcam`. Where a dense layer reads a flattened map, as in most
    networks here, its weights differ from pixel to pixel: `gradcam` averages them away, this does not.

    References
    ----------
    Draelos & Carin 2020, arXiv 2011.08891.
    """
    return _activation_maps(network, images, targets, torch.mul, smallest)


def occlusion(network: Network, images: Tensor, targets: Tensor, patch: int | None = None) -> Floats:
    """Make occlusion maps: how much evidence for a class goes when a patch of the image is blanked.

    Parameters
    ----------
    network, images, targets
        As in `gradcam`; any network will do.
    patch : int, optional
        Side of the square patches in pixels, which overlap by half; left out, a twelfth of the field.

    Returns
    -------
    ndarray of float64, shape (n, h, w)
        Mean over the patches that cover a pixel of the drop in log(p / (1 - p)), p being the probability
        of the target; below 0 where the patch hid what speaks against it. A patch is filled with the
        median of the image, the level of the sky; one that changes no pixel is exactly 0.

    References
    ----------
    Zeiler & Fergus 2014, arXiv 1311.2901.
    """
    rows, columns = images.shape[2:]
    side = patch or max(2, min(rows, columns) // PATCHES)
    if not 1 <= side <= min(rows, columns):
        raise SpecError(f"patch: {side} was given; 1 to {min(rows, columns)} pixels are legal")
    corners = [(y, x) for y in _starts(rows, side) for x in _starts(columns, side)]
    with quiet(network), torch.inference_mode():
        pairs = zip(images, targets.tolist(), strict=True)
        return np.stack([_occlude(network, image, target, corners, side) for image, target in pairs])


METHODS: Mapping[str, Callable[[Network, Tensor, Tensor], Floats]] = MappingProxyType(
    {
        "gradcam": gradcam,
        "gradcam-fine": partial(gradcam, smallest=FINE),
        "hirescam": hirescam,
        "hirescam-fine": partial(hirescam, smallest=FINE),
        "occlusion": occlusion,
    }
)
"""Ways to make maps, by name. Many a network ends in a map of 2 x 2 pixels, in which nothing is seen: "fine" are
those of the last map of 8 pixels a side or more, which may be an early one."""


def _averaged(gradient: Tensor, each: Tensor) -> Tensor:
    return gradient.mean(dim=(2, 3), keepdim=True) * each


def _activation_maps(
    network: Network, images: Tensor, targets: Tensor, weigh: Weight, smallest: int
) -> Floats:
    """Weigh the last maps by their gradients, and add them up in the frame of the images."""
    with quiet(network), torch.enable_grad():
        maps, logits = _last_maps(network, images.clone().requires_grad_(True), smallest)
        score = logits.gather(1, targets[:, None]).sum()
        gradients = torch.autograd.grad(score, [each for _, each in maps])
    total = torch.zeros((len(images), *images.shape[2:]), dtype=torch.float64)
    for (_, each), gradient in zip(maps, gradients, strict=True):
        evidence = weigh(gradient, each.detach()).sum(dim=1, keepdim=True).double()
        # Many pixels of the image share what one of the map contributes.
        share = each.shape[2] * each.shape[3] / (images.shape[2] * images.shape[3])
        total += F.interpolate(evidence * share, images.shape[2:], mode="bilinear")[:, 0].cpu()
    return np.asarray(total.clamp(min=0).numpy())


def _last_maps(network: Network, images: Tensor, smallest: int) -> tuple[Named, Tensor]:
    """Run a network; give its last maps that are large enough, by module, and the logits.

    A map is last if a path of the graph leads from it to the logits through no other map.
    """
    made: dict[tuple[Any, int], tuple[str, Tensor]] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.dim() == 4 and max(output.shape[2:]) >= smallest:
                key = (output.grad_fn, output.output_nr)
                if output.grad_fn is not None and key not in made:
                    made[key] = (name, output)

        return hook

    handles = [part.register_forward_hook(keep(name)) for name, part in network.named_modules() if name]
    try:
        logits = network(images)
    finally:
        for handle in handles:
            handle.remove()
    last = _frontier((logits.grad_fn, 0), set(made))
    if not last:
        raise DataError(
            f"network {network.name} has no map of {smallest} pixels a side or more on its way to the logits; "
            "method 'occlusion' needs none"
        )
    return [made[key] for key in made if key in last], logits


def _frontier(start: tuple[Any, int], marked: set[tuple[Any, int]]) -> set[tuple[Any, int]]:
    """Walk the graph of gradients from the logits back, and stop at every marked node."""
    found, seen, waiting = set(), {start}, [start]
    while waiting:
        node = waiting.pop()
        if node in marked:
            found.add(node)
            continue
        following = getattr(node[0], "next_functions", ())
        fresh = [each for each in following if each[0] is not None and each not in seen]
        seen.update(fresh)
        waiting += fresh
    return found


def _starts(length: int, side: int) -> list[int]:
    """Give the first pixels of patches that overlap by half or more: the same seen from both edges."""
    last = length - side
    ahead = range(0, last // 2 + 1, max(1, side // 2))
    return sorted({*ahead, *(last - start for start in ahead)})


def _occlude(
    network: Network, image: Tensor, target: int, corners: list[tuple[int, int]], side: int
) -> Floats:
    """Blank each patch of one image (channels, h, w) that is not blank already; spread the drop over it."""
    sky = image.flatten(1).median(dim=1).values[:, None, None]
    filled = [(y, x) for y, x in corners if bool((image[:, y : y + side, x : x + side] != sky).any())]
    before = _log_odds(network, image[None], target)
    drops: list[float] = []
    for start in range(0, len(filled), BATCH):
        part = filled[start : start + BATCH]
        copies = image.repeat(len(part), 1, 1, 1)
        for copy, (y, x) in zip(copies, part, strict=True):
            copy[:, y : y + side, x : x + side] = sky
        drops += (before - _log_odds(network, copies, target)).tolist()
    lost = dict(zip(filled, drops, strict=True))
    total, covered = np.zeros(image.shape[1:]), np.zeros(image.shape[1:])
    for y, x in corners:
        total[y : y + side, x : x + side] += lost.get((y, x), 0.0)
        covered[y : y + side, x : x + side] += 1
    return np.asarray(total / covered)


def _log_odds(network: Network, images: Tensor, target: int) -> Tensor:
    """Give log(p / (1 - p)) of a class, float64, shape (n,)."""
    logits = network(images).double()
    scores = F.logsigmoid(logits) if network.activation_name == "sigmoid" else logits
    rest = torch.cat((scores[:, :target], scores[:, target + 1 :]), dim=1)
    return (scores[:, target] - rest.logsumexp(dim=1)).cpu()
