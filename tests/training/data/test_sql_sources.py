"""Rows of databases: read in blocks, only read, and no password where it could be seen."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aiplatform.errors import InvalidConfigurationError, InvalidInputError, UnavailableError
from tests.e2e.topology import running_postgres
from training.cli.arguments import absolute_data_uri
from training.data import sql
from training.data.dataset import Dataset
from training.data.reading import SourceReport
from training.data.sources import load_dataset
from training.data.sql_places import find_database, parse_databases
from training.services import RunOrder, check_order

ROWS = [(i, ("cook", "clerk")[i % 2], i / 4 if i % 5 else None, ("good", "bad")[i % 2]) for i in range(200)]
CREATE = "CREATE TABLE loans (age integer, job text, amount numeric, risk text)"


@pytest.fixture(scope="module")
def sqlite_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("sqlite") / "loans.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(CREATE)
        connection.executemany("INSERT INTO loans VALUES (?, ?, ?, ?)", ROWS)
        connection.commit()
    return f"sqlite:///{path}"


@pytest.fixture(scope="module")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not list(Path("/usr/lib/postgresql").glob("*/bin")):
        pytest.skip("Debian's postgresql is not installed")
    folder = tmp_path_factory.mktemp("postgres")
    for parent in (folder, *folder.parents):  # the server runs as a user of its own, and must reach its folder
        parent.chmod(0o755)
        if parent.name.startswith("pytest-of-"):
            break
    with running_postgres(folder / "server") as url:
        with psycopg.connect(url.replace("postgres://", "postgresql://"), autocommit=True) as connection:
            connection.execute(CREATE)
            with connection.cursor() as cursor:
                cursor.executemany("INSERT INTO loans VALUES (%s, %s, %s, %s)", ROWS)
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def databases(request: Any) -> dict[str, str]:
    return {"loans": request.getfixturevalue(f"{request.param}_url")}


def load(uri: str, databases: dict[str, str], tmp_path: Path) -> tuple[Dataset, SourceReport]:
    reports: list[SourceReport] = []
    data = load_dataset(uri, target="risk", seed=1, scratch=tmp_path, databases=databases, reports=reports)
    return data, reports[0]


def test_a_table_of_a_database_is_a_table(
    databases: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "BLOCK_ROWS", 30)
    data, report = load("sql:loans?table=loans", databases, tmp_path)
    assert [spec.name for spec in data.inputs] == ["age", "job", "amount"]
    assert len(data.train) + len(data.validation) + len(data.test) == 200
    again, _ = load("sql:loans?table=loans", databases, tmp_path)
    assert again.fingerprint == data.fingerprint == report.fingerprint
    fewer, _ = load("sql:loans?query=SELECT age, risk FROM loans WHERE age < 150 ORDER BY age", databases, tmp_path)
    assert len(fewer.train) + len(fewer.validation) + len(fewer.test) == 150
    assert fewer.fingerprint != data.fingerprint


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM loans",
        "SELECT 1; DROP TABLE loans",
        "/* SELECT */ UPDATE loans SET age = 1",
        "-- SELECT\nDROP TABLE x",
    ],
)
def test_what_does_not_only_read_is_refused(databases: dict[str, str], tmp_path: Path, query: str) -> None:
    with pytest.raises(InvalidInputError, match="must be one SELECT"):
        load(f"sql:loans?query={query}", databases, tmp_path)


def test_a_write_in_disguise_is_refused_by_the_database(databases: dict[str, str], tmp_path: Path) -> None:
    if "postgres" in databases["loans"]:
        query = "WITH gone AS (DELETE FROM loans RETURNING *) SELECT * FROM gone"
    else:
        query = "WITH one AS (SELECT 1) DELETE FROM loans"
    with pytest.raises(InvalidInputError, match="refused the query"):
        load(f"sql:loans?query={query}", databases, tmp_path)
    data, _ = load("sql:loans?table=loans", databases, tmp_path)
    assert len(data.train) + len(data.validation) + len(data.test) == 200


def test_a_query_that_is_wrong_says_why(databases: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"database 'loans' refused the query: .*nothing"):
        load("sql:loans?table=nothing", databases, tmp_path)


def test_rows_come_through_a_cursor_of_the_server(postgres_url: str, tmp_path: Path) -> None:
    query = "SELECT age, risk FROM loans, pg_sleep(0) WHERE current_setting('transaction_read_only') = 'on'"
    data, _ = load(f"sql:loans?query={query.replace('=', '%3D')}", {"loans": postgres_url}, tmp_path)
    assert len(data.train) + len(data.validation) + len(data.test) == 200


def test_a_password_in_the_clear_is_refused_and_not_repeated() -> None:
    uri = "sql+postgresql://reader:geheim@db/loans?table=loans"
    for order in (uri, f"all:digits|{uri}"):
        with pytest.raises(InvalidInputError, match="password must not stand in the data URI") as caught:
            check_order(RunOrder(recipe="keras_tabular", data_uri=order, model_name="loans"))
        assert "geheim" not in caught.value.message


def test_a_database_that_is_away_is_named_without_its_address(tmp_path: Path) -> None:
    away = {"loans": "postgresql://reader:geheim@127.0.0.1:1/loans"}
    with pytest.raises(UnavailableError, match="database 'loans' cannot be read") as caught:
        load("sql:loans?table=loans", away, tmp_path)
    assert "geheim" not in caught.value.message
    assert "geheim" not in repr(find_database("sql:loans", away))


def test_settings_that_are_no_addresses_are_refused_without_repeating_them() -> None:
    assert parse_databases(["a=sqlite:////x.db", "b=postgresql://r@h/d"]) == {
        "a": "sqlite:////x.db",
        "b": "postgresql://r@h/d",
    }
    for item in ("geheim", "a=geheim", "a=mysql://u:geheim@h/d"):
        with pytest.raises(InvalidConfigurationError, match="item 1 is not of that form") as caught:
            parse_databases([item])
        assert "geheim" not in caught.value.message


def test_an_unknown_name_and_a_relative_file_say_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigurationError, match="DATA_DATABASES names no database 'loans'; it names: none"):
        load("sql:loans?table=loans", {}, tmp_path)
    with pytest.raises(InvalidInputError, match="must be written sqlite:////absolute/path"):
        load("sql+sqlite:///loans.sqlite3?table=loans", {}, tmp_path)


def test_an_address_without_a_secret_may_stand_in_the_order(sqlite_url: str, tmp_path: Path) -> None:
    data, _ = load(f"sql+{sqlite_url}?table=loans", {}, tmp_path)
    assert len(data.test) == 40


def test_a_path_with_options_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("a\n1\n")
    assert absolute_data_uri("a.csv?split=ordered") == f"{tmp_path}/a.csv?split=ordered"
    assert absolute_data_uri("all:digits|a.csv") == f"all:digits|{tmp_path}/a.csv"
    assert absolute_data_uri("sql:loans?table=a.csv") == "sql:loans?table=a.csv"
