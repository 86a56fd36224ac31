"""Text files, plain or gzipped, as numbered lines of bytes in bounded memory."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Final, cast

from features.errors import UnreadableFile

LONGEST_LINE: Final = 64 << 20
"""Bytes; a longer line is cut there, and is no row."""
GZIP_MAGIC: Final = b"\x1f\x8b"
BOM: Final = b"\xef\xbb\xbf"


class LineFile:
    """The lines of a file in order; `line` is the 1-based number of the last one read.

    Raises:
        UnreadableFile: while iterating, where the gzip stream is damaged or ends too early.
    """

    def __init__(self, path: Path) -> None:
        self.line = 0
        self._path = path
        self._size = max(path.stat().st_size, 1)
        self._raw = path.open("rb")
        zipped = self._raw.peek(2)[:2] == GZIP_MAGIC
        self._text = cast(IO[bytes], gzip.GzipFile(fileobj=self._raw)) if zipped else self._raw

    def __enter__(self) -> LineFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._raw.close()

    def __iter__(self) -> Iterator[bytes]:
        with damage_told(self._path):
            while line := self._text.readline(LONGEST_LINE):
                self.line += 1
                if self.line == 1:
                    line = line.removeprefix(BOM)
                if len(line) >= LONGEST_LINE and not line.endswith(b"\n"):
                    self._skip_line()
                yield line

    def fraction(self) -> float:
        """How much of the file has been read, 0 to 1."""
        return min(1.0, self._raw.tell() / self._size)

    def read_all(self) -> bytes:
        """The whole file, for a document that is no sequence of lines."""
        with damage_told(self._path):
            return self._text.read().removeprefix(BOM)

    def _skip_line(self) -> None:
        while (rest := self._text.readline(1 << 20)) and not rest.endswith(b"\n"):
            pass


@contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Turns what a damaged file raises into `UnreadableFile`."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableFile(f"{path} is damaged ({error}); fetch it again") from None
    except OSError as error:
        raise UnreadableFile(f"{path} cannot be read: {error.strerror or error}") from None
