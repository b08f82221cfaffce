"""The attention-gated network of Bowles et al. 2021 (MNRAS 501, 4579; arXiv 2012.01248).

Three blocks of three 3x3 convolutions with batch normalisation and ReLU, and a fourth of two, whose map is
the gating signal. Each gate weighs the map of one of the first three blocks, pixel by pixel, with a
compatibility score; the weighted maps are summed over the pixels, each sum gives class scores of its own,
and a last dense layer joins the three (the authors' aggregation "ft", fine-tuned).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rgbench.errors import SpecError
from rgbench.networks.notation.analysis import ImageSize, image_shape

FILTERS = (6, 16, 32)
"""Filters of the three gated blocks."""
GATING_FILTERS = 64
"""Filters of the fourth block, and of the space in which maps and gating signal are compared."""
SMALLEST = 16
"""Pixels; three pools leave 2."""


class AttentionGate(nn.Module):
    """Weighs a map by its compatibility with a gating signal (Oktay et al. 2018; Schlemper et al. 2019).

    Parameters
    ----------
    channels : int
        Channels of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.of_map = nn.Conv2d(channels, GATING_FILTERS, 1, bias=False)
        self.of_signal = nn.Conv2d(GATING_FILTERS, GATING_FILTERS, 1, bias=False)
        self.score = nn.Conv2d(GATING_FILTERS, 1, 1)

    def forward(self, x: Tensor, signal: Tensor) -> Tensor:
        """Give the attention map.

        Parameters
        ----------
        x : Tensor
            Map, (n, c, rows, columns).
        signal : Tensor
            Gating signal, (n, 64, rows', columns'), resampled bilinearly to the map.

        Returns
        -------
        Tensor
            Weights in [0, 1], (n, 1, rows, columns): scores, stretched to their range in each image.
        """
        size = [x.shape[2], x.shape[3]]
        compared = self.of_map(x) + F.interpolate(self.of_signal(signal), size=size, mode="bilinear")
        scores: Tensor = self.score(F.relu(compared))
        low, high = scores.amin(dim=(2, 3), keepdim=True), scores.amax(dim=(2, 3), keepdim=True)
        return (scores - low) / (high - low).clamp(min=1e-6)


class AttentionGatedNetwork(nn.Module):
    """The whole network; images of (n, channels, rows, columns) to logits (n, n_classes)."""

    def __init__(self, n_classes: int, channels: int) -> None:
        super().__init__()
        inputs = (channels, *FILTERS[:-1])
        self.blocks = nn.ModuleList(_block(i, f, 3) for i, f in zip(inputs, FILTERS, strict=True))
        self.signal = _block(FILTERS[-1], GATING_FILTERS, 2)
        self.gates = nn.ModuleList(AttentionGate(filters) for filters in FILTERS)
        self.dropout = nn.Dropout(0.5)
        self.scorers = nn.ModuleList(nn.Linear(filters, n_classes) for filters in FILTERS)
        self.join = nn.Linear(n_classes * len(FILTERS), n_classes)

    def attention(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Give the maps of the three blocks and their attention maps, finest first."""
        maps = []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
            x = F.max_pool2d(x, 2)
        signal = self.signal(x)
        return maps, [gate(each, signal) for gate, each in zip(self.gates, maps, strict=True)]

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits."""
        maps, weights = self.attention(x)
        scores = []
        for scorer, each, weight in zip(self.scorers, maps, weights, strict=True):
            summed = self.dropout((each * weight).sum(dim=(2, 3)))
            scores.append(F.relu(scorer(summed)))
        logits: Tensor = self.join(torch.cat(scores, dim=1))
        return logits


def attention_gated(*, image_size: ImageSize, n_classes: int, channels: int) -> AttentionGatedNetwork:
    """Make the network.

    Raises
    ------
    SpecError
        If the images have fewer than 16 pixels a side.

    Examples
    --------
    >>> network = attention_gated(image_size=32, n_classes=4, channels=1)
    >>> tuple(network(torch.zeros(2, 1, 32, 32)).shape)
    (2, 4)
    """
    if min(image_shape(image_size)[:2]) < SMALLEST:
        raise SpecError(f"ag-cnn needs images of {SMALLEST} x {SMALLEST} pixels or more, not {image_size}")
    return AttentionGatedNetwork(n_classes, channels)


def _block(channels: int, filters: int, depth: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for place in range(depth):
        conv = nn.Conv2d(channels if place == 0 else filters, filters, 3, padding=1)
        layers += [conv, nn.BatchNorm2d(filters), nn.ReLU()]
    return nn.Sequential(*layers)
