"""Four whole networks of `networks.py`, calibrated and converted: nothing stays in float, and the model is as good as the
one that the converter quantizes by itself with the same samples. Those that are trained are kept in `testdata`: training
comes out otherwise on another processor, and of 300 images one is a third of a point."""

import json
import pathlib
import shutil
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).with_name("networks.py")
TRAINED = pathlib.Path(__file__).parents[2] / "testdata" / "networks"
HOW = {"trained": (["DSCNN", "Conv1D"], []), "untrained": (["MobileNetV2", "MobileNetV3Small"], ["--untrained"])}
# What names and scales of a model take that does not shrink with its weights.
KILOBYTES = 1.5


@pytest.mark.parametrize("how", HOW)
def test_whole_networks_become_integer_models(binary, tmp_path, how):
    names, options = HOW[how]
    if how == "trained":
        shutil.copytree(TRAINED, tmp_path, dirs_exist_ok=True)
    table = tmp_path / "table.json"
    command = f"'{binary}' calibrate {{model}} --outputs {{outputs}} --data {{data}} -o {{output}}"
    arguments = ["--cache", tmp_path, "--command", command, "--json", table, *options, *names]
    done = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stderr[-3000:]
    (rows,) = json.loads(table.read_text()).values()
    assert list(rows) == names
    for name, row in rows.items():
        made, own = row["int8"], row["own"]
        assert made["runs"] is True, f"{name}: {made['runs']}"
        assert (made["float_ops"], made["float_tensors"]) == (0, 0), name
        assert made["requantizes"] <= own["requantizes"], name
        least = own["decibels"] - 0.5
        assert made["decibels"] >= least, f"{name}: {made['decibels']} dB, its own {own['decibels']}"
        assert made["kilobytes"] <= 1.02 * own["kilobytes"] + KILOBYTES, name
        if how == "trained":
            assert made["accuracy"] >= max(row["float"]["accuracy"], own["accuracy"]) - 0.005, name
