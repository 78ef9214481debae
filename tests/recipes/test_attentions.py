"""Seven attentions side by side: that each of them is a model, and that nothing but attention sets it apart."""

import dataclasses

import pytest

from regard.models.seq2seq import Seq2Seq
from regard.recipes.attentions import SYSTEMS, TASKS, settings


@pytest.mark.parametrize("name", TASKS)
def test_every_system_is_a_model_that_differs_in_attention_alone(name):
    first = settings(TASKS[name], SYSTEMS[0])
    for attention in SYSTEMS:
        mine = settings(TASKS[name], attention)
        Seq2Seq(mine.model, vocabulary=32)
        assert mine.train == first.train
        assert dataclasses.replace(mine.model, attention=SYSTEMS[0]) == first.model
