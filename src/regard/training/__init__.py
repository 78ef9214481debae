"""From sentence pairs to a model folder."""

from regard.training.fit import FitReport, Interrupted, fit

__all__ = ["FitReport", "Interrupted", "fit"]
