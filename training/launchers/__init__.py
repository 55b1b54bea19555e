"""Where a training runs: a process on this machine, or a pod of a cluster; all implement `base.Launcher`."""

from __future__ import annotations

from django.conf import settings
from django.utils.module_loading import import_string

from aiplatform.errors import InvalidConfigurationError
from training.launchers.base import Launcher

# Short names; any other launcher is named by its dotted path.
LAUNCHERS = {
    "local": "training.launchers.local.LocalLauncher",
    "kubernetes": "training.launchers.clusters.KubernetesLauncher",
    "kubeflow": "training.launchers.clusters.KubeflowLauncher",
}


def get_launcher(name: str | None = None) -> Launcher:
    """Return the launcher of that name, by default the one of TRAINING_LAUNCHER.

    Raises: InvalidConfigurationError naming the launchers there are.
    """
    wanted = name or settings.TRAINING_LAUNCHER
    try:
        launcher: Launcher = import_string(LAUNCHERS.get(wanted, wanted))()
    except ImportError as error:
        known = ", ".join(LAUNCHERS)
        raise InvalidConfigurationError(
            f"TRAINING_LAUNCHER must be one of {known}, or a dotted path, not '{wanted}'"
        ) from error
    return launcher
