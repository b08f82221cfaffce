"""Doors for networks from elsewhere: ``module:callable`` and ``timm:NAME``.

A callable takes ``image_size``, ``n_classes`` and ``channels`` and returns a torch module that
gives logits. The module is wrapped, so that it can do what a network of the catalogue can.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from rgbench.errors import DataError, SpecError
from rgbench.networks.analysis import ImageSize, image_shape
from rgbench.networks.catalogue import NetworkFactory
from rgbench.networks.modules import Network, ends_in_softmax


class ForeignNetwork(Network):
    """A module from elsewhere with the face of a network of the catalogue; its outputs are softmax.

    Attributes
    ----------
    inner : torch.nn.Module
        The module. It has no L2 term, and its layers are not known.
    """

    def __init__(
        self, name: str, inner: nn.Module, image_size: ImageSize, n_classes: int, channels: int
    ) -> None:
        super().__init__(name, image_size, n_classes, channels)
        self.inner = inner

    def logits(self, x: Tensor) -> Tensor:
        """Compute the logits of images (n, channels, rows, columns); another shape raises `DataError`."""
        logits = self.inner(x)
        expected = (x.shape[0], self.n_classes)
        if not isinstance(logits, Tensor) or tuple(logits.shape) != expected:
            found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise DataError(f"network {self.name} gave {found}; expected logits of shape {expected}")
        return logits


def build_foreign(
    name: str, image_size: ImageSize, n_classes: int, channels: int, generator: torch.Generator
) -> ForeignNetwork:
    """Build the network behind ``module:callable`` or ``timm:NAME``.

    Raises
    ------
    SpecError
        If the module cannot be imported, has no such callable, timm does not know the name, the
        callable returns no module, or the module ends in a softmax.
    """
    door, _, target = name.partition(":")
    if not door or not target:
        raise SpecError(f"network {name!r} is not of the form module:callable or timm:NAME")
    factory = timm_factory(target) if door == "timm" else import_factory(door, target)
    return wrap_factory(name, factory, image_size, n_classes, channels, generator)


def import_factory(module_name: str, attribute: str) -> NetworkFactory:
    """Import ``module:callable``; `SpecError` says what is missing."""
    module = _import(module_name, f"network {module_name}:{attribute}")
    factory = getattr(module, attribute, None)
    if not callable(factory):
        raise SpecError(f"network {module_name}:{attribute}: the module has no callable {attribute!r}")
    return factory  # type: ignore[no-any-return]


def timm_factory(name: str) -> NetworkFactory:
    """Make the factory of an untrained timm network; timm is imported here, and not before."""
    timm = _import("timm", f"network timm:{name} needs the optional package timm (pip install timm)")
    if name.split(".")[0] not in set(timm.list_models()):
        near = timm.list_models(f"*{name[:6]}*")[:3]
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise SpecError(f"timm has no network {name!r}{hint}")

    def make(*, image_size: ImageSize, n_classes: int, channels: int) -> Any:
        del image_size
        return timm.create_model(name, pretrained=False, num_classes=n_classes, in_chans=channels)

    return make


def count_foreign(model: Network) -> dict[str, int]:
    """Count a network whose layers are not known, by one pass of one empty image.

    Returns
    -------
    dict
        ``parameters`` (running statistics of batch normalisation included, as for the catalogue),
        ``trainable_parameters``, and ``macs`` of two-dimensional convolutions and dense layers per image.
    """
    macs: list[int] = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        del inputs
        if isinstance(module, nn.Conv2d | nn.Linear):
            macs.append(output.numel() * module.weight[0].numel())

    counted = [part for part in model.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    handles = [part.register_forward_hook(count) for part in counted]
    rows, columns, channels = image_shape(model.image_size, model.channels)
    was_training = model.training
    with torch.no_grad():
        model.eval()(torch.zeros(1, channels, rows, columns))
    model.train(was_training)
    for handle in handles:
        handle.remove()
    trainable = sum(weight.numel() for weight in model.parameters())
    statistics = sum(buffer.numel() for buffer in model.buffers() if buffer.is_floating_point())
    return {"parameters": trainable + statistics, "trainable_parameters": trainable, "macs": sum(macs)}


def wrap_factory(
    name: str,
    factory: NetworkFactory,
    image_size: ImageSize,
    n_classes: int,
    channels: int,
    generator: torch.Generator,
) -> ForeignNetwork:
    """Call a factory and wrap its module.

    A module from elsewhere takes its weights from torch's default generator: that is set from
    `generator` for the call, and put back after it.
    """
    image_shape(image_size, channels)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_draw_seed(generator))
        inner = factory(image_size=image_size, n_classes=n_classes, channels=channels)
    if not isinstance(inner, nn.Module):
        raise SpecError(f"network {name} returned a {type(inner).__name__}, not a torch.nn.Module")
    if ends_in_softmax(inner):
        raise SpecError(f"network {name} ends in a softmax; networks give logits: remove its last layer")
    return ForeignNetwork(name, inner, image_size, n_classes, channels)


def _draw_seed(generator: torch.Generator) -> int:
    return int(torch.randint(2**63 - 1, (), generator=generator, device=generator.device))


def _import(module_name: str, purpose: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except (ImportError, RuntimeError, OSError) as error:
        raise SpecError(f"{purpose}: cannot import {module_name!r} ({error})") from error
