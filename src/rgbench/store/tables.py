"""Schema and version of every stored table; validated at each write, never rounded.

Two tables belong to a run. The *predictions* hold one row per source, split, model, member and
condition, with the logits as float32; probabilities are derived on reading, in float64. The
*history* holds one row per epoch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rgbench.errors import StoreError, check_regular, one_line, shown
from rgbench.notebook import Tabular
from rgbench.store.files import check_version, write_parquet
from rgbench.store.shown import predictions_html

PREDICTIONS_VERSION = 1
HISTORY_VERSION = 1
SPLITS = ("train", "validation", "test", "apply")
SIDES = ("validation", "test")
"""Splits whose sources a network was not trained on, of which it is asked."""
MODELS = ("best", "final")
CLASSES_ONLY = "classes"
"""Stands for an activation where only the class of each source is known: its column holds 0, all others -1."""
ACTIVATIONS = ("softmax", "sigmoid", CLASSES_ONLY)
HISTORY_COLUMNS = (
    "epoch",
    "learning_rate",
    "running_loss",
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "l2",
    "train_seconds",
    "seconds",
)
"""Columns of the history; losses are mean cross-entropies in nats, without the L2 penalty except
`running_loss`, which is what the optimiser saw; `train_seconds` is the wall-clock time of the
epoch's optimisation, `seconds` that of the whole epoch with its measurements."""

_DAMAGE = (KeyError, TypeError, ValueError, AttributeError, pa.ArrowException)
"""What goes wrong in a file that opens but does not hold what it should."""
_KEY = ("source_id", "split", "model", "member", "condition")


@dataclass(frozen=True)
class Predictions(Tabular):
    """Predictions of one run: row i of every array is one prediction.

    Attributes
    ----------
    run_id : str
        Id of the run that made them.
    classes : tuple of str
        Class names in the order of the logits' columns.
    activation : {"softmax", "sigmoid", "classes"}
        The network's output activation: how logits become class probabilities; "classes" where only classes are known.
    label_version : str
        Version of the labels, as given on the data set's card.
    source_id, split, model, condition : ndarray of str, shape (n,)
        The source; "train", "validation", "test" or "apply"; "best" or "final"; "clean" or a stress.
    member : ndarray of int, shape (n,)
        0 for the mean, 1... for the members of an ensemble.
    label : ndarray of int64, shape (n,)
        True class as an index into `classes`; -1 where it is not known.
    logits : ndarray of float32, shape (n, n_classes)
        Network outputs before the output activation.
    """

    run_id: str
    classes: tuple[str, ...]
    activation: str
    label_version: str
    source_id: NDArray[Any]
    split: NDArray[Any]
    model: NDArray[Any]
    condition: NDArray[Any]
    member: NDArray[np.int64]
    label: NDArray[np.int64]
    logits: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.source_id)

    def take(self, index: NDArray[Any]) -> Predictions:
        """Give the rows of an index or boolean mask."""
        names = ("source_id", "split", "model", "condition", "member", "label", "logits")
        return replace(self, **{name: getattr(self, name)[index] for name in names})

    def select(
        self,
        split: str | None = None,
        model: str | None = None,
        member: int | None = 0,
        condition: str | None = "clean",
    ) -> Predictions:
        """Give the rows of one split, model, member and condition; None means all."""
        keep = np.ones(len(self), dtype=bool)
        for name, value in (
            ("split", split),
            ("model", model),
            ("member", member),
            ("condition", condition),
        ):
            if value is not None:
                keep &= getattr(self, name) == value
        return self.take(keep)

    @property
    def has_probabilities(self) -> bool:
        """Whether more is known than the class of each source."""
        return self.activation != CLASSES_ONLY

    def log_probabilities(self) -> NDArray[np.float64]:
        """Give the logarithms of the class probabilities, shape (n, n_classes), float64."""
        return log_probabilities(self.logits, self.activation)

    def probabilities(self) -> NDArray[np.float64]:
        """Give the class probabilities, shape (n, n_classes), float64; rows sum to 1."""
        return np.exp(self.log_probabilities())

    def table(self) -> dict[str, NDArray[Any]]:
        """Give columns with names of classes: what tells a row, true class ("" if not known), class, probabilities."""
        names, p = np.array([*self.classes, ""]), self.probabilities()
        known = np.isfinite(p).all(axis=1)
        columns = {name: getattr(self, name) for name in _KEY} | {"label": names[self.label]}
        columns["class"] = names[np.where(known, np.nan_to_num(p).argmax(axis=1), -1)]
        return columns | {f"p_{name}": p[:, k] for k, name in enumerate(self.classes)}

    def _repr_html_(self) -> str:
        return predictions_html(self)


