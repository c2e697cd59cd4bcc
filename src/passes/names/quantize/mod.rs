//! Quantizes layers that are recognised by the names of their nodes: TensorFlow's `Quantize` of October 2017.
//!
//! # What it does
//! For every Conv2D, MatMul and DepthwiseConv2dNative, in graph order: quantizes the weights, which are the input whose
//! name holds `/weights/` or `/depthwise_weights`; quantizes the layer's output, which is the node `Relu6`, `Relu` or
//! `Identity` of the layer's scope, else of the scope above, else the BiasAdd that alone reads the op; and where the
//! scope above holds an `Add` or `add` beside that activation (a bypass connection), quantizes the convolution's output
//! on its way into that Add too. Then quantizes the `Add` or `add` of every scope that holds Conv2D layers.
//! The ranges of weights are those of the last value, of activations moving averages; the node `update_barrier`, if there
//! is one, is made to wait for all updates.
//!
//! # When it applies
//! To graphs written by TF-Slim and others that keep its naming. A layer named otherwise is refused, naming the node.
//!
//! # What it leaves alone
//! Gradients, optimizers and summaries; the depthwise half of a separable convolution; a layer with a folded twin
//! `…_Fold`; biases; everything that [`Common::selection`] leaves out.
//!
//! # Example
//! `conv/weights/read → conv/Conv2D → conv/BiasAdd → conv/Relu → next` becomes
//! `conv/weights/read → conv/weights_quant → conv/Conv2D → conv/BiasAdd → conv/Relu → conv/act_quant → next`.

mod insert;

use hashbrown::HashSet;

use crate::collections::UPDATE_QUANT_OPS;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::name::{holds, parent};
use crate::graph::op_class::is_reference_layer;
use crate::graph::training::Gradients;
use crate::graph::{Graph, NodeId};
use crate::nodes::Builder;
use crate::options::{Common, NamesOnly, Quantize};
use crate::passes::consumers::{Consumers, is_skipped};
use crate::passes::decisions::{InsertedFakeQuant, Layer, Outcome, Quantized, Role, Rule, Step};
use crate::passes::extensions::quantized_weights;
use crate::passes::insertion::{self, ACTIVATION_MIN, Insertion, WIDE_MIN, check_float};
use crate::passes::names::endpoint::endpoint_activation;
use crate::threads::both;
use insert::{Inserter, all_can_be_rewired, not_all_rewired};

/// Quantizes the layers of the builder's graph.
///
/// # Errors
/// [`ErrorKind::Options`] for options that make no sense for this graph; [`ErrorKind::Refused`], naming the node, for a
/// layer that the rules do not cover, unless [`Common::skip_unmatched`] leaves it as it is.
pub(crate) fn quantize(
    builder: &mut Builder<'_>,
    common: &Common,
    options: &Quantize,
    only: &NamesOnly,
    vars_collection: &str,
) -> Result<Quantized> {
    let graph = &*builder.graph;
    let find = || {
        let candidates: Vec<NodeId> = graph.ids().filter(|&node| is_layer_op(graph, node)).collect();
        (candidates, Gradients::find(graph))
    };
    let ((candidates, gradients), consumers) = both(find, || Consumers::new(graph));
    common.selection.check(candidates.iter().map(|&node| graph.name(node)), &std::iter::empty())?;

    let mut pass = Pass {
        common,
        options,
        only,
        consumers,
        gradients,
        inserter: Inserter::new(common, options, vars_collection),
        add_contexts: Vec::new(),
        seen_add_contexts: HashSet::new(),
        quantized: Quantized::default(),
    };
    for op in candidates {
        pass.quantize_candidate(builder, op)?;
    }
    pass.quantize_add_contexts(builder)?;

    let created = pass.inserter.created_global_step();
    let created_global_step = created.map(|step| builder.graph.name(step).to_owned());
    let insertion::Inserter { inputs_rewired, updates, quantized, .. } = pass.inserter.finish();
    if vars_collection == UPDATE_QUANT_OPS {
        // The variables are in it too.
        let names = builder.collections.all_names(UPDATE_QUANT_OPS);
        update_barrier_waits_for_updates(builder, &names, &[])?;
    } else {
        let names = builder.collections.tensor_names(UPDATE_QUANT_OPS);
        update_barrier_waits_for_updates(builder, &names, &updates)?;
    }
    Ok(Quantized { created_global_step, inputs_rewired, updates, tensors: quantized, ..pass.quantized })
}

