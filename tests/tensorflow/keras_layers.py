"""Small networks, one for each kind of layer that people use: exported by the Keras at hand, calibrated by a command line,
and converted by its TensorFlow, beside the converter's own post-training quantization of the same SavedModel.

    python tests/tensorflow/keras_layers.py --tfquant target/release/tfquant [--json FILE] [NETWORK ...]

prints a table: ops left in float, of how many, and decibels between the int8 model's outputs and the float model's. Kernels are
the interpreter's own: XNNPACK's batched products of 2.21 differ from those by more than a level. `test_keras_layers.py` judges
most of them.
"""

import argparse
import contextlib
import io
import json
import os
import pathlib
import subprocess
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

import converter_corpus as corpus
from networks import decibels

keras = tf.keras
layers = keras.layers
IMAGE, STEPS = (16, 16, 3), (10, 12)
SAMPLES, CALIBRATION = 48, 32
NETWORKS = {}


def network(shape, kind="uniform"):
    """One of the networks: the shape of what it is fed, of numbers from 0 to 1, normal ones, bytes or words; `None` is an
    open length."""

    def register(build):
        NETWORKS[build.__name__] = (build, shape, kind)
        return build

    return register


def classify(x, classes=5):
    return layers.Dense(classes)(layers.GlobalAveragePooling2D()(x))


def between_convolutions(name, activation):
    """The activation behind two convolutions."""

    def build(x):
        x = activation(layers.Conv2D(8, 3, padding="same")(x))
        return classify(activation(layers.Conv2D(8, 3, padding="same")(x)))

    NETWORKS[name] = (build, IMAGE, "uniform")


for _name in "relu relu6 elu selu gelu swish softplus softsign tanh sigmoid hard_sigmoid exponential mish".split():
    between_convolutions(_name, lambda x, name=_name: layers.Activation(name)(x))
between_convolutions("leaky_relu", lambda x: layers.LeakyReLU()(x))
between_convolutions("prelu", lambda x: layers.PReLU(shared_axes=[1, 2])(x))
between_convolutions("relu_with_slope", lambda x: layers.ReLU(max_value=3.0, negative_slope=0.1)(x))
between_convolutions("gelu_by_tanh", layers.Lambda(lambda x: tf.nn.gelu(x, approximate=True)))
between_convolutions("clip", layers.Lambda(lambda x: tf.clip_by_value(x, -0.5, 0.8)))


@network(IMAGE)
def transposed(x):
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.Conv2DTranspose(8, 4, strides=2, padding="same", activation="relu")(x)
    return layers.Conv2DTranspose(2, 3, padding="same", use_bias=False)(x)


@network(IMAGE)
def separable(x):
    x = layers.SeparableConv2D(8, 3, padding="same")(x)
    return classify(layers.SeparableConv2D(16, 3, activation="relu", depth_multiplier=2)(x))


@network(IMAGE)
def grouped_and_dilated(x):
    x = layers.Conv2D(8, 3, padding="same", activation="relu", dilation_rate=2)(x)
    return classify(layers.Conv2D(8, 3, groups=4, activation="relu")(x))


@network((32, 4))
def causal(x):
    for rate in (1, 2, 4):
        x = layers.Conv1D(8, 3, padding="causal", dilation_rate=rate)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    return layers.Dense(3, activation="softmax")(layers.GlobalMaxPooling1D()(x))


@network((32, 4))
def dilated_of_one_dimension(x):
    for padding, rate in ("same", 2), ("causal", 4), ("valid", 3):
        x = layers.Conv1D(8, 3, padding=padding, dilation_rate=rate, activation="relu")(x)
    return layers.Dense(3)(layers.GlobalAveragePooling1D()(x))


@network((32, 4))
def transposed_of_one_dimension(x):
    x = layers.Conv1D(8, 3, strides=2, padding="same", activation="relu")(x)
    return layers.Conv1DTranspose(4, 4, strides=2, padding="same")(x)


@network(IMAGE)
def layer_norm(x):
    x = layers.LayerNormalization()(layers.Conv2D(8, 3)(x))
    return classify(layers.Conv2D(8, 1, activation="gelu")(x))


