"""Which text the queries and the keys of a call are of, and which pieces make a word."""

from __future__ import annotations

import json

from regard.observe.report.calls import Call
from regard.observe.report.codes import written
from regard.observe.seen import Seen
from regard.observe.words import shown, word_groups


class Texts:
    """The texts of what was seen."""

    def __init__(self, seen: Seen) -> None:
        self.tokens = [None if text is None else list(text) for text in (seen.tokens, seen.source_tokens)]

    def written(self) -> str:
        """Both texts and their words, deflated."""
        texts = [
            {"tokens": [shown(token) for token in text or []], "words": word_groups(text or [])} for text in self.tokens
        ]
        return written(json.dumps(texts).encode("utf-8"))

    def of(self, call: Call) -> tuple[int, int]:
        """The texts of queries and of keys: 0 the queries' own, 1 the source's, −1 where neither has as many tokens.

        Self-attention of an encoder reads the source; where lengths do not tell, its name does.
        """
        if call.cross:
            return (0 if self._fits(0, call.first + call.queries) else -1), (1 if self._fits(1, call.keys) else -1)
        length = max(call.keys, call.first + call.queries)
        fitting = [text for text in (0, 1) if self._fits(text, length)]
        if len(fitting) == 2 and "encoder" in call.name and "decoder" not in call.name:
            fitting = [1]
        text = fitting[0] if fitting else -1
        return text, text

    def _fits(self, text: int, length: int) -> bool:
        """As many tokens as positions, or one more: a generation's last token was never read."""
        tokens = self.tokens[text]
        return tokens is not None and len(tokens) - length in (0, 1)
