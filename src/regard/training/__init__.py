"""From sentence pairs to a model folder, and from there to one that earns more of a reward."""

from regard.training.fine_tuning import FineTuned, fine_tune
from regard.training.fit import FitReport, Interrupted, fit
from regard.training.seeds import fit_seeds
from regard.training.self_critical import SelfCritic

__all__ = ["FineTuned", "FitReport", "Interrupted", "SelfCritic", "fine_tune", "fit", "fit_seeds"]
