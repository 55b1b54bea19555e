"""`manage.py rollouts`: bring challengers through their gates, hold automation, read an endpoint's timeline.

Exit codes: 0 done; 1 refused, unknown, or ended otherwise than promoted; 2 wrong usage; 3 not over in time.
"""

from __future__ import annotations

import getpass
import json
import secrets
import time
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from aiplatform.audit import is_audited
from aiplatform.errors import PlatformError
from aiplatform.logs import only_warnings
from aiplatform.management.platform_command import PlatformCommand
from aiplatform.services import inference_client, training_client
from monitoring.actions.retraining import order_retraining
from monitoring.models.rollouts import Rollout
from monitoring.rollouts import holds, selectors, services
from monitoring.rollouts.policy import plain_policy
from monitoring.rollouts.timeline import build_timeline
from monitoring.rollouts.vocabulary import RolloutState

NOT_OVER = 3
LOOK_S = 0.5


class Command(PlatformCommand):
    """Starts, shows and steers rollouts."""

    help = "Rollouts: start, list, show, pause, resume, abort, promote, hold, release, policy, retrain, timeline."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the sub-commands."""
        words = parser.add_subparsers(dest="word", required=True)
        start = words.add_parser("start", help="bring a challenger through the gates")
        start.add_argument("endpoint")
        start.add_argument("challenger", nargs="?", default="challenger", help="a number or an alias")
        start.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="over the policy, this time")
        start.add_argument("--reason", default="")
        start.add_argument("--wait", action="store_true", help="until it is over")
        start.add_argument("--timeout", type=float, default=3600.0, help="longest wait, seconds")
        listing = words.add_parser("list", help="newest first")
        listing.add_argument("--endpoint")
        listing.add_argument("--limit", type=int, default=20)
        for word in ("show", "pause", "resume", "abort", "promote"):
            words.add_parser(word).add_argument("rollout", type=int)
        hold = words.add_parser("hold", help="stop all automation")
        hold.add_argument("endpoint", nargs="?", default="", help="everywhere if left out")
        hold.add_argument("--reason", required=True)
        words.add_parser("release", help="let automation go on").add_argument("endpoint", nargs="?", default="")
        policy = words.add_parser("policy", help="show an endpoint's policy, or set it")
        policy.add_argument("endpoint")
        policy.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE")
        retrain = words.add_parser("retrain", help="retrain, and put the result up as challenger")
        retrain.add_argument("endpoint")
        retrain.add_argument("version", type=int, help="trained as this version was")
        retrain.add_argument("--source", default="", help="a data URI instead of the labelled predictions")
        retrain.add_argument("--reason", default="")
        words.add_parser("timeline", help="all that happened to an endpoint").add_argument("endpoint")
        for command in words.choices.values():
            command.add_argument("--json", action="store_true", help="print JSON for scripts")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run one sub-command."""
        word = options["word"]
        orders: dict[str, Callable[..., Rollout]] = {
            "pause": services.pause_rollout, "resume": services.resume_rollout, "abort": services.abort_rollout,
            "promote": services.promote_rollout,
        }  # fmt: skip
        try:
            with only_warnings(unless=options["verbosity"] > 1 or not is_audited()):
                if word in orders:
                    self._print(options, orders[word](options["rollout"], actor=_actor(), now=timezone.now()))
                else:
                    getattr(self, f"_{word}")(options)
        except PlatformError as error:
            raise CommandError(error.message, returncode=1) from error

    def _start(self, options: dict[str, Any]) -> None:
        rollout = services.start_rollout(
            endpoint=options["endpoint"], challenger=options["challenger"], actor=_actor(), reason=options["reason"],
            now=timezone.now(), inference=inference_client(), training=training_client(),
            overrides=_values(options["set"]),
        )  # fmt: skip
        if options["wait"]:
            rollout = self._await(rollout, options["timeout"], is_quiet=options["json"])
        self._print(options, rollout)
        if options["wait"] and rollout.state != RolloutState.PROMOTED:
            raise CommandError(f"it is {rollout.get_state_display().lower()}: {rollout.reason}", returncode=1)

    def _await(self, rollout: Rollout, timeout_s: float, *, is_quiet: bool) -> Rollout:
        until, told = time.monotonic() + timeout_s, ""
        while rollout.is_active:
            if time.monotonic() > until:
                raise CommandError(f"not over in time: {rollout.waiting_for}", returncode=NOT_OVER)
            if rollout.waiting_for != told and not is_quiet:
                told = rollout.waiting_for
                self.stdout.write(told)
            time.sleep(LOOK_S)
            rollout = selectors.get_rollout(rollout.pk)
        return rollout

    def _list(self, options: dict[str, Any]) -> None:
        rollouts = list(selectors.list_rollouts(options["endpoint"])[: options["limit"]])
        if options["json"]:
            self.stdout.write(json.dumps([_plain(rollout) for rollout in rollouts], default=str))
            return
        for rollout in rollouts:
            self.stdout.write(f"{rollout.pk:>5}  {rollout}  {rollout.waiting_for or rollout.reason}")
        if not rollouts:
            self.stdout.write("no rollouts")

    def _show(self, options: dict[str, Any]) -> None:
        self._print(options, selectors.get_rollout(options["rollout"]))

    def _hold(self, options: dict[str, Any]) -> None:
        hold = holds.place_hold(endpoint=options["endpoint"], reason=options["reason"], actor=_actor())
        self.stdout.write(json.dumps({"held": str(hold)}) if options["json"] else holds.describe_hold(hold))

    def _release(self, options: dict[str, Any]) -> None:
        holds.lift_hold(endpoint=options["endpoint"], actor=_actor())
        where = options["endpoint"] or "everywhere"
        self.stdout.write(json.dumps({"released": where}) if options["json"] else f"automation goes on: {where}")

    def _policy(self, options: dict[str, Any]) -> None:
        if options["set"]:
            values = {**selectors.find_policy_values(options["endpoint"]), **_values(options["set"])}
            services.set_policy(endpoint=options["endpoint"], values=values, actor=_actor())
        found = plain_policy(selectors.get_policy(options["endpoint"]))
        lines = "\n".join(f"{name} = {value}" for name, value in found.items())
        self.stdout.write(json.dumps(found) if options["json"] else lines)

    def _retrain(self, options: dict[str, Any]) -> None:
        row = order_retraining(
            endpoint=options["endpoint"], version=options["version"], source=options["source"], actor=_actor(),
            reason=options["reason"], key=f"order-{secrets.token_hex(8)}", inference=inference_client(),
            now=timezone.now(),
        )  # fmt: skip
        self.stdout.write(json.dumps({"retraining": row.pk}) if options["json"] else f"ordered: {row}")

    def _timeline(self, options: dict[str, Any]) -> None:
        found = build_timeline(options["endpoint"], inference=inference_client(), training=training_client())
        if options["json"]:
            self.stdout.write(json.dumps([vars(moment) for moment in found.moments], default=str))
            return
        for gap in found.gaps:
            self.stderr.write(f"missing: {gap}")
        for moment in found.moments:
            actor = f"  ({moment.actor})" if moment.actor else ""
            self.stdout.write(f"{moment.at:%Y-%m-%d %H:%M:%S}  {moment.lane:<8}  {moment.text}{actor}")

    def _print(self, options: dict[str, Any], rollout: Rollout) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(_plain(rollout), default=str))
            return
        paused = f", paused by {rollout.paused_by}" if rollout.is_paused and rollout.is_active else ""
        self.stdout.write(f"rollout {rollout.pk}: {rollout}{paused}")
        for step in rollout.steps.all():
            self.stdout.write(f"  {step.name:<12} {step.shown_state:<16} {step.text}")
        if rollout.waiting_for or rollout.reason:
            self.stdout.write(rollout.reason or f"waits: {rollout.waiting_for}")


def _plain(rollout: Rollout) -> dict[str, Any]:
    steps = [
        {"name": step.name, "state": step.state, "text": step.text, "evidence": step.evidence}
        for step in rollout.steps.all()
    ]
    names = ("endpoint", "champion", "challenger", "state", "waiting_for", "reason", "is_paused", "created_at",
             "ended_at")  # fmt: skip
    return {"rollout": rollout.pk, **{name: getattr(rollout, name) for name in names}, "steps": steps}


def _values(words: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for word in words:
        name, sign, text = word.partition("=")
        if not sign:
            raise CommandError(f"a value is written NAME=VALUE, for example step_s=60, not '{word}'", returncode=2)
        values[name] = [int(part) for part in text.split(",")] if name == "steps" else text
    return values


def _actor() -> str:
    return f"shell:{getpass.getuser()}"
