"""What is kept of whole predictions is what the policy says, before anything touches the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aiplatform.contracts.monitoring import StorePolicies, StorePolicy
from aiplatform.errors import UnavailableError
from aiplatform.predictions.pseudonyms import pseudonym
from aiplatform.predictions.rows import StoredRows, StoreRows
from inference.prediction_ids import new_prediction_id
from inference.recording.keeping import FORM, RowKeeper, sample, trace_id_of
from inference.recording.policies import PolicyBook
from inference.recording.recorder import PredictionRecorder
from inference.recording.spool import Spool, read_spooled
from tests.inference.recording.fakes import Drops, FakeMonitoring, called_together, event, failed

SECRET = "a-secret-of-the-tests"
ALL = StorePolicy(sample_share=1.0, retention_days=30)


class Desk:
    """A keeper with its spool."""

    def __init__(self, root: Path, policy: StorePolicy | None, secret: str = SECRET) -> None:
        self.drops = Drops()
        self.spool = Spool(root, replica="r1", max_bytes=10**7, on_drop=self.drops, form=FORM)
        self.keeper = RowKeeper(policy_of=lambda _: policy, spool=self.spool, secret=secret, on_drop=self.drops)
        self.keeper.start()

    def keep(self, *events: Any) -> list[StoredRows]:
        self.keeper.keep(events)
        self.keeper.write()
        orders = [read_spooled(path, StoreRows, form=FORM) for path in self.spool.list_files()]
        return [part for order in orders for part in order.parts]

    def on_disk(self) -> bytes:
        return b"".join(path.read_bytes() for path in self.spool.list_files())


def policy(**changes: Any) -> StorePolicy:
    return StorePolicy(**{"sample_share": 1.0, "retention_days": 30.0, **changes})


def two_features(number: int, **more: Any) -> Any:
    inputs = {
        "age": np.array([[float(number)]], np.float32),
        "name": np.array([[f"person-{number}"]], dtype=object),
    }
    return event(number, inputs=inputs, **more)


def test_all_rows_are_kept_whole_with_ids_times_trace_and_outputs(tmp_path: Path) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    (part,) = Desk(tmp_path, ALL).keep(event(1, rows=2, traceparent=trace), event(2))
    assert part.prediction_ids.to_list() == ["p00001", "p00001", "p00002"]
    assert part.rows.unpack(3, "rows").tolist() == [0, 1, 0]
    assert part.inputs["age"].unpack(3, "age").tolist() == [[1.0], [1.0], [2.0]]
    assert part.outputs["probabilities"].unpack(3, "p").shape == (3, 2)
    assert part.trace_ids is not None and part.trace_ids.to_list() == [trace[3:35], trace[3:35], None]
    assert part.predicted_labels is not None and part.predicted_labels.to_list() == ["yes"] * 3
    assert part.is_whole


def test_a_share_of_the_predictions_is_kept_and_every_process_keeps_the_same() -> None:
    ids = [new_prediction_id(1_700_000_000.0 + i) for i in range(20_000)]
    events = [event(1)._replace(prediction_id=name) for name in ids]
    kept = [one.prediction_id for one in sample(events, 0.1)]
    assert 1800 < len(kept) < 2200
    assert kept == [one.prediction_id for one in sample(list(events), 0.1)]
    assert set(kept) <= {one.prediction_id for one in sample(events, 0.5)}
    assert sample(events, 0.0) == [] and len(sample(events, 1.0)) == len(events)


def test_a_redacted_feature_never_reaches_the_disk(tmp_path: Path) -> None:
    desk = Desk(tmp_path, policy(redacted_features=("name",)))
    (part,) = desk.keep(two_features(1))
    assert set(part.inputs) == {"age"} and not part.is_whole
    assert b"person-1" not in desk.on_disk()


def test_a_hashed_feature_is_a_pseudonym_that_is_the_same_for_the_same_value(tmp_path: Path) -> None:
    desk = Desk(tmp_path, policy(hashed_features=("name",)))
    (part,) = desk.keep(two_features(1), two_features(1), two_features(2))
    first, again, other = part.hashes["name"]
    assert first == again != other
    assert b"person-" not in desk.on_disk() and not part.is_whole


def test_a_secret_changes_every_pseudonym(tmp_path: Path) -> None:
    (one,) = Desk(tmp_path / "1", policy(hashed_features=("name",))).keep(two_features(1))
    (two,) = Desk(tmp_path / "2", policy(hashed_features=("name",)), secret="another").keep(two_features(1))
    assert one.hashes["name"] != two.hashes["name"]


def test_only_the_features_to_keep_are_kept(tmp_path: Path) -> None:
    (part,) = Desk(tmp_path, policy(kept_features=("age",))).keep(two_features(1))
    assert set(part.inputs) == {"age"} and not part.is_whole


@pytest.mark.parametrize(("inputs", "hashes"), [("hash", {""}), ("none", set())])
def test_inputs_are_kept_as_a_reference_or_not_at_all(tmp_path: Path, inputs: str, hashes: set[str]) -> None:
    (part,) = Desk(tmp_path, policy(inputs=inputs)).keep(two_features(1))
    assert not part.inputs and set(part.hashes) == hashes and part.outputs and not part.is_whole


def test_a_row_that_is_too_large_is_kept_as_a_reference(tmp_path: Path) -> None:
    large = event(2, inputs={"age": np.ones((1, 100), np.float32)})
    small, other = Desk(tmp_path, policy(max_row_bytes=99)).keep(event(1), large)
    assert small.is_whole and set(small.inputs) == {"age"}
    assert not other.inputs and set(other.hashes) == {""} and other.prediction_ids.to_list() == ["p00002"]


def test_a_subject_is_kept_as_a_pseudonym_only(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ALL)
    (part,) = desk.keep(event(1, subject="ada@example.org"), event(2))
    assert part.subjects is not None
    assert part.subjects.to_list() == [pseudonym("ada@example.org", SECRET), None]
    assert b"ada@example.org" not in desk.on_disk()


def test_without_a_secret_there_are_no_subjects_and_no_hashes_but_nothing_leaks_either(tmp_path: Path) -> None:
    desk = Desk(tmp_path, policy(hashed_features=("name",)), secret="")
    (part,) = desk.keep(two_features(1, subject="ada"))
    assert part.subjects is None and not part.hashes and set(part.inputs) == {"age"}
    assert b"person-1" not in desk.on_disk() and b"ada" not in desk.on_disk()


def test_failed_requests_are_kept_with_their_status(tmp_path: Path) -> None:
    (part,) = Desk(tmp_path, ALL).keep(failed(1, 504))
    assert part.http_statuses.unpack(1, "s").tolist() == [504] and not part.inputs and not part.is_whole


def test_without_a_known_policy_nothing_is_kept_and_that_is_counted(tmp_path: Path) -> None:
    desk = Desk(tmp_path, None)
    assert desk.keep(event(1, rows=3)) == [] and desk.drops.rows == {"no_policy": 3}


def test_what_the_disk_refuses_is_counted(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    desk = Desk(blocked / "spool", ALL)
    desk.keeper.keep([event(1, rows=2)])
    desk.keeper.write()
    assert desk.drops.rows == {"unwritable": 2}


def test_a_full_spool_drops_its_oldest_and_counts_them(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ALL)
    desk.spool._max_bytes = 3000
    for number in range(20):
        desk.keep(event(number))
    kept = desk.keep()
    assert desk.drops.rows["spool_full"] + len(kept) == 20 and kept[-1].prediction_ids.to_list() == ["p00019"]


@pytest.mark.parametrize(
    "text", ["", "x", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e473-0-1"]
)
def test_what_is_no_traceparent_has_no_trace_id(text: str) -> None:
    assert trace_id_of(text) is None


def test_the_recorder_hands_every_event_to_the_keeper(tmp_path: Path) -> None:
    desk, monitoring, drops = Desk(tmp_path / "rows", ALL), FakeMonitoring(), Drops()
    spool = Spool(tmp_path / "spool", replica="r1", max_bytes=10**7, on_drop=drops)
    recorder = PredictionRecorder(
        replica="r1", spool=spool, ship=monitoring.record, on_drop=drops, keeper=desk.keeper
    )  # fmt: skip
    for number in range(300):
        recorder.record(event(number))
    recorder.flush()
    assert sum(part.row_count for part in desk.keep()) == 300


def test_policies_outlive_the_process_and_monitoring_s_absence(tmp_path: Path) -> None:
    answers: list[StorePolicies | Exception] = [StorePolicies(default=ALL, endpoints={"faces": policy(inputs="none")})]

    def ask() -> StorePolicies:
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers[0]

    book = PolicyBook(ask=ask, memory=tmp_path / "policies.json")
    assert book.of("digits") is None
    book.step()
    answers[0] = UnavailableError("away")
    book.step()
    reborn = PolicyBook(ask=ask, memory=tmp_path / "policies.json")
    reborn.step()
    for known in (book, reborn):
        assert known.of("digits") == ALL
        faces = known.of("faces")
        assert faces is not None and faces.inputs == "none"


def test_a_sample_of_an_engine_call_keeps_its_own_rows_and_no_other(tmp_path: Path) -> None:
    shared = called_together(*[event(n, rows=2) for n in range(5)])
    (part,) = Desk(tmp_path, ALL).keep(shared[1], shared[3], shared[4])
    assert part.prediction_ids.to_list() == ["p00001"] * 2 + ["p00003"] * 2 + ["p00004"] * 2
    assert part.inputs["age"].unpack(6, "age").ravel().tolist() == [1, 1, 3, 3, 4, 4]
