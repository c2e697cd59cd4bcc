//! What kinds of ops there are, each asked in one place.
//!
//! The lists that TensorFlow's own rules go by, which leave newer ops out on purpose, stay with those rules.

/// The op an op counts as: newer ops stand in for the ones the rules were written for.
#[must_use]
pub fn canonical_op(op: &str) -> &str {
    match op {
        "FusedBatchNormV2" | "FusedBatchNormV3" => "FusedBatchNorm",
        "AddV2" => "Add",
        other => other,
    }
}
