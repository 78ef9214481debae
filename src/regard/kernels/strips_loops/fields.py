"""What the loops are told: `data` is the address of integers, sizes and addresses of arrays, in the order of `NAMES`.

Arrays are float32, a row of q, k and v without gaps. Out, g (its gradient) and dq are (B, H, Tq, ·) in C order, dk and
dv (parts, B, Hk, Tk, ·). `k_panels` and `v_panels` are (B, Hk, Tk / 16, ·, 16): sixteen keys side by side, 0 beyond Tk.
D and Dv are multiples of 16, and so are the keys where a job's blocks begin, and their size.

A job is nine integers, in the order of `JOB`: its first query and how many; where the first keys of its blocks stand
(int64), how many blocks and their size; where a byte for each pair of its queries and its first `asked` keys stands,
not 0 if it is hidden; and the batch row and the head that it is for, -1 for all.

With a cap `scale` is that of the products divided by it. `missed` is (jobs, B, H): of each job and head what its sink's
gradient is, but for the sign. In a band a query at i sees the keys from i + shift - left to i + shift + right, and
before the batch row's length.
"""

from regard.machine.lanes import LANES

CHUNK = 64
"""Keys whose numbers stay in the first cache while the tile's queries meet them."""
TOGETHER = 32
"""Neighbouring jobs in a band, whose keys a thread puts in order at once."""

Address = int
NAMES = (
    *("taken", "members", "places", "parts", "scratch", "span"),  # span: a thread's floats of scratch
    *("B", "H", "group", "Hk", "Tq", "Tk", "D", "Dv"),  # group: heads of queries that share one of keys
    *("jobs", "count"),
    *("banded", "left", "right", "shift", "lengths"),  # lengths: int64 of each batch row, or 0
    *("q", "q_batch", "q_head", "q_row"),
    *("k", "k_batch", "k_head", "k_row"),
    *("v", "v_batch", "v_head", "v_row"),
    *("k_panels", "v_panels", "out"),
    *("scale", "cap", "sinks", "missed"),  # where they stand: one, one or 0, H or 0, and for their gradient
    *("g", "dq", "dk", "dv", "height", "width"),  # of the largest job
)
(
    TAKEN,
    MEMBERS,
    PLACES,
    PARTS,
    SCRATCH,
    SPAN,
    BATCH_ROWS,
    HEADS,
    GROUP,
    KEY_HEADS,
    QUERIES,
    KEYS,
    WIDTH,
    VALUE_WIDTH,
    JOBS,
    COUNT,
    BANDED,
    LEFT,
    RIGHT,
    SHIFT,
    LENGTHS,
    Q,
    Q_BATCH,
    Q_HEAD,
    Q_ROW,
    K,
    K_BATCH,
    K_HEAD,
    K_ROW,
    V,
    V_BATCH,
    V_HEAD,
    V_ROW,
    K_PANELS,
    V_PANELS,
    OUT,
    SCALE,
    CAP,
    SINKS,
    MISSED,
    GRADIENT,
    D_Q,
    D_K,
    D_V,
    MOST_QUERIES,
    MOST_KEYS,
) = range(len(NAMES))
JOB = ("row", "height", "starts", "blocks", "size", "hidden", "asked", "batch", "head")
(ROW, HEIGHT, STARTS, BLOCKS, SIZE, HIDDEN, ASKED, BATCH, HEAD) = range(len(JOB))


def of_job(height: int, width: int, D: int) -> int:
    """Floats that a job wants: its queries, weights, their gradients, tangents, and what sinks take of rows."""
    return height * (D + 3 * width + 1) + LANES


def scratch(height: int, width: int, D: int, Dv: int, banded: bool) -> int:
    """Floats that a thread needs: for the largest job, and behind them for panels of its own."""
    panels = (TOGETHER * height + width + LANES) * (D + Dv) if banded else 0
    return of_job(height, width, D) + panels
