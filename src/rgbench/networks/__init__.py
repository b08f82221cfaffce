"""Networks as data: names, descriptions and, through `rgbench.networks.modules.build`, torch modules.

Importing this package does not import torch.
"""

from __future__ import annotations

from rgbench.networks.cards import NetworkCard, NetworkFactory
from rgbench.networks.catalogue import canonical_name, card_of, network_names, networks
from rgbench.networks.describe import describe_network
from rgbench.references import Paper

__all__ = [
    "NetworkCard",
    "NetworkFactory",
    "Paper",
    "canonical_name",
    "card_of",
    "describe_network",
    "network_names",
    "networks",
]
