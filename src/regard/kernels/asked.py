"""The kernel that a thread has asked for by name, `with regard.kernel("banded"):`; `plan.py` holds it to that."""

import threading


class _Asked(threading.local):
    name: str | None = None


of_thread = _Asked()


def asked() -> str | None:
    """The kernel this thread has asked for by name."""
    return of_thread.name
