"""Networks as data: names, descriptions and, through `rgbench.networks.build`, torch modules.

Importing this package does not import torch.
"""

from __future__ import annotations

from rgbench.networks.catalogue import (
    NetworkCard,
    NetworkFactory,
    Paper,
    canonical_name,
    describe_network,
    network_names,
    networks,
)

__all__ = [
    "NetworkCard",
    "NetworkFactory",
    "Paper",
    "canonical_name",
    "describe_network",
    "network_names",
    "networks",
]
