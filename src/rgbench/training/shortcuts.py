"""Shortcuts of training: what makes it faster and computes the same. Each can be left out, by an environment variable.

What each saves is measured in docs/speed.md. The batches, the loss and the rule by which weights change are the same
with and without them. `memory`, `relu` and `rotations` give the same bits; `adam`, `l2` and `norm` the same to
rounding; `dropout` draws other random numbers of the same distribution.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from itertools import groupby

import torch
from torch import nn

from rgbench.errors import SpecError, shown
from rgbench.networks.modules.dropout import Dropout
from rgbench.networks.modules.late_relus import compute_late
from rgbench.networks.modules.modules import KerasBatchNorm2d, Network
from rgbench.spec import RecipeSpec

VARIABLE = "RGBENCH_WITHOUT"
"""Environment variable that names the shortcuts to leave out, with commas between them, or "all"."""
_MMAP_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -4, -3, -1
"""Of mallopt, in glibc's malloc.h."""
_MMAPS, _LARGE = 65536, 32 << 20
"""Defaults of glibc: pieces that it asks for by themselves, and the bytes above which it always does."""


@dataclass(frozen=True)
class Shortcuts:
    """Which shortcuts are taken.

    Attributes
    ----------
    adam : bool
        The optimiser goes through weights, gradients and their moments once (PyTorch's fused Adam), not once for each
        of its operations.
    dropout : bool
        Two random bits decide on a number, see `rgbench.networks.modules.dropout`.
    l2 : bool
        The gradient of an L2 term is added by Adam itself, which costs no pass over the weights. AdamW has another
        weight decay; there the term stays part of the loss.
    memory : bool
        On a CPU the C library keeps freed memory for the next step, where it would give it back to the system and ask
        for it again, page by page. The process has its peak memory until the run ends. It needs glibc (Linux).
    norm : bool
        Batch normalisation of maps with few channels goes plane by plane; see
        `rgbench.networks.modules.modules.KerasBatchNorm2d`.
    relu : bool
        A ReLU before a max pool is computed after it, on fewer numbers, and in place where nothing needs what it
        overwrites; see `rgbench.networks.modules.late_relus`.
    rotations : bool
        Batches of rotated images that every epoch has are kept on a CPU, as what is not 0 in them; see
        `rgbench.images.batches.KeptBatches`.
    """

    adam: bool = True
    dropout: bool = True
    l2: bool = True
    memory: bool = True
    norm: bool = True
    relu: bool = True
    rotations: bool = True

    @classmethod
    def chosen(cls) -> Shortcuts:
        """Give those that the environment leaves; raise `SpecError` if it names another.

        Examples
        --------
        >>> Shortcuts.chosen() == Shortcuts()
        True
        """
        known = [field.name for field in fields(cls)]
        named = [word.strip() for word in os.environ.get(VARIABLE, "").split(",") if word.strip()]
        for word in named:
            if word not in (*known, "all"):
                raise SpecError(f"{VARIABLE}: found {shown(word)}; legal are {', '.join(known)}, and all")
        left_out = known if "all" in named else named
        return cls(**{name: name not in left_out for name in known})


NONE = Shortcuts(adam=False, dropout=False, l2=False, memory=False, norm=False, relu=False, rotations=False)
"""Everything as plain PyTorch does it."""


def shorten(network: nn.Module, shortcuts: Shortcuts) -> None:
    """Set the shortcuts of a network's layers, for training; weights, their names and inference stay as they are."""
    for module in network.modules():
        if isinstance(module, Dropout):
            module.quick = shortcuts.dropout
        elif isinstance(module, KerasBatchNorm2d):
            module.by_plane = shortcuts.norm
    compute_late(network, shortcuts.relu)


def make_optimizer(network: Network, recipe: RecipeSpec, shortcuts: Shortcuts) -> torch.optim.Optimizer:
    """Make the optimiser of a recipe.

    Parameters
    ----------
    network : Network
        On its device. The groups of parameters follow their order in the network.
    recipe : RecipeSpec
        The recipe.
    shortcuts : Shortcuts
        `adam` and `l2` count; `has_l2` tells whether the L2 term is left to this optimiser.

    Returns
    -------
    torch.optim.Optimizer
        Adam (Kingma & Ba 2015) or AdamW (Loshchilov & Hutter 2019).
    """
    terms = {}
    if has_l2(recipe, shortcuts):
        # The gradient of c sum(w^2) is 2 c w.
        terms = {id(kernel): 2 * coefficient for kernel, coefficient in network.regularised_kernels()}

    def decay(weight: nn.Parameter) -> float:
        return recipe.weight_decay + terms.get(id(weight), 0.0)

    groups = [
        {"params": list(alike), "weight_decay": each} for each, alike in groupby(network.parameters(), decay)
    ]
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    fused = True if shortcuts.adam and _can_fuse(network) else None
    return kind(groups, lr=recipe.learning_rate, eps=recipe.adam_epsilon, fused=fused)


def has_l2(recipe: RecipeSpec, shortcuts: Shortcuts) -> bool:
    """Tell whether the optimiser of a recipe adds the L2 term of the networks."""
    return shortcuts.l2 and recipe.l2 and recipe.optimizer == "adam"


def _can_fuse(network: nn.Module) -> bool:
    """Tell whether PyTorch has a fused Adam for all weights of a network, which goes through them in memory's order."""
    return all(
        weight.device.type in ("cpu", "cuda") and torch.is_floating_point(weight) and _is_dense(weight)
        for weight in network.parameters()
    )


def _is_dense(weight: torch.Tensor) -> bool:
    return weight.is_contiguous() or (
        weight.ndim == 4 and weight.is_contiguous(memory_format=torch.channels_last)
    )


@contextmanager
def memory_kept(wanted: bool = True) -> Iterator[None]:
    """Have the C library keep what is freed within, and give it back to the system at the end.

    A step of ConvNet-4 takes and frees gigabytes. glibc asks the system for each piece anew, which gives it in pages
    of 4 kB, each filled with 0 when it is first touched: a third of the step. Without glibc nothing changes.
    """
    library = ctypes.CDLL(None) if wanted and sys.platform.startswith("linux") else None
    if library is None or not hasattr(library, "mallopt") or not library.mallopt(_MMAP_MAX, 0):
        yield
        return
    library.mallopt(_TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        # glibc adapts these two by itself until they are set: what it arrives at with large pieces is set here.
        library.mallopt(_MMAP_THRESHOLD, _LARGE)
        library.mallopt(_TRIM_THRESHOLD, 2 * _LARGE)
        library.mallopt(_MMAP_MAX, _MMAPS)
        library.malloc_trim(0)