@dataclass(frozen=True)
class Outputs:
    """What the outputs of a network mean.

    Attributes
    ----------
    classes : tuple of str
        Class names in the order of the outputs.
    activation : {"softmax", "sigmoid", "classes"}
        How logits become class probabilities; "classes" where only classes are known.

    Raises
    ------
    StoreError
        If there is no class, or one is named twice, or there is no such activation.
    """

    classes: tuple[str, ...]
    activation: str

    def __post_init__(self) -> None:
        names = self.classes
        if not names or len(set(names)) != len(names):
            raise StoreError(
                f"classes: found {', '.join(names) or 'none'}; one or more different names are legal"
            )
        if self.activation not in ACTIVATIONS:
            raise StoreError(f"activation {shown(self.activation)} is not one of {', '.join(ACTIVATIONS)}")


@dataclass(frozen=True)
class Answers:
    """What one model of a run said of its labelled sources: row i of every array is one source.

    Attributes
    ----------
    run_id : str
        Id of the run.
    outputs : Outputs
        Its classes and activation.
    split : ndarray of str, shape (n,)
        The side of each source.
    label : ndarray of int64, shape (n,)
        True class as an index into the classes.
    logits : ndarray of float32, shape (n, n_classes)
        Network outputs before the output activation.
    """

    run_id: str
    outputs: Outputs
    split: NDArray[Any]
    label: NDArray[np.int64]
    logits: NDArray[np.float32]

    def __post_init__(self) -> None:
        k = len(self.outputs.classes)
        if len(self.label) and self.label.max() >= k:
            raise StoreError(f"labels must lie between -1 and {k - 1}")

    def of(self, side: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Give the true classes of the sources of one side, and their log-probabilities."""
        rows = self.split == side
        return self.label[rows], log_probabilities(self.logits[rows], self.outputs.activation)


def log_probabilities(logits: NDArray[np.floating[Any]], activation: str) -> NDArray[np.float64]:
    """Apply a network's output activation to its logits.

    Parameters
    ----------
    logits : ndarray, shape (..., n_classes)
        Outputs before the activation.
    activation : {"softmax", "sigmoid", "classes"}
        For a softmax the result is log-softmax of the logits; for a sigmoid each row of sigmoids is divided by
        its sum, as Keras' categorical cross-entropy does. Where only classes are known it is 0 for the class and
        minus infinity for the others, which is a vote and no probability: metrics that need one do not take it
        (`rgbench.measures.cards`).

    Returns
    -------
    ndarray of float64, shape (..., n_classes)
        Logarithms of the class probabilities; NaN where logits are.

    Examples
    --------
    >>> np.exp(log_probabilities(np.array([[0.0, 0.0], [np.log(3), 0.0]]), "softmax")).round(6).tolist()
    [[0.5, 0.5], [0.75, 0.25]]
    >>> np.exp(log_probabilities(np.array([[np.log(3), 0.0]]), "sigmoid")).round(6).tolist()  # 3/4 and 1/2
    [[0.6, 0.4]]
    """
    scores = logits.astype(np.float64)
    if activation == CLASSES_ONLY:
        return np.where(scores == scores.max(axis=-1, keepdims=True), 0.0, -np.inf)
    with np.errstate(invalid="ignore"):  # a diverged run's logits stay NaN
        if activation == "sigmoid":
            scores = -np.logaddexp(0.0, -scores)
        return np.asarray(scores - np.logaddexp.reduce(scores, axis=-1, keepdims=True))


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Validate predictions and write them to a Parquet file, atomically.

    Raises
    ------
    StoreError
        If a row is repeated, a logit has the wrong shape, or a value is not legal.

    Notes
    -----
    Logits that are not finite are stored as they are: a diverged run stays in the comparison and
    is reported as such.
    """
    _check_predictions(path, predictions)
    columns: dict[str, Any] = {
        name: pa.array([str(value) for value in getattr(predictions, name)], pa.string())
        for name in ("source_id", "split", "model", "condition")
    }
    columns["member"] = pa.array(predictions.member, pa.int32())
    columns["label"] = pa.array(predictions.label, pa.int32())
    for k, name in enumerate(predictions.classes):
        columns[f"logit_{name}"] = pa.array(predictions.logits[:, k], pa.float32())
    metadata = {
        "version": PREDICTIONS_VERSION,
        "run_id": predictions.run_id,
        "classes": list(predictions.classes),
        "activation": predictions.activation,
        "label_version": predictions.label_version,
    }
    _write(path, columns, metadata)


def read_predictions(path: Path) -> Predictions:
    """Read the predictions that `write_predictions` wrote, and check them as at writing.

    Raises
    ------
    StoreError
        If the file cannot be read, a column or a fact is missing or of another kind, or a row is wrong or stands
        twice; the message names the file.
    """
    table, metadata = _read(path, PREDICTIONS_VERSION)
    try:
        predictions = _predictions_of(table, metadata)
    except _DAMAGE as error:
        raise StoreError(f"{path}: is damaged: {type(error).__name__}: {one_line(error)}") from error
    _check_predictions(path, predictions)
    return predictions


def read_answers(path: Path, model: str) -> Answers:
    """Read what one model of a run said of its labelled sources as they are, and no more: a tenth of the time.

    Names of sources are not read, so that nobody sees whether one stands twice.

    Raises
    ------
    StoreError
        As for `read_predictions`.
    """
    texts = ("split", "model", "condition")
    try:
        check_regular(path)
        with pq.ParquetFile(path, page_checksum_verification=True, read_dictionary=texts) as file:
            facts = _facts(path, file.schema_arrow, PREDICTIONS_VERSION)
            outputs = Outputs(tuple(map(str, facts["classes"])), facts["activation"])
            logits = [f"logit_{name}" for name in outputs.classes]
            table = file.read([*texts, "member", "label", *logits], use_threads=False)
        return _answers_of(table, str(facts["run_id"]), outputs, model)
    except StoreError as error:
        raise StoreError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path}: cannot be read: {one_line(error)}") from error
    except _DAMAGE as error:
        raise StoreError(f"{path}: is damaged: {type(error).__name__}: {one_line(error)}") from error


