"""Checkpoints at the edges of epochs, as safetensors: weights, optimiser, schedule, history.

Random numbers need no place here: every epoch draws from seeds that are derived from its number.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from rgbench.errors import StoreError, check_regular, one_line
from rgbench.store.files import check_version, write_bytes

VERSION = 1
"""Of all files of tensors; those of before had none, and are read as 1."""
_VERSION, _CHECKSUM = "format_version", "sha256"


ANEW = "delete the file, and the run begins anew"


def save_weights(path: Path, network: nn.Module) -> None:
    """Write the weights of a network to a safetensors file, atomically."""
    write_tensors(path, network.state_dict(), {})


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
    """Load what `save_checkpoint` wrote; give the state.

    Raises
    ------
    StoreError
        If the file is damaged, or no checkpoint of such a network.
    """
    try:
        return _load(path, network, optimizer)
    except StoreError as error:
        raise StoreError(f"{error}; {ANEW}") from error
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        why = (str(error).splitlines() or [""])[0]
        raise StoreError(
            f"{path}: is no checkpoint of this run: {type(error).__name__}: {why}; {ANEW}"
        ) from error


def _load(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    tensors, metadata = read_tensors(path)
    prefix = "network."
    network.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    slots: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".")
            slots.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
    for weight, own in optimizer.state.items():
        own |= {name: _laid_out_as(value, weight) for name, value in own.items()}
    state: dict[str, Any] = json.loads(metadata["state"])
    return state


def _laid_out_as(value: Tensor, weight: Tensor) -> Tensor:
    """Give a value with the order in memory of the weight it belongs to, as files have one order for all.

    PyTorch's fused Adam goes through both in the order of memory, and would take the wrong numbers together.
    """
    if value.shape != weight.shape or value.stride() == weight.stride():
        return value
    return torch.empty_like(weight, dtype=value.dtype).copy_(value)


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write tensors and metadata to a safetensors file, atomically, with a checksum of both.

    Equal ones become equal bytes.
    """
    portable = _portable(tensors)
    own = {_VERSION: str(VERSION), _CHECKSUM: checksum(portable, metadata)}
    write_bytes(path, _ordered(save(portable, metadata=metadata | own)))


def _ordered(content: bytes) -> bytes:
    """Give a safetensors file with its metadata in the order of the keys; the library's order is another every time."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[start:]


def checksum(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    """Give the SHA-256 of tensors and metadata, whatever their order; a file's own version and checksum left out.

    Examples
    --------
    >>> one = checksum({"a": torch.ones(2)}, {})
    >>> one == checksum({"a": torch.ones(2)}, {"sha256": one}), one == checksum({"a": torch.ones(1, 2)}, {})
    (True, False)
    """
    told = {key: value for key, value in metadata.items() if key not in (_VERSION, _CHECKSUM)}
    found = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for name in sorted(tensors):
        value = tensors[name]
        found.update(f"\n{name} {value.dtype} {tuple(value.shape)}\n".encode())
        found.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _portable(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and the metadata of a safetensors file, which holds no code.

    Raises
    ------
    StoreError
        If it cannot be read, is of a newer version, or differs from the checksum that was written with it. Files of
        before, and of others, have no checksum and are taken as they are.
    """
    try:
        check_regular(path)
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{path}: weights cannot be read: {one_line(error)}") from error
    version = metadata.get(_VERSION, str(VERSION))
    check_version(path, int(version) if version.isdecimal() else version, VERSION)
    if _CHECKSUM in metadata and metadata[_CHECKSUM] != checksum(tensors, metadata):
        raise StoreError(
            f"{path}: is damaged: its content differs from the checksum that was written with it"
        )
    return tensors, metadata
