import pytest
import torch
from small import LENGTHS, SOURCE, batch, model

from regard.data.batches import pad
from regard.data.tokenizer import BOS, EOS
from regard.decoding.beam import beam_search
from regard.decoding.ensemble import Ensemble
from regard.decoding.forced import force
from regard.decoding.options import Decoding


def parts():
    return [model(seed=1), model(seed=2, attention="general", cell="lstm", layers=2), model(seed=3, attention="none")]


def test_a_score_is_the_log_of_the_mean_probability_at_each_step():
    models = parts()
    for source, found in zip(
        SOURCE, beam_search(Ensemble(models), pad(SOURCE), LENGTHS, Decoding(beam=3), attention=True), strict=True
    ):
        for h in found:
            target = torch.tensor([*h.tokens, EOS][: len(h.tokens) + h.complete])
            before = torch.tensor([[BOS, *h.tokens]])[:, : len(target)]
            with torch.no_grad():
                each = [torch.softmax(net.logits(net(*batch([source]), before)), -1)[0] for net in models]
            p = torch.stack(each).mean(0)[range(len(target)), target]
            assert h.log_prob == pytest.approx(float(p.log().sum()), abs=1e-9)
            looks = [force(net, *batch([source]), [h.tokens])[0].weights[: len(target)] for net in models[:2]]
            torch.testing.assert_close(h.weights[:, : len(source)], torch.stack(looks).mean(0))


def test_one_model_several_times_is_that_model():
    net = model()
    alone = beam_search(net, pad(SOURCE), LENGTHS, Decoding(beam=4))
    three = beam_search(Ensemble([net, net, net]), pad(SOURCE), LENGTHS, Decoding(beam=4))
    for one, other in zip(alone, three, strict=True):
        assert [h.tokens for h in one] == [h.tokens for h in other]
        assert [h.score for h in one] == pytest.approx([h.score for h in other], abs=1e-9)


def test_without_attention_in_any_part_there_is_none():
    found = beam_search(Ensemble([model(attention="none")] * 2), pad(SOURCE), LENGTHS, Decoding(beam=2), attention=True)
    assert found[0][0].weights is None


@pytest.mark.plain
def test_vocabularies_must_agree():
    with pytest.raises(ValueError, match=r"got vocabularies of \[7, 8\] words"):
        Ensemble([model(), model(words=8)])
    with pytest.raises(ValueError, match="expected models of one vocabulary"):
        Ensemble([])