@network(IMAGE)
def merges(x):
    a, b = layers.Conv2D(8, 3, padding="same", activation="relu")(x), layers.Conv2D(8, 3, padding="same")(x)
    kinds = [layers.Maximum(), layers.Minimum(), layers.Multiply(), layers.Subtract(), layers.Add()]
    return classify(layers.Concatenate()([merge([a, b]) for merge in kinds]))


@network(IMAGE)
def pools(x):
    x = layers.Cropping2D(1)(layers.Conv2D(8, 3)(layers.ZeroPadding2D(1)(x)))
    return classify(layers.Concatenate()([layers.MaxPooling2D(2)(x), layers.AveragePooling2D(2)(x)]))


@network(IMAGE)
def squeeze_and_excite(x):
    x = layers.Conv2D(8, 3, padding="same", activation="swish")(x)
    gate = layers.Conv2D(2, 1, activation="relu")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    return classify(layers.Multiply()([x, layers.Conv2D(8, 1, activation="sigmoid")(gate)]))


@network(IMAGE)
def resizes(x):
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    return layers.Conv2D(3, 3)(layers.UpSampling2D(2, interpolation="bilinear")(x))


@network(IMAGE)
def dense_of_three_dimensions(x):
    x = layers.Reshape((8, -1))(layers.Permute((3, 1, 2))(layers.Conv2D(8, 3, activation="relu")(x)))
    return layers.Dense(4)(layers.Flatten()(layers.Dense(6, activation="relu")(x)))


@network(STEPS, "normal")
def attention(x):
    return layers.Dense(3)(layers.Flatten()(layers.Attention()([layers.Dense(8)(x), layers.Dense(8)(x)])))


@network(STEPS, "normal")
def transformer(x):
    for _ in range(2):
        x = layers.LayerNormalization(epsilon=1e-6)(layers.Add()([x, layers.MultiHeadAttention(2, 8)(x, x)]))
        fed_forward = layers.Dense(12)(layers.Dense(24, activation="gelu")(x))
        x = layers.LayerNormalization(epsilon=1e-6)(layers.Add()([x, fed_forward]))
    return layers.Dense(4)(layers.GlobalAveragePooling1D()(x))


@network(STEPS, "normal")
def dense_by_einsum(x):
    x = layers.EinsumDense("abc,cde->abde", (None, 3, 8), bias_axes="de", activation="relu")(x)
    x = layers.EinsumDense("abde,fed->abf", (None, 6), bias_axes="f")(x)
    return layers.Dense(4)(layers.GlobalAveragePooling1D()(x))


@network(STEPS, "normal")
def causal_attention(x):
    x = layers.Dense(12)(x)
    x = layers.LayerNormalization()(layers.Add()([x, layers.MultiHeadAttention(2, 8)(x, x, use_causal_mask=True)]))
    return layers.Dense(4)(layers.GlobalAveragePooling1D()(x))


@network((20,), "words")
def words_by_convolution(x):
    x = layers.Conv1D(8, 3, activation="relu")(layers.Embedding(50, 16)(x))
    return layers.Dense(2, activation="softmax")(layers.GlobalMaxPooling1D()(x))


@network((20,), "words")
def words_by_attention(x):
    x = layers.Embedding(50, 16)(x)
    x = layers.LayerNormalization()(layers.Add()([x, layers.MultiHeadAttention(2, 8)(x, x)]))
    return layers.Dense(2)(layers.GlobalAveragePooling1D()(x))


@network((20,), "words")
def masked_attention(x):
    def attend(words, x):
        mask = tf.cast(words > 9, tf.float32)[:, tf.newaxis]
        return tf.matmul(tf.nn.softmax(tf.matmul(x, x, transpose_b=True) + (1.0 - mask) * -10000.0), x)

    attended = layers.Lambda(lambda both: attend(*both))([x, layers.Dense(16)(layers.Embedding(50, 16)(x) * 40.0)])
    return layers.Dense(3)(layers.GlobalAveragePooling1D()(attended))


@network(IMAGE, "bytes")
def rescaled(x):
    return classify(layers.Conv2D(8, 3, activation="relu")(layers.Rescaling(1 / 127.5, -1.0)(x)))


@network(IMAGE, "bytes")
def normalized(x):
    x = layers.Normalization(mean=[120.0, 110.0, 100.0], variance=[3000.0, 2500.0, 3500.0])(x)
    return classify(layers.Conv2D(8, 3, activation="relu")(x))


