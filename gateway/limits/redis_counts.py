"""Counts added up in Redis: one atomic INCRBY a counter, all of a process's in one round trip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import redis

PREFIX = "aiplatform:rate:"
TIMEOUT_S = 1.0


class RedisCounts:
    """A `CountStore` on Redis."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)

    def add_counts(self, added: Mapping[str, int], *, keep_s: Mapping[str, int]) -> Sequence[int]:
        """Add to the counters; return their sums.

        Raises: ConnectionError if Redis cannot be reached.
        """
        pipeline = self._client.pipeline(transaction=False)
        for name, count in added.items():
            pipeline.incrby(PREFIX + name, count)
            pipeline.expire(PREFIX + name, keep_s[name])
        try:
            return [int(answer) for answer in pipeline.execute()[::2]]
        except redis.RedisError as error:
            raise ConnectionError(f"Redis did not count: {error}") from error
