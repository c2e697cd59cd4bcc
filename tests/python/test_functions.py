"""The functions do what the program does, with models in memory."""

import json
import warnings

import pytest

import tfquant


def test_rewrite_makes_what_the_program_makes(run, tmp_path, testdata, mobilenet):
    path = testdata / "mobilenet_v1.meta"
    assert run("rewrite", path, "-o", "out.meta", "--quant-delay", 2000, "--report", "report.json").returncode == 0
    expected = json.loads((tmp_path / "report.json").read_text())
    rewritten = tfquant.rewrite(mobilenet, quant_delay=2000)
    assert rewritten.model == (tmp_path / "out.meta").read_bytes()
    assert tfquant.rewrite(path, quant_delay=2000).model == rewritten.model
    assert rewritten.variables == expected["variables"] and len(rewritten.variables) == 224
    assert rewritten.initializers == expected["initializers"]
    assert rewritten.update_ops == expected["update_ops"]
    here = rewritten.report
    for document in (expected, here):
        for where in ("input", "output"):
            document[where].pop("path")
        document.pop("seconds")
    assert here == expected


def test_a_model_is_written_as_the_program_writes_it(run, tmp_path, mobilenet, testdata):
    rewritten = tfquant.rewrite(mobilenet)
    rewritten.write(tmp_path / "binary.meta")
    rewritten.write(str(tmp_path / "text.pbtxt"))
    assert (tmp_path / "binary.meta").read_bytes() == rewritten.model
    run("rewrite", "-q", testdata / "mobilenet_v1.meta", "-o", "expected.pbtxt")
    assert (tmp_path / "text.pbtxt").read_bytes() == (tmp_path / "expected.pbtxt").read_bytes()
    with pytest.raises(tfquant.Error, match="none") as raised:
        rewritten.write(tmp_path / "none" / "out.meta")
    assert raised.value.kind == "io"


def test_a_folder_becomes_a_folder(tmp_path, mobilenet):
    rewritten = tfquant.rewrite(tfquant.freeze(frozen_layer(), output_format="saved-model").model, mode="eval")
    rewritten.write(tmp_path / "message.pb")
    assert tfquant.summary(tmp_path / "message.pb")["model"]["container"] == "SavedModel"
    tfquant.freeze(frozen_layer(), output_format="saved-model").write(tmp_path / "folder")
    tfquant.rewrite(tmp_path / "folder", mode="eval").write(tmp_path / "rewritten")
    assert (tmp_path / "rewritten" / "saved_model.pb").exists()


def test_text_is_read_and_made(mobilenet):
    text = tfquant.rewrite(mobilenet, output_format="text").model
    assert text.startswith(b"meta_info_def")
    assert tfquant.diff(text, tfquant.rewrite(mobilenet).model)["nodes"] == []


@pytest.mark.parametrize("given", [bytes, bytearray, memoryview])
def test_anything_with_bytes_is_a_model(given, mobilenet):
    assert tfquant.summary(given(mobilenet))["model"]["container"] == "MetaGraphDef"


def test_documents_are_those_that_the_program_prints(run, testdata, mobilenet):
    quantized = tfquant.rewrite(mobilenet)
    path = testdata / "mobilenet_v1.meta"
    for verb, arguments, document in [
        ("summary", [path], tfquant.summary(path)),
        ("explain", [path], tfquant.explain(path)),
        ("explain", [path, "MobilenetV1/Conv2d_0/Conv2D"], tfquant.explain(path, "MobilenetV1/Conv2d_0/Conv2D")),
        ("check", [path], tfquant.check(path)),
        ("ranges", [path], tfquant.ranges(path)),
        ("diff", [path, path], tfquant.diff(path, path)),
    ]:
        printed = json.loads(run(verb, "--json", *arguments).stdout)
        for each in (printed, document):
            each.get("plan", {}).pop("seconds", None)
        assert document == printed, verb
    assert tfquant.diff(mobilenet, quantized.model)["added"] == 2647
    assert tfquant.check(quantized.model, against=quantized.model)["against"]["nodes"] == 3793


def test_folding_and_freezing(mobilenet):
    folded = tfquant.fold(mobilenet)
    assert isinstance(folded, tfquant.Rewritten) and folded.report["summary"]["fake_quants"] == 0
    frozen = tfquant.freeze(frozen_layer())
    assert frozen.report["command"] == "freeze" and tfquant.summary(frozen.model)["model"]["container"] == "GraphDef"


def test_calibrating_on_arrays_is_calibrating_on_files(tmp_path, capfd):
    numpy = pytest.importorskip("numpy")
    samples = numpy.random.default_rng(1).normal(size=(8, 4)).astype("float32")
    numpy.save(tmp_path / "samples.npy", samples)
    in_memory = tfquant.calibrate(frozen_layer(), data=samples)
    assert tfquant.calibrate(frozen_layer(), data={"x": samples}).model == in_memory.model
    assert tfquant.calibrate(frozen_layer(), data=[tmp_path / "samples.npy"]).model == in_memory.model
    assert tfquant.calibrate(frozen_layer(), data={"x": tmp_path / "samples.npy"}).model == in_memory.model
    assert isinstance(in_memory, tfquant.Calibrated) and in_memory.report["fed"]
    compared = tfquant.compare(frozen_layer(), in_memory.model, data=samples, labels=numpy.zeros(8, "int64"))
    assert compared["tensors"][0]["sqnr"] > 20
    assert tfquant.calibrate(frozen_layer(), data=samples[:2], limit=1, method="mse").report["method"]
    assert capfd.readouterr() == ("", "")


def test_what_there_is_to_know_is_warned_of(mobilenet):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tfquant.fold(mobilenet, match="topology")
    assert caught and all(issubclass(warning.category, tfquant.Warning) for warning in caught)
    assert caught[0].filename == __file__


def frozen_layer():
    """A frozen graph, as text: a product with weights, and a Relu."""
    return b"""
    node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } }
      attr { key: "shape" value { shape { dim { size: -1 } dim { size: 4 } } } } }
    node { name: "w" op: "Const" attr { key: "dtype" value { type: DT_FLOAT } } attr { key: "value" value { tensor {
      dtype: DT_FLOAT tensor_shape { dim { size: 4 } dim { size: 2 } }
      float_val: 0.5 float_val: -1 float_val: 0.25 float_val: 2 float_val: 1 float_val: 0.75 float_val: -0.5 float_val: 1 } } } }
    node { name: "y" op: "MatMul" input: "x" input: "w" attr { key: "T" value { type: DT_FLOAT } }
      attr { key: "transpose_a" value { b: false } } attr { key: "transpose_b" value { b: false } } }
    node { name: "out" op: "Relu" input: "y" attr { key: "T" value { type: DT_FLOAT } } }
    """
