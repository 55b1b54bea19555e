"""The numpy recipe as one that takes its place in a team: the leader adds up what the members send it by a socket."""

from __future__ import annotations

import os
import socket
import time
from typing import Any, ClassVar

import numpy as np

from aiplatform.artifacts import Arrays
from tests.training.recipes.softmax_regression import SoftmaxLearner, SoftmaxParameters, SoftmaxRegression, _softmax
from training.data.dataset import Array, DataDescription
from training.parallel.place import ADDRESS, PORT, Place, this_place

PATH = "tests.training.parallel.sharing_softmax:SharingSoftmax"


class SharingSoftmax(SoftmaxRegression):
    """One dense layer, learned by a team."""

    name = "sharing_softmax"
    can_share: ClassVar[bool] = True

    def build_learner(self, data: DataDescription, parameters: SoftmaxParameters, seed: int) -> SharingLearner:
        features = int(np.prod(data.inputs[0].shape[1:]))
        return SharingLearner(features, len(data.labels), parameters, seed)


class SharingLearner(SoftmaxLearner):
    """Adds gradients up over a star of sockets."""

    def __init__(self, features: int, classes: int, parameters: SoftmaxParameters, seed: int) -> None:
        super().__init__(features, classes, parameters, seed)
        self._links = meet(this_place())

    def train_batch(self, inputs: Arrays, labels: Array, *, rows: int = 0) -> tuple[float, int]:
        x = self._features(inputs)
        probabilities = _softmax(x @ self.weights) if len(x) else np.zeros((0, self.weights.shape[1]))
        own = probabilities[np.arange(len(labels)), labels]
        correct = (probabilities.argmax(axis=1) == labels).sum() if len(x) else 0
        probabilities[np.arange(len(labels)), labels] -= 1
        mine = np.concatenate([(x.T @ probabilities).ravel(), [-np.log(own).sum(), correct]])
        total = sum_of_all(self._links, mine, this_place())
        rows = rows or len(labels)
        self.weights = self.weights - self._parameters.learning_rate * total[:-2].reshape(self.weights.shape) / rows
        return float(total[-2] / rows), int(total[-1])

    def __del__(self) -> None:
        for link in self._links:
            link.close()

    def reseed(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def leave_team(self) -> None:
        """Leave as the process does: its links close."""


def meet(place: Place) -> list[socket.socket]:
    """Return the leader's links to all, or a member's one to the leader."""
    if place.is_alone:
        return []
    address = (os.environ[ADDRESS], int(os.environ[PORT]))
    if place.rank == 0:
        with socket.create_server(address) as server:
            server.settimeout(60)
            links = [server.accept()[0] for _ in range(place.world - 1)]
    else:
        links = [_connect(address)]
    for link in links:
        link.settimeout(60)
    return links


def sum_of_all(links: list[socket.socket], mine: Any, place: Place) -> Any:
    if not links:
        return mine
    if place.rank == 0:
        total = mine + sum(_receive(link, len(mine)) for link in links)
        for link in links:
            link.sendall(total.tobytes())
        return total
    links[0].sendall(mine.tobytes())
    return _receive(links[0], len(mine))


def _connect(address: tuple[str, int]) -> socket.socket:
    deadline = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection(address, timeout=60)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _receive(link: socket.socket, numbers: int) -> Any:
    raw = b""
    while len(raw) < 8 * numbers:
        some = link.recv(8 * numbers - len(raw))
        if not some:
            raise ConnectionError("the other side has gone")
        raw += some
    return np.frombuffer(raw)