/// Whether the node is one the pass decides about.
fn is_layer_op(graph: &Graph, node: NodeId) -> bool {
    is_reference_layer(graph.op(node)) && !is_skipped(graph.name(node))
}

/// A layer as the rules see it, found before anything is inserted for it.
struct Match {
    /// The scope that the layer's quantizers go below.
    context: String,
    /// The scope that the activation's quantizer goes below: the one above where there is a bypass.
    output_context: String,
    folded: bool,
    weights: NodeId,
    activation: NodeId,
    /// The bypass Add beside the activation.
    bypass: Option<NodeId>,
}

impl Match {
    /// Whether a node that enters the bypass Add is the layer's own output.
    fn is_output(&self, graph: &Graph, node: NodeId) -> bool {
        let name = graph.name(node);
        if self.folded {
            name.ends_with("/add_fold")
        } else {
            name.strip_prefix(self.context.as_str()).is_some_and(|rest| rest.starts_with('/'))
        }
    }
}

/// Why the rules refuse a layer.
struct Refusal {
    reason: Outcome,
    error: Error,
}

struct Pass<'o> {
    common: &'o Common,
    options: &'o Quantize,
    only: &'o NamesOnly,
    consumers: Consumers,
    gradients: Gradients,
    inserter: Inserter<'o>,
    add_contexts: Vec<String>,
    seen_add_contexts: HashSet<String>,
    quantized: Quantized,
}

