"""Checkpoints at the edges of epochs, as safetensors: weights, optimiser, schedule, history.

Random numbers need no place here: every epoch draws from seeds that are derived from its number.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from rgbench.errors import StoreError
from rgbench.store.files import write_bytes


def save_weights(path: Path, network: nn.Module) -> None:
    """Write the weights of a network to a safetensors file, atomically."""
    write_bytes(path, save(_portable(network.state_dict())))


def load_weights(path: Path, network: nn.Module) -> None:
    """Load weights into a network; raise `StoreError` if the file does not fit it."""
    tensors, _ = read_tensors(path)
    fit_weights(path, tensors, network)


def fit_weights(path: Path, tensors: dict[str, Tensor], network: nn.Module) -> None:
    """Load the tensors of a file into a network; raise `StoreError` if they do not fit it."""
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        why = "; ".join(line.strip() for line in str(error).splitlines()[1:3]) or str(error)
        raise StoreError(f"{path}: the weights do not fit the network: {why}") from error


def save_checkpoint(
    path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    """Write weights, optimiser state and a JSON-able `state` to one safetensors file, atomically."""
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in slots.items()}
    write_tensors(path, tensors, {"state": json.dumps(state)})


def load_checkpoint(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Load what `save_checkpoint` wrote; give the state."""
    tensors, metadata = read_tensors(path)
    prefix = "network."
    network.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    slots: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".")
            slots.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
    state: dict[str, Any] = json.loads(metadata["state"])
    return state


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors and metadata to a safetensors file, atomically."""
    write_bytes(path, save(_portable(tensors), metadata=metadata))


def _portable(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and the metadata of a safetensors file, which holds no code; `StoreError` if it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{path}: weights cannot be read: {error}") from error
