"""Rows of a database, read in blocks through a cursor of the server's; the session can only read."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

import numpy as np

from aiplatform.errors import InvalidInputError, UnavailableError
from aiplatform.late import late_module
from training.data.reading import Reading
from training.data.sql_places import Database, choose_query, find_database
from training.data.table_files import TableRows

if TYPE_CHECKING:
    import psycopg
    import pyarrow as pa
else:
    psycopg = late_module("psycopg")
    pa = late_module("pyarrow")

BLOCK_ROWS = 10_000
CONNECT_TIMEOUT_S = 10
_SQLITE_AWAY = ("SQLITE_CANTOPEN", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR")
_POSTGRES_AWAY = ("08", "28", "3D", "53", "57")  # SQLSTATE classes: connection, login, database, resources, operator
_PLAIN = (bool, int, float, str, date, datetime)


def query_rows(place: str, databases: Mapping[str, str], reading: Reading) -> Iterator[TableRows]:
    """Yield the rows of an SQL source, 10,000 at a time; the reading's fingerprint, of all rows, is set at the end.

    Raises: InvalidInputError for a query that the database refuses, or a value that is none of a column's kinds;
    UnavailableError if it cannot be reached. Neither says its address.
    """
    database = find_database(place, databases)
    query = choose_query(place, reading.options)
    digest, first = hashlib.sha256(), 1
    with _errors(database), _cursor(database) as cursor:
        cursor.execute(query)
        names = [column[0] for column in cursor.description or ()]
        digest.update(repr(names).encode())
        while block := cursor.fetchmany(BLOCK_ROWS):
            rows = [[_plain(value, names[place]) for place, value in enumerate(row)] for row in block]
            digest.update(repr(rows).encode())
            numbers = np.arange(first, first + len(rows))
            yield TableRows(table=_table(names, rows), numbers=numbers)
            first += len(rows)
    reading.report.fingerprint = f"sha256:{digest.hexdigest()}"


@contextmanager
def _cursor(database: Database) -> Iterator[Any]:
    if database.scheme == "sqlite":
        path = unquote(urlsplit(database.address).path)
        if not path.startswith("//"):
            raise InvalidInputError(f"database '{database.name}' must be written sqlite:////absolute/path")
        with closing(sqlite3.connect(f"file:{quote(path[1:])}?mode=ro", uri=True)) as connection:
            connection.execute("PRAGMA query_only = ON")
            yield connection.cursor()
        return
    address = database.address.replace("postgres://", "postgresql://", 1)
    with psycopg.connect(address, connect_timeout=CONNECT_TIMEOUT_S) as connection:
        connection.read_only = True
        with connection.cursor(name="aiplatform_training") as cursor:  # a server's cursor: rows come in blocks
            yield cursor


@contextmanager
def _errors(database: Database) -> Iterator[None]:
    try:
        yield
    except (psycopg.Error, sqlite3.Error) as error:
        said = _line(error, database)
        if _is_away(error):
            raise UnavailableError(f"database '{database.name}' cannot be read: {said}") from None
        raise InvalidInputError(f"database '{database.name}' refused the query: {said}") from None


def _is_away(error: psycopg.Error | sqlite3.Error) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorname", "").startswith(_SQLITE_AWAY)
    return isinstance(error, psycopg.OperationalError) and (error.sqlstate or "08")[:2] in _POSTGRES_AWAY


def _line(error: Exception, database: Database) -> str:
    """Return the first line of a message, without the password in case that it quotes the address."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    password = urlsplit(database.address).password
    for secret in {password, unquote(password)} if password else ():
        line = line.replace(secret, "***")
    return line


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if value is None or isinstance(value, _PLAIN):
        return value
    raise InvalidInputError(
        f"column '{name}' holds {type(value).__name__}; columns must be numbers, texts, dates or true and false: "
        "leave it out of the query, or cast it there"
    )


def _table(names: Sequence[str], rows: list[list[Any]]) -> Any:
    columns = [list(column) for column in zip(*rows, strict=True)]
    try:
        return pa.table({name: pa.array(column) for name, column in zip(names, columns, strict=True)})
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.table({name: _mixed(column) for name, column in zip(names, columns, strict=True)})


def _mixed(column: list[Any]) -> Any:
    """Return a column that may hold numbers and texts, as SQLite's can: texts then."""
    try:
        return pa.array(column)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        if all(value is None or isinstance(value, int | float) for value in column):
            return pa.array([None if value is None else float(value) for value in column])
        return pa.array([None if value is None else str(value) for value in column])
