"""Names of databases, and the rules of an SQL source: read only, one SELECT, no password in the clear.

sql:loans?table=public.loans                        a database that DATA_DATABASES names
sql:loans?query=SELECT age, job, paid FROM loans    one SELECT; '&' is written %26, '+' is written %2B
sql+sqlite:////data/loans.sqlite3?table=loans        without a secret the address may stand in the order
sql+postgresql://reader@host/db?table=loans
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiplatform.errors import InvalidConfigurationError, InvalidInputError

NAMED, DIRECT = "sql:", "sql+"
OPTIONS = ("query", "table", "drop", "numbers")
SCHEMES = {"postgresql": "postgresql", "postgres": "postgresql", "sqlite": "sqlite"}
_TABLE = re.compile(r"[A-Za-z_][\w$]*(\.[A-Za-z_][\w$]*)?")
_READS = re.compile(r"(select|with|values|table)\b", re.IGNORECASE)
_COMMENT = re.compile(r"\A(\s+|--[^\n]*(\n|\Z)|/\*.*?\*/)+", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Database:
    """Where a database is. `address` may hold a password: it is for connecting, and shown nowhere."""

    name: str
    scheme: str
    address: str

    def __repr__(self) -> str:
        return f"Database(name={self.name!r}, scheme={self.scheme!r})"


def is_sql(place: str) -> bool:
    """Say whether a place is a database."""
    return place.startswith((NAMED, DIRECT))


def parse_databases(items: list[str]) -> dict[str, str]:
    """Return addresses by name from `NAME=URL` items.

    Raises: InvalidConfigurationError naming the item by its place, not by what it holds.
    """
    found: dict[str, str] = {}
    for place, item in enumerate(items, start=1):
        name, equals, address = item.strip().partition("=")
        if not equals or not re.fullmatch(r"[\w.-]{1,63}", name) or urlsplit(address).scheme not in SCHEMES:
            raise InvalidConfigurationError(
                f"DATA_DATABASES holds NAME=postgresql://... or NAME=sqlite:////...; item {place} is not of that form"
            )
        found[name] = address
    return found


def find_database(place: str, databases: Mapping[str, str]) -> Database:
    """Return the database of a place.

    Raises: InvalidInputError for a password in the clear; InvalidConfigurationError for an unknown name or kind.
    """
    if place.startswith(NAMED):
        name = place.removeprefix(NAMED)
        if name not in databases:
            known = ", ".join(sorted(databases)) or "none"
            raise InvalidConfigurationError(f"DATA_DATABASES names no database '{name}'; it names: {known}")
        address = databases[name]
        return Database(name=name, scheme=SCHEMES[urlsplit(address).scheme], address=address)
    check_no_password(place)
    address = place.removeprefix(DIRECT)
    scheme = urlsplit(address).scheme
    if scheme not in SCHEMES:
        raise InvalidConfigurationError(f"an SQL source is of postgresql or sqlite, not '{scheme}'")
    return Database(name=address, scheme=SCHEMES[scheme], address=address)


def check_no_password(uri: str) -> None:
    """Raise InvalidInputError if an address holds a password; the message does not."""
    for part in uri.split("|"):
        if f"{DIRECT}" in part and urlsplit(part[part.index(DIRECT) + len(DIRECT) :]).password is not None:
            raise InvalidInputError(
                "a database's password must not stand in the data URI, where it would be recorded: "
                "put the address into DATA_DATABASES as NAME=URL and order sql:NAME"
            )


def choose_query(place: str, options: Mapping[str, str]) -> str:
    """Return the one SELECT of an SQL source.

    Raises: InvalidInputError unless there is a table's name or a query, and the query only reads.
    """
    table, query = options.get("table", ""), options.get("query", "").strip()
    if bool(table) == bool(query):
        raise InvalidInputError(f"'{place}' needs either the option table=NAME or query=SELECT ...")
    if table:
        if not _TABLE.fullmatch(table):
            raise InvalidInputError(f"option 'table' must be NAME or SCHEMA.NAME, not '{table}'")
        return "SELECT * FROM " + ".".join(f'"{part}"' for part in table.split("."))  # noqa: S608 (a checked name)
    query = query.rstrip("; \n\t")
    if not _READS.match(_COMMENT.sub("", query)) or ";" in query:
        raise InvalidInputError(f"option 'query' must be one SELECT without ';', not '{query[:80]}'")
    return query
