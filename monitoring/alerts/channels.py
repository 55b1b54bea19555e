"""Where messages go: Apprise speaks e-mail, webhooks, chat and a hundred more, each by one URL.

A URL holds passwords and tokens. What leaves this module (errors, masked addresses) does not.
"""

from __future__ import annotations

import functools
import warnings
from datetime import datetime
from types import ModuleType
from typing import Any

from aiplatform.errors import InvalidInputError, PlatformError, UnavailableError
from monitoring.alerts.alertmanager import check_alertmanager_url, mask_alertmanager_url, push_test_alert
from monitoring.alerts.notifications import Delivery
from monitoring.alerts.vocabulary import ChannelKind
from monitoring.models.alerts import Channel

_SECRET_NAMES = ("password", "token", "access_token", "webhook_token", "apikey")


def deliver(delivery: Delivery) -> None:
    """Send one message.

    Raises: UnavailableError with the reason; InvalidInputError if the URL cannot be used.
    """
    apprise = _apprise()
    service = _service(delivery.url)
    sender = apprise.Apprise(asset=_asset())
    sender.add(service)
    with apprise.LogCapture(level=apprise.logging.WARNING, fmt="%(message)s") as captured:
        attached = delivery.attachment if service.attachment_support else ""
        is_sent = bool(
            sender.notify(title=delivery.title, body=delivery.body, notify_type=delivery.tone, attach=attached or None)
        )
        reason = " ".join(captured.getvalue().split())
    if not is_sent:
        raise UnavailableError(_without_secrets(reason, service) or "the channel took no message and gave no reason")


def check_channel_url(url: str) -> None:
    """Raise InvalidInputError unless the URL is one that Apprise can use."""
    _service(url)


def mask_url(url: str) -> str:
    """Return scheme and host of an address; paths and queries hold tokens too often to be shown."""
    try:
        shown = str(_service(url).url(privacy=True)).split("?", 1)[0]
    except InvalidInputError:
        return f"{url.split(':', 1)[0]}://****" if "://" in url else "****"
    scheme, _, rest = shown.partition("://")
    host, _, path = rest.partition("/")
    return f"{scheme}://{host}/****" if path else f"{scheme}://{host}"


def check_channel(kind: str, url: str) -> None:
    """Raise InvalidInputError unless the address is one that this kind of channel can use."""
    if kind == ChannelKind.ALERTMANAGER:
        check_alertmanager_url(url)
    else:
        check_channel_url(url)


def channel_address(channel: Channel) -> str:
    """Return a channel's address without its secrets."""
    return mask_alertmanager_url(channel.url) if channel.kind == ChannelKind.ALERTMANAGER else mask_url(channel.url)


def send_test_message(channel: Channel, *, by: str, now: datetime) -> None:
    """Send a test to a channel at once, and keep on it what became of it.

    Raises: UnavailableError with the reason; InvalidInputError if the URL cannot be used.
    """
    body = f"This is a test of the channel '{channel.name}', asked for by {by} at {now:%Y-%m-%d %H:%M:%S} UTC."
    try:
        if channel.kind == ChannelKind.ALERTMANAGER:
            push_test_alert(channel.url, by=by, now=now)
        else:
            deliver(Delivery(url=channel.url, title="[TEST] aiplatform", body=body, tone="info"))
    except PlatformError as error:
        Channel.objects.filter(pk=channel.pk).update(last_error=error.message)
        raise
    Channel.objects.filter(pk=channel.pk).update(last_error="", last_sent_at=now)


def _service(url: str) -> Any:
    apprise = _apprise()
    with apprise.LogCapture(level=apprise.logging.CRITICAL):  # its own log line would hold the URL
        service = apprise.Apprise.instantiate(url, asset=_asset(), suppress_exceptions=True)
    if not service:
        scheme = url.split(":", 1)[0] if "://" in url else "none"
        raise InvalidInputError(
            f"the address is not one that Apprise can use (its scheme is '{scheme[:20]}'); "
            "for a webhook: json://host:port/path"
        )
    return service


def _without_secrets(text: str, service: Any) -> str:
    for secret in (getattr(service, name, None) for name in _SECRET_NAMES):
        if isinstance(secret, str) and secret:
            text = text.replace(secret, "****")
    return text[:1000]


@functools.cache
def _apprise() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # loading its plugins looks for modules on their way out
        import apprise

        apprise.Apprise.instantiate("json://localhost")
    return apprise  # type: ignore[no-any-return]


@functools.cache
def _asset() -> Any:
    return _apprise().AppriseAsset(app_id="aiplatform", app_desc="aiplatform alerts", async_mode=False)
