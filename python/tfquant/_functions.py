"""The verbs as functions. Written by python/tools/signatures.py from the program's options; not to be edited."""

from __future__ import annotations

from ._call import look, make

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike
    from typing import Any, Literal, Union

    from numpy.typing import ArrayLike

    from ._made import Calibrated, Frozen, Rewritten

    # A path, bytes, or a GraphDef, MetaGraphDef or SavedModel message.
    Model = Any
    Path = Union[str, PathLike[str]]


def rewrite(
    model: Model,
    *,
    input_format: Literal["graph-def", "graph-def-text", "meta-graph-def", "meta-graph-def-text", "saved-model", "saved-model-text"] | None = None,
    tag_set: str | Sequence[str] | None = None,
    inputs: str | Sequence[str] | None = None,
    outputs: str | Sequence[str] | None = None,
    output_format: Literal["binary", "text", "saved-model"] | None = None,
    freeze: bool = False,
    signature: str | None = None,
    checkpoint: Path | None = None,
    match: Literal["auto", "names", "topology"] = "auto",
    mode: Literal["training", "eval"] = "training",
    include: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    skip_unmatched: bool = False,
    drop_training: bool = False,
    freeze_bn_delay: int | None = None,
    reference_only: bool = False,
    resource_variables: bool = False,
    fold_constants: bool = False,
    strict_fold: bool = False,
    allow_nothing: bool = False,
    weight_bits: int = 8,
    weight_narrow_range: bool = False,
    activation_bits: int = 8,
    ema_decay: float = 0.999,
    quant_delay: int | None = None,
    vars_collection: str | None = None,
    quantize_folded_weights_use_ema: bool = False,
    symmetric: bool = False,
    scope: str | None = None,
    allow_training_ops: bool = False,
    no_fold_batch_norms: bool = False,
    init_op: str | None = None,
    update_op: str | None = None,
    ranges: Literal["const", "variables"] | None = None,
    target: Literal["litert-int8", "litert-uint8", "reference", "openvino"] | None = None,
    weights: Literal["symmetric-per-channel", "symmetric", "asymmetric"] | None = None,
    ranges_file: Path | None = None,
    default_range: Sequence[float] | None = None,
    quantize_inputs: bool = False,
    input_range: Sequence[float] | None = None,
    unroll: int | None = None,
) -> Rewritten[Any]:
    """Inserts fake quantizers around the layers of a graph.

    Args:
        model: A path, bytes, or a ``GraphDef``, ``MetaGraphDef`` or ``SavedModel`` message.
        input_format: Take the input for this, instead of telling it from its content.
        tag_set: Tags of the graph to take from a SavedModel [default: its first graph].
        inputs: Tensors that are fed; what comes before them is left alone [default: the graph's inputs].
        outputs: Tensors that are read in the end [default: the signatures' outputs, else what nobody reads].
        output_format: Write binary or text, or a GraphDef as a SavedModel [default: text when the output ends in
            .pbtxt, else binary].
        freeze: Freeze the model first; done without being asked where the layers are in functions (mode eval).
        signature: Signature to freeze [default: serving_default, or the only one].
        checkpoint: Checkpoint that holds the variables to freeze [default: that of the SavedModel folder].
        match: How layers are recognised.
        mode: Whether the graph trains or evaluates.
        include: Touch only layers whose op's name matches.
        exclude: Leave alone layers whose op's name matches.
        skip_unmatched: Leave a layer that the rules refuse as it is, instead of failing.
        drop_training: Leave out what only trains, saves or watches, so that a graph saved while training can be
            rewritten.
        freeze_bn_delay: Freeze the moving averages of folded batch norms from this step on (match topology).
        reference_only: Do what TensorFlow does and no more: no extensions (match topology).
        resource_variables: Make new variables resource variables; done without being asked where the model's own are
            (match topology).
        fold_constants: Compute the weights that constant batch norms make, instead of the graph computing them (a
            frozen GraphDef).
        strict_fold: Fail when a batch norm stays unfolded.
        allow_nothing: Take it for a success even if nothing can be done to the graph.
        weight_bits: Bits for weights, 2 to 8.
        weight_narrow_range: Leave the lowest level of weights unused.
        activation_bits: Bits for activations, 2 to 8.
        ema_decay: Decay of the moving averages of activation ranges, 0 to 1.
        quant_delay: Quantize activations from this global step on [default: from the start].
        vars_collection: Collection that range variables enter beside the standard ones [default:
            moving_average_variables; with match topology, variables].
        quantize_folded_weights_use_ema: Follow folded weights by moving averages too.
        symmetric: Keep the ends of layers' ranges at the same distance from zero (match topology).
        scope: Quantize only what is inside this name scope (match topology).
        allow_training_ops: Go on with a graph that holds training ops already (match topology).
        no_fold_batch_norms: Quantize alone, without folding batch norms.
        init_op: Add a NoOp of this name that initialises all new variables.
        update_op: Add a NoOp of this name that updates all ranges.
        ranges: Whether ranges are variables or constants (mode eval, match topology) [default: constants where a flag
            below is given, else variables].
        target: Converter that is to take the result: ranges go where it wants them, as 'tfquant calibrate' puts them (a
            frozen GraphDef) [default: reference].
        weights: How to quantize weights [default: what suits the target].
        ranges_file: Ranges of activations, as 'tfquant ranges' writes them with format json, csv, aeq or quant-stats.
        default_range: Range of activations that no other is given for.
        quantize_inputs: Give the float inputs of the graph a range too.
        input_range: Range of inputs that no other is given for; means quantize_inputs.
        unroll: Write loops of a known length out in up to so many steps, for target litert-* [default: 128].

    Returns:
        The model with fake quantizers, of the type that came in, with the report.

    Raises:
        OptionsError: A keyword's value that makes no sense, alone or for this model. It is a ``ValueError``.
        Error: Everything else, with what to do next in ``hint``.
    """
    return make("rewrite", locals(), rewrite.__kwdefaults__)


