"""Judging translations: BLEU and chrF with their signatures, and BLEU by source length."""
