//! Batch norms made of single ops by TensorFlow 1.15's rules: `_FoldUnfusedBatchNorms`.

use hashbrown::HashSet;

use super::Pass;
use super::clone::{Keeping, batch_to_space, check_layer, clone_layer};
use super::correction::{Correction, Epsilon, Statistics, lacks};
use super::parameters::{ParameterIndex, Parameters};
use super::shapes::FoldShapes;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::name::parent;
use crate::graph::op_class::is_reference_layer;
use crate::graph::{Graph, NodeId, TensorRef};
use crate::nodes::Builder;
use crate::passes::consumers::Consumers;
use crate::passes::consumers::is_skipped;
use crate::passes::decisions::{BatchNorm, FoldOutcome, Refusal};
use crate::passes::extensions::fold_layout::{self, is_channels_second, is_transposed};
use crate::proto::tensorflow::DataType;

/// How the node that ends a layer is called in the layer's scope, in order of preference.
const ACTIVATIONS: [&str; 3] = ["Relu6", "Relu", "Identity"];

/// What is known of a batch norm before anything is inserted for it.
struct Plan {
    /// The scope, ending in a slash unless it is the root.
    scope: String,
    has_scaling: bool,
    /// The layer's op.
    layer: NodeId,
    batch_to_space: Option<NodeId>,
    weights: TensorRef,
    /// The node that scales the layer's output.
    scale_op: NodeId,
    /// The node that adds the shift: the batch norm's end.
    shift_op: NodeId,
    /// What multiplies the output: gamma over the standard deviation.
    scale: TensorRef,
    /// How a depthwise layer's scale is laid out.
    depthwise: Option<[i32; 2]>,
    parameters: Parameters,
    /// The node that is to read the folded layer: an activation or a bypass Add.
    reader: NodeId,
}

/// A batch norm that was looked for by name.
pub(super) struct Named {
    /// The scope, ending in a slash unless it is the root.
    pub scope: String,
    pub batch_norm: BatchNorm,
    /// Why it was not folded. Whether that refuses the graph is yet to be seen.
    pub refusal: Option<Refusal>,
    /// The node that ends it, once it is folded.
    pub end: Option<NodeId>,
}

/// Finds all of them, and folds those that can be folded.
pub(super) fn fold(b: &mut Builder<'_>, pass: &mut Pass<'_>) -> Result<Vec<Named>> {
    let operations = b.operations();
    let scopes = scopes(b.graph, &operations);
    if scopes.is_empty() {
        return Ok(Vec::new());
    }
    let consumers = Consumers::new(b.graph);
    let parameters: Vec<Parameters> = {
        let index = ParameterIndex::new(b.graph, &operations);
        scopes.iter().map(|scope| index.find(scope)).collect()
    };
    let mut report = Vec::new();
    for (scope, parameters) in scopes.into_iter().zip(parameters) {
        let batch_norm = BatchNorm::new(format!("{scope}BatchNorm"), "batchnorm", FoldOutcome::Folded);
        let mut named = Named { scope: scope.clone(), batch_norm, refusal: None, end: None };
        let batch_norm = &mut named.batch_norm;
        match plan(b, pass, &consumers, scope, parameters) {
            Ok(Some(plan)) => {
                batch_norm.layer = Some(b.graph.name(plan.layer).to_owned());
                if !pass.common.selection.contains(b.graph.name(plan.layer)) {
                    batch_norm.outcome = FoldOutcome::NotSelected;
                } else if pass.loops.contain(plan.shift_op) {
                    batch_norm.outcome = FoldOutcome::InsideLoop;
                } else {
                    if pass.keeping == Keeping::AsReference {
                        batch_norm.changes = fold_layout::lost_by_reference(b.graph, plan.layer, None);
                    }
                    batch_norm.folded = Some(fold_one(b, pass, &plan)?);
                    named.end = Some(plan.shift_op);
                }
            }
            Ok(None) => batch_norm.outcome = FoldOutcome::NotRead,
            Err(refusal) if pass.keeping == Keeping::AsReference => {
                batch_norm.record_refusal(refusal, pass.common.skip_unmatched)?;
            }
            Err(refusal) => named.refusal = Some(refusal),
        }
        report.push(named);
    }
    Ok(report)
}

