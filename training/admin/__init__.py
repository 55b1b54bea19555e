"""Training's pages in the console: runs with their curves, models and versions with their lineage."""

from training.admin import (  # noqa: F401  (they register themselves)
    datasets,
    models,
    resources,
    runs,
    schedules,
    searches,
    versions,
)
