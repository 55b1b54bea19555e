"""Texts become the same bytes wherever they come from."""

from __future__ import annotations

import numpy as np

from aiplatform.text_bytes import encode_text_bytes, encode_text_inputs


def test_texts_are_cut_and_filled_up() -> None:
    texts = np.array([["ab"], ["äb"], [b"abcdef"], [""]], object)
    expected = [[[97, 98, 0, 0]], [[0xC3, 0xA4, 98, 0]], [[97, 98, 99, 100]], [[0, 0, 0, 0]]]
    assert encode_text_bytes(texts, 4).tolist() == expected
    assert encode_text_bytes(texts[:0], 4).shape == (0, 1, 4)


def test_only_the_named_inputs_change() -> None:
    number, text = np.ones((2, 1), np.float32), np.array([["x"], ["y"]], object)
    found = encode_text_inputs({"n": number, "t": text}, {"t": 3})
    assert found["n"] is number
    assert found["t"].shape == (2, 1, 3)
