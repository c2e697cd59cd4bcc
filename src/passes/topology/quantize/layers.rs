//! Finds layers by structure: `_FindLayersToQuantize` of TensorFlow 1.15.
//!
//! ```text
//!        weights | folded weights
//!             \
//!      Conv2D, MatMul, DepthwiseConv2dNative
//!               |
//!      [BatchToSpaceND]
//!               |
//!      [correction of a folded batch norm]
//!               |
//!      [bias | folded bias]
//!               |
//!      [bypass Add]
//!               |
//!          activation
//!               |
//!      [Add after the activation]
//! ```
//! The patterns are functions from a node to what it ends. Each looks at a few nodes above it, so all of them together
//! look at every node a bounded number of times.

use hashbrown::HashSet;

use crate::graph::op_class::is_reference_layer;
use crate::graph::{Graph, NodeId, TensorRef, only};
use crate::passes::decisions::{Extension, Rule, Step};
use crate::passes::extensions::{self, bare_layers, folded_weights};

/// A layer to quantize.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// The layer's op.
    pub layer: NodeId,
    /// What its weights are read from, unless that is to stay as it is.
    pub weights: Option<TensorRef>,
    /// The node whose output is the layer's.
    pub activation: NodeId,
    /// The Add between bias and activation.
    pub bypass: Option<NodeId>,
    /// The Add after the activation.
    pub post_activation_bypass: Option<NodeId>,
    /// The node that adds the bias.
    pub bias_add: Option<NodeId>,
    /// The rule that recognised it where the reference does not.
    pub extension: Option<Extension>,
}

/// All layers of a graph.
#[derive(Debug, Default)]
pub(super) struct Layers {
    /// In the order in which TensorFlow quantizes them.
    pub found: Vec<Found>,
    /// Layer ops that only feed a batch norm, for its statistics.
    pub statistics: HashSet<NodeId>,
    matched: HashSet<NodeId>,
}

/// A layer's op with its weights.
#[derive(Debug, Clone, Copy)]
struct LayerOp {
    op: NodeId,
    weights: TensorRef,
    is_folded: bool,
    extension: Option<Extension>,
}

/// A graph, and by which rules layers are recognised in it.
#[derive(Debug, Clone, Copy)]
struct Forms<'g> {
    graph: &'g Graph,
    /// Whether the rules past the reference count too.
    extended: bool,
    /// Whether weights are what TensorFlow takes for them, a dropout's product included.
    reference_only: bool,
}

impl<'g> Forms<'g> {
    fn extended(graph: &'g Graph) -> Self {
        Self { graph, extended: true, reference_only: false }
    }
}

/// A layer up to some node.
#[derive(Debug, Clone, Copy)]
struct Part {
    layer: LayerOp,
    bias_add: Option<NodeId>,
    bypass: Option<NodeId>,
}

impl Layers {
    /// Finds layers by the reference's rules. Forms are tried from the largest to the smallest, so that the largest wins;
    /// a layer is found once.
    pub(super) fn find(graph: &Graph, operations: &[NodeId], reference_only: bool) -> Self {
        let mut layers = Self::default();
        let forms = Forms { graph, extended: false, reference_only };
        layers.find_forms(forms, operations);
        for &node in operations {
            if let Some(layer) = separable_layer(forms, node) {
                let weights = Some(layer.weights).filter(|_| !layer.is_folded);
                let part = Part { layer, bias_add: None, bypass: None };
                layers.push(Found { weights, ..part.found(layer.op) });
            }
        }
        layers
    }

    /// Finds layers that the reference's rules left out, by those of [`crate::passes::extensions`].
    pub(super) fn find_more(
        &self,
        graph: &Graph,
        operations: &[NodeId],
        is_candidate: impl Fn(NodeId) -> bool,
    ) -> Vec<Found> {
        let forms = Forms::extended(graph);
        let mut more = Self { matched: self.matched.union(&self.statistics).copied().collect(), ..Self::default() };
        more.find_forms(forms, operations);
        for &node in operations {
            if let Some(layer) = layer(forms, node)
                && let Some(output) = bare_layers::output(graph, node)
            {
                let part = Part { layer, bias_add: None, bypass: None };
                more.push(part.found(output));
            }
        }
        more.found.retain(|found| is_candidate(found.layer));
        for found in &mut more.found {
            found.extension.get_or_insert(Extension::BareLayer);
        }
        more.found
    }

