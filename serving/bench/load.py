"""The load: a client in C, compiled when first needed, so that asking costs little beside answering."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from models.interactions import Floats
from serving.errors import BenchmarkFault

SOURCE: Final = Path(__file__).with_name("load.c")
COMPILERS: Final = ("cc", "gcc", "clang")
GRACE_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Answered:
    """What came of some load.

    Attributes:
        milliseconds: of every success, in the order of their ends, shape (n,).
        failed: requests without one.
        seconds: from the first request to the last answer.
    """

    milliseconds: Floats
    failed: int
    seconds: float

    @property
    def rate(self) -> float:
        """Successes a second."""
        return len(self.milliseconds) / max(self.seconds, 1e-9)

    def quantile(self, share: float) -> float:
        """The time in ms within which this share was answered."""
        return float(np.quantile(self.milliseconds, share)) if len(self.milliseconds) else float("nan")

    @classmethod
    def joined(cls, parts: Iterable[Answered]) -> Answered:
        """Several rounds as one."""
        every = list(parts)
        return cls(
            np.concatenate([part.milliseconds for part in every]),
            sum(part.failed for part in every),
            sum(part.seconds for part in every),
        )


class LoadClient:
    """Asks a server on this machine for something, over and over.

    Args:
        program: of `compiled`.
    """

    def __init__(self, program: Path) -> None:
        self._program = program

    @classmethod
    def compiled(cls, cache: Path) -> LoadClient:
        """The client, compiled into a folder unless it lies there already.

        Raises:
            BenchmarkFault: there is no C compiler, or it fails.
        """
        program = cache / f"load-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]}"
        if not program.exists():
            compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
            if compiler is None:
                raise BenchmarkFault(
                    f"the load client needs a C compiler on PATH ({', '.join(COMPILERS)}): install one, "
                    "e.g. «apt-get install gcc libc6-dev»"
                )
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=cache, prefix=".") as folder:
                made = Path(folder) / "load"
                done = subprocess.run(
                    [compiler, "-O2", "-o", str(made), str(SOURCE), "-lm"], capture_output=True, text=True, check=False
                )
                if done.returncode:
                    raise BenchmarkFault(f"{compiler} cannot compile {SOURCE.name}; it needs Linux: {done.stderr}")
                made.replace(program)
        return cls(program)

    def start(
        self, port: int, path: str, bodies: Path, connections: int, seconds: float, rate: float = 0.0
    ) -> RunningLoad:
        """Begin to ask.

        Args:
            bodies: of `write_bodies`.
            connections: how many at once.
            seconds: for how long new requests begin.
            rate: requests a second in all; 0 asks again as soon as it is answered.
        """
        return RunningLoad(self._program, port, path, bodies, connections, seconds, rate)

    def run(self, port: int, path: str, bodies: Path, connections: int, seconds: float, rate: float = 0.0) -> Answered:
        """Ask to the end; arguments of `start`."""
        return self.start(port, path, bodies, connections, seconds, rate).wait()


class RunningLoad:
    """A load client at work; see `LoadClient.start`."""

    def __init__(
        self, program: Path, port: int, path: str, bodies: Path, connections: int, seconds: float, rate: float
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="harmonic-load-")
        self._times = Path(self._folder.name) / "times"
        asked = ["127.0.0.1", port, path, bodies, connections, seconds, rate, self._times]
        self._seconds = seconds
        self._process = subprocess.Popen(
            [str(program), *map(str, asked)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def wait(self) -> Answered:
        """What came of it.

        Raises:
            BenchmarkFault: the client failed.
        """
        try:
            said, trouble = self._process.communicate(timeout=self._seconds + GRACE_SECONDS)
            if self._process.returncode:
                raise BenchmarkFault(f"the load client failed: {trouble.strip()}")
            told, times = json.loads(said), np.fromfile(self._times, np.float32)
        except subprocess.TimeoutExpired:
            raise BenchmarkFault("the load client did not end") from None
        finally:
            self.stop()
        return Answered(times.astype(np.float64) / 1000, int(told["failed"]), float(told["seconds"]))

    def stop(self) -> None:
        """End it, whatever it is doing."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
        self._folder.cleanup()


def write_bodies(path: Path, bodies: Iterable[Any]) -> Path:
    """A file of JSON bodies, one a line."""
    path.write_bytes(b"".join(orjson.dumps(body) + b"\n" for body in bodies))
    return path
