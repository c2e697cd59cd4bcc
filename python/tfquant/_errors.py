"""What is raised and what is warned of."""

from __future__ import annotations


class Error(Exception):
    """A failure: what happened, where, and what to do next.

    Attributes:
        kind: ``"io"``, ``"malformed"`` (the bytes are not the message they should be), ``"container"`` (not a message that
            is taken, or it lacks what was asked for), ``"invalid_graph"``, ``"refused"`` (the rules refuse the graph),
            ``"options"`` or ``"too_large"``.
        node: The name of the node that it is about, if it is about one.
        op: The op of that node.
        hint: What to do next, if there is something to say.
    """

    def __init__(
        self,
        message: str,
        kind: str = "refused",
        node: str | None = None,
        op: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, kind, node, op, hint)
        self.kind = kind
        self.node = node
        self.op = op
        self.hint = hint

    def __str__(self) -> str:
        message = self.args[0]
        return f"{message}\nhint: {self.hint}" if self.hint else message


class OptionsError(Error, ValueError):
    """A keyword's value that makes no sense, alone or for this model."""


class Warning(UserWarning):
    """Something to know although the work went through."""
