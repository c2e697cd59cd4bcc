"""Old training scripts under TensorFlow 2: `tfquant.contrib_quantize` on live graphs."""

import inspect
import io
import json
import pathlib
import re
import tarfile
import warnings

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import zstandard

import old_scripts
import same_graph
import tfquant as package
from tensorflow.core.protobuf import saved_model_pb2
from tfquant import contrib_quantize
from tfquant.contrib_quantize import fold_batch_norms, quantize

STEPS = 200
# Of those whose names begin with "taken", a node to be inserted has the name of a scope: TensorFlow's importer renames it.
REPOSITORY = pathlib.Path(__file__).parents[2]
CASES = [
    case
    for case in sorted((REPOSITORY / "testdata" / "topology").glob("*.tar.zst"))
    if not case.name.startswith("taken")
]
pytestmark = pytest.mark.filterwarnings("ignore::tfquant.Warning", "ignore::UserWarning", "ignore::DeprecationWarning")


@pytest.fixture(params=sorted(old_scripts.NETWORKS))
def network(request):
    return request.param


@pytest.fixture(autouse=True)
def old_variables():
    """Variables as a script for TensorFlow 1 makes them."""
    tf.disable_resource_variables()
    yield
    tf.enable_resource_variables()


def train(loss, steps=STEPS):
    """Trains the default graph; returns the losses and the session."""
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    with tf.control_dependencies(updates):
        train_op = tf.train.AdamOptimizer(0.01).minimize(loss, tf.train.get_or_create_global_step())
    session = tf.Session()
    session.run(tf.global_variables_initializer())
    return [session.run([loss, train_op], old_scripts.batch(step))[0] for step in range(steps)], session


def named(suffix):
    return [variable for variable in tf.global_variables() if variable.op.name.endswith(suffix)]


def test_a_script_trains_and_its_eval_graph_takes_the_checkpoint(network, tfquant, tmp_path):
    _, loss = old_scripts.build(network, training=True)
    before = tf.global_variables()
    contrib_quantize.create_training_graph()
    assert tf.global_variables()[: len(before)] == before
    losses, session = train(loss)
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:20]), losses[::20]
    saver = tf.train.Saver()
    checkpoint = saver.save(session, str(tmp_path / "trained"))
    ranges = {each.op.name: session.run(each) for each in named("_quant/min") + named("_quant/max")}
    assert ranges and all(np.abs(value) != 6 for value in ranges.values()), "a range did not move"
    assert ranges.keys() <= {name for name, _ in tf.train.list_variables(checkpoint)}

    # What the program makes of the exported eval graph gives the numbers that the eval graph must give.
    with tf.Graph().as_default():
        old_scripts.build(network, training=False)
        exported = tmp_path / "eval.meta"
        tf.train.export_meta_graph(str(exported))
        path, _ = tfquant.rewrite(exported, "--match", "topology", "--reference-only", "--mode", "eval", fold=True)
        contrib_quantize.create_eval_graph()
        live = numbers(checkpoint)
    with tf.Graph().as_default():
        tf.train.import_meta_graph(str(path))
        np.testing.assert_array_equal(live, numbers(checkpoint))


def numbers(checkpoint):
    with tf.Session() as session:
        tf.train.Saver().restore(session, checkpoint)
        return session.run("classes:0", {"images:0": old_scripts.batch(1)["images:0"]})


def test_ranges_move_by_their_rule():
    _, loss = old_scripts.build("slim", training=True)
    contrib_quantize.create_training_graph()
    graph = tf.get_default_graph()
    scope = "MobilenetV1/Conv2d_0"
    seen = graph.get_tensor_by_name(f"{scope}/act_quant/Maximum:0")
    weights = graph.get_tensor_by_name(f"{scope}/mul_fold:0")
    session = tf.Session()
    session.run(tf.global_variables_initializer())
    # Averages that begin at zero, made as if they did not.
    decay, average = 0.999, 0.0
    for step in range(1, 6):
        greatest, folded, _ = session.run([seen, weights, loss], old_scripts.batch(step))
        average = decay * average + (1 - decay) * greatest
        (act_max,), (weights_min,) = named(f"{scope}/act_quant/max"), named(f"{scope}/weights_quant/min")
        np.testing.assert_allclose(session.run(act_max), average / (1 - decay**step), rtol=1e-4)
        np.testing.assert_allclose(session.run(weights_min), min(folded.min(), 0), rtol=1e-5)


