"""Whole networks: every activation that the interpreter computes against TensorFlow's, time and memory.

    python interpreter_networks.py target/release/examples/run_graph [network …]

Random weights, perturbed batch-norm statistics, 224 pixels (or the network's own size); TensorFlow on one thread fetches
all activations. Times are those of the processor, and both take turns, so that a busy machine counts little: the ratio is
the median of those of the turns, and `2 thr.` says how many times as much two threads do. Ends with an error when an
activation is off by more than 1e-5 of its largest value.
"""

import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

TOLERANCE = 1e-5
RUNS = 3
TURNS = 5


def networks():
    import tensorflow as tf

    applications = tf.keras.applications
    sized = {name: size for name, size in dict(InceptionV3=299, Xception=299).items()}
    names = ["MobileNet", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large", "ResNet50", "ResNet50V2", "InceptionV3",
             "DenseNet121", "Xception", "NASNetMobile", "EfficientNetB0", "VGG16"]
    made = {name: (lambda name=name: getattr(applications, name)(weights=None), sized.get(name, 224)) for name in names}
    made["Decoder"] = (decoder, 64)
    return made


def decoder():
    """A small network with what the others lack: transposed convolution, LeakyRelu, resizing, padding."""
    import tensorflow as tf

    layers = tf.keras.layers
    x = inputs = layers.Input([64, 64, 3])
    x = skip = layers.Conv2D(16, 3, 2, "same")(x)
    x = layers.LeakyReLU(0.1)(layers.BatchNormalization()(x))
    x = layers.Conv2D(24, 3, 2, "same", activation="relu6")(layers.ZeroPadding2D([[1, 0], [0, 1]])(x))
    x = layers.UpSampling2D(2, interpolation="bilinear")(x)
    x = layers.Conv2DTranspose(16, 3, 1, "same", activation="elu")(layers.Cropping2D([[1, 1], [0, 2]])(x))
    skip = layers.Cropping2D([[0, 0], [0, 0]])(layers.Conv2DTranspose(16, 2, 2)(skip))
    skip = layers.Resizing(*x.shape[1:3])(skip)
    x = layers.Concatenate()([x, skip])
    x = layers.UpSampling2D(2)(layers.AveragePooling2D(3, 2, "same")(x))
    return tf.keras.Model(inputs, layers.Softmax()(layers.Conv2D(5, 1)(x)))


def freeze(name, folder):
    """Writes the frozen graph and an image; prints the names of input and output."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    tf.keras.utils.set_random_seed(5)
    build, size = networks()[name]
    model = build()
    random = np.random.RandomState(4)
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.set_weights([np.abs(1 + 0.2 * random.normal(size=w.shape)) if "gamma" in v.name or "variance" in v.name
                               else 0.1 * random.normal(size=w.shape) for v, w in zip(layer.weights, layer.get_weights())])
    function = tf.function(lambda x: model(x, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec([1, size, size, 3], tf.float32))
    frozen = convert_variables_to_constants_v2(concrete)
    (folder / "graph.pb").write_bytes(frozen.graph.as_graph_def().SerializeToString())
    np.save(folder / "image.npy", random.uniform(-1, 1, [1, size, size, 3]).astype(np.float32))
    (folder / "ends.txt").write_text(f"{frozen.inputs[0].name} {frozen.outputs[0].name}")


def trace(folder):
    """Every activation by TensorFlow on one thread; prints how they compare, milliseconds a run for each line that is read,
    and then the peak of memory."""
    import tensorflow.compat.v1 as tf

    tf.disable_eager_execution()
    graph_def = tf.GraphDef()
    graph_def.ParseFromString((folder / "graph.pb").read_bytes())
    source, _ = (folder / "ends.txt").read_text().split()
    names = (folder / "names.txt").read_text().split()
    config = tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    with tf.Graph().as_default():
        tf.import_graph_def(graph_def, name="")
        with tf.Session(config=config) as session:
            feed = {source: np.load(folder / "image.npy")}
            print(*compared(folder, names, session.run(names, feed)), flush=True)
            timed = session.make_callable(names, [source])
            timed(feed[source])
            for _ in sys.stdin:
                started = time.process_time()
                for _ in range(RUNS):
                    timed(feed[source])
                print((time.process_time() - started) / RUNS * 1e3, flush=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def compared(folder, names, activations):
    """How many there are, the largest relative error, and where it is."""
    worst, where = 0, ""
    for index, (name, expected) in enumerate(zip(names, activations)):
        found = np.load(folder / f"{index}.npy")
        if "FusedBatchNorm" in name and name[-1] in "345":
            continue  # for the backward pass alone: without a meaning in inference
        assert found.shape == np.shape(expected) and found.dtype == expected.dtype, name
        off = np.abs(found.astype(np.float64) - expected).max(initial=0) / max(np.abs(expected).max(initial=0), 1e-30)
        if not off <= worst:
            worst, where = off, name
    return len(names), f"{worst:.2e}", where or "-"


def here(*arguments):
    return [sys.executable, __file__, *map(str, arguments)]


def measured(command):
    """Milliseconds a run of a command, and its peak of memory in bytes."""
    done = subprocess.run([sys.executable, "-c", (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)")] + [str(part) for part in command],
        check=True, capture_output=True, text=True)
    *printed, peak = done.stdout.split()
    return float(printed[3]), int(peak)


def take_turns(runner, name, folder):
    """One line of the table; what is wrong, if anything."""
    subprocess.run(here("--freeze", name, folder), check=True)
    source, output = (folder / "ends.txt").read_text().split()
    ends = [folder / "graph.pb", source, folder / "image.npy", output]
    subprocess.run([runner, "trace", *ends, folder], check=True)
    with subprocess.Popen(here("--trace", folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as tensorflow:
        count, worst, where = tensorflow.stdout.readline().split()
        turns = []
        for _ in range(TURNS):
            one, memory = measured([runner, "time", *ends, 1, RUNS])
            tensorflow.stdin.write("\n")
            tensorflow.stdin.flush()
            theirs = float(tensorflow.stdout.readline())
            two, _ = measured([runner, "time", *ends, 2, RUNS])
            turns.append((theirs, one, one / theirs, 2 * one / two, memory))
        tensorflow.stdin.close()
        peak = int(tensorflow.stdout.read())
    theirs, one, ratio, threads, memory = map(statistics.median, zip(*turns))
    print(f"{name:18}{count:>8}{worst:>10}{theirs:8.0f}{one:8.0f}{ratio:7.2f}{threads:8.2f}"
          f"{peak / 1e6:8.0f}{memory / 1e6:6.0f}{memory / peak:7.3f}", flush=True)
    return None if float(worst) <= TOLERANCE else f"{name}: {where} is off by {worst}"


def main(runner, names):
    failed = []
    print(f"{'network':18}{'tensors':>8}{'worst':>10}{'TF ms':>8}{'ms':>8}{'ratio':>7}{'2 thr.':>8}{'TF MB':>8}{'MB':>6}{'ratio':>7}")
    for name in names or networks():
        with tempfile.TemporaryDirectory() as folder:
            failed.append(take_turns(runner, name, pathlib.Path(folder)))
    sys.exit("\n".join(filter(None, failed)) or 0)


if sys.argv[1] == "--freeze":
    freeze(sys.argv[2], pathlib.Path(sys.argv[3]))
elif sys.argv[1] == "--trace":
    trace(pathlib.Path(sys.argv[2]))
else:
    main(sys.argv[1], sys.argv[2:])
