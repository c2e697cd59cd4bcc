"""Whole networks, trained briefly on digits, calibrated by a command line and converted by the TensorFlow at hand.

    python tests/tensorflow/networks.py --cache FOLDER [NETWORK ...]

prints a table: what each network's int8 model is like, beside the one that the converter's own post-training
quantization makes with the same samples. Networks are built, trained and frozen once and kept in FOLDER; another
TensorFlow finds them there and judges the very same ones; what became of the converter's own is kept as well. Needs
scikit-learn for the digits. Four of them are part of CI (`test_networks.py`), of which `testdata/networks` keeps the two that
were trained; training all takes an hour or two. With
`--untrained` it takes minutes: weights stay as they were drawn, batch norms get the digits' statistics, and of what is
printed only the accuracy means nothing.
"""

import argparse
import json
import os
import pathlib
import shlex
import subprocess
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf2

import converter_corpus as corpus

tf = tf2.compat.v1
keras = tf2.keras
layers = keras.layers

COMMAND = "tfquant calibrate {model} --outputs {outputs} --data {data} --target litert-int8 -o {output}"
TEST, CALIBRATION = 300, 100
NETWORKS = {}


class Network:
    """How to build a network, what to feed it, how to train it, and what of its outputs counts as right."""

    def __init__(self, build, shape, scale=(-1.0, 1.0), epochs=12, rate=1e-3, task=None, hands=1):
        self.build, self.shape, self.scale = build, shape, scale
        self.epochs, self.rate, self.task, self.hands = epochs, rate, task or Classes(), hands

    def data(self, seed, hands):
        """Inputs and targets for training and for the test, each in so many hands. Those of the test were written by
        other people."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        images, labels = digits.images.astype(np.float32) / 16, digits.target
        train = self.examples(images[:-TEST], labels[:-TEST], hands, np.random.RandomState(seed))
        test = self.examples(images[-TEST:], labels[-TEST:], hands, np.random.RandomState(seed + 1))
        low, high = self.scale
        return [((inputs * (high - low) + low).astype(np.float32), targets) for inputs, targets in (train, test)]

    def examples(self, images, labels, hands, random):
        """The images as they were written, then in other hands."""
        others = [by_another_hand(images, random) for _ in range(hands - 1)]
        return self.task.examples(np.concatenate([images, *others]), np.tile(labels, hands), self.shape, random)


def network(name, *arguments, **keywords):
    def register(build):
        NETWORKS[name] = Network(build, *arguments, **keywords)
        return build

    return register


# ---- Tasks: what is fed, what is learned, what is right


def by_another_hand(images, random):
    """The images, each turned, stretched and shifted a little."""
    from scipy.ndimage import affine_transform

    def bent(image):
        matrix = np.eye(2) + random.normal(0, 0.1, [2, 2])
        centre = (np.array(image.shape) - 1) / 2
        return affine_transform(image, matrix, centre - matrix @ centre + random.normal(0, 0.4, 2), order=1)

    return np.stack([bent(image) for image in images])


def resized(images, shape):
    """The images from 0 to 1 in the size and with the channels of the shape."""
    grown = tf2.image.resize(images[..., np.newaxis], shape[:2], "bicubic").numpy().clip(0, 1)
    return np.repeat(grown, shape[2], 3)


class Classes:
    """Which digit it is."""

    def examples(self, images, labels, shape, _):
        if len(shape) == 2:
            return images.reshape([-1, *shape]), {"output": labels}
        return resized(images, shape), {"output": labels}

    def losses(self):
        return {"output": "sparse_categorical_crossentropy"}

    def accuracy(self, outputs, targets):
        return np.mean(outputs["output"].argmax(1) == targets["output"])


class Mask:
    """Which pixels of a noisy image are ink."""

    def examples(self, images, _, shape, random):
        clean = resized(images, shape)
        noisy = np.clip(clean + random.normal(0, 0.15, clean.shape), 0, 1)
        return noisy, {"output": (clean > 0.5).astype(np.float32)}

    def losses(self):
        return {"output": "binary_crossentropy"}

    def accuracy(self, outputs, targets):
        return np.mean((outputs["output"] > 0.5) == (targets["output"] > 0.5))


class Boxes:
    """Where a digit lies in a larger image, and which one it is: a class (the last: none) and a box for each cell."""

    GRIDS = (8, 4)

    def examples(self, images, labels, shape, random):
        size = shape[0]
        canvas = np.zeros([len(images), *shape], np.float32)
        cells = sum(grid * grid for grid in self.GRIDS)
        classes = np.full([len(images), cells], 10)
        boxes = np.zeros([len(images), cells, 4], np.float32)
        for number, (image, label) in enumerate(zip(images, labels)):
            side = random.choice([16, 32])
            top, left = random.randint(0, size - side + 1, 2)
            canvas[number, top : top + side, left : left + side] = resized(image[np.newaxis], [side, side, shape[2]])[0]
            # Small digits belong to the fine grid, large ones to the coarse one.
            grid, first = (8, 0) if side == 16 else (4, 64)
            row, column = [int((edge + side / 2) * grid / size) for edge in (top, left)]
            cell = first + row * grid + column
            classes[number, cell] = label
            boxes[number, cell] = np.array([top, left, top + side, left + side]) / size
        return canvas, {"classes": classes, "boxes": np.concatenate([boxes, (classes < 10)[..., np.newaxis]], 2)}

    def losses(self):
        def classes(wanted, got):
            weight = tf2.where(tf2.cast(wanted, tf2.int64) < 10, 20.0, 1.0)
            return tf2.reduce_mean(weight * keras.losses.sparse_categorical_crossentropy(wanted, got))

        def boxes(wanted, got):
            there = wanted[..., 4:]
            return 20.0 * tf2.reduce_mean(there * tf2.abs(wanted[..., :4] - got))

        return {"classes": classes, "boxes": boxes}

    def accuracy(self, outputs, targets):
        """The surest cell says which digit it is, within a box that covers at least half of the right one."""
        scores = outputs["classes"][..., :10]
        cell, found = np.unravel_index(scores.reshape(len(scores), -1).argmax(1), scores.shape[1:])
        numbers = np.arange(len(scores))
        right_cell = (targets["classes"] < 10).argmax(1)
        overlap = intersection_over_union(outputs["boxes"][numbers, cell], targets["boxes"][numbers, right_cell, :4])
        return np.mean((found == targets["classes"][numbers, right_cell]) & (overlap >= 0.5))


def intersection_over_union(a, b):
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), 1)
    areas = [np.prod(np.clip(box[:, 2:] - box[:, :2], 0, None), 1) for box in (a, b)]
    return shared / np.maximum(sum(areas) - shared, 1e-9)


# ---- Networks


def application(name, size, scale=(-1.0, 1.0), epochs=3, rate=1e-3, hands=4, **arguments):
    """One of Keras' networks for images of that size, which takes more hands to learn from than the small ones."""

    def build(shape):
        make = getattr(keras.applications, name)
        return make(weights=None, input_shape=shape, classes=10, **arguments)

    NETWORKS[name] = Network(build, (size, size, 3), scale, epochs, rate, hands=hands)


