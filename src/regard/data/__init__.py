"""Sentence pairs: where they come from, how they become tokens, how tokens become batches."""
