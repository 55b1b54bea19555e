"""What people read of a run's log: its own sentences, without what TensorFlow says while it is being loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from training import run_files
from training.log_noise import is_noise, without_noise

NOISE = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1796006886.307498    7307 port.cc:153] oneDNN custom operations are on. You may see slightly different
I0000 00:00:1796006886.309383    7307 cudart_stub.cc:31] Could not find cuda drivers on your machine.
E0000 00:00:1796006902.448712    7307 cuda_platform.cc:52] failed call to cuInit: INTERNAL: UNKNOWN ERROR (303)
To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow with the flags.
"""
TOLD = [
    "2026-11-30 02:48:29 epoch 1/6  loss=1.676",
    "E0000 00:00:1796006902.448712    7307 cuda_dnn.cc:400] Loaded runtime CuDNN library: 8.9, compiled with 9.1",
    "F0000 00:00:1796006902.448712    7307 cpu_feature_guard.cc:14] compiled to use AVX, but these aren't available",
    "W0000 00:00:1796006902.448712    7307 gpu_device.cc:23] Cannot dlopen some GPU libraries.",
    "Inputs of my own recipe: 1: 2] 3",
    "WARNING: my own",
]


@pytest.fixture
def run_id(settings: Any, tmp_path: Path) -> UUID:
    settings.TRAINING_DIR = tmp_path
    made = uuid4()
    run_files.run_folder(made).mkdir()
    return made


def write(run_id: UUID, text: str) -> None:
    with run_files.log_file(run_files.run_folder(run_id)).open("a") as file:
        file.write(text)


@pytest.mark.parametrize("line", NOISE.splitlines())
def test_what_tensorflow_says_of_itself_is_noise(line: str) -> None:
    assert is_noise(line)


@pytest.mark.parametrize("line", TOLD)
def test_errors_warnings_and_sentences_are_none(line: str) -> None:
    assert not is_noise(line)


def test_the_other_lines_stay_as_they_are() -> None:
    assert without_noise(f"a\r\n{NOISE}b\n{NOISE}c") == "a\r\nb\nc"


def test_the_tail_has_as_many_lines_as_are_asked_for_however_much_noise_is_among_them(run_id: UUID) -> None:
    write(run_id, "".join(f"{NOISE * 300}line {number}\n" for number in range(6)))
    assert run_files.read_log_tail(run_id, lines=4) == "line 2\nline 3\nline 4\nline 5"
    assert run_files.read_log_tail(run_id, lines=100) == "\n".join(f"line {number}" for number in range(6))


def test_a_follower_gets_every_other_line_once_and_is_not_held_up_by_noise(run_id: UUID) -> None:
    write(run_id, f"one\n{NOISE * 40}two\n{NOISE}")
    text, offset, told = "x", 0, ""
    while text:
        text, offset = run_files.read_log_from(run_id, offset, limit_bytes=1000)
        told += text
    assert told == "one\ntwo\n"
    assert offset == run_files.log_size(run_id)
    write(run_id, "three\n")
    assert run_files.read_log_from(run_id, offset) == ("three\n", run_files.log_size(run_id))


def test_search_and_download_have_the_whole_log(run_id: UUID) -> None:
    write(run_id, f"one\n{NOISE}")
    found = run_files.search_log(run_id, "onednn", limit=5)
    assert found is not None
    assert [number for number, _ in found.found] == [3]
    assert b"cuInit" in b"".join(run_files.read_log_chunks(run_id))
