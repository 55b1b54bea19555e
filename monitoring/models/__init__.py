"""Tables of monitoring: `windows` what is measured, `feedback` the truth, `alerts` what is told."""

from monitoring.models import alerts, retrainings, rollouts
from monitoring.models.feedback import Feedback, Prediction, PredictionBlock
from monitoring.models.windows import Baseline, IngestedBatch, Report, ServedVersion, Window

__all__ = [
    "Baseline",
    "Feedback",
    "IngestedBatch",
    "Prediction",
    "PredictionBlock",
    "Report",
    "ServedVersion",
    "Window",
    "alerts",
    "retrainings",
    "rollouts",
]
