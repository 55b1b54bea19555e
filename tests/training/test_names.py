"""The names that people choose."""

from __future__ import annotations

import pytest

from aiplatform.contracts.predict import RESERVED_NAMES
from aiplatform.errors import InvalidInputError
from training.names import check_alias, check_public_name


@pytest.mark.parametrize("word", sorted(RESERVED_NAMES))
def test_a_word_of_the_predict_protocols_is_no_models_name(word: str) -> None:
    with pytest.raises(InvalidInputError, match=f"model name '{word}' is reserved"):
        check_public_name("model", word)
    assert check_alias(word) == word, "an alias stands where no protocol has a word of its own"


def test_a_name_with_such_a_word_in_it_is_one() -> None:
    assert check_public_name("model", "stats-2") == "stats-2"


@pytest.mark.parametrize("name", ["", "Upper", "-x", "a/b", "a" * 64])
def test_a_name_that_cannot_stand_in_a_path_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match="must be 1 to 63 of"):
        check_public_name("endpoint", name)
