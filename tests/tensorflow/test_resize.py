"""Images that `--resize` makes are those of `tf.image.resize`: bilinear, by the centres of pixels, without antialiasing."""

import json

import numpy as np
import pytest
import tensorflow as tf2

tf = tf2.compat.v1

SIZES = [(32, 32), (7, 90), (64, 48), (100, 75), (1, 3)]


def png(path, image):
    with tf.Graph().as_default(), tf.Session() as session:
        path.write_bytes(session.run(tf.io.encode_png(image)))


def resized(image, size):
    with tf.Graph().as_default(), tf.Session() as session:
        return session.run(tf2.image.resize(image[np.newaxis], size))[0]


# A float input takes what lies between pixels, one of integers the nearest whole number.
@pytest.mark.parametrize("dtype, most", [(tf.float32, 255e-5), (tf.uint8, 1)])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_resize_is_tensorflow_s(tfquant, dtype, most, size, channels):
    image = np.random.RandomState(1).randint(0, 256, [50, 64, channels]).astype(np.uint8)
    folder, model, report = [tfquant.folder / name for name in ("images", "model.pb", "report.json")]
    folder.mkdir()
    png(folder / "image.png", image)
    wanted = resized(image, size)
    # How far off each pixel is, either way; the range of what is zero all along is 0 to 1.
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(dtype, [1, *size, channels], name="x")
        tf.identity(tf.cast(x, tf.float32) - wanted, name="output")
        model.write_bytes(graph.as_graph_def().SerializeToString())
    tfquant.run("calibrate", model, "--data", folder, "--resize", f"{size[0]}x{size[1]}", "--report", report,
                "-o", tfquant.folder / "out.pb", "-q")
    entries = json.loads(report.read_text())["ranges"]
    [found] = [entry for entry in entries if entry["op"] == "Sub"]
    assert -found["min"] <= most and (found["max"] <= most or found["max"] == 1), found