def _answers_of(table: pa.Table, run_id: str, outputs: Outputs, model: str) -> Answers:
    """Give the answers in a table whose texts are dictionaries."""
    if any(table.column(name).null_count for name in table.column_names):
        raise ValueError("a cell is empty")

    def numbers(name: str) -> NDArray[Any]:
        chunks = table.column(name).chunks
        # Not to_numpy nor Arrow's own filter: they load pandas where it is installed, which takes half a second.
        return np.concatenate([np.zeros(0, np.float32), *map(np.from_dlpack, chunks)])

    def text(name: str) -> NDArray[Any]:
        chunks = table.column(name).chunks
        words = [np.array(each.dictionary.to_pylist(), str)[np.from_dlpack(each.indices)] for each in chunks]
        return np.concatenate([np.zeros(0, str), *words])

    label = numbers("label").astype(np.int64)
    rows = (text("model") == model) & (text("condition") == "clean") & (numbers("member") == 0) & (label >= 0)
    logits = np.stack([numbers(f"logit_{name}")[rows] for name in outputs.classes], axis=1)
    return Answers(run_id, outputs, text("split")[rows], label[rows], logits.astype(np.float32))


def read_outputs(path: Path) -> tuple[str, Outputs]:
    """Read the run and the outputs of a predictions table from its head; no row is read.

    Raises
    ------
    StoreError
        As for `read_predictions`.
    """
    metadata = _head(path, PREDICTIONS_VERSION)
    try:
        return str(metadata["run_id"]), Outputs(tuple(map(str, metadata["classes"])), metadata["activation"])
    except StoreError as error:
        raise StoreError(f"{path}: {error}") from None
    except _DAMAGE as error:
        raise StoreError(f"{path}: is damaged: {type(error).__name__}: {one_line(error)}") from error


