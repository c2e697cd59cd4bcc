"""Rewrites every model file of a folder and compares, in TensorFlow, what original and result compute.

usage: real_files.py FOLDER TFQUANT [--only WORD] [FLAGS OF REWRITE ...]        (default flags: --mode eval)

A line per file: layers quantized, batch norms folded, whether the result can be imported, how many outputs were compared,
the largest difference relative to the largest value once the fake quantizers are bypassed, and the reasons for what was
left. `!!` marks a difference past the tolerance, an import that fails, and a crash. Exit code 1 if there is a mark.
"""

import collections
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import wave

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import tensorflow as tf2
import tensorflow.compat.v1 as tf
from google.protobuf import text_format
from tensorflow.core.protobuf import saved_model_pb2

TOLERANCE = 2e-4
FAKE_QUANT = ("FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel", "FakeQuantWithMinMaxArgs")
QUEUES = ("IteratorGetNext", "QueueDequeueV2", "QueueDequeueManyV2", "QueueDequeueUpToV2", "QueueDequeue")
SIDE_EFFECTS = re.compile("Assign|Save|Restore|Summary|Write|Print|Assert|NoOp|Queue|Apply|Iterator|Scatter|Barrier")
TRAINING = re.compile("(^|/)(Initializer|gradients|Adam|SGD|RMSprop|Momentum|GradientDescent|train_op|save)[_0-9]*(/|$)")
# Batch, other unknown dimensions, and the shape of what has no rank.
GUESSES = [
    (1, 32, (1, 32, 32, 3)),
    (2, 64, (64,)),
    (1, 8, (1, 28, 28, 1)),
    (1, 128, (1, 128)),
    (1, 224, (1, 224, 224, 3)),
    (1, 1, ()),
    (4, 3, (4, 3)),
    (16, 16, (1, 16)),
    (1, 299, (299, 299, 3)),
]
SETTING = re.compile("prob|min_|max_|factor|rate|phase|train|dropout|size")


class Skip(Exception):
    """Why a file is not compared."""


def models_of(folder):
    for root, folders, files in os.walk(folder):
        folders.sort()
        if {"saved_model.pb", "saved_model.pbtxt"} & set(files):
            folders.clear()
            yield root
            continue
        for name in sorted(files):
            if name.endswith((".pb", ".pbtxt", ".meta", ".pb.txt", ".meta.txt")):
                yield os.path.join(root, name)


def parse(path, kind):
    with open(path, "rb") as file:
        content = file.read()
    message = kind()
    try:
        message.ParseFromString(content)
    except Exception:
        message = text_format.Parse(content.decode("utf-8"), kind())
    return message


def load(path):
    """The graph of a file or folder, its library included."""
    if os.path.isdir(path):
        names = [name for name in ("saved_model.pb", "saved_model.pbtxt") if os.path.exists(os.path.join(path, name))]
        return parse(os.path.join(path, names[0]), saved_model_pb2.SavedModel).meta_graphs[0].graph_def
    candidates = [(tf.GraphDef, lambda message: message)]
    candidates.append((tf.MetaGraphDef, lambda message: message.graph_def))
    candidates.append((saved_model_pb2.SavedModel, lambda message: message.meta_graphs[0].graph_def))
    for kind, graph in candidates:
        try:
            found = graph(parse(path, kind))
        except Exception:
            continue
        if found.node and all(node.name and node.op for node in found.node):
            return found
    raise Skip("cannot be read")


def without_quantizers(graph_def):
    bypassed = tf.GraphDef()
    bypassed.CopyFrom(graph_def)
    for node in bypassed.node:
        if node.op in FAKE_QUANT and QUANTIZER.search(node.name):
            del node.input[1:]
            node.op = "Identity"
            node.attr.clear()
            node.attr["T"].type = tf.float32.as_datatype_enum
    return bypassed


QUANTIZER = re.compile("")


def seeded(graph_def):
    """Random ops yield the same in both graphs; nothing asks for another device."""
    for node in graph_def.node:
        node.device = ""
        node.name = usable(node.name)
        for at, name in enumerate(node.input):
            node.input[at] = usable(name)
        for seed in ("seed", "seed2"):
            if seed in node.attr:
                node.attr[seed].i = 7
        for hint in ("_class", "_output_shapes"):
            if hint in node.attr:
                del node.attr[hint]
    return graph_def


def channels_last(graph_def):
    """Layers in NCHW, for which CPUs have no kernel, with the channels brought to the end and back."""
    added = []
    for node in graph_def.node:
        if node.op in ("MaxPool", "AvgPool", "Conv2D", "DepthwiseConv2dNative") and node.attr["data_format"].s == b"NCHW":
            last, first = added_transpose(added, node, "last", [0, 2, 3, 1]), added_transpose(added, node, "first", [0, 3, 1, 2])
            pool = added_node(added, node.op, node.name + "/pool")
            pool.CopyFrom(node)
            pool.name = node.name + "/pool"
            last.input[0], pool.input[0], first.input[0] = node.input[0], last.name, pool.name
            for attr in [attr for attr in ("ksize", "strides", "dilations") if attr in pool.attr]:
                n, c, h, w = pool.attr[attr].list.i
                pool.attr[attr].list.i[:] = [n, h, w, c]
            pool.attr["data_format"].s = b"NHWC"
            name = node.name
            node.CopyFrom(first)
            node.name = name
            added.remove(first)
    graph_def.node.extend(added)
    return graph_def


def added_node(added, op, name):
    added.append(tf.NodeDef(name=name, op=op))
    return added[-1]


def added_transpose(added, node, name, order):
    axes = added_node(added, "Const", "%s/%s/axes" % (node.name, name))
    axes.attr["dtype"].type = tf.int32.as_datatype_enum
    axes.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(order, tf.int32))
    transpose = added_node(added, "Transpose", "%s/%s" % (node.name, name))
    transpose.input.extend(["", axes.name])
    transpose.attr["T"].type = node.attr["T"].type or tf.float32.as_datatype_enum
    transpose.attr["Tperm"].type = tf.int32.as_datatype_enum
    return transpose


def usable(name):
    """Names that begin with an underscore are TensorFlow's own: no graph with them can be imported."""
    return re.sub("^(\\^?)_", "\\1u_", name)


def imported(graph_def):
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
    return graph


def random_value(name, shape, dtype):
    """What keeps signals alive from layer to layer."""
    generator = np.random.RandomState(abs(hash_of(name)) % 2**31)
    if not dtype.is_floating:
        return np.zeros(shape, dtype.as_numpy_dtype)
    if len(shape) > 1:
        value = generator.normal(size=shape) * np.sqrt(2.0 / max(1, np.prod(shape[:-1])))
    elif "variance" in name or "gamma" in name or "scale" in name:
        value = generator.uniform(0.5, 1.5, shape)
    else:
        value = generator.normal(size=shape) * 0.1
    return np.asarray(value, dtype.as_numpy_dtype)


def hash_of(name):
    value = 17
    for character in name:
        value = (value * 31 + ord(character)) % 2**31
    return value


def initialise(graph, session):
    """The same values for variables of the same names; those of training, unseen by what is compared, too."""
    operations, feed = [], {}
    with graph.as_default():
        for op in graph.get_operations():
            if op.type in ("Variable", "VariableV2", "VarHandleOp"):
                shape = tf.TensorShape(op.get_attr("shape"))
                dtype = tf.as_dtype(op.get_attr("dtype"))
                if not shape.is_fully_defined() or dtype == tf.string:
                    continue
                value = tf.placeholder(dtype, shape)
                feed[value] = random_value(op.name, shape.as_list(), dtype)
                if op.type == "VarHandleOp":
                    operations.append(tf.raw_ops.AssignVariableOp(resource=op.outputs[0], value=value))
                else:
                    operations.append(tf.raw_ops.Assign(ref=op.outputs[0], value=value, validate_shape=False).op)
        if operations:
            session.run(operations, feed)
        for op in [op for op in graph.get_operations() if op.type == "InitializeTableFromTextFileV2"]:
            raise Skip("a table is read from %s" % op.inputs[1].name)


def sound():
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes((np.random.RandomState(1).normal(size=16000) * 3000).astype("<i2").tobytes())
    return file.getvalue()


def picture(size):
    with tf.Graph().as_default(), tf.Session() as session:
        pixels = np.random.RandomState(1).randint(0, 255, (size, size, 3)).astype("uint8")
        return session.run(tf.image.encode_png(pixels) if size % 2 else tf.image.encode_jpeg(pixels))


def value_for(tensor, batch, size, unknown):
    """Something random for a tensor that is fed."""
    generator = np.random.RandomState(hash_of(tensor.name))
    shape = tensor.shape
    if tensor.dtype == tf.string:
        readers = " ".join(reader.type for reader in tensor.consumers())
        value = sound() if "DecodeWav" in readers else picture(size * 2)
        return value if shape.rank in (None, 0) else np.full([d or batch for d in shape.as_list()], value, object)
    if shape.rank is None:
        dims = list(unknown) if tensor.dtype.is_floating and not SETTING.search(tensor.name) else []
    else:
        dims = [dim if dim is not None else (batch if at == 0 and shape.rank > 1 else size) for at, dim in enumerate(shape.as_list())]
        if shape.rank == 4 and shape.as_list()[3] is None:
            dims[3] = 3
    dims = [max(1, dim) for dim in dims]
    if tensor.dtype == tf.bool:
        return np.zeros(dims, bool)
    if tensor.dtype.is_integer:
        top = 255 if tensor.dtype == tf.uint8 else 2
        return generator.randint(0, top, dims).astype(tensor.dtype.as_numpy_dtype)
    if SETTING.search(tensor.name):
        return np.full(dims, 0.7, tensor.dtype.as_numpy_dtype)
    return generator.uniform(-1, 1, dims).astype(tensor.dtype.as_numpy_dtype)


def fed(graph, needed):
    """The tensors to feed among what is needed."""
    tensors = []
    for op in graph.get_operations():
        if op in needed and (op.type in ("Placeholder", "PlaceholderV2") or op.type in QUEUES):
            tensors += [output for output in op.outputs if output.dtype != tf.resource]
    return tensors


def ancestors(tensors):
    seen, todo = set(), [tensor.op for tensor in tensors]
    while todo:
        op = todo.pop()
        if op not in seen:
            seen.add(op)
            todo += [] if op.type in QUEUES else [tensor.op for tensor in op.inputs] + list(op.control_inputs)
    return seen


def compared_tensors(original):
    """What nobody reads, and is not of training."""
    tensors = []
    for op in original.get_operations():
        if SIDE_EFFECTS.search(op.type) or TRAINING.search(op.name) or op.type in ("Const", "Placeholder"):
            continue
        # Statistics of a batch norm for inference are nobody's.
        for output in op.outputs[: 1 if op.type.startswith("FusedBatchNorm") else None]:
            readers = [c for c in output.consumers() if not SIDE_EFFECTS.search(c.type) and not TRAINING.search(c.name)]
            if not readers and (output.dtype.is_floating or output.dtype.is_integer or output.dtype.is_bool) and not output.dtype._is_ref_dtype:
                tensors.append(output)
    # A variable that nobody reads is no output.
    return [t for t in tensors if any(op.type not in ("Const", "Identity", "ReadVariableOp", "VariableV2", "VarHandleOp", "Variable", "VarIsInitializedOp") for op in ancestors([t]))]


def difference(expected, actual):
    expected, actual = np.asarray(expected), np.asarray(actual)
    if expected.shape != actual.shape:
        return np.inf
    if expected.dtype.kind not in "fc":
        return float(np.mean(expected != actual)) if expected.size else 0.0
    expected, actual = expected.astype("float64"), actual.astype("float64")
    if (np.isfinite(expected) != np.isfinite(actual)).any():
        return np.inf
    finite = np.isfinite(expected)
    if not finite.any():  # nothing, or nothing but infinities
        return 0.0
    return float(np.max(np.abs(expected - actual)[finite]) / (np.max(np.abs(expected[finite])) + 1e-12))


def session_of(graph):
    config = tf.ConfigProto(intra_op_parallelism_threads=2)
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    return tf.Session(graph=graph, config=config)


def run_one_by_one(session, tensors, feeds):
    """The values of those tensors that can be run, and the first failure."""
    try:
        return dict(zip(tensors, session.run(tensors, feeds))), ""
    except Exception as error:
        first = words(error)
    values = {}
    for tensor in tensors:
        try:
            values[tensor] = session.run(tensor, feeds)
        except Exception:
            pass
    return values, first


