"""Rewards by name: what they are, by which reference, and what they refuse."""

import pytest
import sacrebleu

from regard.errors import UserError
from regard.evaluation.rewards import REWARDS, reward

TRAINING = [["a small cat sits"], ["a dog runs far away"], ["the bird sings"]]
HYPOTHESES = ["a small dog runs far away", "the cat", ""]
REFERENCES = [["a dog runs far away today", "a small dog runs"], ["the cat sits there now"], ["nothing is here"]]


def test_bleu_and_chrf_are_sacrebleus_of_one_sentence():
    bleus = [sacrebleu.sentence_bleu(h, r).score / 100 for h, r in zip(HYPOTHESES, REFERENCES, strict=True)]
    assert reward("bleu")(HYPOTHESES, REFERENCES) == bleus
    assert 0 < bleus[1] < bleus[0] < 1
    chrfs = [sacrebleu.sentence_chrf(h, r).score / 100 for h, r in zip(HYPOTHESES, REFERENCES, strict=True)]
    assert reward("chrf")(HYPOTHESES, REFERENCES) == chrfs


def test_rouge_and_word_errors_are_by_the_best_reference():
    assert reward("rouge-1")(HYPOTHESES, REFERENCES) == pytest.approx([10 / 12, 4 / 7, 0])
    assert reward("rouge-2")(HYPOTHESES, REFERENCES) == pytest.approx([6 / 8, 2 / 5, 0])  # the other reference
    assert reward("rouge-l")(HYPOTHESES, REFERENCES) == pytest.approx([10 / 12, 4 / 7, 0])
    assert reward("wer")(HYPOTHESES, REFERENCES) == pytest.approx([-2 / 6, -3 / 5, -1])


@pytest.mark.parametrize("name", REWARDS)
def test_what_the_reference_says_is_rewarded_most(name):
    references = [["a dog runs far away"]]
    right, near, wrong = (
        reward(name, TRAINING)([text], references)[0]
        for text in ("a dog runs far away", "a dog runs far", "the bird sits here")
    )
    assert right > near > wrong
    assert right == pytest.approx({"cider-d": 10, "wer": 0}.get(name, 1))


def test_rare_is_what_is_rare_in_training():
    (by_training,) = reward("cider-d", TRAINING)(["a dog"], [["a cat runs"]])
    assert by_training > 0  # "a" is in two of three
    everywhere = [["a dog"], ["a cat"], ["a bird"]]
    assert reward("cider-d", everywhere)(["a dog"], [["a cat runs"]]) == [0]


def test_what_they_refuse():
    with pytest.raises(UserError, match=r"unknown reward 'rogue-l' \(did you mean 'rouge-l'\?\)"):
        reward("rogue-l")
    with pytest.raises(UserError, match="0 training documents"):
        reward("cider-d")
    with pytest.raises(UserError, match="2 hypotheses, but references of 1"):
        reward("wer")(["a", "b"], [["a"]])
    with pytest.raises(UserError, match="references of hypothesis 1: expected a list of sentences, got 'b'"):
        reward("wer")(["a", "b"], [["a"], "b"])