def fold(
    model: Model,
    *,
    input_format: Literal["graph-def", "graph-def-text", "meta-graph-def", "meta-graph-def-text", "saved-model", "saved-model-text"] | None = None,
    tag_set: str | Sequence[str] | None = None,
    inputs: str | Sequence[str] | None = None,
    outputs: str | Sequence[str] | None = None,
    output_format: Literal["binary", "text", "saved-model"] | None = None,
    freeze: bool = False,
    signature: str | None = None,
    checkpoint: Path | None = None,
    match: Literal["auto", "names", "topology"] = "auto",
    mode: Literal["training", "eval"] = "training",
    include: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    skip_unmatched: bool = False,
    drop_training: bool = False,
    freeze_bn_delay: int | None = None,
    reference_only: bool = False,
    resource_variables: bool = False,
    fold_constants: bool = False,
    strict_fold: bool = False,
    allow_nothing: bool = False,
) -> Rewritten[Any]:
    """Folds batch norms into the weights of their layers, without quantizing.

    Args:
        model: A path, bytes, or a ``GraphDef``, ``MetaGraphDef`` or ``SavedModel`` message.
        input_format: Take the input for this, instead of telling it from its content.
        tag_set: Tags of the graph to take from a SavedModel [default: its first graph].
        inputs: Tensors that are fed; what comes before them is left alone [default: the graph's inputs].
        outputs: Tensors that are read in the end [default: the signatures' outputs, else what nobody reads].
        output_format: Write binary or text, or a GraphDef as a SavedModel [default: text when the output ends in
            .pbtxt, else binary].
        freeze: Freeze the model first; done without being asked where the layers are in functions (mode eval).
        signature: Signature to freeze [default: serving_default, or the only one].
        checkpoint: Checkpoint that holds the variables to freeze [default: that of the SavedModel folder].
        match: How layers are recognised.
        mode: Whether the graph trains or evaluates.
        include: Touch only layers whose op's name matches.
        exclude: Leave alone layers whose op's name matches.
        skip_unmatched: Leave a layer that the rules refuse as it is, instead of failing.
        drop_training: Leave out what only trains, saves or watches, so that a graph saved while training can be
            rewritten.
        freeze_bn_delay: Freeze the moving averages of folded batch norms from this step on (match topology).
        reference_only: Do what TensorFlow does and no more: no extensions (match topology).
        resource_variables: Make new variables resource variables; done without being asked where the model's own are
            (match topology).
        fold_constants: Compute the weights that constant batch norms make, instead of the graph computing them (a
            frozen GraphDef).
        strict_fold: Fail when a batch norm stays unfolded.
        allow_nothing: Take it for a success even if nothing can be done to the graph.

    Returns:
        The model without the batch norms that were folded, of the type that came in, with the report.

    Raises:
        OptionsError: A keyword's value that makes no sense, alone or for this model. It is a ``ValueError``.
        Error: Everything else, with what to do next in ``hint``.
    """
    return make("fold", locals(), fold.__kwdefaults__)


