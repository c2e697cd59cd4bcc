//! Quantizes layers that are recognised by structure: TensorFlow 1.15's `contrib/quantize/python/quantize.py`.
//!
//! # What it does
//! Finds every Conv2D, MatMul and DepthwiseConv2dNative whose weights are a variable, or the product that folding a
//! batch norm makes of one, together with what follows it: BatchToSpaceND, a bias, a bypass Add, an activation (Relu,
//! Relu6 or Identity) and an Add after that. The largest form wins. The weights are quantized by the range of their last
//! value, with a narrow range; the activation, both sides of a bypass and the Add after the activation by moving averages.
//! Layers that these rules miss are quantized by [`crate::passes::extensions`], unless [`TopologyOnly::reference_only`] says not to.
//! Then every Add and Mul that reads a quantized tensor, also through a Reshape, a pooling and the like, is quantized.
//! With [`Quantize::quant_delay`] a quantizer lets its tensor pass until the graph has run that often, as counted by
//! `fake_quantization_step`.
//!
//! # When it applies
//! Whatever the nodes are called. Nothing is quantized twice: a tensor that a fake quantizer reads, also through Reshape
//! and Identity, is left as it is.
//!
//! # What it leaves alone
//! Layers outside of [`TopologyOnly::scope`]; a convolution that yields the batch's statistics for a folded batch norm; biases;
//! everything that [`Common::selection`] leaves out.
//!
//! # Example
//! `kernel/read → Conv2D → BiasAdd → Relu → next` becomes
//! `kernel/read → weights_quant → Conv2D → BiasAdd → Relu → act_quant → next`.

mod arithmetic;
mod insert;
mod layers;

use hashbrown::HashSet;

use crate::error::Result;
use crate::graph::loops::Loops;
use crate::graph::name::{check_scope, parent};
use crate::graph::op_class::is_reference_layer;
use crate::graph::training::Gradients;
use crate::graph::{Graph, NodeId};
use crate::nodes::Builder;
use crate::options::{Common, Quantize, TopologyOnly};
use crate::passes::consumers::{Consumers, is_skipped};
use crate::passes::decisions::{Extension, Layer, Outcome, Quantized, Role};
use crate::passes::extensions::{self, activations, bare_layers, layer_ops, shared_weights, wrapped_weights};
use crate::passes::insertion::{self, ACTIVATION_MIN, Insertion, WIDE_MIN};
use crate::threads::both;
use arithmetic::Arithmetic;
use insert::{Inserted, Inserter, Terms};
use layers::{Found, Layers};

use super::fold::Folded;

/// Quantizes the layers of the builder's graph. The builder follows TensorFlow 1.15.
///
/// # Errors
/// [`ErrorKind::Options`] for options that make no sense for this graph; [`ErrorKind::Refused`], naming the node, for a
/// tensor that should be quantized and cannot be, unless [`Common::skip_unmatched`] leaves it as it is.
pub(crate) fn quantize(
    builder: &mut Builder<'_>,
    common: &Common,
    options: &Quantize,
    only: &TopologyOnly,
    vars_collection: &str,
    folded: &Folded,
) -> Result<Quantized> {
    let graph = &*builder.graph;
    let operations = builder.operations();
    let named = |is_named: fn(&Graph, NodeId) -> bool| {
        operations.iter().filter(move |&&node| is_named(graph, node)).map(|&node| selection_name(graph, node))
    };
    common.selection.check(named(layer_ops::is_layer_op), &named(is_elementwise))?;

    let find = || {
        let mut layers = Layers::find(graph, &operations, only.reference_only);
        if only.reference_only {
            return (layers, Vec::new(), Loops::default(), Gradients::default());
        }
        let loops = Loops::new(graph, &operations);
        let gradients = Gradients::find(graph);
        let is_skipped =
            |node: NodeId| is_skipped(graph.name(node)) || gradients.contain(node) || folded.unfolded.contains(&node);
        layers.found.retain(|found| !is_left_behind(graph, folded, &gradients, found) && !is_skipped(found.layer));
        let is_candidate = |node: NodeId| !is_skipped(node) && !has_folded_twin(graph, graph.name(node));
        let more = layers.find_more(graph, &operations, is_candidate);
        (layers, more, loops, gradients)
    };
    let ((layers, more, loops, gradients), consumers) = both(find, || Consumers::new(graph));
    if let Some(scope) = only.scope.as_ref().filter(|_| !only.reference_only) {
        check_scope(scope, || graph.ids().map(|node| graph.name(node)))?;
    }
    let scope = only.scope.as_deref().filter(|scope| !scope.is_empty()).map(with_slash);
    let mut pass = Pass {
        common,
        options,
        only,
        scope: scope.as_deref(),
        consumers,
        inserter: Inserter::new(common, options, vars_collection),
        quantized_ops: HashSet::new(),
        loops,
        gradients,
        folded,
    };
    let more = pass.with_shared_weights(builder.graph, more);
    let (mut reported, mut told) = (Vec::new(), HashSet::new());
    for found in layers.found.iter().chain(&more) {
        reported.push(pass.quantize_layer(builder, found)?);
        told.insert(found.layer);
    }
    reported.extend(pass.others(builder.graph, &operations, &layers, &told));
    let adds = pass.quantize_arithmetic(builder)?;
    let insertion::Inserter { inputs_rewired, updates, quantized, open, .. } = pass.inserter.finish();
    Ok(Quantized {
        layers: reported,
        adds,
        // The quantization step counts by itself: there is nothing for a training loop to do.
        created_global_step: None,
        inputs_rewired,
        updates,
        tensors: quantized,
        open,
    })
}

