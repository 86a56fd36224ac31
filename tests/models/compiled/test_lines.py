from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.compiled.choice_kernels import choose
from models.compiled.lines import STAMP, compiled, logarithm


@compiled
def _logarithms(values: np.ndarray, out: np.ndarray) -> None:
    for i in range(len(values)):
        out[i] = logarithm(values[i])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=40))
def test_the_logarithm_is_that_of_numpy_to_the_last_bits(numbers: list[float]) -> None:
    values, out = np.array(numbers), np.empty(len(numbers))
    _logarithms(values, out)
    np.testing.assert_allclose(out, np.log(values), rtol=3e-16, atol=1e-16)


def test_compiled_code_is_kept_for_all_loops_as_they_are_written_now() -> None:
    """Numba itself would keep a loop's code when one that it calls, in another file, has changed."""
    assert choose._cache._cache_file._source_stamp == STAMP  # type: ignore[attr-defined]