    fn find_forms(&mut self, forms: Forms<'_>, operations: &[NodeId]) {
        for &node in operations {
            if let Some((activation, part)) = post_activation_bypass(forms, node) {
                self.push(Found { post_activation_bypass: Some(node), ..part.found(activation) });
            }
        }
        for &node in operations {
            let Some(part) = activation(forms, node) else { continue };
            if self.matched.contains(&part.layer.op) {
                continue;
            }
            if feeds_batch_norm_alone(forms.graph, node) {
                self.statistics.insert(part.layer.op);
            } else {
                self.push(part.found(node));
            }
        }
        for &node in operations {
            if let Some(part) = any_bias_add(forms, node) {
                self.push(Found { bias_add: None, ..part.found(node) });
            }
        }
    }

    fn push(&mut self, found: Found) {
        if self.matched.insert(found.layer) {
            self.found.push(found);
        }
    }

    /// How far the rules get with a layer op that belongs to no layer.
    pub(super) fn steps_of_missed(graph: &Graph, op: NodeId) -> Vec<Step> {
        let forms = Forms::extended(graph);
        let weights = layer(forms, op).map(|layer| layer.weights.node);
        let mut steps = vec![Step::new(graph, Rule::Weights, weights)];
        if weights.is_some() {
            let is_bias = |&reader: &NodeId| any_bias_add(forms, reader).is_some_and(|part| part.layer.op == op);
            steps.push(Step::new(graph, Rule::Bias, graph.consumers(op).find(is_bias)));
            steps.push(Step::new(graph, Rule::Activation, None));
        }
        steps
    }

    /// Whether the weights of a layer op are recognised.
    pub(super) fn has_weights(graph: &Graph, op: NodeId) -> bool {
        reference_layer(Forms { graph, extended: false, reference_only: true }, op).is_some()
    }

    /// Whether the weights of a layer op are recognised by any rule.
    pub(super) fn has_weights_of_any_kind(graph: &Graph, op: NodeId) -> bool {
        layer(Forms::extended(graph), op).is_some()
    }
}

impl Part {
    fn found(self, activation: NodeId) -> Found {
        Found {
            layer: self.layer.op,
            weights: Some(self.layer.weights),
            activation,
            bypass: self.bypass,
            post_activation_bypass: None,
            bias_add: self.bias_add,
            extension: self.layer.extension,
        }
    }
}

impl Found {
    /// What the layer consists of, for the report.
    pub(super) fn steps(&self, graph: &Graph) -> Vec<Step> {
        let parts = [
            (Rule::Weights, self.weights.map(|weights| weights.node)),
            (Rule::Bias, self.bias_add),
            (Rule::Bypass, self.bypass),
            (Rule::Activation, Some(self.activation)),
            (Rule::AddAfterActivation, self.post_activation_bypass),
        ];
        let found = parts.into_iter().filter(|(_, found)| found.is_some());
        found.map(|(rule, found)| Step::new(graph, rule, found)).collect()
    }
}

/// The node's two data inputs, if it has two.
fn two_inputs(graph: &Graph, node: NodeId) -> Option<[TensorRef; 2]> {
    let mut inputs = graph.data_inputs(node);
    let pair = [inputs.next()?, inputs.next()?];
    inputs.next().is_none().then_some(pair)
}

/// The node's data input, if it has one.
fn one_input(graph: &Graph, node: NodeId) -> Option<TensorRef> {
    only(graph.data_inputs(node))
}

fn is_add(graph: &Graph, node: NodeId) -> bool {
    matches!(graph.op(node), "Add" | "AddV2")
}

/// Of the reference's own list: it knows a resource variable by its ReadVariableOp.
fn is_variable(graph: &Graph, node: NodeId) -> bool {
    matches!(graph.op(node), "Variable" | "VariableV2")
}

/// An Identity of what `is` tells.
fn is_identity_of(graph: &Graph, node: NodeId, is: impl Fn(NodeId) -> bool) -> bool {
    graph.op(node) == "Identity" && one_input(graph, node).is_some_and(|input| is(input.node))
}

