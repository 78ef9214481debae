"""Experiments, one file each: data, model, training, and the claim it checks."""
