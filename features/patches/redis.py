"""The log of patches for many machines: a Redis stream that every worker reads.

hb:{patches}:log     the stream; an entry's id is <place>-0
hb:{patches}:seq     the place of the latest patch
hb:{patches}:whole   where the latest picture of everything begins
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from features.patches.log import Patch, TrendRows

LOG: Final = "hb:{patches}:log"
SEQ: Final = "hb:{patches}:seq"
WHOLE: Final = "hb:{patches}:whole"
PAGE: Final = 100


class RedisPatchLog:
    """See `features.patches.log.PatchLog`.

    Args:
        client: of Redis; its answers are bytes. Its errors are the caller's to handle.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def append(self, patches: Sequence[TrendRows], through_seq: int) -> int:
        """See `PatchLog.append`."""
        if not patches:
            return int(self._client.get(SEQ) or 0)
        last = int(self._client.incrby(SEQ, len(patches)))
        first = last - len(patches) + 1
        pipe = self._client.pipeline()
        for seq, rows in enumerate(patches, first):
            pipe.xadd(LOG, {"through": through_seq, "body": rows.pack()}, id=f"{seq}-0")
        pipe.execute()
        return last

    def mark_whole(self, first: int) -> None:
        """See `PatchLog.mark_whole`; what the mark before this one made needless is dropped."""
        before = int(self._client.get(WHOLE) or 0)
        self._client.set(WHOLE, first)
        self._client.xtrim(LOG, minid=f"{before}-0", approximate=False)

    def read(self, after_seq: int) -> list[Patch]:
        """See `PatchLog.read`."""
        last = int(self._client.get(SEQ) or 0)
        after_seq = after_seq if after_seq <= last else 0  # a new log has begun
        after = max(after_seq, int(self._client.get(WHOLE) or 1) - 1)
        found: list[Patch] = []
        while entries := self._client.xrange(LOG, f"({after}-0", count=PAGE):
            for name, fields in entries:
                after = int(name.partition(b"-")[0])
                found.append(Patch(after, int(fields[b"through"]), TrendRows.unpack(fields[b"body"])))
        return found

    def wait(self, after_seq: int, seconds: float) -> bool:
        """See `PatchLog.wait`; Redis answers as soon as there is more."""
        if int(self._client.get(SEQ) or after_seq) < after_seq:
            return True
        return bool(self._client.xread({LOG: f"{after_seq}-0"}, count=1, block=max(int(seconds * 1000), 1)))
