"""What compiled loops are made of: the compiler's settings, and instructions that numba has no words for."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit
from numba.core import types
from numba.core.datamodel.models import PrimitiveModel
from numba.extending import intrinsic, register_model

Loop = TypeVar("Loop", bound=Callable[..., Any])

WRITTEN: Final = sorted(Path(__file__).parent.glob("*.py"))
STAMP: Final = sha256(b"".join(file.read_bytes() for file in WRITTEN)).hexdigest()
"""What compiled code is kept for: all loops, and the tuples they take, as they are written now."""

WIDTH: Final = 8
"""Words of a line: a cache line."""

LINE: Final = ir.VectorType(ir.IntType(64), WIDTH)


def compiled(loop: Loop) -> Loop:
    """Compile on the first call, to run without the interpreter's lock, and keep the code where a folder allows it.

    A division by 0 gives what IEEE 754 says, because a loop that may raise is not vectorised.
    """
    return _compiled(loop, nogil=True, error_model="numpy")


def reduced(loop: Loop) -> Loop:
    """Like `compiled`, for sums and maxima of numbers, none of them NaN, that may be taken in any order."""
    return _compiled(loop, nogil=True, error_model="numpy", fastmath={"reassoc", "nnan", "nsz"})


def _compiled(loop: Loop, **options: Any) -> Loop:
    try:
        kernel = njit(cache=True, **options)(loop)
    except RuntimeError:  # neither NUMBA_CACHE_DIR nor the package nor the user's cache folder can be written
        return cast(Loop, njit(**options)(loop))
    # By itself, numba compiles again only when the loop's own file changes; what it calls may lie in another one.
    kernel._cache._cache_file._source_stamp = STAMP
    return cast(Loop, kernel)


def is_kept(loop: Any) -> bool:
    """Whether code of a compiled loop is kept in a file; of one that cannot be kept, too, for nothing is to be done."""
    file = getattr(getattr(loop, "_cache", None), "_cache_file", None)
    return file is None or bool(file._load_index())


class Line(types.Type):
    """Eight words as one value: what LLVM's own vectoriser does not see in loops over them."""

    def __init__(self) -> None:
        super().__init__(name="Line")


@register_model(Line)
class LineModel(PrimitiveModel):  # type: ignore[misc]
    """How it lies in registers."""

    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, LINE)


@intrinsic  # type: ignore[untyped-decorator]
def load_line(typing_context: Any, words: Any, at: Any) -> Any:
    """The eight words of a contiguous array from place `at` of its memory on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_line_at(context, builder, signature.args, arguments), align=8)

    return Line()(words, at), generate


@intrinsic  # type: ignore[untyped-decorator]
def store_line(typing_context: Any, words: Any, at: Any, line: Any) -> Any:
    """The inverse of `load_line`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _line_at(context, builder, signature.args, arguments), align=8)
        return context.get_dummy_value()

    return types.void(words, at, line), generate


@intrinsic  # type: ignore[untyped-decorator]
def both(typing_context: Any, one: Any, other: Any) -> Any:
    """The bits that two lines share."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.and_(*arguments)

    return one(one, other), generate


@intrinsic  # type: ignore[untyped-decorator]
def lowest_bit(typing_context: Any, mask: Any) -> Any:
    """Number of the lowest set bit of an integer; it is never 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return mask(mask), generate


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(typing_context: Any, array: Any, at: Any) -> Any:
    """Have the cache line at place `at` of a contiguous array's memory brought near; any place will do."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _element_at(context, builder, signature.args, arguments)
        word, byte = ir.IntType(32), ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        how = [ir.Constant(word, 0), ir.Constant(word, 3), ir.Constant(word, 1)]  # to read, to keep, data
        builder.call(function, [builder.bitcast(place, byte), *how])
        return context.get_dummy_value()

    return types.void(array, at), generate


@intrinsic  # type: ignore[untyped-decorator]
def bits_of(typing_context: Any, number: Any) -> Any:
    """The bits of a double as an integer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), generate


@intrinsic  # type: ignore[untyped-decorator]
def number_of(typing_context: Any, bits: Any) -> Any:
    """The inverse of `bits_of`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), generate


@compiled
def logarithm(x: float) -> float:
    """Of a positive normal number, to the last bit or the one beside it, in a form that loops can be vectorised with.

    The series of fdlibm's `e_log.c` (Sun Microsystems, 1993), without its special cases.
    """
    bits = bits_of(x)
    exponent = (bits - 0x3FE6A09E667F3BCD) >> 52  # the rest lies between √½ and √2
    f: float = number_of(bits - (exponent << 52)) - 1.0
    k = float(exponent)
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    even = w * (0.3999999999940941908 + w * (0.2222219843214978396 + w * 0.1531383769920937332))
    odd = z * (
        0.6666666666666735130 + w * (0.2857142874366239149 + w * (0.1818357216161805012 + w * 0.1479819860511658591))
    )
    half = 0.5 * f * f
    return k * 6.93147180369123816490e-01 - ((half - (s * (half + even + odd) + k * 1.90821492927058770002e-10)) - f)


def _element_at(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
    array = context.make_array(kinds[0])(context, builder, arguments[0])
    return builder.gep(array.data, [context.cast(builder, arguments[1], kinds[1], types.intp)])


def _line_at(context: Any, builder: Any, kinds: Any, arguments: Any) -> Any:
    return builder.bitcast(_element_at(context, builder, kinds, arguments), LINE.as_pointer())
