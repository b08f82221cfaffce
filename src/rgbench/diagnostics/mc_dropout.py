"""Monte-Carlo dropout: a stored run's network is asked again and again, with its dropout left on.

One *pass* is one network: which units are off is drawn once, and holds for all sources and all views of a source.
So the units depend neither on the batch that a source came in nor on the device, and passes are members in the
sense in which seeds are. Layers of batch normalisation stay as they are at test time.

What passes differ in is what the dropout layers can move, no more: with dropout in the dense layers only, as the
protocol ``modern`` trains, the convolutions are the same in every pass, and doubt about what they see is unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rgbench.errors import SpecError
from rgbench.images.augment import views
from rgbench.measures.uncertainty import with_members
from rgbench.networks.modules.build import Network
from rgbench.networks.modules.modules import LayeredNetwork
from rgbench.runs.logits import RowLabels
from rgbench.runs.prepare import make_network
from rgbench.runs.reopen import StoredRun
from rgbench.seeds import derive_seed
from rgbench.spec import RecipeSpec
from rgbench.store.doubt import DOUBT_FILE, MC_DROPOUT, read_doubt
from rgbench.store.tables import MODELS, SIDES, Predictions, concatenate, log_probabilities, write_predictions
from rgbench.training.loop import autocast, keep_dropout

PASSES = 20
"""Passes where nothing else is asked for."""


OnProgress = Callable[[int, int], None]
"""Called with the number of images that are done, and that of all."""


def _ignore(done: int, total: int) -> None:
    """Say nothing of how far the work is."""


def mc_dropout(run: StoredRun, passes: int = PASSES, on_progress: OnProgress = _ignore) -> Predictions:
    """Predict the validation and test sources of a stored run with dropout on; keep the rows beside the run.

    Parameters
    ----------
    run : StoredRun
        A complete run. ``doubt.parquet`` in its directory is written; where it is there already with as many
        passes or more, nothing is computed. Another process that asks the run meanwhile is waited for.
    passes : int
        Number of passes, 2 or more. Pass i is the same whatever their number.
    on_progress : callable
        Told how far the work is, again and again.

    Returns
    -------
    Predictions
        Rows of condition "mc-dropout", of the best and the final model: member 0 is the mean of the
        probabilities, members 1, 2, ... are the passes. The logits are log-probabilities.

    Raises
    ------
    SpecError
        If the run was imported or trained without dropout, or there are too few passes.
    DataError
        If its data are not to be had.
    StoreError
        If the table cannot be read or written.

    References
    ----------
    Gal & Ghahramani 2016, arXiv:1506.02142; the same mask for all sources: Kirsch et al. 2019, arXiv:1906.08158.
    """
    if passes < 2:
        raise SpecError(f"passes: found {passes}; 2 or more are needed, their differences are the doubt")
    if why := no_dropout(run):
        raise SpecError(f"run {run.run_id}: {why}")
    with run.store.lock(run.run_id):
        known = read_doubt(run.store, run.run_id)
        if known is not None and int(known.member.max(initial=0)) >= passes:
            return known
        table = concatenate(list(_answers(run, passes, on_progress)))
        write_predictions(run.store.run_path(run.run_id) / DOUBT_FILE, table)
    return table


def _answers(run: StoredRun, passes: int, on_progress: OnProgress) -> Iterator[Predictions]:
    """Give the rows of each side and model: the mean, and the passes."""
    networks = {model: run.network(model, dropout=True, channels_last=True) for model in MODELS}
    told = _Count(len(networks) * sum(len(run.side(side)) for side in SIDES), on_progress)
    for side in SIDES:
        index = run.side(side)
        batches = run.images(index).plain(np.arange(len(index)))
        for model, network in networks.items():
            masks = Masks(run.spec.seed, passes)
            logits = predict_passes(network, told.through(batches.images()), masks, run.spec.recipe)
            scores = log_probabilities(logits, run.activation)
            rows = RowLabels(run.run_id, run.outputs, side, model).predictions(run.dataset, index, logits[0])
            yield with_members(rows, MC_DROPOUT, scores)


class _Count:
    """Counts images on their way to a network, and says how many are done."""

    def __init__(self, total: int, on_progress: OnProgress) -> None:
        self._done, self._total, self._on_progress = 0, total, on_progress

    def through(self, batches: Iterator[Tensor]) -> Iterator[Tensor]:
        """Give batches on; each is done when the next one is asked for."""
        for images in batches:
            yield images
            self._done += len(images)
            self._on_progress(self._done, self._total)


class Masks:
    """Which units are on in each pass, layer by layer as images meet them; a forward hook of dropout layers.

    Parameters
    ----------
    seed : int
        The run's seed; each pass has a stream of its own.
    passes : int
        Number of passes.
    """

    def __init__(self, seed: int, passes: int) -> None:
        seeds = [derive_seed(seed, "dropout", mc_pass=number) for number in range(1, passes + 1)]
        self._generators = [torch.Generator().manual_seed(each) for each in seeds]
        self._kept: list[list[Tensor]] = [[] for _ in seeds]
        self._number = self._met = 0

    def __len__(self) -> int:
        return len(self._kept)

    def begin(self, number: int) -> None:
        """Turn to a pass, from 0, before images come to its first dropout layer."""
        self._number, self._met = number, 0

    def __call__(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:  # noqa: ARG002
        """Switch off the units of a layer's output (n, ...), the same for all n, and scale up the others."""
        rate, kept = float(module.p), self._kept[self._number]  # type: ignore[arg-type]
        if self._met == len(kept):
            drawn = torch.rand(output.shape[1:], generator=self._generators[self._number]) >= rate
            kept.append(drawn.to(output.device, output.dtype))
        mask = kept[self._met]
        self._met += 1
        return output * mask / (1 - rate)


