"""A real PostgreSQL of the tests' own: Debian's, on a socket in a temporary folder; no port, no password, no fsync."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

INSTALLED = Path("/usr/lib/postgresql")
MISSING = f"needs Debian's package postgresql (there is no {INSTALLED}/*/bin)"
PATIENCE_S = 60.0


def find_binaries() -> Path | None:
    """Return the folder of the newest server's programs; None if there is none."""
    return max(INSTALLED.glob("*/bin"), default=None)


@dataclass(frozen=True, kw_only=True)
class PostgresServer:
    """A running server; its databases go with it."""

    binaries: Path
    folder: Path  # of the socket

    def url(self, database: str = "postgres") -> str:
        """Return a DATABASE_URL."""
        return f"postgres://postgres@{quote(str(self.folder), safe='')}/{database}"

    def make_database(self, name: str) -> str:
        """Make an empty database; return its DATABASE_URL."""
        command = [str(self.binaries / "createdb"), "-h", str(self.folder), "-U", "postgres", name]
        subprocess.run(command, check=True, capture_output=True, cwd="/")
        return self.url(name)


@contextmanager
def postgres_on_a_socket() -> Iterator[PostgresServer]:
    """Run a server while the block runs.

    Raises: RuntimeError where no server is installed, or it does not begin to answer.
    """
    binaries = find_binaries()
    if binaries is None:
        raise RuntimeError(f"a PostgreSQL {MISSING}")
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # a short path: a socket's has at most 107 characters
    as_user: list[str] = []
    if os.getuid() == 0:  # the server refuses to run as root
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        shutil.chown(folder, "postgres", "postgres")
    data = folder / "data"
    make = [*as_user, str(binaries / "initdb"), "-A", "trust", "-N", "-U", "postgres", "-D", str(data)]
    serve = [*as_user, str(binaries / "postgres"), "-D", str(data), "-k", str(folder), "-h", "",
             "-c", "max_connections=100", "-c", "fsync=off"]  # fmt: skip
    try:
        subprocess.run(make, check=True, capture_output=True, cwd="/")
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(serve, stdout=log, stderr=log, cwd="/")
        try:
            _await(binaries, folder, process)
            yield PostgresServer(binaries=binaries, folder=folder)
        finally:
            _end(process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _await(binaries: Path, folder: Path, process: subprocess.Popen[bytes]) -> None:
    ask = [str(binaries / "pg_isready"), "-q", "-h", str(folder)]
    until = time.monotonic() + PATIENCE_S
    while subprocess.run(ask, check=False, cwd="/").returncode != 0:
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"PostgreSQL does not answer:\n{(folder / 'log').read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)  # a fast shutdown: who is connected is not waited for
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
