"""The built-in corpus: English–French sentence pairs from a grammar and a lexicon written for this project.

``generate`` makes the pairs of a split, each with its gold word alignment; ``example`` is the one sentence everybody
looks at, "I love deep learning", which no training split contains.
"""

from regard.data.corpus.generate import Pair, example, generate

__all__ = ["Pair", "example", "generate"]
