"""How gunicorn runs the platform's workers; `manage.py serve` passes addresses and counts.

No preload: a worker loads its frameworks after the fork, never before.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from prometheus_client import multiprocess

from aiplatform import settings
from aiplatform.http.closing import leaving
from aiplatform.http.keep_alive import keep_long_tails
from aiplatform.http.lane.protocol import open_lane
from aiplatform.http.succession import succession
from aiplatform.roles import GATEWAY, INFERENCE
from aiplatform.rpc.listening import held

worker_class = "asgi"
bind = settings.BIND
workers = settings.WEB_WORKERS
preload_app = False
asgi_lifespan = "on"
http_parser = "auto"
timeout = 120  # a worker that says nothing for so long is replaced; loading a model takes seconds
keepalive = 30
accesslog = None
logconfig_dict = settings.LOGGING
logger_class = "aiplatform.http.server_log.ServerLog"
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  (a heartbeat file; a disk may stall)

# The arbiter kills a worker after `graceful_timeout`. The worker itself waits for open
# connections for a shorter time, so that it can still hand over what it recorded.
graceful_timeout = max(1, int(settings.GRACEFUL_STOP_S))
CONNECTIONS_SHARE = 0.4

# A thread beside the event loop (flushers, the reconcile loop, Django) keeps the interpreter so long when the loop
# wants it back. The loop wants it for each socket anew, so Python's own 5 ms hold up a handful of requests for
# many times what they take.
SWITCH_INTERVAL_S = 0.0005


def on_starting(server: Any) -> None:
    """Hold gRPC's port, so that clients wait while workers are replaced; know of workers that start."""
    succession.open()
    stop = server.stop

    def stop_all(graceful: bool = True) -> None:
        succession.note_stop()
        stop(graceful)

    server.stop = stop_all  # gunicorn calls no hook before it stops
    if settings.GRPC_BIND and settings.ROLES & {GATEWAY, INFERENCE}:
        held.open(settings.GRPC_BIND, server.cfg.workers)


def pre_fork(server: Any, worker: Any) -> None:
    """Choose the socket of gRPC's port for a new worker: that of one that has gone, if there is any."""
    succession.note_start(worker.age)
    worker.grpc_place = held.choose(other.grpc_place for other in server.WORKERS.values())


def post_fork(server: Any, worker: Any) -> None:
    """Give idle connections less time at the end than the whole shutdown has; see to kept connections and threads."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    succession.become(worker.age)
    held.keep_own(worker.grpc_place)
    keep_long_tails()
    open_lane()
    leaving.delay_end_of(worker)
    worker.cfg.set("graceful_timeout", max(1, int(settings.GRACEFUL_STOP_S * CONNECTIONS_SHARE)))


def child_exit(server: Any, worker: Any) -> None:
    """Take a dead worker's gauges out of /metrics; nobody waits for it any more."""
    succession.note_end(worker.age)
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
