"""NannyML's alerts at its defaults, run in its own environment: `python nannyml.py FOLDER PREFIX`.

data: an alert of the univariate calculator (Jensen-Shannon) for any feature; dataset: of the multivariate one
(reconstruction by PCA); prediction: for the predicted label or the confidence; estimate: of confidence-based
performance estimation (CBPE) on accuracy; accuracy: of the realised accuracy, all labels known at once. Its
thresholds are the mean of the reference's chunks and three standard deviations; chunks are as large as windows.
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
import nannyml as nml  # noqa: E402

PREDICTIONS = ("predicted", "confidence")


def alerts(result: pd.DataFrame) -> list[bool]:
    """Return by chunk of the analysis whether anything alerts."""
    analysis = result[result[("chunk", "period")] == "analysis"] if ("chunk", "period") in result else result
    columns = [column for column in analysis.columns if column[-1] == "alert"]
    return analysis[columns].any(axis=1).tolist()


def judge(folder: Path) -> dict[str, list[bool]]:
    reference = pd.read_parquet(folder / "reference.parquet")
    windows = pd.read_parquet(folder / "windows.parquet")
    size = int((windows["window"] == 0).sum())
    features = [c for c in reference if not c.startswith("p_") and c not in (*PREDICTIONS, "truth")]
    classes = [c for c in reference if c.startswith("p_")]
    is_binary = len(classes) == 2
    scores = classes[1] if is_binary else {c[2:]: c for c in classes}
    kind = "classification_binary" if is_binary else "classification_multiclass"
    for frame in (reference, windows):
        if is_binary:
            frame["predicted"], frame["truth"] = frame["predicted"].astype(int), frame["truth"].astype(int)
    said = {}
    for name, columns in (("data", features), ("prediction", [*PREDICTIONS])):
        calculator = nml.UnivariateDriftCalculator(
            column_names=columns, treat_as_categorical=["predicted"] if name == "prediction" else None, chunk_size=size
        ).fit(reference)
        said[name] = alerts(calculator.calculate(windows).filter(period="analysis").to_df())
    multivariate = nml.DataReconstructionDriftCalculator(column_names=features, chunk_size=size).fit(reference)
    said["dataset"] = alerts(multivariate.calculate(windows).filter(period="analysis").to_df())
    common = {"y_pred_proba": scores, "y_pred": "predicted", "y_true": "truth", "problem_type": kind}
    estimator = nml.CBPE(**common, metrics=["accuracy"], chunk_size=size).fit(reference)
    said["estimate"] = alerts(estimator.estimate(windows).filter(period="analysis").to_df())
    realised = nml.PerformanceCalculator(**common, metrics=["accuracy"], chunk_size=size).fit(reference)
    said["accuracy"] = alerts(realised.calculate(windows).filter(period="analysis").to_df())
    return said


if __name__ == "__main__":
    root = Path(sys.argv[1])
    for folder in sorted(path.parent for path in root.glob(f"{sys.argv[2]}*/scenario.json")):
        (folder / "nannyml.json").write_text(
            json.dumps({"versions": {"nannyml": version("nannyml")}, "said": judge(folder)})
        )
        print(folder.name, flush=True)