def predict_passes(
    network: Network, batches: Iterator[Tensor], masks: Masks, recipe: RecipeSpec
) -> NDArray[np.float32]:
    """Apply a network to batches of images, pass after pass.

    Parameters
    ----------
    network : Network
        A network on the device of the images; dropout layers of rate 0 stay as they are. Its layers up to the
        first that is on are computed once, not in each pass.
    batches : iterator of Tensor, shape (n, channels, h, w)
        Images as the network expects them.
    masks : Masks
        The passes.
    recipe : RecipeSpec
        Precision, and the number of views of each image whose logits are averaged within a pass.

    Returns
    -------
    ndarray of float32, shape (passes, n_images, n_classes)
        Logits.

    Raises
    ------
    SpecError
        If no dropout layer is on.
    """
    network.eval()
    trunk, head = _cut(network)
    parts = []
    with torch.inference_mode(), _hooked(network, masks):
        for images in batches:
            total = torch.zeros(len(masks), len(images), network.n_classes, device=images.device)
            with autocast(images.device, recipe.precision):
                for view in views(images, recipe.views):
                    seen = trunk(view)
                    for number in range(len(masks)):
                        masks.begin(number)
                        total[number] += head(seen).float()
            parts.append((total / recipe.views).cpu())
    if not parts:
        return np.zeros((len(masks), 0, network.n_classes), dtype=np.float32)
    return torch.cat(parts, dim=1).numpy()


def no_dropout(run: StoredRun) -> str:
    """Say why a run cannot be asked again with dropout on; "" if it can."""
    network, where = make_network(run.spec, len(run.classes)), run.spec.recipe.dropout
    has = len(dropout_layers(network))
    keep_dropout(network, where)
    if dropout_layers(network):
        return ""
    why = f"recipe.dropout is {where!r}, which leaves none of its {has} on" if has else "it has none"
    return f"{run.spec.network.name} has no dropout layer to leave on: {why}"


def dropout_layers(network: nn.Module) -> list[nn.Module]:
    """List the dropout layers of a network that are on."""
    return [module for module in network.modules() if isinstance(module, nn.Dropout) and module.p > 0]


def _cut(network: Network) -> tuple[nn.Module, nn.Module]:
    """Part a network before its first dropout layer that is on."""
    if not dropout_layers(network):
        raise SpecError(f"{network.name}: no dropout layer is on")
    if not isinstance(network, LayeredNetwork):
        return nn.Identity(), network
    first = next(i for i, child in enumerate(network.stack) if dropout_layers(child))
    return network.stack[:first], network.stack[first:]


@contextmanager
def _hooked(network: Network, masks: Masks) -> Iterator[None]:
    handles: Sequence[Any] = [each.register_forward_hook(masks) for each in dropout_layers(network)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
