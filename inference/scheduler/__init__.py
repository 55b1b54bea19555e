"""Collects the rows of one loaded version into batches, within bounds and before deadlines."""

from inference.scheduler.job import Job
from inference.scheduler.limits import BatchLimits
from inference.scheduler.queue import BatchQueue

__all__ = ["BatchLimits", "BatchQueue", "Job"]