/// A variable as it is read: in one piece, or two parts of a partitioned one put together.
fn is_weight_identity(graph: &Graph, node: NodeId) -> bool {
    let is_part = |node| is_identity_of(graph, node, |node| is_variable(graph, node));
    let is_concatenation = |node: NodeId| {
        graph.op(node) == "ConcatV2"
            && graph.data_inputs(node).count() == 3
            && graph.data_input(node, 0).is_some_and(|first| is_part(first.node))
    };
    is_identity_of(graph, node, |node| is_part(node) || is_concatenation(node) || is_variable(graph, node))
}

fn layer(forms: Forms<'_>, node: NodeId) -> Option<LayerOp> {
    let known = reference_layer(forms, node);
    if known.is_some() || !forms.extended {
        return known;
    }
    let (weights, extension) = extensions::weights(forms.graph, node)?;
    Some(LayerOp { op: node, weights, is_folded: false, extension: Some(extension) })
}

fn reference_layer(forms: Forms<'_>, node: NodeId) -> Option<LayerOp> {
    let graph = forms.graph;
    if !is_reference_layer(graph.op(node)) {
        return None;
    }
    let [first, second] = two_inputs(graph, node)?;
    let has_filter = graph.op(node) != "MatMul";
    let sides = if has_filter && !forms.reference_only { &[second][..] } else { &[second, first] };
    sides.iter().find_map(|&weights| {
        let is_product = graph.op(weights.node) == "Mul";
        let is_folded =
            is_product && (forms.reference_only || folded_weights::is_folded(graph, weights.node, has_filter));
        let is_weights =
            is_folded || graph.op(weights.node) == "ReadVariableOp" || is_weight_identity(graph, weights.node);
        is_weights.then_some(LayerOp { op: node, weights, is_folded, extension: None })
    })
}

/// A layer, or the BatchToSpaceND behind a dilated one.
fn layer_output(forms: Forms<'_>, node: NodeId) -> Option<LayerOp> {
    if forms.graph.op(node) == "BatchToSpaceND" && forms.graph.data_inputs(node).count() == 3 {
        return forms.graph.data_input(node, 0).and_then(|input| squeezed_layer(forms, input.node));
    }
    squeezed_layer(forms, node)
}

/// A layer; past the reference also the Squeeze behind a convolution that computes another of fewer axes.
fn squeezed_layer(forms: Forms<'_>, node: NodeId) -> Option<LayerOp> {
    if forms.extended && forms.graph.op(node) == "Squeeze" {
        let input = one_input(forms.graph, node)?.node;
        return layer(forms, input).filter(|_| forms.graph.op(input).contains("Conv"));
    }
    layer(forms, node)
}

/// The first of the node's two inputs that `find` finds something at.
fn either_input<T>(forms: Forms<'_>, node: NodeId, find: impl Fn(Forms<'_>, NodeId) -> Option<T>) -> Option<T> {
    let [first, second] = two_inputs(forms.graph, node)?;
    find(forms, first.node).or_else(|| find(forms, second.node))
}

