"""Layers to torch module, and the one call that builds any network by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from rgbench.errors import SpecError
from rgbench.networks.cards import NetworkCard
from rgbench.networks.catalogue import networks
from rgbench.networks.modules import dropout
from rgbench.networks.modules.foreign import build_foreign, import_factory, wrap_factory
from rgbench.networks.modules.groups import GroupConv2d, GroupPool2d
from rgbench.networks.modules.modules import (
    ActivationModule,
    BlurPool2d,
    BranchModule,
    ChannelNorm,
    DiscMask,
    GlobalPool2d,
    KerasBatchNorm1d,
    KerasBatchNorm2d,
    KerasConv2d,
    KerasLinear,
    KerasMaxPool2d,
    LayeredNetwork,
    Network,
    RingPool2d,
    ends_in_softmax,
    initialise_,
)
from rgbench.networks.notation.analysis import (
    ImageSize,
    LayerFacts,
    analyse,
    check_outputs,
    resolve_classes,
    split_output,
)
from rgbench.networks.notation.geometry import Shape
from rgbench.networks.notation.kinds import kind_of
from rgbench.networks.notation.layers import (
    Activation,
    BatchNorm,
    BlurPool,
    Branches,
    Conv,
    Dense,
    DepthwiseConv,
    Disc,
    Dropout,
    Flatten,
    GlobalPool,
    GroupConv,
    GroupPool,
    Layer,
    LayerNorm,
    LeakyReLU,
    MaxPool,
    RingPool,
)
from rgbench.networks.notation.notation import parse_layers

__all__ = ["Network", "build_layers", "build_network", "ends_in_softmax", "make_generator"]


def build_network(
    name: str,
    image_size: ImageSize = 150,
    n_classes: int = 4,
    channels: int = 1,
    seed: int | torch.Generator | None = None,
    device: str | None = None,
) -> Network:
    """Build a network by its name.

    Parameters
    ----------
    name : str
        A name of the catalogue or an alias; or ``module:callable``, or ``timm:NAME``
        (see `rgbench.networks.modules.foreign`).
    image_size : int or (int, int)
        Side of the square images, or (rows, columns), in pixels.
    n_classes, channels : int
        Length of the output, channels of the images.
    seed : int or torch.Generator, optional
        Where the initial weights come from; by default they differ each time.
    device : str, optional
        ``meta`` builds the network without any weight: shapes can be had from it, nothing else.

    Returns
    -------
    Network
        A torch module. It takes (n, channels, rows, columns) float32 and gives logits (n, n_classes), and has
        ``activate(logits)``, ``activation_name``, ``l2_penalty()``, ``regularised_kernels()``,
        ``name``, ``layers``, ``image_size``, ``n_classes`` and ``channels``.

    Raises
    ------
    SpecError
        If the name is unknown, or the network cannot be built at this size.

    Examples
    --------
    >>> model = build_network("mcrgnet", image_size=100, seed=8901)
    >>> tuple(model(torch.zeros(2, 1, 100, 100)).shape)
    (2, 4)
    """
    generator = make_generator(seed)
    with torch.device(device) if device else nullcontext():
        return _build_named(name, image_size, n_classes, channels, generator)


def _build_named(
    name: str, image_size: ImageSize, n_classes: int, channels: int, generator: torch.Generator
) -> Network:
    if ":" in name:
        return build_foreign(name, image_size, n_classes, channels, generator)
    canonical = networks().canonical(name)
    item = networks().get(canonical)
    if not isinstance(item, NetworkCard):
        return wrap_factory(canonical, item, image_size, n_classes, channels, generator)
    if item.factory:
        module, _, attribute = item.factory.partition(":")
        factory = import_factory(module, attribute)
        return wrap_factory(canonical, factory, image_size, n_classes, channels, generator)
    model = build_layers(parse_layers(item.layers), image_size, n_classes, channels, generator)
    model.name = canonical
    return model


def build_layers(
    layers: Sequence[Layer],
    image_size: ImageSize,
    n_classes: int,
    channels: int = 1,
    generator: torch.Generator | None = None,
) -> LayeredNetwork:
    """Build the module of a tuple of layers; arguments as in `build_network`."""
    facts = analyse(layers, image_size, n_classes, channels).layers
    resolved = resolve_classes(layers, n_classes)
    activation, kept = split_output(resolved)
    check_outputs(facts[-1].output_shape, facts[-1].text, n_classes)
    builder = _Builder(iter(facts), generator or make_generator(None))
    stack, _ = builder.build(kept, ())
    model = LayeredNetwork(resolved, stack, image_size, n_classes, channels)
    model.activation_name = activation
    return model


def make_generator(seed: int | torch.Generator | None) -> torch.Generator:
    """Make a generator from a seed; without one, from the entropy of the machine."""
    if isinstance(seed, torch.Generator):
        return seed
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator


@dataclass
class _Builder:
    """Makes modules in the order of the analysis, whose entries it takes one by one."""

    facts: Iterator[LayerFacts]
    generator: torch.Generator

    def build(
        self, layers: Sequence[Layer], flat: tuple[Shape, ...]
    ) -> tuple[nn.Sequential, tuple[Shape, ...]]:
        """Build layers in a row; `flat` holds the maps whose flattened pixels make up the vector."""
        stack = nn.Sequential()
        for layer in layers:
            module, flat = self._build_one(layer, flat)
            stack.append(module)
        return stack, flat

    def _build_one(self, layer: Layer, flat: tuple[Shape, ...]) -> tuple[nn.Module, tuple[Shape, ...]]:
        if isinstance(layer, Branches):
            built = [self.build(branch, flat) for branch in layer.branches]
            facts = next(self.facts)
            joined = tuple(shape for _, inner in built for shape in inner) if layer.merge == "Concat" else ()
            return BranchModule(layer.merge, [stack for stack, _ in built]), joined or _plain(
                facts.output_shape
            )
        facts = next(self.facts)
        module = self._make(layer, facts, flat)
        if isinstance(layer, Flatten):
            return module, (facts.input_shape,)
        changed = facts.output_shape != facts.input_shape
        return module, _plain(facts.output_shape) if changed or isinstance(layer, Dense) else flat

    def _make(self, layer: Layer, facts: LayerFacts, flat: tuple[Shape, ...]) -> nn.Module:
        """Make the module of one layer, weights filled."""
        kind = kind_of(str(layer).split()[0])
        if kind.module is not None:
            return _checked(layer, kind.module(layer, facts, self.generator))
        if isinstance(layer, Dense):
            dense = KerasLinear(facts.input_shape[0], facts.output_shape[0], flat)
            return self._fill(dense, layer.activation, layer.initialiser)
        if isinstance(layer, BatchNorm) and len(facts.input_shape) == 1:
            return KerasBatchNorm1d(facts.input_shape[0], flat)
        if isinstance(layer, Conv):
            shape = (layer.filters, facts.input_shape[2], *layer.kernel)
            return self._fill(
                KerasConv2d(shape, layer.stride, facts.pads), layer.activation, layer.initialiser
            )
        if isinstance(layer, DepthwiseConv):
            channels = facts.input_shape[2]
            conv = KerasConv2d((channels, channels, *layer.kernel), layer.stride, facts.pads, groups=channels)
            return self._fill(conv, "linear", layer.initialiser)
        if isinstance(layer, GroupConv):
            group_conv = GroupConv2d(
                facts.input_shape[2], layer.fields, layer.size, layer.group, facts.pads, layer.lift
            )
            initialise_(group_conv.weight, "he", self.generator)
            return group_conv
        if type(layer) not in _PLAIN:
            raise SpecError(f"layer {facts.position} ({layer}): its kind has no module")
        return _PLAIN[type(layer)](layer, facts)

    def _fill(self, module: KerasConv2d | KerasLinear, activation: str, initialiser: str) -> nn.Module:
        """Set the activation and the initial weights of a layer that has a kernel."""
        module.activation = activation
        initialise_(module.weight, initialiser, self.generator)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
        return module


def _checked(layer: Layer, module: Any) -> nn.Module:
    """Give the module that the kind of a layer from elsewhere made; `SpecError` if it is none."""
    if not isinstance(module, nn.Module):
        raise SpecError(f"layer {layer}: its kind made a {type(module).__name__}, not a torch.nn.Module")
    return module


def _plain(shape: Shape) -> tuple[Shape, ...]:
    """Describe a vector that is no flattened map; nothing for a map."""
    return (shape,) if len(shape) == 1 else ()


def _blur(layer: BlurPool, facts: LayerFacts) -> nn.Module:
    return BlurPool2d(facts.input_shape[2], layer.window(facts.input_shape).kernel)


_PLAIN: dict[type[Layer], Callable[[Any, LayerFacts], nn.Module]] = {
    Activation: lambda layer, facts: ActivationModule(layer.function),
    BatchNorm: lambda layer, facts: KerasBatchNorm2d(facts.input_shape[2]),
    BlurPool: _blur,
    Disc: lambda layer, facts: DiscMask(facts.input_shape[0], facts.input_shape[1]),
    Dropout: lambda layer, facts: dropout.Dropout(layer.rate),
    Flatten: lambda layer, facts: nn.Flatten(),
    GlobalPool: lambda layer, facts: GlobalPool2d(),
    GroupPool: lambda layer, facts: GroupPool2d(layer.group),
    LayerNorm: lambda layer, facts: ChannelNorm(facts.input_shape[-1]),
    LeakyReLU: lambda layer, facts: nn.LeakyReLU(layer.slope),
    MaxPool: lambda layer, facts: KerasMaxPool2d(layer.size, layer.stride, facts.pads),
    RingPool: lambda layer, facts: RingPool2d(facts.input_shape[0], facts.input_shape[1], layer.rings),
}
"""How a module is made of each layer without a kernel."""
