"""The original's command line: its files, its options, its result files.

What users of rg-benchmarker (Becker et al. 2021) typed and read: architecture files of
``name,learning rate,epochs``, one CSV row per network and model, results in the last lines of the log.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rgbench.data.catalogue import DataSet
from rgbench.data.load import load_dataset
from rgbench.errors import DataError, SpecError, StoreError
from rgbench.escapes import csv_text, for_file_name, from_csv
from rgbench.measures.classification import confusion_matrix, per_class
from rgbench.measures.classification import mpca as mean_per_class_accuracy
from rgbench.networks import describe_network, networks
from rgbench.runs.check import check_study
from rgbench.runs.logits import inference_rate
from rgbench.runs.reopen import StoredRun
from rgbench.runs.study import stored_records
from rgbench.spec import DataSpec, ScheduleLine, Study
from rgbench.store.files import write_bytes
from rgbench.store.store import RunRecord, Store
from rgbench.store.tables import MODELS
from rgbench.validation import validate

TIMING_PASSES = 5
"""Passes of the original's timing test."""
_ORIGINAL_CLASSES = {"Compact": "Comp"}
MNIST_CONTROL: dict[str, Any] = {
    "data": {"name": "mnist", "split": "published"},
    "images": {"preset": "bytes", "field": 28, "size": 28},
    "augmentation": {"kind": "none"},
    "recipe": {"batches": "shuffled", "batch_size": 32, "plateau_min_delta": 0.001},
}
"""What the original's ``--mnist`` changed: no rotations, shuffled batches, a smaller step of the plateau."""


@dataclass(frozen=True)
class OriginalOptions:
    """The options of the original's quickstart, with their defaults; sizes are sources per class."""

    architectures: Path
    num_classes: int = 4
    data_path: Path | None = None
    data_manifest: Path | None = None
    img_size: tuple[int, int] = (300, 300)
    rotate: int = 15
    seed: int = 8901
    train_size: int = 250
    val_size: int = 100
    protocol: str = "becker2021"
    mnist: bool = False


def read_architectures(path: Path) -> tuple[ScheduleLine, ...]:
    """Read an architecture file: lines of ``name,learning rate,epochs``.

    A ``#`` begins a comment, blank lines are passed over, a network may be listed twice.

    Raises
    ------
    SpecError
        If the file cannot be read or a line is wrong; the message names the line and what is legal.
    """
    try:
        text = path.read_text(encoding="utf8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: the architecture file cannot be read: {error}") from error
    lines = []
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.split("#", 1)[0].strip()
        if line:
            lines.append(_schedule_line(f"{path}, line {number}", line))
    if not lines:
        raise SpecError(f"{path}: holds no network; a line is name,learning rate,epochs")
    return tuple(lines)


def parse_image_size(text: str) -> tuple[int, int]:
    """Parse an image size in pixels: one number, or rows,columns, brackets allowed.

    Examples
    --------
    >>> parse_image_size("300"), parse_image_size("[300,150]")
    ((300, 300), (300, 150))
    """
    parts = text.strip().strip("[]()").split(",")
    try:
        sizes = tuple(int(part) for part in parts)
    except ValueError:
        sizes = ()
    if len(sizes) == 1:
        sizes *= 2
    if len(sizes) != 2 or min(sizes) < 8:
        raise SpecError(f"--img_size: found {text!r}; give one number of pixels, or rows,columns, 8 or more")
    return sizes[0], sizes[1]


def original_study(options: OriginalOptions) -> Study:
    """Make the study that the original's options describe.

    With a data path the sources are split by the 2021 algorithm; without one the embedded data set
    is used with its published split.
    """
    if options.data_manifest is not None and options.data_path is None:
        raise SpecError("--data_manifest names sources, but --data_path, the folder of images, is missing")
    if options.mnist and options.data_path is not None:
        raise SpecError("--mnist is a data set of its own; leave out --data_path")
    lines = read_architectures(options.architectures)
    content: dict[str, Any] = {
        "name": options.architectures.stem,
        "networks": tuple(dict.fromkeys(networks().canonical(line.network) for line in lines)),
        "seeds": (options.seed,),
        "protocol": options.protocol,
        "schedule": tuple(line.model_dump() for line in lines),
    }
    if options.mnist:
        return validate(Study, content | MNIST_CONTROL, "the options")
    rows, columns = options.img_size
    content |= {
        "data": _data(options),
        "images": {"size": rows if rows == columns else (rows, columns), "field": max(rows, columns)},
        "augmentation": {"step": options.rotate},
    }
    return validate(Study, content, "the options")