@network(IMAGE)
def of_length_one(x):
    x = classify(layers.Conv2D(8, 3, activation="relu")(x), 16)
    return layers.Lambda(lambda x: tf.math.l2_normalize(x, -1))(x)


@network(IMAGE)
def shuffled_channels(x):
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    x = layers.Permute((1, 2, 4, 3))(layers.Reshape((16, 16, 2, 4))(x))
    a, b = layers.Lambda(lambda x: tf.split(x, 2, -1))(layers.Reshape((16, 16, 8))(x))
    return classify(layers.Concatenate()([a, layers.DepthwiseConv2D(3, padding="same")(b)]))


@network(IMAGE)
def instance_norm(x):
    def normal(x):
        mean, variance = tf.nn.moments(x, [1, 2], keepdims=True)
        return (x - mean) * tf.math.rsqrt(variance + 1e-5)

    return classify(layers.ReLU()(layers.Lambda(normal)(layers.Conv2D(8, 3)(x))))


@network(IMAGE)
def skip_connection(x):
    a = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    b = layers.Conv2D(16, 3, padding="same", activation="relu")(layers.MaxPooling2D()(a))
    x = layers.Concatenate()([a, layers.Conv2DTranspose(8, 2, strides=2)(b)])
    return layers.Conv2D(1, 1, activation="sigmoid")(x)


@network(STEPS, "normal")
def lstms_both_ways(x):
    x = layers.LSTM(16, return_sequences=True)(x)
    return layers.Dense(4)(layers.Bidirectional(layers.LSTM(8, return_sequences=True))(x))


@network((6, 8, 8, 2))
def convolutional_lstm(x):
    return classify(layers.ConvLSTM2D(4, 3, padding="same")(x))


@network((20,), "words")
def masked_gru(x):
    return layers.Dense(3)(layers.GRU(12)(layers.Embedding(50, 16, mask_zero=True)(x)))


@network(STEPS, "normal")
def cells(x):
    x = layers.RNN([layers.LSTMCell(8), layers.GRUCell(8)], return_sequences=True)(x)
    return layers.Dense(4)(layers.GRU(12, reset_after=False)(x))


@network((None, 12), "normal")
def of_open_length(x):
    return layers.Dense(4)(layers.LSTM(8)(layers.GRU(12, return_sequences=True)(x)))


@network((20,), "words as floats")
def words_as_floats(x):
    return layers.Dense(2)(layers.GlobalAveragePooling1D()(layers.Embedding(50, 16)(x)))


@network(IMAGE)
def mixed_precision(x):
    half = {"dtype": "mixed_float16"}
    x = layers.BatchNormalization(**half)(layers.Conv2D(8, 3, use_bias=False, **half)(x))
    x = layers.SeparableConv2D(16, 3, **half)(layers.ReLU(**half)(x))
    return layers.Dense(5, dtype="float32")(layers.GlobalAveragePooling2D(**half)(x))


@network(IMAGE)
def group_norm(x):
    return classify(layers.ReLU()(layers.GroupNormalization(4)(layers.Conv2D(16, 3)(x))))


@network(IMAGE)
def centre_crop(x):
    return classify(layers.CenterCrop(8, 8)(layers.Conv2D(8, 3, activation="relu")(x)))


@network(STEPS, "normal")
def dense_squared(x):
    return layers.Dense(4)(layers.Lambda(tf.square)(layers.Dense(8)(x)))


@network(IMAGE)
def product_of_reshapes(x):
    rows = layers.Reshape((196, 8))
    a, b = (rows(layers.Conv2D(8, 3, activation="relu6")(x)) for _ in range(2))
    return layers.Dense(4)(layers.Flatten()(layers.Multiply()([a, b])))


@network(STEPS, "normal")
def convolutional_lstm_of_one_dimension(x):
    x = layers.Reshape((5, 2, -1))(x)
    return layers.Dense(3)(layers.Flatten()(layers.ConvLSTM1D(4, 2, padding="same")(x)))


