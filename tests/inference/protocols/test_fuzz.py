"""Valid bodies with something broken in them: understood or refused, and nothing else ever comes out."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiplatform.errors import InvalidInputError
from aiplatform.tensors import DType, Signature, TensorSpec
from inference.protocols.messages import InferRequest
from inference.protocols.open_inference import decode_infer
from inference.protocols.paths import Operation
from inference.protocols.tf_examples import decode_examples
from inference.protocols.tf_serving import decode_predict
from tests.inference.serving_fakes import make_manifest

fuzz = settings(
    deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
Decode = Callable[[bytes], InferRequest]

IMAGE = TensorSpec(name="image", dtype=DType.FP32, shape=(-1, 4, 4, 1))
COUNTS = TensorSpec(name="n", dtype=DType.INT16, shape=(-1, 2))
WORDS = TensorSpec(name="words", dtype=DType.BYTES, shape=(-1, 1))
Y = TensorSpec(name="y", dtype=DType.FP32, shape=(-1, 1))
ONE = Signature(inputs=(IMAGE,), outputs=(Y,))
THREE = Signature(inputs=(IMAGE, COUNTS, WORDS), outputs=(Y,))

PICTURE = [[[i / 7], [1], [-2e-3], [255]] for i in range(4)]
FLAT = [0.5, 1, -2e-3, 255] * 4
ROW = {"image": PICTURE, "n": [1, -2], "words": {"b64": "AAE="}}
V1: list[tuple[Signature, Any]] = [
    (ONE, {"instances": [PICTURE, PICTURE]}),
    (ONE, {"signature_name": "serving_default", "inputs": {"image": [PICTURE]}}),
    (THREE, {"instances": [ROW, {**ROW, "words": "text \u00e9"}]}),
    (THREE, {"inputs": {"image": [PICTURE] * 2, "n": [[1, 2], [3, 4]], "words": ["a", {"b64": "AA=="}]}}),
]
TENSORS = [
    {"name": "image", "shape": [1, 4, 4, 1], "datatype": "FP32", "data": FLAT},
    {"name": "n", "shape": [1, 2], "datatype": "INT16", "data": [1, 2], "parameters": {"a": True}},
    {"name": "words", "shape": [1, 1], "datatype": "BYTES", "data": ["text"]},
]
V2: list[tuple[Signature, Any]] = [
    (ONE, {"id": "a", "inputs": TENSORS[:1], "outputs": [{"name": "y"}]}),
    (THREE, {"inputs": TENSORS, "parameters": {"priority": 1}}),
]
EXAMPLES = {"context": {"n": [1, 2]}, "examples": [{"image": FLAT, "words": "a"}, {"image": FLAT, "words": "b"}]}


def _examples(body: bytes) -> InferRequest:
    return decode_examples(body, make_manifest(THREE), Operation.V1_REGRESS)


CASES: list[tuple[Decode, bytes]] = [
    *((lambda body, s=signature: decode_predict(body, s), json.dumps(message).encode()) for signature, message in V1),
    *((lambda body, s=signature: decode_infer(body, s), json.dumps(message).encode()) for signature, message in V2),
    (_examples, json.dumps(EXAMPLES).encode()),
]
# What has broken a parser somewhere: inserted into, or put in place of, parts of a valid body.
PIECES = st.sampled_from(
    [
        b"NaN", b"-Infinity", b"Infinity", b"null", b"true", b"1e400", b"-1e-400", b"9" * 25, b"9" * 5000, b"-0", b"01",
        b"0x10", b".5", b"1.", b"[", b"]", b"[[", b"]]", b"{", b"}", b"{}", b"[]", b",", b",,", b":", b'"', b"\\",
        b'"\\ud800"', b'"\\u0000"', b'"b64"', b'{"b64": "="}', b'"data": ', b'"data": [1]', b'"instances": [1], ',
        b'"inputs": {}, ', b'"shape": [-1, 99999999999999], ', b'"shape": [], ', b"\xff", b"\x00", b"\xed\xa0\x80",
        b"\xef\xbb\xbf", b"[" * 3000, b'{"a":' * 3000, b" " * 300, b"1, " * 300, b"/* */", b"'", b"1e5", b"255.0",
    ]
)  # fmt: skip


@st.composite
def broken_bodies(draw: st.DrawFn) -> tuple[Decode, bytes]:
    decode, body = draw(st.sampled_from(CASES))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(body)))
        cut = draw(st.sampled_from([0, 0, 1, 1, 2, 5, 40]))
        piece = draw(st.one_of(PIECES, st.binary(max_size=3), st.just(b"")))
        body = body[:at] + piece + body[at + cut :]
    return decode, body


@fuzz
@given(broken_bodies())
def test_a_broken_body_is_understood_or_refused(case: tuple[Decode, bytes]) -> None:
    decode, body = case
    try:
        request = decode(body)
    except InvalidInputError as error:
        assert error.message
        assert len(error.message) < 1500
        return
    for name, array in request.inputs.items():
        THREE.input(name).check(array)
        assert array.size <= len(body)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["b64", "image", 10**400, -1, 2**63, PICTURE, FLAT]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["b64", "image", "n", "words", "name", "shape", "datatype", "data"]), inner)
    ),
    max_leaves=6,
)


@st.composite
def altered_messages(draw: st.DrawFn) -> tuple[Decode, bytes]:
    decode, body = draw(st.sampled_from(CASES))
    message = json.loads(body)
    for _ in range(draw(st.integers(1, 3))):
        node, key = message, draw(st.sampled_from(sorted(message)))
        while isinstance(node[key], dict | list) and node[key] and draw(st.integers(0, 3)):
            node = node[key]
            key = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        node[key] = copy.deepcopy(draw(VALUES))
    return decode, json.dumps(message).encode()


@fuzz
@given(altered_messages())
def test_a_message_with_other_values_in_it_is_understood_or_refused(case: tuple[Decode, bytes]) -> None:
    decode, body = case
    try:
        request = decode(body)
    except InvalidInputError as error:
        assert error.message
        return
    for name, array in request.inputs.items():
        THREE.input(name).check(array)


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs": ' + b"[" * 2_000_000,
        b'{"inputs": [' + b'"data": [' * 200_000,
        b'{"inputs": [{"data": [' + b"1," * 1_000_000,
        b'{"inputs": [' + (b'{"data": [' + b"1," * 40 + b"1]}, ") * 20_000 + b"{}]}",
        b'{"instances": [' + (b'{"image": [' + b"1," * 40 + b"1]}, ") * 20_000 + b"{}]}",
        b'{"instances": [' + b"[],[[]]," * 200_000 + b"[]]}",
        b'{"instances": ' + b" " * 2_000_000 + b"[1]}",
        b'{"instances": [NaN, ' + b"9" * 2_000_000 + b"]}",
        b'{"instances": [NaN, ' + b"1e5, " * 400_000 + b"1]}",
    ],
    ids=range(9),
)
def test_a_large_hostile_body_takes_time_in_proportion_to_its_size(body: bytes) -> None:
    started_s = time.process_time()
    for decode in (CASES[0][0], CASES[2][0], CASES[4][0], CASES[6][0]):
        with pytest.raises(InvalidInputError):
            decode(body)
    assert time.process_time() - started_s < 10


def test_the_bodies_that_are_broken_were_whole() -> None:
    for decode, body in CASES:
        assert decode(body).inputs
    assert replace(make_manifest(THREE)).task == "regression"