/// The scopes that hold a batch norm: what precedes the last `BatchNorm/batchnorm` of a node's name.
fn scopes(graph: &Graph, operations: &[NodeId]) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut scopes = Vec::new();
    for &node in operations {
        let name = graph.name(node);
        // A search by the first letter costs a tenth of one by the whole text, of which few names have any.
        let mut places = name.rmatch_indices('B').map(|(place, _)| place);
        let Some(end) = places.find(|&place| name[place..].starts_with("BatchNorm/batchnorm")) else { continue };
        let scope = &name[..end];
        if !is_skipped(scope) && seen.insert(scope) {
            scopes.push(scope.to_owned());
        }
    }
    scopes
}

/// Looks up all that folding reads and refuses what TensorFlow refuses. `None` if nobody reads the batch norm.
fn plan(
    b: &Builder<'_>,
    pass: &mut Pass<'_>,
    consumers: &Consumers,
    scope: String,
    parameters: Parameters,
) -> Result<Option<Plan>, Refusal> {
    let graph = &*b.graph;
    let find = |name: &str| find_op(graph, &scope, &format!("{scope}BatchNorm/batchnorm_1/{name}"));
    let deviation = find("Rsqrt")?;
    let multiplications = consumers.consumers(deviation).iter().filter(|&&node| graph.op(node) == "Mul").count();
    let has_scaling = multiplications == 1;
    let shift_op = find("add_1")?;
    if graph.tensor_consumers(shift_op.into()).next().is_none() {
        return Ok(None);
    }
    let scale_op = find(if has_scaling { "mul_1" } else { "mul" })?;
    let (layer, batch_to_space) = layer_below(graph, scale_op).ok_or_else(|| {
        no_layer(graph.error(ErrorKind::Refused, "the batch norm does not scale the output of another node", scale_op))
    })?;
    let Some(weights) = graph.data_input(layer, 1) else {
        return Err(no_layer(graph.error(ErrorKind::Refused, "the batch norm's layer has no weights", layer)));
    };
    if !is_reference_layer(graph.op(layer)) {
        let what = "a batch norm can be folded into Conv2D, DepthwiseConv2dNative and MatMul alone";
        return Err(no_layer(graph.error(ErrorKind::Refused, what, layer)));
    }
    let is_depthwise = graph.op(layer) == "DepthwiseConv2dNative";
    let scale = if is_depthwise { Some(find(if has_scaling { "mul" } else { "Rsqrt" })?) } else { None };
    let scale = match scale {
        Some(scale) => scale.into(),
        None => graph.data_input(scale_op, 1).ok_or_else(|| unknown_form(graph, scale_op))?,
    };
    let mut plan = Plan {
        has_scaling,
        layer,
        batch_to_space,
        weights,
        scale_op,
        shift_op,
        scale,
        depthwise: None,
        parameters,
        reader: shift_op,
        scope,
    };
    plan.check(b, pass)?;
    plan.reader = plan.find_reader(graph)?;
    Ok(Some(plan))
}

fn find_op(graph: &Graph, scope: &str, name: &str) -> Result<NodeId, Refusal> {
    graph.find(name).ok_or_else(|| {
        let what = format!(
            "the batch norm '{scope}BatchNorm' is not of the form that can be folded: there is no node '{name}'"
        );
        let group = format!("{scope}BatchNorm");
        let error = match graph.ids().find(|&node| graph.name(node).starts_with(&group)) {
            Some(node) => graph.error(ErrorKind::Refused, what, node),
            None => Error::new(ErrorKind::Refused, what),
        };
        Refusal::fatal(FoldOutcome::UnknownForm, error)
    })
}

fn no_layer(error: Error) -> Refusal {
    Refusal::fatal(FoldOutcome::NoLayer, error)
}

fn unknown_form(graph: &Graph, node: NodeId) -> Refusal {
    let what = "the batch norm is not of the form that can be folded";
    Refusal::fatal(FoldOutcome::UnknownForm, graph.error(ErrorKind::Refused, what, node))
}

/// The layer whose output is scaled, and the BatchToSpaceND behind it if it is dilated.
fn layer_below(graph: &Graph, scale_op: NodeId) -> Option<(NodeId, Option<NodeId>)> {
    let below = graph.data_input(scale_op, 0)?.node;
    if graph.op(below) == "BatchToSpaceND" {
        return Some((graph.data_input(below, 0)?.node, Some(below)));
    }
    Some((below, None))
}

