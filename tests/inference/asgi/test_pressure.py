"""Overload, lateness, clients that leave, and a version change under load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from inference.asgi import PredictApplication
from inference.loaded import LoadedVersion
from inference.routing_table import RoutingTable
from tests.inference.serving_fakes import (
    AsgiClient,
    FakeEngine,
    ListRecorder,
    make_loaded,
    make_runtime,
    route_of,
    rows,
)

PREDICT = "/v1/models/double:predict"
BODY = {"instances": [[1, 1]]}


def test_an_overloaded_version_says_when_to_come_back(serve: Callable[..., AsgiClient], recorder: ListRecorder) -> None:
    engine = FakeEngine(is_open=False)
    client = serve(route_of(make_loaded(engine, max_queue_rows=2)))

    async def main() -> list[int]:
        first = asyncio.ensure_future(client.call("POST", PREDICT, BODY))
        await asyncio.to_thread(engine.began.wait, 10)
        waiting = [asyncio.ensure_future(client.call("POST", PREDICT, BODY)) for _ in range(2)]
        await asyncio.sleep(0.01)
        refused = await client.call("POST", PREDICT, BODY)
        assert refused.status == 503
        assert refused.json["code"] == "queue_full"
        assert refused.json["details"]["setting"] == "MAX_QUEUE_ROWS"
        assert int(refused.headers["retry-after"]) >= 1
        engine.gate.set()
        return [reply.status for reply in await asyncio.gather(first, *waiting)]

    assert asyncio.run(main()) == [200, 200, 200]
    assert sorted(event.http_status for event in recorder.events) == [200, 200, 200, 503]


def test_a_late_answer_is_a_504_that_names_the_deadline(serve: Callable[..., AsgiClient]) -> None:
    engine = FakeEngine(is_open=False)
    client = serve(route_of(make_loaded(engine)))
    started = time.monotonic()
    reply = client.request("POST", PREDICT, BODY, headers={"X-Request-Timeout-Ms": "30"})
    assert time.monotonic() - started < 9  # 10 s is the platform's own
    assert (reply.status, reply.json["details"]["setting"]) == (504, "PREDICT_DEADLINE_S")
    engine.gate.set()


def test_v2s_parameters_name_deadline_and_priority(serve: Callable[..., AsgiClient]) -> None:
    engine = FakeEngine(is_open=False)
    client = serve(route_of(make_loaded(engine, max_batch_rows=1)))
    item = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 1]}
    order: list[int] = []

    async def ask(**parameters: int) -> int:
        reply = await client.call("POST", "/v2/models/double/infer", {"inputs": [item], "parameters": parameters})
        order.append(parameters.get("priority", 0))
        return reply.status

    async def main() -> list[int]:
        first = asyncio.ensure_future(ask())
        await asyncio.to_thread(engine.began.wait, 10)
        statuses = [await ask(timeout=30_000), await ask(priority=4), await ask(timeout=-1)]
        waiting = []
        for priority in (3, 2, 1):
            waiting.append(asyncio.ensure_future(ask(priority=priority)))
            await asyncio.sleep(0.01)
        engine.gate.set()
        return [*statuses, *await asyncio.gather(first, *waiting)]

    assert asyncio.run(main()) == [504, 400, 400, 200, 200, 200, 200]
    assert order[-4:] == [0, 1, 2, 3]


def test_without_a_header_the_setting_is_the_deadline(serve: Callable[..., AsgiClient]) -> None:
    engine = FakeEngine(is_open=False)
    client = serve(route_of(make_loaded(engine)), deadline_s=0.03)
    assert client.request("POST", PREDICT, BODY).status == 504
    engine.gate.set()


def test_a_client_that_leaves_takes_its_rows_out_of_the_queue(
    serve: Callable[..., AsgiClient], recorder: ListRecorder
) -> None:
    engine = FakeEngine(is_open=False)
    client = serve(route_of(make_loaded(engine)))

    async def main() -> None:
        first = asyncio.ensure_future(client.call("POST", PREDICT, BODY))
        await asyncio.to_thread(engine.began.wait, 10)
        gone = asyncio.Event()
        second = asyncio.ensure_future(client.call("POST", PREDICT, BODY, gone=gone))
        await asyncio.sleep(0.01)
        gone.set()
        reply = await asyncio.wait_for(second, 10)
        assert reply.status == 0  # nobody was there to answer
        engine.gate.set()
        assert (await first).status == 200

    asyncio.run(main())
    assert engine.batches == [1]
    assert [event.http_status for event in recorder.events] == [499, 200]


def test_a_version_change_under_load_fails_no_request() -> None:
    serving = make_runtime(route_of(make_loaded(FakeEngine(delay_s=0.002, factor=1), version=1)))
    client = AsgiClient(PredictApplication(serving))
    drained: list[bool] = []

    def replace(table: RoutingTable, fresh: LoadedVersion) -> None:
        (old,) = table.routes["double"].versions.values()
        table.swap({"double": route_of(fresh)})
        drained.append(old.drain(10))
        old.close()

    replies: list[tuple[int, float, str]] = []
    done = asyncio.Event()

    async def ask() -> None:
        while not done.is_set():
            reply = await client.call("POST", PREDICT, BODY)
            value = reply.json["predictions"][0][0] if reply.status == 200 else -1
            replies.append((reply.status, value, reply.headers.get("x-model-version", "")))

    async def until_answered_by(version: int) -> None:
        async with asyncio.timeout(30):
            while not replies or replies[-1][2] != str(version):
                await asyncio.sleep(0.005)

    async def main() -> None:
        askers = [asyncio.ensure_future(ask()) for _ in range(12)]
        for version in range(2, 12):
            await until_answered_by(version - 1)
            fresh = make_loaded(FakeEngine(delay_s=0.002, factor=version), version=version)
            await asyncio.to_thread(replace, serving.table, fresh)
        await until_answered_by(11)
        done.set()
        await asyncio.gather(*askers)

    asyncio.run(main())
    assert {status for status, _, _ in replies} == {200}
    assert all(value == float(version) for _, value, version in replies)
    assert {int(version) for _, _, version in replies} == set(range(1, 12))
    assert drained == [True] * 10
    serving.close()


def test_a_held_version_is_drained_only_when_it_is_released() -> None:
    loaded = make_loaded(FakeEngine())
    table = RoutingTable()
    table.swap({"double": route_of(loaded)})
    held = table.hold("double")
    assert not loaded.drain(0.01)
    assert not loaded.hold()
    held.release()
    assert loaded.drain(1)
    loaded.close()


def test_threads_are_served_with_and_without_a_loop() -> None:
    serving = make_runtime(route_of(make_loaded(FakeEngine())))

    def blocking() -> float:
        return float(serving.service.predict_blocking("double", inputs=rows(3)).outputs["y"][0, 0])

    async def main() -> list[float]:
        return await asyncio.gather(*(asyncio.to_thread(blocking) for _ in range(8)))

    assert blocking() == 6
    assert asyncio.run(main()) == [6.0] * 8
    serving.close()


def test_stopping_answers_what_is_being_computed() -> None:
    engine = FakeEngine(is_open=False)
    serving = make_runtime(route_of(make_loaded(engine)))
    client = AsgiClient(PredictApplication(serving))

    async def main() -> None:
        asked = asyncio.ensure_future(client.call("POST", PREDICT, BODY))
        await asyncio.to_thread(engine.began.wait, 10)
        stopping = asyncio.ensure_future(serving.stop())
        await asyncio.sleep(0.01)
        assert (await client.call("POST", PREDICT, BODY)).status == 503
        engine.gate.set()
        assert (await asked).status == 200
        await stopping

    asyncio.run(main())
    assert engine.is_closed


def test_an_engine_that_always_fails_answers_every_request(serve: Callable[..., AsgiClient]) -> None:
    class Broken(FakeEngine):
        def run(self, inputs: object) -> dict[str, object]:  # type: ignore[override]
            raise MemoryError("no memory left")

    client = serve(route_of(make_loaded(Broken())))

    async def main() -> set[int]:
        replies = await asyncio.gather(*(client.call("POST", PREDICT, BODY) for _ in range(50)))
        return {reply.status for reply in replies}

    assert asyncio.run(main()) == {500}


def test_a_full_version_refuses_before_it_reads_the_request(serve: Callable[..., AsgiClient]) -> None:
    engine = FakeEngine(is_open=False)
    client = serve(route_of(make_loaded(engine, max_queue_rows=1)))

    async def main() -> None:
        first = asyncio.ensure_future(client.call("POST", PREDICT, BODY))
        await asyncio.to_thread(engine.began.wait, 10)
        second = asyncio.ensure_future(client.call("POST", PREDICT, BODY))
        await asyncio.sleep(0.01)
        refused = await client.call("POST", PREDICT, b"this is no JSON")
        assert (refused.status, refused.json["code"]) == (503, "queue_full")
        engine.gate.set()
        assert [(await first).status, (await second).status] == [200, 200]

    asyncio.run(main())


def test_a_requests_priority_is_one_of_three(serve: Callable[..., AsgiClient]) -> None:
    client = serve(route_of(make_loaded(FakeEngine())))
    for name, status in (("high", 200), ("Normal", 200), ("low", 200), ("urgent", 400)):
        reply = client.request("POST", PREDICT, BODY, headers={"X-Request-Priority": name})
        assert reply.status == status
    assert reply.json["error"] == "X-Request-Priority is one of high, normal, low, not 'urgent'"
