"""What the loops are told: `data` is the address of integers, sizes and addresses of arrays, in the order of `NAMES`.

Arrays are in C order, float32 but for `seen` and `allowed` (bytes) and `until`: queries (n, rows, W), keys (n, keys,
W), but what is made of them (n, W / 16, keys, 16); W is a multiple of 64 and what is beyond the hidden features 0; n
counts batch rows times key heads, and a row is a query of one head of the group.
"""

from regard.machine.lanes import LANES

STRIPS = 4  # whose features share a reciprocal
BLOCK = STRIPS * LANES
ROWS_AT_ONCE = 4  # which share what is loaded of keys and values
CHUNK = 64  # keys, whose sums stay in the first cache

Address = int
NAMES = (
    *("taken", "members", "places", "scratch", "span"),  # span: a thread's floats of scratch
    *("rows", "keys", "W", "P", "Dv"),  # P: a row of e, de
    *("masked", "key_heads", "group", "steps", "of_batch", "of_head", "of_step"),  # the mask and its strides
    *("fused", "adds", "strips"),  # softmax and context too; dk and dv grow; strips of a place
    *("k", "seen", "factors", "tanhs", "middles", "spreads", "until"),
    *("q", "v", "e", "allowed", "values", "context"),
    *("de", "dc", "dq", "dk", "dv"),
)
(
    TAKEN,
    MEMBERS,
    PLACES,
    SCRATCH,
    SPAN,
    ROWS,
    KEYS,
    WIDTH,
    PITCH,
    DV,
    MASKED,
    KEY_HEADS,
    GROUP,
    STEPS,
    OF_BATCH,
    OF_HEAD,
    OF_STEP,
    FUSED,
    ADDS,
    AT_ONCE,
    K,
    SEEN,
    FACTORS,
    TANHS,
    MIDDLES,
    SPREADS,
    UNTIL,
    Q,
    V,
    E,
    ALLOWED,
    VALUES,
    CONTEXT,
    DE,
    DC,
    D_Q,
    D_K,
    D_V,
) = range(len(NAMES))


def scratch(W: int) -> int:
    """Floats that a thread needs."""
    return 3 * W + 2 * LANES + ROWS_AT_ONCE * (2 * W + LANES * (1 + CHUNK) + LANES * (W // BLOCK))
