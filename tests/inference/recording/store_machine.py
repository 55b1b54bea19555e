"""A machine that keeps whole predictions and ships them into a store; run as a program it dies where it is told."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pyarrow as pa

from aiplatform.contracts.monitoring import StorePolicy
from aiplatform.predictions.files import list_days, list_endpoints, list_files, read_whole
from inference.recording.keeping import FORM, RowKeeper
from inference.recording.spool import Spool
from inference.recording.store_shipping import StoreShipper
from inference.recording.storing import BatchLimits, Step, StoreWriter, no_step
from tests.inference.recording.fakes import Drops, event

DAY_S = 1_700_000_000.0


class StoreMachine:
    """Workers that keep rows, and clocks that ship them; `uri` is the store."""

    def __init__(self, root: Path, uri: str) -> None:
        self.root = root
        self.uri = uri
        self.drops = Drops()
        self.stored: list[tuple[str, int, int]] = []
        self.backlog = (-1, -1.0)

    def spool(self, name: str) -> Spool:
        return Spool(self.root / "spool", replica=name, max_bytes=10**8, on_drop=self.drops, form=FORM)

    def worker(self, name: str, *numbers: int) -> None:
        """Keep some predictions, a file each."""
        policy = StorePolicy(sample_share=1.0, retention_days=30)
        keeper = RowKeeper(policy_of=lambda _: policy, spool=self.spool(name), secret="s", on_drop=self.drops)
        keeper.start()
        for number in numbers:
            keeper.keep([event(number, time_s=DAY_S + number)])
            keeper.write()
        keeper.stop()

    def clock(self, name: str, *, step: Step = no_step, age_s: float = 0.0, size_bytes: int = 10**7) -> StoreShipper:
        spool = self.spool(name)
        writer = StoreWriter(
            root_uri=self.uri, set_aside=spool.set_aside, on_stored=lambda *told: self.stored.append(told), step=step
        )
        limits = BatchLimits(size_bytes=size_bytes, age_s=age_s)
        return StoreShipper(
            folder=self.root, spool=spool, writer=writer, limits=limits, step=step, on_backlog=self._note
        )  # fmt: skip

    def _note(self, size: int, age_s: float) -> None:
        self.backlog = (size, age_s)

    def ids(self) -> list[str]:
        """Return the ids of all stored rows, sorted, as often as they are stored."""
        from pyarrow import parquet

        found = []
        for endpoint in list_endpoints(self.uri):
            for day in list_days(self.uri, endpoint):
                for file in list_files(self.uri, endpoint, day):
                    table = parquet.read_table(pa.BufferReader(read_whole(file.uri)))
                    found += table.column("prediction_id").to_pylist()
        return sorted(found)


def main() -> None:
    """Ship once, and die by SIGKILL at the n-th of the steps that have a name."""
    root, uri, name, count = sys.argv[1:5]
    seen = 0

    def step(passed: str) -> None:
        nonlocal seen
        seen += passed == name
        if seen == int(count):
            os.kill(os.getpid(), signal.SIGKILL)

    StoreMachine(Path(root), uri).clock(f"dying-{os.getpid()}", step=step).run()


if __name__ == "__main__":
    main()
