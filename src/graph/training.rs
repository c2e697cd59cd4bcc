//! What a graph holds beside the network: Savers, gradients, summaries, optimizers.

use hashbrown::HashSet;

use super::name::holds;
use super::op_class::is_variable;
use super::{Graph, NodeId, PerOp, TensorRef, Word};
use crate::proto::tensorflow::DataType;

/// Whether the node belongs to a Saver.
#[must_use]
pub(crate) fn is_saving(graph: &Graph, node: NodeId) -> bool {
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
pub(crate) fn is_gradient(name: &str) -> bool {
    if !holds(name, Word::Gradient.text()) {
        return false;
    }
    let Some((scopes, _)) = name.rsplit_once('/') else { return false };
    scopes.split('/').any(|scope| match scope.strip_prefix("gradients") {
        Some("") => true,
        Some(rest) => rest.strip_prefix('_').is_some_and(is_number),
        None => scope == "gradient_tape",
    })
}

/// The nodes that compute gradients, or what is made of them: found by what they are, once for a graph.
#[derive(Debug, Default)]
pub(crate) struct Gradients {
    /// Whether each node is one; empty if there are none.
    nodes: Vec<bool>,
}

impl Gradients {
    /// Finds ops that differentiate others, what stands in the scopes that `tf.gradients` makes, and all that reads these.
    #[must_use]
    pub(crate) fn find(graph: &Graph) -> Self {
        let signs = Signs::of(graph);
        if !signs.any {
            return Self::default();
        }
        let seeds: Vec<NodeId> = graph.ids().filter(|&node| signs.has(graph, node)).collect();
        if seeds.is_empty() {
            return Self::default();
        }
        Self { nodes: graph.reached(seeds, |node| graph.consumers(node)) }
    }

    /// Whether the node is one. Nodes inserted since are not.
    #[must_use]
    pub(crate) fn contain(&self, node: NodeId) -> bool {
        self.nodes.get(node.index()).copied().unwrap_or(false)
    }

    /// The first one, in graph order.
    #[must_use]
    pub(crate) fn first(&self, graph: &Graph) -> Option<NodeId> {
        graph.ids().find(|&node| self.contain(node))
    }
}

/// By what a graph's gradients are known: most graphs have none, which is seen without a look at each node.
struct Signs {
    any: bool,
    is_gradient_op: PerOp<bool>,
    in_names: bool,
    of_losses: bool,
}

impl Signs {
    fn of(graph: &Graph) -> Self {
        let is_gradient_op = graph.per_op(is_gradient_op);
        let in_names = graph.some_name_may_hold(Word::Gradient);
        let of_losses = graph.per_op(is_loss).any();
        Self { any: is_gradient_op.any() || in_names || of_losses, is_gradient_op, in_names, of_losses }
    }

    /// Whether gradients begin at the node, whatever it reads.
    fn has(&self, graph: &Graph, node: NodeId) -> bool {
        *self.is_gradient_op.of(graph, node)
            || self.in_names && is_gradient(graph.name(node))
            || self.of_losses && reads_loss_gradient(graph, node)
    }
}

/// Whether the op is the gradient of another, such as `ReluGrad` and `FusedBatchNormGradV3`; `Conv2DBackpropInput` is an
/// op of networks as well.
fn is_gradient_op(op: &str) -> bool {
    let versionless = op.trim_end_matches(|last: char| last.is_ascii_digit());
    let base = if versionless.len() < op.len() { versionless.strip_suffix('V').unwrap_or(op) } else { op };
    let is_stop = matches!(base, "StopGradient" | "PreventGradient" | "CustomGradient");
    (base.ends_with("Grad") || base.ends_with("Gradient")) && !is_stop
        || base.contains("BackpropFilter")
        || matches!(base, "BroadcastGradientArgs" | "DepthwiseConv2dNativeBackpropInput" | "MaxPoolGradWithArgmax")
}

/// Whether the node reads the second output of a loss, which is the gradient of its first.
pub(super) fn reads_loss_gradient(graph: &Graph, node: NodeId) -> bool {
    graph.data_inputs(node).any(|input| input.port == 1 && is_loss(graph.op(input.node)))
}

/// Whether the op is a loss whose second output is a gradient.
fn is_loss(op: &str) -> bool {
    matches!(op, "SoftmaxCrossEntropyWithLogits" | "SparseSoftmaxCrossEntropyWithLogits" | "CTCLoss")
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether the op watches others: it sums them up, asserts something of them, or differentiates them.
#[must_use]
pub(crate) fn op_watches(op: &str) -> bool {
    op.contains("Summary") || op == "Assert" || is_gradient_op(op)
}

/// Whether the node is there to save, initialise, update, watch or train.
#[must_use]
pub(crate) fn stands_aside(graph: &Graph, node: NodeId) -> bool {
    op_stands_aside(graph.op(node)) || name_stands_aside(graph.name(node))
}

/// What [`stands_aside`] asks of the op.
#[must_use]
pub(crate) fn op_stands_aside(op: &str) -> bool {
    matches!(op, "NoOp" | "IsVariableInitialized" | "VarIsInitializedOp" | "ControlTrigger")
        || ["Assign", "Apply", "ResourceApply", "SparseApply", "Scatter", "QueueEnqueue", "QueueClose", "QueueSize"]
            .iter()
            .any(|prefix| op.starts_with(prefix) && op != "ScatterNd")
        || op_watches(op)
        || op_is_saving(op)
}

/// What [`stands_aside`] asks of the name.
#[must_use]
pub(crate) fn name_stands_aside(name: &str) -> bool {
    is_gradient(name) || name_is_saving(name) || name.starts_with("report_uninitialized_variables/")
}

/// Whether [`name_stands_aside`] may hold for any node of the graph.
#[must_use]
pub(super) fn some_name_may_stand_aside(graph: &Graph) -> bool {
    [Word::Gradient, Word::Save, Word::ReportUninitialized].into_iter().any(|word| graph.some_name_may_hold(word))
}

/// Variables that the graph's Savers do not save.
#[derive(Debug)]
pub(crate) struct Unsaved {
    /// The first Saver's node.
    pub saver: NodeId,
    /// The variables, in graph order.
    pub variables: Vec<NodeId>,
}

impl Unsaved {
    /// What to tell of it.
    #[must_use]
    pub(crate) fn message(&self, graph: &Graph) -> String {
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
pub(crate) fn unsaved_variables(graph: &Graph) -> Option<Unsaved> {
    let is_save = graph.per_op(|op| matches!(op, "SaveV2" | "Save" | "SaveSlices"));
    let savers: Vec<NodeId> = graph.ids().filter(|&node| *is_save.of(graph, node)).collect();
    let &saver = savers.first()?;
    let mut names_saved: HashSet<String> = HashSet::new();
    for &saver in &savers {
        names_saved.extend(strings(graph, graph.data_input(saver, 1)?)?);
        let first_tensor = if graph.op(saver) == "Save" { 2 } else { 3 };
        names_saved.extend(graph.data_inputs(saver).skip(first_tensor).map(|input| variable_behind(graph, input)));
    }
    // What a metric counts up is local to a run: no Saver saves it.
    let is_metric = |node: NodeId| graph.consumers(node).any(|reader| graph.op(reader).starts_with("AssignAdd"));
    let is_saved = |node| graph.with_name(node, |name| names_saved.contains(name));
    let is_missed = |&node: &NodeId| is_variable(graph.op(node)) && !is_saved(node) && !is_metric(node);
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
    use crate::graph::samples::graph_of;
    use crate::proto::tensorflow::{AttrValue, TensorProto, attr_value::Value};
    use prost::Message;

    #[test]
    fn gradients_are_known_by_any_of_their_scopes() {
        let yes = ["gradients/conv/Conv2D_grad/Conv2DBackpropFilter", "gradients_1/mul", "training/Adam/gradients/x"];
        let no = ["gradients", "my_gradients/x", "gradients_of/x", "net/gradients", "gradients_1"];
        assert_eq!(yes.map(is_gradient), [true; 3]);
        assert_eq!(no.map(is_gradient), [false; 5]);
    }

    #[test]
    fn gradients_are_known_by_what_they_are_and_what_they_read() {
        let graph = graph_of(
            "x = Placeholder
             w = VariableV2
             w/read = Identity(w)
             h = MatMul(x, w/read)
             relu = Relu(h)
             stop = StopGradient(relu)
             next = MatMul(stop, w/read)
             loss = SparseSoftmaxCrossEntropyWithLogits(next, x)
             a = Mul(loss:1, x)
             b = MatMul(a, w/read)
             c = ReluGrad(b, relu)
             d = MatMul(x, c)
             step = ApplyGradientDescent(w, x, d)
             up = Conv2DBackpropInput(x, w/read, relu)",
        );
        let gradients = Gradients::find(&graph);
        let found: Vec<&str> =
            graph.ids().filter(|&node| gradients.contain(node)).map(|node| graph.name(node)).collect();
        assert_eq!(found, ["a", "b", "c", "d", "step"]);
        let ops =
            ["ReluGrad", "FusedBatchNormGradV3", "BroadcastGradientArgs", "Conv3DBackpropFilterV2", "MaxPoolGradGrad"];
        assert_eq!(ops.map(is_gradient_op), [true; 5]);
        let ops = ["StopGradient", "PreventGradient", "Conv2DBackpropInput", "FusedBatchNormV3", "Relu6", "Conv2D"];
        assert_eq!(ops.map(is_gradient_op), [false; 6]);
    }

    #[test]
    fn a_saver_need_not_save_what_metrics_count() {
        let names =
            TensorProto { dtype: DataType::DtString as i32, string_val: vec!["w".into()], ..TensorProto::default() };
        let names = AttrValue { value: Some(Value::Tensor(names)) }.encode_to_vec();
        let unsaved = |reader: &str| {
            let mut graph = graph_of(&format!(
                "total = VarHandleOp
                 w = VariableV2
                 one = Const 1.0
                 names = Const
                 count = {reader}(total, one)
                 save/SaveV2 = SaveV2(one, names, one, w)"
            ));
            graph.set_attr(graph.find("names").unwrap(), "value", names.clone());
            unsaved_variables(&graph).map_or(0, |unsaved| unsaved.variables.len())
        };
        assert_eq!([unsaved("AssignAddVariableOp"), unsaved("AssignVariableOp")], [0, 1]);
    }
}
