"""From sentence pairs to a model folder."""

from regard.training.fit import FitReport, Interrupted, fit
from regard.training.seeds import fit_seeds

__all__ = ["FitReport", "Interrupted", "fit", "fit_seeds"]
