"""Several processes that write the same batches at once, one of them killed, count each row once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.e2e
def test_concurrent_writers_count_each_row_and_label_once(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "aiplatform.settings",
        "AIPLATFORM_ROLES": "monitoring",
        "AIPLATFORM_DEBUG": "1",
        "DATA_DIR": str(tmp_path),
        "LOG_LEVEL": "ERROR",
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": os.environ.get("TEST_WRITERS_DATABASE_URL", f"sqlite:///{tmp_path}/db.sqlite3"),
    }
    script = Path(__file__).with_name("concurrent_writers.py")
    answer = subprocess.run(
        [sys.executable, script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110
    )
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout) == {
        "rows": 600,
        "sketched": 600,
        "indexed": 600,
        "labelled": 300,
        "correct": 300,
        "exits": [-9, 0, 0],
    }
