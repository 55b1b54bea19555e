"""People are told once of each step, in order, in spite of channels that are away."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from aiplatform.errors import ConflictError, InvalidInputError, UnavailableError
from monitoring.alerts import marks
from monitoring.alerts.channels import check_channel_url, deliver, mask_url, send_test_message
from monitoring.alerts.notifications import Backoff, retry_notification, send_due_notifications
from monitoring.models.alerts import Channel, Notification
from tests.monitoring.alerts.world import START, World, event_kinds, make_channel, make_rule, only_alert, set_route


class Webhook:
    """A real HTTP server on loopback that keeps what it was sent; `status` is its answer."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.status = 200
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if webhook.status == 200:
                    webhook.received.append(json.loads(body))
                self.send_response(webhook.status)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.url = f"json://user:s3cret@127.0.0.1:{self._server.server_port}/hook"

    def __enter__(self) -> Webhook:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """Return a webhook that answers 200."""
    with Webhook() as server:
        yield server


def send(world: World, attempts: int = 5) -> int:
    """Send what is due over the real channel."""
    return send_due_notifications(
        deliver=deliver, clock=lambda: world.now, backoff=Backoff(attempts=attempts, first_s=5)
    )


def test_a_message_says_what_was_measured_and_where_to_look(world: World, settings: Any) -> None:
    settings.CONSOLE_URL = "https://console.example"
    make_channel()
    make_rule(annotations={"Runbook": "https://runbooks.example/{endpoint}"})
    world.tick(value=0.2)
    assert world.titles() == ["[FIRING] warning: errors on mnist version 1"]
    body = world.deliveries[0].body
    for part in (
        "mnist fails", "error_rate is 0.2, above 0.05", "Condition: error_rate above 0.05 over 5 min",
        "Measured: error_rate = 0.2 on 1000 samples over 5 min",
        "Runbook: https://runbooks.example/mnist",
        f"Details: https://console.example/admin/monitoring/alert/{only_alert().pk}/change/",
    ):  # fmt: skip
        assert part in body


def test_firing_and_resolved_are_told_once_each(world: World) -> None:
    make_channel()
    make_rule()
    world.tick(value=0.2)
    world.pass_time(60)
    world.tick(value=0.01)
    world.pass_time(60)
    assert [title.split("]")[0] for title in world.titles()] == ["[FIRING", "[RESOLVED"]


def test_a_webhook_that_was_down_gets_each_message_exactly_once(world: World, webhook: Webhook) -> None:
    channel = Channel.objects.create(name="hook", url=webhook.url)
    webhook.status = 503
    make_rule()
    world.tick(value=0.2)
    assert send(world) == 0
    notification = Notification.objects.get()
    assert (notification.state, notification.attempts) == ("pending", 1)
    assert "503" in notification.last_error
    channel.refresh_from_db()
    assert "503" in channel.last_error
    assert send(world) == 0, "it waits before it tries again"
    assert Notification.objects.get().attempts == 1
    webhook.status = 200
    world.tick(10, value=0.2)
    assert send(world) == 1
    world.tick(600)
    assert send(world) == 0
    assert [message["title"] for message in webhook.received] == ["[FIRING] warning: errors on mnist version 1"]
    assert webhook.received[0]["type"] == "warning"
    notification.refresh_from_db()
    assert (notification.state, notification.last_error, notification.attempts) == ("sent", "", 2)
    channel.refresh_from_db()
    assert channel.last_error == ""


def test_a_server_that_is_not_there_is_a_visible_error(world: World) -> None:
    with Webhook() as gone:
        url = gone.url
    Channel.objects.create(name="hook", url=url)
    make_rule()
    world.tick(value=0.2)
    assert send(world) == 0
    assert "onnection" in Notification.objects.get().last_error


def test_pauses_double_and_the_last_failure_is_final_and_can_be_retried(world: World) -> None:
    make_channel()
    make_rule()
    world.tick(value=0.2)
    world.delivery_error = UnavailableError("mail server is away")
    moments = []
    for _ in range(30):
        before = Notification.objects.get().attempts
        world.send()
        if Notification.objects.get().attempts > before:
            moments.append(round((world.now - START).total_seconds()))
        world.tick(5, value=0.2)
    assert moments == [10, 15, 25]
    notification = Notification.objects.get()
    assert (notification.state, notification.last_error) == ("failed", "mail server is away")
    assert event_kinds(only_alert())[-1] == "not_notified"
    world.delivery_error = None
    assert world.send() == 0
    retry_notification(notification, now=world.now)
    assert world.send() == 1
    notification.refresh_from_db()
    with pytest.raises(ConflictError, match="only a failed one"):
        retry_notification(notification, now=world.now)


