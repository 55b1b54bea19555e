"""Tables of monitoring.

`windows` what is measured, `feedback` the truth, `performance` both, `reports` and `alerts` what is told, `store` what
is kept whole.
"""

from monitoring.models import alerts, retrainings, rollouts
from monitoring.models.feedback import Feedback, Prediction, PredictionBlock
from monitoring.models.performance import DetectedChange, DetectorState, ObservedWindow, PerformanceWindow
from monitoring.models.reports import ReportDelivery, ReportSchedule, StoredReport
from monitoring.models.store import DeletedPrediction, PredictionDeletion, PredictionPolicy, StoreLease
from monitoring.models.windows import Baseline, IngestedBatch, Report, ServedVersion, Window

__all__ = [
    "Baseline",
    "DeletedPrediction",
    "DetectedChange",
    "DetectorState",
    "Feedback",
    "IngestedBatch",
    "ObservedWindow",
    "PerformanceWindow",
    "Prediction",
    "PredictionBlock",
    "PredictionDeletion",
    "PredictionPolicy",
    "Report",
    "ReportDelivery",
    "ReportSchedule",
    "ServedVersion",
    "StoreLease",
    "StoredReport",
    "Window",
    "alerts",
    "retrainings",
    "rollouts",
]
