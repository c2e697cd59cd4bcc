"""The converter's verdicts in testdata are what the converter at hand says: a corpus that changed shows here."""

import pytest
import tensorflow as tf2

import converter_corpus as corpus

KNOWN = corpus.known_verdicts()
# One of each kind: integer, float, not running, running and wrong, not converting, per channel, with fixed ranges.
CHOSEN = [
    "conv_symmetric",
    "conv_asymmetric",
    "conv_weights_nearly_symmetric",
    "conv_unquantized",
    "conv_input_unranged",
    "conv_weight_bits_4",
    "depthwise_reshaped",
    "depthwise_asymmetric",
    "matmul_per_channel",
    "shared_activation_other_ranges",
    "raw_and_through_activation_ranged_once",
    "scalar_mul_before_conv_unranged",
    "batch_norm_as_mul_add_ranged",
    "mean_both",
    "sigmoid_both",
    "hard_swish_of_layer",
    "add_then_concat",
    "gru_step",
    "loop_gru_frames",
    "loop_writes_list_of_three",
]


def test_each_version_judged_every_case():
    for version, verdicts in KNOWN.items():
        assert set(verdicts) == set(corpus.CASES), f"{version}: {set(verdicts) ^ set(corpus.CASES)}"


@pytest.mark.parametrize("name", CHOSEN)
def test_the_verdict_is_the_converters(name):
    if tf2.__version__ not in KNOWN:
        pytest.skip(f"nothing is known of TensorFlow {tf2.__version__}")
    wanted, found = dict(KNOWN[tf2.__version__][name]), corpus.judge(name)
    # Kernels round differently from one processor to the next.
    off = wanted.pop("off", None), found.pop("off", None)
    assert found == wanted
    assert off[0] == off[1] or abs(off[0] - off[1]) <= 2, f"off by {off[1]} levels, not {off[0]}"