def freeze(
    model: Model,
    *,
    input_format: Literal["graph-def", "graph-def-text", "meta-graph-def", "meta-graph-def-text", "saved-model", "saved-model-text"] | None = None,
    tag_set: str | Sequence[str] | None = None,
    inputs: str | Sequence[str] | None = None,
    outputs: str | Sequence[str] | None = None,
    output_format: Literal["binary", "text", "saved-model"] | None = None,
    signature: str | None = None,
    checkpoint: Path | None = None,
    use_defaults: bool = False,
) -> Frozen[Any]:
    """Makes one graph without variables and calls out of a model.

    Args:
        model: A path, bytes, or a ``GraphDef``, ``MetaGraphDef`` or ``SavedModel`` message.
        input_format: Take the input for this, instead of telling it from its content.
        tag_set: Tags of the graph to take from a SavedModel [default: its first graph].
        inputs: Tensors that are fed; what comes before them is left alone [default: the graph's inputs].
        outputs: Tensors that are read in the end [default: the signatures' outputs, else what nobody reads].
        output_format: Write a GraphDef, binary or text, or a SavedModel [default: text when the output ends in .pbtxt,
            else binary].
        signature: Signature to freeze [default: serving_default, or the only one].
        checkpoint: Checkpoint that holds the variables [default: that of the SavedModel folder].
        use_defaults: Put the default in place of every PlaceholderWithDefault.

    Returns:
        A GraphDef without variables and calls: a message if one came in, else bytes.

    Raises:
        OptionsError: A keyword's value that makes no sense, alone or for this model. It is a ``ValueError``.
        Error: Everything else, with what to do next in ``hint``.
    """
    return make("freeze", locals(), freeze.__kwdefaults__)


