"""A version's engines: ordered after a run, shown in the console and the terminal, over a fake inference."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from aiplatform.contracts.engines import CompileVersion, EngineReport, EngineReports, EngineRow, EngineTime
from aiplatform.errors import UnavailableError
from training import engines

from ..factories import make_version

pytestmark = pytest.mark.django_db

ROWS = (
    EngineRow(engine="tensorflow", state="equal", is_native=True, is_chosen=False, max_error=2e-10, size_bytes=2048,
              threads=1, times=(EngineTime(rows=1, ms=0.25, rows_per_s=4000),)),
    EngineRow(engine="litert", state="unequal", is_native=False, is_chosen=False, reason="off by 3"),
    EngineRow(engine="onnxruntime", state="equal", is_native=False, is_chosen=True, max_error=1e-7, threads=1,
              times=(EngineTime(rows=1, ms=0.03125, rows_per_s=32000),)),
)  # fmt: skip
REPORT = EngineReport(machine="x86_64-2core-1", created_at="2026-11-24", tolerance="0.0001", engines=ROWS)


@dataclass
class FakeInference:
    """Compiles at the second look; or is away."""

    orders: list[CompileVersion] = field(default_factory=list)
    looks: int = 0
    is_away: bool = False
    outcome: str = "ready"

    def compile_version(self, order: CompileVersion) -> EngineReports:
        if self.is_away:
            raise UnavailableError("inference cannot be reached")
        self.orders.append(order)
        return self._report(order.artifact_digest, "compiling")

    def get_engines(self, artifact_digest: str) -> EngineReports:
        if self.is_away:
            raise UnavailableError("inference cannot be reached")
        self.looks += 1
        return self._report(artifact_digest, self.outcome if self.looks > 1 else "compiling")

    def _report(self, digest: str, state: str) -> EngineReports:
        found = EngineReports(artifact_digest=digest, machine=REPORT.machine, state=state)
        return replace(found, reports=(REPORT,)) if state == "ready" else found


@pytest.fixture
def inference(monkeypatch: pytest.MonkeyPatch) -> FakeInference:
    fake = FakeInference()
    monkeypatch.setattr(engines, "inference_client", lambda: fake)
    return fake


def run_of(version: Any) -> UUID:
    assert version.run_id is not None
    return version.run_id  # type: ignore[no-any-return]


def test_a_runs_version_is_compiled_and_inference_away_harms_nothing(inference: FakeInference) -> None:
    version = make_version()
    engines.compile_quietly(run_of(version))
    [order] = inference.orders
    assert (order.model, order.version, order.artifact_digest) == ("mnist", 1, version.artifact_digest)
    assert order.is_automatic and not order.force
    inference.is_away = True
    engines.compile_quietly(run_of(version))
    engines.compile_quietly(run_of(make_version(is_ready=False)))
    assert len(inference.orders) == 1


def test_the_command_orders_waits_and_prints_the_table(inference: FakeInference) -> None:
    make_version()
    out = io.StringIO()
    call_command("models", "compile", "mnist@1", "--wait", "--force", stdout=out)
    lines = out.getvalue().splitlines()
    assert lines[:2] == ["mnist version 1", "here (x86_64-2core-1): ready"]
    assert [line.split()[:2] for line in lines[3:]] == [
        ["ENGINE", "STATE"], ["tensorflow", "equal"], ["litert", "unequal"], ["onnxruntime", "equal"],
    ]  # fmt: skip
    assert "4,000" in lines[4] and lines[5].endswith("off by 3") and lines[6].endswith("serves")
    assert inference.orders[0].force


def test_without_waiting_it_says_that_it_is_under_way(inference: FakeInference) -> None:
    make_version()
    out = io.StringIO()
    call_command("models", "compile", "mnist", "--json", stdout=out)
    found = json.loads(out.getvalue())
    assert (found["model"], found["version"], found["state"]) == ("mnist", 1, "compiling")


def test_a_compilation_that_failed_ends_with_exit_code_1(inference: FakeInference) -> None:
    make_version()
    inference.outcome = "failed"
    with pytest.raises(CommandError, match="there is no engine pack: failed") as caught:
        call_command("models", "compile", "mnist", "--wait", stdout=io.StringIO())
    assert caught.value.returncode == 1


def test_a_version_is_shown_with_its_engines(inference: FakeInference) -> None:
    make_version()
    inference.looks = 1
    out = io.StringIO()
    call_command("models", "show", "mnist", stdout=out)
    assert "onnxruntime" in out.getvalue()


def test_the_console_shows_the_table_and_what_serves(inference: FakeInference, client: Client) -> None:
    version = make_version()
    client.force_login(get_user_model().objects.create_superuser("ann", password="secret"))
    page = reverse("admin:training_modelversion_change", args=[version.pk])
    assert "models compile mnist@1" in client.get(page).content.decode()
    shown = client.get(page).content.decode()
    assert "onnxruntime <strong>serves</strong>" in shown
    assert "unequal: off by 3" in shown
    inference.is_away = True
    assert "inference cannot be reached" in client.get(page).content.decode()
