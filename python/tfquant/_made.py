"""Models that were made, with what there is to say about them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike
    from typing import Any, Generic, TypeVar

    from . import _tfquant

    Model = TypeVar("Model")
    _Of = Generic[Model]
else:
    # What typing would take longer to load than all of this package.
    class _Of:
        def __class_getitem__(cls, _):
            return cls

    Model = None


class _Made(_Of[Model]):
    def __init__(self, document: str, made: _tfquant.Made, give_back: Callable[[bytes], Model]) -> None:
        self._document: str | dict[str, Any] = document
        self._made = made
        self._give_back = give_back
        self._model: Model | None = None

    @property
    def model(self) -> Model:
        """The model, of the type that came in; bytes, if a path came in."""
        if self._model is None:
            self._model = self._give_back(self._made.bytes)
        return self._model

    @property
    def report(self) -> dict[str, Any]:
        """What was done and why: the document that ``--report`` writes."""
        if isinstance(self._document, str):
            import json

            self._document = json.loads(self._document)
        return self._document

    def write(self, path: str | PathLike[str]) -> None:
        """Writes the model to a path, whole or not at all.

        As text, if the path ends in ``.pbtxt``; as a folder, if a SavedModel's folder came in or ``output_format`` asked for
        one.

        Raises:
            Error: It cannot be written; the path is as it was.
        """
        self._made.write(path)


class Rewritten(_Made[Model]):
    """A model that :func:`tfquant.rewrite` or :func:`tfquant.fold` made."""

    @property
    def variables(self) -> list[str]:
        """The names of the variables that were inserted."""
        return self.report["variables"]

    @property
    def initializers(self) -> list[str]:
        """The names of the ops that initialise them, in the same order."""
        return self.report["initializers"]

    @property
    def update_ops(self) -> list[str]:
        """The names of the ops that update the ranges."""
        return self.report["update_ops"]


class Frozen(_Made[Model]):
    """A model that :func:`tfquant.freeze` made: a GraphDef, unless ``output_format`` says otherwise."""


class Calibrated(_Made[Model]):
    """A model that :func:`tfquant.calibrate` made: a GraphDef, unless ``output_format`` says otherwise."""
