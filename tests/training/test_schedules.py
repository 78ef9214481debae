import math

import pytest

from regard.config import TrainConfig
from regard.training.schedules import share


@pytest.mark.parametrize("schedule", ["cosine", "linear", "inverse-sqrt", "constant", "plateau"])
def test_every_schedule_warms_up_in_a_line_to_the_peak(schedule):
    assert TrainConfig(schedule=schedule).schedule == schedule
    assert [share(schedule, s, 100, 10, 0.1) for s in range(10)] == pytest.approx([(s + 1) / 10 for s in range(10)])
    assert share(schedule, 0, 5, 0, 1.0) == 1


@pytest.mark.parametrize("step", [10, 37, 99, 100, 250])
def test_after_the_warm_up_each_is_its_formula(step):
    done = min(1, (step - 10) / 90)
    wanted = {
        "constant": 1.0,
        "linear": 1 + (0.1 - 1) * done,
        "cosine": 0.1 + 0.9 * math.cos(math.pi * done / 2) ** 2,
        "inverse-sqrt": min((step + 1) ** -0.5, (step + 1) * 10**-1.5) * 10**0.5,  # Vaswani 2017, its peak as 1
        "plateau": 0.125,
    }
    for schedule, value in wanted.items():
        assert share(schedule, step, 100, 10, 0.1, halvings=3) == pytest.approx(value)


def test_what_falls_ends_at_what_is_left_and_no_lower():
    for schedule in ("cosine", "linear"):
        rates = [share(schedule, step, 100, 10, 0.1) for step in range(10, 130)]
        assert rates == sorted(rates, reverse=True)
        assert rates[90:] == pytest.approx([0.1] * 30)