def calibrate(
    model: Model,
    *,
    data: Path | ArrayLike | Mapping[str, Path | ArrayLike] | Sequence[Path | ArrayLike],
    input_format: Literal["graph-def", "graph-def-text", "meta-graph-def", "meta-graph-def-text", "saved-model", "saved-model-text"] | None = None,
    tag_set: str | Sequence[str] | None = None,
    inputs: str | Sequence[str] | None = None,
    outputs: str | Sequence[str] | None = None,
    limit: int | None = None,
    resize: int | Sequence[int] | None = None,
    layout: Literal["nhwc", "nchw"] | None = None,
    dtype: str | None = None,
    shape: int | Sequence[int] | None = None,
    scale: float | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    output_format: Literal["binary", "text", "saved-model"] | None = None,
    target: Literal["litert-int8", "litert-uint8", "openvino"] = "litert-int8",
    weights: Literal["symmetric-per-channel", "symmetric", "asymmetric", "raw"] | None = None,
    weight_bits: int = 8,
    method: Literal["minmax", "moving-average", "percentile", "mse", "entropy", "best"] = "best",
    percentile: float = 99.99,
    ema_decay: float = 0.999,
    unroll: int | None = None,
    threads: int | None = None,
    memory_limit: int | None = None,
    max_steps: int | None = None,
    signature: str | None = None,
    checkpoint: Path | None = None,
    equalize: bool = False,
    correct_bias: bool = False,
) -> Calibrated[Any]:
    """Makes a float model one with 8-bit ranges, which samples show, for a converter to integers.

    Args:
        model: A path, bytes, or a ``GraphDef``, ``MetaGraphDef`` or ``SavedModel`` message.
        input_format: Take the input for this, instead of telling it from its content.
        tag_set: Tags of the graph to take from a SavedModel [default: its first graph].
        inputs: Tensors that are fed; what comes before them is left alone [default: the graph's inputs].
        outputs: Tensors that are read in the end [default: the signatures' outputs, else what nobody reads].
        data: Samples: a folder of PNG and JPEG images; .npy, whose first dimension counts them; .npz with an array for
            each input; raw numbers. With several inputs, once for each of them; or an array, or a dict of paths and
            arrays by the names of inputs. The first dimension of an array counts samples.
        limit: Use no more than this many samples of each input.
        resize: Bring images to this size [default: that of the model's input].
        layout: Where images have their channels [default: as the model's input].
        dtype: Element type of raw numbers, as NumPy names it [default: that of the model's input].
        shape: Shape of one sample of raw numbers [default: that of the model's input].
        scale: Multiply the samples of float inputs with this, a number or a fraction such as 1/255; before mean and
            std.
        mean: Subtract this from the samples of float inputs: a number, or one for each channel.
        std: Divide the samples of float inputs by this: a number, or one for each channel.
        output_format: Write a GraphDef, binary or text, or a SavedModel [default: text when the output ends in .pbtxt,
            else binary].
        target: Converter that is to take the result.
        weights: How to quantize weights [default: symmetric-per-channel; for litert-uint8, asymmetric].
        weight_bits: Bits for weights, 2 to 8.
        method: How to make a range of what a tensor was.
        percentile: Percent of all values that a range holds, for method percentile.
        ema_decay: Decay of the averages, for method moving-average.
        unroll: Write loops of a known length out in up to so many steps, for target litert-* [default: 128].
        threads: Threads that run the model [default: as many as there are processors].
        memory_limit: Megabytes that the run may hold [default: half of the machine's memory].
        max_steps: Nodes that one sample may compute, each as often as a loop repeats it [default: 50000000].
        signature: Signature to take [default: serving_default, or the only one].
        checkpoint: Checkpoint that holds the variables [default: that of the SavedModel folder].
        equalize: Move weights between layers so that the channels of each are of one size; pays with weights symmetric.
        correct_bias: Take what quantizing adds to a channel on average off its bias, over at most 128 runs.

    Returns:
        A GraphDef with constant ranges: a message if one came in, else bytes.

    Raises:
        OptionsError: A keyword's value that makes no sense, alone or for this model. It is a ``ValueError``.
        Error: Everything else, with what to do next in ``hint``.
    """
    return make("calibrate", locals(), calibrate.__kwdefaults__)


def check(
    model: Model,
    *,
    input_format: Literal["graph-def", "graph-def-text", "meta-graph-def", "meta-graph-def-text", "saved-model", "saved-model-text"] | None = None,
    tag_set: str | Sequence[str] | None = None,
    inputs: str | Sequence[str] | None = None,
    outputs: str | Sequence[str] | None = None,
    target: Literal["litert-int8", "litert-uint8", "toco-uint8", "openvino", "any"] | None = None,
    full_integer: bool = False,
    against: Model = None,
    checkpoint: Path | None = None,
) -> dict[str, Any]:
    """Tells whether a converter will take a graph, and what looks wrong in it.

    Args:
        model: A path, bytes, or a ``GraphDef``, ``MetaGraphDef`` or ``SavedModel`` message.
        input_format: Take the input for this, instead of telling it from its content.
        tag_set: Tags of the graph to take from a SavedModel [default: its first graph].
        inputs: Tensors that are fed; what comes before them is left alone [default: the graph's inputs].
        outputs: Tensors that are read in the end [default: the signatures' outputs, else what nobody reads].
        target: Converter that is to take the graph [default: litert-int8 if all ranges are constants, else toco-uint8].
        full_integer: An op that stays in float is an error (litert).
        against: Compare the ranges of MODEL, an eval graph, with those of this training graph; or bytes or a message.
        checkpoint: Compare the variables with the keys of this checkpoint.

    Returns:
        What was found: ``errors`` and ``warnings`` counted, ``findings`` one by one.

    Raises:
        OptionsError: A keyword's value that makes no sense, alone or for this model. It is a ``ValueError``.
        Error: Everything else, with what to do next in ``hint``.
    """
    return look("check", locals(), check.__kwdefaults__)


