"""Fetching a file over HTTP so that it is there whole and right, or not at all.

What has come so far lies beside the file as NAME.part; the next try goes on where it ends, where the server can. Only a
file whose checksum is right gets its name.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from regard.data.catalogue import Remote
from regard.errors import UserError

CHUNK = 1 << 16
TIMEOUT = 30.0  # seconds without a byte
Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes there will be, None where the server does not say."""


def fetch(remote: Remote, path: Path, progress: Progress = lambda done, total: None) -> bool:
    """Have the file at `path`; False if it was there already.

    Raises UserError, in one line: offline, an address the server does not have, a transfer that broke off (the part
    stays for the next try), a wrong checksum (nothing stays), a disk that is full.
    """
    if path.is_file() and (remote.sha256 is None or sha256(path) == remote.sha256):
        return False
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not _whole(remote, part):
            _transfer(remote, part, progress)
        found = sha256(part)
        if remote.sha256 is not None and found != remote.sha256:
            part.unlink()
            raise UserError(
                f"{remote.url}: came with SHA-256 {found}, expected {remote.sha256}: not the file that was published; "
                "nothing was kept"
            )
        os.replace(part, path)
    except OSError as error:
        raise UserError(f"{part}: cannot be written ({(error.strerror or str(error)).lower()})") from None
    return True


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _whole(remote: Remote, part: Path) -> bool:
    """Whether an earlier try got everything, and was stopped before it could say so."""
    return remote.sha256 is not None and part.is_file() and sha256(part) == remote.sha256


def _transfer(remote: Remote, part: Path, progress: Progress) -> None:
    """Ask for what is missing and append it; a server that cannot start in the middle sends everything anew."""
    done = part.stat().st_size if part.is_file() else 0
    if remote.size is not None and done >= remote.size:
        done = 0  # all its bytes and not the file
    with _open(remote, done) as answer, part.open("ab" if _goes_on(answer, done) else "wb") as file:
        done = file.tell()
        length = answer.headers.get("Content-Length", "")
        total = done + int(length) if length.isdigit() else remote.size
        progress(done, total)
        try:
            while block := answer.read(CHUNK):
                file.write(block)
                done += len(block)
                progress(done, total)
            broken = "the server closed the connection" if total is not None and done < total else ""
        except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
            broken = _reason(error)
        file.flush()
        os.fsync(file.fileno())
    if broken:
        of = "" if total is None else f" of {total:,}"
        raise UserError(
            f"{remote.url}: broke off after {done:,}{of} bytes ({broken}); run it again to go on from there"
        )


def _open(remote: Remote, done: int) -> http.client.HTTPResponse:
    headers = {"User-Agent": "regard"} | ({"Range": f"bytes={done}-"} if done else {})
    try:
        answer: http.client.HTTPResponse = urllib.request.urlopen(
            urllib.request.Request(remote.url, headers=headers), timeout=TIMEOUT
        )
        return answer
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and done:
            return _open(remote, 0)
        raise UserError(f"{remote.url}: the server answers {error.code} {error.reason}") from None
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise UserError(
            f"cannot reach {urlsplit(remote.url).hostname} ({_reason(error)}): fetching needs the network; a copy that "
            "you have is read with --data-dir"
        ) from None


def _goes_on(answer: http.client.HTTPResponse, done: int) -> bool:
    """Whether the answer begins where the part ends."""
    return bool(done) and answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {done}-")


def _reason(error: BaseException) -> str:
    """The innermost reason in a few words."""
    inner = getattr(error, "reason", error)
    return str(getattr(inner, "strerror", None) or inner or type(error).__name__).lower()