def _data(options: OriginalOptions) -> dict[str, Any]:
    """Give the [data] table of the study: one's own folder, or the embedded set."""
    folder = options.data_path
    if folder is None:
        return {"name": DataSpec().name, "split": "published"}
    labels = folder / "class_labels.txt"
    return {
        "name": "folder",
        "split": "becker2021",
        "train_size": options.train_size,
        "validation_size": options.val_size,
        "path": str(folder),
        "manifest": str(options.data_manifest) if options.data_manifest else None,
        "class_labels": str(labels) if labels.exists() else None,
    }


def buildable(study: Study, n_classes: int) -> tuple[Study, tuple[str, ...]]:
    """Leave out of a study the networks that cannot be built at its image size; say why.

    A third of the 2021 networks do not fit into MNIST's 28 pixels, among them five that its own schedules list.

    Raises
    ------
    SpecError
        If none is left.
    """
    size, kept, reasons = study.images["size"], [], []
    for line in study.schedule:
        try:
            describe_network(line.network, size, n_classes)
        except SpecError as error:
            reasons.append(f"{line.network} is left out: {error}")
        else:
            kept.append(line)
    if not kept:
        raise SpecError("; ".join(reasons))
    names = tuple(dict.fromkeys(networks().canonical(line.network) for line in kept))
    return study.model_copy(update={"schedule": tuple(kept), "networks": names}), tuple(reasons)


def check_classes(num_classes: int, classes: tuple[str, ...]) -> None:
    """Raise `DataError` if the data have another number of classes than ``--num_classes`` says."""
    if num_classes != len(classes):
        raise DataError(
            f"--num_classes is {num_classes}, but the data have {len(classes)}: {', '.join(classes)}"
        )


@dataclass(frozen=True)
class Prepared:
    """What the original's options ask for, ready to be run.

    Attributes
    ----------
    study : Study
        The networks that can be built, with their schedule.
    dataset : DataSet
        The data.
    left_out : tuple of str
        Networks of the file that cannot be built, each with the reason.
    """

    study: Study
    dataset: DataSet
    left_out: tuple[str, ...] = ()


def prepare_original(options: OriginalOptions) -> Prepared:
    """Make the study of the original's options and load its data.

    Raises
    ------
    SpecError
        If an option is not legal, or no network can be built.
    DataError
        If the data cannot be had, or have another number of classes than the options say.
    """
    study = original_study(options)
    if not options.mnist:  # whose networks that do not fit are left out below
        check_study(study)
    dataset = load_dataset(study.data, options.img_size)
    if options.mnist:
        study, reasons = buildable(study, len(dataset.classes))
        return Prepared(study, dataset, reasons)
    check_classes(options.num_classes, dataset.classes)
    return Prepared(study, dataset)


def trained_before(prepared: Prepared, store: Store) -> list[RunRecord]:
    """Give the runs of the original's options that are complete in the store.

    Raises
    ------
    DataError
        If there is none.
    """
    records = stored_records(prepared.study, prepared.dataset, store)
    if not records:
        raise DataError(f"{store.root}: no network of this file is stored; train without --only_test first")
    return records


@dataclass(frozen=True)
class Timing:
    """How fast a stored network is: images/s of each pass, images in a batch."""

    record: RunRecord
    rates: tuple[float, ...]
    batch_size: int


def time_model(record: RunRecord, dataset: DataSet, store: Store, device: str) -> Timing:
    """Time the best model of a run on test images, in as many passes as the original made."""
    run = StoredRun(record, store, device=device, dataset=dataset)
    batch, network, precision = run.timing_batch(), run.network(), run.spec.recipe.precision
    rates = tuple(inference_rate(network, batch, precision, 1) for _ in range(TIMING_PASSES))
    return Timing(record, rates, len(batch))


def final_results(record: RunRecord) -> Iterator[str]:
    """Give the last lines of the log: results of the best and of the final model, apart."""
    title = _title(record)
    if record.status != "complete" or record.predictions is None:
        yield f"{title}: failed: {record.error}"
        return
    for model in MODELS:
        test = record.predictions.select("test", model)
        y, logits, classes = test.label, test.log_probabilities(), test.classes
        counts = confusion_matrix(y, logits, len(classes))
        measured = per_class(y, logits)
        yield f"{title}: {model} model, {len(y)} test sources"
        yield f"  MPCA {100 * mean_per_class_accuracy(y, logits):.3f} %"
        for name, key in (
            ("Precision", "precision_2021"),
            ("Recall", "recall_2021"),
            ("F1 score", "f1_2021"),
        ):
            values = ", ".join(f"{c} {v:.4f}" for c, v in zip(classes, measured[key], strict=True))
            yield f"  {name} (row-normalised): {values}"
        yield "  Confusion matrix, rows true, columns predicted: " + "; ".join(
            f"{c} {' '.join(str(int(v)) for v in row)}" for c, row in zip(classes, counts, strict=True)
        )
    yield f"  Images per second: {record.cost['inference_images_per_second']:.1f} (inference)"


