"""The native half: what :mod:`tfquant` is made of. No part of the interface."""

from os import PathLike
from typing import Any

VERSION: str

class Made:
    """A model that a verb made."""

    @property
    def bytes(self) -> bytes: ...
    @property
    def kind(self) -> str: ...
    @property
    def is_text(self) -> bool: ...
    def write(self, path: str | PathLike[str]) -> None: ...

def main(arguments: list[str]) -> int:
    """Runs the program with these arguments, without its name; returns its exit code."""

def keywords(verb: str) -> str:
    """The keywords of a verb, as JSON."""

def call(
    verb: str,
    model: bytes | str,
    keywords: list[tuple[str, Any]],
    *,
    other: bytes | str | None = None,
    arrays: list[tuple[str | None, bytes]] = ...,
    labels: bytes | str | None = None,
) -> tuple[str, list[str], Made | None]:
    """Calls a verb: returns its document as JSON, its warnings, and the model that it made, if it makes one."""
