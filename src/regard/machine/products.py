"""Small matrix products, for loops that numba compiles: a few rows by a few vectors, whose sums stay in registers.

A processor multiplies two vectors a cycle and loads two, so a product must use what it loads more than once: four rows
by four vectors take sixteen products for eight loads.
"""

from typing import Any

from llvmlite import ir
from numba import types

from regard.machine.compiling import instruction, part
from regard.machine.lanes import LANES, is_avx512

Address = int

_FLOAT, _INT, _LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_FUSED = ("contract",)
_ROWS, _COLUMNS = 4, 4 if is_avx512() else 1  # at once; elsewhere a vector takes two registers or four


@part()
def product(
    a: Address,
    a_row: int,
    a_step: int,
    b: Address,
    b_step: int,
    b_column: int,
    depth: int,
    c: Address,
    c_row: int,
    rows: int,
    columns: int,
    adds: int,
) -> None:
    """c = a b, or c += a b if `adds`: so many rows by so many vectors of sixteen columns, each a sum of depth > 0.

    Of floats at addresses: row r of a has its numbers at r a_row + d a_step, b's vectors of sixteen stand at d b_step +
    j b_column, and c's at r c_row + 16 j.
    """
    r = 0
    while r < rows:
        several = rows - r >= _ROWS
        x, y, j = a + 4 * r * a_row, c + 4 * r * c_row, 0
        while j < columns:
            z, into = b + 4 * j * b_column, y + 4 * j * LANES
            if columns - j >= _COLUMNS:
                if several:
                    _rows_by_columns(x, a_row, a_step, z, b_step, b_column, depth, into, c_row, adds)
                else:
                    _one_by_columns(x, a_row, a_step, z, b_step, b_column, depth, into, c_row, adds)
                j += _COLUMNS
            else:
                if several:
                    _rows_by_one(x, a_row, a_step, z, b_step, b_column, depth, into, c_row, adds)
                else:
                    _one_by_one(x, a_row, a_step, z, b_step, b_column, depth, into, c_row, adds)
                j += 1
        r += _ROWS if several else 1


def _tile(rows: int, columns: int) -> Any:
    """The instruction for so many rows and vectors."""

    def tile(
        a: Any, a_row: Any, a_step: Any, b: Any, b_step: Any, b_column: Any, depth: Any, c: Any, c_row: Any, adds: Any
    ) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            a, a_row, a_step, b, b_step, b_column, depth, c, c_row, adds = arguments
            of_a = [_moved(builder, a, a_row, r) for r in range(rows)]
            of_b = [_moved(builder, b, b_column, j) for j in range(columns)]
            sums = _summed(builder, of_a, a_step, of_b, b_step, depth)
            wanted = builder.icmp_signed("!=", adds, _long(0))
            for r, row in enumerate(sums):
                into = builder.bitcast(_moved(builder, c, c_row, r), _VECTOR.as_pointer())
                for j, x in enumerate(row):
                    place = builder.gep(into, [_long(j)])
                    with builder.if_else(wanted) as (then, otherwise):
                        with then:
                            builder.store(builder.fadd(x, builder.load(place, align=4)), place, align=4)
                        with otherwise:
                            builder.store(x, place, align=4)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 10), code

    return instruction(tile)


def _summed(builder: Any, of_a: list[Any], a_step: Any, of_b: list[Any], b_step: Any, depth: Any) -> list[list[Any]]:
    """The sums over d, in a loop that keeps them in registers."""
    before, loop, after = builder.block, *(builder.append_basic_block(name) for name in ("depth", "summed"))
    builder.branch(loop)
    builder.position_at_end(loop)
    d = builder.phi(_LONG)
    d.add_incoming(_long(0), before)
    sums = [[builder.phi(_VECTOR) for _ in of_b] for _ in of_a]
    vectors = [
        builder.load(builder.bitcast(builder.gep(b, [builder.mul(d, b_step)]), _VECTOR.as_pointer()), align=4)
        for b in of_b
    ]
    more = []
    for a, row in zip(of_a, sums, strict=True):
        x = _everywhere(builder, builder.load(builder.gep(a, [builder.mul(d, a_step)])))
        more.append(
            [
                builder.fadd(builder.fmul(x, y, flags=_FUSED), sum_of, flags=_FUSED)
                for y, sum_of in zip(vectors, row, strict=True)
            ]
        )
    following = builder.add(d, _long(1))
    d.add_incoming(following, loop)
    for row, grown in zip(sums, more, strict=True):
        for sum_of, x in zip(row, grown, strict=True):
            sum_of.add_incoming(ir.Constant(_VECTOR, [ir.Constant(_FLOAT, 0.0)] * LANES), before)
            sum_of.add_incoming(x, loop)
    builder.cbranch(builder.icmp_signed("<", following, depth), loop, after)
    builder.position_at_end(after)
    return more


def _moved(builder: Any, address: Any, by: Any, times: int) -> Any:
    """The floats from there on."""
    return builder.gep(builder.inttoptr(address, _FLOAT.as_pointer()), [builder.mul(by, _long(times))])


def _everywhere(builder: Any, x: Any) -> Any:
    nothing = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(nothing, x, ir.Constant(_INT, 0))
    return builder.shuffle_vector(
        first, nothing, ir.Constant(ir.VectorType(_INT, LANES), [ir.Constant(_INT, 0)] * LANES)
    )


def _long(number: int) -> Any:
    return ir.Constant(_LONG, number)


_rows_by_columns, _rows_by_one, _one_by_columns, _one_by_one = (
    _tile(rows, columns) for rows in (_ROWS, 1) for columns in (_COLUMNS, 1)
)
