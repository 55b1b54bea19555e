"""Wires the inference app into the process."""

from typing import Any

from django.apps import AppConfig
from django.conf import settings

from aiplatform.http.lane.handler import LaneHandler
from aiplatform.roles import INFERENCE
from aiplatform.rpc.calls import CallApplication
from aiplatform.wiring import AsgiApplication, Lifespan, Panel, Process, wiring


class InferenceConfig(AppConfig):
    """Announce to the kernel what this app runs."""

    name = "inference"
    verbose_name = "Serving"

    def ready(self) -> None:
        """Register checks and wiring; a console without the inference role shows, and serves nothing."""
        from inference import checks  # noqa: F401 - registers itself
        from inference.panel import endpoints_panel

        wiring.add_panel(Panel(name="endpoints", order=10, template="inference/panel.html", context=endpoints_panel))
        if INFERENCE in settings.ROLES:
            _announce_serving()


def _announce_serving() -> None:
    wiring.predict_application = _predict_application
    wiring.predict_lane = _predict_lane
    wiring.call_application = _call_application
    from inference.recording.job import shipping_job, storing_job

    wiring.add_job(shipping_job())
    wiring.add_job(storing_job())
    wiring.add_lifespan(Lifespan(name="inference", start=_start, stop=_stop))
    wiring.add_readiness("inference", _readiness)
    if settings.ENGINE_HOST:
        wiring.add_process(Process(name="engines", arguments=("engine_host",)))


def _readiness() -> dict[str, Any]:
    from inference.replica import readiness

    return readiness()


def _predict_application() -> AsgiApplication:
    from inference.asgi import build_application

    return build_application()


def _predict_lane() -> LaneHandler:
    from inference.lane import build_lane

    return build_lane()


def _call_application() -> CallApplication:
    from inference.grpc_server.application import build_call_application

    return build_call_application()


async def _start() -> None:
    from inference.replica import this_replica

    await this_replica().start()


async def _stop() -> None:
    from inference.replica import this_replica

    await this_replica().stop()
