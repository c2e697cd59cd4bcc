//! What kinds of ops there are, each asked in one place.
//!
//! The lists that TensorFlow's own rules go by, which leave newer ops out on purpose, stay with those rules and are marked
//! as theirs.

/// The op an op counts as: newer ops stand in for the ones the rules were written for.
#[must_use]
pub(crate) fn canonical_op(op: &str) -> &str {
    match op {
        "FusedBatchNormV2" | "FusedBatchNormV3" => "FusedBatchNorm",
        "AddV2" => "Add",
        other => other,
    }
}

/// Whether the op normalises a batch, in one.
#[must_use]
pub(crate) fn is_fused_batch_norm(op: &str) -> bool {
    canonical_op(op) == "FusedBatchNorm"
}

/// Whether the op is a fake quantizer, not the gradient of one.
#[must_use]
pub(crate) fn is_fake_quant(op: &str) -> bool {
    matches!(op, "FakeQuantWithMinMaxVars" | "FakeQuantWithMinMaxArgs" | "FakeQuantWithMinMaxVarsPerChannel")
}

/// Whether the op rounds weights to levels: a fake quantizer, or what other tools put in its place.
#[must_use]
pub(crate) fn is_weight_quantizer(op: &str) -> bool {
    is_fake_quant(op) || op.starts_with("QuantizeAndDequantize")
}

/// Whether the op holds a variable.
#[must_use]
pub(crate) fn is_variable(op: &str) -> bool {
    matches!(op, "VariableV2" | "Variable" | "VarHandleOp" | "AutoReloadVariable")
}

/// Whether values come into the graph here.
#[must_use]
pub(crate) fn feeds(op: &str) -> bool {
    matches!(op, "Placeholder" | "PlaceholderV2" | "IteratorGetNext" | "QueueDequeueV2" | "QueueDequeueManyV2")
}

/// The layers that the reference quantizes and folds into: those of both generations.
pub(crate) const REFERENCE_LAYERS: &[&str] = &["Conv2D", "DepthwiseConv2dNative", "MatMul"];

/// Whether the op is one of them.
#[must_use]
pub(crate) fn is_reference_layer(op: &str) -> bool {
    REFERENCE_LAYERS.contains(&op)
}

/// The layers that batch norms fold into past the reference.
pub(crate) const FOLDING_LAYERS: &[&str] =
    &["Conv2D", "DepthwiseConv2dNative", "MatMul", "Conv2DBackpropInput", "Conv3D"];

/// Whether the op is one of those.
#[must_use]
pub(crate) fn takes_batch_norm(op: &str) -> bool {
    FOLDING_LAYERS.contains(&op)
}

/// Whether the op makes other numbers each time.
pub(crate) fn draws_numbers(op: &str) -> bool {
    ["Random", "Stateless", "Truncated", "Parameterized", "Multinomial"].iter().any(|prefix| op.starts_with(prefix))
}
