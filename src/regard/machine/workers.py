"""Work shared out to processes: each loads what it needs once, gets a piece at a time, and answers come in order.

Processes are spawned, not forked (threads of the parent would be lost halfway), share out the parent's threads, and
leave Ctrl-C to the parent, who ends them.
"""

import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, NamedTuple, Self, cast

import torch

from regard.errors import UserError
from regard.machine.memory import keep_freed_memory


class _Worker(NamedTuple):
    process: BaseProcess
    pipe: Connection


class Workers:
    """So many processes, each with a `tool` of its own: `make(*arguments)`."""

    def __init__(self, number: int, make: Callable[..., Any], arguments: tuple[Any, ...]):
        self.number, self.make, self.arguments = number, make, arguments
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        threads = max(1, torch.get_num_threads() // self.number)
        with _no_interruption():  # the processes inherit it
            for _ in range(self.number):
                here, there = context.Pipe()
                process = context.Process(target=_serve, args=(there, threads, self.make, self.arguments), daemon=True)
                process.start()
                there.close()
                self._workers.append(_Worker(process, here))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()
        self._workers = []

    def map(self, work: Callable[..., Any], pieces: Iterable[Any], options: Mapping[str, Any]) -> Iterator[Any]:
        """`work(tool, piece, **options)` of each piece, in order; not much more is read than the workers can take.

        Raises what the work raised, and UserError where a worker died.
        """
        source = enumerate(pieces)
        idle, busy = deque(self._workers), {}
        answers: dict[int, Any] = {}
        due, read_all = 0, False
        while True:
            while idle and not read_all and len(answers) < 2 * self.number:
                number, piece = next(source, (-1, None))
                if number < 0:
                    read_all = True
                    break
                worker = idle.popleft()
                _send(worker, (work, piece, options))
                busy[worker.pipe] = (worker, number)
            while due in answers:
                yield answers.pop(due)
                due += 1
            if not busy:
                if read_all:
                    return
                continue
            for pipe in wait(list(busy)):
                worker, number = busy.pop(cast(Connection, pipe))
                answers[number] = _receive(worker)
                idle.append(worker)


def _send(worker: _Worker, task: Any) -> None:
    try:
        worker.pipe.send(task)
    except OSError:
        raise _dead(worker) from None


def _receive(worker: _Worker) -> Any:
    try:
        fine, answer = worker.pipe.recv()
    except (EOFError, OSError):
        raise _dead(worker) from None
    if not fine:
        raise answer
    return answer


def _dead(worker: _Worker) -> UserError:
    worker.process.join(1)
    code = worker.process.exitcode
    how = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
    return UserError(
        f"workers: a process {how} before it had answered; was there memory enough? Try fewer workers. (A script that "
        "starts workers must do so under `if __name__ == '__main__':`.)"
    )


def _serve(pipe: Connection, threads: int, make: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """A worker's life: load, then answer until the parent hangs up."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    tool: Any = None
    while True:
        try:
            work, piece, options = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            tool = make(*arguments) if tool is None else tool
            answer = (True, work(tool, piece, **options))
        except Exception as error:
            answer = (False, error)
        try:
            pipe.send(answer)
        except OSError:  # the parent has gone
            return


@contextmanager
def _no_interruption() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
