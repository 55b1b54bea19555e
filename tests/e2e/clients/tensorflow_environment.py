"""The environment of tensorflow-serving-api: its stubs alone, on the project's TensorFlow.

Its stubs need TensorFlow's messages, and a TensorFlow of its own would cost a minute and a gigabyte.
"""

from __future__ import annotations

import sysconfig
from pathlib import Path

from tests.e2e.clients.environments import ClientEnvironment, client_environment

NAME = "tensorflow-serving-api"


def tensorflow_client_environment() -> ClientEnvironment:
    """Return the environment, made if it is missing."""
    environment = client_environment(NAME)
    packages = next(environment.folder.glob("lib/python*/site-packages"))
    (packages / "project.pth").write_text(f"{Path(sysconfig.get_path('purelib'))}\n")
    return environment
