"""Bring a trained model from elsewhere into the store: model files of Keras, such as the original's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rgbench.data.catalogue import CLASSES
from rgbench.data.public.fetch import sha256_of
from rgbench.errors import SpecError
from rgbench.networks import NetworkCard, networks
from rgbench.networks.keras.file import KerasModel, read_keras_file, unseeded
from rgbench.networks.keras.weights import load_keras_weights
from rgbench.networks.modules.build import build_layers
from rgbench.networks.notation.analysis import resolve_classes
from rgbench.networks.notation.layers import Layer
from rgbench.networks.notation.notation import parse_layers, to_text
from rgbench.protocols import read_protocol
from rgbench.runs.check import check_preset
from rgbench.spec import (
    AugmentationSpec,
    DataSpec,
    ImageSpec,
    NetworkSpec,
    RecipeSpec,
    RunSpec,
)
from rgbench.store.store import RunRecord, Store
from rgbench.store.tables import MODELS, Outputs
from rgbench.training.checkpoint import save_weights
from rgbench.validation import validate

ORIGINAL_CLASSES = {4: CLASSES, 2: ("FRI", "FRII")}
"""What the classes of the original's models are called, by their number."""


@dataclass(frozen=True)
class ImportChoice:
    """How a model is to be used once it is in the store.

    Attributes
    ----------
    classes : tuple of str
        Names of its outputs, in order; by default the original's four (or FRI and FRII).
    protocol : str
        Whose preparation of images it expects.
    pixel_scale : float, optional
        Arcseconds per pixel of the images it was trained on.
    """

    classes: tuple[str, ...] = ()
    protocol: str = "becker2021"
    pixel_scale: float | None = None


def import_keras(path: Path | str, store: Store, choice: ImportChoice | None = None) -> RunRecord:
    """Store a model file of Keras as a run that predicts the same.

    Parameters
    ----------
    path : path
        What Keras 2 or 3 wrote with ``model.save``, ``....h5`` or ``....keras``.
    store : Store
        Where the run goes.
    choice : ImportChoice, optional
        Class names, protocol, pixel scale.

    Returns
    -------
    RunRecord
        The run, with status "imported": `rgbench predict --run ID` uses it, comparisons leave it out,
        since nobody knows what it was trained on. Importing a file again changes nothing.

    Raises
    ------
    DataError
        If the file cannot be read; see `rgbench.networks.keras.file.read_keras_file`.
    SpecError
        If the number of class names is not that of the model's outputs, a name or the pixel scale is not legal, there
        is no such protocol or preset, or the file is in the store with other class names.
    """
    path, choice = Path(path), choice or ImportChoice()
    _check_choice(path, choice)
    preset = read_protocol(choice.protocol)["images"].get("preset", "")
    check_preset(preset, f"protocol {choice.protocol!r}, [images] preset")
    model = read_keras_file(path)
    classes = choice.classes or ORIGINAL_CLASSES.get(model.n_classes, ())
    if len(classes) != model.n_classes:
        raise SpecError(
            f"{path}: the model has {model.n_classes} outputs; {len(classes)} class names are given: name them all"
        )
    network = build_layers(model.layers, model.image_size, model.n_classes, model.channels)
    load_keras_weights(network, model.arrays)
    outputs = Outputs(classes, network.activation_name)
    spec = _run_spec(path, model, choice)
    with store.claim(spec) as directory:
        if spec.run_id in store.run_ids():
            _check_same(path, store.record(spec.run_id), outputs)
        for name in MODELS:
            save_weights(directory.weights(name), network)
        directory.write_cost({"parameters": sum(array.size for array in model.arrays)})
        directory.write_status("imported", notes=(f"imported from {path.name}",), outputs=outputs)
    return store.record(spec.run_id)


def _check_choice(path: Path, choice: ImportChoice) -> None:
    """Raise `SpecError` if a name cannot be printed, or the pixel scale is not above 0."""
    for name in choice.classes:
        if not name.strip() or not name.isprintable():
            raise SpecError(f"classes: found {name!r}; names of printable characters are legal")
    if not path.stem.isprintable():
        raise SpecError(
            f"{str(path)!r}: the run is named after the file: rename it, with printable characters"
        )
    if choice.pixel_scale is not None and not 0 < choice.pixel_scale < float("inf"):
        raise SpecError(f"pixel_scale is {choice.pixel_scale}; a number of arcseconds above 0 is legal")


def _check_same(path: Path, stored: RunRecord, outputs: Outputs) -> None:
    """Raise `SpecError` if a stored run has other class names: they do not enter its id."""
    if stored.classes != outputs.classes:
        raise SpecError(
            f"{path}: run {stored.run_id} of the store is this file, with the classes {', '.join(stored.classes)}; "
            f"found {', '.join(outputs.classes)}: import it with the same names, or into another store"
        )


def _run_spec(path: Path, model: KerasModel, choice: ImportChoice) -> RunSpec:
    protocol = read_protocol(choice.protocol)
    known = _registered(model)
    weights = sha256_of(path)
    layers = "" if known else to_text(model.layers)
    name = known or f"imported:{path.stem}"
    images = {**protocol["images"], "field": max(model.image_size), "size": model.image_size}
    return RunSpec(
        protocol=choice.protocol,
        data=DataSpec(name="unknown", pixel_scale=choice.pixel_scale),
        images=validate(ImageSpec, images, f"{path}: the image size of the model, [images]"),
        augmentation=validate(AugmentationSpec, protocol["augmentation"], "[augmentation]"),
        network=NetworkSpec(name=name, channels=model.channels, layers=layers, weights=weights),
        recipe=validate(RecipeSpec, protocol["recipe"], "[recipe]"),
        seed=0,
    )


def _registered(model: KerasModel) -> str | None:
    """Find the registered network with these layers; seeds, which a file does not tell, aside."""
    wanted = _comparable(model.layers, model.n_classes)
    for name, card in networks():
        layers = card.layers if isinstance(card, NetworkCard) else ""
        if layers and _comparable(parse_layers(layers), model.n_classes) == wanted:
            return name
    return None


def _comparable(layers: tuple[Layer, ...], n_classes: int) -> tuple[Layer, ...]:
    return tuple(unseeded(layer) for layer in resolve_classes(layers, n_classes))
