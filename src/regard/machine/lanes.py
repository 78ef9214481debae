"""Sixteen float32 numbers at once, for loops that numba compiles: what its own vectoriser does not find by itself.

`x = load(array, i)` reads array[i : i + 16] of a flat array and `store(array, i, x)` writes it; x + y, x - y, x * y and
the functions below work number by number. The compiler makes of it one AVX-512 register, two of AVX2, four of NEON.
An array of uint16 is read and written as bfloat16, which numba does not know. In an array's place may stand the address
where its float32 numbers begin (`addresses.py`).
"""

import math
import operator
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core.typing import signature
from numba.core.typing.templates import ConcreteTemplate, infer_global
from numba.extending import lower_builtin, models, register_model

from regard.machine.compiling import instruction

LANES = 16
Lanes = Any  # sixteen numbers, in numba's hands

_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_VECTOR, _INTS, _HALVES = (ir.VectorType(kind, LANES) for kind in (_FLOAT, _INT, ir.IntType(16)))
_FIRST = {"target": "cpu"}  # asked before the dozen of numba's own, which are for any target; int64 stays numba's
_FUSED = ("contract",)  # a product and a sum round once; NaN and infinity keep their meaning


def is_avx512() -> bool:
    """Whether the processor has registers for sixteen numbers, and estimates reciprocals to 14 bits."""
    chosen: str | None = getattr(config, "CPU_FEATURES", None)
    return bool(llvm.get_host_cpu_features().get("avx512f")) if chosen is None else "+avx512f" in chosen


class _LanesType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Lanes")


_lanes = _LanesType()


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, of: Any) -> None:
        super().__init__(manager, of, _VECTOR)


def _filled(kind: Any, vector: Any, number: float) -> Any:
    return ir.Constant(vector, [ir.Constant(kind, number)] * LANES)


def _source(array: Any) -> Any:
    """What a loop reads from or writes to: an array, or where one begins."""
    return types.int64 if isinstance(array, types.Integer) else array


def _pointer(context: Any, builder: Any, kind: Any, source: Any, index: Any) -> Any:
    if kind == types.int64:
        data = builder.inttoptr(source, _FLOAT.as_pointer())
    else:
        data = context.make_array(kind)(context, builder, source).data
    return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())


def _is_half(kind: Any) -> bool:
    return kind != types.int64 and kind.dtype != types.float32


def _read(context: Any, builder: Any, kind: Any, source: Any, index: Any) -> Any:
    pointer = _pointer(context, builder, kind, source, index)
    if not _is_half(kind):
        return builder.load(pointer, align=4)
    bits = builder.zext(builder.load(builder.bitcast(pointer, _HALVES.as_pointer()), align=2), _INTS)
    return builder.bitcast(builder.shl(bits, _filled(_INT, _INTS, 16)), _VECTOR)


def _write(context: Any, builder: Any, kind: Any, source: Any, index: Any, x: Any) -> None:
    pointer = _pointer(context, builder, kind, source, index)
    if not _is_half(kind):
        builder.store(x, pointer, align=4)
        return
    bits = builder.bitcast(x, _INTS)
    odd = builder.and_(builder.lshr(bits, _filled(_INT, _INTS, 16)), _filled(_INT, _INTS, 1))
    rounded = builder.add(bits, builder.add(odd, _filled(_INT, _INTS, 0x7FFF)))
    rounded = builder.select(builder.fcmp_unordered("uno", x, x), _filled(_INT, _INTS, 0x7FC00000), rounded)
    rounded = builder.trunc(builder.lshr(rounded, _filled(_INT, _INTS, 16)), _HALVES)
    builder.store(rounded, builder.bitcast(pointer, _HALVES.as_pointer()), align=2)


@instruction
def load(array: Any, index: Any) -> Any:
    """array[index : index + 16]."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _read(context, builder, signature.args[0], *arguments)

    return _lanes(_source(array), types.intp), code


@instruction
def store(array: Any, index: Any, x: Any) -> Any:
    """array[index : index + 16] = x, rounded to the nearest, and halfway to even."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _write(context, builder, signature.args[0], *arguments)
        return context.get_dummy_value()

    return types.void(_source(array), types.intp, _lanes), code


@instruction
def turn(source: Any, i: Any, row: Any, target: Any, j: Any, line: Any, factor: Any) -> Any:
    """target[j + b * line + a] = factor * source[i + a * row + b] for a and b from 0 to 15: a square, turned."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, i, row, target, j, line, factor = arguments
        read, written = signature.args[0], signature.args[3]
        square = []
        for _ in range(LANES):
            square.append(builder.fmul(_read(context, builder, read, source, i), factor))
            i = builder.add(i, row)
        for x in _turned(builder, square):
            _write(context, builder, written, target, j, x)
            j = builder.add(j, line)
        return context.get_dummy_value()

    place = (types.intp, types.intp)
    return types.void(_source(source), *place, _source(target), *place, _lanes), code


def _turned(builder: Any, square: list[Any]) -> list[Any]:
    """Sixteen vectors as a square, turned: halves change places, then quarters, to single numbers (Eklundh 1972)."""
    for part in (8, 4, 2, 1):
        for a in (lane for lane in range(LANES) if not lane & part):
            square[a], square[a + part] = _exchanged(builder, square[a], square[a + part], part)
    return square


def _exchanged(builder: Any, x: Any, y: Any, part: int) -> tuple[Any, Any]:
    """x with y's lanes without `part` in the place of its own with it; and what is left of both."""
    upper = [lane if not lane & part else LANES + lane - part for lane in range(LANES)]
    lower = [lane + part if not lane & part else LANES + lane for lane in range(LANES)]
    one, other = (builder.shuffle_vector(x, y, ir.Constant(_INTS, order)) for order in (upper, lower))
    return one, other


@instruction
def widened(x: Any) -> Any:
    """One number: x itself, or the float32 that bfloat16's bits stand for."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if signature.args[0] == types.float32:
            return arguments[0]
        return builder.bitcast(builder.shl(builder.zext(arguments[0], _INT), ir.Constant(_INT, 16)), _FLOAT)

    return types.float32(x), code


@instruction
def same(number: Any) -> Any:
    """Sixteen times the number."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        nothing = ir.Constant(_VECTOR, ir.Undefined)
        first = builder.insert_element(nothing, arguments[0], ir.Constant(_INT, 0))
        return builder.shuffle_vector(first, nothing, _filled(_INT, _INTS, 0))

    return _lanes(types.float32), code


def _operator(symbol: Any, name: str) -> None:
    @infer_global(symbol)
    class Typing(ConcreteTemplate):
        cases = tuple(signature(kind, kind, kind) for kind in (_lanes, types.int64))
        exact_match_required = True
        metadata = _FIRST

    @lower_builtin(symbol, _lanes, _lanes)
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return getattr(builder, name)(*arguments, flags=_FUSED)


for _symbol, _name in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    _operator(_symbol, _name)


