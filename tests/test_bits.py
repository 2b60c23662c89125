# SPDX-License-Identifier: GPL-3.0-or-later
"""Words and random streams against tests/reference.py; and every kernel has a twin there."""

from __future__ import annotations

import ast
from pathlib import Path

import adapters as kernel
import pytest
import reference as ref
from hypothesis import example, given
from hypothesis import strategies as st

TESTS = Path(__file__).resolve().parent
NATIVE = TESTS.parent / "admix" / "engines" / "native"
FILES = (
    "test_bits.py",
    "test_gametes.py",
    "test_cohort_kernels.py",
    "test_start_kernels.py",
    "test_lineage_kernels.py",
)
WORDS = st.integers(0, 2**64 - 1)
EDGES = [0, 1, 2, 2**31, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1]


def jitted(source: str) -> list[str]:
    """Names of the functions that numba compiles, from a module's text."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                function = decorator.func if isinstance(decorator, ast.Call) else decorator
                name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
                if name in ("njit", "jit", "vectorize", "guvectorize"):
                    found.append(node.name)
    return found


def uses(source: str, module: str) -> set[str]:
    """Names that a test file takes from `module`."""
    return {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == module
    }


def test_every_kernel_has_a_twin_that_a_test_compares_it_with() -> None:
    kernels = [name for path in sorted(NATIVE.glob("*.py")) for name in jitted(path.read_text())]
    assert len(kernels) > 30
    assert len(set(kernels)) == len(kernels)
    assert set(ref.COVERED_BY) <= set(kernels), "a kernel that is no more"
    used = set().union(*(uses((TESTS / name).read_text(), "ref") for name in FILES))
    for name in kernels:
        twin = ref.COVERED_BY.get(name, name)
        assert callable(getattr(ref, twin, None)), f"kernel {name} has no twin in tests/reference.py"
        assert twin in used, f"no test compares a kernel with the twin {twin}"


def test_kernels_are_found_however_they_are_decorated() -> None:
    source = "@njit\ndef a(): ...\nif x:\n  @numba.njit(cache=True)\n  def b(): ...\n@other\ndef c(): ..."
    assert jitted(source) == ["a", "b"]


@kernel.EXAMPLES
@given(WORDS)
@example(0)
@example(2**64 - 1)
def test_popcount(x: int) -> None:
    assert kernel.popcount(x) == ref.popcount(x)


def test_popcount_and_lowest_of_every_bit() -> None:
    for i in range(64):
        assert kernel.popcount(1 << i) == ref.popcount(1 << i) == 1
        for above in (0, 1 << 63, (1 << 64) - (1 << i)):
            x = (1 << i) | above
            assert kernel.lowest(x) == ref.lowest(x) == i


@kernel.EXAMPLES
@given(WORDS.filter(bool))
def test_lowest(x: int) -> None:
    assert kernel.lowest(x) == ref.lowest(x)


@pytest.mark.parametrize(
    ("start", "published"),
    [
        (0, [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]),
        (1234567, [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]),
    ],
)
def test_draws_are_splitmix64(start: int, published: list[int]) -> None:
    """First outputs of splitmix64 as given with other implementations of it."""
    draws = ref.Draws(start)
    assert [draws.next() for _ in published] == published
    ahead = [(start + k * ref.GOLDEN) % 2**64 for k in range(1, len(published) + 1)]
    assert [kernel.mix(z) for z in ahead] == published


@kernel.EXAMPLES
@given(WORDS)
@example(0)
@example(2**64 - 1)
def test_mix(z: int) -> None:
    assert kernel.mix(z) == ref.mix(z)


@kernel.EXAMPLES
@given(WORDS, st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))
@example(0, 0, 0)
@example(2**64 - 1, 2**31 - 1, 2**31 - 1)
def test_stream(key: int, tick: int, index: int) -> None:
    assert kernel.stream(key, tick, index) == ref.stream(key, tick, index)


def test_streams_differ_in_each_of_their_three_numbers() -> None:
    starts = {kernel.stream(k, t, i) for k in range(12) for t in range(12) for i in range(12)}
    assert len(starts) == 12**3


@kernel.EXAMPLES
@given(WORDS, st.integers(1, 2**32))
@example(2**64 - 1, 2**32)
@example(2**64 - 1, 1)
@example(0, 2**32)
def test_below(z: int, n: int) -> None:
    assert kernel.below(z, n) == ref.below(z, n) < n


@pytest.mark.parametrize("z", EDGES)
def test_unit(z: int) -> None:
    assert kernel.unit(z) == ref.unit(z)
    assert 0 <= kernel.unit(z) < 1


@kernel.EXAMPLES
@given(WORDS)
def test_unit_of_any_draw(z: int) -> None:
    assert kernel.unit(z) == ref.unit(z)


@pytest.mark.parametrize("cdf", [[2**32], [5, 5, 2**32], [0, 7, 7, 8, 2**32, 2**32]])
def test_count_from(cdf: list[int]) -> None:
    draws = {0, 2**32 - 1, *(max(0, min(at + d, 2**32 - 1)) for at in cdf for d in (-1, 0, 1))}
    for z in draws:
        assert kernel.count_from(z, cdf) == ref.count_from(z, cdf)