application("MobileNet", 64)
application("MobileNetV2", 64)
application("MobileNetV3Small", 64, scale=(0, 255))
application("MobileNetV3Large", 64, scale=(0, 255), epochs=2)
application("ResNet50", 48)
application("ResNet50V2", 48, epochs=2)
application("InceptionV3", 75, epochs=2)
application("DenseNet121", 48, epochs=2)
application("Xception", 71, epochs=2)
application("NASNetMobile", 48, epochs=2)
application("EfficientNetB0", 64, scale=(0, 255), epochs=5)
application("VGG16", 32, rate=1e-4)


def convolution(x, channels, size=3, stride=1, name=None):
    x = layers.Conv2D(channels, size, stride, padding="same", use_bias=False, name=name)(x)
    return layers.ReLU()(layers.BatchNormalization()(x))


def separable(x, channels, stride=1):
    x = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    return convolution(x, channels, 1)


@network("UNet", (32, 32, 1), task=Mask(), epochs=6)
def unet(shape):
    """Transposed convolutions on one way up, a resize on the other."""
    image = keras.Input(shape)
    fine = convolution(convolution(image, 16), 16)
    middle = convolution(layers.MaxPooling2D()(fine), 32)
    coarse = convolution(layers.MaxPooling2D()(middle), 48)
    x = layers.Conv2DTranspose(32, 3, 2, padding="same", activation="relu")(coarse)
    x = convolution(layers.Concatenate()([x, middle]), 32)
    x = layers.UpSampling2D(interpolation="bilinear")(x)
    x = convolution(layers.Concatenate()([x, fine]), 16)
    return keras.Model(image, layers.Conv2D(1, 1, activation="sigmoid", name="output")(x))


