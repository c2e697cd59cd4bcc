//! Quantizes layers that are recognised by structure: TensorFlow 1.15's `contrib/quantize/python/quantize.py`.
//!
//! # What it does
//! Finds every Conv2D, MatMul and DepthwiseConv2dNative whose weights are a variable, or the product that folding a
//! batch norm makes of one, together with what follows it: BatchToSpaceND, a bias, a bypass Add, an activation (Relu,
//! Relu6 or Identity) and an Add after that. The largest form wins. The weights are quantized by the range of their last
//! value, with a narrow range; the activation, both sides of a bypass and the Add after the activation by moving averages.
//! Layers that these rules miss are quantized by [`super::extensions`], unless [`Options::reference_only`] says not to.
//! Then every Add and Mul that reads a quantized tensor, also through a Reshape, a pooling and the like, is quantized.
//! With [`Options::quant_delay`] a quantizer lets its tensor pass until the graph has run that often, as counted by
//! `fake_quantization_step`.
//!
//! # When it applies
//! Whatever the nodes are called. Nothing is quantized twice: a tensor that a fake quantizer reads, also through Reshape
//! and Identity, is left as it is.
//!
//! # What it leaves alone
//! Layers outside of [`Options::scope`]; a convolution that yields the batch's statistics for a folded batch norm; biases;
//! everything that [`Options::selection`] leaves out.
//!
//! # Example
//! `kernel/read → Conv2D → BiasAdd → Relu → next` becomes
//! `kernel/read → weights_quant → Conv2D → BiasAdd → Relu → act_quant → next`.

use hashbrown::HashSet;

use super::extensions::loops::Loops;
use super::extensions::{activations, bare_layers, layer_ops, shared_weights};
use super::names::Quantized;
use super::topology_arithmetic::Arithmetic;
use super::topology_insert::{Inserted, Inserter, Insertion};
use super::topology_layers::{Found, Layers, is_reference_layer_op};
use super::{Extension, InsertedFakeQuant, Layer, Outcome, Role, Selection};
use crate::build::Builder;
use crate::collections::GLOBAL_VARIABLES;
use crate::error::{ErrorKind, Result};
use crate::graph::name::parent;
use crate::graph::{Graph, NodeId};
use crate::passes::common::is_skipped;
use crate::passes::input_to_ops::InputToOps;

/// Initial minimum of activations, which are not negative after a Relu, and of everything else.
const ACTIVATION_MIN: f32 = 0.0;
const WIDE_MIN: f32 = -6.0;

/// What to quantize, and how: the arguments of TensorFlow 1.15's `Quantize`, and which layers to leave alone.
#[allow(clippy::struct_excessive_bools)] // each is a switch of its own
#[derive(Debug, Clone)]
pub struct Options {
    /// Bits for weights, 2 to 8.
    pub weight_bits: u8,
    /// Bits for activations, 2 to 8.
    pub activation_bits: u8,
    /// Whether the ends of layers' ranges are kept at the same distance from zero.
    pub symmetric: bool,
    /// The decay of the moving averages of activation ranges, between 0 and 1.
    pub ema_decay: f64,
    /// How often the graph runs before tensors are quantized.
    pub quant_delay: Option<i64>,
    /// The collection that range variables enter beside the standard ones.
    pub vars_collection: String,
    /// Whether the graph trains. In an eval graph the ranges are read, not updated.
    pub is_training: bool,
    /// The name scope outside of which nothing is quantized.
    pub scope: Option<String>,
    /// Which layers to touch at all.
    pub selection: Selection,
    /// Whether to leave a tensor that cannot be quantized as it is, instead of refusing the graph.
    pub skip_unmatched: bool,
    /// Whether to do what TensorFlow does and no more: without [`super::extensions`].
    pub reference_only: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            weight_bits: 8,
            activation_bits: 8,
            symmetric: false,
            ema_decay: 0.999,
            quant_delay: None,
            vars_collection: GLOBAL_VARIABLES.to_owned(),
            is_training: true,
            scope: None,
            selection: Selection::default(),
            skip_unmatched: false,
            reference_only: false,
        }
    }
}

