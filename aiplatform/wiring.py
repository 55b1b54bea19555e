"""Where apps announce, in `AppConfig.ready()`, what the kernel shall run without importing them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiplatform.http.lane.handler import LaneHandler
from aiplatform.rpc.calls import CallApplication

if TYPE_CHECKING:
    from django.db.models import QuerySet

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApplication = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Job:
    """Work that the clock repeats. `run` must bear being run by several clocks at once.

    `on_stop` is done once when the clock ends in good order; it has about five seconds. `waiting` are the rows that
    the job would work on: while there are none it is not run, and the clock only looks, for all such jobs of an
    interval at once. It is put into words once, so no parameter of it may depend on the time.
    """

    name: str
    interval_s: float
    run: Callable[[], object]
    on_stop: Callable[[], object] | None = None
    waiting: Callable[[], QuerySet[Any]] | None = None


@dataclass(frozen=True, kw_only=True)
class Lifespan:
    """What a serving process starts before its first request and stops after its last."""

    name: str
    start: Callable[[], Awaitable[None]]
    stop: Callable[[], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Process:
    """A further process of `manage.py serve`: `manage.py` with these arguments, kept running."""

    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A part of the console's home page: `context` feeds `template`; smaller `order` is higher."""

    name: str
    order: int
    template: str
    context: Callable[[], dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Banner:
    """A line on top of every page of the console; `tone` is info, warn or bad."""

    text: str
    url: str = ""
    tone: str = "warn"


@dataclass
class Wiring:
    """All that was announced in this process.

    `predict_application` answers the predict protocols; it trusts its caller to have checked the
    identity in `scope["state"]["identity"]`. `predict_door` wraps it with the gateway's policy;
    given None it forwards to another process. `predict_lane` and `lane_door` are the same for requests that need no
    task (see `aiplatform.http.lane`), `call_application` and `call_door` are the same for gRPC.
    """

    jobs: list[Job] = field(default_factory=list)
    lifespans: list[Lifespan] = field(default_factory=list)
    panels: list[Panel] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    predict_application: Callable[[], AsgiApplication] | None = None
    predict_door: Callable[[AsgiApplication | None], AsgiApplication] | None = None
    predict_lane: Callable[[], LaneHandler] | None = None
    lane_door: Callable[[LaneHandler | None], LaneHandler] | None = None
    call_application: Callable[[], CallApplication] | None = None
    record_audit: Callable[..., object] | None = None  # actor, action, object, after
    banners: list[Callable[[], Sequence[Banner]]] = field(default_factory=list)
    badges: dict[str, Callable[[], int]] = field(default_factory=dict)  # by table: "app.table"
    call_door: Callable[[CallApplication | None], CallApplication] | None = None
    readiness: dict[str, Callable[[], dict[str, Any]]] = field(default_factory=dict)

    def add_job(self, job: Job) -> None:
        """Have the clock run a job."""
        self.jobs.append(job)

    def add_lifespan(self, lifespan: Lifespan) -> None:
        """Start and stop something with each serving process."""
        self.lifespans.append(lifespan)

    def add_process(self, process: Process) -> None:
        """Have `serve` keep a process running beside the HTTP workers; it starts before them."""
        self.processes.append(process)

    def add_panel(self, panel: Panel) -> None:
        """Show a panel on the console's home page."""
        self.panels.append(panel)

    def add_banner(self, banner: Callable[[], Sequence[Banner]]) -> None:
        """Show lines on top of every page of the console."""
        self.banners.append(banner)

    def add_badge(self, table: str, count: Callable[[], int]) -> None:
        """Show a number beside a table (`app.table`) in the console's sidebar, while it is not 0."""
        self.badges[table] = count

    def add_readiness(self, name: str, report: Callable[[], dict[str, Any]]) -> None:
        """Add to /health/ready: a dict with `is_ready` (bool) and any detail."""
        self.readiness[name] = report


wiring = Wiring()
