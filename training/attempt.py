"""One attempt at a run, inside the trainer: learn, publish, and say how it ended.

Every way out leaves the row in a state that someone can act on; a way out that cannot write (a
kill, a lost lease) is left to supervision.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError
from django.utils.module_loading import import_string

from training import deployment, engines, processes, provenance
from training.cli.texts import metrics_text
from training.failures import READING, Moment, explain_error, own_limit_sentence
from training.heartbeat import STALE_EXIT_CODE, Heartbeat, StopFlag
from training.launchers.base import HOST_VARIABLE, NAME_VARIABLE, Handle
from training.launchers.limits import InForce
from training.leases import (
    Claim,
    StaleFenceError,
    complete_trial,
    confirm_start,
    end_run,
    record_process,
    take_back_run,
    write_evaluation,
    write_run,
)
from training.memory_guard import MemoryGuard
from training.models import ResourceLease, Run
from training.orders import team_key, training_order
from training.parallel.nodes import Nodes, this_seat
from training.publishing import Origin, adopt_published, publish_model
from training.reasons import stop_message
from training.recipes.api import StopRequestedError, TrainedModel, WorkerLostError
from training.reporting import RunReporter, persist
from training.run_files import run_folder
from training.states import ExitClass
from training.usage import memory_limit_bytes, peak_gpu_bytes, peak_memory_bytes

log = structlog.get_logger(__name__)

MOST_CLASSES_KEPT = 100  # of a confusion matrix: it grows with their square


class Attempt:
    """Does the work of one claim."""

    def __init__(self, claim: Claim, flag: StopFlag, held: InForce | None = None) -> None:
        self._claim, self._flag, self._held = claim, flag, held or InForce()
        self._folder = run_folder(claim.run_id)
        self._reporter = RunReporter(claim.run_id, claim.fence, flag)
        self._parameters: Mapping[str, Any] = {}

    def run(self) -> int:
        """Train and return the process's exit code; 0 if the run succeeded."""
        heartbeat = Heartbeat(self._claim.run_id, self._claim.fence, self._flag)
        try:
            self._come_up()
            heartbeat.start()
            run = Run.objects.get(pk=self._claim.run_id)
            self._parameters = run.parameters
            self._hold(run, heartbeat)
            self._train(run)
        except StopRequestedError:
            return self._stop()
        except WorkerLostError as error:
            return self._give_back(str(error))
        except StaleFenceError as error:
            log.error("trainer_is_stale", why=str(error))
            return STALE_EXIT_CODE
        except Exception as error:  # noqa: BLE001  (whatever a recipe raises is the run's result)
            return self._fail(error)
        finally:
            heartbeat.stop()
        engines.compile_quietly(self._claim.run_id)
        deploy_quietly(self._claim.run_id)
        return 0

    def _hold(self, run: Run, heartbeat: Heartbeat) -> None:
        """Note by what the run is held, and look at its memory where the kernel does not hold it."""
        ResourceLease.objects.filter(run=run, fence=self._claim.fence).update(limits=self._held.by)
        if self._held.why_not:
            self._reporter.log(f"the run has no cgroup: {self._held.why_not}")
        if run.memory_bytes and not self._held.is_memory_held:
            tell = partial(self._fail_over_limit, run.memory_bytes)
            heartbeat.guard_memory(MemoryGuard(run.memory_bytes, tell=tell))

    def _come_up(self) -> None:
        record_process(self._claim.run_id, self._claim.fence, _own_handle(), oom_kills=processes.count_oom_kills())
        confirm_start(self._claim.run_id, self._claim.fence)

    def _train(self, run: Run) -> None:
        self._reporter.log(f"attempt {run.attempt} at run {run.short_id}: {run.recipe} on {run.data_uri}")
        if adopt_published(run, self._claim) is not None:
            self._reporter.log("an earlier attempt had published the model; completed the run with it")
            return
        origin = self._record_origin()
        learn = import_string(settings.TRAINING_LEARN)
        self._reporter.enter("preparing")
        trained = learn(training_order(run, nodes=self._nodes()), self._reporter)
        if self._flag.is_set() and self._flag.reason:
            raise StopRequestedError("asked to stop before the model was published")
        self._reporter.complete_history(trained.history)
        self._reporter.log(f"tested: {metrics_text(trained.metrics)}")
        self._keep_evaluation(trained)
        if not run.registers:
            self._complete_trial(trained)
            return
        self._reporter.enter("publishing")
        version = publish_model(run, self._claim, trained, origin, scratch=self._folder)
        self._reporter.log(f"registered {run.model_name} version {version.version}")

    def _keep_evaluation(self, trained: TrainedModel) -> None:
        matrix, labels = trained.evaluation.get("confusion_matrix") or (), trained.evaluation.get("labels", ())
        if len(matrix) > MOST_CLASSES_KEPT:
            matrix, labels = (), ()
        write = partial(write_evaluation, metrics=trained.metrics, labels=labels, matrix=matrix)
        persist(lambda: write(self._claim.run_id, self._claim.fence))

    def _complete_trial(self, trained: TrainedModel) -> None:
        fingerprint = trained.data_fingerprint
        persist(lambda: complete_trial(self._claim.run_id, self._claim.fence, data_fingerprint=fingerprint))
        self._reporter.log("learned and tested; a trial registers no version")

    def _nodes(self) -> Nodes | None:
        """Return what this process needs to lead those of other machines; None if there are none."""
        seat = this_seat()
        if seat is None:
            return None
        waits: list[str] = []  # what is told already: only a change is progress

        def look(what: str) -> None:
            if self._flag.is_set():
                raise StopRequestedError("asked to stop before all nodes had come")
            if waits[-1:] != [what]:
                waits.append(what)
                self._reporter.enter(what or READING)
                if what:
                    self._reporter.log(what)

        key = team_key(self._claim.run_id, self._claim.fence)
        return Nodes(seat=seat, key=key, look=look, ask_stop=self._flag.set)

    def _record_origin(self) -> Origin:
        commit = provenance.code_commit(settings.BASE_DIR, known=settings.CODE_COMMIT)
        origin = Origin(code_commit=commit, packages=provenance.package_versions())
        write_run(self._claim.run_id, self._claim.fence, code_commit=origin.code_commit, packages=origin.packages)
        return origin

    def _stop(self) -> int:
        reason = self._flag.reason
        message = stop_message(reason)
        self._reporter.log(message)
        persist(lambda: take_back_run(self._claim.run_id, self._claim.fence, reason, message=message))
        return 0

    def _give_back(self, message: str) -> int:
        persist(lambda: take_back_run(self._claim.run_id, self._claim.fence, ExitClass.LOST, message=message))
        return 1

    def _moment(self) -> Moment:
        return moment_of(self._reporter.progress, self._parameters)

    def _fail_over_limit(self, limit_bytes: int, held_bytes: int) -> None:
        """End the run: it holds more memory than it asked for. Called by the heartbeat's thread."""
        moment = replace(self._moment(), peak_bytes=held_bytes, limit_bytes=limit_bytes, gpu_peak_bytes=None)
        message = own_limit_sentence(moment)
        self._reporter.log(f"failed: {message}")
        end_run(self._claim.run_id, self._claim.fence, ExitClass.OUT_OF_MEMORY, message=message)

    def _fail(self, error: Exception) -> int:
        exit_class, message = explain_error(error, self._moment())
        text = traceback.format_exc()
        self._reporter.log(f"failed: {message}\n{text}")
        persist(lambda: end_run(self._claim.run_id, self._claim.fence, exit_class, message=message, traceback=text))
        return 1


def moment_of(progress: Mapping[str, Any], parameters: Mapping[str, Any]) -> Moment:
    """Return where this process's training is, and what it has taken."""
    return Moment(
        phase=str(progress.get("phase", "")),
        epoch=int(progress.get("epoch", 0)),
        step=int(progress.get("step", 0)),
        parameters=parameters,
        peak_bytes=peak_memory_bytes(),
        limit_bytes=memory_limit_bytes(),
        gpu_peak_bytes=peak_gpu_bytes(),
    )


def deploy_quietly(run_id: UUID) -> None:
    """Try the deployment that the run asked for; if it fails supervision tries again."""
    try:
        deployment.deploy_run(run_id)
    except DatabaseError as error:
        log.warning("deployment_left_to_supervision", run=str(run_id), error=str(error))


def _own_handle() -> Handle:
    """Return what names this trainer: what its launcher called it, else its process."""
    if name := os.environ.get(NAME_VARIABLE):
        return Handle(host=os.environ.get(HOST_VARIABLE, ""), pid=0, started=name)
    pid = os.getpid()
    return Handle(host=processes.this_host(), pid=pid, started=processes.start_time(pid))
