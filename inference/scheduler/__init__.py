"""Collects the rows of one loaded version into batches, within bounds and before deadlines."""

from inference.scheduler.job import CallbackJob, Job, Priority
from inference.scheduler.limits import BatchLimits
from inference.scheduler.queue import BatchQueue
from inference.scheduler.slots import DeviceSlots

__all__ = ["BatchLimits", "BatchQueue", "CallbackJob", "DeviceSlots", "Job", "Priority"]
