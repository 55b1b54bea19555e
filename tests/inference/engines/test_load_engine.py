"""Finding the engine for an artifact, without any framework."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aiplatform.errors import ArtifactError
from inference.engines import load_engine
from tests.inference.serving_fakes import make_manifest


def test_a_format_that_no_engine_runs_is_refused_by_name(tmp_path: Path) -> None:
    manifest = make_manifest(framework="tensorflow", model_format="pickle")
    with pytest.raises(
        ArtifactError, match=r"no engine runs tensorflow/pickle .* the engines run: tensorflow/saved_model"
    ):
        load_engine(tmp_path, manifest)


def test_a_framework_that_is_not_installed_is_named() -> None:
    code = """
import sys
sys.modules["torch"] = None
from pathlib import Path
from aiplatform.errors import InvalidConfigurationError
from inference.engines import load_engine
from tests.inference.serving_fakes import make_manifest
try:
    load_engine(Path("."), make_manifest(framework="torch", model_format="torch_export"))
except InvalidConfigurationError as error:
    print(error.message)
"""
    done = _python(code)
    assert "double version 1 needs 'torch', which is not installed here" in done


def test_engines_and_codecs_import_neither_django_nor_a_framework() -> None:
    code = """
import sys
import inference.engines, inference.protocols.tf_serving, inference.protocols.open_inference
import inference.protocols.image_upload, inference.scheduler
print(sorted({"django", "tensorflow", "torch", "keras"} & set(sys.modules)))
"""
    assert _python(code).strip() == "[]"


def _python(code: str) -> str:
    environment = {"DJANGO_SETTINGS_MODULE": "tests.settings", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout
