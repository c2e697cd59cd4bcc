"""Random models of every kind: TensorFlow takes what became of each wherever it takes the model itself."""

import pathlib
import subprocess

import pytest
import tensorflow.compat.v1 as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

REPOSITORY = pathlib.Path(__file__).parents[2]
GENERATE = REPOSITORY / "target" / "release" / "examples" / "generate"
MODELS = 300
# Which model gets which; none of these numbers of options has a factor in common with the three kinds of models.
OPTIONS = [
    [],
    ["--quant-delay", "20"],
    ["--mode", "eval"],
    ["--match", "topology", "--skip-unmatched"],
    ["--match", "names", "--skip-unmatched", "--no-fold-batch-norms"],
    ["--mode", "eval", "--weight-bits", "4", "--symmetric"],
    ["--match", "topology", "--skip-unmatched", "--freeze-bn-delay", "10"],
]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Files and folders of models."""
    folder = tmp_path_factory.mktemp("models")
    subprocess.run([GENERATE, "random", str(MODELS), folder], check=True)
    paths = sorted(folder.iterdir())
    assert len(paths) == MODELS
    return paths


def meta_graph(path):
    """What a file or folder holds, as a MetaGraphDef."""
    meta = tf.MetaGraphDef()
    if path.is_dir():
        model = saved_model_pb2.SavedModel()
        model.ParseFromString((path / "saved_model.pb").read_bytes())
        meta.CopyFrom(model.meta_graphs[0])
    elif path.suffix == ".meta" and not is_frozen(path):
        meta.ParseFromString(path.read_bytes())
    else:
        meta.graph_def.ParseFromString(path.read_bytes())
    return meta


def is_frozen(path):
    """Whether a file is a GraphDef, which everything becomes that is frozen on the way: its nodes have ops."""
    graph_def = tf.GraphDef()
    try:
        graph_def.ParseFromString(path.read_bytes())
    except DecodeError:
        return False
    return bool(graph_def.node and graph_def.node[0].op)


def imported(path):
    """The graph, by TensorFlow's importer, which infers all types and shapes, with its variables as objects."""
    with tf.Graph().as_default() as graph:
        tf.train.import_meta_graph(meta_graph(path))
    return graph


def same_outputs(names, before, after):
    """Types and shapes of the tensors of those nodes are in the second graph what they are in the first."""
    for name in names:
        operation, other = before.get_operation_by_name(name), after.get_operation_by_name(name)
        if other.type != operation.type:
            # An output keeps its name: it is what stands behind its quantizer now.
            assert other.type == "Identity", name
            continue
        assert [t.dtype for t in operation.outputs] == [t.dtype for t in other.outputs], name
        for tensor, same in zip(operation.outputs, other.outputs):
            assert tensor.shape.is_compatible_with(same.shape), name


def test_what_is_written_is_valid(models, binary, tmp_path):
    rewritten = 0
    for index, model in enumerate(models):
        output = tmp_path / model.name
        options = OPTIONS[index % len(OPTIONS)]
        command = [binary, "rewrite", model, "-o", output, "--allow-nothing", *options]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        # A fault of the generator would show here: TensorFlow refuses its model.
        before = imported(model)
        assert result.returncode in (0, 1, 2), (model, options, result.stderr)
        if result.returncode != 0:
            # A refusal says where and what to do, be it of the model or of a command that lacks the checkpoint.
            assert "hint: " in result.stderr, (model, options, result.stderr)
            assert not output.exists()
            continue
        graph_def = meta_graph(model).graph_def
        after = imported(output)
        names = {node.name for node in graph_def.node}
        if "frozen  " in result.stderr:
            # Layers in functions are seen once it is frozen, of which test_freeze.py speaks.
            names &= {operation.name for operation in after.get_operations()}
        same_outputs(names, before, after)
        rewritten += 1
    assert rewritten > 0.6 * len(models)


def test_nothing_more_to_do(models, binary, tmp_path):
    """A rewrite of what was rewritten adds nothing, and says so."""
    tried = 0
    for model in models[::5]:
        once, twice = tmp_path / f"once-{model.name}", tmp_path / f"twice-{model.name}"
        command = [binary, "rewrite", model, "-o", once, "--match", "topology", "--skip-unmatched"]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            continue
        command = [binary, "rewrite", once, "-o", twice, "--match", "topology", "--skip-unmatched", "--allow-nothing"]
        again = subprocess.run(command, capture_output=True, text=True, check=False)
        assert again.returncode == 0, (model, again.stderr)
        before, after = meta_graph(once).graph_def, meta_graph(twice).graph_def
        assert [node.name for node in before.node] == [node.name for node in after.node], (model, again.stdout)
        tried += 1
    assert tried > 20