fn with_slash(scope: &str) -> String {
    if scope.ends_with('/') { scope.to_owned() } else { format!("{scope}/") }
}

/// Whether an op that is no layer may be quantized, and hence chosen by its name.
fn is_elementwise(graph: &Graph, node: NodeId) -> bool {
    matches!(graph.op(node), "Add" | "AddV2" | "Mul")
}

/// Whether only a batch norm, and gradients, read the layer, and its folded twin takes its place for everyone else.
fn is_left_behind(graph: &Graph, folded: &Folded, gradients: &Gradients, found: &Found) -> bool {
    let is_behind = |reader: NodeId| folded.left_behind.contains(&reader) || gradients.contain(reader);
    let serves_batch_norms = || graph.consumers(found.activation).all(is_behind);
    has_folded_twin(graph, graph.name(found.layer))
        && (bare_layers::feeds_batch_norm_alone(graph, found.activation) || serves_batch_norms())
}

fn has_folded_twin(graph: &Graph, name: &str) -> bool {
    graph.find(&format!("{name}_Fold")).is_some()
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
    common: &'o Common,
    options: &'o Quantize,
    only: &'o TopologyOnly,
    /// Where to quantize alone, ending in a slash.
    scope: Option<&'o str>,
    consumers: Consumers,
    inserter: Inserter<'o>,
    /// The nodes that layers' quantizers were inserted after, or would have been.
    quantized_ops: HashSet<NodeId>,
    loops: Loops,
    gradients: Gradients,
    folded: &'o Folded,
}

