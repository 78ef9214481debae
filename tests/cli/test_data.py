"""`regard data`: the list, and fetching with licence and attribution kept."""

import functools
import hashlib
import http.server
import os
import threading
from dataclasses import replace

import pytest

from regard.cli import data as command
from regard.data import catalogue, fetch, tatoeba
from regard.data.sets import read_set
from regard.errors import UserError


@pytest.fixture
def network(monkeypatch):
    """Files come without a network; `.fails` makes the second one break."""

    class Network:
        fails, asked = False, []

    def get(remote, path, progress):
        if Network.fails and Network.asked:
            raise UserError(f"{remote.url}: broke off after 5 of 9 bytes; run it again to go on from there")
        Network.asked.append(remote.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(remote.name)
        progress(3, 9)
        return True

    Network.asked = []
    monkeypatch.setattr(fetch, "fetch", get)
    return Network


def test_the_list_says_size_languages_licence_and_what_is_here(regard, tmp_path):
    outcome = regard("data", "--data-dir", tmp_path)
    assert outcome.code == 0, outcome.err
    for name in catalogue.SETS:
        assert f"{name}: " in outcome.out
    assert "train 29,000, valid 1,014, test 1,000" in outcome.out
    assert "CC BY 2.0" in outcome.out
    assert "non-commercial" in outcome.out
    assert outcome.out.count("here       no\n") == 3
    (tmp_path / "multi30k").mkdir()
    (tmp_path / "multi30k" / "val.en").write_text("a")
    assert "incomplete: no train.en, train.de, train.fr, ..." in regard("data", "--data-dir", tmp_path).out


def test_a_set_comes_with_its_licence(regard, network, tmp_path):
    outcome = regard("data", "fetch", "multi30k", "--out", tmp_path)
    assert outcome.code == 0, outcome.err
    assert len(network.asked) == 9
    assert "licence: no licence stated; for research and education, non-commercial" in outcome.out
    assert "train.en.gz: fetched, SHA-256 right" in outcome.err
    notice = (tmp_path / "multi30k" / "NOTICE-multi30k.txt").read_text()
    assert "non-commercial" in notice
    assert "train.fr.gz" in notice
    assert f"here       yes, in {tmp_path}" in regard("data", "--data-dir", tmp_path).out


def test_tatoeba_is_unpacked_and_says_whose_split_it_is(regard, network, tmp_path, monkeypatch):
    for published in (True, False):
        monkeypatch.setattr(tatoeba, "unpack", lambda archive, folder, same=published: same)
        outcome = regard("data", "fetch", "tatoeba", "--out", tmp_path)
        assert outcome.code == 0, outcome.err
        assert "Attribution: www.manythings.org/anki and tatoeba.org" in outcome.out
        assert "none published" in outcome.err
        assert ("scores do not compare" in outcome.err) != published


def test_mistakes_and_interruptions_are_one_line(regard, network, tmp_path, monkeypatch):
    outcome = regard("data", "fetch", "multi40k", "--out", tmp_path)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "did you mean 'multi30k'" in outcome.err
    network.fails = True
    outcome = regard("data", "fetch", "multi30k", "--out", tmp_path, "--quiet")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "run it again" in outcome.err
    assert os.listdir(tmp_path / "multi30k") == ["train.de.gz"]


def test_progress_is_said_every_two_seconds(monkeypatch, capsys):
    clock = iter([0.0, 1.0, 2.5, 2.5, 3.0])
    monkeypatch.setattr(command.time, "monotonic", lambda: next(clock))
    show = command._progress("f", quiet=False)
    show(1_000_000, 4_000_000)
    show(2_000_000, 4_000_000)
    show(3_000_000, None)
    assert capsys.readouterr().err == "f: 2.0 of 4.0 MB\n"


def test_size_of_what_nobody_published():
    assert replace(catalogue.TATOEBA).size == "some MB"
    assert catalogue.MULTI30K.size == "1.9 MB"


def test_from_a_server_to_a_set_that_can_be_read(regard, tmp_path, monkeypatch):
    """The whole way, over HTTP: nine files come, one that is not as published is refused, the others stay."""
    there = tmp_path / "server"
    there.mkdir()
    files = []
    for remote in catalogue.MULTI30K.files:
        (there / remote.name).write_bytes(f"{remote.name} 1\n{remote.name} 2\n".encode())
        content = (there / remote.name).read_bytes()
        files.append(replace(remote, size=len(content), sha256=hashlib.sha256(content).hexdigest()))
    handler = functools.partial(_Quiet, directory=there)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}"
        files = [replace(remote, url=f"{address}/{remote.name}") for remote in files]
        wrong = [*files[:-1], replace(files[-1], sha256="0" * 64)]
        monkeypatch.setitem(catalogue.SETS, "multi30k", replace(catalogue.MULTI30K, files=tuple(wrong)))
        outcome = regard("data", "fetch", "multi30k", "--out", tmp_path / "data", "--quiet")
        assert (outcome.code, outcome.err.count("\n")) == (2, 1)
        assert "not the file that was published" in outcome.err
        assert len(os.listdir(tmp_path / "data" / "multi30k")) == 8
        monkeypatch.setitem(catalogue.SETS, "multi30k", replace(catalogue.MULTI30K, files=tuple(files)))
        outcome = regard("data", "fetch", "multi30k", "--out", tmp_path / "data")
        assert outcome.code == 0, outcome.err
        assert outcome.err.count("here already") == 8
    finally:
        server.shutdown()
        server.server_close()
    pairs = read_set("multi30k", "valid", "de-fr", tmp_path / "data")
    assert pairs.source == ["val.de.gz 1", "val.de.gz 2"]
    assert pairs.target == ["val.fr.gz 1", "val.fr.gz 2"]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass
