"""A classifier as one ONNX file, for programs that have no PyTorch: fields go in, calibrated probabilities come out.

What the fields must be, and all that goes with the answer, stands in the metadata of the file.
"""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rgbench.errors import SpecError, StoreError
from rgbench.images.augment import views
from rgbench.images.network_input import EXACT, Preparation, kept_field
from rgbench.runs.classifier import AUTO_VIEWS, Classifier
from rgbench.runs.classifier_card import write_card
from rgbench.runs.engines import TORCH, choose_engine, onnx_session
from rgbench.runs.inputs import image_source
from rgbench.runs.onnx_graph import IMAGES, LOGITS, OPSET, example_of, graph_of
from rgbench.spec import RunSpec
from rgbench.store.files import check_output, write_bytes
from rgbench.training.checkpoint import checksum
from rgbench.version import version

ENDING = ".onnx"
PROBABILITIES = "probabilities"
"""The output that `LOGITS` become by the temperature."""
VERSION = 1
"""Of the metadata."""
PREFIX = "rgbench-"
"""Begins every key of the metadata."""
TOLERANCE = 1e-4
"""Largest difference of a probability from that of PyTorch."""
_TRIALS = 6


class _Whole(nn.Module):
    """All networks of a classifier and what becomes of their outputs."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        members = classifier.members
        self.networks = nn.ModuleList(member.network.eval() for member in members)
        self.activations = [member.outputs.activation for member in members]
        self.views = members[0].spec.recipe.views
        self.temperature = classifier.card.temperature

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Give log-probabilities before calibration, and calibrated probabilities, both (n, k)."""
        seen = list(views(images, self.views))
        scores = []
        for network, activation in zip(self.networks, self.activations, strict=True):
            logits = torch.stack([network(view) for view in seen]).mean(dim=0)
            raw = nn.functional.logsigmoid(logits) if activation == "sigmoid" else logits
            scores.append(torch.log_softmax(raw, dim=1))
        mean = torch.log_softmax(torch.stack(scores).mean(dim=0), dim=1)
        return mean, torch.softmax(mean / self.temperature, dim=1)


def write_onnx(path: Path, classifier: Classifier, overwrite: bool = False) -> None:
    """Write a classifier as one ONNX file, after it was compared with PyTorch.

    Parameters
    ----------
    path : Path
        Its ending is ``.onnx``.
    classifier : Classifier
        On the processor, with 1, 2, 4 or 8 views; they are in the graph.
    overwrite : bool
        Whether a file that is there is replaced.

    Raises
    ------
    SpecError
        If the ending is another, the file is there, the extra is not installed, or the classifier cannot be one graph.
    DataError
        If a network has an operation that ONNX has not.
    StoreError
        If the graph gives other probabilities than PyTorch.

    Examples
    --------
    ::

        write_onnx(Path("first-1.onnx"), rgbench.load_classifier())
    """
    check_onnx_path(path, overwrite)
    _check_one_graph(classifier)
    own = classifier.with_engine(TORCH)
    graph = graph_of(_Whole(own), example_of(own.members[0].network), [LOGITS, PROBABILITIES])
    for key, value in onnx_metadata(own).items():
        entry = graph.metadata_props.add()
        entry.key, entry.value = PREFIX + key, value
    import_module("onnx").checker.check_model(graph)
    content = bytes(graph.SerializeToString())
    _compare(path, content, own)
    write_bytes(path, content)


def check_onnx_path(path: Path, overwrite: bool) -> None:
    """Raise `SpecError` or `StoreError` if no ONNX file can be written to a path, or the extra is not installed."""
    choose_engine("onnx")
    if path.suffix != ENDING:
        raise SpecError(f"--out {path}: the ending is not {ENDING}")
    check_output(path, overwrite)