@network("SSD", (64, 64, 1), task=Boxes(), epochs=40)
def ssd(shape):
    """A class and a box from each cell of two grids."""
    image = keras.Input(shape)
    x = convolution(image, 16, stride=2)
    x = separable(separable(x, 32, 2), 32)
    fine = separable(separable(x, 64, 2), 64)
    coarse = separable(separable(fine, 96, 2), 96)
    classes, boxes = [], []
    for x in fine, coarse:
        classes.append(layers.Reshape([-1, 11])(layers.Conv2D(11, 3, padding="same")(x)))
        boxes.append(layers.Reshape([-1, 4])(layers.Conv2D(4, 3, padding="same")(x)))
    classes = layers.Softmax(name="classes")(layers.Concatenate(axis=1)(classes))
    boxes = layers.Activation("sigmoid", name="boxes")(layers.Concatenate(axis=1)(boxes))
    return keras.Model(image, [classes, boxes])


@network("DSCNN", (49, 10, 1), epochs=25)
def ds_cnn(shape):
    """Keyword spotting's separable network, on images of a spectrogram's size."""
    image = keras.Input(shape)
    x = convolution(image, 64, (10, 4), 2)
    for _ in range(4):
        x = separable(x, 64)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(10, "softmax", name="output")(x))


@network("Conv1D", (64, 1), epochs=20)
def conv1d(shape):
    """One-dimensional convolutions over the image's pixels in a row."""
    x = image = keras.Input(shape)
    for channels, stride in (16, 1), (32, 2), (48, 2):
        x = layers.Conv1D(channels, 5, stride, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.MaxPooling1D(2)(x)
    x = layers.Conv1D(64, 3, padding="causal", dilation_rate=2, activation="relu")(x)
    return keras.Model(image, layers.Dense(10, "softmax", name="output")(layers.Flatten()(x)))


@network("GRU", (8, 8), epochs=30, rate=5e-3)
def gru(shape):
    """A recurrent network over the image's rows, unrolled."""
    image = keras.Input(shape)
    x = layers.GRU(32, unroll=True)(image)
    return keras.Model(image, layers.Dense(10, "softmax", name="output")(x))


# ---- Making a network: build, train, freeze


class Frozen:
    """A trained network as frozen graph, with its samples, in a folder."""

    def __init__(self, name, cache, make):
        self.name, self.folder = name, cache / name
        # What is drawn learns nothing from other hands.
        self.hands = 1 if make is untrained else NETWORKS[name].hands
        self.graph, self.samples = self.folder / "frozen.pb", self.folder / "calibration.npy"
        (inputs, targets), (self.test, self.targets) = NETWORKS[name].data(1, self.hands)
        if not self.graph.exists():
            self.make(make, inputs, targets)
        if not self.samples.exists():
            written = inputs[: len(inputs) // self.hands]
            np.save(self.samples, written[np.random.RandomState(2).permutation(len(written))[:CALIBRATION]])
        facts = json.loads((self.folder / "facts.json").read_text())
        self.input, self.outputs = facts["input"], facts["outputs"]
        self.calibration = np.load(self.samples)

    def make(self, make, inputs, targets):
        network = NETWORKS[self.name]
        self.folder.mkdir(parents=True, exist_ok=True)
        keras.utils.set_random_seed(1)
        model = make(network, inputs, targets)
        graph_def, source, sinks = frozen(model, network.shape)
        outputs = dict(zip(network.task.losses(), sinks))
        (self.folder / "facts.json").write_text(json.dumps({"input": source, "outputs": outputs}))
        self.graph.write_bytes(graph_def.SerializeToString())

    def graph_def(self, path=None):
        return tf.GraphDef.FromString((path or self.graph).read_bytes())

    def run_float(self):
        """What TensorFlow makes of the test's inputs."""
        with tf.Graph().as_default() as graph, tf.Session(graph=graph, config=one_thread()) as session:
            tf.import_graph_def(self.graph_def(), name="")
            fetches = {key: f"{name}:0" for key, name in self.outputs.items()}
            parts = [session.run(fetches, {f"{self.input}:0": part}) for part in np.array_split(self.test, 10)]
        return {key: np.concatenate([part[key] for part in parts]) for key in fetches}


def one_thread():
    return tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)


def trained(network, inputs, targets):
    """The network after a brief training."""
    model = network.build(network.shape)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.9  # The training is too short for Keras' 0.99.
    losses = list(network.task.losses().values())
    steps = network.epochs * (len(inputs) // 64)
    rate = keras.optimizers.schedules.CosineDecay(network.rate, steps)
    model.compile(keras.optimizers.Adam(rate), losses if len(losses) > 1 else losses[0])
    wanted = list(targets.values())
    model.fit(inputs, wanted if len(wanted) > 1 else wanted[0], 64, network.epochs, verbose=0)
    return model


def untrained(network, inputs, _):
    """The network as it was drawn. Batch norms have the statistics of some inputs, scales and offsets that differ from
    channel to channel; what the last layers make is spread like the logits of a network that is rather sure."""
    model, random = network.build(network.shape), np.random.RandomState(3)
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    for norm in norms:
        norm.momentum = 0.0
        channels = norm.moving_mean.shape[0]
        if norm.gamma is not None:
            norm.gamma.assign(random.uniform(0.5, 1.5, channels))
        norm.beta.assign(random.normal(0, 0.3, channels))
    some = inputs[:64]
    model(some, training=True)
    for layer in model.layers:
        if isinstance(layer, layers.Dense) and layer.activation in (keras.activations.softmax, keras.activations.linear):
            made = keras.Model(model.inputs, layer.input)(some, training=False).numpy()
            logits = made @ layer.kernel.numpy()
            layer.kernel.assign(layer.kernel * (2.0 / logits.std()))
    return model


def frozen(model, shape):
    """The network as graph of constants; the names of its input and its outputs."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    call = tf2.function(lambda image: model(image, training=False))
    function = call.get_concrete_function(tf2.TensorSpec([None, *shape], tf2.float32, name="image"))
    function = convert_variables_to_constants_v2(function)
    sinks = [tensor.op.name for tensor in function.outputs]
    return function.graph.as_graph_def(), function.inputs[0].op.name, sinks


# ---- Judging a model


def own_quantization(network):
    """The model that the converter's post-training quantization makes with the samples."""
    samples = [{network.input: sample[np.newaxis]} for sample in network.calibration]
    options = {"representative_dataset": lambda: iter(samples)}
    return corpus.convert(network.graph_def(), [network.input], list(network.outputs.values()), options=options)


def calibrated(network, command, folder):
    """The model of the graph that the command made of the network's."""
    output = folder / "calibrated.pb"
    words = {"model": network.graph, "data": network.samples, "output": output, "name": network.name}
    words["outputs"] = ",".join(network.outputs.values())
    arguments = [word.format(**words) for word in shlex.split(command)]
    output.unlink(missing_ok=True)
    done = subprocess.run(arguments, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr.strip().splitlines()[:1]}")
    return corpus.convert(network.graph_def(output), [network.input], list(network.outputs.values()))


def judge(network, tflite, wanted):
    """What a model is like: ops left in float, whether it runs, how right, how near to the float network, how large."""
    ops = corpus.operators(tflite)
    found = {
        "ops": len(ops),
        "float_ops": sum(map(corpus.stays_float, ops)),
        "float_tensors": len(corpus.float_tensors(tflite)),
        "requantizes": sum(op["op"] == "QUANTIZE" and "float32" not in op["reads"] for op in ops),
        "kilobytes": len(tflite) / 1000,
    }
    names = list(network.outputs.values())
    try:
        made = corpus.interpreter(tflite)
        sources, sinks = corpus.ends(tflite, made, [network.input], names)
        rows = [corpus.run(made, sources, sinks, {network.input: image[np.newaxis]}) for image in network.test]
    except (RuntimeError, ValueError) as error:
        return {**found, "runs": corpus.last_line(error)}
    outputs = {key: np.concatenate([row[name][0] for row in rows]) for key, name in network.outputs.items()}
    accuracy = NETWORKS[network.name].task.accuracy(outputs, network.targets)
    ratio = min(decibels(outputs[key], wanted[key]) for key in outputs)
    return {**found, "runs": True, "accuracy": float(accuracy), "decibels": ratio}


def decibels(got, wanted):
    noise = np.sum(np.square(got.astype(np.float64) - wanted))
    return float(10 * np.log10(np.sum(np.square(wanted, dtype=np.float64)) / max(noise, 1e-30)))


def attempt(make, *arguments):
    """The model, or why there is none."""
    try:
        return make(*arguments), None
    except Exception as error:  # The converter raises whatever came to its mind.
        return None, str(error).strip().splitlines()[0][:200] if str(error).strip() else repr(error)


def facts(name, cache, command, make=trained):
    """One row of the table."""
    network = Frozen(name, cache, make)
    wanted = network.run_float()
    row = {"float": {"accuracy": float(NETWORKS[name].task.accuracy(wanted, network.targets))}}
    known = network.folder / f"own-{tf2.__version__}.json"
    if not known.exists():
        known.write_text(json.dumps(model_of(network, "own", wanted, own_quantization, network)))
    row["own"] = json.loads(known.read_text())
    if command:
        row["int8"] = model_of(network, "int8", wanted, calibrated, network, command, network.folder)
    return row


def model_of(network, kind, wanted, make, *arguments):
    """What the model is like that is made so; it is kept beside the network."""
    tflite, refused = attempt(make, *arguments)
    if refused:
        return {"runs": refused}
    (network.folder / f"{kind}-{tf2.__version__}.tflite").write_bytes(tflite)
    return judge(network, tflite, wanted)


HEADER = """\
| network | float | | int8 accuracy | dB | float ops | requantize | kB | | own accuracy | dB | float ops | requantize | kB |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"""


def line(name, row):
    cells = [name, f"{100 * row['float']['accuracy']:.1f}"]
    for kind in ("int8", "own"):
        found = row.get(kind)
        cells.append("")
        if found is None or "ops" not in found:
            cells += [f"refused: {found['runs'][:80]}" if found else "–", "", "", "", ""]
            continue
        runs = found["runs"] is True
        cells.append(f"{100 * found['accuracy']:.1f}" if runs else f"does not run: {found['runs'][:80]}")
        cells.append(f"{found['decibels']:.1f}" if runs else "")
        cells += [f"{found['float_ops']}/{found['ops']}", str(found["requantizes"]), f"{found['kilobytes']:.0f}"]
    return f"| {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help=f"which; all of {', '.join(NETWORKS)} without")
    parser.add_argument("--cache", type=pathlib.Path, required=True, help="where trained networks are kept")
    parser.add_argument("--command", default=COMMAND, help="makes {output} of {model} with {data}; '' for none")
    parser.add_argument("--json", type=pathlib.Path, help="where to write all that was found")
    parser.add_argument("--untrained", action="store_true", help="do not train; give it a FOLDER of its own")
    parser.add_argument("--threads", type=int, default=1, help="of TensorFlow's, in training")
    arguments = parser.parse_args()
    tf2.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf2.config.threading.set_inter_op_parallelism_threads(1)
    unknown = set(arguments.networks) - set(NETWORKS)
    if unknown:
        parser.error(f"no network is called {', '.join(sorted(unknown))}")
    rows = {}
    print(f"TensorFlow {tf2.__version__}\n\n{HEADER}", flush=True)
    for name in arguments.networks or NETWORKS:
        started = time.monotonic()
        make = untrained if arguments.untrained else trained
        rows[name] = facts(name, arguments.cache, arguments.command, make)
        rows[name]["seconds"] = time.monotonic() - started
        print(line(name, rows[name]), flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps({tf2.__version__: rows}, indent=1))


if __name__ == "__main__":
    main()
