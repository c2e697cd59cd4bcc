"""From what Python users have to what the native half takes: models, arrays, keywords."""

from __future__ import annotations

import io
import os
import warnings

from . import _tfquant
from ._errors import Warning
from ._made import Calibrated, Frozen, Rewritten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# The messages, by their full name: what the program calls each as a format.
_FORMATS = {
    "tensorflow.GraphDef": "graph-def",
    "tensorflow.MetaGraphDef": "meta-graph-def",
    "tensorflow.SavedModel": "saved-model",
}
_MADE = {"freeze": Frozen, "calibrate": Calibrated}


def make(verb: str, given: dict[str, Any], defaults: dict[str, Any] | None) -> Any:
    """Calls a verb that makes a model."""
    came_in = given["model"]
    document, messages, made = _called(verb, given, defaults)
    for message in messages:
        # Whoever called the function that called this one.
        warnings.warn(message, Warning, stacklevel=3)
    return _MADE.get(verb, Rewritten)(document, made, _give_back(came_in, made))


def make_quietly(verb: str, given: dict[str, Any]) -> Any:
    """The same for a caller who reads the report's warnings."""
    document, _, made = _called(verb, given, None)
    return _MADE.get(verb, Rewritten)(document, made, _give_back(given["model"], made))


def look(verb: str, given: dict[str, Any], defaults: dict[str, Any] | None) -> dict[str, Any]:
    """Calls a verb that tells something."""
    import json

    return json.loads(_called(verb, given, defaults)[0])


def _called(
    verb: str, given: dict[str, Any], defaults: dict[str, Any] | None
) -> tuple[str, list[str], _tfquant.Made | None]:
    model = given["model"]
    given = {name: value for name, value in given.items() if value is not (defaults or {}).get(name)}
    given.pop("model", None)
    arguments: dict[str, Any] = {}
    messages = {_format(model)}
    for name in ("other", "against"):
        if name in given:
            messages.add(_format(given[name]))
            arguments["other"] = _model(given.pop(name))
    if len(messages) == 1 and None not in messages:
        # A message says what it is. One format holds for both models, where there are two.
        given.setdefault("input_format", *messages)
    if "labels" in given:
        arguments["labels"] = _array_or_path(given.pop("labels"))
    paths, arguments["arrays"] = _samples(given.pop("data", None))
    if paths:
        given["data"] = paths
    return _tfquant.call(verb, _model(model), list(given.items()), **arguments)


def _format(model: Any) -> str | None:
    """What a message is; None for anything else."""
    descriptor = getattr(type(model), "DESCRIPTOR", None)
    return _FORMATS.get(getattr(descriptor, "full_name", ""))


def _model(model: Any) -> bytes | str:
    if isinstance(model, (bytes, bytearray, memoryview)):
        return bytes(model)
    if _format(model):
        return model.SerializeToString(deterministic=True)
    if isinstance(model, (str, os.PathLike)):
        return os.fspath(model)
    raise TypeError(
        "a model is a path, bytes, or a GraphDef, MetaGraphDef or SavedModel message, not "
        f"{type(model).__name__}"
    )


def _give_back(came_in: Any, made: _tfquant.Made | None) -> Callable[[bytes], Any]:
    """What makes a model of the bytes: a message, where one came in."""
    message = _format(came_in)
    if made is None or message is None or made.is_text:
        return bytes
    if made.kind == message:
        return type(came_in).FromString
    if made.kind == "graph-def":
        meta_graph = type(came_in)().meta_graphs.add() if message == "saved-model" else type(came_in)()
        return type(meta_graph.graph_def).FromString
    return bytes


def _samples(data: Any) -> tuple[list[Any], list[tuple[str | None, bytes]]]:
    """Samples that are in files, and arrays of others, each with the input that it is for."""
    paths: list[Any] = []
    arrays: list[tuple[str | None, bytes]] = []
    if data is None:
        return paths, arrays
    if isinstance(data, dict):
        named = list(data.items())
    elif isinstance(data, (list, tuple)) and all(_is_path(item) or hasattr(item, "shape") for item in data):
        named = [(None, item) for item in data]
    else:
        named = [(None, data)]
    for name, samples in named:
        if _is_path(samples):
            path = os.fspath(samples)
            paths.append(path if name is None else f"{name}={path}")
        else:
            arrays.append((name, _npy(samples)))
    return paths, arrays


def _array_or_path(array: Any) -> bytes | str:
    return os.fspath(array) if _is_path(array) else _npy(array)


def _is_path(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike))


def _npy(array: Any) -> bytes:
    """An array as numpy saves it."""
    import numpy

    file = io.BytesIO()
    numpy.lib.format.write_array(file, numpy.asarray(array), allow_pickle=False)
    return file.getvalue()