def test_resolved_does_not_overtake_firing(world: World) -> None:
    make_channel()
    make_rule()
    world.tick(value=0.2)
    world.delivery_error = UnavailableError("away")
    world.send(attempts=9)
    world.tick(value=0.01)
    world.delivery_error = None
    world.now = START.replace(minute=30)
    assert world.send() == 2
    assert [title.split("]")[0] for title in world.titles()] == ["[FIRING", "[RESOLVED"]


def test_a_sender_that_died_is_followed_by_another_after_its_claim(world: World) -> None:
    make_channel()
    make_rule()
    world.tick(value=0.2)
    world.delivery_error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        world.send()
    world.delivery_error = None
    assert Notification.objects.get().state == "sending"
    assert world.send() == 0, "the claim may still be worked on"
    world.tick(121, value=0.2)
    assert world.send() == 1


def test_two_senders_at_once_send_once(world: World) -> None:
    make_channel()
    make_rule()
    world.tick(value=0.2)
    plain = world.deliver

    def deliver_while_another_looks(delivery: Any) -> None:
        assert send_due_notifications(deliver=plain, clock=lambda: world.now, backoff=Backoff(attempts=3)) == 0
        plain(delivery)

    world.deliver = deliver_while_another_looks  # type: ignore[method-assign]
    assert world.send() == 1
    assert len(world.deliveries) == 1


def test_a_failing_channel_does_not_keep_another_waiting(world: World) -> None:
    make_channel("a broken one")
    make_channel("b sound one")
    make_rule()
    world.tick(value=0.2)
    calls: list[str] = []

    def fail_first(delivery: Any) -> None:
        calls.append(delivery.title)
        if len(calls) == 1:
            raise UnavailableError("away")

    world.deliver = fail_first  # type: ignore[method-assign]
    assert world.send() == 1
    states = dict(Notification.objects.values_list("channel__name", "state"))
    assert states == {"a broken one": "pending", "b sound one": "sent"}


def test_it_is_repeated_until_somebody_acknowledges_it(world: World) -> None:
    make_channel()
    set_route(repeat_interval_s=60)
    make_rule()
    world.tick(value=0.2)
    world.pass_time(120)
    assert [title.split("]")[0] for title in world.titles()] == ["[FIRING", "[STILL FIRING", "[STILL FIRING"]
    marks.acknowledge_alert(only_alert(), by="ada", note="on it", now=world.now)
    world.pass_time(120)
    assert len(world.titles()) == 3
    world.tick(value=0.01)
    assert world.titles()[-1].startswith("[RESOLVED]")


def test_a_rule_with_channels_tells_only_those(world: World) -> None:
    make_channel("default")
    named = make_channel("named", is_default=False)
    make_rule().channels.add(named)
    world.tick(value=0.2)
    assert list(Notification.objects.values_list("channel__name", flat=True)) == ["named"]


def test_a_channel_that_was_disabled_gets_nothing_more(world: World) -> None:
    channel = make_channel()
    make_rule()
    world.tick(value=0.2)
    Channel.objects.filter(pk=channel.pk).update(is_enabled=False)
    assert world.send() == 0
    assert Notification.objects.get().state == "cancelled"


def test_a_first_channel_is_told_of_what_is_already_firing(world: World) -> None:
    make_rule()
    world.tick(value=0.2)
    make_channel()
    world.tick()
    assert world.titles() == ["[FIRING] warning: errors on mnist version 1"]


def test_secrets_are_masked_and_bad_addresses_refused() -> None:
    masked = mask_url("json://user:s3cret@127.0.0.1:8080/hook?token=abc")
    assert "s3cret" not in masked
    assert "abc" not in masked
    assert "127.0.0.1" in masked
    assert mask_url("nonsense://s3cret") == "nonsense://****"
    assert mask_url("s3cret") == "****"
    with pytest.raises(InvalidInputError, match="its scheme is 'nonsense'"):
        check_channel_url("nonsense://s3cret")


def test_a_test_message_is_delivered_or_says_why_not(world: World, webhook: Webhook) -> None:
    channel = Channel.objects.create(name="hook", url=webhook.url)
    send_test_message(channel, by="ada", now=world.now)
    assert webhook.received[0]["title"] == "[TEST] aiplatform"
    webhook.status = 500
    with pytest.raises(UnavailableError, match="500"):
        send_test_message(channel, by="ada", now=world.now)
    channel.refresh_from_db()
    assert "500" in channel.last_error
