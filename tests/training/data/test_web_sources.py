"""Data from web addresses, against a server on loopback; and tables of JSON lines."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from aiplatform.errors import InvalidInputError, UnavailableError
from training.data.cache import DataCache
from training.data.sources import load_dataset

ROWS = "age,job,risk\n" + "".join(f"{20 + i},{'ab'[i % 2]},{'no' if i % 3 else 'yes'}\n" for i in range(60))


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder; counts; sends /moved on."""

    asked: list[str] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", "/risks.csv")
            self.end_headers()
        elif self.path.startswith("/round"):
            self.send_response(302)
            self.send_header("Location", "/round.csv")
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "risks.csv").write_text(ROWS)
    Handler.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "site")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def digest(text: str = ROWS) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_table_comes_from_a_web_address_with_its_checksum(site: str, tmp_path: Path) -> None:
    (tmp_path / "risks.csv").write_text(ROWS)
    here = load_dataset(str(tmp_path / "risks.csv"), target="risk", seed=1, scratch=tmp_path / "s")
    for path in ("risks.csv", "risks.csv?token=1", "moved.csv"):
        uri = f"{site}/{path}#sha256={digest()}"
        there = load_dataset(uri, target="risk", seed=1, scratch=tmp_path / "s")
        assert there.fingerprint == here.fingerprint
        assert [spec.name for spec in there.inputs] == ["age", "job"]
    dropped = load_dataset(
        f"{site}/risks.csv#sha256={digest()}&drop=age", target="risk", seed=1, scratch=tmp_path / "s"
    )
    assert [spec.name for spec in dropped.inputs] == ["job"]
    assert list((tmp_path / "s").iterdir()) == []


def test_with_a_cache_the_second_run_asks_nobody(site: str, tmp_path: Path) -> None:
    cache = DataCache(folder=tmp_path / "cache", limit_bytes=10**6)
    uri = f"{site}/risks.csv#sha256={digest()}"
    for _ in range(3):
        load_dataset(uri, target="risk", seed=1, scratch=tmp_path / "s", cache=cache)
    assert len(Handler.asked) == 1


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("risks.csv", InvalidInputError, "needs its checksum"),
        ("risks.csv#sha256=abc", InvalidInputError, "64 hexadecimal digits, not 'abc'"),
        (f"risks.csv#sha256={'0' * 64}", InvalidInputError, f"has the sha256 {digest()}"),
        (f"gone.csv#sha256={'0' * 64}", UnavailableError, "404"),
        (f"round.csv#sha256={'0' * 64}", UnavailableError, "[Rr]edirect"),
        (f"risks.csv#sha256={'0' * 64}&size=3", InvalidInputError, "sha256"),
    ],
)
def test_what_cannot_be_fetched_or_is_not_what_was_named_is_refused(
    site: str, tmp_path: Path, path: str, error: type[Exception], message: str
) -> None:
    cache = DataCache(folder=tmp_path / "cache", limit_bytes=10**6)
    with pytest.raises(error, match=message):
        load_dataset(f"{site}/{path}", target="risk", seed=1, scratch=tmp_path / "s", cache=cache)


def test_nobody_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be fetched"):
        load_dataset(f"http://127.0.0.1:1/a.csv#sha256={'0' * 64}", target="risk", seed=1, scratch=tmp_path)


def test_json_lines_are_a_table_in_which_a_missing_key_is_a_missing_value(tmp_path: Path) -> None:
    lines = [f'{{"age": {20 + i}, "job": "{"ab"[i % 2]}", "risk": "{"no" if i % 3 else "yes"}"}}' for i in range(60)]
    lines[3] = '{"job": "b", "risk": "no"}'
    (tmp_path / "risks.jsonl").write_text("\n".join(lines))
    (tmp_path / "risks.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    plain, packed = (
        load_dataset(str(tmp_path / name), target="risk", seed=1, scratch=tmp_path)
        for name in ("risks.jsonl", "risks.jsonl.gz")
    )
    for data in (plain, packed):
        assert [spec.name for spec in data.inputs] == ["age", "job"]
        ages = [part.inputs["age"] for part in (data.train, data.validation, data.test)]
        assert sum(int((age != age).sum()) for age in ages) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": [1, 2], "risk": "x"}\n{"a": [1], "risk": "y"}', "'a' holds lists or objects"),
        ('{"a": 1, "risk": "x"}\nnonsense', "bad rows, 1 of 2: line 2: no JSON"),
    ],
)
def test_lines_that_are_no_table_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "odd.jsonl").write_text(content)
    with pytest.raises(InvalidInputError, match=message):
        load_dataset(str(tmp_path / "odd.jsonl"), target="risk", seed=1, scratch=tmp_path)
