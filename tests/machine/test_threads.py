"""Loops that numba compiles take PyTorch's number of threads, and leave it as it was."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("numba")

FIRST_LOOPS = {
    "the loss": "from regard.training.loss import _loops; assert _loops()",
    "statistics": "from regard.observe.fused.limits import missing; assert missing() is None",
}
SCRIPT = """
import sys, torch
torch.set_num_threads(1)
exec(sys.argv[1])
import numba
print(torch.get_num_threads(), numba.get_num_threads(), numba.threading_layer())
from regard.machine.threads import use_threads
for threads in (2, 9):
    torch.set_num_threads(threads)
    print(use_threads(), numba.get_num_threads(), torch.get_num_threads())
"""


@pytest.mark.slow
@pytest.mark.parametrize("loops", FIRST_LOOPS)
def test_the_first_loop_of_a_process_does_not_take_every_core(loops: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, FIRST_LOOPS[loops]],
        env=os.environ | {"NUMBA_NUM_THREADS": "4", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.splitlines() == ["1 1 omp", "2 2 2", "4 4 9"], done.stderr
