"""What `calibrate --equalize` and `--correct-bias` are worth: how near the outputs are to the float model's with and without.

    python tests/tensorflow/repairs.py target/release/tfquant

prints a table for the digits of testdata, and for Keras' MobileNetV2 with random weights, perturbed batch norms, and channels
that are larger in one layer and smaller in the next, as trained networks have them. The digits are judged by their labels
too. Not part of CI.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

DIGITS = pathlib.Path(__file__).parents[2] / "testdata" / "digits"
SIZE, CLASSES, CALIBRATION, TEST = 96, 1000, 64, 128
SPREAD = 1.0
CHOICES = {
    "per tensor": ["--weights", "symmetric"],
    "… --equalize": ["--weights", "symmetric", "--equalize"],
    "… --correct-bias": ["--weights", "symmetric", "--correct-bias"],
    "… both": ["--weights", "symmetric", "--equalize", "--correct-bias"],
    "per channel": [],
    "… both ": ["--equalize", "--correct-bias"],
}


def images(random, count):
    """Soft blobs of colour: pictures more than noise."""
    coarse = random.uniform(-1, 1, [count, 6, 6, 3])
    fine = np.kron(coarse, np.ones([1, SIZE // 6, SIZE // 6, 1]))
    return np.clip(fine + random.normal(0, 0.2, fine.shape), -1, 1).astype(np.float32)


def mobilenet(folder):
    """Writes the frozen network and its samples."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    tf.keras.utils.set_random_seed(5)
    random = np.random.RandomState(4)
    model = tf.keras.applications.MobileNetV2([SIZE, SIZE, 3], weights=None, classes=CLASSES, classifier_activation=None)
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            near_one = lambda weight: np.abs(1 + 0.2 * random.normal(size=weight.shape))
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights([near_one(gamma), 0.1 * random.normal(size=beta.shape), 0.1 * random.normal(size=mean.shape),
                               near_one(variance)])
    spread(model, random)
    function = tf.function(lambda image: model(image, training=False))
    frozen = convert_variables_to_constants_v2(function.get_concrete_function(tf.TensorSpec([None, SIZE, SIZE, 3], name="image")))
    (folder / "mobilenet.pb").write_bytes(frozen.graph.as_graph_def().SerializeToString())
    np.save(folder / "calibration.npy", images(random, CALIBRATION))
    np.save(folder / "test.npy", images(random, TEST))


def spread(model, random):
    """Makes channels larger in one layer and smaller in the next, as they are in trained networks."""
    import tensorflow as tf

    kinds = tf.keras.layers
    for index, layer in enumerate(model.layers[:-1]):
        readers = [node.layer for node in layer.outbound_nodes]
        if not isinstance(layer, kinds.ReLU) or len(readers) != 1:
            continue
        norm, following = model.layers[index - 1], readers[0]
        while isinstance(following, (kinds.ZeroPadding2D, kinds.GlobalAveragePooling2D)):
            following = following.outbound_nodes[0].layer
        by = np.exp(random.normal(0, SPREAD, norm.gamma.shape))
        gamma, beta, *averages = norm.get_weights()
        norm.set_weights([gamma * by, beta * by, *averages])
        weights, *bias = following.get_weights()
        is_image = weights.ndim == 4
        following.set_weights([weights / (by[None, None, :, None] if is_image else by[:, None]), *bias])


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def judge(tfquant, folder, model, calibration, test, labels=()):
    for choice, options in CHOICES.items():
        quantized = folder / "quantized.pb"
        run(tfquant, "calibrate", model, "--data", calibration, "-o", quantized, "-q", *options)
        told = json.loads(run(tfquant, "compare", model, quantized, "--data", test, *labels, "--json"))
        output = next(tensor for tensor in told["tensors"] if tensor["is_output"])
        top1 = told["top1"]
        right = f"{100 * top1['right'][1] / top1['count']:7.2f} %" if labels else ""
        print(f"{choice:18}{output['sqnr']:8.2f} dB{right}", flush=True)


def main(tfquant):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        print(f"{'digits':18}{'SQNR':>11}{'right':>9}")
        judge(tfquant, folder, DIGITS / "frozen.pb", DIGITS / "calibration.npy", DIGITS / "test.npy",
              ["--labels", DIGITS / "labels.npy"])
        subprocess.run([sys.executable, __file__, "--mobilenet", folder], check=True, stderr=subprocess.DEVNULL)
        print("MobileNetV2")
        judge(tfquant, folder, folder / "mobilenet.pb", folder / "calibration.npy", folder / "test.npy")


if sys.argv[1] == "--mobilenet":
    mobilenet(pathlib.Path(sys.argv[2]))
else:
    main(pathlib.Path(sys.argv[1]).resolve())
