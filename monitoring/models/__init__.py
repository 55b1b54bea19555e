"""Tables of monitoring.

`windows` what is measured, `feedback` the truth, `performance` both, `reports` and `alerts` what is told.
"""

from monitoring.models import alerts
from monitoring.models.feedback import Feedback, Prediction, PredictionBlock
from monitoring.models.performance import DetectedChange, DetectorState, ObservedWindow, PerformanceWindow
from monitoring.models.reports import ReportDelivery, ReportSchedule, StoredReport
from monitoring.models.windows import Baseline, IngestedBatch, Report, ServedVersion, Window

__all__ = [
    "Baseline",
    "DetectedChange",
    "DetectorState",
    "Feedback",
    "IngestedBatch",
    "ObservedWindow",
    "PerformanceWindow",
    "Prediction",
    "PredictionBlock",
    "Report",
    "ReportDelivery",
    "ReportSchedule",
    "ServedVersion",
    "StoredReport",
    "Window",
    "alerts",
]
