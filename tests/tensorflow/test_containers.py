"""Every container that goes in comes out as one that TensorFlow loads, in binary and in text."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from google.protobuf import text_format
from tensorflow.core.protobuf import saved_model_pb2

import models
import support

SIGNATURE = tf.saved_model.signature_constants.DEFAULT_SERVING_SIGNATURE_DEF_KEY
SERVING = tf.saved_model.tag_constants.SERVING


def saved_model(folder, training, resource=False):
    """Exports a model with its variables and an asset; returns the variables' values."""
    with tf.Graph().as_default() as graph:
        models.build(training, resource)
        asset = folder.parent / "classes.txt"
        asset.write_text("one\ntwo\n")
        tf.add_to_collection(tf.GraphKeys.ASSET_FILEPATHS, tf.constant(str(asset), name="classes"))
        inputs = {"images": graph.get_tensor_by_name("images:0")}
        outputs = {"classes": graph.get_tensor_by_name("Net/Predictions:0")}
        builder = tf.saved_model.Builder(str(folder))
        with support.session() as session:
            builder.add_meta_graph_and_variables(
                session,
                [SERVING],
                {SIGNATURE: tf.saved_model.predict_signature_def(inputs, outputs)},
                assets_collection=tf.get_collection(tf.GraphKeys.ASSET_FILEPATHS),
            )
            values = {variable.op.name: session.run(variable) for variable in tf.global_variables()}
        builder.save()
    return values


def run_signature(session, meta_graph, feed):
    signature = meta_graph.signature_def[SIGNATURE]
    fetch = signature.outputs["classes"].name
    return session.run(fetch, {signature.inputs["images"].name: feed["images:0"]})


@pytest.mark.parametrize("resource", [False, True], ids=["reference", "resource"])
@pytest.mark.parametrize(
    "options", [[], ["--mode", "eval"], ["--output-format", "text"]], ids=["training", "eval", "text"]
)
def test_a_saved_model_loads_and_runs(tfquant, options, resource):
    folder = tfquant.folder / "model"
    values = saved_model(folder, training="eval" not in options, resource=resource)
    quantized, report = tfquant.rewrite(folder, *options, output="quantized")
    message = "saved_model.pbtxt" if "text" in options else "saved_model.pb"
    assert [path.name for path in quantized.glob("saved_model.*")] == [message]
    assert (quantized / "assets" / "classes.txt").read_text() == "one\ntwo\n"
    with tf.Session() as session:
        meta_graph = tf.saved_model.load(session, [SERVING], str(quantized))
        for name, value in values.items():
            assert np.array_equal(session.run(support.variable(name)), value), f"{name} was not restored"
        new = [support.variable(name) for name in report["variables"]]
        session.run(tf.variables_initializer(new))
        assert not session.run(tf.report_uninitialized_variables()).size
        for fake_quant in support.fake_quants(report):
            assert fake_quant.output.consumers(), f"{fake_quant} feeds nothing"
        outputs = run_signature(session, meta_graph, models.images(1))
    assert outputs.shape == (16, models.CLASSES)
    assert np.allclose(outputs.sum(axis=1), 1, atol=1e-5)


def test_only_the_graph_of_the_tag_set_changes(tfquant):
    folder = tfquant.folder / "model"
    builder = tf.saved_model.Builder(str(folder))
    for tags in (["train"], ["serve", "small"]):
        with tf.Graph().as_default(), support.session() as session:
            models.build(training=tags == ["train"])
            session.run(tf.global_variables_initializer())
            if tags == ["train"]:
                builder.add_meta_graph_and_variables(session, tags)
            else:
                builder.add_meta_graph(tags)
    builder.save()
    quantized, _ = tfquant.rewrite(folder, "--tag-set", "small,serve", "--mode", "eval", output="quantized")
    before, after = (
        saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes()) for path in (folder, quantized)
    )
    assert before.meta_graphs[0] == after.meta_graphs[0], "the other graph changed"
    ops = {node.op for node in after.meta_graphs[1].graph_def.node}
    assert "FakeQuantWithMinMaxVars" in ops, "the graph asked for did not change"


def test_a_bare_graph_initialises_and_trains_by_its_added_ops(tfquant):
    options = ["--init-op", "init_ranges", "--update-op", "update_ranges"]
    path, report = tfquant.rewrite(tfquant.graph_def(), *options)
    tf.import_graph_def(support.read_graph_def(path), name="")
    weights = [support.tensor(f"{name}:0") for name in ("Net/conv/weights", "Net/fc/weights", "Net/fc/biases")]
    read = [support.tensor(tensor.name.replace(":0", "/read:0")) for tensor in weights]
    gradients = tf.gradients(support.tensor("loss:0"), read)
    steps = [tf.raw_ops.ApplyGradientDescent(var=v, alpha=0.2, delta=g) for v, g in zip(weights, gradients)]
    ranges = [f"{name}:0" for name in report["variables"] if name.endswith(("quant/min", "quant/max"))]
    with tf.Session() as session:
        session.run(["init", "init_ranges"])
        initial = session.run(ranges)
        assert set(initial) <= {-6.0, 0.0, 6.0}
        session.run("update_ranges", models.images(0))
        for name, before, after in zip(ranges, initial, session.run(ranges)):
            assert before != after or after == 0, f"update_ranges did not move {name}"
        losses = [session.run(["loss:0", steps], models.batch(step))[0] for step in range(60)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) / 2, losses


@pytest.mark.parametrize("name", ["model.pb", "model.pbtxt"])
def test_graph_text_and_binary_are_the_same_graph(tfquant, name):
    model = tfquant.graph_def(name)
    binary, _ = tfquant.rewrite(model, output="q.pb")
    text, _ = tfquant.rewrite(model, output="q.pbtxt")
    parsed = text_format.Parse(text.read_text(), tf.GraphDef())
    assert parsed == support.read_graph_def(binary)


@pytest.mark.parametrize("name", ["model.meta", "model.pbtxt"])
def test_meta_graph_text_and_binary_are_the_same_graph(tfquant, name):
    model = tfquant.meta_graph(name)
    binary, _ = tfquant.rewrite(model, output="q.meta")
    text, _ = tfquant.rewrite(model, output="q.pbtxt")
    parsed = text_format.Parse(text.read_text(), tf.MetaGraphDef())
    assert parsed == tf.MetaGraphDef.FromString(binary.read_bytes())


@pytest.mark.parametrize("output", ["again.meta", "again.pbtxt"])
def test_the_same_input_gives_the_same_bytes(tfquant, output):
    model = tfquant.meta_graph()
    first, _ = tfquant.rewrite(model, "--quant-delay", 5, output=output)
    bytes_of_first = first.read_bytes()
    second, _ = tfquant.rewrite(model, "--quant-delay", 5, output=output)
    assert second.read_bytes() == bytes_of_first


def test_old_nodes_come_out_as_they_went_in(tfquant):
    model = tfquant.graph_def()
    path, _ = tfquant.rewrite(model)
    before, after = support.read_graph_def(model), support.read_graph_def(path)
    assert [node.name for node in before.node] == [node.name for node in after.node[: len(before.node)]]
    assert before.library == after.library and before.versions == after.versions
    for old, new in zip(before.node, after.node):
        assert old.attr == new.attr and old.op == new.op, f"{old.name} changed in more than its inputs"
