"""Public sets: what the catalogue says of them, reading local copies, and Tatoeba's archive."""

import gzip
import hashlib
import zipfile

import pytest

from regard.data import tatoeba
from regard.data.catalogue import SETS
from regard.data.sets import find, missing, names, read_set, where
from regard.errors import UserError


def make(folder, name, text, packed=False):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())


def test_the_catalogue_is_whole():
    for name, public in SETS.items():
        assert public.name == name
        assert public.licence
        assert public.notice
        assert len(names(public)) == len(set(names(public)))
        for remote in public.files:
            assert remote.url.startswith("https://")
            assert remote.url.endswith(remote.name)
            assert remote.sha256 is None or len(remote.sha256) == 64
    assert [len(find(name).files) for name in SETS] == [9, 9, 1]


def test_either_direction_plain_or_gzip_in_the_data_folder_or_the_sets_own(tmp_path):
    own = tmp_path / "multi30k"
    make(own, "val.en", "a cat\na dog\n", packed=True)
    make(own, "val.fr", "un chat\nun chien\n")
    make(own, "val.lc.norm.tok.en", "x\ny\n")
    make(own, "val.lc.norm.tok.fr", "z\nt\n")
    for folder in (tmp_path, own):
        assert read_set("multi30k", "valid", "en-fr", folder).target == ["un chat", "un chien"]
        assert read_set("multi30k", "valid", "fr-en", folder).target == ["a cat", "a dog"]
        assert read_set("multi30k-tok", "valid", "en-fr", folder).source == ["x", "y"]
    assert len(missing(find("multi30k"), tmp_path)) == 7
    make(tmp_path / "tatoeba_en_fr", "test.tsv", "a cat\tun chat\nhi\tsalut\n", packed=True)
    assert read_set("tatoeba", "test", "en-fr", tmp_path).source == ["a cat", "hi"]
    assert read_set("tatoeba", "test", "fr-en", tmp_path).source == ["un chat", "salut"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("multi40k", "train", "en-fr"), "did you mean 'multi30k'"),
        (("multi30k", "dev", "en-fr"), "expected one of train, valid, test"),
        (("multi30k", "train", "en-es"), "multi30k has en, de, fr"),
        (("tatoeba", "train", "en-en"), "such as en-fr"),
        (("tatoeba", "train", "en"), "such as en-fr"),
        (("multi30k", "train", "en-fr"), "regard data fetch multi30k"),
    ],
)
def test_what_is_not_there_is_said(tmp_path, arguments, says):
    with pytest.raises(UserError, match=says):
        read_set(*arguments, tmp_path)


@pytest.mark.data
def test_local_copies_have_the_catalogues_pairs_and_checksums(data_dir):
    for public in SETS.values():
        assert missing(public, data_dir) == []
        for split, count in public.pairs.items():
            pairs = read_set(public.name, split, "en-fr", data_dir)
            assert len(pairs) + len(pairs.blank) == count
        for remote in public.files:
            path = where(public, data_dir, remote.name.removesuffix(".gz"))
            if remote.sha256:
                content = path.read_bytes()
                content = content if remote.name.endswith(".gz") else gzip.decompress(content)
                assert (len(content), hashlib.sha256(content).hexdigest()) == (remote.size, remote.sha256)
    for split in ("valid", "test"):
        pairs = read_set("tatoeba", split, "en-fr", data_dir)
        lines = [f"{s}\t{t}" for s, t in zip(pairs.source, pairs.target, strict=True)]
        assert tatoeba.digest(lines) == tatoeba.PUBLISHED[split]


def archive(path, lines, member="fra.txt"):
    with zipfile.ZipFile(path, "w") as written:
        written.writestr(member, "".join(f"{line}\n" for line in lines))
    return path


PAIRS = [(f"Sentence {i // 3}{'.' if i % 3 else '!'}", f" phrase {i} ") for i in range(300)]


def test_tatoeba_is_split_so_that_no_english_sentence_is_in_two_splits(tmp_path):
    lines = [f"{e}\t{f}" for e, f in PAIRS]
    assert not tatoeba.unpack(archive(tmp_path / "z.zip", lines), tmp_path, expected=300, held_out=30)
    parts = {split: (tmp_path / f"{split}.tsv").read_text().splitlines() for split in ("train", "valid", "test")}
    assert {split: len(part) for split, part in parts.items()} == {"train": 240, "valid": 30, "test": 30}
    assert sorted(line for part in parts.values() for line in part) == sorted(f"{e}\t{f.strip()}" for e, f in PAIRS)
    keys = [{tatoeba.key(line.split("\t")[0]) for line in part} for part in parts.values()]
    assert len(set.union(*keys)) == sum(map(len, keys))
    again = tatoeba.split([(e, f.strip()) for e, f in PAIRS], 30)
    assert again == parts


def test_groups_that_do_not_fit_go_to_training(tmp_path):
    parts = tatoeba.split([("same", str(i)) for i in range(5)] + [("other", "x")], 2)
    assert (len(parts["train"]), len(parts["test"]) + len(parts["valid"])) == (5, 1)


def test_an_archive_that_is_another_or_damaged_is_refused(tmp_path):
    with pytest.raises(UserError, match="1 pairs, expected 142,787"):
        tatoeba.unpack(archive(tmp_path / "a.zip", ["a\tb"]), tmp_path)
    with pytest.raises(UserError, match="not the archive"):
        tatoeba.unpack(archive(tmp_path / "b.zip", ["a\tb"], member="deu.txt"), tmp_path)
    (tmp_path / "c.zip").write_bytes(b"<html>")
    with pytest.raises(UserError, match="not the archive"):
        tatoeba.unpack(tmp_path / "c.zip", tmp_path)
    assert not (tmp_path / "train.tsv").exists()
