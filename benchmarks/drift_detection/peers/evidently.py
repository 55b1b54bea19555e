"""Evidently's verdicts at its defaults, run in its own environment: `python evidently.py FOLDER PREFIX`.

Its data drift preset compares each window with the reference. data: any feature drifted; dataset: its own
verdict, at least half of them; prediction: the predicted label or the confidence drifted.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

sys.path.pop(0)  # this file has the package's name
os.environ["DO_NOT_TRACK"] = os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
import pandas as pd

warnings.filterwarnings("ignore")
from evidently import Report  # noqa: E402
from evidently.presets import DataDriftPreset  # noqa: E402

PREDICTIONS = ("predicted", "confidence")


def drifted(reference: pd.DataFrame, window: pd.DataFrame) -> tuple[dict[str, bool], bool]:
    """Return whether each column drifted, and whether half of them did."""
    found = Report([DataDriftPreset()]).run(window, reference).dict()["metrics"]
    columns, is_dataset = {}, False
    for metric in found:
        config = metric.get("config", {})
        if "column" in config and isinstance(metric["value"], float):
            is_p_value = "p_value" in config.get("method", "") or "p_value" in metric.get("metric_name", "")
            columns[config["column"]] = (
                metric["value"] < config["threshold"] if is_p_value else metric["value"] >= config["threshold"]
            )
        elif isinstance(metric["value"], dict) and "share" in metric["value"]:
            is_dataset = metric["value"]["share"] >= 0.5
    return columns, is_dataset


def judge(folder: Path) -> dict[str, list[bool]]:
    reference = pd.read_parquet(folder / "reference.parquet").drop(columns=["truth"])
    windows = pd.read_parquet(folder / "windows.parquet").drop(columns=["truth"])
    features = [c for c in reference if not c.startswith("p_") and c not in PREDICTIONS]
    said: dict[str, list[bool]] = {"data": [], "dataset": [], "prediction": []}
    for _, window in windows.groupby("window"):
        columns, is_dataset = drifted(reference[features], window[features])
        assert len(columns) == len(features), columns
        said["data"].append(any(columns.values()))
        said["dataset"].append(is_dataset)
        columns, _ = drifted(reference[[*PREDICTIONS]], window[[*PREDICTIONS]])
        said["prediction"].append(any(columns.values()))
    return said


if __name__ == "__main__":
    root = Path(sys.argv[1])
    for folder in sorted(path.parent for path in root.glob(f"{sys.argv[2]}*/scenario.json")):
        (folder / "evidently.json").write_text(
            json.dumps({"versions": {"evidently": version("evidently")}, "said": judge(folder)})
        )
        print(folder.name, flush=True)
