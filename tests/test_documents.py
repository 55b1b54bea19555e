"""What the pages say is what the code has: settings, commands, metrics, links."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from django.core.management import call_command, get_commands

from aiplatform.management.commands.document_settings import variable_tables
from tests.conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OUR_APPS = ("aiplatform", "training", "inference", "monitoring", "gateway")


def all_text() -> str:
    """Return all pages as one text."""
    return "\n".join(page.read_text() for page in PAGES)


def source_files() -> list[Path]:
    """Return the Python files of the platform."""
    return [path for app in OUR_APPS for path in sorted((ROOT / app).rglob("*.py")) if "migrations" not in path.parts]


def test_the_settings_page_has_every_variable() -> None:
    call_command("document_settings", check=ROOT / "docs" / "settings.md", stdout=io.StringIO())
    assert "`ARTIFACT_STORE`" in variable_tables()


def test_only_the_settings_read_the_environment_of_the_platform() -> None:
    reads = re.compile(r"os\.environ\b|os\.getenv\b")
    allowed = {
        "aiplatform/environment.py": "what the settings read with",
        "aiplatform/asgi.py": "names the settings module",
        "aiplatform/wsgi.py": "names the settings module",
        "aiplatform/gunicorn_conf.py": "PROMETHEUS_MULTIPROC_DIR belongs to prometheus_client",
        "aiplatform/management/commands/serve.py": "sets PROMETHEUS_MULTIPROC_DIR for its children",
        "inference/engines/torch_program.py": "a variable of PyTorch",
        "training/data/builtin.py": "KERAS_HOME, a variable of Keras",
        "training/attempt.py": "what a cluster's launcher calls the trainer",
        "training/trainer.py": "whether the trainer is to write its log itself, as its launcher says",
        "training/parallel/place.py": "RANK and WORLD_SIZE, as torchrun says them",
        "training/recipes/keras_backends.py": "KERAS_BACKEND, a variable of Keras",
        "training/parallel/nodes.py": "where the nodes of a run are, as its launcher and the cluster say it",
        "training/node_member.py": "sets RANK and WORLD_SIZE for itself",
        "training/parallel/team.py": "sets them for the leader of a team and its members",
        "training/environment.py": "passes the environment on to the trainer",
        "training/ready.py": "takes over the environment that the launcher would have given",
    }
    readers = {path.relative_to(ROOT).as_posix() for path in source_files() if reads.search(path.read_text())} - set(
        allowed
    )
    offenders = {name for name in readers if not _only_passes_it_on(ROOT / name)}
    assert not offenders


def _only_passes_it_on(path: Path) -> bool:
    # A child process gets the parent's environment (`{**os.environ, ...}`), and a process of its
    # own may name the settings module or set a framework's variable; none of these is a setting.
    kept = re.sub(
        r"\*\*os\.environ|dict\(os\.environ\)|os\.environ\.copy\(\)|os\.environ\.setdefault\([^)]*\)",
        "",
        path.read_text(),
    )
    return not re.search(r"os\.environ\b|os\.getenv\b", kept)


@pytest.mark.parametrize("command", sorted(name for name, app in get_commands().items() if app in OUR_APPS))
def test_every_command_is_documented(command: str) -> None:
    assert re.search(rf"manage\.py {command}\b", all_text()), f"no page shows 'manage.py {command}'"


def test_every_metric_is_documented() -> None:
    text = all_text()
    names = {
        name
        for path in source_files()
        for name in re.findall(r"(?:Counter|Gauge|Histogram|Summary)\(\s*\"(aiplatform_[a-z0-9_]+)\"", path.read_text())
    }
    assert len(names) >= 10
    assert {name for name in names if name not in text} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    broken = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert broken == []


def test_every_system_check_is_documented() -> None:
    ids = {found for path in source_files() for found in re.findall(r"\"([a-z]+\.[EW]\d{3})\"", path.read_text())}
    text = all_text()
    assert {found for found in ids if f"`{found}`" not in text} == set()
