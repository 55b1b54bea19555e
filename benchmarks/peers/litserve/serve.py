"""LitServe: two engine workers, two API servers, batching, its fast (ZeroMQ) queue."""

from __future__ import annotations

import engine
import litserve
import numpy as np


class Cnn(litserve.LitAPI):
    """The model."""

    def setup(self, device: str) -> None:
        """Load the engine in its worker."""
        self.predict_rows = engine.load()

    def decode_request(self, request) -> np.ndarray:  # an annotation would change what LitServe hands over
        """Return a request's rows (n, 28, 28, 1)."""
        return np.asarray(request["instances"], np.float32)

    def batch(self, inputs: list[np.ndarray]) -> tuple[np.ndarray, list[int]]:
        """Join the rows of several requests."""
        return np.concatenate(inputs), [len(rows) for rows in inputs]

    def predict(self, batch: tuple[np.ndarray, list[int]]) -> tuple[np.ndarray, list[int]]:
        """Answer all rows at once."""
        rows, counts = batch
        return self.predict_rows(rows), counts

    def unbatch(self, output: tuple[np.ndarray, list[int]]) -> list[np.ndarray]:
        """Return each request's own rows."""
        answers, counts = output
        return np.split(answers, np.cumsum(counts)[:-1])

    def encode_response(self, output):
        """Answer as TF Serving does."""
        return {"predictions": output.tolist()}


if __name__ == "__main__":
    api = Cnn(max_batch_size=engine.MAX_BATCH_ROWS, batch_timeout=0.0)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=engine.WORKERS, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=engine.HTTP_PORT,
        num_api_servers=engine.WORKERS,
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )
