"""Numbers at an address, for loops that numba compiles: an array is the address where it begins, and typed by its use.

numba takes an array apart wherever one is handed on, which is half of what it compiles; an address is an integer. Of
sixteen floats at once, `lanes.load` and `lanes.store` take one too.
"""

from typing import Any

from llvmlite import ir
from numba import types

from regard.machine.compiling import instruction

_FLOAT, _INT, _LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)


def _place(builder: Any, kind: Any, address: Any, index: Any) -> Any:
    """Where the number of this kind stands, as a pointer."""
    return builder.gep(builder.inttoptr(address, kind.as_pointer()), [index])


def _reads(kind: Any, number: Any, doc: str) -> Any:
    def read(address: Any, index: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.load(_place(builder, kind, *arguments))

        return number(types.int64, types.int64), code

    read.__doc__ = doc
    return instruction(read)


def _writes(kind: Any, number: Any, doc: str) -> Any:
    def write(address: Any, index: Any, x: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            builder.store(arguments[2], _place(builder, kind, *arguments[:2]))
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, number), code

    write.__doc__ = doc
    return instruction(write)


number = _reads(_FLOAT, types.float32, "The float there.")
integer = _reads(_LONG, types.int64, "The integer of 64 bits there.")
byte = _reads(ir.IntType(8), types.uint8, "The byte there.")
put_number = _writes(_FLOAT, types.float32, "Sets the float there.")
put_integer = _writes(_LONG, types.int64, "Sets the integer of 64 bits there.")


@instruction
def take(address: Any, index: Any) -> Any:
    """The integer of 64 bits there, which grows by one: no two threads get the same."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.atomic_rmw("add", _place(builder, _LONG, *arguments), ir.Constant(_LONG, 1), "monotonic")

    return types.int64(types.int64, types.int64), code


@instruction
def power_of_two(x: Any) -> Any:
    """The greatest that is not above x, a positive normal float."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.and_(builder.bitcast(arguments[0], _INT), ir.Constant(_INT, 0x7F800000))
        return builder.bitcast(bits, _FLOAT)

    return types.float32(types.float32), code
