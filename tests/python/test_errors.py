"""Wrong calls raise what a Python user expects; hostile bytes raise as well, and never end the interpreter."""

import random

import pytest

import tfquant


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"weight_bits": 9}, "weight_bits"),
        ({"weight_bits": "many"}, "weight_bits"),
        ({"weight_bits": [4, 5]}, "weight_bits"),
        ({"weight_bits": True}, "weight_bits"),
        ({"match": "best"}, "match.*auto, names, topology"),
        ({"ema_decay": 2.0}, "ema_decay"),
        ({"symmetric": "yes"}, "symmetric is True or False"),
        ({"default_range": (1, 2)}, "default_range"),
        ({"include": "("}, "no regular expression"),
        ({"match": "names", "symmetric": True}, "symmetric goes with match topology"),
    ],
)
def test_a_wrong_value_is_a_value_error_that_names_its_keyword(mobilenet, keywords, says):
    with pytest.raises(ValueError, match=says) as raised:
        tfquant.rewrite(mobilenet, **keywords)
    assert isinstance(raised.value, tfquant.Error) and raised.value.kind == "options"
    assert "--" not in str(raised.value)


@pytest.mark.parametrize("keywords", [{"weigth_bits": 8}, {"output": "a.pb"}, {"quiet": True}, {"weight_bits": object()}])
def test_a_wrong_keyword_is_a_type_error(mobilenet, keywords):
    with pytest.raises(TypeError):
        tfquant.rewrite(mobilenet, **keywords)


@pytest.mark.parametrize("model", [None, 3, ["a.pb"], object()])
def test_what_is_no_model_is_a_type_error(model):
    with pytest.raises(TypeError, match="GraphDef"):
        tfquant.rewrite(model)


def test_an_error_says_where_and_what_to_do(testdata):
    with pytest.raises(tfquant.Error) as raised:
        tfquant.rewrite(testdata / "check" / "fc.pb", match="names")
    error = raised.value
    assert (error.kind, error.node, error.op) == ("refused", "mm", "MatMul")
    assert error.hint and error.hint in str(error) and not isinstance(error, ValueError)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(tfquant.Error, match="cannot read") as raised:
        tfquant.summary(tmp_path / "none.pb")
    assert raised.value.kind == "io"


def test_hostile_bytes_raise(mobilenet):
    dice = random.Random(1)
    survived = 0
    for round in range(300):
        bytes_ = bytearray(mobilenet[: dice.randrange(len(mobilenet))] if round % 2 else mobilenet)
        for _ in range(dice.randrange(1, 40)):
            if bytes_:
                bytes_[dice.randrange(len(bytes_))] = dice.randrange(256)
        try:
            tfquant.rewrite(bytes(bytes_))
            tfquant.check(bytes(bytes_))
        except tfquant.Error as error:
            assert error.kind in ("malformed", "container", "invalid_graph", "refused", "options")
        else:
            survived += 1
    assert survived < 300
    for hostile in (b"", b"\x0a", b"\xff" * 1000, b"\x0a\xff\xff\xff\xff\x0f", b"{" * 100_000, b"node {" * 100_000):
        with pytest.raises(tfquant.Error):
            tfquant.rewrite(hostile)
