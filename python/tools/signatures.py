"""Writes tfquant/_functions.py: each verb as a function, with the program's own options as keywords.

    python python/tools/signatures.py [--check]

Names, defaults, choices and words come from the native half, which has them from the program's parser; to add an option,
add it there and run this. With --check, nothing is written, and the exit code says whether anything would change.
"""

import argparse
import json
import textwrap
from pathlib import Path

from tfquant import _tfquant

FILE = Path(__file__).parents[1] / "tfquant" / "_functions.py"
WIDTH = 120

HEAD = '''"""The verbs as functions. Written by python/tools/signatures.py from the program's options; not to be edited."""

from __future__ import annotations

from ._call import look, make

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike
    from typing import Any, Literal, Union

    from numpy.typing import ArrayLike

    from ._made import Calibrated, Frozen, Rewritten

    # A path, bytes, or a GraphDef, MetaGraphDef or SavedModel message.
    Model = Any
    Path = Union[str, PathLike[str]]
'''

MODEL = "model: A path, bytes, or a ``GraphDef``, ``MetaGraphDef`` or ``SavedModel`` message."
OTHER = "other: The model to compare with, likewise."

# What each function returns, and what there is to say of it.
RETURNS = {
    "rewrite": (
        "Rewritten[Any]",
        "The model with fake quantizers, of the type that came in, with the report.",
    ),
    "fold": ("Rewritten[Any]", "The model without the batch norms that were folded, of the type that came in, with the report."),
    "freeze": ("Frozen[Any]", "A GraphDef without variables and calls: a message if one came in, else bytes."),
    "calibrate": ("Calibrated[Any]", "A GraphDef with constant ranges: a message if one came in, else bytes."),
    "check": ("dict[str, Any]", "What was found: ``errors`` and ``warnings`` counted, ``findings`` one by one."),
    "summary": ("dict[str, Any]", "What the graph is: its inputs, outputs, ops, variables."),
    "explain": ("dict[str, Any]", "The decision about every layer, or about one node, with its reason."),
    "diff": ("dict[str, Any]", "The nodes that were added, removed and changed."),
    "ranges": ("dict[str, Any]", "Every fake quantizer with its range, scale and zero point."),
    "compare": ("dict[str, Any]", "How near each tensor of one model is to the other's, the outputs first; SQNR in decibels."),
}
ABOUT = {
    "rewrite": "Inserts fake quantizers around the layers of a graph.",
    "fold": "Folds batch norms into the weights of their layers, without quantizing.",
    "freeze": "Makes one graph without variables and calls out of a model.",
    "calibrate": "Makes a float model one with 8-bit ranges, which samples show, for a converter to integers.",
    "check": "Tells whether a converter will take a graph, and what looks wrong in it.",
    "summary": "Tells what a graph is: inputs, outputs, ops, parameters, how far it is quantized.",
    "explain": "Tells what the rules say about each layer, and why.",
    "diff": "Tells how two graphs differ, node by node.",
    "ranges": "Tells the range of every fake quantizer, with its scale and zero point.",
    "compare": "Tells how near two models' tensors are on the same samples, and which classes both see.",
}

# The type of a value, by what the program's help calls it.
TYPES = {
    "N": "int",
    "MB": "int",
    "STEPS": "int",
    "F": "float",
    "P": "float",
    "DB": "float",
    "FILE": "Path",
    "PATH": "Path",
    "PREFIX": "Path",
    "DIMS": "int",
    "F,…": "float",
    "MIN,MAX": "Sequence[float]",
    "HEIGHTxWIDTH": "int | Sequence[int]",
}
# What Python has in memory where the program has a file.
IN_MEMORY = {
    "data": ("Path | ArrayLike | Mapping[str, Path | ArrayLike] | Sequence[Path | ArrayLike]", "an array, or a dict of paths and arrays by the names of inputs. The first dimension of an array counts samples"),
    "labels": ("Path | ArrayLike | None", "an array of whole numbers, one for each sample"),
    "against": ("Model", "bytes or a message"),
}


