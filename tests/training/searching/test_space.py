"""What people may write as a space, and what the samplers and pruners make of it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from aiplatform.errors import InvalidConfigurationError, InvalidInputError
from training.recipes.parameters import FitParameters, describe_parameters
from training.searching.choosing import SeenTrial, Study, importances, propose, should_prune
from training.searching.space import Dimension, grid_points, parse_space

PARAMETERS = describe_parameters(FitParameters)


def space(text: str) -> list[Dimension]:
    return parse_space(text, PARAMETERS)


def study(text: str = "learning_rate=log:1e-4..1e-1,epochs=1..9", **fields: Any) -> Study:
    chosen: dict[str, Any] = {"sampler": "tpe", "pruner": "none", "seed": 1, "epochs": 9, **fields}
    return Study(name="s", space=tuple(space(text)), is_minimized=True, **chosen)


def test_a_space_is_read_with_ranges_magnitudes_and_choices() -> None:
    rate, epochs, schedule = space("learning_rate=log:1e-4..1e-1, epochs=2..8, schedule=constant|cosine")
    assert (rate.low, rate.high, rate.is_log, rate.is_whole) == (1e-4, 0.1, True, False)
    assert (epochs.low, epochs.high, epochs.is_whole) == (2, 8, True)
    assert schedule.choices == ("constant", "cosine")
    assert Dimension.from_dict(rate.to_dict()) == rate


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("", InvalidInputError, "1 to 20 parameters, not 0"),
        ("learning_rate", InvalidInputError, "not 'learning_rate'"),
        ("rate=1..2", InvalidInputError, "no parameter 'rate'"),
        ("epochs=1..x", InvalidInputError, "not '1..x'"),
        ("epochs=5..2", InvalidInputError, "must grow, not 5..2"),
        ("epochs=0..5", InvalidConfigurationError, "at least 1, not 0"),
        ("warmup=log:0..0.5", InvalidInputError, "above 0 for log"),
        ("schedule=1..2", InvalidInputError, "of type str"),
        ("schedule=constant|nope", InvalidConfigurationError, "not 'nope'"),
        ("schedule=constant|constant", InvalidInputError, "must differ"),
        ("epochs=1..5,epochs=2..3", InvalidInputError, "'epochs' twice"),
        ("epochs=1..5/1", InvalidInputError, "2 points or more, not 1"),
        ("learning_rate=int:0.5..2", InvalidInputError, "whole numbers"),
    ],
)
def test_a_wrong_space_is_refused_with_the_rule_and_the_value(text: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        space(text)


def test_a_grid_is_every_combination_once_in_an_order_of_its_seed() -> None:
    wanted = study("learning_rate=log:0.001..0.1/3,epochs=1..2", sampler="grid")
    points = [propose(wanted, [], number) for number in range(7)]
    assert points[6] is None
    assert sorted(points[:6], key=str) == sorted(grid_points(wanted.space), key=str)
    assert {point["learning_rate"] for point in points[:6] if point} == {0.001, 0.01, 0.1}
    with pytest.raises(InvalidInputError, match=r"number of points for 'learning_rate', as in 0\.001\.\.0\.1/5"):
        grid_points(space("learning_rate=0.001..0.1"))
    with pytest.raises(InvalidInputError, match="at most 10000 combinations, not 100000000"):
        grid_points(space("epochs=1..10000,patience=1..10000"))


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_who_asks_makes_no_difference_and_trials_differ(sampler: str) -> None:
    wanted = study(sampler=sampler)
    first, again, second = propose(wanted, [], 0), propose(wanted, [], 0), propose(wanted, [], 1)
    assert first == again != second
    assert first is not None
    assert 1e-4 <= first["learning_rate"] <= 0.1
    assert first["epochs"] in range(1, 10)


def test_tpe_comes_near_to_the_best() -> None:
    wanted = study("learning_rate=log:1e-4..1e-1")
    seen: list[SeenTrial] = []
    for number in range(30):
        values = propose(wanted, seen, number)
        assert values is not None
        value = abs(math.log10(values["learning_rate"]) + 2.5)  # best at 10^-2.5
        seen.append(SeenTrial(number=number, values=values, state="complete", value=value))
    assert min(trial.value or 0 for trial in seen) < 0.05
    late = [trial.value or 0 for trial in seen[20:]]
    assert sum(late) / len(late) < 0.5  # at random it would be 0.8 or so


def trial(number: int, steps: dict[int, float], state: str = "complete", **more: Any) -> SeenTrial:
    value = list(steps.values())[-1]
    return SeenTrial(number=number, values={"epochs": 5}, state=state, value=value, steps=steps, **more)


def test_the_median_pruner_gives_up_what_is_worse_than_half() -> None:
    wanted = study("epochs=1..9", pruner="median")
    seen = [trial(i, {1: 1.0, 2: 0.5 + i / 10}) for i in range(3)]
    bad, good = trial(3, {1: 2.0, 2: 1.9}, "running"), trial(4, {1: 0.9, 2: 0.4}, "running")
    assert should_prune(wanted, [*seen, bad, good], 3)[0] is True
    assert should_prune(wanted, [*seen, bad, good], 4)[0] is False
    assert should_prune(study("epochs=1..9"), [*seen, bad], 3) == (False, {})


def test_hyperband_remembers_rungs_through_its_notes() -> None:
    wanted = study("epochs=1..9", pruner="hyperband")
    seen: list[SeenTrial] = []
    for number in range(12):
        worse = 1.0 + number  # each is worse than all before
        running = trial(number, {1: worse, 2: worse, 3: worse}, "running")
        verdict, notes = should_prune(wanted, [*seen, running], number)
        seen.append(trial(number, {1: worse, 2: worse, 3: worse}, "pruned" if verdict else "complete", notes=notes))
    assert any(one.state == "pruned" for one in seen[3:])
    assert any("completed_rung_0" in one.notes for one in seen)
    assert seen[0].state == "complete"


def test_importances_need_a_few_trials_and_add_up_to_one() -> None:
    wanted = study("epochs=1..9,patience=0..9")
    seen = [
        SeenTrial(
            number=i, values={"epochs": 1 + i % 9, "patience": (i * 7) % 10}, state="complete", value=float(i % 9)
        )
        for i in range(18)
    ]
    assert importances(wanted, seen[:3]) == {}
    found = importances(wanted, seen)
    assert next(iter(found)) == "epochs"
    assert sum(found.values()) == pytest.approx(1, abs=0.01)