def summary(
    model: Model,
    *,
    input_format: Literal["graph-def", "graph-def-text", "meta-graph-def", "meta-graph-def-text", "saved-model", "saved-model-text"] | None = None,
    tag_set: str | Sequence[str] | None = None,
    inputs: str | Sequence[str] | None = None,
    outputs: str | Sequence[str] | None = None,
) -> dict[str, Any]:
    """Tells what a graph is: inputs, outputs, ops, parameters, how far it is quantized.

    Args:
        model: A path, bytes, or a ``GraphDef``, ``MetaGraphDef`` or ``SavedModel`` message.
        input_format: Take the input for this, instead of telling it from its content.
        tag_set: Tags of the graph to take from a SavedModel [default: its first graph].
        inputs: Tensors that are fed; what comes before them is left alone [default: the graph's inputs].
        outputs: Tensors that are read in the end [default: the signatures' outputs, else what nobody reads].

    Returns:
        What the graph is: its inputs, outputs, ops, variables.

    Raises:
        OptionsError: A keyword's value that makes no sense, alone or for this model. It is a ``ValueError``.
        Error: Everything else, with what to do next in ``hint``.
    """
    return look("summary", locals(), summary.__kwdefaults__)


def explain(
    model: Model,
    node: str | None = None,
    *,
    input_format: Literal["graph-def", "graph-def-text", "meta-graph-def", "meta-graph-def-text", "saved-model", "saved-model-text"] | None = None,
    tag_set: str | Sequence[str] | None = None,
    inputs: str | Sequence[str] | None = None,
    outputs: str | Sequence[str] | None = None,
    freeze: bool = False,
    signature: str | None = None,
    checkpoint: Path | None = None,
    match: Literal["auto", "names", "topology"] = "auto",
    mode: Literal["training", "eval"] = "training",
    include: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    skip_unmatched: bool = False,
    drop_training: bool = False,
    freeze_bn_delay: int | None = None,
    reference_only: bool = False,
    resource_variables: bool = False,
    fold_constants: bool = False,
    strict_fold: bool = False,
    allow_nothing: bool = False,
    weight_bits: int = 8,
    weight_narrow_range: bool = False,
    activation_bits: int = 8,
    ema_decay: float = 0.999,
    quant_delay: int | None = None,
    vars_collection: str | None = None,
    quantize_folded_weights_use_ema: bool = False,
    symmetric: bool = False,
    scope: str | None = None,
    allow_training_ops: bool = False,
    no_fold_batch_norms: bool = False,
    init_op: str | None = None,
    update_op: str | None = None,
    ranges: Literal["const", "variables"] | None = None,
    target: Literal["litert-int8", "litert-uint8", "reference", "openvino"] | None = None,
    weights: Literal["symmetric-per-channel", "symmetric", "asymmetric"] | None = None,
    ranges_file: Path | None = None,
    default_range: Sequence[float] | None = None,
    quantize_inputs: bool = False,
    input_range: Sequence[float] | None = None,
    unroll: int | None = None,
) -> dict[str, Any]:
    """Tells what the rules say about each layer, and why.

    Args:
        model: A path, bytes, or a ``GraphDef``, ``MetaGraphDef`` or ``SavedModel`` message.
        input_format: Take the input for this, instead of telling it from its content.
        tag_set: Tags of the graph to take from a SavedModel [default: its first graph].
        inputs: Tensors that are fed; what comes before them is left alone [default: the graph's inputs].
        outputs: Tensors that are read in the end [default: the signatures' outputs, else what nobody reads].
        node: The node to explain [default: every layer, those left alone in detail].
        freeze: Freeze the model first; done without being asked where the layers are in functions (mode eval).
        signature: Signature to freeze [default: serving_default, or the only one].
        checkpoint: Checkpoint that holds the variables to freeze [default: that of the SavedModel folder].
        match: How layers are recognised.
        mode: Whether the graph trains or evaluates.
        include: Touch only layers whose op's name matches.
        exclude: Leave alone layers whose op's name matches.
        skip_unmatched: Leave a layer that the rules refuse as it is, instead of failing.
        drop_training: Leave out what only trains, saves or watches, so that a graph saved while training can be
            rewritten.
        freeze_bn_delay: Freeze the moving averages of folded batch norms from this step on (match topology).
        reference_only: Do what TensorFlow does and no more: no extensions (match topology).
        resource_variables: Make new variables resource variables; done without being asked where the model's own are
            (match topology).
        fold_constants: Compute the weights that constant batch norms make, instead of the graph computing them (a
            frozen GraphDef).
        strict_fold: Fail when a batch norm stays unfolded.
        allow_nothing: Take it for a success even if nothing can be done to the graph.
        weight_bits: Bits for weights, 2 to 8.
        weight_narrow_range: Leave the lowest level of weights unused.
        activation_bits: Bits for activations, 2 to 8.
        ema_decay: Decay of the moving averages of activation ranges, 0 to 1.
        quant_delay: Quantize activations from this global step on [default: from the start].
        vars_collection: Collection that range variables enter beside the standard ones [default:
            moving_average_variables; with match topology, variables].
        quantize_folded_weights_use_ema: Follow folded weights by moving averages too.
        symmetric: Keep the ends of layers' ranges at the same distance from zero (match topology).
        scope: Quantize only what is inside this name scope (match topology).
        allow_training_ops: Go on with a graph that holds training ops already (match topology).
        no_fold_batch_norms: Quantize alone, without folding batch norms.
        init_op: Add a NoOp of this name that initialises all new variables.
        update_op: Add a NoOp of this name that updates all ranges.
        ranges: Whether ranges are variables or constants (mode eval, match topology) [default: constants where a flag
            below is given, else variables].
        target: Converter that is to take the result: ranges go where it wants them, as 'tfquant calibrate' puts them (a
            frozen GraphDef) [default: reference].
        weights: How to quantize weights [default: what suits the target].
        ranges_file: Ranges of activations, as 'tfquant ranges' writes them with format json, csv, aeq or quant-stats.
        default_range: Range of activations that no other is given for.
        quantize_inputs: Give the float inputs of the graph a range too.
        input_range: Range of inputs that no other is given for; means quantize_inputs.
        unroll: Write loops of a known length out in up to so many steps, for target litert-* [default: 128].

    Returns:
        The decision about every layer, or about one node, with its reason.

    Raises:
        OptionsError: A keyword's value that makes no sense, alone or for this model. It is a ``ValueError``.
        Error: Everything else, with what to do next in ``hint``.
    """
    return look("explain", locals(), explain.__kwdefaults__)