def write_original_results(folder: Path, record: RunRecord) -> list[Path]:
    """Append the run's row to ``<name>.csv`` (best model) and ``<name>_final.csv``, once each.

    The columns are the original's. A row that is there already is not written again.
    """
    if record.predictions is None:
        return []
    paths = []
    for model, ending in zip(MODELS, ("", "_final"), strict=True):
        row = _original_row(record, model)
        path = folder / f"{for_file_name(record.spec.network.name)}{ending}.csv"
        _append_row(path, row)
        paths.append(path)
    return paths


def copy_models(folder: Path, record: RunRecord, store: Store) -> list[Path]:
    """Copy the weights of both models to the folder of ``--model_path``, under the original's names."""
    recipe, paths = record.trained.recipe, []
    folder.mkdir(parents=True, exist_ok=True)
    for model, ending in zip(MODELS, ("", "_final"), strict=True):
        stem = f"{record.spec.network.name}_{record.spec.seed}_{recipe.learning_rate}_{recipe.epochs}{ending}"
        target = folder / f"{for_file_name(stem)}.safetensors"
        source = store.run_path(record.run_id) / f"{model}.safetensors"
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            raise StoreError(f"{target}: the model cannot be written: {error.strerror or error}") from error
        paths.append(target)
    return paths


def _schedule_line(where: str, line: str) -> ScheduleLine:
    parts = [part.strip() for part in line.split(",")]
    if len(parts) != 3:
        raise SpecError(f"{where}: found {line!r}; a line is name,learning rate,epochs")
    try:
        networks().canonical(parts[0])
        content = {"network": parts[0], "learning_rate": float(parts[1]), "epochs": int(parts[2])}
    except ValueError:
        raise SpecError(
            f"{where}: found {line!r}; the learning rate is a number, the epochs a whole one"
        ) from None
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None
    return validate(ScheduleLine, content, where)


def _original_row(record: RunRecord, model: str) -> dict[str, Any]:
    assert record.predictions is not None
    test = record.predictions.select("test", model)
    y, logits = test.label, test.log_probabilities()
    names = [_ORIGINAL_CLASSES.get(name, name) for name in test.classes]
    measured = per_class(y, logits)
    history = record.history
    at = int(record.cost["best_epoch"]) - 1 if model == "best" else len(history["epoch"]) - 1
    found = record.cost.get("evaluation", {}).get(model) or {key: history[key][at] for key in history}
    train, validation = (found[f"{side}_loss"] + history["l2"][at] for side in ("train", "validation"))
    row = {
        "Architectures": record.spec.network.name,
        "Seed": record.spec.seed,
        "LearningRate": record.trained.recipe.learning_rate,
        "Epochs": record.trained.recipe.epochs,
        "train_acc": found["train_accuracy"],
        "val_acc": found["validation_accuracy"],
        "train_loss": train,
        "val_loss": validation,
        "loss_ratio": np.divide(train, validation),
        "acc_ratio": np.divide(found["train_accuracy"], found["validation_accuracy"]),
        "MPCA": 100 * mean_per_class_accuracy(y, logits),
    }
    for short, key in (("P", "precision_2021"), ("R", "recall_2021"), ("F1", "f1_2021")):
        row |= {f"{short}_{name}": value for name, value in zip(names, measured[key], strict=True)}
    return row


def _append_row(path: Path, row: dict[str, Any]) -> None:
    values = {key: str(value) for key, value in row.items()}
    key = ("Architectures", "Seed", "LearningRate", "Epochs")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [old for old in _rows(path) if any(old.get(name) != values[name] for name in key)]
        if other := {name for old in rows for name in old} - set(values):
            raise ValueError(f"it has a column {sorted(map(str, other))[0]!r}, which these results have not")
        cells = [[row.get(name) for name in values] for row in [*rows, values]]
        write_bytes(path, csv_text([list(values), *cells]).encode())
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: the results cannot be written: {error}") from error


def _rows(path: Path) -> list[dict[str, str]]:
    """Read the rows of earlier results; none if there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf8") as file:
        return [{key: from_csv(str(cell or "")) for key, cell in row.items()} for row in csv.DictReader(file)]


def _title(record: RunRecord) -> str:
    recipe = record.trained.recipe
    return f"{record.spec.network.name}, seed {record.spec.seed}, rate {recipe.learning_rate}, {recipe.epochs} epochs"
