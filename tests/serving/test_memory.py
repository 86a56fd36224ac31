from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
from pathlib import Path
from numba import njit
from serving.process import memory

def held():
    lines, held, here = Path("/proc/self/smaps").read_text().splitlines(), 0, False
    for line in lines:
        if found := memory.MAPPING.match(line):
            here = memory.COMPILER in (found.group(4) or "")
        elif here and line.startswith("Rss:"):
            held += int(line.split()[1])
    return held

def sum_to(n):
    total = 0
    for i in range(n):
        total += i
    return total

first = njit(sum_to)
assert first(10) == 45
before = held()
memory.settle()
after = held()
assert first(11) == 55
assert njit(lambda n: sum(range(n)) * 2)(4) == 12  # it compiles again, although its own memory was given back
print(before, after)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells where a library lies")
def test_what_only_compiling_needs_is_given_back_and_comes_back_when_something_is_compiled() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    assert after < before / 2
