import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.data.tokenizer import BOS, EOS, PAD, UNK, Tokenizer
from regard.errors import UserError

SENTENCES = [
    "I love deep learning.",
    "J'adore l'apprentissage profond.",
    "Qu'est-ce qu'elle voit ? 12 chats !",
    "The old teachers read, and we listen; don't they?",
]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(SENTENCES * 3, 120)


def test_what_was_learnt_comes_back_as_it_was(tokenizer):
    assert [tokenizer.decode(ids) for ids in tokenizer.encode(SENTENCES)] == SENTENCES


def test_elisions_and_punctuation_are_words(tokenizer):
    (ids,) = tokenizer.encode(["J'adore l'apprentissage profond."])
    assert [word for word, _ in tokenizer.words(ids)] == ["J'", "adore", "l'", "apprentissage", "profond", "."]


def test_a_character_by_its_name_stays_whole():
    tokenizer = Tokenizer.train(["l&apos; homme dit &quot; oui &quot; .", "the man &apos;s hat"] * 20, 90)
    ids, words = tokenizer.read("l&apos; homme &quot; &apos;s")
    assert [word for word, _ in words] == ["l&apos;", "homme", "&quot;", "&apos;", "s"]
    assert len(ids) == 5
    assert tokenizer.decode(ids) == "l&apos; homme &quot; &apos;s"


@given(st.lists(st.sampled_from(["I", "love", "l'", "J'", "chats", "zzz", "é", "</s>", "?", "12", "x-y", "☃", "▁"])))
def test_every_piece_belongs_to_one_word(tokenizer, words):
    (ids,) = tokenizer.encode([" ".join(words)])
    places = [place for _, places in tokenizer.words(ids) for place in places]
    assert places == sorted(set(places))
    bare = [i for i, piece in enumerate(tokenizer.pieces(ids)) if piece.strip("▁")]
    assert set(bare) <= set(places)


def test_a_sentence_is_read_as_it_stands(tokenizer):
    ids, words = tokenizer.read("  J'adore la naïve 東京 œuf, ☃x.  ")
    assert [word for word, _ in words] == ["J'", "adore", "la", "naïve", "東京", "œuf", ",", "☃", "x", "."]
    assert [place for _, places in words for place in places] == list(range(len(ids)))
    for sentence in SENTENCES:
        ids, words = tokenizer.read(sentence)
        assert words == tokenizer.words(ids)
        assert ids == tokenizer.encode([sentence])[0]
    assert tokenizer.read(" ") == ([], [])


def test_text_never_becomes_a_mark(tokenizer):
    (ids,) = tokenizer.encode(["<s> </s> <pad> love"])
    assert not {PAD, BOS, EOS} & set(ids)
    assert tokenizer.decode([BOS, *tokenizer.encode(["love"])[0], EOS, PAD]) == "love"
    assert UNK in tokenizer.encode(["☃"])[0]


def test_blank_and_untidy_text(tokenizer):
    assert tokenizer.encode(["", "  \t "]) == [[], []]
    assert tokenizer.decode(tokenizer.encode(["  I \t love "])[0]) == "I love"
    assert tokenizer.words([]) == []


def test_the_file_holds_everything(tokenizer, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(tokenizer.to_json(), encoding="utf-8")
    again = Tokenizer.load(path)
    assert again.encode(SENTENCES) == tokenizer.encode(SENTENCES)
    assert len(again) == len(tokenizer)
    assert again.encode(["</s>"]) == tokenizer.encode(["</s>"])


@pytest.mark.parametrize("content", ["", "{}", '{"version": "1.0"}', "\x00" * 20])
def test_another_file_is_refused(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(UserError, match="not a tokenizer"):
        Tokenizer.load(path)
