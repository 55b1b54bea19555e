"""Which backend Keras computes with while a recipe learns: TensorFlow, PyTorch or JAX.

Keras takes one for a whole process, when it is imported. A trainer is a process of its own, so each run has its choice.
What is served is a SavedModel whatever the backend was: see keras_export.py.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aiplatform.errors import InvalidConfigurationError
from aiplatform.late import load_tensorflow
from training.parallel.place import Place
from training.recipes.parameters import parameter

TENSORFLOW, TORCH, JAX = "tensorflow", "torch", "jax"
BACKENDS = (TENSORFLOW, TORCH, JAX)
BACKEND = "backend"  # the parameter's name
SHARING = (TENSORFLOW, TORCH)  # those on which several processes can share each step
_VARIABLE = "KERAS_BACKEND"
_INSTALL = {
    TENSORFLOW: "pip install -r requirements.txt",
    TORCH: "pip install -r requirements-torch.txt",
    JAX: "pip install -r requirements-jax.txt",
}


@dataclass(frozen=True, kw_only=True)
class BackendParameters:
    """What recipes that learn on any of Keras' backends have: the first base of their parameters' class.

    It checks its own rule and then lets the other bases check theirs.
    """

    backend: str = parameter(
        TENSORFLOW, choices=BACKENDS, help="What Keras computes with while it learns; served is a SavedModel."
    )

    def __post_init__(self) -> None:
        """Refuse what a backend cannot do."""
        workers = getattr(self, "workers", 1)
        if workers > 1 and self.backend not in SHARING:
            raise InvalidConfigurationError(
                f"parameter 'workers' must be 1 with backend={self.backend}, not {workers}: steps are shared among "
                f"processes on {' and '.join(SHARING)} only"
            )
        check_others = getattr(super(), "__post_init__", None)
        if check_others is not None:
            check_others()


def backend_of(parameters: object) -> str:
    """Return the backend that a run's parameters name; a recipe without the parameter learns with TensorFlow."""
    return str(getattr(parameters, BACKEND, TENSORFLOW))


@contextmanager
def keras_on(backend: object) -> Iterator[None]:
    """Have Keras take a backend if it is imported meanwhile: what a process has imported stays as it is.

    Processes that are started afterwards choose for themselves. What is no backend's name changes nothing.
    """
    before = os.environ.get(_VARIABLE)
    if backend in BACKENDS:
        os.environ[_VARIABLE] = str(backend)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = before


def check_installed(backend: str) -> None:
    """Raise InvalidConfigurationError if a backend is not installed."""
    wanted = dict.fromkeys((backend, TENSORFLOW, "keras"))  # TensorFlow writes what is served
    missing = next((name for name in wanted if importlib.util.find_spec(name) is None), None)
    if missing:
        raise InvalidConfigurationError(
            f"backend={backend} needs '{missing}', which is not installed where the run trains: "
            f"{_INSTALL.get(missing, _INSTALL[TENSORFLOW])}"
        )


def import_keras(backend: str) -> None:
    """Import Keras on a backend.

    Raises: InvalidConfigurationError if it is not installed, or this process has Keras on another already.
    """
    check_installed(backend)
    with keras_on(backend):  # TensorFlow imports Keras, too
        if backend != JAX:
            load_tensorflow()
        import keras
    if keras.config.backend() != backend:
        raise InvalidConfigurationError(
            f"backend must be {keras.config.backend()}, not {backend}: this process has Keras on it already"
        )


def start_backend(backend: str, place: Place, *, deterministic: bool) -> Any:
    """Bring a backend up in a place of a team; return what shares the steps there: TensorFlow's strategy, or None.

    It waits until all members have come. `deterministic`: take the same way for the same numbers, where the device has
    one; JAX does so on a CPU by itself.
    """
    strategy = None
    if backend == TENSORFLOW:
        import tensorflow as tf

        strategy = None if place.is_alone else _tensorflow_strategy(place)  # before TensorFlow does anything else
        if deterministic:
            tf.config.experimental.enable_op_determinism()
    elif backend == TORCH:
        import torch

        torch.use_deterministic_algorithms(deterministic and not torch.cuda.is_available())
        if not place.is_alone:
            _join_torch(place)
    return strategy


def keep_gpus_from_tensorflow() -> None:
    """Have TensorFlow look up texts on the CPU beside another backend, which needs the GPU's memory."""
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")


def _tensorflow_strategy(place: Place) -> Any:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        tf.config.set_visible_devices(gpus[place.local % len(gpus)], "GPU")
    return tf.distribute.MultiWorkerMirroredStrategy()


def _join_torch(place: Place) -> None:
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpus:
        torch.cuda.set_device(place.local % gpus)
    if torch.distributed.is_initialized():  # of an earlier learner in this process
        torch.distributed.destroy_process_group()
    torch.distributed.init_process_group("nccl" if gpus >= place.local_world else "gloo")
