"""`regard watch` on folders of transformers made offline, and on the translator that came along."""

import json
import re
from importlib.util import find_spec

import pytest
import torch

from regard.observe.seen import Seen

SENTENCE = "the cat saw a dog"


@pytest.fixture(scope="session")
def their_folders(tmp_path_factory):
    """Tiny models with random weights and a tokenizer of six words: an encoder, a decoder, an encoder–decoder."""
    import transformers as hf
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: i for i, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *SENTENCE.split(), "</script>"])}
    engine = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    engine.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = hf.PreTrainedTokenizerFast(
        tokenizer_object=engine, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    small = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes = {"vocab_size": len(words), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    both = {f"{side}_{name}": n for side in ("encoder", "decoder") for name, n in (("layers", 2), ("ffn_dim", 24))}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    torch.manual_seed(0)
    made = {
        "bert": hf.BertForMaskedLM(hf.BertConfig(**sizes, **small, max_position_embeddings=8)),
        "llama": hf.LlamaForCausalLM(hf.LlamaConfig(**sizes, **small)),
        "bart": hf.BartForConditionalGeneration(
            hf.BartConfig(**sizes, **both, **heads, d_model=16, decoder_start_token_id=1, max_position_embeddings=64)
        ),
    }
    folders = {}
    for name, model in made.items():
        folders[name] = tmp_path_factory.mktemp("theirs") / name
        model.save_pretrained(folders[name])
        tokenizer.save_pretrained(folders[name])
    return folders


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "modules"),
    [
        ("bert", r"encoder\.layer\.1\.attention"),
        ("llama", r"layers\.1\.self_attn"),
        ("bart", r"layers\.1\.encoder_attn"),
    ],
)
def test_a_folder_of_transformers_is_watched_without_a_network(
    regard, their_folders, tmp_path, name, modules, monkeypatch
):
    page, save, saved = tmp_path / "r.html", Seen.save, []
    monkeypatch.setattr(Seen, "save", lambda seen, *a, **options: (saved.append(seen), save(seen, *a, **options)))
    done = regard("watch", their_folders[name], "--text", SENTENCE, "--report", page)
    assert done.code == 0, done.err
    assert re.search(modules + r"\S*\s+\d+ × 5 ", done.out)
    assert "Entropy in nats" in done.out
    assert "Distance to what is read" in done.out
    assert "not read" not in done.out
    assert f"What {name} read" in page.read_text(encoding="utf-8")
    (seen,) = saved
    assert (seen.source_tokens if name == "bart" else seen.tokens) == SENTENCE.split()
    assert all(look.observed.weights is not None for look in seen)
    if name == "bart":  # the decoder's part, in one pass
        sizes = {look.observed.size[2:] for look in seen if look.cross}
        assert sizes == {(len(seen.tokens), 5)}


@pytest.mark.slow
def test_a_file_is_read_and_layers_and_heads_are_chosen(regard, their_folders, tmp_path):
    (tmp_path / "text").write_text("the cat\nsaw a dog </script>\n", encoding="utf-8")
    done = regard("watch", their_folders["llama"], "--file", tmp_path / "text", "--layers", "-1", "--heads", "1")
    assert done.code == 0, done.err
    assert "layers.1.self_attn" in done.out
    assert "layers.0.self_attn" not in done.out
    assert "6 × 6" in done.out
    assert "by head 1:" in done.out
    wrong = regard("watch", their_folders["llama"], "--text", SENTENCE, "--layers", "layers.9")
    assert wrong.code == 2
    assert "nothing in the model is called 'layers.9'" in wrong.err
    wrong = regard("watch", their_folders["llama"], "--text", SENTENCE, "--heads", "7")
    assert wrong.code == 2
    assert "heads" in wrong.err
    long = regard("watch", their_folders["bert"], "--text", " ".join([SENTENCE] * 2))
    assert long.code == 2
    assert "the text has 10 tokens" in long.err
    assert "reads up to 8" in long.err


@pytest.mark.slow
def test_a_translator_of_ours_is_watched_while_it_writes(regard, tiny_translator, tmp_path):
    page = tmp_path / "r.html"
    done = regard("watch", tiny_translator, "--text", "I love deep learning", "--report", page)
    assert done.code == 0, done.err
    assert "decoder.context.attention" in done.out
    assert "Entropy in nats" in done.out
    assert "Distance" not in done.out  # the two sentences have none between them
    assert page.exists()


def test_mistakes_are_told_in_a_line(regard, tmp_path):
    (tmp_path / "blank").write_text(" \n", encoding="utf-8")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text(json.dumps({"model_type": "of no kind"}), encoding="utf-8")
    for arguments, says in (
        ([tmp_path], "say what the model reads, by --text TEXT or --file FILE"),
        ([tmp_path, "--text", "a", "--file", "b"], "one of them"),
        ([tmp_path, "--file", tmp_path / "none"], "cannot be read as text"),
        ([tmp_path, "--file", tmp_path / "blank"], "the text is blank"),
        ([tmp_path, "--text", "a"], "not a model folder"),
        (["nowhere", "--text", "a"], "nowhere"),
        ([tmp_path, "--text", "a", "--heads", "one"], "expected whole numbers from 0, such as 0,3"),
        ([tmp_path, "--text", "a", "--report", "r.pdf"], "expected a file that ends in .html"),
        ([tmp_path, "--text", "a", "--report", tmp_path / "no" / "r.html"], "in a folder that is there"),
        ([broken, "--text", "a"], "transformers cannot load it" if find_spec("transformers") else "regard[hf]"),
    ):
        done = regard("watch", *arguments)
        assert done.code == 2, (arguments, done.err)
        assert says in done.err
        assert done.err.count("\n") == 1
