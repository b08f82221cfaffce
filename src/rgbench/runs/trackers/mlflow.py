"""Runs in MLflow: an experiment for each study, on the server or in the file that MLflow is told of."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from rgbench.errors import StoreError, one_line
from rgbench.extras import extra
from rgbench.runs.plan import Plan
from rgbench.runs.trackers import values
from rgbench.runs.trackers.tracker import Page, Tracker
from rgbench.spec import RunSpec
from rgbench.store.store import RunRecord

ENDED = MappingProxyType({"complete": "FINISHED", "failed": "FAILED", "running": "KILLED"})
"""What MLflow calls the status of a run that ended; one that a queue lost is "running" in the store."""
PATIENCE = MappingProxyType({"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"})
"""How long a run waits for a server, unless the environment says otherwise: MLflow's own minutes would hold it up."""
MOST_PARAMETERS = 100
LONGEST = 6000
"""What MLflow takes at a time: parameters, and characters of one."""
_SECRET = re.compile(r"//[^/@\s]+@")
"""Name and password in an address."""


class Mlflow(Tracker):
    """A tracker that writes into MLflow, a run for a run.

    Parameters
    ----------
    uri : str, optional
        Where to: the address of a server, or ``sqlite:///FILE``. By default what the environment variable
        MLFLOW_TRACKING_URI says, or else MLflow's own default, the file ``mlflow.db`` in the current folder.
    experiment : str, optional
        Name of the experiment, made if it is not there. By default what MLFLOW_EXPERIMENT_NAME says, or else the name
        of the study.

    Raises
    ------
    SpecError
        If the package is missing.
    """

    def __init__(self, uri: str | None = None, experiment: str | None = None) -> None:
        super().__init__()
        extra("mlflow", "it", "mlflow", "mlflow-skinny")
        self.uri = uri
        self.experiment = experiment
        self._client: Any = None
        self._uri = self._home = ""

    def starts(self, plan: Plan) -> None:
        """Reach the server or the file, and find or make the experiment.

        Raises
        ------
        StoreError
            If nobody answers there, or MLflow refuses what it is told.
        """
        mlflow = extra("mlflow", "it", "mlflow", "mlflow-skinny")
        self._uri = self.uri or mlflow.get_tracking_uri()
        with _asking(self._uri):
            self._client = mlflow.MlflowClient(self._uri)
            name = self.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or plan.study or "rgbench"
            found = self._client.get_experiment_by_name(name)
            self._home = found.experiment_id if found else self._client.create_experiment(name)

    def has(self, spec: RunSpec) -> bool:
        """Tell whether the experiment has a finished run of the same id."""
        return bool(self._find(spec, "attributes.status = 'FINISHED'"))

    def page(self, spec: RunSpec) -> Page:
        """Take up the run of that id that has not finished, or make one."""
        unfinished = self._find(spec, "attributes.status != 'FINISHED'")
        with _asking(self._uri):
            if unfinished:
                run_id = unfinished[0].info.run_id
                self._client.update_run(run_id, status="RUNNING")
                known = self._client.get_metric_history(run_id, "loss/train")
            else:
                made = self._client.create_run(self._home, tags=values.tags(spec), run_name=values.name(spec))
                run_id, known = made.info.run_id, []
        return _Run(self._client, self._uri, run_id, spec, max((each.step for each in known), default=0))

    def _find(self, spec: RunSpec, further: str) -> list[Any]:
        wanted = f"tags.{values.RUN_ID} = '{spec.run_id}' and {further}"
        with _asking(self._uri):
            return list(self._client.search_runs([self._home], wanted, max_results=1))


class _Run(Page):
    """A run of MLflow."""

    def __init__(self, client: Any, uri: str, run_id: str, spec: RunSpec, epochs: int) -> None:
        super().__init__(epochs)
        self._client, self._uri, self._run_id = client, uri, run_id
        entities = extra("mlflow.entities", "it", "mlflow", "mlflow-skinny")
        self._metric, parameter = entities.Metric, entities.Param
        said = [parameter(key, str(value)[:LONGEST]) for key, value in values.parameters(spec).items()]
        for first in range(0, len(said), MOST_PARAMETERS):
            with _asking(uri):
                client.log_batch(run_id, params=said[first : first + MOST_PARAMETERS])

    def write(self, numbers: dict[str, float], epoch: int) -> None:
        now = int(1000 * time.time())
        with _asking(self._uri):
            self._client.log_batch(
                self._run_id, [self._metric(name, value, now, epoch) for name, value in numbers.items()]
            )

    def close(self, record: RunRecord, numbers: dict[str, float]) -> None:
        self.write(numbers, self.epochs)
        with _asking(self._uri):
            if record.error:
                self._client.set_tag(self._run_id, "error", record.error)
            self._client.set_terminated(self._run_id, ENDED.get(record.status, "FINISHED"))


@contextmanager
def _asking(uri: str) -> Iterator[None]:
    """Ask MLflow something, with little patience; what goes wrong there is a `StoreError` of one sentence."""
    own = {key: value for key, value in PATIENCE.items() if key not in os.environ}
    os.environ.update(own)
    try:
        yield
    except Exception as error:
        # Of their kinds only the name is known here: the package is an extra.
        away = "Max retries exceeded" in str(error)
        said = "no server answers there" if away else f"{type(error).__name__}: {one_line(error)}"
        raise StoreError(_SECRET.sub("//", f"MLflow at {uri}: {said}")) from error
    finally:
        for key in own:
            os.environ.pop(key, None)
