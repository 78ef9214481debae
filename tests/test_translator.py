import random
import shutil
import threading

import numpy as np
import pytest
import torch

import regard
from regard import shipped
from regard.config import ModelConfig, Settings, TrainConfig
from regard.data.pairs import Pairs
from regard.data.tokenizer import UNK, Tokenizer
from regard.decoding.options import Decoding
from regard.errors import UserError
from regard.folder import read_weights, write_weights
from regard.training import fit
from regard.translator import Translator, load

WORDS = {"love": "adore", "learning": "l'apprentissage", "deep": "profond", "I": "J'", "cats": "chats", ".": "."}


def train(folder, **model):
    draw = random.Random(0)
    source = [[draw.choice(list(WORDS)) for _ in range(draw.randint(1, 9))] for _ in range(300)]
    data = Pairs([" ".join(s) for s in source], [" ".join(WORDS[w] for w in s) for s in source])
    sizes = {"embedding": 16, "encoder_hidden": 12, "decoder_hidden": 24, "dropout": 0.0}
    training = TrainConfig(steps=120, vocabulary=45, batch_tokens=256, learning_rate=1e-2, warmup=5, validate_every=120)
    fit(Settings(ModelConfig(**(sizes | model)), training), folder, data, quiet=True)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return train(tmp_path_factory.mktemp("model") / "en-fr")


SENTENCES = ["I love deep learning", "cats", "", "love . cats deep I", "  ", "learning " * 12, "zzz ☃ <b> [red]"]


def test_a_translation_is_whole(folder):
    found = load(folder).translate(SENTENCES)
    assert [t.source for t in found] == SENTENCES
    for t in found:
        assert t.attention.shape == (len(t.target_words), len(t.source_words))
        np.testing.assert_allclose(t.attention.sum(1), 1, atol=1e-6)
        assert "".join(t.target_words) == t.text.replace(" ", "")
        assert t.score <= 0
    blank = found[2]
    assert (blank.text, blank.tokens, blank.score) == ("", (), 0.0)


