"""The models of the rollback benchmark go bad when they are told to, and what is called enough evidence is."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from benchmarks.bad_challengers import INPUT, LABELS, OUTPUT, Fault, make_rows, write_model
from benchmarks.rollback import CHALLENGER, CHAMPION, Call, moment_of_evidence


def answer(folder: Path, fault: Fault, *, mark: float) -> tuple[list[str], list[str], float]:
    """Return a model's answers, the truth, and the CPU seconds that it took."""
    path = folder / f"{fault}.onnx"
    write_model(path, fault)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = ort.InferenceSession(str(path), options)
    rows, labels = make_rows(8, mark=mark)
    before_s = time.process_time()
    probabilities = session.run([OUTPUT], {INPUT: rows})[0]
    return [LABELS[place] for place in np.argmax(probabilities, axis=1)], labels, time.process_time() - before_s


@pytest.mark.parametrize("fault", Fault)
def test_without_its_mark_a_row_gets_the_right_answer_of_every_model(tmp_path: Path, fault: Fault) -> None:
    said, true, _ = answer(tmp_path, fault, mark=0.0)
    assert said == true


def test_with_the_mark_one_is_refused_by_the_runtime_one_is_wrong_and_one_takes_its_time(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="out of data bounds"):
        answer(tmp_path, Fault.FAILS, mark=1.0)
    said, true, _ = answer(tmp_path, Fault.WRONG, mark=1.0)
    assert all(a != b for a, b in zip(said, true, strict=True))
    said, true, slow_s = answer(tmp_path, Fault.SLOW, mark=1.0)
    assert said == true
    *_, quick_s = answer(tmp_path, Fault.SLOW, mark=0.0)
    assert slow_s > 3 * quick_s
    said, true, _ = answer(tmp_path, Fault.NONE, mark=1.0)
    assert said == true


def calls(arm: int, at: float, *, is_error: bool = False, is_right: bool = True, is_labelled: bool = False) -> Call:
    return Call(
        at=at, arm=arm, is_error=is_error, latency_ms=2.0, is_right=is_right, labelled_at=at if is_labelled else None
    )


def before() -> list[Call]:
    return [calls(CHAMPION, second / 10) for second in range(100)]


def test_a_few_errors_are_enough_evidence_and_none_is_not() -> None:
    good = [calls(CHAMPION, 10 + second) for second in range(60)]
    assert moment_of_evidence([*before(), *good], 10.0) is None
    bad = [calls(CHALLENGER, 10.5 + second, is_error=True) for second in range(60)]
    found = moment_of_evidence([*before(), *good, *bad], 10.0)
    assert found is not None
    assert 12 < found < 30


def test_wrong_answers_are_evidence_when_their_labels_come() -> None:
    labelled = [
        calls(arm, 10 + second, is_labelled=True, is_right=arm == CHAMPION)
        for second in range(40)
        for arm in (CHAMPION, CHALLENGER)
    ]
    found = moment_of_evidence([*before(), *labelled], 10.0)
    assert found == 10.0 + 29, "the least number of labels is 30 of each"
