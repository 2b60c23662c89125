# SPDX-License-Identifier: GPL-3.0-or-later
"""Words of 64 bits and counter-based random streams, for kernels.

Everything here works on ``uint64`` and runs with the JIT on or off. A random stream is a number: the
k-th draw of a stream that starts at ``state`` is ``mix(state + k * GOLDEN)`` (splitmix64, Steele,
Lea & Flood 2014, doi:10.1145/2660193.2660195). A start depends on (key, tick, index) alone, so any
gamete can be made again by itself, in any order, on any thread.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import config as numba_config
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_TICK = np.uint64(0xD1342543DE82EF95)
_INDEX = np.uint64(0xA24BAED4963EE407)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)
_S11, _S27, _S30, _S31, _S32 = (np.uint64(k) for k in (11, 27, 30, 31, 32))
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
ONE = np.uint64(1)
LOW6 = np.uint64(63)
SHIFT6 = np.uint64(6)
LOW32 = np.uint64(0xFFFFFFFF)
TWO53 = 1.0 / 9007199254740992.0

if getattr(numba_config, "DISABLE_JIT"):  # noqa: B009, mypy does not see it

    def popcount(x: Any) -> Any:
        """Number of set bits of a word."""
        return int(x).bit_count()

    def lowest(x: Any) -> Any:
        """Index of the lowest set bit of a word that is not zero."""
        v = int(x)
        return (v & -v).bit_length() - 1

    def prefetch(array: Any, row: Any, column: Any) -> None:
        """Tell the processor that a place of a two-dimensional array will be needed soon."""

else:

    @intrinsic
    def _prefetch(typingctx: Any, array: Any, row: Any = None, column: Any = None) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = signature.args[0]
            view = context.make_array(kind)(context, builder, value=args[0])
            place = cgutils.get_item_pointer(context, builder, kind, view, args[1:], wraparound=False)
            byte = ir.IntType(8).as_pointer()
            i32 = ir.IntType(32)
            function = builder.module.declare_intrinsic(
                "llvm.prefetch", [byte], ir.FunctionType(ir.VoidType(), [byte, i32, i32, i32])
            )
            # for reading, to be kept in the second-level cache, data
            builder.call(function, [builder.bitcast(place, byte), i32(0), i32(2), i32(1)])
            return context.get_dummy_value()

        return types.void(array, types.int64, types.int64), codegen

    @njit(nogil=True)
    def prefetch(array: Any, row: Any, column: Any) -> Any:
        """Tell the processor that a place of a two-dimensional array will be needed soon."""
        _prefetch(array, np.int64(row), np.int64(column))

    @intrinsic
    def _ctpop(typingctx: Any, x: Any = None) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.ctpop(args[0])

        return types.uint64(types.uint64), codegen

    @intrinsic
    def _cttz(typingctx: Any, x: Any = None) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

        return types.uint64(types.uint64), codegen

    @njit(nogil=True)
    def popcount(x: Any) -> Any:
        """Number of set bits of a word."""
        return np.int64(_ctpop(np.uint64(x)))

    @njit(nogil=True)
    def lowest(x: Any) -> Any:
        """Index of the lowest set bit of a word that is not zero."""
        return np.int64(_cttz(np.uint64(x)))


@njit(nogil=True)
def mix(z: Any) -> Any:
    """The splitmix64 output function of a uint64."""
    z = (z ^ (z >> _S30)) * _MIX1
    z = (z ^ (z >> _S27)) * _MIX2
    return z ^ (z >> _S31)


@njit(nogil=True)
def stream(key: Any, tick: Any, index: Any) -> Any:
    """The start of the stream of one gamete (or one child) in one tick, from a uint64 key."""
    return mix(mix(key ^ (np.uint64(tick) * _TICK)) ^ (np.uint64(index) * _INDEX))


@njit(nogil=True)
def below(z: Any, n: Any) -> Any:
    """A number in [0, n) from a draw, for n up to 2**32 (uint64 in, uint64 out)."""
    return ((z >> _S32) * np.uint64(n)) >> _S32


@njit(nogil=True)
def unit(z: Any) -> float:
    """A float64 in [0, 1) with 53 bits from a draw."""
    return np.float64(z >> _S11) * TWO53


@njit(nogil=True)
def count_from(z: Any, cdf: Any) -> int:
    """Index of the first entry of a cumulative table (uint64, scaled by 2**32) above a 32-bit draw."""
    k = 0
    while z >= cdf[k]:
        k += 1
    return k
