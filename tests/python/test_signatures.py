"""The signatures say what the program's options are."""

import inspect
import json
import pathlib
import re
import subprocess
import sys

import pytest

import tfquant
from tfquant import _tfquant

REPOSITORY = pathlib.Path(__file__).parents[2]
VERBS = [name for name in tfquant.__all__ if name.islower() and not name.startswith("_")]
# Where results go, and how much is said of them.
OF_THE_PROGRAM_ALONE = {
    *("all", "color", "dry_run", "format", "help", "html", "json", "ops", "output", "plan", "quiet", "report", "verbose"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_of_the_program_is_a_keyword(run, verb):
    help_ = run(verb, "--help").stdout.decode()
    flags = {flag.replace("-", "_") for flag in re.findall(r"^ +(?:-\w, )?--([a-z-]+)", help_, re.MULTILINE)}
    parameters = inspect.signature(getattr(tfquant, verb)).parameters
    keywords = {name for name, parameter in parameters.items() if parameter.kind is parameter.KEYWORD_ONLY}
    assert keywords == flags - OF_THE_PROGRAM_ALONE


@pytest.mark.parametrize("verb", VERBS)
def test_defaults_and_words_are_the_programs(verb):
    signature = inspect.signature(getattr(tfquant, verb))
    docstring = getattr(tfquant, verb).__doc__
    for keyword in json.loads(_tfquant.keywords(verb)):
        parameter = signature.parameters[keyword["name"]]
        if keyword["kind"] == "switch":
            assert parameter.default is False
        elif keyword["default"] is not None:
            assert str(parameter.default) == keyword["default"]
        else:
            assert parameter.default in (None, inspect.Parameter.empty)
        assert f"{keyword['name']}: " in docstring


def test_the_file_of_signatures_is_current():
    script = REPOSITORY / "python" / "tools" / "signatures.py"
    subprocess.run([sys.executable, script, "--check"], check=True, timeout=60)
    written = (REPOSITORY / "python" / "tfquant" / "_functions.py").read_text()
    assert written == pathlib.Path(inspect.getfile(tfquant.rewrite)).read_text()
