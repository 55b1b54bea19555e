"""gRPC below the protocols: calls as plain values, the server, its statuses, and who stands before whom.

What answers calls is a `CallApplication`, as an ASGI application is for HTTP; only `server.py`,
`statuses.py` and what forwards calls import grpc, and only where the gRPC door is on.
"""
