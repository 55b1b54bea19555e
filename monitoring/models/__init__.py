"""Tables of monitoring: `windows` measured, `feedback` the truth, `alerts` told, `store` what is kept whole."""

from monitoring.models import alerts, retrainings, rollouts
from monitoring.models.feedback import Feedback, Prediction, PredictionBlock
from monitoring.models.store import DeletedPrediction, PredictionDeletion, PredictionPolicy, StoreLease
from monitoring.models.windows import Baseline, IngestedBatch, Report, ServedVersion, Window

__all__ = [
    "Baseline",
    "DeletedPrediction",
    "Feedback",
    "IngestedBatch",
    "Prediction",
    "PredictionBlock",
    "PredictionDeletion",
    "PredictionPolicy",
    "Report",
    "ServedVersion",
    "StoreLease",
    "Window",
    "alerts",
    "retrainings",
    "rollouts",
]
