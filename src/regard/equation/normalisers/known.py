"""Normalisers by name, for `attend(normalise=...)`."""

from regard.equation.normalisers.choice import Gumbel, Hard, Sample
from regard.equation.normalisers.normaliser import Normaliser
from regard.equation.normalisers.sigmoid import Sigmoid
from regard.equation.normalisers.softmax import Softmax
from regard.equation.normalisers.sparse import Entmax, Sparsemax

_KNOWN: dict[str, Normaliser] = {
    "softmax": Softmax(),
    "sparsemax": Sparsemax(),
    "entmax": Entmax(),
    "hard": Hard(),
    "sample": Sample(),
    "gumbel": Gumbel(),
    "sigmoid": Sigmoid(),
}


def as_normaliser(normalise: str | Normaliser) -> Normaliser:
    """A normaliser by its name, with its usual parameters; an object is itself."""
    if not isinstance(normalise, str):
        if not all(hasattr(normalise, part) for part in ("name", "weights", "log_prob")):
            raise ValueError(
                f"normalise: expected a name, or an object with name, weights and log_prob, got {normalise!r}"
            )
        return normalise
    if normalise not in _KNOWN:
        raise ValueError(f"normalise: expected one of {', '.join(sorted(_KNOWN))}, got {normalise!r}")
    return _KNOWN[normalise]