def onnx_metadata(classifier: Classifier) -> dict[str, str]:
    """Give what the metadata of the file says, as text; lists and records as JSON."""
    card = classifier.card
    domain = {"pixel_scale": card.domain.pixel_scale, "beam": card.domain.beam}
    told = {"classes": card.classes, "prior": card.prior, "domain": domain}
    conformal = None if card.conformal is None else card.conformal.model_dump(mode="json")
    return {
        "format": str(VERSION),
        "name": card.name,
        "preparation": Preparation.of(card.spec).words(),
        "views": str(classifier.members[0].spec.recipe.views),
        "temperature": repr(card.temperature),
        "conformal": json.dumps(conformal),
        "opset": str(OPSET),
        "sha256": checksum(_on_processor(classifier), write_card(card)),
        "data": card.data,
        "licence": card.licence,
        "not_for": card.not_for,
        "made_with": f"rgbench {version()}",
        **{key: json.dumps(value) for key, value in told.items()},
    }


def _on_processor(classifier: Classifier) -> dict[str, Tensor]:
    return {name: value.detach().cpu() for name, value in classifier.tensors().items()}


def _check_one_graph(classifier: Classifier) -> None:
    members = classifier.members
    first = members[0].spec
    if classifier.views == AUTO_VIEWS:
        raise SpecError(
            f"views: found {AUTO_VIEWS}; an ONNX file holds 1, 2, 4 or {EXACT} views of all images"
        )
    n_views = {member.spec.recipe.views for member in members}
    if n_views - {1, 2, 4, EXACT}:
        raise SpecError(
            f"views: found {max(n_views)}; an ONNX file holds 1, 2, 4 or {EXACT} views, as others are interpolated: "
            f"--views {EXACT}"
        )
    if len(n_views) > 1 or any(member.spec.images != first.images for member in members):
        raise SpecError(
            f"classifier {classifier.name}: its networks take images of different sizes or numbers of views; those of "
            "an ONNX file take the same"
        )
    if members[0].device != "cpu":
        raise SpecError(
            f"--device {members[0].device}: an ONNX file is written on the processor: --device cpu"
        )


def _compare(path: Path, content: bytes, classifier: Classifier) -> None:
    """Ask the graph and PyTorch about some sources, all at once and one alone."""
    exact = _in_float32(classifier)
    spec = exact.card.spec
    prepared = _sources(spec)
    batches = list(image_source(prepared, spec, "cpu").plain(np.arange(len(prepared))).images())
    fields = torch.cat(batches).contiguous().numpy()
    session = onnx_session(content, torch.get_num_threads())
    expected = exact.predict(prepared, prepared=True)
    for part in (slice(None), slice(1)):
        (found,) = session.run([PROBABILITIES], {IMAGES: fields[part]})
        off = float(np.abs(found - expected[part]).max())
        if not off <= TOLERANCE:
            raise StoreError(
                f"{path}: was not written: ONNX Runtime gives probabilities that differ from those of PyTorch by "
                f"{off:.2g}; at most {TOLERANCE:g} is legal"
            )


def _in_float32(classifier: Classifier) -> Classifier:
    """Give the same classifier whose networks compute in float32, as those of the file do."""
    members = []
    for member in classifier.members:
        recipe = member.spec.recipe.model_copy(update={"precision": "float32"})
        members.append(replace(member, spec=member.spec.model_copy(update={"recipe": recipe})))
    return replace(classifier, members=tuple(members))


def _sources(spec: RunSpec) -> NDArray[np.float32]:
    """Give prepared images of sources with two lobes, the same ones always."""
    side, chance = kept_field(spec), np.random.default_rng(1)
    place = np.arange(side, dtype=np.float64) - (side - 1) / 2
    images: NDArray[Any] = np.zeros((_TRIALS, side, side))
    for image in images:
        for x, y, width, peak in chance.uniform((-12, -12, 1.5, 0.2), (12, 12, 4.0, 1.0), (2, 4)):
            image += peak * np.exp(-((place[None, :] - x) ** 2 + (place[:, None] - y) ** 2) / (2 * width**2))
    images[images < 1e-3] = 0
    return np.asarray(images / images.max(axis=(1, 2), keepdims=True), dtype=np.float32)
