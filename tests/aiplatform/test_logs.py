"""A command's terminal has its sentences, not the log's lines, and the log is as before afterwards."""

from __future__ import annotations

import logging

import pytest

from aiplatform.logs import only_warnings


@pytest.fixture
def root() -> logging.Logger:
    return logging.getLogger()


def test_events_below_warnings_are_kept_off_and_come_back(root: logging.Logger) -> None:
    before = root.level
    root.setLevel(logging.INFO)
    try:
        with pytest.raises(ValueError, match="ends"), only_warnings():
            assert not root.isEnabledFor(logging.INFO)
            assert root.isEnabledFor(logging.WARNING)
            raise ValueError("ends")
        assert root.level == logging.INFO
        with only_warnings(unless=True):
            assert root.isEnabledFor(logging.INFO)
    finally:
        root.setLevel(before)


def test_who_wants_errors_alone_gets_no_warnings(root: logging.Logger) -> None:
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        with only_warnings():
            assert root.level == logging.ERROR
    finally:
        root.setLevel(before)
