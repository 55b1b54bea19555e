"""Codecs: bytes and headers to named arrays and back. They know no models and no Django.

A protocol is one module with functions of this shape, given the signature of the version that
answers: `decode(body, headers, signature) -> InferRequest`, `encode(request, response) -> Encoded`.
Binary tensors and gRPC are further modules of the same shape.
"""
