//! Fused batch norms by TensorFlow 1.15's rules: `_FoldFusedBatchNorms`.

use hashbrown::HashSet;

use super::clone::{batch_to_space, check_layer, clone_layer};
use super::correction::{Epsilon, Statistics, lacks};
use super::shapes::FoldShapes;
use crate::error::{ErrorKind, Result};
use crate::graph::attr::Tensor;
use crate::graph::loops::Loops;
use crate::graph::name::{leaf, parent};
use crate::graph::op_class::is_fused_batch_norm;
use crate::graph::{Graph, NodeId, TensorRef};
use crate::nodes::Builder;
use crate::options::{Common, TopologyOnly};
use crate::passes::decisions::Extension;
use crate::passes::decisions::{BatchNorm, FoldOutcome, Refusal};
use crate::passes::extensions::fold_bias;
use crate::passes::extensions::fold_chain::Replaced;
use crate::passes::graph_matcher::{Match, PatternId, Patterns};
use crate::proto::tensorflow::AttrValue;
use crate::proto::tensorflow::DataType;
use crate::proto::tensorflow::attr_value::Value;

/// What the op definition says where the attribute was stripped.
const DEFAULT_EPSILON: f32 = 1e-4;

/// The gradient that TensorFlow registers for a batch norm whose batch statistics are used beside its output.
const GRADIENT_OP: &str = "FoldFusedBatchNormGrad";

/// A layer and its batch norm.
#[derive(Debug, Clone, Copy)]
struct FusedMatch {
    layer: NodeId,
    batch_norm: NodeId,
    /// The layer's output.
    layer_output: TensorRef,
    /// Whether a BatchToSpaceND follows the layer.
    is_atrous: bool,
    /// What is read instead once it is folded.
    output: TensorRef,
    input: TensorRef,
    weights: TensorRef,
    /// What is added between layer and batch norm.
    bias: Option<TensorRef>,
    gamma: TensorRef,
    beta: TensorRef,
    mean: TensorRef,
    variance: TensorRef,
    /// In training mode: the moving averages.
    moving: Option<MovingAverages>,
}

/// The tensors of the updates `average - (average - statistic) * decay`.
#[derive(Debug, Clone, Copy, Default)]
struct MovingAverages {
    mean: Option<TensorRef>,
    variance: Option<TensorRef>,
    decays: [Option<TensorRef>; 2],
}

/// The patterns of a layer under a batch norm, in all forms.
struct LayerPatterns {
    patterns: Patterns,
    root: PatternId,
    layer: PatternId,
    input: PatternId,
    weights: PatternId,
    batch_to_space: PatternId,
    bias: Option<BiasPatterns>,
    batch_norm: PatternId,
    reshaped_output: PatternId,
    statistics: [PatternId; 4],
}

/// A BiasAdd between layer and batch norm, and what it adds.
#[derive(Clone, Copy)]
struct BiasPatterns {
    add: PatternId,
    bias: PatternId,
}

impl LayerPatterns {
    /// The patterns of the reference, or those with a BiasAdd between layer and batch norm.
    fn new(with_bias: bool) -> Self {
        let mut p = Patterns::new();
        let (input, weights) = (p.any(), p.any());
        let layer = p.op("Conv2D|DepthwiseConv2dNative|MatMul", &[input, weights]);
        let any = p.any();
        let batch_to_space = p.op("BatchToSpaceND", &[layer, any, any]);
        let either = p.one_of(&[batch_to_space, layer]);
        let behind_identity = p.op("Identity", &[either]);
        let mut layer_output = p.one_of(&[behind_identity, layer, batch_to_space]);
        let bias = with_bias.then(|| {
            let bias = p.any();
            layer_output = p.op("BiasAdd", &[layer_output, bias]);
            BiasPatterns { add: layer_output, bias }
        });
        let reshaped = p.op("Reshape", &[layer_output, any]);
        let normalised = p.one_of(&[reshaped, layer_output]);
        let statistics = [p.any(), p.any(), p.any(), p.any()];
        let [gamma, beta, mean, variance] = statistics;
        let batch_norm = p.op("FusedBatchNorm|FusedBatchNormV3", &[normalised, gamma, beta, mean, variance]);
        let reshaped_output = p.op("Reshape", &[batch_norm, any]);
        let root = p.one_of(&[reshaped_output, batch_norm]);
        Self { patterns: p, root, layer, input, weights, batch_to_space, bias, batch_norm, reshaped_output, statistics }
    }