def compare_graphs(original_def, result_def, renamed):
    original, result = [imported(channels_last(seeded(graph_def))) for graph_def in (original_def, result_def)]
    tensors = compared_tensors(original)
    if not tensors:
        raise Skip("no outputs")
    inputs = fed(original, ancestors(tensors))
    best, failure, feeds = {}, "", {}
    with session_of(original) as session:
        initialise(original, session)
        for guess in GUESSES:
            tried = {tensor: value_for(tensor, *guess) for tensor in inputs}
            values, error = run_one_by_one(session, tensors, tried)
            failure = failure or error
            if len(values) > len(best):
                best, feeds = collections.OrderedDict((t, values[t]) for t in tensors if t in values), tried
            if len(best) == len(tensors):
                break
    if not best:
        raise Skip("the original does not run: " + failure[:150])
    names = [tensor.name for tensor in best]
    with session_of(result) as session:
        initialise(result, session)
        feeds = {result.get_tensor_by_name(tensor.name): value for tensor, value in feeds.items() if exists(result, tensor.name)}
        wanted = [result.get_tensor_by_name(renamed.get(name, name)) for name in names]
        actual, error = run_one_by_one(session, wanted, feeds)
    lost = [name for name, tensor in zip(names, wanted) if tensor not in actual]
    if lost:
        raise RuntimeError("of the result %s cannot be run: %s" % (lost[0], error))
    differences = [difference(value, actual[tensor]) for value, tensor in zip(best.values(), wanted)]
    worst = int(np.argmax(differences))
    flat = sum(1 for value in best.values() if np.size(value) == 0 or np.ptp(np.nan_to_num(np.asarray(value, "float64"))) == 0) if best else 0
    note = "%d outputs constant" % flat if flat else ""
    return "%d/%d" % (len(best), len(tensors)), differences[worst], (names[worst] if differences[worst] > TOLERANCE else "") + note


def exists(graph, name):
    try:
        graph.get_tensor_by_name(name)
        return True
    except KeyError:
        return False


def compare_functions(path, result_def):
    """A SavedModel whose body is in functions, called by its signature, and the frozen result."""
    model = tf2.saved_model.load(path)
    keys = [key for key in model.signatures if key == "serving_default"] or list(model.signatures)
    signature = model.signatures[keys[0]]
    result = imported(seeded(result_def))
    failure = ""
    for guess in GUESSES:
        feeds = {}
        for key, spec in signature.structured_input_signature[1].items():
            with tf.Graph().as_default():
                feeds[key] = value_for(tf.placeholder(spec.dtype, spec.shape, name=key), *guess)
        try:
            expected = signature(**{key: tf2.constant(value) for key, value in feeds.items()})
            break
        except Exception as error:
            failure = failure or words(error)
    else:
        raise Skip("the original does not run: " + failure[:150])
    expected = {key: value.numpy() for key, value in expected.items()}
    placeholders = {op.name: op.outputs[0] for op in result.get_operations() if op.type == "Placeholder"}
    with session_of(result) as session:
        initialise(result, session)
        by_name = {}
        for key, value in feeds.items():
            found = [tensor for name, tensor in placeholders.items() if name in (key, "%s_%s" % (keys[0], key))]
            if not found and len(feeds) == 1 == len(placeholders):
                found = list(placeholders.values())
            if found:
                by_name[found[0]] = value
        outputs = outputs_of(path, keys[0], expected, result)
        actual = session.run(outputs, by_name)
    differences = {key: difference(expected[key], actual[key]) for key in expected}
    worst = max(differences, key=differences.get)
    return "%d/%d" % (len(expected), len(expected)), differences[worst], worst if differences[worst] > TOLERANCE else ""


def outputs_of(path, key, expected, result):
    names = [name for name in ("saved_model.pb", "saved_model.pbtxt") if os.path.exists(os.path.join(path, name))]
    signature = parse(os.path.join(path, names[0]), saved_model_pb2.SavedModel).meta_graphs[0].signature_def[key]
    outputs = {}
    for name in expected:
        tensor = signature.outputs[name].name
        outputs[name] = result.get_tensor_by_name(tensor if exists(result, tensor) else name + ":0")
    return outputs


