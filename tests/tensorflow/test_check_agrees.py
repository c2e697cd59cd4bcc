"""`tfquant check --target litert-int8` says of every graph of the corpus what this TensorFlow's converter made of it."""

import pytest
import tensorflow as tf2

import check_agrees
import converter_corpus as corpus

KNOWN = corpus.known_verdicts()


@pytest.mark.skipif(tf2.__version__ not in KNOWN, reason="nothing is known of this TensorFlow")
def test_no_graph_is_missed_and_none_accused(binary, tmp_path):
    differ = {}
    for name, found in KNOWN[tf2.__version__].items():
        differs = check_agrees.case_differs(binary, name, found, tmp_path)
        if differs:
            differ[name] = differs
    assert not differ