impl Pass<'_> {
    fn quantize_candidate(&mut self, b: &mut Builder<'_>, op: NodeId) -> Result<()> {
        let mut layer = Layer::new(b.graph, op);
        if let Some(outcome) = self.passes_over(b.graph, op) {
            layer.outcome = outcome;
        } else {
            match self.find_layer(b, op, &mut layer.steps) {
                Ok(_) if self.gradients.contain(op) => layer.outcome = Outcome::Gradient,
                Ok(found) => layer.fake_quants = self.quantize_layer(b, op, &found)?,
                Err(mut refusal) => {
                    if self.gradients.contain(op) {
                        refusal.error = refusal.error.hint(GRADIENT_HINT);
                    }
                    self.skip_or_refuse(&mut layer, refusal)?;
                }
            }
        }
        if matches!(layer.outcome, Outcome::Quantized | Outcome::FoldedTwin) {
            self.remember_add_context(b.graph, op);
        }
        self.quantized.layers.push(layer);
        Ok(())
    }

    /// Why the layer is nobody's business, if it is not.
    fn passes_over(&self, graph: &Graph, op: NodeId) -> Option<Outcome> {
        let name = graph.name(op);
        let second_half = name.strip_suffix("/depthwise").and_then(|second| graph.find(second));
        if second_half.is_some_and(|second| graph.op(second) == "Conv2D") {
            return Some(Outcome::SeparableDepthwise);
        }
        // The twin that folding made of a layer is chosen by that layer's name.
        let layer = name.strip_suffix("_Fold").filter(|_| !graph.is_original(op)).unwrap_or(name);
        if !self.common.selection.contains(layer) {
            return Some(Outcome::NotSelected);
        }
        let has_twin = !is_folded(name) && graph.find(&[name, "_Fold"].concat()).is_some();
        has_twin.then_some(Outcome::FoldedTwin)
    }

    fn skip_or_refuse(&self, layer: &mut Layer, refusal: Refusal) -> Result<()> {
        if !self.common.skip_unmatched {
            return Err(refusal.error);
        }
        layer.outcome = refusal.reason;
        layer.detail = Some(refusal.error.to_string());
        Ok(())
    }

    /// The scope two levels above a Conv2D may hold an Add to quantize.
    fn remember_add_context(&mut self, graph: &Graph, op: NodeId) {
        let Some(context) = parent(graph.name(op)).and_then(parent).filter(|_| graph.op(op) == "Conv2D") else {
            return;
        };
        if self.seen_add_contexts.insert(context.to_owned()) {
            self.add_contexts.push(context.to_owned());
        }
    }

    /// What belongs to the layer, and whether all of it can be quantized. Nothing is inserted yet.
    fn find_layer(&self, b: &Builder<'_>, op: NodeId, steps: &mut Vec<Step>) -> Result<Match, Refusal> {
        let graph = &*b.graph;
        let name = graph.name(op);
        let Some(context) = parent(name) else {
            steps.push(Step::new(graph, Rule::Scope, None));
            let error = graph.error(
                ErrorKind::Refused,
                "the layer's op is in no scope, so its other nodes cannot be found",
                op,
            );
            return Err(Refusal::new(Outcome::NoScope, error.hint(RULES_HINT)));
        };
        let folded = is_folded(name);
        let weights = find_weights(graph, op, context, folded, steps)?;
        check_insertion(b, context, "weights_quant", weights, &[op])?;
        let (activation, bypass) = find_activation_and_bypass(graph, op, context, steps)?;
        let (bypass, output_context) = match bypass {
            Some((add, above)) => (Some(add), above),
            None => (None, context),
        };
        check_insertion(b, output_context, "act_quant", activation, self.consumers.consumers(activation))?;
        let found = Match {
            context: context.to_owned(),
            output_context: output_context.to_owned(),
            folded,
            weights,
            activation,
            bypass,
        };
        if let Some(add) = bypass {
            for input in graph.data_inputs(add).filter(|input| found.is_output(graph, input.node)) {
                check_insertion(b, context, "conv_quant", input.node, &[add])?;
            }
        }
        Ok(found)
    }

    /// TensorFlow's `QuantizeOpWithWeights`.
    fn quantize_layer(&mut self, b: &mut Builder<'_>, op: NodeId, found: &Match) -> Result<Vec<InsertedFakeQuant>> {
        let options = self.options;
        let weights_use_ema = found.folded && self.only.quantize_folded_weights_use_ema;
        let weights = self.inserter.insert(
            b,
            &Insertion {
                context: &found.context,
                name: "weights_quant",
                producer: found.weights,
                consumers: &[op],
                role: Role::Weights,
                moving_average: weights_use_ema,
                delayed: weights_use_ema,
                initial_min: WIDE_MIN,
                bits: options.weight_bits,
                narrow_range: self.only.weight_narrow_range,
                symmetric: false,
            },
        )?;
        let activation = Insertion {
            context: &found.output_context,
            name: "act_quant",
            producer: found.activation,
            consumers: self.consumers.consumers(found.activation),
            role: Role::Activation,
            initial_min: ACTIVATION_MIN,
            ..self.activation_insertion()
        };
        let mut inserted = vec![weights, self.inserter.insert(b, &activation)?];
        if let Some(add) = found.bypass {
            self.quantize_bypass(b, add, found, &mut inserted)?;
        }
        Ok(inserted)
    }

    /// Quantizes what the layer's convolution feeds into the bypass Add.
    fn quantize_bypass(
        &mut self,
        b: &mut Builder<'_>,
        add: NodeId,
        found: &Match,
        inserted: &mut Vec<InsertedFakeQuant>,
    ) -> Result<()> {
        let inputs = b.graph.data_inputs(add).count();
        for index in 0..inputs {
            let Some(input) = b.graph.data_input(add, index) else { continue };
            if found.is_output(b.graph, input.node) {
                let insertion = Insertion {
                    context: &found.context,
                    name: "conv_quant",
                    producer: input.node,
                    consumers: &[add],
                    role: Role::BypassInput,
                    ..self.activation_insertion()
                };
                inserted.push(self.inserter.insert(b, &insertion)?);
            }
        }
        Ok(())
    }

    /// TensorFlow's `QuantizeAddContexts`.
    fn quantize_add_contexts(&mut self, b: &mut Builder<'_>) -> Result<()> {
        for context in std::mem::take(&mut self.add_contexts) {
            let Some(add) = find_add(b.graph, &context) else { continue };
            let mut layer = Layer::new(b.graph, add);
            layer.steps.push(Step::new(b.graph, Rule::AddOfScope, Some(add)));
            let consumers = self.consumers.consumers(add);
            let insertion = Insertion {
                context: &context,
                name: "add_quant",
                producer: add,
                consumers,
                role: Role::Add,
                ..self.activation_insertion()
            };
            if self.common.skip_unmatched && !all_can_be_rewired(b.graph, add, consumers) {
                layer.outcome = Outcome::InputsShared;
                layer.detail = Some(not_all_rewired(b.graph, add, consumers).to_string());
            } else {
                layer.fake_quants.push(self.inserter.insert(b, &insertion)?);
            }
            self.quantized.adds.push(layer);
        }
        Ok(())
    }

    /// What all quantizers of activations have in common; the rest is to be filled in.
    fn activation_insertion(&self) -> Insertion<'static> {
        Insertion {
            context: "",
            name: "",
            producer: NodeId(0),
            consumers: &[],
            role: Role::Activation,
            moving_average: true,
            delayed: true,
            initial_min: WIDE_MIN,
            bits: self.options.activation_bits,
            narrow_range: false,
            symmetric: false,
        }
    }
}

