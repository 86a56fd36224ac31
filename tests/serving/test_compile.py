from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import configs
from models.compiled.lines import is_kept
from models.compiled.rank_kernels import rank
from models.compiled.reason_kernels import explain_rows
from serving.errors import NotReady
from serving.process import compile as process
from serving.process.launch import ROOT
from tests.worlds import small_settings


def test_loops_that_are_not_kept_are_compiled_and_then_kept(
    trained_home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(configs, "current", lambda: small_settings(trained_home))
    monkeypatch.setattr(process, "is_kept", lambda loop: False)
    process.compile_loops()
    assert "compiling" in capfd.readouterr().err
    monkeypatch.undo()
    assert is_kept(rank) and is_kept(explain_rows)
    process.compile_loops()
    assert capfd.readouterr().err == ""


def test_without_a_market_there_is_nothing_to_compile_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configs, "current", lambda: small_settings(tmp_path))
    monkeypatch.setattr(process, "is_kept", lambda loop: False)
    with pytest.raises(NotReady):
        process.compile_loops()


def test_what_prevents_it_is_left_for_the_workers_to_tell(tmp_path: Path) -> None:
    empty = {**os.environ, "HARMONIC_HOME": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    done = subprocess.run(
        [sys.executable, "-m", "serving.process.compile"], check=False, env=empty, cwd=ROOT, capture_output=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
