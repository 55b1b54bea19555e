"""Requests in the background, as a camera sends them, with the truth about each a moment later."""

from __future__ import annotations

import itertools
import threading
import time
from types import TracebackType

import httpx

from deploy.demo.pictures import Pictures
from deploy.demo.platform import Platform

PER_SECOND = 25.0
LABELS_AT_ONCE = 20


class Camera:
    """Sends pictures and their labels until the block ends."""

    def __init__(self, platform: Platform, model: str, pictures: Pictures, *, is_inverted: bool) -> None:
        self._platform = platform
        self._model = model
        rows = pictures.drifted(1000) if is_inverted else pictures.clean(1000)
        self._pictures = itertools.cycle(list(rows))
        self._labels = pictures.labels
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self.sent = self.right = 0

    def __enter__(self) -> Camera:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join(10)

    def _run(self) -> None:
        known: list[dict[str, str]] = []
        for number, (image, label) in enumerate(self._pictures):
            if self._is_over.is_set():
                break
            started_s = time.monotonic()
            try:
                key = f"camera-{number % 200}"
                said, prediction_id = self._platform.predict(self._model, image, self._labels, routing_key=key)
            except httpx.HTTPError:
                continue
            self.sent += 1
            self.right += said == label
            known.append({"prediction_id": prediction_id, "label": label})
            if len(known) >= LABELS_AT_ONCE:
                self._platform.post("/api/monitoring/feedback/", {"items": known})
                known = []
            self._is_over.wait(max(0.0, 1 / PER_SECOND - (time.monotonic() - started_s)))
