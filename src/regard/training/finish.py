"""What becomes the model when the steps are done: the best validation's weights, or the mean of the last ones'."""

import lightning

from regard.folder import write_weights
from regard.training.module import Translation
from regard.training.standing import better
from regard.training.watch import Watch


def average_last(watch: Watch, trainer: lightning.Trainer, module: Translation) -> None:
    """Judge the mean of the last validations' weights as each of them was judged; if it is no worse, it is the model.

    Patience and the best step are those of single validations; only the outcome changes.
    """
    standing = watch.standing
    steps, best = standing.validated, standing.best
    if len(steps) < 2 or best is None:
        return
    module.model.load_state_dict(watch.snapshots.mean(steps))
    scores = watch.validator(module.to(trainer.strategy.root_device))
    watch.record(trainer, steps[-1], {**scores.entry(), "averaged": steps}, after_all=True)
    kept = better(scores, best, watch.config.metric, or_equal=True)
    if kept:
        write_weights(watch.folder, module.model.state_dict())
        standing.best = scores.summary(steps[-1], averaged=steps)
    watch.progress.say(
        f"mean of the weights of steps {', '.join(map(str, steps))}: validation {scores}, "
        + ("which is the model" if kept else f"so the model is step {best['step']}'s")
    )