def type_of(keyword):
    """The annotation of a keyword."""
    name = keyword["name"]
    if name in IN_MEMORY:
        return IN_MEMORY[name][0]
    if keyword["kind"] == "switch":
        return "bool"
    if keyword["choices"]:
        words = ", ".join(json.dumps(choice) for choice in keyword["choices"])
        one = f"Literal[{words}]"
    else:
        one = TYPES.get(keyword["value_name"], "str")
    if keyword["kind"] == "many":
        one = f"{one} | Sequence[{one}]"
    return one if default_of(keyword) != "None" else f"{one} | None"


def default_of(keyword):
    """The default of a keyword, as Python spells it."""
    if keyword["kind"] == "switch":
        return "False"
    if keyword["default"] is None:
        return "None"
    if TYPES.get(keyword["value_name"]) in ("int", "float"):
        return keyword["default"]
    return json.dumps(keyword["default"])


def parameters_of(verb):
    """The parameters of a function, one a line."""
    keywords = json.loads(_tfquant.keywords(verb))
    positional = ["model: Model"]
    named = []
    for keyword in keywords:
        if keyword["name"] == "other":
            positional.append("other: Model")
        elif keyword["name"] == "node":
            positional.append("node: str | None = None")
        elif keyword["required"]:
            named.insert(0, f"{keyword['name']}: {type_of(keyword)}")
        else:
            named.append(f"{keyword['name']}: {type_of(keyword)} = {default_of(keyword)}")
    return [*positional, "*", *named]


def wrapped(text, indent):
    """Text in lines, those after the first further in."""
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 4),
        break_long_words=False,
        break_on_hyphens=False,
    )


def described(keyword):
    """What there is to say of a keyword."""
    # How a shell spells several words is of no use here.
    words = keyword["help"].replace(" (repeatable)", "").replace(", separated by commas", "")
    text = f"{keyword['name']}: {words}"
    if keyword["name"] in IN_MEMORY:
        text += f"; or {IN_MEMORY[keyword['name']][1]}"
    return text + "."


def docstring_of(verb):
    """What there is to say of a function."""
    keywords = [keyword for keyword in json.loads(_tfquant.keywords(verb)) if keyword["name"] != "other"]
    lines = [f'    """{ABOUT[verb]}', "", "    Args:", wrapped(MODEL, 8)]
    if any(line.startswith("other") for line in parameters_of(verb)):
        lines.append(wrapped(OTHER, 8))
    lines.extend(wrapped(described(keyword), 8) for keyword in keywords)
    lines += ["", "    Returns:", wrapped(RETURNS[verb][1], 8), "", "    Raises:"]
    lines.append(wrapped("OptionsError: A keyword's value that makes no sense, alone or for this model. It is a ``ValueError``.", 8))
    lines.append(wrapped("Error: Everything else, with what to do next in ``hint``.", 8))
    return "\n".join([*lines, '    """'])


def function_of(verb):
    """The text of a function."""
    returned = RETURNS[verb][0]
    call = "look" if returned.startswith("dict") else "make"
    parameters = "".join(f"    {parameter},\n" for parameter in parameters_of(verb))
    return (
        f"def {verb}(\n{parameters}) -> {returned}:\n{docstring_of(verb)}\n"
        f'    return {call}("{verb}", locals(), {verb}.__kwdefaults__)\n'
    )


def text():
    """The whole file."""
    return "\n\n".join([HEAD, *(function_of(verb) for verb in RETURNS)])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    if not check:
        FILE.write_text(text(), encoding="utf-8")
    elif FILE.read_text(encoding="utf-8") != text():
        raise SystemExit(f"{FILE} is not what the program's options say: run python python/tools/signatures.py")


if __name__ == "__main__":
    main()