impl Options {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// [`ErrorKind::Options`] for bits outside 2 to 8 and a decay outside 0 to 1.
    pub fn check(&self) -> Result<()> {
        super::Options {
            weight_bits: self.weight_bits,
            activation_bits: self.activation_bits,
            ema_decay: self.ema_decay,
            ..super::Options::default()
        }
        .check()
    }
}

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
pub fn check_for_training_ops(graph: &Graph) -> Result<()> {
    match graph.ids().find(|&node| is_training_op(graph.op(node))) {
        None => Ok(()),
        Some(node) => Err(graph
            .error(
                ErrorKind::Refused,
                "the graph holds training ops, whose gradients would bypass the quantizers",
                node,
            )
            .hint("rewrite the graph before the optimizer is added, or go on with --allow-training-ops")),
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

/// Quantizes the layers of the builder's graph. The builder follows TensorFlow 1.15.
///
/// # Errors
/// [`ErrorKind::Options`] for options that make no sense for this graph; [`ErrorKind::Refused`], naming the node, for a
/// tensor that should be quantized and cannot be, unless [`Options::skip_unmatched`] leaves it as it is.
pub fn quantize(builder: &mut Builder<'_>, options: &Options) -> Result<Quantized> {
    options.check()?;
    let graph = &*builder.graph;
    let operations = builder.operations();
    let nameable = operations.iter().filter(|&&node| is_selectable(graph, node));
    options.selection.check(nameable.map(|&node| selection_name(graph, node)))?;

    let mut layers = Layers::find(graph, &operations);
    if !options.reference_only {
        layers.found.retain(|found| !is_left_behind(graph, found));
    }
    let loops = if options.reference_only { Loops::default() } else { Loops::new(graph, &operations) };
    let more = if options.reference_only {
        Vec::new()
    } else {
        layers.find_more(graph, &operations, |node| is_extension_candidate(graph, &loops, node))
    };
    let scope = options.scope.as_deref().filter(|scope| !scope.is_empty()).map(with_slash);
    let mut pass = Pass {
        options,
        scope: scope.as_deref(),
        consumers: InputToOps::new(graph),
        inserter: Inserter::new(options),
        quantized_ops: HashSet::new(),
        loops,
    };
    let more = pass.with_shared_weights(builder.graph, more);
    let (mut reported, mut told) = (Vec::new(), HashSet::new());
    for found in layers.found.iter().chain(&more) {
        reported.push(pass.quantize_layer(builder, found)?);
        told.insert(found.layer);
    }
    reported.extend(pass.others(builder.graph, &operations, &layers, &told));
    let adds = pass.quantize_arithmetic(builder)?;
    Ok(Quantized {
        layers: reported,
        adds,
        // The quantization step counts by itself: there is nothing for a training loop to do.
        created_global_step: None,
        inputs_rewired: pass.inserter.inputs_rewired,
        updates: pass.inserter.updates,
    })
}

fn with_slash(scope: &str) -> String {
    if scope.ends_with('/') { scope.to_owned() } else { format!("{scope}/") }
}

fn is_selectable(graph: &Graph, node: NodeId) -> bool {
    layer_ops::is_layer_op(graph, node) || matches!(graph.op(node), "Add" | "AddV2" | "Mul")
}

/// Whether the rules past the reference may look at a layer: nothing that was folded, nothing inside a loop, no gradient.
fn is_extension_candidate(graph: &Graph, loops: &Loops, node: NodeId) -> bool {
    let name = graph.name(node);
    !is_gradient(name) && !loops.contain(node) && !has_folded_twin(graph, name)
}

/// Whether only a batch norm reads the layer, and its folded twin takes its place for everyone else.
fn is_left_behind(graph: &Graph, found: &Found) -> bool {
    has_folded_twin(graph, graph.name(found.layer)) && bare_layers::feeds_batch_norm_alone(graph, found.activation)
}

fn has_folded_twin(graph: &Graph, name: &str) -> bool {
    graph.find(&format!("{name}_Fold")).is_some()
}

fn is_gradient(name: &str) -> bool {
    is_skipped(name) || name.contains("/gradients/")
}

/// The name that the user knows a layer by: that of the op it was folded from.
fn selection_name(graph: &Graph, node: NodeId) -> &str {
    let name = graph.name(node);
    name.strip_suffix("_Fold").filter(|original| graph.find(original).is_some()).unwrap_or(name)
}

/// The scope of a name; nothing at the root.
fn context(name: &str) -> &str {
    parent(name).unwrap_or_default()
}

struct Pass<'o> {
    options: &'o Options,
    /// Where to quantize alone, ending in a slash.
    scope: Option<&'o str>,
    consumers: InputToOps,
    inserter: Inserter<'o>,
    /// The nodes that layers' quantizers were inserted after, or would have been.
    quantized_ops: HashSet<NodeId>,
    loops: Loops,
}

impl<'o> Pass<'o> {
    /// What all quantizers have in common; the rest is to be filled in.
    fn insertion<'a>(&self, context: &'a str, name: &'a str, producer: NodeId, role: Role) -> Insertion<'a>
    where
        'o: 'a,
    {
        Insertion {
            context,
            name,
            producer,
            consumers: self.consumers.consumers(producer).to_vec(),
            role,
            moving_average: true,
            initial_min: WIDE_MIN,
            bits: self.options.activation_bits,
            narrow_range: false,
            symmetric: self.options.symmetric,
            producer_scope: None,
            consumer_scope: None,
            optional: false,
        }
    }

    fn quantize_layer(&mut self, b: &mut Builder<'_>, found: &Found) -> Result<Layer> {
        let mut results = Results::new(b.graph, found.layer);
        results.layer.extension = found.extension;
        results.layer.steps = found.steps(b.graph);
        if self.loops.contain(found.layer) {
            results.layer.outcome = Outcome::InsideLoop;
            return Ok(results.layer);
        }
        if !self.options.selection.contains(selection_name(b.graph, found.layer)) {
            results.layer.outcome = Outcome::NotSelected;
            return Ok(results.layer);
        }
        let name = b.graph.name(found.layer).to_owned();
        let layer_context = context(&name);
        let output_context = if found.bypass.is_some() { context(layer_context) } else { layer_context };
        if let Some(weights) = found.weights {
            let mut insertion = Insertion {
                moving_average: false,
                bits: self.options.weight_bits,
                narrow_range: true,
                consumer_scope: self.scope,
                optional: found.extension.is_some(),
                ..self.insertion(layer_context, "weights_quant", weights.node, Role::Weights)
            };
            insertion.consumers.retain(|&consumer| self.may_read_quantized_weights(b.graph, consumer));
            results.add(self.inserter.insert(b, &insertion)?);
        }
        let insertion = Insertion {
            initial_min: ACTIVATION_MIN,
            producer_scope: self.scope,
            optional: found.extension.is_some(),
            ..self.insertion(output_context, "act_quant", found.activation, Role::Activation)
        };
        results.add(self.inserter.insert(b, &insertion)?);
        self.quantized_ops.insert(found.activation);
        if let (Some(bypass), Some(bias_add)) = (found.bypass, found.bias_add) {
            self.quantize_bypass(b, [layer_context, output_context], [bias_add, bypass], &mut results)?;
        }
        if let Some(add) = found.post_activation_bypass {
            self.quantize_post_activation_bypass(b, add, &mut results)?;
        }
        Ok(results.finish())
    }

    /// A layer that the user leaves out keeps its weights as they are, also if another layer shares them.
    fn may_read_quantized_weights(&self, graph: &Graph, consumer: NodeId) -> bool {
        !layer_ops::is_layer_op(graph, consumer) || self.options.selection.contains(selection_name(graph, consumer))
    }

    /// Quantizes what enters the bypass Add from its layer, and the Add, unless an activation follows.
    fn quantize_bypass(
        &mut self,
        b: &mut Builder<'_>,
        [layer_context, output_context]: [&str; 2],
        [bias_add, bypass]: [NodeId; 2],
        results: &mut Results,
    ) -> Result<()> {
        let optional = results.layer.extension.is_some();
        let input = Insertion {
            producer_scope: self.scope,
            consumer_scope: self.scope,
            optional,
            ..self.insertion(layer_context, "conv_quant", bias_add, Role::BypassInput)
        };
        let add = Insertion {
            producer_scope: self.scope,
            consumer_scope: self.scope,
            optional,
            ..self.insertion(output_context, "add_quant", bypass, Role::Add)
        };
        results.add(self.inserter.insert(b, &input)?);
        self.quantized_ops.insert(bias_add);
        let activation_follows =
            add.consumers.iter().any(|&consumer| matches!(b.graph.op(consumer), "Relu" | "Relu6" | "Identity"));
        if !activation_follows {
            results.add(self.inserter.insert(b, &add)?);
            self.quantized_ops.insert(bypass);
        }
        Ok(())
    }

    fn quantize_post_activation_bypass(
        &mut self,
        b: &mut Builder<'_>,
        add: NodeId,
        results: &mut Results,
    ) -> Result<()> {
        let name = b.graph.name(add).to_owned();
        let insertion = Insertion {
            producer_scope: self.scope,
            optional: results.layer.extension.is_some(),
            ..self.insertion(context(&name), "post_activation_bypass_quant", add, Role::PostActivationAdd)
        };
        let relu_follows = insertion.consumers.iter().any(|&consumer| matches!(b.graph.op(consumer), "Relu" | "Relu6"));
        if !relu_follows {
            results.add(self.inserter.insert(b, &insertion)?);
            self.quantized_ops.insert(add);
        }
        Ok(())
    }

    /// TensorFlow's `_QuantizeActivationLayers`.
    fn quantize_arithmetic(&mut self, b: &mut Builder<'_>) -> Result<Vec<Layer>> {
        self.consumers = InputToOps::new(b.graph);
        let mut arithmetic = Arithmetic::new(&self.quantized_ops);
        let mut reported = Vec::new();
        for node in b.operations() {
            let extension = if arithmetic.is_quantizable(b.graph, node) {
                None
            } else if !self.options.reference_only && ends_activation(b.graph, &mut arithmetic, node) {
                Some(Extension::Activation)
            } else {
                continue;
            };
            let mut results = Results::new(b.graph, node);
            results.layer.extension = extension;
            results.layer.steps.extend(arithmetic.quantized_input_step(b.graph, node));
            if self.loops.contain(node) {
                results.layer.outcome = Outcome::InsideLoop;
                reported.push(results.layer);
                continue;
            }
            if !self.options.selection.contains(b.graph.name(node)) {
                results.layer.outcome = Outcome::NotSelected;
                reported.push(results.layer);
                continue;
            }
            let context = b.graph.name(node).to_owned();
            let name = format!("activation_{}_quant", b.graph.op(node));
            let role = if extension.is_some() { Role::Activation } else { Role::Arithmetic };
            let insertion = Insertion {
                symmetric: false,
                optional: extension.is_some(),
                producer_scope: self.scope,
                ..self.insertion(&context, &name, node, role)
            };
            results.add(self.inserter.insert(b, &insertion)?);
            arithmetic.were_rewired(b.graph, &insertion.consumers);
            let nothing_new = extension.is_some() && results.layer.fake_quants.is_empty();
            if !nothing_new {
                reported.push(results.finish());
            }
        }
        Ok(reported)
    }

    /// Layers whose weights come from one constant through different nodes quantize the constant.
    fn with_shared_weights(&self, graph: &Graph, mut layers: Vec<Found>) -> Vec<Found> {
        let selected =
            layers.iter().filter(|found| self.options.selection.contains(selection_name(graph, found.layer)));
        let sources = shared_weights::common_sources(graph, selected.filter_map(|found| found.weights));
        for found in &mut layers {
            if let Some(&source) = found.weights.and_then(|weights| sources.get(&weights)) {
                found.weights = Some(source.into());
                found.extension = Some(Extension::SharedWeights);
            }
        }
        layers
    }

    /// Every layer op that belongs to no layer found is told of as well, with the reason.
    fn others(&self, graph: &Graph, operations: &[NodeId], layers: &Layers, told: &HashSet<NodeId>) -> Vec<Layer> {
        let is_layer = |node: NodeId| {
            is_reference_layer_op(graph, node) || !self.options.reference_only && layer_ops::is_layer_op(graph, node)
        };
        let others = operations.iter().copied().filter(|node| !told.contains(node) && is_layer(*node));
        others
            .filter(|&node| !is_gradient(graph.name(node)))
            .map(|node| {
                let mut layer = Layer::new(graph, node);
                layer.outcome = self.reason(graph, layers, node);
                if !matches!(layer.outcome, Outcome::FoldedTwin | Outcome::BatchStatistics) {
                    layer.steps = Layers::steps_of_missed(graph, node);
                }
                layer
            })
            .collect()
    }

    /// Why a layer op was left alone.
    fn reason(&self, graph: &Graph, layers: &Layers, node: NodeId) -> Outcome {
        if has_folded_twin(graph, graph.name(node)) {
            Outcome::FoldedTwin
        } else if layers.statistics.contains(&node) {
            Outcome::BatchStatistics
        } else if self.loops.contain(node) {
            Outcome::InsideLoop
        } else if !Layers::has_weights_of_any_kind(graph, node) {
            Outcome::WeightsUnknown
        } else if bare_layers::feeds_batch_norm(graph, node) {
            Outcome::BatchNormFollows
        } else if self.options.reference_only && !Layers::has_weights(graph, node) {
            Outcome::WeightsUnknown
        } else {
            Outcome::NoActivation
        }
    }
}

/// Whether the node ends an activation that the reference does not know, and that reads a quantized tensor.
fn ends_activation(graph: &Graph, arithmetic: &mut Arithmetic<'_>, node: NodeId) -> bool {
    // Quantizers hold Minimums and Maximums of their own, a great many.
    if !graph.is_original(node) {
        return false;
    }
    let Some(input) = activations::input(graph, node) else { return false };
    !is_gradient(graph.name(node)) && arithmetic.reads_quantized(graph, input)
}

/// What becomes of one layer.
struct Results {
    layer: Layer,
    /// Why its quantizers were not inserted, where they were not.
    reasons: Vec<(Outcome, Option<String>)>,
}

impl Results {
    fn new(graph: &Graph, op: NodeId) -> Self {
        Self { layer: Layer::new(graph, op), reasons: Vec::new() }
    }

    fn add(&mut self, inserted: Inserted) {
        match inserted {
            Inserted::FakeQuant(fake_quant) => self.layer.fake_quants.push(*fake_quant),
            Inserted::Nothing(reason, detail) => self.reasons.push((reason, detail)),
        }
    }

    fn finish(mut self) -> Layer {
        let quantized = |fake_quant: &InsertedFakeQuant| fake_quant.role != Role::BypassInput;
        if let Some((reason, detail)) = self.reasons.into_iter().next() {
            if !self.layer.fake_quants.iter().any(quantized) {
                self.layer.outcome = reason;
            }
            self.layer.detail = detail;
        }
        self.layer
    }
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
