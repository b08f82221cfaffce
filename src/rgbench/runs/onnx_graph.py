"""A torch module as an ONNX graph."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rgbench.errors import DataError, one_line
from rgbench.networks.modules.build import Network
from rgbench.runs.embedding import with_hidden

OPSET = 18
"""Version of the operators of ONNX."""
IMAGES, LOGITS, HIDDEN = "images", "logits", "hidden"
"""What the input and the outputs of a network's graph are called."""


class _WithHidden(nn.Module):
    """A network that gives its hidden layer too."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Give logits (n, n_classes), and what the last layer reads (n, d)."""
        return with_hidden(self.network, images)


def network_graph(network: Network) -> bytes:
    """Give a network as an ONNX graph, whose outputs are `LOGITS` and `HIDDEN`; see `graph_of`."""
    return bytes(
        graph_of(_WithHidden(network.eval()), example_of(network), [LOGITS, HIDDEN]).SerializeToString()
    )


def example_of(network: Network) -> Tensor:
    """Give images such as a network takes, two of them."""
    size = network.image_size
    rows, columns = (size, size) if isinstance(size, int) else size
    device = next((each.device for each in network.parameters()), torch.device("cpu"))
    return torch.zeros(2, network.channels, rows, columns, device=device)


def graph_of(module: nn.Module, example: Tensor, outputs: Sequence[str]) -> Any:
    """Write a module in evaluation mode as an ONNX model.

    Parameters
    ----------
    module : torch.nn.Module
        Takes images (n, channels, rows, columns), n of which may be any number.
    example : Tensor
        Such images, two or more.
    outputs : sequence of str
        Names of what it gives.

    Returns
    -------
    onnx.ModelProto
        With operators of version `OPSET`; the input is called `IMAGES`.

    Raises
    ------
    DataError
        If an operation of the module has no counterpart in ONNX.
    """
    count = torch.export.Dim("count", min=1)
    try:
        with _quietly(), torch.no_grad():
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                dynamic_shapes=({0: count},),
                input_names=[IMAGES],
                output_names=list(outputs),
                opset_version=OPSET,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise DataError(f"the network cannot be written as ONNX: {one_line(error)}") from error
    if program is None:
        raise DataError("the network cannot be written as ONNX")
    return program.model_proto


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep the exporter from telling of what is no concern of ours: other packages' operators, its own future."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