    /// The layer and batch norm at the node, if they are there and somebody reads the result.
    fn find(&self, graph: &Graph, node: NodeId) -> Option<FusedMatch> {
        let found = self.patterns.match_node(graph, self.root, node)?;
        self.take(graph, &found)
    }

    fn take(&self, graph: &Graph, found: &Match) -> Option<FusedMatch> {
        let (layer, batch_norm) = (found.node(self.layer)?, found.node(self.batch_norm)?);
        // A fully connected layer's batch norm yields an image of one pixel, which a Reshape makes a matrix again.
        let output = if graph.op(layer) == "MatMul" { found.node(self.reshaped_output)? } else { batch_norm };
        let output = TensorRef::from(output);
        graph.tensor_consumers(output).next()?;
        let bias = match self.bias {
            Some(patterns) if fold_bias::is_foldable(graph, found.node(patterns.add)?) => {
                Some(found.tensor(patterns.bias)?)
            }
            Some(_) => return None,
            None => None,
        };
        let [gamma, beta, mean, variance] = self.statistics.map(|pattern| found.tensor(pattern));
        Some(FusedMatch {
            layer,
            batch_norm,
            layer_output: found.tensor(self.layer)?,
            is_atrous: found.node(self.batch_to_space).is_some(),
            output,
            input: found.tensor(self.input)?,
            weights: found.tensor(self.weights)?,
            bias,
            gamma: gamma?,
            beta: beta?,
            mean: mean?,
            variance: variance?,
            moving: None,
        })
    }
}

/// Finds and folds all of them.
pub(super) fn fold(
    b: &mut Builder<'_>,
    shapes: &mut FoldShapes,
    loops: &Loops,
    common: &Common,
    only: &TopologyOnly,
) -> Result<Vec<BatchNorm>> {
    let operations = b.operations();
    let mut report: Vec<BatchNorm> = Vec::new();
    let mut matches = Vec::new();
    let mut matched_layers = HashSet::new();
    let mut normalised = HashSet::new();
    let patterns = LayerPatterns::new(false);
    let more_patterns = (!only.reference_only).then(|| LayerPatterns::new(true));
    let order = Order::new(b.graph, &operations);
    for &node in &operations {
        let more = || more_patterns.as_ref().and_then(|patterns| patterns.find(b.graph, node));
        let Some(mut found) = patterns.find(b.graph, node).or_else(more) else { continue };
        let left_alone = if !common.selection.contains(b.graph.name(found.layer)) {
            Some(FoldOutcome::NotSelected)
        } else if loops.contain(found.batch_norm) {
            Some(FoldOutcome::InsideLoop)
        } else {
            None
        };
        if let Some(outcome) = left_alone {
            if matched_layers.insert(found.layer) {
                normalised.insert(found.batch_norm);
                report.push(entry(b.graph, &found, outcome));
            }
            continue;
        }
        let refused = check(b, shapes, &order, &mut found);
        if refused.is_ok() && is_training(b.graph, found.batch_norm) {
            use_batch_statistics(b, shapes, &mut found)?;
        }
        if matched_layers.insert(found.layer) {
            normalised.insert(found.batch_norm);
            let mut batch_norm = entry(b.graph, &found, FoldOutcome::Folded);
            match refused {
                Ok(()) => {
                    batch_norm.extension = found.bias.map(|_| Extension::FoldBias);
                    matches.push((report.len(), found));
                }
                Err(refusal) => {
                    batch_norm.record_refusal(refusal, common.skip_unmatched || found.bias.is_some())?;
                }
            }
            report.push(batch_norm);
        }
    }
    let mut replaced = Replaced::default();
    for (index, mut found) in matches {
        if let Some(input) = replaced.instead_of(found.input).filter(|_| !only.reference_only) {
            found.input = input;
            report[index].extension.get_or_insert(Extension::FoldChain);
        }
        let output = fold_one(b, shapes, &found, only)?;
        replaced.note(found.output, output);
        report[index].folded = Some(b.graph.name(output.node).to_owned());
    }
    report_others(b.graph, &operations, &normalised, &mut report);
    Ok(report)
}