def diff(
    model: Model,
    other: Model,
    *,
    input_format: Literal["graph-def", "graph-def-text", "meta-graph-def", "meta-graph-def-text", "saved-model", "saved-model-text"] | None = None,
    tag_set: str | Sequence[str] | None = None,
    inputs: str | Sequence[str] | None = None,
    outputs: str | Sequence[str] | None = None,
    scope: str | None = None,
) -> dict[str, Any]:
    """Tells how two graphs differ, node by node.

    Args:
        model: A path, bytes, or a ``GraphDef``, ``MetaGraphDef`` or ``SavedModel`` message.
        other: The model to compare with, likewise.
        input_format: Take the input for this, instead of telling it from its content.
        tag_set: Tags of the graph to take from a SavedModel [default: its first graph].
        inputs: Tensors that are fed; what comes before them is left alone [default: the graph's inputs].
        outputs: Tensors that are read in the end [default: the signatures' outputs, else what nobody reads].
        scope: Look at the nodes of this scope alone.

    Returns:
        The nodes that were added, removed and changed.

    Raises:
        OptionsError: A keyword's value that makes no sense, alone or for this model. It is a ``ValueError``.
        Error: Everything else, with what to do next in ``hint``.
    """
    return look("diff", locals(), diff.__kwdefaults__)