impl Plan {
    fn check(&mut self, b: &Builder<'_>, pass: &mut Pass<'_>) -> Result<(), Refusal> {
        let (graph, at) = (&*b.graph, self.layer);
        if pass.keeping == Keeping::All {
            self.check_layout(graph)?;
        }
        let (common, shapes) = (pass.common, &mut pass.shapes);
        check_layer(b, pass.keeping, at).map_err(|error| Refusal::fatal(FoldOutcome::UnknownForm, error))?;
        let data_type = b.number_type(self.weights);
        if data_type != DataType::DtFloat {
            let what = format!("the layer's weights are {}, not DT_FLOAT", data_type.as_str_name());
            return Err(Refusal::fatal(FoldOutcome::NotFloat, graph.error(ErrorKind::Refused, what, at)));
        }
        if !self.has_scaling {
            let Some(moving_mean) = self.parameters.moving_mean else { return Err(self.lacks_parameters(graph)) };
            shapes.constant_shape(graph, moving_mean.into(), at)?;
        }
        if common.is_training {
            let statistics = self.statistics(None).ok_or_else(|| self.lacks_parameters(graph))?;
            statistics.check(b, shapes, at)?;
        }
        if graph.op(self.scale_op) != "Mul" {
            return Err(unknown_form(graph, self.scale_op));
        }
        if !matches!(graph.op(self.shift_op), "Add" | "AddV2") {
            return Err(unknown_form(graph, self.shift_op));
        }
        if graph.op(at) == "DepthwiseConv2dNative" {
            self.depthwise = Some(shapes.depthwise_scale(graph, self.weights, at)?);
        } else {
            shapes.check_broadcast(b, self.weights, self.scale, at)?;
        }
        self.check_operands(b, shapes)
    }

    /// The scale is laid out for layers whose channels come last in their weights and in what they yield.
    fn check_layout(&self, graph: &Graph) -> Result<(), Refusal> {
        let (outcome, what) = if is_channels_second(graph, self.layer) {
            (FoldOutcome::DataFormat, "the layer is NCHW: its channels are not on the last axis")
        } else if is_transposed(graph, self.layer) {
            (FoldOutcome::Transposed, "the layer's weights are transposed as they are read")
        } else {
            return Ok(());
        };
        Err(Refusal::leave(outcome, graph.error(ErrorKind::Refused, what, self.layer)))
    }

    /// TensorFlow's `_AssertConvShapes` and `_AssertFCShapes`.
    fn check_operands(&self, b: &Builder<'_>, shapes: &mut FoldShapes) -> Result<(), Refusal> {
        let (graph, at) = (&*b.graph, self.layer);
        let input = graph.data_input(at, 0).ok_or_else(|| unknown_form(graph, at))?;
        let dims = [shapes.of(graph, input), shapes.of(graph, self.weights)];
        let (rank, axes) = if graph.op(at) == "MatMul" { (2, [1, 0]) } else { (4, [3, 2]) };
        let size = |which: usize| dims[which].as_ref().and_then(|dims| dims.get(axes[which]).copied().flatten());
        let ranks_fit = dims.iter().all(|dims| dims.as_ref().is_some_and(|dims| dims.len() == rank));
        let sizes_fit = size(0).zip(size(1)).is_none_or(|(of_input, of_weights)| of_input == of_weights);
        if ranks_fit && sizes_fit {
            return Ok(());
        }
        let what = format!("the layer's inputs should be of {rank} axes, with as many channels as the weights take");
        Err(Refusal::fatal(FoldOutcome::ShapeMismatch, graph.error(ErrorKind::Refused, what, at)))
    }

    /// What the correction is computed from; `gamma` in place of the one that is not in the graph.
    fn statistics(&self, gamma: Option<TensorRef>) -> Option<Statistics> {
        let parameters = &self.parameters;
        let gamma = if self.has_scaling {
            parameters.gamma?.into()
        } else {
            gamma.or(parameters.moving_mean.map(Into::into))?
        };
        Some(Statistics {
            gamma,
            mean: parameters.mean?.into(),
            variance: parameters.variance?.into(),
            moving_mean: parameters.moving_mean?.into(),
            moving_variance: parameters.moving_variance?.into(),
            decays: [parameters.decays[0]?.into(), parameters.decays[1]?.into()],
            epsilon: Epsilon::Tensor(parameters.epsilon?.into()),
        })
    }

    fn lacks_parameters(&self, graph: &Graph) -> Refusal {
        let what = format!(
            "'{}BatchNorm' cannot be folded for training: its batch's moments or its moving averages are not found",
            self.scope
        );
        lacks(graph.error(ErrorKind::Refused, what, self.layer))
    }