fn entry(graph: &Graph, found: &FusedMatch, outcome: FoldOutcome) -> BatchNorm {
    BatchNorm {
        node: graph.name(found.batch_norm).to_owned(),
        op: graph.op(found.batch_norm).to_owned(),
        layer: Some(graph.name(found.layer).to_owned()),
        outcome,
        detail: None,
        folded: None,
        extension: None,
    }
}

/// Every batch norm that no layer was found for is told of as well.
fn report_others(graph: &Graph, operations: &[NodeId], normalised: &HashSet<NodeId>, report: &mut Vec<BatchNorm>) {
    for &node in operations {
        if !is_fused_batch_norm(graph.op(node)) || normalised.contains(&node) {
            continue;
        }
        let is_read = graph.tensor_consumers(node.into()).next().is_some();
        report.push(BatchNorm {
            node: graph.name(node).to_owned(),
            op: graph.op(node).to_owned(),
            layer: None,
            outcome: if is_read { FoldOutcome::NoLayer } else { FoldOutcome::ExtraConsumer },
            detail: None,
            folded: None,
            extension: None,
        });
    }
}

fn is_training(graph: &Graph, batch_norm: NodeId) -> bool {
    graph.attr_bool(batch_norm, "is_training").unwrap_or(true)
}

/// Where each node comes in TensorFlow's order.
struct Order(Vec<u32>);

impl Order {
    fn new(graph: &Graph, operations: &[NodeId]) -> Self {
        let mut places = vec![0; graph.len()];
        for (place, node) in (0..).zip(operations) {
            places[node.index()] = place;
        }
        Self(places)
    }

    fn of(&self, node: NodeId) -> u32 {
        self.0.get(node.index()).copied().unwrap_or(u32::MAX)
    }
}

/// Looks up what a batch norm in training mode needs, and refuses what cannot be folded, before anything is inserted.
fn check(b: &Builder<'_>, shapes: &mut FoldShapes, order: &Order, found: &mut FusedMatch) -> Result<(), Refusal> {
    let at = found.batch_norm;
    check_layer(b, found.layer).map_err(|error| Refusal::fatal(FoldOutcome::UnknownForm, error))?;
    for tensor in [found.weights, found.gamma, found.beta].into_iter().chain(found.bias) {
        check_float(b, tensor, at)?;
    }
    if let Some(bias) = found.bias {
        shapes.check_broadcast(b, found.gamma, bias, at)?;
    }
    if b.graph.op(found.layer) == "DepthwiseConv2dNative" {
        shapes.depthwise_scale(b.graph, found.weights, at)?;
    } else {
        shapes.check_broadcast(b, found.weights, found.gamma, at)?;
    }
    // The folded layer yields what the layer does, channels last; its bias is added to that, and it takes the place of the
    // batch norm's output. Only of dilated depthwise layers is the way back from batches to space copied.
    shapes.check_broadcast(b, found.layer_output, found.beta, at)?;
    if !copies_batch_to_space(b.graph, found) {
        shapes.check_same(b.graph, found.layer_output, found.output, at)?;
    }
    if !is_training(b.graph, at) {
        return Ok(());
    }
    let moving = moving_averages(b.graph, order, at);
    found.moving = Some(moving);
    match moving {
        MovingAverages { mean: Some(mean), variance: Some(variance), decays: [Some(_), Some(_)] } => {
            shapes.constant_shape(b.graph, variance, at)?;
            shapes.check_broadcast(b, variance, mean, at)
        }
        _ => Err(lacks(b.graph.error(
            ErrorKind::Refused,
            "a batch norm in training mode whose moving averages are not found: no (average - statistic) * decay",
            at,
        ))),
    }
}

fn check_float(b: &Builder<'_>, tensor: TensorRef, at: NodeId) -> Result<(), Refusal> {
    let data_type = b.number_type(tensor);
    if data_type == DataType::DtFloat {
        return Ok(());
    }
    let what = format!("'{}' is {}, not DT_FLOAT", b.graph.tensor_name(tensor), data_type.as_str_name());
    Err(Refusal::fatal(FoldOutcome::NotFloat, b.graph.error(ErrorKind::Refused, what, at)))
}