impl Pass<'_> {
    /// What all quantizers have in common, of what `at` yields; the rest is to be filled in.
    fn insertion<'a>(&self, [context, name]: [&'a str; 2], at: &'a Place, role: Role) -> Insertion<'a> {
        Insertion {
            context,
            name,
            producer: at.producer,
            consumers: &at.consumers,
            role,
            moving_average: true,
            delayed: true,
            initial_min: WIDE_MIN,
            bits: self.options.activation_bits,
            narrow_range: false,
            symmetric: self.only.symmetric,
        }
    }

    /// The node, and who read it when the pass began. Gradients go on reading what they are gradients of.
    fn place(&self, producer: NodeId) -> Place {
        let consumers = self.consumers.consumers(producer).iter().copied();
        Place { producer, consumers: consumers.filter(|&consumer| !self.gradients.contain(consumer)).collect() }
    }

    /// Whether gradients and the like are nobody's business.
    fn is_gradient(&self, graph: &Graph, node: NodeId) -> bool {
        is_skipped(graph.name(node)) || self.gradients.contain(node)
    }

    fn quantize_layer(&mut self, b: &mut Builder<'_>, found: &Found) -> Result<Layer> {
        let mut results = Results::new(b.graph, found.layer);
        results.layer.steps = found.steps(b.graph);
        let is_inside_loop = self.loops.contain(found.layer);
        let weights = found.weights.filter(|weights| !self.loops.contain(weights.node));
        if is_inside_loop && weights.is_none() {
            results.layer.outcome = Outcome::InsideLoop;
            return Ok(results.layer);
        }
        if !self.common.selection.contains(selection_name(b.graph, found.layer)) {
            results.layer.outcome = Outcome::NotSelected;
            return Ok(results.layer);
        }
        results.layer.extension = found.extension;
        let optional = found.extension.is_some();
        let name = b.graph.name(found.layer).to_owned();
        let layer_context = context(&name);
        let output_context = if found.bypass.is_some() { context(layer_context) } else { layer_context };
        if let Some(weights) = weights {
            let mut at = self.place(weights.node);
            at.consumers.retain(|&consumer| self.may_read_quantized_weights(b.graph, consumer));
            let insertion = Insertion {
                moving_average: false,
                bits: self.options.weight_bits,
                narrow_range: true,
                ..self.insertion([layer_context, "weights_quant"], &at, Role::Weights)
            };
            let terms = Terms { consumer_scope: self.scope, producer_scope: None, optional };
            results.add(Role::Weights, self.inserter.insert(b, &insertion, &terms)?);
        } else {
            let reason = "TensorFlow leaves the folded weights of a separable convolution's first half".to_owned();
            results.add(Role::Weights, Inserted::Nothing(Outcome::PartlyQuantized, Some(reason)));
        }
        if is_inside_loop {
            results.add(Role::Activation, Inserted::Nothing(Outcome::InsideLoop, None));
            return Ok(results.finish());
        }
        let at = self.place(found.activation);
        let insertion = Insertion {
            initial_min: ACTIVATION_MIN,
            ..self.insertion([output_context, "act_quant"], &at, Role::Activation)
        };
        let terms = Terms { producer_scope: self.scope, consumer_scope: None, optional };
        results.add(Role::Activation, self.inserter.insert(b, &insertion, &terms)?);
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
    /// What carries the weights on, into a loop or a branch, is asked for the layers behind it.
    fn may_read_quantized_weights(&self, graph: &Graph, consumer: NodeId) -> bool {
        let (mut waiting, mut seen) = (vec![consumer], HashSet::<NodeId>::new());
        while let Some(node) = waiting.pop() {
            if layer_ops::is_layer_op(graph, node) {
                if !self.common.selection.contains(selection_name(graph, node)) {
                    return false;
                }
            } else if wrapped_weights::carries(graph, node) && seen.len() <= MAX_READERS {
                waiting.extend(graph.consumers(node).filter(|&reader| seen.insert(reader)));
            }
        }
        true
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
        let terms = Terms { producer_scope: self.scope, consumer_scope: self.scope, optional };
        let [at_input, at_add] = [bias_add, bypass].map(|node| self.place(node));
        let input = self.insertion([layer_context, "conv_quant"], &at_input, Role::BypassInput);
        let add = self.insertion([output_context, "add_quant"], &at_add, Role::Add);
        results.add(Role::BypassInput, self.inserter.insert(b, &input, &terms)?);
        self.quantized_ops.insert(bias_add);
        let activation_follows =
            add.consumers.iter().any(|&consumer| matches!(b.graph.op(consumer), "Relu" | "Relu6" | "Identity"));
        if !activation_follows {
            results.add(Role::Add, self.inserter.insert(b, &add, &terms)?);
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
        let at = self.place(add);
        let scope_and_name = [context(&name), "post_activation_bypass_quant"];
        let insertion = self.insertion(scope_and_name, &at, Role::PostActivationAdd);
        let optional = results.layer.extension.is_some();
        let terms = Terms { producer_scope: self.scope, consumer_scope: None, optional };
        let relu_follows = insertion.consumers.iter().any(|&consumer| matches!(b.graph.op(consumer), "Relu" | "Relu6"));
        if !relu_follows {
            results.add(Role::PostActivationAdd, self.inserter.insert(b, &insertion, &terms)?);
            self.quantized_ops.insert(add);
        }
        Ok(())
    }

    /// TensorFlow's `_QuantizeActivationLayers`.
    fn quantize_arithmetic(&mut self, b: &mut Builder<'_>) -> Result<Vec<Layer>> {
        let mut consumers_are_new = false;
        let mut arithmetic = Arithmetic::new(&self.quantized_ops);
        let mut reported = Vec::new();
        for node in b.operations() {
            let extension = if self.gradients.contain(node) {
                continue;
            } else if arithmetic.is_quantizable(b.graph, node) {
                None
            } else if !self.only.reference_only && self.ends_activation(b.graph, &mut arithmetic, node) {
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
            if !self.common.selection.contains(b.graph.name(node)) {
                results.layer.outcome = Outcome::NotSelected;
                reported.push(results.layer);
                continue;
            }
            let context = b.graph.name(node).to_owned();
            let name = format!("activation_{}_quant", b.graph.op(node));
            let role = if extension.is_some() { Role::Activation } else { Role::Arithmetic };
            if !std::mem::replace(&mut consumers_are_new, true) {
                // Nothing was inserted since the layers were done.
                self.consumers = Consumers::new(b.graph);
            }
            let at = self.place(node);
            let insertion = Insertion { symmetric: false, ..self.insertion([&context, &name], &at, role) };
            let terms = Terms { producer_scope: self.scope, consumer_scope: None, optional: extension.is_some() };
            results.add(role, self.inserter.insert(b, &insertion, &terms)?);
            arithmetic.were_rewired(b.graph, &at.consumers);
            let nothing_new = extension.is_some() && results.layer.fake_quants.is_empty();
            if !nothing_new {
                reported.push(results.finish());
            }
        }
        Ok(reported)
    }

    /// Layers whose weights come from one constant through different nodes quantize the constant.
    fn with_shared_weights(&self, graph: &Graph, mut layers: Vec<Found>) -> Vec<Found> {
        let selected = layers.iter().filter(|found| self.common.selection.contains(selection_name(graph, found.layer)));
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
            is_reference_layer(graph.op(node)) || !self.only.reference_only && layer_ops::is_layer_op(graph, node)
        };
        let others = operations.iter().copied().filter(|node| !told.contains(node) && is_layer(*node));
        others
            .filter(|&node| !self.is_gradient(graph, node))
            .map(|node| {
                let mut layer = Layer::new(graph, node);
                let quantizer = extensions::weight_quantizer(graph, node);
                layer.outcome = self.reason(graph, layers, node, quantizer.is_some());
                if layer.outcome == Outcome::WeightsQuantized {
                    layer.detail = quantizer.map(|quantizer| format!("by '{}'", graph.name(quantizer)));
                }
                if !matches!(layer.outcome, Outcome::FoldedTwin | Outcome::BatchStatistics) {
                    layer.steps = Layers::steps_of_missed(graph, node);
                }
                layer
            })
            .collect()
    }

    /// Why a layer op was left alone.
    fn reason(&self, graph: &Graph, layers: &Layers, node: NodeId, has_quantizer: bool) -> Outcome {
        if has_folded_twin(graph, graph.name(node)) {
            Outcome::FoldedTwin
        } else if layers.statistics.contains(&node) {
            Outcome::BatchStatistics
        } else if has_quantizer {
            Outcome::WeightsQuantized
        } else if self.loops.contain(node) {
            Outcome::InsideLoop
        } else if !Layers::has_weights_of_any_kind(graph, node) {
            Outcome::WeightsUnknown
        } else if self.folded.unfolded.contains(&node) || bare_layers::feeds_batch_norm(graph, node) {
            Outcome::BatchNormFollows
        } else if self.only.reference_only && !Layers::has_weights(graph, node) {
            Outcome::WeightsUnknown
        } else {
            Outcome::NoActivation
        }
    }

    /// Whether the node ends an activation that the reference does not know, and that reads a quantized tensor.
    fn ends_activation(&self, graph: &Graph, arithmetic: &mut Arithmetic<'_>, node: NodeId) -> bool {
        // Quantizers hold Minimums and Maximums of their own, a great many.
        if !graph.is_original(node) {
            return false;
        }
        let Some(input) = activations::input(graph, node) else { return false };
        !self.is_gradient(graph, node) && arithmetic.reads_quantized(graph, input)
    }
}

/// Weights that are carried on to more nodes than this are taken to be read by no layer that is left out.
const MAX_READERS: usize = 256;

/// A node whose output is to be quantized.
struct Place {
    producer: NodeId,
    consumers: Vec<NodeId>,
}

/// What becomes of one layer.
struct Results {
    layer: Layer,
    /// Which of its quantizers were not inserted, and why.
    missing: Vec<(Role, Outcome, Option<String>)>,
}

impl Results {
    fn new(graph: &Graph, op: NodeId) -> Self {
        Self { layer: Layer::new(graph, op), missing: Vec::new() }
    }

    fn add(&mut self, role: Role, inserted: Inserted) {
        match inserted {
            Inserted::FakeQuant(fake_quant) => self.layer.fake_quants.push(*fake_quant),
            Inserted::Nothing(reason, detail) => self.missing.push((role, reason, detail)),
        }
    }

    /// What was inserted, and what was quantized already, is there; the rest is missing.
    fn finish(mut self) -> Layer {
        let counts = |role: Role| role != Role::BypassInput;
        let is_there = |reason: Outcome| reason == Outcome::AlreadyQuantized;
        let inserted = self.layer.fake_quants.iter().any(|fake_quant| counts(fake_quant.role));
        let any = inserted || self.missing.iter().any(|&(role, reason, _)| counts(role) && is_there(reason));
        let missing: Vec<_> = self.missing.iter().filter(|(_, reason, _)| !is_there(*reason)).collect();
        match (missing.as_slice(), self.missing.first()) {
            ([], Some((_, reason, _))) if !inserted => self.layer.outcome = *reason,
            ([], _) => {}
            (missing, _) if any => {
                self.layer.outcome = Outcome::PartlyQuantized;
                let reasons = missing.iter().map(|(role, reason, detail)| {
                    format!(
                        "no {} quantizer: {}",
                        role.explanation(),
                        detail.as_deref().unwrap_or(reason.explanation())
                    )
                });
                self.layer.detail = Some(reasons.collect::<Vec<_>>().join("; "));
            }
            ([(_, reason, detail), ..], _) => (self.layer.outcome, self.layer.detail) = (*reason, detail.clone()),
        }
        self.layer
    }
}