/// As [`either_input`], the second input first.
fn either_input_reversed<T>(
    forms: Forms<'_>,
    node: NodeId,
    find: impl Fn(Forms<'_>, NodeId) -> Option<T>,
) -> Option<T> {
    let [first, second] = two_inputs(forms.graph, node)?;
    find(forms, second.node).or_else(|| find(forms, first.node))
}

fn bias_add(forms: Forms<'_>, node: NodeId) -> Option<Part> {
    if !is_add(forms.graph, node) && forms.graph.op(node) != "BiasAdd" {
        return None;
    }
    let layer = either_input(forms, node, layer_output)?;
    Some(Part { layer, bias_add: Some(node), bypass: None })
}

/// The output of a folded layer multiplied by its correction.
fn corrected_product(forms: Forms<'_>, node: NodeId) -> Option<LayerOp> {
    (forms.graph.op(node) == "Mul").then(|| either_input_reversed(forms, node, layer_output)).flatten()
}

fn corrected_sum(forms: Forms<'_>, node: NodeId) -> Option<LayerOp> {
    is_add(forms.graph, node).then(|| either_input(forms, node, corrected_product)).flatten()
}

/// The bias of a folded layer behind its correction.
fn folded_bias_add(forms: Forms<'_>, node: NodeId) -> Option<Part> {
    let layer = is_add(forms.graph, node).then(|| either_input(forms, node, corrected_sum)).flatten()?;
    Some(Part { layer, bias_add: Some(node), bypass: None })
}

fn any_bias_add(forms: Forms<'_>, node: NodeId) -> Option<Part> {
    bias_add(forms, node).or_else(|| folded_bias_add(forms, node))
}

/// Batch norms with forced updates end in an Identity.
fn any_bias_add_or_identity(forms: Forms<'_>, node: NodeId) -> Option<Part> {
    any_bias_add(forms, node).or_else(|| {
        if forms.graph.op(node) != "Identity" {
            return None;
        }
        folded_bias_add(forms, one_input(forms.graph, node)?.node)
    })
}

fn bypass(forms: Forms<'_>, node: NodeId) -> Option<Part> {
    let part = is_add(forms.graph, node).then(|| either_input(forms, node, any_bias_add_or_identity)).flatten()?;
    Some(Part { bypass: Some(node), ..part })
}

fn activation(forms: Forms<'_>, node: NodeId) -> Option<Part> {
    if !matches!(forms.graph.op(node), "Relu" | "Relu6" | "Identity") {
        return None;
    }
    let input = one_input(forms.graph, node)?.node;
    any_bias_add_or_identity(forms, input)
        .or_else(|| bypass(forms, input))
        .or_else(|| squeezed_layer(forms, input).map(|layer| Part { layer, bias_add: None, bypass: None }))
}

/// The activation that the Add follows, and its layer.
fn post_activation_bypass(forms: Forms<'_>, node: NodeId) -> Option<(NodeId, Part)> {
    let find = |forms: Forms<'_>, node: NodeId| activation(forms, node).map(|part| (node, part));
    is_add(forms.graph, node).then(|| either_input_reversed(forms, node, find)).flatten()
}

/// The first half of a separable convolution: a layer that another layer reads directly.
fn separable_layer(forms: Forms<'_>, node: NodeId) -> Option<LayerOp> {
    is_reference_layer(forms.graph.op(node)).then(|| either_input(forms, node, layer_output)).flatten()
}

/// Whether the node, the Identity behind a convolution, is read by a batch norm alone: folding left it there for the
/// batch's mean and variance.
fn feeds_batch_norm_alone(graph: &Graph, node: NodeId) -> bool {
    if graph.op(node) != "Identity" {
        return false;
    }
    only(graph.tensor_consumers(node.into()))
        .is_some_and(|consumer| matches!(graph.op(consumer), "FusedBatchNorm" | "FusedBatchNormV3"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples::graph_of;

    const LAYER: &str = "x = Placeholder
                         v = VariableV2
                         w = Identity(v)
                         conv = Conv2D(x, w)\n";
    const BIAS: &str = "b = Const
                        bias = BiasAdd(conv, b)\n";

    /// The activation of the only layer, its bypass, the Add behind the activation, its bias.
    fn parts(lines: &[&str]) -> String {
        let graph = graph_of(&lines.concat());
        let operations: Vec<NodeId> = graph.ids().collect();
        let found = Layers::find(&graph, &operations, false).found;
        let [layer] = found[..] else { panic!("{} layers", found.len()) };
        let name = |node: Option<NodeId>| node.map_or("-", |node| graph.name(node));
        assert_eq!((name(Some(layer.layer)), name(layer.weights.map(|tensor| tensor.node))), ("conv", "w"));
        let parts = [Some(layer.activation), layer.bypass, layer.post_activation_bypass, layer.bias_add];
        parts.map(name).join(" ")
    }

    #[test]
    fn the_largest_form_wins() {
        assert_eq!(parts(&[LAYER, BIAS]), "bias - - -");
        assert_eq!(parts(&[LAYER, BIAS, "relu = Relu(bias)"]), "relu - - bias");
        assert_eq!(parts(&[LAYER, BIAS, "add = AddV2(x, bias)\nrelu = Relu6(add)"]), "relu add - bias");
        assert_eq!(parts(&[LAYER, BIAS, "relu = Relu(bias)\nafter = Add(relu, x)"]), "relu - after bias");
        assert_eq!(parts(&[LAYER, "id = Identity(conv)"]), "id - - -");
    }

    #[test]
    fn what_only_feeds_a_batch_norm_is_no_layer() {
        let graph = graph_of(&[LAYER, "id = Identity(conv)\nbn = FusedBatchNormV3(id, x, x, x, x)"].concat());
        let operations: Vec<NodeId> = graph.ids().collect();
        let layers = Layers::find(&graph, &operations, false);
        assert_eq!((layers.found.len(), layers.statistics.len()), (0, 1));
    }
}
