import random
import shutil
import threading

import numpy as np
import pytest
import torch

import regard
from regard.config import ModelConfig, Settings, TrainConfig
from regard.data.pairs import Pairs
from regard.errors import UserError
from regard.training import fit
from regard.translator import load

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
    for name in ("a.png", "a.svg"):
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


def test_loading_needs_neither_lightning_nor_a_drawing_library(folder):
    import subprocess
    import sys

    code = (
        "import sys, regard; regard.load(sys.argv[1]).translate(['I love']); "
        "print([m for m in ('lightning', 'matplotlib', 'sacrebleu', 'tensorboard') if m in sys.modules])"
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
