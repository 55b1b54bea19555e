"""What MLflow itself makes of an export: `mlflow_calls.py WHERE RUN`, WHERE being a file store or a server's address.

Prints one JSON object: the run as MLflow's client reads it, and what its model answers to rows of zeros.
"""

from __future__ import annotations

import json
import os
import sys

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"  # MLflow 3 wants to be asked twice for its oldest store

import mlflow
import numpy as np


def main(where: str, run_id: str) -> None:
    mlflow.set_tracking_uri(where)
    client = mlflow.MlflowClient()
    run = find_run(client, run_id)
    history = client.get_metric_history(run.info.run_id, "loss")
    model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    rows = {spec.name: np.zeros([2, *spec.shape[1:]], spec.type) for spec in model.metadata.signature.inputs.inputs}
    answer = model.predict(rows)
    said = {
        "status": run.info.status,
        "params": run.data.params,
        "metrics": run.data.metrics,
        "tags": run.data.tags,
        "losses": [[point.step, point.value] for point in history],
        "answer": {name: np.asarray(values).tolist() for name, values in answer.items()},
        "flavors": sorted(model.metadata.flavors),
        "artifacts": sorted(item.path for item in client.list_artifacts(run.info.run_id)),
    }
    if where.startswith("http"):
        said["registered"] = [
            str(found.version) for found in client.search_model_versions(f"run_id='{run.info.run_id}'")
        ]
    print(json.dumps(said))


def find_run(client: mlflow.MlflowClient, run_id: str) -> mlflow.entities.Run:
    """Return the run that the platform knows by this id; a server gives it an id of its own."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    (run,) = client.search_runs(experiments, f"tags.`aiplatform.run` = '{run_id}'")
    return run


main(*sys.argv[1:])
