"""A recorded request says whom it is about and which trace it belongs to, over every way in."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.inference.serving_fakes import AsgiClient, ListRecorder

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
V2 = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}


def ask(client: AsgiClient, path: str, body: Any, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return asyncio.run(client.call("POST", path, body, headers=named)).status


def test_headers_name_trace_and_subject(client: AsgiClient, recorder: ListRecorder) -> None:
    body = {"instances": [[1.0, 2.0]]}
    assert ask(client, "/v1/models/double:predict", body, traceparent=TRACE, x_subject_id="ada") == 200
    assert ask(client, "/v1/models/double:predict", body) == 200
    assert [(event.traceparent, event.subject) for event in recorder.events] == [(TRACE, "ada"), ("", "")]


def test_a_v2_request_may_name_its_subject_itself_and_the_header_comes_first(
    client: AsgiClient, recorder: ListRecorder
) -> None:
    body = {**V2, "parameters": {"subject_id": "bob"}}
    assert ask(client, "/v2/models/double/infer", body) == 200
    assert ask(client, "/v2/models/double/infer", body, x_subject_id="ada") == 200
    assert [event.subject for event in recorder.events] == ["bob", "ada"]


@pytest.mark.parametrize("subject", [7, ["a"], "x" * 1001])
def test_a_subject_that_is_no_name_is_refused(client: AsgiClient, recorder: ListRecorder, subject: Any) -> None:
    assert ask(client, "/v2/models/double/infer", {**V2, "parameters": {"subject_id": subject}}) == 400
    assert recorder.events[0].http_status == 400


def test_a_request_that_is_refused_is_recorded_with_its_trace(client: AsgiClient, recorder: ListRecorder) -> None:
    assert ask(client, "/v1/models/double:predict", {"instances": "?"}, traceparent=TRACE) == 400
    assert recorder.events[0].traceparent == TRACE
