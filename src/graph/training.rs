//! What a graph holds beside the network: Savers, gradients, summaries, optimizers.

use hashbrown::HashSet;

use super::op_class::is_variable;
use super::{Graph, NodeId, TensorRef};
use crate::proto::tensorflow::DataType;

/// Whether the node belongs to a Saver.
#[must_use]
pub fn is_saving(graph: &Graph, node: NodeId) -> bool {
    name_is_saving(graph.name(node)) || op_is_saving(graph.op(node))
}

fn op_is_saving(op: &str) -> bool {
    matches!(
        op,
        "SaveV2"
            | "Save"
            | "SaveSlices"
            | "RestoreV2"
            | "Restore"
            | "RestoreSlice"
            | "MergeV2Checkpoints"
            | "ShardedFilename"
    )
}

fn name_is_saving(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("save") else { return false };
    let Some((suffix, _)) = rest.split_once('/') else { return false };
    suffix.is_empty() || suffix.strip_prefix('_').is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a node of that name belongs to the gradients: `tf.gradients` makes them in a scope of that name, which is
/// numbered when it repeats, and optimizers in scopes of their own around it.
#[must_use]
pub fn is_gradient(name: &str) -> bool {
    let Some((scopes, _)) = name.rsplit_once('/') else { return false };
    scopes.split('/').any(|scope| match scope.strip_prefix("gradients") {
        Some("") => true,
        Some(rest) => rest.strip_prefix('_').is_some_and(|number| is_number(number)),
        None => scope == "gradient_tape",
    })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether the op watches others: it sums them up, or asserts something of them.
#[must_use]
pub fn op_watches(op: &str) -> bool {
    op.contains("Summary") || op == "Assert"
}

/// Whether the node is there to save, initialise, update, watch or train.
#[must_use]
pub fn stands_aside(graph: &Graph, node: NodeId) -> bool {
    op_stands_aside(graph.op(node)) || name_stands_aside(graph.name(node))
}

/// What [`stands_aside`] asks of the op.
#[must_use]
pub fn op_stands_aside(op: &str) -> bool {
    matches!(op, "NoOp" | "IsVariableInitialized" | "VarIsInitializedOp" | "ControlTrigger")
        || ["Assign", "Apply", "ResourceApply", "SparseApply", "Scatter", "QueueEnqueue", "QueueClose", "QueueSize"]
            .iter()
            .any(|prefix| op.starts_with(prefix) && op != "ScatterNd")
        || op_watches(op)
        || op_is_saving(op)
}

/// What [`stands_aside`] asks of the name.
#[must_use]
pub fn name_stands_aside(name: &str) -> bool {
    is_gradient(name) || name_is_saving(name) || name.starts_with("report_uninitialized_variables/")
}

/// The first node that belongs to the gradients.
#[must_use]
pub fn first_gradient(graph: &Graph) -> Option<NodeId> {
    graph.ids().find(|&node| is_gradient(graph.name(node)))
}

/// Variables that the graph's Savers do not save.
#[derive(Debug)]
pub struct Unsaved {
    /// The first Saver's node.
    pub saver: NodeId,
    /// The variables, in graph order.
    pub variables: Vec<NodeId>,
}

impl Unsaved {
    /// What to tell of it.
    #[must_use]
    pub fn message(&self, graph: &Graph) -> String {
        let first = self.variables.first().map_or("", |&variable| graph.name(variable));
        format!(
            "the Saver '{}' misses {} variables, '{first}' first: make a new Saver after loading the graph",
            graph.name(self.saver),
            self.variables.len()
        )
    }
}

/// Variables that none of the graph's Savers saves; none where there is no Saver, or one whose keys cannot be read.
#[must_use]
pub fn unsaved_variables(graph: &Graph) -> Option<Unsaved> {
    let savers: Vec<NodeId> =
        graph.ids().filter(|&node| matches!(graph.op(node), "SaveV2" | "Save" | "SaveSlices")).collect();
    let &saver = savers.first()?;
    let mut saved: HashSet<String> = HashSet::new();
    for &saver in &savers {
        saved.extend(strings(graph, graph.data_input(saver, 1)?)?);
        let first_tensor = if graph.op(saver) == "Save" { 2 } else { 3 };
        saved.extend(graph.data_inputs(saver).skip(first_tensor).map(|input| variable_behind(graph, input)));
    }
    let is_missed = |&node: &NodeId| is_variable(graph.op(node)) && !saved.contains(graph.name(node));
    let variables: Vec<NodeId> = graph.ids().filter(is_missed).collect();
    (!variables.is_empty()).then_some(Unsaved { saver, variables })
}

fn variable_behind(graph: &Graph, mut tensor: TensorRef) -> String {
    for _ in 0..8 {
        if is_variable(graph.op(tensor.node)) {
            break;
        }
        match graph.data_input(tensor.node, 0) {
            Some(input) => tensor = input,
            None => break,
        }
    }
    graph.name(tensor.node).to_owned()
}

/// The strings of a Const of strings.
fn strings(graph: &Graph, tensor: TensorRef) -> Option<Vec<String>> {
    let value = graph.const_value(tensor)?;
    let text = value.string_val.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    (value.dtype == DataType::DtString as i32).then(|| text.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_known_by_any_of_their_scopes() {
        let yes = ["gradients/conv/Conv2D_grad/Conv2DBackpropFilter", "gradients_1/mul", "training/Adam/gradients/x"];
        let no = ["gradients", "my_gradients/x", "gradients_of/x", "net/gradients", "gradients_1"];
        assert_eq!(yes.map(is_gradient), [true; 3]);
        assert_eq!(no.map(is_gradient), [false; 5]);
    }
}