/// The checks that inserting would fail at, made beforehand and in the same order.
fn check_insertion(
    b: &Builder<'_>,
    context: &str,
    name: &str,
    producer: NodeId,
    consumers: &[NodeId],
) -> Result<(), Refusal> {
    let variable = format!("{context}/{name}/min");
    b.check_variable_is_new(&variable)
        .map_err(|error| error.in_node(b.graph.name(producer), b.graph.op(producer)))
        .map_err(|error| Refusal::new(Outcome::ScopeShared, error))?;
    check_float(b.graph, producer).map_err(|error| Refusal::new(Outcome::NotFloat, error))?;
    if all_can_be_rewired(b.graph, producer, consumers) {
        return Ok(());
    }
    Err(Refusal::new(Outcome::InputsShared, not_all_rewired(b.graph, producer, consumers)))
}

const QUANTIZED_HINT: &str = "the layer is quantized already; rewrite the graph from before it was quantized";

const GRADIENT_HINT: &str =
    "it is a gradient, which no rule covers: leave out what trains (--drop-training), or go on (--skip-unmatched)";

const RULES_HINT: &str = "the rules go by TF-Slim's names; leave the layer out with --exclude or --skip-unmatched";

impl Refusal {
    fn new(reason: Outcome, error: Error) -> Self {
        Self { reason, error }
    }
}

fn is_folded(name: &str) -> bool {
    name.ends_with("_Fold")
}

/// The node whose output the layer multiplies with: `mul_fold` of a folded layer, else the input called weights.
fn find_weights(
    graph: &Graph,
    op: NodeId,
    context: &str,
    folded: bool,
    steps: &mut Vec<Step>,
) -> Result<NodeId, Refusal> {
    if folded {
        let name = format!("{context}/mul_fold");
        let product = graph.find(&name);
        steps.push(Step::new(graph, Rule::FoldedWeights, product));
        return product.ok_or_else(|| {
            let error = graph.error(ErrorKind::Refused, format!("the folded layer lacks its weights '{name}'"), op);
            Refusal::new(Outcome::NoWeights, error.hint(RULES_HINT))
        });
    }
    let weights = graph.data_inputs(op).map(|input| input.node).find(|&node| is_weights(graph, node));
    steps.push(Step::new(graph, Rule::WeightsByName, weights));
    weights.ok_or_else(|| {
        let error = graph.error(ErrorKind::Refused, "no inputs to quantize: none is called weights", op);
        // This run's own quantizers are new; the input that is no weights may have one already.
        let quantizer = graph.data_input(op, 1).and_then(|weights| quantized_weights::quantizer(graph, weights));
        let is_old = quantizer.is_some_and(|node| graph.is_original(node));
        Refusal::new(Outcome::NoWeights, error.hint(if is_old { QUANTIZED_HINT } else { RULES_HINT }))
    })
}

/// Whether a layer's input is called weights. What reads a resource variable counts as the `read` of that variable.
fn is_weights(graph: &Graph, node: NodeId) -> bool {
    let called_weights = |name: &str| holds(name, "/weights/") || holds(name, "/depthwise_weights");
    if graph.with_name(node, called_weights) {
        return true;
    }
    let handle = graph.data_input(node, 0).filter(|_| graph.op(node) == "ReadVariableOp");
    handle.is_some_and(|handle| called_weights(&format!("{}/read", graph.name(handle.node))))
}

/// A bypass Add and the scope it was found in.
type Bypass<'a> = (NodeId, &'a str);

/// TensorFlow's `_GetReluAndAddOperations`: the node that ends the layer, and the bypass Add with their scope.
fn find_activation_and_bypass<'a>(
    graph: &Graph,
    op: NodeId,
    context: &'a str,
    steps: &mut Vec<Step>,
) -> Result<(NodeId, Option<Bypass<'a>>), Refusal> {
    let mut looked_for = |rule, found: Option<NodeId>| {
        steps.push(Step::new(graph, rule, found));
        found
    };
    if let Some(activation) = looked_for(Rule::ActivationInScope, endpoint_activation(graph, context)) {
        return Ok((activation, None));
    }
    if let Some(above) = parent(context)
        && let Some(activation) = looked_for(Rule::ActivationAbove, endpoint_activation(graph, above))
    {
        return Ok((activation, looked_for(Rule::Bypass, find_add(graph, above)).map(|add| (add, above))));
    }
    let mut consumers = graph.consumers(op);
    let single = consumers.next().filter(|&consumer| consumers.next().is_none() && graph.op(consumer) == "BiasAdd");
    looked_for(Rule::SingleBiasAdd, single).map(|bias_add| (bias_add, None)).ok_or_else(|| {
        let what = "failed to quantize: no Relu6, Relu or Identity in the layer's scope or the one above, and no single BiasAdd";
        let error = graph.error(ErrorKind::Refused, what, op);
        Refusal::new(Outcome::NoActivation, error.hint(RULES_HINT))
    })
}

