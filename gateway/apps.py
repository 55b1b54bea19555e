"""Wires the gateway app into the process."""

from __future__ import annotations

from django.apps import AppConfig


class GatewayConfig(AppConfig):
    """Announce to the kernel what this app runs."""

    name = "gateway"
    verbose_name = "Gateway"

    def ready(self) -> None:
        """Register checks and wiring; the doors only where this process is a gateway."""
        from django.conf import settings

        from aiplatform.roles import GATEWAY
        from aiplatform.wiring import Job, wiring
        from gateway import checks  # noqa: F401  (registers itself)
        from gateway.services import delete_old_audit_records, record_audit

        wiring.record_audit = record_audit
        wiring.add_job(Job(name="gateway.delete_old_audit_records", interval_s=3600, run=delete_old_audit_records))
        if GATEWAY not in settings.ROLES:
            return
        from aiplatform.wiring import Lifespan
        from gateway.readiness import report_readiness
        from gateway.serving import build_call_door, build_door, build_lane_door, start_loop, stop_loop

        wiring.predict_door = build_door
        wiring.lane_door = build_lane_door
        wiring.call_door = build_call_door
        wiring.add_lifespan(Lifespan(name="gateway", start=start_loop, stop=stop_loop))
        wiring.add_readiness("gateway", report_readiness)
