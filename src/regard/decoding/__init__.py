"""From a model to its output: greedy and beam search over one small step protocol."""
