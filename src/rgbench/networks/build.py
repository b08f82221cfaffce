"""Layers to torch module, and the one call that builds any network by its name."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from rgbench.errors import SpecError
from rgbench.networks.adapters import build_foreign, wrap_factory
from rgbench.networks.analysis import ImageSize, LayerFacts, analyse, resolve_classes
from rgbench.networks.catalogue import NetworkCard, networks
from rgbench.networks.modules import (
    BATCHNORM_EPSILON,
    BATCHNORM_MOMENTUM,
    ActivationModule,
    KerasBatchNorm1d,
    KerasConv2d,
    KerasLinear,
    KerasMaxPool2d,
    LayeredNetwork,
    Network,
    ends_in_softmax,
    initialise_,
)
from rgbench.networks.notation import (
    Activation,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Layer,
    MaxPool,
    parse_layers,
)

__all__ = ["Network", "build_layers", "build_network", "ends_in_softmax", "make_generator"]

OUTPUT_ACTIVATIONS = ("softmax", "sigmoid")
"""What a network may end in."""


def build_network(
    name: str,
    image_size: ImageSize = 150,
    n_classes: int = 4,
    channels: int = 1,
    seed: int | torch.Generator | None = None,
) -> Network:
    """Build a network by its name.

    Parameters
    ----------
    name : str
        A name of the catalogue or an alias; or ``module:callable``, or ``timm:NAME``
        (see `rgbench.networks.adapters`).
    image_size : int or (int, int)
        Side of the square images, or (rows, columns), in pixels.
    n_classes, channels : int
        Length of the output, channels of the images.
    seed : int or torch.Generator, optional
        Where the initial weights come from; by default they differ each time.

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
    if ":" in name:
        return build_foreign(name, image_size, n_classes, channels, generator)
    canonical = networks().canonical(name)
    item = networks().get(canonical)
    if isinstance(item, NetworkCard):
        model = build_layers(parse_layers(item.layers), image_size, n_classes, channels, generator)
        model.name = canonical
        return model
    return wrap_factory(canonical, item, image_size, n_classes, channels, generator)


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
    activation, kept = _without_output_activation(resolved)
    _check_outputs(facts, n_classes)
    generator = generator or make_generator(None)
    stack = nn.Sequential()
    flat_shape: tuple[int, ...] = ()
    for layer, entry in zip(kept, facts, strict=False):
        if isinstance(layer, Flatten):
            flat_shape = entry.input_shape
        stack.append(_make_module(layer, entry, flat_shape, generator))
        if isinstance(layer, Dense):
            flat_shape = ()
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


def _without_output_activation(layers: tuple[Layer, ...]) -> tuple[str, tuple[Layer, ...]]:
    """Split the output activation off the last layer."""
    last = layers[-1]
    if isinstance(last, Activation) and last.function in OUTPUT_ACTIVATIONS:
        return last.function, layers[:-1]
    if isinstance(last, Dense) and last.activation in OUTPUT_ACTIVATIONS:
        bare = Dense(last.units, "linear", last.l2, last.initialiser, last.seeded)
        return last.activation, (*layers[:-1], bare)
    raise SpecError(f"the last layer ({last}) must end in {' or '.join(OUTPUT_ACTIVATIONS)}")


def _check_outputs(facts: tuple[LayerFacts, ...], n_classes: int) -> None:
    if facts[-1].output_shape != (n_classes,):
        raise SpecError(
            f"the last layer ({facts[-1].text}) gives {facts[-1].output_shape}, not ({n_classes},): "
            "write FC{classes}"
        )


def _make_module(
    layer: Layer, facts: LayerFacts, flat_shape: tuple[int, ...], generator: torch.Generator
) -> nn.Module:
    """Make the module of one layer, weights filled."""
    if isinstance(layer, Conv):
        shape = (layer.filters, facts.input_shape[2], *layer.kernel)
        conv = KerasConv2d(shape, layer.stride, facts.pads)
        return _fill(conv, layer, generator)
    if isinstance(layer, Dense):
        dense = KerasLinear(facts.input_shape[0], facts.output_shape[0], flat_shape)
        return _fill(dense, layer, generator)
    if isinstance(layer, MaxPool):
        return KerasMaxPool2d(layer.window, layer.stride, facts.pads)
    if isinstance(layer, BatchNorm):
        if len(facts.input_shape) == 1:
            return KerasBatchNorm1d(facts.input_shape[0], flat_shape)
        return nn.BatchNorm2d(facts.input_shape[2], eps=BATCHNORM_EPSILON, momentum=BATCHNORM_MOMENTUM)
    if isinstance(layer, Dropout):
        return nn.Dropout(layer.rate)
    if isinstance(layer, Activation):
        return ActivationModule(layer.function)
    return nn.Flatten()


def _fill(
    module: KerasConv2d | KerasLinear, layer: Conv | Dense, generator: torch.Generator
) -> KerasConv2d | KerasLinear:
    """Set the activation and the initial weights of a layer that has a kernel."""
    module.activation = layer.activation
    initialise_(module.weight, layer.initialiser, generator)
    if module.bias is not None:
        nn.init.zeros_(module.bias)
    return module