/// The moving averages that the batch's statistics are fed into. The last update in the graph counts.
fn moving_averages(graph: &Graph, order: &Order, batch_norm: NodeId) -> MovingAverages {
    let mut found = MovingAverages::default();
    for (port, which) in [(1, 0), (2, 1)] {
        let statistic = TensorRef { node: batch_norm, port };
        let mut last: Option<(u32, TensorRef, TensorRef)> = None;
        for difference in graph.tensor_consumers(statistic).filter(|&node| graph.op(node) == "Sub") {
            let operands: Vec<TensorRef> = graph.data_inputs(difference).collect();
            let [average, subtracted] = operands[..] else { continue };
            if subtracted != statistic {
                continue;
            }
            for product in graph.consumers(difference).filter(|&node| graph.op(node) == "Mul") {
                let factors: Vec<TensorRef> = graph.data_inputs(product).collect();
                let [first, decay] = factors[..] else { continue };
                if first.node == difference && last.is_none_or(|(place, ..)| place <= order.of(product)) {
                    last = Some((order.of(product), average, decay));
                }
            }
        }
        if let Some((_, average, decay)) = last {
            *(if which == 0 { &mut found.mean } else { &mut found.variance }) = Some(average);
            found.decays[which] = Some(decay);
        }
    }
    found
}

/// In training mode mean and variance are the batch's own, and the variance that the op yields for moving averages must
/// be scaled back to the one it normalised by.
fn use_batch_statistics(b: &mut Builder<'_>, shapes: &mut FoldShapes, found: &mut FusedMatch) -> Result<()> {
    use prost::Message;
    let op = found.batch_norm;
    let gradient = AttrValue { value: Some(Value::S(GRADIENT_OP.into())) };
    b.graph.set_attr(op, "_gradient_op_type", gradient.encode_to_vec());
    found.mean = TensorRef { node: op, port: 1 };
    let unbiased = TensorRef { node: op, port: 2 };
    let elements = |b: &Builder<'_>, shapes: &mut FoldShapes, tensor| {
        shapes.complete(b.graph, tensor).and_then(|dims| dims.into_iter().try_fold(1i64, i64::checked_mul))
    };
    let sizes = [elements(b, shapes, found.layer_output), elements(b, shapes, found.mean)];
    let scope = parent(b.graph.name(op)).map(str::to_owned);
    found.variance = b.existing_scope(scope.as_deref(), |b| {
        let values = b.size(found.layer_output, sizes[0])?;
        let channels = b.size(found.mean, sizes[1])?;
        let count = b.divide_integers(values, channels)?;
        let count = b.cast("Cast", count, DataType::DtFloat)?;
        let less_one = b.binary_with_y("Sub", "sub", count, Tensor::Float(1.0))?;
        let factor = b.binary("RealDiv", "truediv", less_one, count)?;
        b.binary("Mul", "Undo_Bessel_Correction", unbiased, factor)
    })?;
    Ok(())
}

/// Folds one; returns what took the place of the batch norm's output.
fn fold_one(
    b: &mut Builder<'_>,
    shapes: &mut FoldShapes,
    found: &FusedMatch,
    only: &TopologyOnly,
) -> Result<TensorRef> {
    let scope = parent(b.graph.name(found.layer)).map(str::to_owned);
    b.existing_scope(scope.as_deref(), |b| {
        let folded = match &scope {
            Some(scope) => {
                b.existing_scope(Some(&format!("{scope}/BatchNorm_Fold")), |b| fold_parameters(b, shapes, found, only))?
            }
            None => b.name_scope("BatchNorm_Fold", |b| fold_parameters(b, shapes, found, only))?,
        };
        let mut weights = found.weights;
        if let Some(correction) = &folded.correction {
            weights = b.binary("Mul", "correction_mult", correction.scale, weights)?;
        }
        let weights = b.binary("Mul", "mul_fold", weights, folded.multiplier)?;
        let mut output = clone_with_new_operands(b, shapes, found, weights)?;
        let mut combine = |b: &mut Builder<'_>, op: &str, name: &str, x: TensorRef, y: TensorRef| {
            shapes.check_broadcast(b, x, y, found.batch_norm).map_err(|refusal| refusal.error)?;
            b.binary(op, name, x, y)
        };
        if let Some(correction) = &folded.correction {
            output = combine(b, "Mul", "post_conv_mul", correction.reciprocal, output)?;
            output = combine(b, "Add", "correction_add", output, correction.offset)?;
        }
        let output = combine(b, "Add", "add_fold", output, folded.bias)?;
        shapes.check_same(b.graph, output, found.output, found.batch_norm).map_err(|refusal| refusal.error)?;
        let mut consumers: Vec<NodeId> = b.graph.tensor_consumers(found.output).collect();
        consumers.sort_unstable();
        consumers.dedup();
        if b.graph.reroute(found.output, output, &consumers) == 0 {
            return Err(b
                .graph
                .error(ErrorKind::Refused, "folding the batch norm failed: nothing reads it any more", found.batch_norm)
                .hint("leave it unfolded: --exclude"));
        }
        Ok(output)
    })
}

