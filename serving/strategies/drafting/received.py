"""What a model has sent, whole or part by part, and the draft that it holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from serving.strategies.drafting.faults import VertexFault
from serving.strategies.prompt import Draft

COUNTS: Final = ("prompt", "candidates", "thoughts", "total")


class Received:
    """What has come of an answer so far."""

    def __init__(self) -> None:
        self.text = ""
        self._usage: dict[str, Any] = {}
        self._blocked: str | None = None
        self._finished: str | None = None
        self._any = False

    def add(self, part: Any) -> None:
        """Take in a whole answer, or one part of a streamed one: a `GenerateContentResponse` of Google's SDK."""
        self.take(part.model_dump(mode="json", by_alias=True, exclude_none=True))

    def take(self, part: Mapping[str, Any]) -> None:
        """The same in the form that the API has it in JSON."""
        self._usage = part.get("usageMetadata") or self._usage
        self._blocked = (part.get("promptFeedback") or {}).get("blockReason") or self._blocked
        for candidate in (part.get("candidates") or [])[:1]:
            self._any = True
            self._finished = candidate.get("finishReason") or self._finished
            pieces = (candidate.get("content") or {}).get("parts") or []
            self.text += "".join(piece.get("text") or "" for piece in pieces if not piece.get("thought"))

    @property
    def tokens(self) -> tuple[int, int] | None:
        """Asked and answered, thoughts among them; None where the answer does not say."""
        if not self._usage:
            return None
        asked, answered, thought, total = (int(self._usage.get(f"{name}TokenCount") or 0) for name in COUNTS)
        return asked, max(answered + thought, total - asked)

    def draft(self) -> Draft:
        """The draft, where it is whole and of the right shape.

        Raises:
            VertexFault: it is not: blocked, empty, cut off or unreadable.
        """
        if self._blocked:
            raise VertexFault("blocked", self._blocked)
        if not self._any:
            raise VertexFault("empty", "no candidates")
        if self._finished != "STOP":
            reason = "cut off" if self._finished in (None, "MAX_TOKENS") else "blocked"
            raise VertexFault(reason, f"finish reason {self._finished}")
        try:
            return Draft.model_validate_json(self.text)
        except ValueError as error:
            raise VertexFault("unreadable", str(error).partition("\n")[0]) from error