def _predictions_of(table: pa.Table, metadata: Mapping[str, Any]) -> Predictions:
    classes = tuple(map(str, metadata["classes"]))

    def text(name: str) -> NDArray[Any]:
        return np.array(table.column(name).cast(pa.string()).to_pylist(), dtype=str)

    def whole(name: str) -> NDArray[np.int64]:
        return np.asarray(table.column(name).cast(pa.int64()).to_numpy(), dtype=np.int64)

    logits = [table.column(f"logit_{name}").cast(pa.float32()).to_numpy() for name in classes]
    if any(table.column(name).null_count for name in table.column_names):
        raise ValueError("a cell is empty")
    return Predictions(
        run_id=str(metadata["run_id"]),
        classes=classes,
        activation=metadata["activation"],
        label_version=str(metadata["label_version"]),
        source_id=text("source_id"),
        split=text("split"),
        model=text("model"),
        condition=text("condition"),
        member=whole("member"),
        label=whole("label"),
        logits=np.stack(logits, axis=1),
    )


def concatenate(parts: list[Predictions]) -> Predictions:
    """Join predictions of one run into one table."""
    names = ("source_id", "split", "model", "condition", "member", "label", "logits")
    joined: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return replace(parts[0], **joined)


def write_history(path: Path, history: Mapping[str, NDArray[Any]]) -> None:
    """Write the history of a run; every column of `HISTORY_COLUMNS` must be there, equally long."""
    missing = [name for name in HISTORY_COLUMNS if name not in history]
    if missing or len({len(history[name]) for name in HISTORY_COLUMNS}) != 1:
        raise StoreError(f"{path}: the history lacks columns {missing} or has columns of unequal length")
    columns = {name: pa.array(np.asarray(history[name], dtype=np.float64)) for name in HISTORY_COLUMNS}
    _write(path, columns, {"version": HISTORY_VERSION})


def read_history(path: Path) -> dict[str, NDArray[np.float64]]:
    """Read the history that `write_history` wrote, a column per name; `StoreError` if it is damaged."""
    table, _ = _read(path, HISTORY_VERSION)
    try:
        return {name: table.column(name).cast(pa.float64()).to_numpy() for name in HISTORY_COLUMNS}
    except _DAMAGE as error:
        raise StoreError(f"{path}: is damaged: {type(error).__name__}: {one_line(error)}") from error


def _check_predictions(path: Path, p: Predictions) -> None:
    n, k = len(p), len(p.classes)
    if p.logits.shape != (n, k):
        raise StoreError(f"{path}: logits have shape {p.logits.shape}, expected {(n, k)}")
    for name, legal in (("split", SPLITS), ("model", MODELS)):
        unknown = sorted(set(getattr(p, name).tolist()) - set(legal))
        if unknown:
            raise StoreError(f"{path}: {name} {shown(unknown[0])} is not one of {', '.join(legal)}")
    if p.activation not in ACTIVATIONS:
        raise StoreError(f"{path}: activation {shown(p.activation)} is not one of {', '.join(ACTIVATIONS)}")
    if n and not (p.label.min() >= -1 and p.label.max() < k):
        raise StoreError(f"{path}: labels must lie between -1 and {k - 1}")
    order = np.lexsort([getattr(p, name) for name in reversed(_KEY)])
    same = [getattr(p, name)[order][1:] == getattr(p, name)[order][:-1] for name in _KEY]
    if (twice := np.flatnonzero(np.logical_and.reduce(same))).size:
        row = order[twice[0]]
        raise StoreError(
            f"{path}: the row {tuple(getattr(p, name)[row].item() for name in _KEY)} stands twice"
        )


def _write(path: Path, columns: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    table = pa.table(dict(columns)).replace_schema_metadata({"rgbench": json.dumps(metadata)})
    write_parquet(path, table)


def _read(path: Path, version: int) -> tuple[pa.Table, dict[str, Any]]:
    try:
        check_regular(path)
        # Not read_table, which takes columns from folders named "a=b" too.
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read()
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path}: cannot be read: {one_line(error)}") from error
    return table, _facts(path, table.schema, version)


def _head(path: Path, version: int) -> dict[str, Any]:
    try:
        check_regular(path)
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path}: cannot be read: {one_line(error)}") from error
    return _facts(path, schema, version)


def _facts(path: Path, schema: pa.Schema, version: int) -> dict[str, Any]:
    """Give what the file says of itself; raise `StoreError` if it is no table of ours, or of a newer version."""
    raw = (schema.metadata or {}).get(b"rgbench")
    if raw is None:
        raise StoreError(f"{path}: is not a table of rgbench")
    try:
        metadata = dict(json.loads(raw))
    except _DAMAGE as error:
        raise StoreError(f"{path}: is damaged: {type(error).__name__}: {one_line(error)}") from error
    check_version(path, metadata.get("version"), version)
    return metadata
