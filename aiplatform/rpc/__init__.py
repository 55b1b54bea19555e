"""gRPC below the protocols: calls as plain values, the server, its statuses, and who stands before whom.

What answers calls is a `CallApplication`, as an ASGI application is for HTTP; the server is
ours, on asyncio (`server.py`, `connection.py`); what forwards calls to another process uses grpc as a client.
"""