@pytest.mark.parametrize("verb", ["training", "eval", "delayed"])
def test_the_graph_is_what_the_program_makes_of_the_file(network, verb, tfquant, tmp_path):
    old_scripts.build(network, training=verb != "eval")
    exported = tmp_path / "model.meta"
    tf.train.export_meta_graph(str(exported))
    options = {"training": [], "eval": ["--mode", "eval"], "delayed": ["--quant-delay", "7", "--freeze-bn-delay", "9"]}
    path, _ = tfquant.rewrite(exported, "--match", "topology", "--reference-only", *options[verb], fold=True)
    if verb == "training":
        contrib_quantize.create_training_graph()
    elif verb == "eval":
        contrib_quantize.create_eval_graph()
    else:
        contrib_quantize.experimental_create_training_graph(quant_delay=7, freeze_bn_delay=9)
    expected = same_graph.as_exported(path.read_bytes())
    assert same_graph.differences(expected, tf.train.export_meta_graph()) == []


@pytest.mark.parametrize("case", CASES[::12], ids=lambda case: case.name.partition(".")[0])
def test_the_graph_is_what_tensorflow_1_15_makes(case):
    files = unpacked(case)
    for name in sorted(name for name in files if name.endswith(".json")):
        spec = json.loads(files[name])
        options = dict(spec["options"])
        resource, training = options.pop("resource_variables", False), options.pop("is_training")
        options.pop("allow_training_ops", None)
        freeze = options.pop("freeze_bn_delay", None)
        after = files.get(name.replace(".json", ".after.meta"))
        with tf.Graph().as_default() as graph:
            same_graph.meta_graph.import_scoped_meta_graph(
                same_graph.meta_graph_pb2.MetaGraphDef.FromString(files["before.meta"])
            )
            tf.get_variable_scope().set_use_resource(resource)
            operations = [(op.name, list(op.inputs)) for op in graph.get_operations()]
            try:
                if spec["fold"]:
                    fold_batch_norms.FoldBatchNorms(graph, training, freeze)
                    operations = [(op.name, list(op.inputs)) for op in graph.get_operations()]
                quantize.Quantize(graph, training, **options)
            except ValueError:
                assert after is None, f"{name} is refused"
                assert [(op.name, list(op.inputs)) for op in graph.get_operations()] == operations
                continue
            actual = tf.train.export_meta_graph(graph=graph)
        assert after is not None, f"{name} is not refused"
        assert same_graph.differences(same_graph.as_exported(after), actual) == [], name


def unpacked(case):
    with tarfile.open(fileobj=io.BytesIO(zstandard.ZstdDecompressor().stream_reader(case.read_bytes()).read())) as tar:
        members = [member for member in tar if member.isfile()]
        return {pathlib.Path(member.name).name: tar.extractfile(member).read() for member in members}


def test_gradients_go_through_delayed_quantizers(network):
    _, loss = old_scripts.build(network, training=True)
    contrib_quantize.create_training_graph(quant_delay=20)
    losses, session = train(loss, 60)
    assert losses[-1] < losses[0]
    (step,) = named("fake_quantization_step")
    assert session.run(step) == 60


