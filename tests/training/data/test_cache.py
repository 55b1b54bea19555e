"""Downloads are kept by what they are, within a limit, and never from under a reader."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from training.data.cache import DataCache


def writer(fetched: list[str], name: str, size: int = 1000) -> Callable[[Path], None]:
    def fetch(folder: Path) -> None:
        fetched.append(name)
        (folder / "data").write_bytes(name.encode() * (size // len(name)))

    return fetch


def use(cache: DataCache, name: str, fetched: list[str], *, age_s: float = 0.0) -> None:
    with cache.hold(name, writer(fetched, name)) as folder:
        assert (folder / "data").read_bytes().startswith(name.encode())
    if age_s:
        now = folder.stat().st_mtime
        os.utime(folder, (now - age_s, now - age_s))


def test_what_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    fetched: list[str] = []
    cache = DataCache(folder=tmp_path, limit_bytes=10_000)
    for name in ("a", "b", "a"):
        use(cache, name, fetched)
    assert fetched == ["a", "b"]


def test_above_the_limit_what_was_used_longest_ago_goes(tmp_path: Path) -> None:
    fetched: list[str] = []
    cache = DataCache(folder=tmp_path, limit_bytes=2500)
    use(cache, "a", fetched, age_s=300)
    use(cache, "b", fetched, age_s=200)
    use(cache, "a", fetched, age_s=100)
    use(cache, "c", fetched)
    use(cache, "a", fetched)
    use(cache, "b", fetched)
    assert fetched == ["a", "b", "c", "b"], "b was the oldest"


def test_what_is_being_read_is_not_removed(tmp_path: Path) -> None:
    fetched: list[str] = []
    cache = DataCache(folder=tmp_path, limit_bytes=10)
    with cache.hold("a", writer(fetched, "a")) as folder:
        use(cache, "b", fetched)
        assert (folder / "data").exists()
    assert not folder.exists(), "alone it is above the limit, so it goes once nobody reads it"


def test_a_fetch_that_fails_leaves_nothing(tmp_path: Path) -> None:
    cache = DataCache(folder=tmp_path, limit_bytes=10_000)

    def fail(folder: Path) -> None:
        (folder / "half").write_bytes(b"x")
        raise OSError("cut")

    with pytest.raises(OSError, match="cut"), cache.hold("a", fail):
        pass
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
    use(cache, "a", [])


def test_of_several_at_once_one_fetches_and_all_read(tmp_path: Path) -> None:
    fetched: list[str] = []
    cache = DataCache(folder=tmp_path, limit_bytes=10_000)
    threads = [threading.Thread(target=use, args=(cache, "a", fetched)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fetched == ["a"]


def test_a_process_that_is_killed_while_it_fetches_holds_nobody_up(tmp_path: Path) -> None:
    script = f"""
import os, pathlib
from training.data.cache import DataCache
def die(folder):
    (folder / "half").write_bytes(b"x" * 100)
    os.kill(os.getpid(), 9)
with DataCache(folder=pathlib.Path({str(tmp_path)!r}), limit_bytes=10_000).hold("a", die):
    pass
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    use(DataCache(folder=tmp_path, limit_bytes=10_000), "a", [])