def _chosen(comparison: str) -> Any:
    @instruction
    def choose(x: Any, y: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            x, y = arguments
            return builder.select(builder.fcmp_ordered(comparison, y, x), y, x)

        return _lanes(_lanes, _lanes), code

    return choose


at_least = _chosen(">")  # y where it is above x, else x: a NaN in x stays one, a NaN in y is passed over
at_most = _chosen("<")


@instruction
def where_above(x: Any, limit: Any, y: Any) -> Any:
    """y where x > limit, 0 where not; where x is NaN, y."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, limit, y = arguments
        return builder.select(builder.fcmp_ordered("<=", x, limit), _number(0), y)

    return _lanes(_lanes, _lanes, _lanes), code


@instruction
def reciprocal(x: Any) -> Any:
    """1 / x, for x and 1 / x neither subnormal nor infinite; NaN stays NaN."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (x,) = arguments
        if not is_avx512():
            return builder.fdiv(_number(1), x, flags=_FUSED)
        bits = ir.IntType(LANES)
        kind = ir.FunctionType(_VECTOR, [_VECTOR, _VECTOR, bits])
        estimate = builder.module.declare_intrinsic("llvm.x86.avx512.rcp14.ps.512", (), kind)
        r = builder.call(estimate, [x, x, ir.Constant(bits, -1)])  # one step of Newton's doubles its bits
        one = _number(1)
        missed = builder.fsub(one, builder.fmul(x, r, flags=_FUSED), flags=_FUSED)
        return builder.fadd(builder.fmul(r, missed, flags=_FUSED), r, flags=_FUSED)

    return _lanes(_lanes), code


@instruction
def within(x: Any, limit: Any) -> Any:
    """x, cut off at ±limit; NaN stays NaN."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, limit = arguments
        least = builder.fneg(limit)
        x = builder.select(builder.fcmp_ordered("<", x, least), least, x)
        return builder.select(builder.fcmp_ordered(">", x, limit), limit, x)

    return _lanes(_lanes, _lanes), code


@instruction
def total(x: Any) -> Any:
    """The sum of the sixteen numbers."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_FLOAT, [_FLOAT, _VECTOR])
        add = builder.module.declare_intrinsic("llvm.vector.reduce.fadd.v16f32", (), kind)
        return builder.call(add, [ir.Constant(_FLOAT, 0.0), arguments[0]], fastmath=("reassoc",))

    return types.float32(_lanes), code


@instruction
def totals(array: Any, index: Any) -> Any:
    """The sums of sixteen times sixteen numbers that stand there one after the other."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, index = arguments
        places = [builder.add(index, ir.Constant(index.type, LANES * i)) for i in range(LANES)]
        found = [_read(context, builder, signature.args[0], array, place) for place in places]
        while len(found) > 1:
            part = len(found) // 2
            pairs = [_exchanged(builder, *pair, part) for pair in zip(found[:part], found[part:], strict=True)]
            found = [builder.fadd(*pair) for pair in pairs]
        return found[0]

    return _lanes(_source(array), types.intp), code


@instruction
def largest(x: Any) -> Any:
    """The largest of the sixteen numbers, none of them NaN."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        most = builder.module.declare_intrinsic(
            "llvm.vector.reduce.fmax.v16f32", (), ir.FunctionType(_FLOAT, [_VECTOR])
        )
        return builder.call(most, arguments, fastmath=("nnan",))

    return types.float32(_lanes), code


_ROUND = 3.0 * 2**22  # added to a number, its whole part stands in the lowest bits
_LN2_HIGH = 0.693359375  # few bits: times a whole number it is exact
_SERIES = [1 / math.factorial(i) for i in range(7, 1, -1)]


def _number(value: float) -> Any:
    return _filled(_FLOAT, _VECTOR, float(np.float32(value)))


def _power(builder: Any, x: Any) -> tuple[Any, Any]:
    """2^n and e^d - 1 of e^x = 2^n e^d, with n whole and d = x - n log 2 at most 0.35."""

    def fused(x: Any, y: Any, z: Any) -> Any:
        return builder.fadd(builder.fmul(x, y, flags=_FUSED), z, flags=_FUSED)

    z = fused(x, _number(1 / math.log(2)), _number(_ROUND))
    n = builder.fsub(z, _number(_ROUND))
    d = fused(n, _number(-_LN2_HIGH), x)
    d = fused(n, _number(_LN2_HIGH - math.log(2)), d)
    p = _number(_SERIES[0])
    for factor in _SERIES[1:]:
        p = fused(d, p, _number(factor))
    whole = builder.add(builder.bitcast(z, _INTS), _filled(_INT, _INTS, 127))  # to where the exponent stands
    power = builder.bitcast(builder.shl(whole, _filled(_INT, _INTS, 23)), _VECTOR)
    return power, fused(builder.fmul(d, d), p, d)


@instruction
def exponential(x: Any) -> Any:
    """e^x for |x| up to 87; NaN stays NaN."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        power, p = _power(builder, *arguments)
        return builder.fmul(builder.fadd(p, _number(1)), power)

    return _lanes(_lanes), code


@instruction
def exponential_minus_one(x: Any) -> Any:
    """e^x - 1 for |x| up to 87, with all its digits where x is small; NaN stays NaN."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        power, p = _power(builder, *arguments)
        product = builder.fmul(power, p, flags=_FUSED)
        return builder.fadd(product, builder.fsub(power, _number(1)), flags=_FUSED)

    return _lanes(_lanes), code