def words(error):
    """What an error says first, without the lines that every error has."""
    lines = [line for line in str(error).split("\n") if line and "Graph execution error" not in line and "Detected at" not in line]
    return " ".join(line.strip() for line in lines[:3])


def is_in_functions(graph_def):
    return any("PartitionedCall" in node.op for node in graph_def.node)


def reasons(report):
    left = collections.Counter()
    for layer in report["layers"]:
        if layer["outcome"] not in ("quantized", "folded_twin"):
            left[layer["outcome"]] += 1
    for norm in report["batch_norms"]:
        if norm["outcome"] != "folded":
            left["norm " + norm["outcome"]] += 1
    return " ".join("%d %s" % (count, reason) for reason, count in sorted(left.items()))


def look_at(path, tfquant, flags):
    """The columns of a model's line, and whether something is wrong."""
    global QUANTIZER
    with tempfile.TemporaryDirectory() as folder:
        out, log = os.path.join(folder, "out.pb"), os.path.join(folder, "report.json")
        command = [tfquant, "rewrite", path, "-o", out, "-q", "--report", log] + flags
        run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
        said = run.stderr.decode("utf-8", "replace").strip()
        if run.returncode != 0:
            return ["-", "-", "-", "-", "-", said.replace("\n", " | ")[:400]], run.returncode not in (1, 2) or "panicked" in said
        with open(log) as file:
            report = json.load(file)
        summary = report["summary"]
        folded = sum(norm["outcome"] == "folded" for norm in report["batch_norms"])
        columns = ["%d/%d" % (summary["quantized"], summary["layers"]), "%d/%d" % (folded, len(report["batch_norms"]))]
        why = reasons(report)
        try:
            original_def = load(path)
        except Skip as skip:
            return columns + ["-", "-", "-", "%s; %s" % (why, skip)], False
        result_def = load(out)
        QUANTIZER = re.compile("^(%s)$" % "|".join(re.escape(usable(fake["node"])) for part in report["layers"] + report["adds"] for fake in part["fake_quants"]))
        try:
            imported(original_def)
            importable = True
        except Exception as error:
            importable, why = False, why + "; original: " + str(error).split("\n")[0][:150]
        try:
            imported(result_def)
        except Exception as error:
            why += "; " + words(error)[:300]
            if importable:
                return columns + ["no", "-", "-", why], True
            columns.append("neither")
        else:
            columns.append("yes" if importable else "only it")
        renamed = {output["before"]: output["after"] for output in report["outputs"]}
        renamed = {before: before for before in renamed}
        bypassed = without_quantizers(result_def)
        try:
            if os.path.isdir(path) and is_in_functions(original_def):
                count, worst, note = compare_functions(path, bypassed)
            else:
                count, worst, note = compare_graphs(original_def, bypassed, renamed)
        except Skip as skip:
            return columns + ["-", "-", "%s; %s" % (why, skip)], False
        except Exception as error:
            return columns + ["-", "-", "%s; %s" % (why, words(error)[:300])], importable
        return columns + [count, "%.1e" % worst, " ".join([why, note])], not worst <= TOLERANCE


def main(arguments):
    folder, tfquant, flags = arguments[0], os.path.abspath(arguments[1]), arguments[2:]
    only = ""
    if flags[:1] == ["--only"]:
        only, flags = flags[1], flags[2:]
    tf.disable_eager_execution() if tf2.__version__.startswith("1.") else None
    tf.get_logger().setLevel("ERROR")
    wrong = 0
    print("   %7s %7s %7s %7s %8s  %-40s %s" % ("layers", "norms", "imports", "outputs", "differ", "file", "left, and why"))
    for path in models_of(folder):
        name = os.path.relpath(path, folder)
        if only and only not in name:
            continue
        try:
            columns, is_wrong = look_at(path, tfquant, flags or ["--mode", "eval"])
        except Exception as error:
            columns, is_wrong = ["-"] * 5 + [type(error).__name__ + ": " + str(error).split("\n")[0][:300]], True
        wrong += is_wrong
        print("%2s %7s %7s %7s %7s %8s  %-40s %s" % tuple(["!!" if is_wrong else ""] + columns[:5] + [name, columns[5]]), flush=True)
    print("%d wrong" % wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
