"""Doors for networks from elsewhere: ``module:callable`` and ``timm:NAME``.

A callable takes ``image_size``, ``n_classes`` and ``channels`` and returns a torch module that
gives logits. The module is wrapped, so that it can do what a network of the catalogue can.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rgbench.errors import DataError, RgbenchError, SpecError, one_line, shown
from rgbench.networks.cards import NetworkFactory
from rgbench.networks.modules.modules import Network, ends_in_softmax
from rgbench.networks.notation.analysis import ImageSize, image_shape


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
    words = [] if door == "timm" else [*door.split("."), target]
    if not target or not name.isprintable() or not all(word.isidentifier() for word in words):
        raise SpecError(f"network {shown(name)} is not of the form module:callable or timm:NAME")
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
    """Make the factory of an untrained timm network; timm is imported here, and not before.

    Networks that are made for one image size, such as vision transformers, are told the size.
    """
    timm = _import(
        "timm", f"network timm:{name} needs the optional package timm (pip install 'rgbench[timm]')"
    )
    if name.split(".")[0] not in set(timm.list_models()):
        near = timm.list_models(f"*{name[:6]}*")[:3]
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise SpecError(f"timm has no network {name!r}{hint}")

    def make(*, image_size: ImageSize, n_classes: int, channels: int) -> Any:
        options: dict[str, Any] = {"num_classes": n_classes, "in_chans": channels}
        if timm.get_pretrained_cfg_value(name, "fixed_input_size"):
            options["img_size"] = image_shape(image_size)[:2]
        return timm.create_model(name, pretrained=False, **options)

    return make


def count_foreign(model: Network) -> dict[str, Any]:
    """Count a network whose layers are not known, by one pass of one image of the model's own device.

    On the meta device nothing is computed and no weight is held.

    Returns
    -------
    dict
        ``parameters`` (running statistics of batch normalisation included, as for the catalogue),
        ``trainable_parameters``, ``macs`` per image (half of what torch's `FlopCounterMode` counts), and
        ``layer_table``, one entry per module without children, in the order in which they run.

    Raises
    ------
    SpecError
        If the network cannot run on images of its size.
    """
    table: list[dict[str, Any]] = []
    device = next((weight.device for weight in model.parameters()), torch.device("cpu"))
    image = torch.zeros(1, model.channels, *image_shape(model.image_size)[:2], device=device)
    was_training = model.training
    handles = [
        part.register_forward_hook(_recorder(name, table))
        for name, part in model.named_modules()
        if _is_leaf(part)
    ]
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model.eval()(image)
    except Exception as error:
        raise SpecError(
            f"network {model.name} cannot run on images of {model.image_size} pixels: {one_line(error)}"
        ) from error
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    trainable = sum(weight.numel() for weight in model.parameters())
    return {
        "parameters": trainable + _statistics(model),
        "trainable_parameters": trainable,
        "macs": counter.get_total_flops() // 2,
        "layer_table": table,
    }


def _is_leaf(module: nn.Module) -> bool:
    return next(module.children(), None) is None


def _statistics(module: nn.Module) -> int:
    """Count the numbers that are stored but not trained."""
    stored = module.state_dict(keep_vars=True).values()
    return sum(t.numel() for t in stored if not isinstance(t, nn.Parameter) and t.is_floating_point())


def _recorder(name: str, table: list[dict[str, Any]]) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
    """Make a hook that writes one row of the layer table."""

    def record(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        trainable = sum(weight.numel() for weight in module.parameters(recurse=False))
        table.append(
            {
                "position": name.removeprefix("inner."),
                "kind": type(module).__name__,
                "text": str(module),
                "input_shape": _shape(inputs[0] if inputs else None),
                "output_shape": _shape(output),
                "parameters": trainable + _statistics(module),
                "trainable_parameters": trainable,
                "macs": _module_macs(module, output),
            }
        )

    return record


def _shape(value: Any) -> tuple[int, ...]:
    """Give (rows, columns, channels) or (features,) of a module's tensor, as for the catalogue."""
    if not isinstance(value, Tensor):
        return ()
    shape = tuple(value.shape[1:])
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape


def _module_macs(module: nn.Module, output: Any) -> int:
    if isinstance(module, nn.Conv2d | nn.Linear) and isinstance(output, Tensor):
        return output[0].numel() * module.weight[0].numel()
    return 0


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
        try:
            inner = factory(image_size=image_size, n_classes=n_classes, channels=channels)
        except RgbenchError:
            raise
        except (Exception, SystemExit) as error:
            raise SpecError(
                f"network {name} raised {type(error).__name__} when it was made with image_size={image_size}, "
                f"n_classes={n_classes}, channels={channels}: {one_line(error)}"
            ) from error
    if not isinstance(inner, nn.Module):
        raise SpecError(f"network {name} returned a {type(inner).__name__}, not a torch.nn.Module")
    if next(inner.parameters(), None) is None:
        raise SpecError(f"network {name} has no parameters: there is nothing to train")
    if ends_in_softmax(inner):
        raise SpecError(f"network {name} ends in a softmax; networks give logits: remove its last layer")
    return ForeignNetwork(name, inner, image_size, n_classes, channels)


def _draw_seed(generator: torch.Generator) -> int:
    return int(torch.randint(2**63 - 1, (), generator=generator, device=generator.device))


def _import(module_name: str, purpose: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # a module's own code may raise anything
        reason = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        raise SpecError(f"{purpose}: cannot import {module_name!r} ({one_line(reason)})") from error
