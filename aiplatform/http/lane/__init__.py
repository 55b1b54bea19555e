"""The short way through the server for predict requests of the usual form.

gunicorn's `asgi` worker makes two tasks and several messages of every request: more than half of what a small
prediction costs. Here a connection looks first whether what has come is a whole, plain POST to a path that a
`LaneHandler` wants. If so, the handler answers through an `Exchange`, with no task at all. Everything
else (other methods, chunked bodies, odd headers, large bodies, what cannot be answered without waiting)
is passed on to gunicorn unread, byte by byte as it came, so that nothing is lost by leaving the lane.
"""

from aiplatform.http.lane.exchange import Exchange
from aiplatform.http.lane.handler import LaneHandler, Plan
from aiplatform.http.lane.head import Head

__all__ = ["Exchange", "Head", "LaneHandler", "Plan"]
