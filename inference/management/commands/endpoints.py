"""`manage.py endpoints`: what is served, and orders to change it.

Exit codes: 0 done; 1 refused or unknown; 2 wrong usage; 3 ordered, but not ready in time.
"""

from __future__ import annotations

import getpass
import json
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

import msgspec
from django.core.management.base import CommandError

from aiplatform.audit import is_audited
from aiplatform.contracts.inference import EndpointInfo, FreezeEndpoint, SetShadow, SwitchEndpoint
from aiplatform.errors import PlatformError
from aiplatform.logs import only_warnings
from aiplatform.management.platform_command import PlatformCommand
from inference import controls, selectors, services
from inference.readiness import wait_until_ready
from inference.text import endpoint_lines, endpoint_table, revision_line
from inference.traffic import describe_traffic, parse_traffic

NOT_READY = 3


class Command(PlatformCommand):
    """Shows and changes endpoints."""

    help = "Show endpoints; deploy versions, share traffic, roll back, shadow, switch off, freeze, delete."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the sub-commands."""
        actions = parser.add_subparsers(dest="action", required=True)
        _add(actions, "list", "all endpoints")
        _add(actions, "show", "one endpoint with its replicas and history", with_name=True)
        deploy = _add(actions, "deploy", "serve a version; makes the endpoint if it is new", with_name=True)
        deploy.add_argument("--model", default="", help="the model's name; the endpoint's own model if left out")
        deploy.add_argument("--version", dest="reference", default="latest", help="a number, an alias, or 'latest'")
        deploy.add_argument("--engine", default="", help="pin an engine, e.g. onnxruntime; 'auto' takes the pin away")
        _add_wait(deploy)
        traffic = _add(actions, "traffic", "share the requests between versions, e.g. 3=90 4=10", with_name=True)
        traffic.add_argument("shares", nargs="+", metavar="VERSION=PERCENT")
        _add_wait(traffic)
        rollback = _add(actions, "rollback", "return to the traffic before the present one", with_name=True)
        rollback.add_argument("--idempotency-key", default="", help="repeating a key changes nothing")
        rollback.add_argument("--from-version", type=int, help="only if this version still has traffic")
        _add_wait(rollback)
        shadow = _add(actions, "shadow", "copy live requests to a version, or 'none' to end it", with_name=True)
        shadow.add_argument("version", help="a version's number, or 'none'")
        _add(actions, "off", "answer 503 with the reason; versions stay loaded", with_name=True)
        _add(actions, "on", "serve again as before", with_name=True)
        _add(actions, "freeze", "refuse new deployments and splits", with_name=True)
        _add(actions, "unfreeze", "allow them again", with_name=True)
        _add(actions, "delete", "stop serving an endpoint; its history stays", with_name=True)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run one sub-command."""
        actions: dict[str, Callable[[dict[str, Any]], None]] = {
            "list": self._list,
            "show": self._show,
            "deploy": self._deploy,
            "traffic": self._traffic,
            "rollback": self._rollback,
            "shadow": self._shadow,
            "off": self._switch,
            "on": self._switch,
            "freeze": self._freeze,
            "unfreeze": self._freeze,
            "delete": self._delete,
        }
        try:
            with only_warnings(unless=options["verbosity"] > 1 or not is_audited()):
                actions[options["action"]](options)
        except PlatformError as error:
            raise CommandError(error.message, returncode=1) from error

    def _list(self, options: dict[str, Any]) -> None:
        endpoints = selectors.list_endpoints()
        self._print(options, endpoints, endpoint_table(endpoints))

    def _show(self, options: dict[str, Any]) -> None:
        endpoint = selectors.get_endpoint(options["endpoint"])
        revisions = list(selectors.list_revisions(endpoint.name)[:20])
        lines = [*endpoint_lines(endpoint), "history:", *(f"  {revision_line(r)}" for r in revisions)]
        self._print(options, endpoint, "\n".join(lines))

    def _deploy(self, options: dict[str, Any]) -> None:
        name = options["endpoint"]
        model = options["model"] or selectors.get_endpoint(name).model
        info = services.deploy_version(
            endpoint=name,
            model=model,
            reference=options["reference"],
            engine=options["engine"],
            actor=_actor(),
            reason=options["reason"],
        )
        self._finish(options, info, f"{name}: {describe_traffic(info.traffic)} of {model} is ordered")

    def _traffic(self, options: dict[str, Any]) -> None:
        info = services.set_traffic(
            endpoint=options["endpoint"],
            traffic=parse_traffic(options["shares"]),
            actor=_actor(),
            reason=options["reason"],
        )
        self._finish(options, info, f"{info.name}: {describe_traffic(info.traffic)} is ordered")

    def _rollback(self, options: dict[str, Any]) -> None:
        info = services.roll_back_endpoint(
            endpoint=options["endpoint"],
            actor=_actor(),
            reason=options["reason"],
            idempotency_key=options["idempotency_key"],
            from_version=options["from_version"],
        )
        self._finish(options, info, f"{info.name}: back to {describe_traffic(info.traffic)}")

    def _shadow(self, options: dict[str, Any]) -> None:
        word = options["version"]
        if word != "none" and not word.isdecimal():
            raise CommandError(f"a shadow is a version's number or 'none', not '{word}'", returncode=2)
        version = None if word == "none" else int(word)
        order = SetShadow(endpoint=options["endpoint"], version=version, actor=_actor(), reason=options["reason"])
        info = controls.set_shadow(order).endpoint
        self._print(options, info, f"{info.name}: {f'version {version} is the shadow' if version else 'no shadow'}")

    def _switch(self, options: dict[str, Any]) -> None:
        is_on = options["action"] == "on"
        order = SwitchEndpoint(endpoint=options["endpoint"], is_on=is_on, actor=_actor(), reason=options["reason"])
        info = controls.switch_endpoint(order).endpoint
        self._print(options, info, f"{info.name} is switched {'on' if is_on else 'off'}")

    def _freeze(self, options: dict[str, Any]) -> None:
        wanted = options["action"] == "freeze"
        order = FreezeEndpoint(endpoint=options["endpoint"], is_frozen=wanted, actor=_actor(), reason=options["reason"])
        info = controls.freeze_endpoint(order).endpoint
        self._print(options, info, f"{info.name} is {'frozen' if wanted else 'no longer frozen'}")

    def _delete(self, options: dict[str, Any]) -> None:
        services.delete_endpoint(endpoint=options["endpoint"], actor=_actor(), reason=options["reason"])
        self._print(options, {"deleted": options["endpoint"]}, f"{options['endpoint']} is deleted")

    def _finish(self, options: dict[str, Any], info: EndpointInfo, message: str) -> None:
        if not options["wait"]:
            self._print(options, info, message)
            return
        if not options["json"]:
            self.stdout.write(message)
        found = wait_until_ready(info.name, generation=info.generation, timeout_s=options["timeout"])
        if not found.is_current:
            raise CommandError(f"{info.name} is not ready: {found.detail}", returncode=NOT_READY)
        self._print(options, found.endpoint, f"{info.name} is ready")

    def _print(self, options: dict[str, Any], value: Any, text: str) -> None:
        self.stdout.write(json.dumps(msgspec.to_builtins(value)) if options["json"] else text)


def _add(actions: Any, name: str, help: str, *, with_name: bool = False) -> ArgumentParser:
    parser: ArgumentParser = actions.add_parser(name, help=help)
    if with_name:
        parser.add_argument("endpoint", help="the endpoint's name")
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")
    if name not in ("list", "show"):
        is_needed = name in ("rollback", "off", "freeze")
        parser.add_argument("--reason", default="", required=is_needed, help="why; kept in the history")
    return parser


def _add_wait(parser: ArgumentParser) -> None:
    parser.add_argument("--wait", action="store_true", help="wait until the replicas serve it")
    parser.add_argument("--timeout", type=float, default=120.0, help="longest wait, seconds")


def _actor() -> str:
    return f"shell:{getpass.getuser()}"