@pytest.mark.parametrize("beam", [1, 5])
def test_the_same_alone_in_any_batch_in_any_order_and_from_several_threads(folder, beam):
    translator = load(folder).to(torch.float64)
    whole = {t.source: t.tokens for t in translator.translate(SENTENCES, beam=beam)}
    assert {t.source: t.tokens for t in translator.translate(SENTENCES[::-1], beam=beam, batch_tokens=1)} == whole
    answers = {}

    def ask(sentence):
        answers[sentence] = translator.translate([sentence], beam=beam)[0].tokens

    threads = [threading.Thread(target=ask, args=(sentence,)) for sentence in SENTENCES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == whole


def test_pictures(folder, tmp_path, capsys):
    (translation,) = load(folder).translate(["I love deep learning"])
    translation.show()
    shown = capsys.readouterr().out
    assert all(word in shown for word in translation.source_words)
    for name in ("a.png", "a.svg", "a.html"):
        translation.save(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000
    (unseen,) = load(folder).translate(["cats"], attention=False)
    assert unseen.attention is None
    with pytest.raises(UserError, match="no attention to show"):
        unseen.show()


def test_a_model_without_attention_translates_and_shows_none(tmp_path):
    translator = load(train(tmp_path / "none", attention="none"))
    (translation,) = translator.translate(["I love cats"])
    assert translation.attention is None
    assert translation.text


def test_what_cannot_be_translated_is_said(folder):
    translator = load(folder)
    with pytest.raises(UserError, match="expected a list of sentences"):
        translator.translate("I love")
    with pytest.raises(UserError, match="beam: expected 1 or more, got 0"):
        translator.translate(["I"], beam=0)
    assert translator.translate([]) == []


def test_loading_and_translating_bring_nothing_heavy(folder):
    import subprocess
    import sys

    code = (
        "import sys, regard; regard.load(sys.argv[1]).translate(['I love']); "
        "heavy = ('lightning', 'matplotlib', 'sacrebleu', 'tensorboard', 'torch._dynamo', 'numba'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"{", "damaged"),
        (
            "config.json",
            b'{"kind": "regard translator", "format": 1, "model": {"cel": "gru"}}',
            "unknown setting 'cel'",
        ),
        ("tokenizer.json", b"\x80\x04", "not a tokenizer"),
        ("model.safetensors", b"\x80\x04K\x01.", "damaged"),
        ("model.safetensors", None, "missing"),
    ],
)
def test_a_damaged_folder_is_named(folder, tmp_path, name, content, message):
    shutil.copytree(folder, tmp_path / "m", ignore=shutil.ignore_patterns("training"))
    (tmp_path / "m" / name).unlink()
    if content is not None:
        (tmp_path / "m" / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        load(tmp_path / "m")


def test_weights_of_another_model_are_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "m", ignore=shutil.ignore_patterns("training"))
    config = (tmp_path / "m" / "config.json").read_text().replace('"encoder_hidden": 12', '"encoder_hidden": 13')
    (tmp_path / "m" / "config.json").write_text(config)
    with pytest.raises(UserError, match=r"model\.safetensors: does not fit its config\.json"):
        load(tmp_path / "m")


def test_the_package_has_load():
    assert regard.load is regard.translator.load


@pytest.mark.parametrize(
    "decoding",
    [
        Decoding(beam=1),
        Decoding(length_penalty=0.3, coverage_penalty=0.5, no_repeat=2),
        Decoding(sample=True, seed=3, top_p=0.9),
        Decoding(beam=3, max_length=4, replace_unknown=True),
    ],
    ids=str,
)
def test_every_way_of_decoding_is_the_same_in_any_company(folder, decoding):
    translator = load(folder).to(torch.float64)
    n = 1 if decoding.beam == 1 else 3

    def texts(sentences, **options):
        found = translator.n_best(sentences, n, decoding=decoding, **options)
        return {s: [(t.text, t.tokens) for t in several] for s, several in zip(sentences, found, strict=True)}

    whole = texts(SENTENCES)
    assert texts(SENTENCES[::-1], batch_tokens=1) == whole
    for sentence in SENTENCES:
        assert texts([sentence]) == {sentence: whole[sentence]}


def test_bfloat16_products_change_little():
    translator = load("en-fr")
    said = ["I love deep learning", "The cat is black.", "Where is the train station?", "Can you help me?"]

    def found(dtype):
        lists = translator.to(dtype).n_best(said, 5)
        return {(n, one.tokens): one.score for n, several in enumerate(lists) for one in several}

    exact, half = found(torch.float32), found(torch.bfloat16)
    both = exact.keys() & half.keys()
    assert len(both) >= 15  # of 20
    a_token = [abs(half[key] - exact[key]) / len(key[1]) for key in both]
    assert max(a_token) < 0.03  # a logit of 8 is known to 2⁻⁸ of it
    assert 0 < sum(a_token) / len(both) < 0.01
    assert next(translator.model.parameters()).dtype == torch.float32
    assert found(torch.float32) == exact


def test_n_best_lists_are_sorted_and_begin_with_the_translation(folder):
    translator = load(folder)
    best = translator.translate(SENTENCES, beam=4)
    for one, several in zip(best, translator.n_best(SENTENCES, 4, beam=4), strict=True):
        assert several[0].text == one.text
        assert [t.rank for t in several] == sorted((t.rank for t in several), reverse=True)
        assert len({t.tokens for t in several}) == len(several)
        assert len(several) == (4 if one.source_words else 1)
        for t in several:
            assert t.attention.shape == (len(t.target_words), len(t.source_words))


def test_a_prefix_is_kept_and_traced(folder):
    translator = load(folder)
    for prefix in ("J'", "chats profond", "adore l'"):
        for t in translator.translate(["I love deep learning", "cats"], prefix=prefix):
            assert t.text.startswith(prefix)
            assert t.attention.shape == (len(t.target_words), len(t.source_words))
            np.testing.assert_allclose(t.attention.sum(1), 1, atol=1e-6)
    free = translator.translate(["cats", "I love"])
    again = translator.translate(["cats", "I love"], prefix=[t.text for t in free])
    assert all(a.text.startswith(f.text) for a, f in zip(again, free, strict=True))
    with pytest.raises(UserError, match=r"prefix 'chats ☃': the model's vocabulary cannot spell it"):
        translator.translate(["cats"], prefix="chats ☃")
    with pytest.raises(UserError, match=r"expected one text, or one a sentence \(2\), got 1"):
        translator.translate(["cats", "I"], prefix=["chats"])


def test_unknown_words_are_copied_from_where_the_model_looked(folder):
    translator = load(folder)
    with torch.no_grad():
        translator.model.output_bias[UNK] = 30.0  # it can say nothing else, and never ends
    plain, copied = (
        translator.translate(["cats love", "☃"], decoding=Decoding(max_length=3, replace_unknown=replace))
        for replace in (False, True)
    )
    for before, after in zip(plain, copied, strict=True):
        assert before.text == "⁇⁇⁇"
        assert after.text in after.source_words
        assert after.target_words == (after.text,)
        assert after.tokens == before.tokens
        np.testing.assert_allclose(after.attention.sum(1), 1, atol=1e-6)
        assert after.text == after.source_words[after.attention[0].argmax()]


def test_two_models_are_one_ensemble(folder, tmp_path):
    both = load([folder, folder])
    for one, other in zip(both.translate(SENTENCES), load(folder).translate(SENTENCES), strict=True):
        assert one.text == other.text
        assert one.score == pytest.approx(other.score, abs=1e-4)
    assert load([folder]).model.vocabulary == both.model.vocabulary
    other = train(tmp_path / "other", attention="none")
    tokenizer = (folder / "tokenizer.json").read_text()
    (other / "tokenizer.json").write_text(tokenizer)
    assert load([folder, other]).translate(["I love cats"])[0].attention is not None
    foreign = Translator(load(other).model, Tokenizer.train(["un autre vocabulaire"], 45))
    with pytest.raises(UserError, match="have different subwords"):
        Translator.ensemble([load(folder), foreign])
    with pytest.raises(UserError, match="at least one model"):
        load([])


def test_a_stream_gives_a_line_for_every_line(folder):
    translator = load(folder)
    lines = SENTENCES * 3
    whole = [t.text for t in translator.translate(lines, attention=False)]
    assert [best.text for (best,) in translator.stream(iter(lines), at_once=4)] == whole
    with pytest.raises(UserError, match="workers: expected 1 or more, got 0"):
        translator.stream(lines, workers=0)
    with pytest.raises(UserError, match="a beam of 5 finds at most 5 outputs, got 6"):
        translator.stream(lines, 6)
    with pytest.raises(UserError, match="it must come from a folder"):
        Translator(translator.model, translator.tokenizer).stream(lines, workers=2)


@pytest.mark.slow
def test_several_processes_give_what_one_gives_in_its_order(folder):
    translator = load([folder, folder]).to(torch.float64)
    lines = [f"{a} {b}" for a in WORDS for b in WORDS] + ["", "☃"]
    whole = [[t.text for t in several] for several in translator.n_best(lines, 2)]
    shared = [[t.text for t in several] for several in translator.stream(lines, 2, workers=2, at_once=5)]
    assert shared == whole


def test_what_a_model_without_attention_cannot_do_is_said(tmp_path):
    translator = load(train(tmp_path / "none", attention="none"))
    for option in ({"coverage_penalty": 0.2}, {"replace_unknown": True}):
        with pytest.raises(UserError, match=f"{next(iter(option))}: it needs to know where the model looks"):
            translator.translate(["I love"], decoding=Decoding(**option))


def test_a_model_that_came_along_is_found_by_its_name_and_read_from_halves(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "pretrained" / "en-fr", ignore=shutil.ignore_patterns("training"))
    monkeypatch.setattr(shipped, "_folder", lambda: tmp_path / "pretrained")
    monkeypatch.chdir(tmp_path)
    weights = {name: tensor.half() for name, tensor in read_weights(folder).items()}
    write_weights(tmp_path / "pretrained" / "en-fr", weights)
    translator = load("en-fr")
    assert {p.dtype for p in translator.model.parameters()} == {torch.float32}
    assert translator.translate(["I love cats"])[0].text == load(folder).translate(["I love cats"])[0].text
    with pytest.raises(UserError, match=r"fr-en: no such model folder, .* \(those that do: en-fr\)"):
        load("fr-en")
    monkeypatch.setattr(shipped, "_folder", lambda: tmp_path / "nothing")
    with pytest.raises(UserError, match=r"\(those that do: none\)"):
        load("en-fr")
