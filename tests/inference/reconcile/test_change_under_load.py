"""Changes of version while requests come in without a pause."""

from __future__ import annotations

import threading
import time

import numpy as np

from inference.reconcile.loop import ReconcileLoop
from inference.recording_api import NoMetrics, NoRecorder
from inference.serving import PredictService
from tests.inference.endpoints.fakes import poll
from tests.inference.reconcile.conftest import Bench

CLIENTS = 6


class Clients:
    """Threads that predict as fast as they can and keep what went wrong."""

    def __init__(self, service: PredictService) -> None:
        self.failures: list[BaseException | str] = []
        self.answers = dict.fromkeys(range(CLIENTS), 0)
        self.versions: set[int] = set()
        self._service = service
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._predict, args=(n,)) for n in range(CLIENTS)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(10)

    def _predict(self, number: int) -> None:
        x = np.array([[3.0]], dtype=np.float32)
        while not self._is_over.is_set():
            try:
                answer = self._service.predict_blocking("digits", inputs={"x": x})
                if float(answer.outputs["y"][0, 0]) != 3.0 * answer.version:
                    self.failures.append(f"version {answer.version} answered {answer.outputs['y']}")
                self.versions.add(answer.version)
                self.answers[number] += 1
            except Exception as error:  # noqa: BLE001 - whatever went wrong is the finding
                self.failures.append(error)


def test_no_request_fails_during_many_changes_of_version_and_split(bench: Bench) -> None:
    splits = [((1, 100),), ((2, 100),), ((2, 50), (3, 50)), ((3, 100),), ((1, 10), (3, 90)), ((1, 100),)]
    bench.want(*splits[0])
    bench.settle(v1=100)
    service = PredictService(table=bench.table, recorder=NoRecorder(), metrics=NoMetrics())
    loop = ReconcileLoop(interval_s=0.01)
    loop.start(bench.replica)
    try:
        with Clients(service) as clients:
            for split in splits * 3:
                bench.want(*split)
                loop.wake()
                poll(lambda: bench.served() == dict(bench_split(bench)), what="the split")
                time.sleep(0.02)  # let requests meet the new split
        assert clients.failures == []
        assert min(clients.answers.values()) > 20
        assert clients.versions == {1, 2, 3}
    finally:
        loop.stop(5)


def test_a_version_that_cannot_be_loaded_disturbs_no_request(bench: Bench) -> None:
    bench.want((1, 100))
    bench.settle(v1=100)
    service = PredictService(table=bench.table, recorder=NoRecorder(), metrics=NoMetrics())
    with Clients(service) as clients:
        bench.want((2, 100))
        bench.break_artifact(2)
        poll(lambda: bench.replica.report()["endpoints"]["digits"]["problems"], act=bench.replica.step)
    assert clients.failures == []
    assert clients.versions == {1}


def bench_split(bench: Bench) -> list[tuple[int, int]]:
    return [(share.version, share.weight) for share in bench.store.desired["digits"].traffic]
