//! Graphs to which an optimizer was added already: TensorFlow 1.15's `_check_for_training_ops`.

use crate::error::{ErrorKind, Result};
use crate::graph::Graph;

/// The optimizer ops that a graph holds once its training ops were added.
const TRAINING_OPS: [&str; 14] = [
    "Adadelta",
    "Adagrad",
    "AdagradDA",
    "Adam",
    "AddSign",
    "CenteredRMSProp",
    "Ftrl",
    "FtrlV2",
    "GradientDescent",
    "Momentum",
    "PowerSign",
    "ProximalAdagrad",
    "ProximalGradientDescent",
    "RMSProp",
];

/// Refuses a graph that holds training ops: gradients would bypass the quantizers. TensorFlow's
/// `_check_for_training_ops`.
///
/// # Errors
/// [`ErrorKind::Refused`], naming the first such node.
pub(crate) fn check(graph: &Graph) -> Result<()> {
    match graph.ids().find(|&node| is_training_op(graph.op(node))) {
        None => Ok(()),
        Some(node) => Err(graph
            .error(
                ErrorKind::Refused,
                "the graph holds training ops, whose gradients would bypass the quantizers",
                node,
            )
            .hint("leave them out with --drop-training, or go on with --allow-training-ops")),
    }
}

/// Whether the op is among those that TensorFlow 1.15 looks for.
fn is_training_op(op: &str) -> bool {
    let (rest, sparse) = match op.strip_prefix("Resource").unwrap_or(op).strip_prefix("Sparse") {
        Some(rest) => (rest, true),
        None => (op.strip_prefix("Resource").unwrap_or(op), false),
    };
    let Some(optimizer) = rest.strip_prefix("Apply") else { return false };
    // TensorFlow's list leaves these out.
    let is_left_out = matches!(op, "ApplyAdadelta")
        || sparse && matches!(optimizer, "Adam" | "AddSign" | "PowerSign" | "GradientDescent")
        || op == "ResourceSparseApplyAdadelta";
    TRAINING_OPS.contains(&optimizer) && !is_left_out
}

#[cfg(test)]
mod tests {
    use super::is_training_op;

    #[test]
    fn training_ops_are_those_of_tensorflow() {
        let yes = [
            "ApplyAdam",
            "ResourceApplyAdam",
            "SparseApplyFtrlV2",
            "ResourceSparseApplyMomentum",
            "SparseApplyAdadelta",
        ];
        let no = ["ApplyAdadelta", "SparseApplyAdam", "ResourceSparseApplyAdadelta", "Apply", "AddSign", "SparseApply"];
        assert_eq!(yes.map(is_training_op), [true; 5]);
        assert_eq!(no.map(is_training_op), [false; 6]);
    }
}
