"""Several processes that write and roll up at once, one of them killed, count each row once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]


def run_script(name: str, folder: Path, database: str) -> dict[str, Any]:
    """Return what a script beside this file says, whose processes share an empty database."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "aiplatform.settings",
        "AIPLATFORM_ROLES": "monitoring",
        "AIPLATFORM_DEBUG": "1",
        "DATA_DIR": str(folder),
        "LOG_LEVEL": "ERROR",
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": database,
    }
    script = Path(__file__).parent / name
    answer = subprocess.run(
        [sys.executable, script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280
    )
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_concurrent_writers_count_each_row_and_label_once(tmp_path: Path, empty_database: str) -> None:
    assert run_script("concurrent_writers.py", tmp_path, empty_database) == {
        "rows": 600,
        "sketched": 600,
        "indexed": 600,
        "labelled": 300,
        "correct": 300,
        "exits": [-9, 0, 0],
    }


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_clocks_that_roll_up_while_others_write_count_each_row_and_label_once(
    tmp_path: Path, empty_database: str
) -> None:
    assert run_script("concurrent_clocks.py", tmp_path, empty_database) == {
        "by_resolution": {"60": [800, 400], "3600": [800, 400], "86400": [800, 400]},
        "read": [800, 400, 400],
        "sketched": 800,
        "exits": [-9, 0, 0, 0],
    }
