"""Learning rates as shares of the peak, a function of the step's number: a run that resumes has nothing to remember.

Of n steps, the first w warm up in a line: (s + 1)/w for s = 0 … w − 1. Then, with d = (s − w)/(n − w) done and f left
at the end:

    constant       1
    linear         1 − (1 − f) d
    cosine         f + (1 − f)(1 + cos πd)/2        Loshchilov 2016
    inverse-sqrt   √(w/(s + 1))                     Vaswani 2017; n plays no part
    plateau        ½ ^ halvings                     one at each second validation in a row without a better one
"""

import math

HALVE_AFTER = 2  # validations


def share(schedule: str, step: int, steps: int, warmup: int, final: float, halvings: int = 0) -> float:
    """The share of the peak learning rate at a step, from 0."""
    if step < warmup:
        return (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    match schedule:
        case "linear":
            return 1 - (1 - final) * done
        case "cosine":
            return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done))
        case "inverse-sqrt":
            return math.sqrt(max(1, warmup) / (step + 1))
        case "plateau":
            return 0.5**halvings
    return 1.0