@network(IMAGE)
def shifted_windows(x):
    """Attention in windows of two by two pixels, as in Swin."""
    x = layers.Conv2D(16, 2, strides=2)(x)
    height, width = x.shape[1:3]

    def windows(x):
        x = tf.reshape(tf.roll(x, [-1, -1], [1, 2]), [-1, height // 2, 2, width // 2, 2, 16])
        return tf.reshape(tf.transpose(x, [0, 1, 3, 2, 4, 5]), [-1, 4, 16])

    def image(x):
        x = tf.reshape(x, [-1, height // 2, width // 2, 2, 2, 16])
        return tf.reshape(tf.transpose(x, [0, 1, 3, 2, 4, 5]), [-1, height, width, 16])

    x = layers.Lambda(windows)(x)
    return classify(layers.Lambda(image)(layers.MultiHeadAttention(2, 8)(x, x)))


@network(IMAGE)
def patches(x):
    """How a vision transformer takes an image apart, and an involution."""
    def apart(x, size, strides):
        ones = [1, 1, 1, 1]
        return tf.image.extract_patches(x, [1, size, size, 1], [1, strides, strides, 1], ones, "VALID")

    x = layers.Dense(8, activation="relu")(layers.Lambda(lambda x: apart(x, 2, 2))(x))
    return classify(layers.Dense(8)(layers.Lambda(lambda x: apart(x, 3, 1))(x)))


@network((20,), "words as floats")
def masked_words(x):
    return layers.Dense(3)(layers.LSTM(8)(layers.Embedding(50, 8, mask_zero=True)(x)))


@network(STEPS, "normal")
def masked_steps(x):
    return layers.Dense(3)(layers.LSTM(8)(layers.Masking(0.0)(x)))


# ---- Making and judging a model


def samples(shape, kind):
    random = np.random.RandomState(0)
    shape = [size or 10 for size in shape]
    if kind.startswith("words"):
        return random.randint(0, 50, (SAMPLES, *shape)).astype(np.int32 if kind == "words" else np.float32)
    numbers = random.normal(size=(SAMPLES, *shape)) if kind == "normal" else random.rand(SAMPLES, *shape)
    return (numbers * 255 if kind == "bytes" else numbers).astype(np.float32)


def exported(name, path):
    """The network as a SavedModel, its biases and batch norms no longer what they begin with; and what to feed it."""
    build, shape, kind = NETWORKS[name]
    keras.utils.set_random_seed(1)
    random = np.random.RandomState(0)
    inputs = keras.Input(shape, name="fed", dtype="int32" if kind == "words" else "float32")
    model = keras.Model(inputs, build(inputs))
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_mean.assign(random.normal(0, 0.2, layer.moving_mean.shape))
            layer.moving_variance.assign(random.uniform(0.3, 1.0, layer.moving_variance.shape))
        elif isinstance(layer, (layers.Conv2D, layers.Dense, layers.EinsumDense)) and layer.bias is not None:
            layer.bias.assign(random.normal(0, 0.1, layer.bias.shape))
    with contextlib.redirect_stdout(io.StringIO()):
        model.export(str(path))
    return samples(shape, kind)


def wanted(path, fed):
    """The float model's outputs, by key."""
    signature = tf.saved_model.load(str(path)).signatures["serving_default"]
    (key,) = signature.structured_input_signature[1]
    rows = [signature(**{key: tf.constant(sample[np.newaxis])}) for sample in fed]
    return {output: np.concatenate([row[output].numpy() for row in rows]) for output in rows[0]}


def converted(path, representative=None):
    converter = tf.lite.TFLiteConverter.from_saved_model(str(path), signature_keys=["serving_default"])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if representative is None or representative.dtype == np.float32:
        converter.inference_output_type = tf.int8
    if representative is not None:
        converter.representative_dataset = lambda: ([sample[np.newaxis]] for sample in representative)
    return converter.convert()


def run(tflite, fed):
    """The int8 model's outputs, by key, as floats."""
    plain = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    runner = tf.lite.Interpreter(model_content=tflite, experimental_op_resolver_type=plain).get_signature_runner()
    (key,) = runner.get_input_details()
    taken = runner.get_input_details()[key]["dtype"]
    rows = [runner(**{key: sample[np.newaxis].astype(taken)}) for sample in fed]
    outputs = {}
    for output, details in runner.get_output_details().items():
        values = np.concatenate([row[output] for row in rows])
        scale, zero = details["quantization"]
        outputs[output] = (values.astype(np.float32) - zero) * scale if values.dtype == np.int8 else values
    return outputs


def facts(tflite, fed, floats):
    ops = corpus.operators(tflite)
    outputs = run(tflite, fed)
    return {
        "ops": len(ops),
        "float_ops": [op["op"] for op in ops if corpus.stays_float(op)],
        "decibels": min(decibels(outputs[key], floats[key]) for key in floats),
    }


def judge(name, tfquant, folder):
    """What the calibrated model of a network is like, and the converter's own."""
    model, data, output = folder / name, folder / f"{name}.npy", folder / f"{name}_q"
    fed = exported(name, model)
    np.save(data, fed[:CALIBRATION])
    command = [tfquant, "calibrate", "-q", model, "--data", data, "-o", output, "--output-format", "saved-model"]
    subprocess.run(command, check=True)
    checked = subprocess.run([tfquant, "check", "--json", output], capture_output=True, text=True, check=False)
    floats = wanted(model, fed)
    found = {"int8": facts(converted(output), fed, floats), "check": json.loads(checked.stdout)["verdicts"]}
    try:
        found["own"] = facts(converted(model, fed[:CALIBRATION]), fed, floats)
    except Exception as error:  # The converter raises whatever came to its mind.
        found["own"] = {"fails": str(error).strip().splitlines()[0][:200]}
    return found


def line(name, found):
    cells = [name]
    for kind in ("int8", "own"):
        of_kind = found[kind]
        cells.append("fails" if "fails" in of_kind else f"{len(of_kind['float_ops'])} of {of_kind['ops']}")
        cells.append(f"{of_kind['decibels']:.1f}" if "decibels" in of_kind else "")
    return f"| {' | '.join(cells)} |"


@network((16, 3, 16))
def channels_first_from_elsewhere(x):
    """As converters from other frameworks write it: channels come first, and every layer stands between two Transposes."""
    def turned(x, order):
        return layers.Lambda(lambda x: tf.transpose(x, order))(x)

    def block(x, channels, strides=1, activation=tf.nn.relu):
        y = layers.ZeroPadding2D(1, data_format="channels_first")(x)
        y = turned(y, [0, 2, 3, 1])
        y = layers.Conv2D(channels, 3, strides=strides, use_bias=False)(y)
        y = turned(y, [0, 3, 1, 2])
        bias = np.random.RandomState(channels).randn(1, channels, 1, 1).astype("f") * 0.2
        y = layers.Lambda(lambda y: y + bias)(y)
        return layers.Lambda(activation)(y)

    x = layers.Permute((2, 1, 3))(x)
    x = block(x, 8)
    y = block(x, 8)
    x = layers.Lambda(tf.nn.relu)(layers.Add()([x, block(y, 8, activation=tf.identity)]))
    x = block(x, 16, 2)
    x = turned(x, [0, 2, 3, 1])
    x = layers.MaxPooling2D()(x)
    x = turned(x, [0, 3, 1, 2])
    x = layers.Lambda(lambda x: tf.reduce_mean(x, [2, 3]))(x)
    return layers.Dense(5)(x)


@network(IMAGE)
def depthwise_taken_apart(x):
    """As some of these converters write a depthwise convolution: one for each channel."""
    x = layers.Conv2D(8, 3, activation="relu")(x)
    kernels = np.random.RandomState(0).randn(3, 3, 1, 16).astype("f") * 0.3

    def apart(x):
        parts = zip(tf.split(x, 8, 3), tf.split(tf.constant(kernels), 8, 3))
        return tf.concat([tf.nn.conv2d(part, kernel, 2, "SAME") for part, kernel in parts], 3)

    return classify(layers.Lambda(lambda x: tf.nn.relu(apart(x) + 0.1))(x))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help=f"which; all of {', '.join(NETWORKS)} without")
    parser.add_argument("--tfquant", required=True, type=pathlib.Path, help="the binary")
    parser.add_argument("--json", type=pathlib.Path, help="where to write all that was found")
    arguments = parser.parse_args()
    print(f"TensorFlow {tf.__version__}\n\n| network | in float | dB | own in float | dB |\n|---|---|---|---|---|", flush=True)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.networks or NETWORKS:
            found[name] = judge(name, arguments.tfquant.resolve(), pathlib.Path(folder))
            print(line(name, found[name]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
