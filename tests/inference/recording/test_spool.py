"""The spool: whole files or none, bounded, taken over when their process is gone."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from aiplatform.contracts.monitoring import RecordPredictions
from inference.recording.columns import build_batches
from inference.recording.spool import SET_ASIDE, Spool, SpoolFileCorruptError, SpoolFormatError, read_spool_file
from tests.inference.recording.fakes import Drops, event


def order(number: int) -> RecordPredictions:
    return RecordPredictions(batches=tuple(build_batches([event(number)], replica="r", max_rows=10)))


def first_id(path: Path) -> str:
    return read_spool_file(path).batches[0].prediction_ids.to_list()[0]


def make(root: Path, replica: str = "r1", *, max_bytes: int = 1_000_000, drops: Drops | None = None) -> Spool:
    spool = Spool(root, replica=replica, max_bytes=max_bytes, on_drop=drops or Drops())
    spool.open()
    return spool


def test_what_is_written_is_read_again_in_order(tmp_path: Path) -> None:
    spool = make(tmp_path)
    for number in range(5):
        spool.append(order(number))
    assert [first_id(path) for path in spool.list_files()] == [f"p{n:05d}" for n in range(5)]


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied"])
def test_a_damaged_file_is_recognised(tmp_path: Path, damage: str) -> None:
    spool = make(tmp_path)
    spool.append(order(1))
    (path,) = spool.list_files()
    raw = bytearray(path.read_bytes())
    raw[40] ^= 1
    path.write_bytes(bytes({"cut": raw[:-7], "flipped": raw, "emptied": bytearray()}[damage]))
    with pytest.raises(SpoolFileCorruptError):
        read_spool_file(path)


@pytest.mark.parametrize("raw", [b'0badcafe\n{"batches":[]}', b"predictions-9 00000000\nwhatever"])
def test_a_file_of_another_format_is_told_from_a_damaged_one(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "old-1.batch"
    path.write_bytes(raw)
    with pytest.raises(SpoolFormatError, match="predictions-2"):
        read_spool_file(path)


def test_the_files_of_all_processes_are_listed_oldest_first(tmp_path: Path) -> None:
    first, second = make(tmp_path, "b"), make(tmp_path, "a")
    for number in range(4):
        (second if number % 2 else first).append(order(number))
    first.set_aside(first.list_files()[0], "corrupt")
    assert [first_id(path) for path in second.list_all_files()] == [f"p{n:05d}" for n in (1, 2, 3)]


def test_a_spool_knows_whether_other_processes_live(tmp_path: Path) -> None:
    mine, other = make(tmp_path, "mine"), make(tmp_path, "other")
    other.append(order(1))
    assert mine.has_living_others()
    other.close()
    assert not mine.has_living_others()


def test_a_full_spool_drops_the_oldest_and_counts_the_rows(tmp_path: Path) -> None:
    drops = Drops()
    spool = make(tmp_path, drops=drops)
    spool.append(order(0))
    size = spool.size_bytes()
    small = make(tmp_path, "r2", max_bytes=size * 3 + 20, drops=drops)
    for number in range(5):
        small.append(order(number))
    assert [first_id(path) for path in small.list_files()] == ["p00002", "p00003", "p00004"]
    assert drops.rows == {"spool_full": 2}
    assert small.size_bytes() <= size * 3 + 20


def test_a_clock_that_goes_back_does_not_change_the_order(tmp_path: Path) -> None:
    spool = make(tmp_path)
    spool._last_name_ns = 10**19
    spool.append(order(1))
    spool.append(order(2))
    assert [first_id(path) for path in spool.list_files()] == ["p00001", "p00002"]


def test_the_files_of_a_dead_process_are_taken_over_and_those_of_a_living_one_are_not(tmp_path: Path) -> None:
    dead, living = make(tmp_path, "dead"), make(tmp_path, "living")
    dead.append(order(1))
    living.append(order(2))
    dead.close()
    heir = make(tmp_path, "heir")
    assert heir.adopt() == 1
    assert [first_id(path) for path in heir.list_files()] == ["p00001"]
    assert not dead.folder.exists()
    assert len(living.list_files()) == 1


def test_a_process_that_was_killed_has_given_up_its_lock(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom inference.recording.spool import Spool\n"
        "from tests.inference.recording.test_spool import order\n"
        "spool = Spool(Path(sys.argv[1]), replica='killed', max_bytes=10**6, on_drop=lambda rows, reason: None)\n"
        "spool.open(); spool.append(order(7)); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, timeout=60, check=False)
    assert ended.returncode == -9, ended.stderr
    heir = make(tmp_path, "heir")
    assert heir.adopt() == 1
    assert [first_id(path) for path in heir.list_files()] == ["p00007"]


def test_several_heirs_take_each_file_once(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        dead = make(tmp_path, name)
        dead.append(order(ord(name)))
        dead.close()
    heirs = [make(tmp_path, f"heir{n}") for n in range(4)]
    counts: list[int] = []
    threads = [threading.Thread(target=lambda h=heir: counts.append(h.adopt())) for heir in heirs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sum(counts) == 4
    found = sorted(first_id(path) for heir in heirs for path in heir.list_files())
    assert found == [f"p{ord(name):05d}" for name in "abcd"]


def test_a_folder_that_another_holds_is_not_shared(tmp_path: Path) -> None:
    first, second = make(tmp_path, "same"), make(tmp_path, "same")
    assert first.folder != second.folder


def test_an_empty_spool_leaves_no_folder_and_a_full_one_stays(tmp_path: Path) -> None:
    empty, full = make(tmp_path, "empty"), make(tmp_path, "full")
    full.append(order(1))
    empty.close()
    full.close()
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_only_so_many_set_aside_files_are_kept(tmp_path: Path) -> None:
    drops = Drops()
    spool = make(tmp_path, drops=drops)
    for number in range(25):
        spool.append(order(number))
    for path in spool.list_files():
        spool.set_aside(path, "corrupt")
    assert len(list((tmp_path / SET_ASIDE).iterdir())) == 20
    assert drops.rows == {"corrupt": 25}
