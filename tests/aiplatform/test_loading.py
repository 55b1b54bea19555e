"""What a process loads before it has anything to do: a list of what it must not, since each of these costs much."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aiplatform.late import late_module
from aiplatform.roles import ROLES, roles_of_process

ROOT = Path(__file__).resolve().parents[2]
NOBODY = {
    "tensorflow", "keras", "torch", "onnx", "onnxruntime", "ai_edge_litert", "sklearn", "scipy", "pandas", "optuna",
    "mlflow", "kubernetes", "apprise", "s3fs", "gcsfs", "boto3", "botocore", "sqlalchemy", "marshmallow",
    "pyarrow", "duckdb",
}  # fmt: skip
NO_TRAINER = NOBODY | {
    "PIL", "psycopg", "requests", "jinja2", "unittest", "knox", "unfold", "django.contrib.admin",
    "aiplatform.urls", "rest_framework.views", "training.data.sources", "monitoring", "gateway",
}  # fmt: skip
SET_UP = "import django; django.setup()"


def loaded(
    code: str, unwanted: set[str], tmp_path: Path, *, roles: str = "all", argv: tuple[str, ...] = ()
) -> set[str]:
    """Return which of the modules are there after some code in a process of its own."""
    script = f"{code}\nprint('loaded:', *({unwanted!r} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.argv[:] = {['manage.py', *argv]!r}\n{script}"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "aiplatform.settings",
            "AIPLATFORM_DEBUG": "1",
            "AIPLATFORM_ROLES": roles,
            "DATA_DIR": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("loaded:")[2].split())


def test_the_platform_comes_up_without_what_few_requests_need(tmp_path: Path) -> None:
    assert loaded(SET_UP, NOBODY, tmp_path) == set()


def test_a_trainer_comes_up_with_its_own_app_alone(tmp_path: Path) -> None:
    code = f"{SET_UP}; import training.attempt"
    assert loaded(code, NO_TRAINER, tmp_path, roles="training,inference") == set()


def test_the_train_command_orders_without_what_reads_data_or_draws_pages(tmp_path: Path) -> None:
    code = "from django.core.management import execute_from_command_line as run; run(['manage.py', 'train', 'recipes'])"
    assert loaded(code, NO_TRAINER, tmp_path, argv=("train", "recipes")) == set()


def test_the_learning_code_reads_images_without_what_reads_tables(tmp_path: Path) -> None:
    code = "import training.learning, training.data.sources, training.recipes.keras_cnn"
    assert loaded(code, {"pyarrow", "PIL", "psycopg", "google.protobuf", "django"}, tmp_path) == set()


@pytest.mark.parametrize(
    ("configured", "argv", "expected"),
    [
        (ROLES, ["manage.py", "train", "run"], {"training", "inference"}),
        (("training", "gateway"), ["./manage.py", "train", "list"], {"training"}),
        (("console",), ["manage.py", "train", "list"], {"console"}),
        (("inference",), ["manage.py", "train", "list"], {"inference"}),
        (ROLES, ["manage.py", "serve"], set(ROLES)),
        (ROLES, ["manage.py"], set(ROLES)),
        (ROLES, ["pytest", "train"], set(ROLES)),
    ],
)
def test_a_command_of_one_app_takes_few_of_the_roles(
    configured: tuple[str, ...], argv: list[str], expected: set[str]
) -> None:
    assert roles_of_process(frozenset(configured), argv) == expected


def test_a_late_module_is_loaded_by_the_first_use() -> None:
    name = "xml.dom.pulldom"  # nothing else here needs it
    sys.modules.pop(name, None)
    late = late_module(name)
    assert name not in sys.modules
    assert late.START_ELEMENT == "START_ELEMENT"
    assert name in sys.modules
    with pytest.raises(AttributeError, match="absent"):
        _ = late.absent


def test_what_is_replaced_in_a_module_is_replaced_in_its_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    late = late_module("string")
    assert late.digits == "0123456789"
    monkeypatch.setattr("string.digits", "01")
    assert late.digits == "01"


@pytest.mark.jax
@pytest.mark.timeout(300)
def test_tensorflow_is_loaded_without_jax_which_can_be_loaded_afterwards() -> None:
    told = subprocess.run(
        [sys.executable, "-c", _TENSORFLOW_ALONE], capture_output=True, text=True, check=True, cwd=ROOT, timeout=300
    )
    assert told.stdout.split() == ["False", "jax"]


_TENSORFLOW_ALONE = """
import sys
from aiplatform.late import load_tensorflow
load_tensorflow()
print("jax" in sys.modules)
import jax
print(jax.__name__)
"""
