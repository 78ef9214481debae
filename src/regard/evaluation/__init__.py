"""Judging outputs: corpus scores with signatures, BLEU by source length, alignments, rewards of sentences."""