/// The node `Add` or `add` of that scope.
fn find_add(graph: &Graph, context: &str) -> Option<NodeId> {
    ["/Add", "/add"].iter().find_map(|suffix| graph.find(&[context, suffix].concat()))
}

/// Makes TF-Slim's `update_barrier`, on which training steps wait, wait for all range updates: those of these names in the
/// collection, and those that were just made.
fn update_barrier_waits_for_updates(b: &mut Builder<'_>, names: &[String], made: &[NodeId]) -> Result<()> {
    let Some(barrier) = b.graph.find("update_barrier") else { return Ok(()) };
    let mut updates = Vec::with_capacity(names.len() + made.len());
    for name in names {
        let Some(update) = b.graph.find(name) else {
            let what = format!("the collection '{UPDATE_QUANT_OPS}' holds '{name}', which is no op");
            return Err(b
                .graph
                .error(ErrorKind::Refused, what, barrier)
                .hint("that collection is for the updates of ranges; empty it, or choose another --vars-collection"));
        };
        updates.push(update);
    }
    updates.extend_from_slice(made);
    let waits_for: HashSet<NodeId> = b.graph.control_inputs(barrier).collect();
    if let Some(&known) = updates.iter().find(|update| waits_for.contains(*update)) {
        let what = format!("'{}' is a control input already: the graph was quantized before", b.graph.name(known));
        return Err(b
            .graph
            .error(ErrorKind::Refused, what, barrier)
            .hint("rewrite the graph from before it was quantized"));
    }
    b.graph.add_control_inputs(barrier, &updates);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::cases::rewritten;
    use crate::options::{NamesOnly, RewriteOptions, Rules};

    fn unfolded() -> RewriteOptions {
        RewriteOptions { fold: false, rules: Rules::Names(NamesOnly::default()), ..RewriteOptions::default() }
    }

    /// A layer by the rules, and one behind it whose weights are called something else.
    const LINES: &str = "
        x = Placeholder [?,8,8,3]
        a/weights = VariableV2 [3,3,3,3]
        a/weights/read = Identity(a/weights)
        a/Conv2D = Conv2D(x, a/weights/read)
        a/Relu = Relu(a/Conv2D)
        b/kernel = VariableV2 [3,3,3,3]
        b/kernel/read = Identity(b/kernel)
        b/Conv2D = Conv2D(a/Relu, b/kernel/read)
        b/Relu = Relu(b/Conv2D)
    ";

    fn hint(lines: &str) -> String {
        rewritten(lines, &unfolded()).unwrap_err().hint_text().unwrap_or_default().to_owned()
    }

    #[test]
    fn only_quantized_weights_make_a_layer_quantized_already() {
        assert_eq!(hint(LINES), super::RULES_HINT);
        let quantized = LINES.replace("Conv2D(a/Relu, b/kernel/read)", "Conv2D(a/Relu, wq)").replace(
            "b/Conv2D =",
            "low = Const -1.0
             wq = FakeQuantWithMinMaxVars(b/kernel/read, low, low)
             b/Conv2D =",
        );
        assert_eq!(hint(&quantized), super::QUANTIZED_HINT);
    }

    #[test]
    fn gradients_are_never_quantized() {
        let gradient = "gradients_1/a/Conv2D = Conv2D(a/Relu, a/weights/read)
             gradients_1/a/Relu = Relu(gradients_1/a/Conv2D)";
        let lines = [LINES, gradient].concat();
        let mut options = unfolded();
        options.common.skip_unmatched = true;
        let (report, _) = rewritten(&lines, &options).unwrap();
        let outcomes: Vec<&str> = report.layers.iter().map(|layer| layer.outcome.code()).collect();
        assert_eq!(outcomes, ["quantized", "no_weights", "gradient"]);
    }
}
