"""Exports hold every row of a period once, with the truth, as a stream."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from pyarrow import parquet

from aiplatform.errors import InvalidInputError
from monitoring.store.asking import ask_store
from monitoring.store.exporting import ExportOrder, export_rows
from tests.monitoring.store.stored import NOW, a_prediction, an_image, ids, label, store

DAY = timedelta(days=1)


def order(**changes: Any) -> ExportOrder:
    return ExportOrder(**{"endpoint": "credit", "since": NOW - DAY, "until": NOW + DAY, **changes})


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode())))


def test_csv_has_a_line_a_row_with_inputs_outputs_and_truth() -> None:
    events = [a_prediction(NOW + timedelta(seconds=s)) for s in (1, 2)]
    store(*events)
    label(events[1], "bad")
    first, second = rows_of(b"".join(export_rows(order())))
    assert [first["prediction_id"], second["prediction_id"]] == ids(events)
    assert (first["input.age"], first["input.job"], first["predicted_label"]) == ("30.0", "clerk", "good")
    assert json.loads(first["output.probabilities"]) == [0.25, 0.75]
    assert (first["label"], second["label"]) == ("", "bad")
    assert first["time"].startswith("2026-11-22T12:00:31")


def test_parquet_holds_the_same_and_files_of_different_columns_fit_together() -> None:
    store(a_prediction(NOW))
    store(a_prediction(NOW + timedelta(seconds=5), http_status=503, inputs=None, outputs=None))
    table = parquet.read_table(pa.BufferReader(b"".join(export_rows(order(form="parquet")))))
    assert table.num_rows == 2 and table["http_status"].to_pylist() == [200, 503]
    assert table["input.age"].to_pylist() == [30.0, None]


def test_a_period_ends_before_its_end_and_a_version_can_be_asked_alone() -> None:
    events = [a_prediction(NOW + timedelta(seconds=s), version=1 + s % 2) for s in range(4)]
    for event in events:
        store(event)
    content = b"".join(export_rows(order(since=NOW + timedelta(seconds=1), until=NOW + timedelta(seconds=3))))
    assert [row["prediction_id"] for row in rows_of(content)] == ids(events[1:3])
    assert len(rows_of(b"".join(export_rows(order(version=2))))) == 2


def test_an_export_comes_in_chunks_and_is_no_longer_in_memory() -> None:
    store(*(an_image(NOW + timedelta(seconds=i / 100), value=i % 256) for i in range(3000)))
    chunks = list(export_rows(order(endpoint="digits")))
    assert len(chunks) > 5 and max(map(len, chunks)) < 200_000
    assert len(rows_of(b"".join(chunks))) == 3000


def test_an_empty_period_is_a_file_with_a_heading() -> None:
    assert rows_of(b"".join(export_rows(order()))) == []
    assert parquet.read_table(pa.BufferReader(b"".join(export_rows(order(form="parquet"))))).num_rows == 0


@pytest.mark.parametrize("changes", [{"form": "xls"}, {"until": NOW - 2 * DAY}, {"endpoint": "../etc"}])
def test_what_is_wrong_with_an_order_is_said_before_the_first_byte(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        export_rows(order(**changes))


def test_the_command_writes_a_file_and_says_which_files_are_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = a_prediction()
    store(kept)
    victim = store(a_prediction(NOW + timedelta(seconds=1)))
    Path(victim.uri.removeprefix("file://")).write_bytes(b"nothing")
    period = ["--since", "2026-11-22", "--until", "2026-11-23T00:00:00+00:00"]
    with pytest.raises(CommandError, match="1 damaged"):
        call_command("predictions", "export", "credit", *period, "--output", str(tmp_path / "out.csv"))
    assert [row["prediction_id"] for row in rows_of((tmp_path / "out.csv").read_bytes())] == ids([kept])
    assert victim.name in capsys.readouterr().err


def test_sql_sees_the_rows_of_a_period_and_nothing_else(tmp_path: Path) -> None:
    store(*(a_prediction(NOW + timedelta(seconds=s)) for s in range(5)))
    answer = ask_store(
        "credit", 'SELECT count(*) AS n, avg("input.age") FROM predictions', since=NOW - DAY, until=NOW + DAY
    )
    assert (answer.columns[0], answer.rows) == ("n", [(5, 30.0)])
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    for sql in (f"SELECT * FROM read_csv('{secret}')", "SELECT nonsense", f"COPY predictions TO '{tmp_path}/x.csv'"):
        with pytest.raises(InvalidInputError):
            ask_store("credit", sql, since=NOW - DAY, until=NOW + DAY)
    assert not (tmp_path / "x.csv").exists()


def test_the_query_command_prints_what_was_found(capsys: pytest.CaptureFixture[str]) -> None:
    store(a_prediction())
    sql = "SELECT predicted_label, count(*) AS n FROM predictions GROUP BY 1"
    call_command("predictions", "query", "credit", sql, "--since", "2026-11-22", "--until", "2026-11-23")
    assert capsys.readouterr().out == "predicted_label\tn\ngood\t1\n"
