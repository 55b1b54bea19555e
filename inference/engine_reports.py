"""What is known of a version's engines, for people and orders: read from the packs, no database needed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import structlog
from django.conf import settings

from aiplatform.contracts.engines import CompileVersion, EngineReport, EngineReports, EngineRow, EngineTime
from aiplatform.contracts.training import ModelVersionInfo
from aiplatform.errors import ArtifactError, InvalidInputError
from inference.choice import AUTO, NATIVE, WISHES
from inference.compiling.here import compiler_queue, pack_store, work_folder
from inference.compiling.lock import is_compiling
from inference.compiling.machine import machine_kind
from inference.compiling.packs import PackPlace
from inference.compiling.steps import possible_engines
from inference.compiling.table import Candidate, CandidateState, EngineTable
from inference.engines import EngineOptions

log = structlog.get_logger(__name__)


def order_compilation(order: CompileVersion) -> EngineReports:
    """Begin to compile a version in the background, unless that was done or is under way."""
    if order.is_automatic and not settings.COMPILE_ENGINES:
        return replace(report_engines(order.artifact_digest), state="off", detail="COMPILE_ENGINES is off")
    found = report_engines(order.artifact_digest)
    is_sound = not any(report.problem for report in found.reports if report.machine == found.machine)
    if found.state == "compiling" or (found.state == "ready" and is_sound and not order.force):
        return found
    compiler_queue().start(order)
    return report_engines(order.artifact_digest)


def report_engines(digest: str) -> EngineReports:
    """Return every kind of machine's table for an artifact, and how far this one's has come."""
    places = pack_store().list_newest(digest)
    state, detail = _state(digest, places)
    reports = tuple(_report(place, digest) for place in places)
    return EngineReports(artifact_digest=digest, machine=machine_kind(), state=state, detail=detail, reports=reports)


def check_engine(engine: str, versions: Iterable[ModelVersionInfo]) -> None:
    """Raise InvalidInputError if an engine does not exist, or is known not to run one of the versions."""
    if engine and engine not in WISHES:
        raise InvalidInputError(f"there is no engine '{engine}'; the engines are: {', '.join(WISHES)}")
    if engine in ("", AUTO, NATIVE):
        return
    for info in versions:
        possible = possible_engines(info.framework)
        if possible and engine not in possible:
            raise InvalidInputError(
                f"engine '{engine}' does not run {info.model} version {info.version} ({info.framework}); "
                f"what may: {', '.join(possible)}"
            )
        _check_proven(engine, info)


def _check_proven(engine: str, info: ModelVersionInfo) -> None:
    try:
        place = pack_store().find(info.artifact_digest, machine_kind())
        table = pack_store().fetch(place, digest=info.artifact_digest).table if place else None
    except ArtifactError as error:
        log.info("engine_pack_not_read", model=info.model, version=info.version, error=error.message)
        return  # the replicas will say so, if they cannot read it either
    row = table.find(engine) if table else None
    if row is not None and row.state is not CandidateState.EQUAL:
        raise InvalidInputError(
            f"engine '{engine}' does not serve {info.model} version {info.version}: "
            f"it is {row.state.value}: {row.reason}"
        )


def _state(digest: str, places: list[PackPlace]) -> tuple[str, str]:
    queue = compiler_queue()
    if queue.is_busy_with(digest) or is_compiling(work_folder(), digest):
        return "compiling", ""
    failure = queue.failure(digest)
    if failure:
        return "failed", failure
    return ("ready" if any(place.machine == machine_kind() for place in places) else "missing"), ""


def _report(place: PackPlace, digest: str) -> EngineReport:
    try:
        table = pack_store().fetch(place, digest=digest).table
    except ArtifactError as error:
        return EngineReport(machine=place.machine, created_at="", tolerance="", engines=(), problem=error.message)
    threads = _allowed_threads(table)
    chosen = table.fastest(threads)
    return EngineReport(
        machine=table.machine,
        created_at=table.created_at,
        tolerance=table.tolerance,
        facts=table.facts,
        engines=tuple(_row(candidate, threads, candidate is chosen) for candidate in table.candidates),
    )


def _allowed_threads(table: EngineTable) -> int:
    if settings.ENGINE_THREADS > 0:
        return int(settings.ENGINE_THREADS)
    if table.machine == machine_kind():
        return EngineOptions(workers=max(1, settings.WEB_WORKERS)).thread_count
    return max(1, int(table.facts.get("cores", "1")) // max(1, settings.WEB_WORKERS))


def _row(candidate: Candidate, allowed_threads: int, is_chosen: bool) -> EngineRow:
    threads = candidate.best_threads(allowed_threads)
    times = [timing for timing in candidate.timings if timing.threads == threads]
    return EngineRow(
        engine=candidate.engine,
        state=candidate.state.value,
        is_native=candidate.is_native,
        is_chosen=is_chosen,
        reason=candidate.reason,
        max_error=candidate.max_error,
        size_bytes=candidate.size_bytes,
        threads=threads if times else 0,
        times=tuple(EngineTime(rows=t.rows, ms=round(t.ms, 4), rows_per_s=round(t.rows_per_s, 1)) for t in times),
    )
