"""Fetching over HTTP from a local server that can break off, forget Range, lie, and go away."""

import hashlib
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from regard.data import fetch as fetching
from regard.data.catalogue import Remote
from regard.data.fetch import fetch, sha256
from regard.errors import UserError

CONTENT = bytes(range(256)) * 2_000  # 512 kB: several blocks
CHECKSUM, SIZE = hashlib.sha256(CONTENT).hexdigest(), len(CONTENT)


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT; `server.mode` says how badly."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append(self.headers.get("Range"))
        if self.path != "/file":
            return self.send_error(404)
        start, mode = 0, self.server.mode
        wanted = self.headers.get("Range")
        if wanted and mode != "no range":
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(CONTENT):
                return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        else:
            self.send_response(200)
        if mode == "no length":
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        body = CONTENT[start:]
        if mode == "breaks":
            body, self.close_connection = body[: len(body) // 2], True
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.mode, found.asked = "good", []
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()


def remote(server, path="/file", checksum=CHECKSUM, size=SIZE):
    return Remote("file", f"http://127.0.0.1:{server.server_address[1]}{path}", size, checksum)


def test_a_file_comes_whole_and_once(server, tmp_path):
    path, seen = tmp_path / "new" / "file", []
    assert fetch(remote(server), path, lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert os.listdir(path.parent) == ["file"]
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert not fetch(remote(server), path)
    assert server.asked == [None]


def test_a_transfer_that_broke_off_goes_on_where_it_ended(server, tmp_path):
    path, server.mode = tmp_path / "file", "breaks"
    with pytest.raises(UserError, match=r"broke off after 256,000 of 512,000 bytes .*run it again"):
        fetch(remote(server), path)
    assert not path.exists()
    assert (tmp_path / "file.part").stat().st_size == 256_000
    server.mode = "good"
    assert fetch(remote(server), path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=256000-"]
    assert os.listdir(tmp_path) == ["file"]


def test_an_interruption_keeps_the_part_for_the_next_try(server, tmp_path):
    def interrupt(done, total):
        if done >= 200_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(remote(server), tmp_path / "file", interrupt)
    (part,) = os.listdir(tmp_path)
    assert part == "file.part"
    assert 200_000 <= (tmp_path / part).stat().st_size < SIZE
    assert fetch(remote(server), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.asked[1].startswith("bytes=2")


@pytest.mark.parametrize("mode", ["no range", "no length"])
def test_a_server_that_cannot_start_in_the_middle_or_say_how_long(server, tmp_path, mode):
    (tmp_path / "file.part").write_bytes(CONTENT[:1000])
    server.mode = mode
    assert fetch(remote(server), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("size", [len(CONTENT), None])
@pytest.mark.parametrize("part", [CONTENT, CONTENT + b"more", CONTENT[:-1] + b"x"])
def test_a_part_that_is_complete_or_too_long(server, tmp_path, part, size):
    (tmp_path / "file.part").write_bytes(part)
    assert fetch(remote(server, size=size), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert len(server.asked) == (0 if part == CONTENT else 1 if size else 2)


def test_a_wrong_checksum_keeps_nothing(server, tmp_path):
    with pytest.raises(UserError, match=r"came with SHA-256 \w{64}, expected 0{64}"):
        fetch(remote(server, checksum="0" * 64), tmp_path / "file")
    assert os.listdir(tmp_path) == []


def test_a_part_of_something_else_is_noticed_and_the_next_try_is_fresh(server, tmp_path):
    (tmp_path / "file.part").write_bytes(b"other" * 100)
    with pytest.raises(UserError, match="came with SHA-256"):
        fetch(remote(server), tmp_path / "file")
    assert fetch(remote(server), tmp_path / "file")


def test_a_file_with_another_content_is_replaced(server, tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    assert fetch(remote(server), tmp_path / "file")
    assert sha256(tmp_path / "file") == remote(server).sha256


def test_an_address_that_is_not_there(server, tmp_path):
    with pytest.raises(UserError, match="the server answers 404 Not Found"):
        fetch(remote(server, path="/absent"), tmp_path / "file")
    assert os.listdir(tmp_path) == []


def test_offline_is_one_clear_line(tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UserError, match=r"cannot reach 127\.0\.0\.1 \(connection refused\).*--data-dir"):
        fetch(Remote("file", f"http://127.0.0.1:{port}/file", None, None), tmp_path / "file")
    monkeypatch.setattr(socket, "getaddrinfo", _no_name)
    with pytest.raises(UserError, match=r"cannot reach host\.invalid \(name or service not known\)"):
        fetch(Remote("file", "http://host.invalid/file", None, None), tmp_path / "file")


def _no_name(*_, **__):
    raise socket.gaierror(-2, "Name or service not known")


def test_a_disk_that_is_full_and_a_folder_that_is_a_file(server, tmp_path, monkeypatch):
    (tmp_path / "blocked").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        fetch(remote(server), tmp_path / "blocked" / "file")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetching.os, "fsync", full)
    with pytest.raises(UserError, match="no space left on device"):
        fetch(remote(server), tmp_path / "file")
    assert not (tmp_path / "file").exists()
