"""Predictions that were made elsewhere, by any code, as a run of the store; it loads no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rgbench.data.catalogue import Catalogue, DataSet
from rgbench.data.load import load_dataset, split_dataset
from rgbench.data.match import TOLERANCE
from rgbench.data.own.predicted import PredictedColumns, PredictedTable, read_predicted
from rgbench.errors import SpecError
from rgbench.networks import networks
from rgbench.numbers import listed
from rgbench.runs.find import is_called
from rgbench.runs.score_rows import Asked, Rows, find_rows
from rgbench.runs.score_training import check_training
from rgbench.spec import DataSpec, Elsewhere, NetworkSpec, ScoredSpec
from rgbench.store.digest import digest
from rgbench.store.files import remove_halves
from rgbench.store.named import named
from rgbench.store.store import RunRecord, Store
from rgbench.store.tables import CLASSES_ONLY, MODELS, Outputs, Predictions, concatenate, write_predictions
from rgbench.validation import validate

LONGEST_NAME = 60
"""Characters of a name."""


@dataclass(frozen=True)
class Stated:
    """What may be said of predictions made elsewhere; it stands in the report, and nobody checks it.

    Attributes
    ----------
    trained_on : str
        On what the model was trained.
    parameters : int, optional
        Its parameters.
    reference, code : str
        A paper or a URL; where its code is.
    """

    trained_on: str = ""
    parameters: int | None = None
    reference: str = ""
    code: str = ""


@dataclass(frozen=True)
class ScoreSpec:
    """On what predictions made elsewhere are scored, how their table is read, and what is known of them.

    Attributes
    ----------
    data : DataSpec
        Data set and split.
    seed : int
        Tells several tables of one name apart, such as runs of several seeds. With the split "becker2021" it is the
        seed of the split.
    columns : PredictedColumns
        What names of columns do not tell.
    tolerance : float
        Arcseconds within which a position is that of a source; it counts for rows whose name the data set lacks.
    partial : bool
        Whether a table that lacks test sources is scored on those that it has.
    stated : Stated
        What is said of the model.
    training_sources : Path, optional
        A table of the names or positions of the sources that it was trained on: none may be a test source, or lie in
        the sky group of one.
    overwrite : bool
        Whether a run of the same name and seed on the same data is replaced, if it has other predictions.
    """

    data: DataSpec = field(default_factory=DataSpec)
    seed: int = 0
    columns: PredictedColumns = field(default_factory=PredictedColumns)
    tolerance: float = TOLERANCE
    partial: bool = False
    stated: Stated = field(default_factory=Stated)
    training_sources: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class Scored:
    """A run of predictions made elsewhere.

    Attributes
    ----------
    record : RunRecord
        The run as the store has it.
    remarks : tuple of str
        What was left out or taken for granted, in sentences; the run has them as its notes.
    is_new : bool
        Whether the store lacked it.
    """

    record: RunRecord
    remarks: tuple[str, ...]
    is_new: bool


def score(
    table: Path | str | Mapping[str, Any],
    name: str,
    store: Store | Path | str,
    spec: ScoreSpec | None = None,
    dataset: DataSet | None = None,
) -> Scored:
    """Put predictions that were made elsewhere into a store, as a run beside the others.

    Parameters
    ----------
    table : path or mapping
        CSV, ECSV, VOTable, FITS table or Parquet, or columns by name: sources by name or position, and probabilities,
        logits or classes; see `rgbench.data.own.predicted`. Test sources must be there. Validation sources are taken
        if all of them are; they should not have been trained on. Training sources are passed over.
    name : str
        What made the predictions, as it is called in tables and figures. It is no name of a network of rgbench.
    store : Store or path
        The store, or its folder.
    spec : ScoreSpec, optional
        Data, split, seed, columns, and what is known of the model.
    dataset : DataSet, optional
        The data, if they are loaded already.

    Returns
    -------
    Scored
        The run. Scoring the same table again changes nothing.

    Raises
    ------
    SpecError
        If the name is not legal or taken, or a run of it and of the seed is in the store with other predictions.
    DataError
        If the table cannot be read, lacks test sources, or says two things of a source.
    LeakageError
        If a source that the model was trained on is a test source, or lies near one.
    StoreError
        If the store cannot be written.

    Examples
    --------
    Anything that classifies may be scored, here a table that some other program wrote::

        scored = rgbench.score("predictions.csv", "My ViT", "rgbench-results")
        print(rgbench.compare([scored.record]).words[0])
    """
    spec = spec or ScoreSpec()
    _check_name(name, _known(store))
    if (
        dataset is not None
        and spec.data.path is None
        and not spec.data.test
        and spec.data.name != dataset.card.name
    ):
        raise SpecError(f"data: the spec names {spec.data.name}, and the data given are {dataset.card.name}")
    dataset = dataset or load_dataset(spec.data)
    split = split_dataset(spec.data, dataset, spec.seed)
    predicted = read_predicted(table, dataset.classes, spec.columns)
    rows, remarks = find_rows(predicted, Asked(dataset, split, spec.data.split, spec.tolerance, spec.partial))
    if spec.training_sources is not None:
        remarks = (*remarks, *check_training(spec.training_sources, dataset, split, spec.tolerance))
    run = _spec(name, dataset, spec, predicted.given, _digest(rows, predicted, dataset.catalogue))
    known = _known(store)
    if known is not None:
        remarks = (*remarks, *_same_of_other_seeds(known, run))
    to = _Writing(_opened(store), remarks, spec.overwrite)
    return _stored(run, rows, predicted, dataset, to)


def _known(store: Store | Path | str) -> Store | None:
    """Give a store; None if it is not made yet, which it is only for a run that can be written."""
    return _opened(store) if isinstance(store, Store) or (Path(store) / "runs").is_dir() else None


def _opened(store: Store | Path | str) -> Store:
    return store if isinstance(store, Store) else Store(store)


def _check_name(name: str, store: Store | None) -> None:
    """Raise `SpecError` if a name cannot be printed, or is that of a network that is trained here."""
    if not name.strip() or not name.isprintable() or len(name) > LONGEST_NAME or name != name.strip():
        raise SpecError(
            f"--name {name!r}: 1 to {LONGEST_NAME} printable characters are legal, no blank at an end"
        )
    if any(is_called(each, name) for each in networks().names()):
        raise SpecError(
            f"--name {name}: is a network of rgbench; choose a name of its own, such as {name + ' (mine)'!r}"
        )
    for record in store.readable() if store is not None else ():
        if record.spec.network.name.lower() == name.lower() and not record.elsewhere:
            raise SpecError(
                f"--name {name}: {named(record.run_id, record.spec)} was trained here under this name; choose another"
            )


def _digest(rows: Rows, predicted: PredictedTable, catalogue: Catalogue) -> str:
    """Give the SHA-256 of what is said of which source, whatever the format and the order of the table."""
    return digest(
        {
            side: (catalogue.source_id[source], predicted.logits[table])
            for side, (table, source) in rows.items()
        }
    )


def _spec(name: str, dataset: DataSet, spec: ScoreSpec, given: str, table: str) -> ScoredSpec:
    rows, columns = dataset.images.shape[1:]
    scale = float(dataset.card.pixel_scale)
    facts = {
        "checksum": dataset.checksum,
        "frame": (int(rows), int(columns)),
        "pixel_scale": scale if np.isfinite(scale) else None,
    }
    stated = spec.stated
    told = {"trained_on": stated.trained_on, "parameters": stated.parameters, "reference": stated.reference}
    elsewhere = validate(Elsewhere, {"table": table, "outputs": given, "code": stated.code, **told}, "stated")
    return validate(
        ScoredSpec,
        {
            # How many sources rgbench would train on says nothing of another model.
            "data": {**spec.data.model_dump(), **facts, "train_limit": None},
            "network": NetworkSpec(name=name).model_dump(),
            "seed": spec.seed,
            "elsewhere": elsewhere.model_dump(),
        },
        "score",
    )


@dataclass(frozen=True)
class _Writing:
    """Where a run goes, what is noted of it, and whether another of its name and seed gives way."""

    store: Store
    remarks: tuple[str, ...]
    overwrite: bool


def _stored(run: ScoredSpec, rows: Rows, predicted: PredictedTable, dataset: DataSet, to: _Writing) -> Scored:
    """Write a run, or give that of the store if it is there; one with other predictions gives way if it may."""
    store = to.store
    others = [
        record
        for record in store.readable()
        if record.run_id != run.run_id
        and record.elsewhere
        and _same_model(record, run)
        and record.spec.seed == run.seed
    ]
    if others and not to.overwrite:
        raise SpecError(
            f"{store.root}: {named(others[0].run_id, others[0].spec)} is there with other predictions of the same "
            "name, seed and data; give another --seed for another run of it, or --overwrite to replace it"
        )
    outputs = Outputs(dataset.classes, CLASSES_ONLY if predicted.given == "classes" else "softmax")
    with store.claim(run) as directory:
        if store.is_complete(run.run_id):
            stored = store.record(run.run_id)
            if not to.overwrite:
                _check_stated(store, stored, run)
                return Scored(stored, to.remarks, is_new=False)
        remove_halves(directory.path)
        write_predictions(directory.predictions, _predictions(run.run_id, rows, predicted, dataset, outputs))
        parameters = run.elsewhere.parameters
        directory.write_cost({} if parameters is None else {"parameters": parameters})
        directory.write_status("complete", notes=_notes(run, to.remarks), outputs=outputs)
    for record in others:
        store.remove(record.run_id)
    return Scored(store.record(run.run_id), to.remarks, is_new=True)


def _check_stated(store: Store, stored: RunRecord, run: ScoredSpec) -> None:
    """Raise `SpecError` if something else is stated of a run than the store has: that does not enter its id."""
    known = stored.spec.elsewhere if isinstance(stored.spec, ScoredSpec) else None
    if known != run.elsewhere:
        raise SpecError(
            f"{store.root}: {named(run.run_id, stored.spec)} holds these predictions, and something else is stated of "
            "them; give --overwrite to replace what is stated"
        )


def _same_of_other_seeds(store: Store, run: ScoredSpec) -> tuple[str, ...]:
    """Say which other seeds of a model the store has with the same predictions: they would count as runs."""
    seeds = sorted(
        record.spec.seed
        for record in store.readable()
        if isinstance(record.spec, ScoredSpec)
        and _same_model(record, run)
        and record.spec.seed != run.seed
        and record.spec.elsewhere.table == run.elsewhere.table
    )
    if not seeds:
        return ()
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {listed([str(seed) for seed in seeds])}"
    return (
        f"{which.capitalize()} of this model {'has' if len(seeds) == 1 else 'have'} the same predictions: seeds must "
        "be runs that were trained anew.",
    )


def _same_model(record: RunRecord, run: ScoredSpec) -> bool:
    """Tell whether a run of the store is of the same name and stands on the same data as another."""
    own, other = record.spec.data, run.data
    keys = ("checksum", "split", "test", "test_sources", "train_size", "validation_size")
    same = all(getattr(own, key) == getattr(other, key) for key in keys)
    return same and record.spec.network.name == run.network.name


def _notes(run: ScoredSpec, remarks: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{run.network.name}, seed {run.seed}: {remark}" for remark in remarks)


def _predictions(
    run_id: str, rows: Rows, predicted: PredictedTable, dataset: DataSet, outputs: Outputs
) -> Predictions:
    """Give the table of a run. There is one model, which stands for the best and for the final one."""
    parts = []
    for model in MODELS:
        for side, (table, source) in rows.items():
            n = len(source)
            parts.append(
                Predictions(
                    run_id=run_id,
                    classes=outputs.classes,
                    activation=outputs.activation,
                    label_version=dataset.card.version,
                    source_id=dataset.catalogue.source_id[source],
                    split=np.full(n, side),
                    model=np.full(n, model),
                    condition=np.full(n, "clean"),
                    member=np.zeros(n, dtype=np.int64),
                    label=dataset.catalogue.label[source],
                    logits=predicted.logits[table],
                )
            )
    return concatenate(parts)