def test_signatures_are_those_of_tensorflow_1_15():
    expected = {
        "create_training_graph": "(input_graph=None, quant_delay=0)",
        "create_eval_graph": "(input_graph=None)",
        "experimental_create_training_graph": "(input_graph=None, weight_bits=8, activation_bits=8, symmetric=False, "
        "quant_delay=0, freeze_bn_delay=None, scope=None)",
        "experimental_create_eval_graph": "(input_graph=None, weight_bits=8, activation_bits=8, symmetric=False, "
        "quant_delay=None, scope=None)",
    }
    for name, signature in expected.items():
        parameters = inspect.signature(getattr(contrib_quantize, name)).parameters.values()
        bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
        assert str(inspect.Signature(bare)) == signature


def test_existing_objects_stay_what_they_are(network):
    logits, _ = old_scripts.build(network, training=True)
    graph = tf.get_default_graph()
    operations, collections = graph.get_operations(), {key: graph.get_collection(key) for key in graph.collections}
    contrib_quantize.create_training_graph(graph)
    assert graph.get_operations()[: len(operations)] == operations
    for key, objects in collections.items():
        assert all(now is then for now, then in zip(graph.get_collection(key), objects)), key
    assert graph.get_tensor_by_name("logits:0") is logits
    new = tf.global_variables()[-1]
    assert isinstance(new, tf.Variable) and not new.trainable


def test_a_second_time_changes_nothing(network):
    old_scripts.build(network, training=False)
    contrib_quantize.create_eval_graph()
    before = tf.get_default_graph().as_graph_def()
    contrib_quantize.create_eval_graph()
    assert tf.get_default_graph().as_graph_def() == before


def test_a_graph_that_is_refused_is_as_it_was():
    _, loss = old_scripts.build("slim", training=True)
    tf.train.GradientDescentOptimizer(0.1).minimize(loss)
    graph = tf.get_default_graph()
    before = graph.as_graph_def(), {key: graph.get_collection(key) for key in graph.collections}
    with pytest.raises(ValueError, match="Training op found in graph"):
        contrib_quantize.create_training_graph()
    with pytest.raises(ValueError, match="weight_bits"):
        quantize.Quantize(graph, is_training=True, weight_bits=99)
    assert (graph.as_graph_def(), {key: graph.get_collection(key) for key in graph.collections}) == before
    graph.finalize()
    with pytest.raises(RuntimeError, match="finalized"):
        quantize.Quantize(graph, is_training=True)


def test_a_graph_that_is_not_the_default_one():
    with tf.Graph().as_default() as graph:
        old_scripts.build("slim", training=True)
    contrib_quantize.create_training_graph(graph, 10)
    assert tf.get_default_graph().get_operations() == []
    assert any(op.type == "FakeQuantWithMinMaxVars" for op in graph.get_operations())


def test_messages_come_back_as_what_they_were():
    old_scripts.build("slim", training=False)
    meta_graph = tf.train.export_meta_graph()
    saved_model = saved_model_pb2.SavedModel(saved_model_schema_version=1, meta_graphs=[meta_graph])
    for message in (meta_graph, meta_graph.graph_def, saved_model):
        copy = type(message).FromString(message.SerializeToString())
        rewritten = package.rewrite(message, match="topology", reference_only=True, mode="eval")
        assert type(rewritten.model) is type(message) and message == copy
        assert rewritten.variables and package.check(rewritten.model)["model"]["container"] == type(message).__name__
    with tf.Graph().as_default():
        tf.import_graph_def(package.rewrite(meta_graph.graph_def, mode="eval").model, name="")


def test_what_there_is_to_know_is_warned_of_where_the_script_calls():
    old_scripts.build("slim", training=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        contrib_quantize.create_eval_graph()
        contrib_quantize.create_eval_graph()
    ours = [warning for warning in caught if issubclass(warning.category, package.Warning)]
    assert ours and {warning.filename for warning in ours} == {__file__}


def test_the_line_that_the_readme_changes():
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (line,) = [block for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "contrib_quantize" in block]
    _, loss = old_scripts.build("slim", training=True)
    exec(compile(line, "README.md", "exec"), {})
    losses, _ = train(loss, 3)
    assert np.isfinite(losses).all() and named("_quant/min")
