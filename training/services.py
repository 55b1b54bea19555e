"""What people and programs order: a run, its cancellation, its resumption."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from aiplatform.errors import ConflictError, InvalidInputError
from training import doorbell
from training.data.sql_places import check_no_password
from training.dataset_registry import find_versions, pin_order
from training.leases import order_stop
from training.models import Run, RunData, RunUsage
from training.names import check_public_name
from training.recipe_defaults import get_recipe
from training.recipes.registry import resolve_parameters
from training.resources.asking import ResourceOrder, check_resources, estimate
from training.states import RESUMABLE_STATES, ExitClass, RunState

log = structlog.get_logger(__name__)

LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True, kw_only=True)
class RunOrder:
    """What to train. `parameters` are raw (text or typed values); `deploy_endpoint` empty: do not deploy.

    `registers` False: learn and test only, as a trial does; `register_run` may register it later.
    """

    recipe: str
    data_uri: str
    model_name: str
    target: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    deploy_endpoint: str = ""
    actor: str = ""
    reason: str = ""
    idempotency_key: str = ""
    registers: bool = True
    resources: ResourceOrder = field(default_factory=ResourceOrder)


def create_run(order: RunOrder) -> Run:
    """Queue a run and ring for it; an order whose `idempotency_key` is known returns its run.

    Raises: InvalidInputError naming the recipe, parameter, name or seed that cannot be; nothing is queued.
    """
    parameters = check_order(order)
    data_uri, target = pin_order(order.data_uri, order.target)
    order = replace(order, data_uri=data_uri, target=target)
    known = _find_ordered(order.idempotency_key)
    if known is not None:
        return known
    try:
        run = _queue_run(order, parameters)
    except IntegrityError:  # the same order came twice at once
        known = _find_ordered(order.idempotency_key)
        if known is None:
            raise
        return known
    log.info("run_created", run=str(run.pk), recipe=run.recipe, model=run.model_name, actor=order.actor)
    run.refresh_from_db()
    return run


def _find_ordered(key: str) -> Run | None:
    return Run.objects.filter(idempotency_key=key).first() if key else None


def _queue_run(order: RunOrder, parameters: Mapping[str, Any]) -> Run:
    resources, expected = order.resources, estimate(order.recipe, order.data_uri)
    with transaction.atomic():
        run = Run.objects.create(
            recipe=order.recipe,
            parameters=parameters,
            data_uri=order.data_uri,
            target=order.target,
            model_name=order.model_name,
            seed=order.seed,
            deploy_endpoint=order.deploy_endpoint,
            requested_by=order.actor,
            reason=order.reason[:500],
            idempotency_key=order.idempotency_key,
            registers=order.registers,
            attempts_left=settings.TRAINING_ATTEMPTS,
            **asdict(resources),
            memory_estimate_bytes=expected.memory_bytes,
            gpu_memory_estimate_bytes=expected.gpu_memory_bytes,
        )
        versions = find_versions(order.data_uri)
        if versions:
            RunData.objects.create(run=run).versions.set(versions)
        transaction.on_commit(lambda: doorbell.ring(run.pk))
    return run


def check_order(order: RunOrder) -> dict[str, Any]:
    """Return the parameters with types and defaults.

    Raises: InvalidInputError (or a class of it) naming the rule and the value received.
    """
    check_public_name("model", order.model_name)
    if order.deploy_endpoint:
        check_public_name("endpoint", order.deploy_endpoint)
    if not 0 <= order.seed <= LARGEST_SEED:
        raise InvalidInputError(f"seed must be from 0 to {LARGEST_SEED}, not {order.seed}")
    if not order.data_uri.strip():
        raise InvalidInputError("data must name a source, for example 'digits' or a path")
    check_no_password(order.data_uri)
    check_resources(order.resources)
    recipe = get_recipe(order.recipe)
    return dict(resolve_parameters(recipe, order.parameters))


def cancel_run(run: Run, *, actor: str = "") -> Run:
    """Cancel a waiting run at once, an active one at its next step.

    Raises: ConflictError if it has ended.
    """
    now = timezone.now()
    waiting = Run.objects.filter(pk=run.pk, state=RunState.QUEUED)
    is_done = waiting.update(
        state=RunState.CANCELLED, exit_class=ExitClass.CANCELLED, exit_message="cancelled before it started",
        cancel_requested_at=now, ended_at=now,
    )  # fmt: skip
    run.refresh_from_db()
    if not is_done and not order_stop(run, ExitClass.CANCELLED) and not run.stop_reason:
        run.refresh_from_db()
        if run.is_ended:
            raise ConflictError(f"run {run.short_id} has ended already: {run.get_state_display().lower()}")
        return cancel_run(run, actor=actor)  # it moved between queue and process just now
    log.info("run_cancelled", run=str(run.pk), actor=actor)
    run.refresh_from_db()
    return run


def resume_run(run: Run, *, resources: ResourceOrder | None = None, actor: str = "") -> Run:
    """Queue a failed or cancelled run again; it goes on from its last checkpoint with fresh attempts.

    `resources`: what it asks for from now on; None: as before.
    Raises: ConflictError if it is in another state; InvalidInputError if it asks for what cannot be.
    """
    if resources is not None:
        check_resources(resources)
    resumed = Run.objects.filter(pk=run.pk, state__in=RESUMABLE_STATES).update(
        state=RunState.QUEUED, attempts_left=settings.TRAINING_ATTEMPTS, deadline_at=None, ended_at=None,
        stop_reason="", stop_ordered_at=None, stop_signalled_at=None, cancel_requested_at=None,
        exit_class="", exit_message="", exit_traceback="", progress={},
        queued_at=timezone.now(), passed_at=None, memory_estimate_bytes=_own_peak(run),
        **(asdict(resources) if resources else {}),
    )  # fmt: skip
    run.refresh_from_db()
    if not resumed:
        raise ConflictError(
            f"run {run.short_id} is {run.get_state_display().lower()}; only a failed or cancelled run can be resumed"
        )
    log.info("run_resumed", run=str(run.pk), actor=actor)
    transaction.on_commit(lambda: doorbell.ring(run.pk))
    return run


def _own_peak(run: Run) -> int:
    """Return what to expect of a run's memory: what it took itself, if that is known."""
    usage: RunUsage | None = getattr(run, "usage", None)
    return max(run.memory_estimate_bytes, usage.memory_peak_bytes if usage else 0)


def register_run(run: Run, *, deploy_endpoint: str = "", actor: str = "") -> Run:
    """Have a succeeded trial's model registered: the run goes on from its last checkpoint, the end, and writes.

    Raises: ConflictError if it has not succeeded, or is registered already.
    """
    if deploy_endpoint:
        check_public_name("endpoint", deploy_endpoint)
    queued = Run.objects.filter(pk=run.pk, state=RunState.SUCCEEDED, registers=False).update(
        state=RunState.QUEUED, registers=True, attempts_left=settings.TRAINING_ATTEMPTS, deadline_at=None,
        ended_at=None, deploy_endpoint=deploy_endpoint, progress={}, queued_at=timezone.now(), passed_at=None,
    )  # fmt: skip
    run.refresh_from_db()
    if not queued:
        why = "is registered already" if run.registers else f"is {run.get_state_display().lower()}"
        raise ConflictError(f"run {run.short_id} {why}; only a succeeded trial can be registered")
    log.info("trial_registered", run=str(run.pk), actor=actor)
    transaction.on_commit(lambda: doorbell.ring(run.pk))
    return run