def ranges(
    model: Model,
    *,
    input_format: Literal["graph-def", "graph-def-text", "meta-graph-def", "meta-graph-def-text", "saved-model", "saved-model-text"] | None = None,
    tag_set: str | Sequence[str] | None = None,
    inputs: str | Sequence[str] | None = None,
    outputs: str | Sequence[str] | None = None,
    checkpoint: Path | None = None,
) -> dict[str, Any]:
    """Tells the range of every fake quantizer, with its scale and zero point.

    Args:
        model: A path, bytes, or a ``GraphDef``, ``MetaGraphDef`` or ``SavedModel`` message.
        input_format: Take the input for this, instead of telling it from its content.
        tag_set: Tags of the graph to take from a SavedModel [default: its first graph].
        inputs: Tensors that are fed; what comes before them is left alone [default: the graph's inputs].
        outputs: Tensors that are read in the end [default: the signatures' outputs, else what nobody reads].
        checkpoint: Checkpoint that holds ranges which are variables.

    Returns:
        Every fake quantizer with its range, scale and zero point.

    Raises:
        OptionsError: A keyword's value that makes no sense, alone or for this model. It is a ``ValueError``.
        Error: Everything else, with what to do next in ``hint``.
    """
    return look("ranges", locals(), ranges.__kwdefaults__)


def compare(
    model: Model,
    other: Model,
    *,
    data: Path | ArrayLike | Mapping[str, Path | ArrayLike] | Sequence[Path | ArrayLike],
    input_format: Literal["graph-def", "graph-def-text", "meta-graph-def", "meta-graph-def-text", "saved-model", "saved-model-text"] | None = None,
    tag_set: str | Sequence[str] | None = None,
    inputs: str | Sequence[str] | None = None,
    outputs: str | Sequence[str] | None = None,
    limit: int | None = None,
    resize: int | Sequence[int] | None = None,
    layout: Literal["nhwc", "nchw"] | None = None,
    dtype: str | None = None,
    shape: int | Sequence[int] | None = None,
    scale: float | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    threads: int | None = None,
    memory_limit: int | None = None,
    max_steps: int | None = None,
    labels: Path | ArrayLike | None = None,
    min_sqnr: float | None = None,
    signature: str | None = None,
    checkpoint: Path | None = None,
) -> dict[str, Any]:
    """Tells how near two models' tensors are on the same samples, and which classes both see.

    Args:
        model: A path, bytes, or a ``GraphDef``, ``MetaGraphDef`` or ``SavedModel`` message.
        other: The model to compare with, likewise.
        input_format: Take the input for this, instead of telling it from its content.
        tag_set: Tags of the graph to take from a SavedModel [default: its first graph].
        inputs: Tensors that are fed; what comes before them is left alone [default: the graph's inputs].
        outputs: Tensors that are read in the end [default: the signatures' outputs, else what nobody reads].
        data: Samples: a folder of PNG and JPEG images; .npy, whose first dimension counts them; .npz with an array for
            each input; raw numbers. With several inputs, once for each of them; or an array, or a dict of paths and
            arrays by the names of inputs. The first dimension of an array counts samples.
        limit: Use no more than this many samples of each input.
        resize: Bring images to this size [default: that of the model's input].
        layout: Where images have their channels [default: as the model's input].
        dtype: Element type of raw numbers, as NumPy names it [default: that of the model's input].
        shape: Shape of one sample of raw numbers [default: that of the model's input].
        scale: Multiply the samples of float inputs with this, a number or a fraction such as 1/255; before mean and
            std.
        mean: Subtract this from the samples of float inputs: a number, or one for each channel.
        std: Divide the samples of float inputs by this: a number, or one for each channel.
        threads: Threads that run the model [default: as many as there are processors].
        memory_limit: Megabytes that the run may hold [default: half of the machine's memory].
        max_steps: Nodes that one sample may compute, each as often as a loop repeats it [default: 50000000].
        labels: The right class of each sample, as whole numbers in a .npy; or an array of whole numbers, one for each
            sample.
        min_sqnr: Exit with 1 if an output's SQNR is below this.
        signature: Signature to take [default: serving_default, or the only one].
        checkpoint: Checkpoint that holds the variables of MODEL [default: that of the SavedModel folder].

    Returns:
        How near each tensor of one model is to the other's, the outputs first; SQNR in decibels.

    Raises:
        OptionsError: A keyword's value that makes no sense, alone or for this model. It is a ``ValueError``.
        Error: Everything else, with what to do next in ``hint``.
    """
    return look("compare", locals(), compare.__kwdefaults__)