/// What the scope `BatchNorm_Fold` yields.
struct Folded {
    multiplier: TensorRef,
    bias: TensorRef,
    correction: Option<super::correction::Correction>,
}

fn fold_parameters(
    b: &mut Builder<'_>,
    shapes: &mut FoldShapes,
    found: &FusedMatch,
    only: &TopologyOnly,
) -> Result<Folded> {
    let mut found = *found;
    if let Some(bias) = found.bias {
        found.mean = fold_bias::without_bias(b, found.mean, bias)?;
        if let Some(mean) = found.moving.as_mut().and_then(|moving| moving.mean.as_mut()) {
            *mean = fold_bias::without_bias(b, *mean, bias)?;
        }
    }
    let epsilon = Epsilon::Number(b.graph.attr_float(found.batch_norm, "epsilon").unwrap_or(DEFAULT_EPSILON));
    let deviation = epsilon.reciprocal_deviation(b, found.variance)?;
    let mut multiplier = b.binary("Mul", "mul", found.gamma, deviation)?;
    let shift = b.binary("Mul", "mul", found.mean, multiplier)?;
    let bias = b.binary("Sub", "bias", found.beta, shift)?;
    let mut correction = None;
    if let Some(MovingAverages {
        mean: Some(mean),
        variance: Some(variance),
        decays: [Some(of_mean), Some(of_variance)],
    }) = found.moving
    {
        let statistics = Statistics {
            gamma: found.gamma,
            mean: found.mean,
            variance: found.variance,
            moving_mean: mean,
            moving_variance: variance,
            decays: [of_mean, of_variance],
            epsilon,
        };
        let name = "batch_norm_correction";
        correction = Some(statistics.correct(b, shapes, name, only.freeze_bn_delay, found.batch_norm)?);
    }
    if b.graph.op(found.layer) == "DepthwiseConv2dNative" {
        let dims = shapes.depthwise_scale(b.graph, found.weights, found.batch_norm).map_err(|refusal| refusal.error)?;
        let float = DataType::DtFloat as i32;
        multiplier = b.reshape("scale_reshape", multiplier, &dims, float)?;
        if let Some(correction) = &mut correction {
            correction.scale = b.reshape("correction_reshape", correction.scale, &dims, float)?;
        }
    }
    Ok(Folded { multiplier, bias, correction })
}

fn copies_batch_to_space(graph: &Graph, found: &FusedMatch) -> bool {
    found.is_atrous && graph.op(found.layer) == "DepthwiseConv2dNative"
}

/// TensorFlow's `_CloneWithNewOperands`. A dilated convolution's BatchToSpaceND is copied for depthwise layers alone.
fn clone_with_new_operands(
    b: &mut Builder<'_>,
    shapes: &mut FoldShapes,
    found: &FusedMatch,
    weights: TensorRef,
) -> Result<TensorRef> {
    let name = format!("{}_Fold", leaf(b.graph.name(found.layer)));
    let output = clone_layer(b, shapes, found.layer, &name, [found.input, weights])?;
    if !copies_batch_to_space(b.graph, found) {
        return Ok(output);
    }
    let Some(batch_to_space_op) = b.graph.tensor_consumers(found.layer.into()).next() else { return Ok(output) };
    let name = format!("{}_Fold", leaf(b.graph.name(batch_to_space_op)));
    batch_to_space(b, &name, output, batch_to_space_op)
}