    /// The activation of the scope, or the `AddV2` of the scope above, which must read the batch norm once.
    fn find_reader(&self, graph: &Graph) -> Result<NodeId, Refusal> {
        let activation = ACTIVATIONS.iter().find_map(|name| graph.find(&format!("{}{name}", self.scope)));
        let reader = if let Some(activation) = activation { activation } else { self.find_bypass(graph)? };
        let reads = graph.data_inputs(reader).filter(|&input| input == TensorRef::from(self.shift_op)).count();
        if reads == 1 {
            return Ok(reader);
        }
        let what = format!("the node does not read the batch norm '{}' once", graph.name(self.shift_op));
        Err(Refusal::fatal(FoldOutcome::ExtraConsumer, graph.error(ErrorKind::Refused, what, reader)))
    }

    fn find_bypass(&self, graph: &Graph) -> Result<NodeId, Refusal> {
        let above = self.scope.strip_suffix('/').and_then(parent).unwrap_or_default();
        let slash = if above.is_empty() { "" } else { "/" };
        let name = format!("{above}{slash}AddV2");
        graph.find(&name).ok_or_else(|| {
            let what = format!(
                "neither an activation in the scope nor a bypass Add reads the batch norm: there is no node '{name}'"
            );
            Refusal::fatal(FoldOutcome::NoActivation, graph.error(ErrorKind::Refused, what, self.shift_op))
        })
    }
}

/// Folds one; returns the name of the node that took the batch norm's place.
fn fold_one(b: &mut Builder<'_>, pass: &mut Pass<'_>, plan: &Plan) -> Result<String> {
    let (keeping, shapes) = (pass.keeping, &mut pass.shapes);
    let name = |what: &str| format!("{}{what}", plan.scope);
    let gamma = if plan.has_scaling { None } else { Some(ones_like_moving_mean(b, shapes, plan)?) };
    let mut correction: Option<Correction> = None;
    if let Some(statistics) = plan.statistics(gamma).filter(|_| pass.common.is_training) {
        let scope = name("batch_norm_correction");
        correction = Some(statistics.correct(b, shapes, &scope, pass.only.freeze_bn_delay, plan.layer)?);
    }
    let float = DataType::DtFloat as i32;
    let mut scale = plan.scale;
    if let Some(dims) = plan.depthwise {
        scale = b.reshape(&name("scale_reshape"), scale, &dims, float)?;
        if let Some(correction) = &mut correction {
            correction.scale = b.reshape(&name("correction_reshape"), correction.scale, &dims, float)?;
        }
    }
    let mut weights = plan.weights;
    if let Some(correction) = &correction {
        let device = b.graph.device(plan.scale_op).to_owned();
        weights = b.with_device(&device, |b| b.binary("Mul", &name("correction_mult"), correction.scale, weights))?;
    }
    let weights = b.binary("Mul", &name("mul_fold"), weights, scale)?;
    let layer_name = format!("{}_Fold", b.graph.name(plan.layer));
    let input = b.graph.data_input(plan.layer, 0).unwrap_or(plan.weights);
    let mut output = clone_layer(b, shapes, keeping, plan.layer, &layer_name, [input, weights])?;
    if let Some(like) = plan.batch_to_space {
        let name = format!("{}_Fold", b.graph.name(like));
        output = batch_to_space(b, &name, output, like)?;
    }
    let mut combine = |b: &mut Builder<'_>, op: &str, name: &str, x: TensorRef, y: TensorRef| {
        shapes.check_broadcast(b, x, y, plan.layer).map_err(|refusal| refusal.error)?;
        b.binary(op, name, x, y)
    };
    if let Some(correction) = &correction {
        output = combine(b, "Mul", &name("post_conv_mul"), correction.reciprocal, output)?;
        output = combine(b, "Add", &name("correction_add"), output, correction.offset)?;
    }
    let Some(shift) = b.graph.data_input(plan.shift_op, 1) else {
        return Err(unknown_form(b.graph, plan.shift_op).error);
    };
    let unshifted = output;
    let output = combine(b, "Add", &name("add_fold"), output, shift)?;
    for other in [unshifted, plan.shift_op.into()] {
        shapes.check_same(b.graph, other, output, plan.layer).map_err(|refusal| refusal.error)?;
    }
    b.graph.reroute(plan.shift_op.into(), output, &[plan.reader]);
    Ok(b.graph.name(output.node).to_owned())
}

/// In place of a gamma that is not there: `tf.ones`, at the root.
fn ones_like_moving_mean(b: &mut Builder<'_>, shapes: &mut FoldShapes, plan: &Plan) -> Result<TensorRef> {
    let like = plan.parameters.moving_mean.map_or(plan.scale, Into::into);
    let shape = shapes.constant_shape(b.graph, like, plan.layer).map_err(|refusal| refusal.error)?;
    b.filled("ones", 1.0, &shape)
}
