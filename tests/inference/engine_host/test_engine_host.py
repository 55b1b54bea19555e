"""Engines in a process of their own: the same answers, one copy, batches over workers, and nobody else's answer."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiplatform.artifacts import Manifest
from aiplatform.errors import ArtifactError, DeadlineExceededError, PlatformError, UnavailableError
from inference.engine_host.client import HostConnection, open_hosted
from inference.engine_host.host import EngineHost
from inference.engine_host.wire import Done, HostGoneError, lay_arrays, read_arrays, read_question, send_message
from inference.engines import Arrays, EngineKind, EngineOptions
from inference.loaded import load_version
from tests.inference.serving_fakes import POISON, FakeEngine, make_info, make_manifest, rows, wait_for, write_artifact

Open = Callable[..., Any]


class Named(FakeEngine):
    name = "named"


@contextmanager
def running(path: Path, opener: Any) -> Iterator[EngineHost]:
    host = EngineHost(path, opener=opener)
    host.open()
    thread = threading.Thread(target=host.serve)
    thread.start()
    try:
        yield host
    finally:
        host.stop()
        thread.join(10)


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    expected = {"y": rows(2, 4)["x"]}
    return write_artifact(tmp_path / "double" / "1", make_manifest(), rows(1, 2), expected)


def opened(path: Path, artifact: Path, timeout_s: float = 10.0) -> Any:
    return open_hosted(
        path, EngineKind.TENSORFLOW, artifact / "model", make_manifest(), EngineOptions(), timeout_s=timeout_s
    )


def test_a_hosted_engine_answers_as_its_engine_and_is_loaded_once(tmp_path: Path, artifact: Path) -> None:
    engines: list[FakeEngine] = []

    def load(kind: EngineKind, model: Path, manifest: Manifest, options: EngineOptions) -> FakeEngine:
        assert (kind, model, manifest.name) == ("tensorflow", artifact / "model", "double")
        engines.append(Named())
        return engines[-1]

    with running(tmp_path / "s", load) as host:
        first, second = opened(tmp_path / "s", artifact), opened(tmp_path / "s", artifact)
        assert first.name == "named"
        assert first.run(rows(1, 2))["y"].tolist() == [[2, 2], [4, 4]]
        assert second.run(rows(5))["y"].tolist() == [[10, 10]]
        assert len(engines) == 1
        assert list(host.loaded.values()) == [4], "each holds it, and each runs"
        first.close()
        assert second.run(rows(7))["y"].tolist() == [[14, 14]]
        second.close()
        wait_for(lambda: engines[0].is_closed)
        assert not host.loaded


def test_large_arrays_text_and_outputs_larger_than_inputs_come_through(tmp_path: Path, artifact: Path) -> None:
    class Growing(FakeEngine):
        def run(self, inputs: Arrays) -> Arrays:
            text = np.array([[b"a\x00", "ä"]] * len(inputs["x"]), dtype=object)
            return {"wide": np.repeat(inputs["x"], 3000, axis=1), "text": text, "half": inputs["x"].astype(np.float16)}

    with running(tmp_path / "s", lambda *_: Growing()):
        engine = opened(tmp_path / "s", artifact)
        for count in (1, 400, 3):
            inputs = rows(*range(count))
            outputs = engine.run(inputs)
            assert np.array_equal(outputs["wide"], np.repeat(inputs["x"], 3000, axis=1))
            assert outputs["text"].tolist() == [[b"a\x00", "ä".encode()]] * count
            assert outputs["half"].dtype == np.float16
        engine.close()


def test_what_several_workers_send_is_one_batch(tmp_path: Path, artifact: Path) -> None:
    slow = FakeEngine(is_open=False)
    with running(tmp_path / "s", lambda *_: slow):
        workers = [opened(tmp_path / "s", artifact) for _ in range(4)]
        answers: dict[int, Any] = {}

        def ask(number: int) -> None:
            answers[number] = workers[number].run(rows(number))["y"][0, 0]

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        threads[0].start()
        assert slow.began.wait(10)
        for thread in threads[1:]:
            thread.start()
        time.sleep(0.2)
        slow.gate.set()
        for thread in threads:
            thread.join(10)
        assert answers == {0: 0, 1: 2, 2: 4, 3: 6}
        assert slow.batches == [1, 3]
        for worker in workers:
            worker.close()


def test_errors_of_engine_and_artifact_come_back_as_what_they_are(tmp_path: Path, artifact: Path) -> None:
    def refuse(*_: Any) -> FakeEngine:
        raise ArtifactError("the file is broken")

    with running(tmp_path / "s", lambda *_: FakeEngine()):
        engine = opened(tmp_path / "s", artifact)
        with pytest.raises(PlatformError, match="poison"):
            engine.run(rows(POISON))
        assert engine.run(rows(1))["y"][0, 0] == 2
        engine.close()
    with running(tmp_path / "t", refuse), pytest.raises(ArtifactError, match="the file is broken"):
        opened(tmp_path / "t", artifact)


def test_a_host_that_dies_is_said_and_one_that_returns_is_used_again(tmp_path: Path, artifact: Path) -> None:
    with running(tmp_path / "s", lambda *_: FakeEngine()):
        engine = opened(tmp_path / "s", artifact)
        assert engine.run(rows(1))["y"][0, 0] == 2
    with pytest.raises(UnavailableError, match="the engine host"):
        engine.run(rows(1))
    with running(tmp_path / "s", lambda *_: FakeEngine(factor=3)) as host:
        assert engine.run(rows(1))["y"][0, 0] == 3
        assert list(host.loaded.values()) == [2], "held again"
        engine.close()


def test_a_late_answer_meets_nobody(tmp_path: Path, artifact: Path) -> None:
    slow = FakeEngine(is_open=False)
    with running(tmp_path / "s", lambda *_: slow):
        engine = opened(tmp_path / "s", artifact, timeout_s=0.1)
        with pytest.raises(DeadlineExceededError):
            engine.run(rows(1))
        slow.gate.set()

        def answers_its_own() -> bool:
            try:
                answer = engine.run(rows(9))["y"][0, 0]
            except DeadlineExceededError:
                return False  # a busy machine
            assert answer == 18
            return True

        wait_for(answers_its_own)
        engine.close()


def test_an_answer_to_another_question_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "liar"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def lie() -> None:
        sock, _ = listener.accept()
        with sock:
            question, _ = read_question(sock)
            send_message(sock, Done(question.id + 1))

    liar = threading.Thread(target=lie)
    liar.start()
    connection = HostConnection(path)
    with pytest.raises(HostGoneError, match="answer 2 came to question 1"):
        connection.unload("x")
    connection.close()
    liar.join(10)
    listener.close()


def test_an_array_outside_its_segment_is_refused() -> None:
    places = lay_arrays(rows(1, 2), bytearray(64))
    with pytest.raises(PlatformError, match="lies outside its segment of 8 bytes"):
        read_arrays(places, b"12345678", copies=True)


def test_the_socket_is_for_this_user_only(tmp_path: Path) -> None:
    with running(tmp_path / "s", lambda *_: FakeEngine()):
        assert (tmp_path / "s").stat().st_mode & 0o077 == 0


def test_a_version_is_warmed_up_checked_and_served_through_the_host(tmp_path: Path, artifact: Path) -> None:
    with running(tmp_path / "s", lambda *_: FakeEngine()):
        loaded = load_version(
            endpoint="double", info=make_info(), folder=artifact,
            loader=lambda *_: opened(tmp_path / "s", artifact),
        )  # fmt: skip
        assert loaded.queue.run_blocking(rows(4), deadline=time.monotonic() + 5)["y"][0, 0] == 8
        loaded.close()
