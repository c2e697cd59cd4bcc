//! Fused batch norms by TensorFlow 1.15's rules: `_FoldFusedBatchNorms`.

use hashbrown::HashSet;

use super::Pass;
use super::clone::{Keeping, batch_to_space, check_layer, clone_layer};
use super::correction::{Epsilon, Statistics, lacks};
use super::layout::{along_channels, scale_dims};
use super::shapes::FoldShapes;
use crate::error::{ErrorKind, Result};
use crate::graph::attr::Tensor;
use crate::graph::name::{leaf, parent};
use crate::graph::op_class::{FOLDING_LAYERS, REFERENCE_LAYERS, is_fused_batch_norm, is_reference_layer};
use crate::graph::{Graph, NodeId, TensorRef};
use crate::nodes::Builder;
use crate::passes::batch_norms::{is_frozen, is_training, layer_before, no_layer};
use crate::passes::decisions::{BatchNorm, Extension, FoldOutcome, Refusal};
use crate::passes::extensions::fold_affine::{channel_axis, channels, layer_output};
use crate::passes::extensions::fold_chain::Replaced;
use crate::passes::extensions::{fold_bias, fold_layer_op, fold_layout, fold_switch};
use crate::passes::graph_matcher::{Match, PatternId, Patterns};
use crate::proto::tensorflow::AttrValue;
use crate::proto::tensorflow::DataType;
use crate::proto::tensorflow::attr_value::Value;

/// What the op definition says where the attribute was stripped.
const DEFAULT_EPSILON: f32 = 1e-4;

/// The gradient that TensorFlow registers for a batch norm whose batch statistics are used beside its output.
pub(crate) const GRADIENT_OP: &str = "FoldFusedBatchNormGrad";

/// A layer and its batch norm.
#[derive(Debug, Clone, Copy)]
struct FusedMatch {
    layer: NodeId,
    batch_norm: NodeId,
    /// The layer's output.
    layer_output: TensorRef,
    /// What the batch norm normalises.
    normalised: TensorRef,
    /// The BatchToSpaceND that follows the layer.
    batch_to_space: Option<NodeId>,
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
    /// The batch norm of training that a conditional has beside it.
    other_branch: Option<NodeId>,
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
    batch_norm: PatternId,
    reshaped_output: PatternId,
    statistics: [PatternId; 4],
}

impl LayerPatterns {
    /// The patterns of the reference.
    fn new() -> Self {
        let mut p = Patterns::new();
        let (input, weights) = (p.any(), p.any());
        let layer = p.op("Conv2D|DepthwiseConv2dNative|MatMul", &[input, weights]);
        let any = p.any();
        let batch_to_space = p.op("BatchToSpaceND", &[layer, any, any]);
        let either = p.one_of(&[batch_to_space, layer]);
        let behind_identity = p.op("Identity", &[either]);
        let layer_output = p.one_of(&[behind_identity, layer, batch_to_space]);
        let reshaped = p.op("Reshape", &[layer_output, any]);
        let normalised = p.one_of(&[reshaped, layer_output]);
        let statistics = [p.any(), p.any(), p.any(), p.any()];
        let [gamma, beta, mean, variance] = statistics;
        let batch_norm = p.op("FusedBatchNorm|FusedBatchNormV3", &[normalised, gamma, beta, mean, variance]);
        let reshaped_output = p.op("Reshape", &[batch_norm, any]);
        let root = p.one_of(&[reshaped_output, batch_norm]);
        Self { patterns: p, root, layer, input, weights, batch_to_space, batch_norm, reshaped_output, statistics }
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
        let [gamma, beta, mean, variance] = self.statistics.map(|pattern| found.tensor(pattern));
        Some(FusedMatch {
            layer,
            batch_norm,
            layer_output: found.tensor(self.layer)?,
            normalised: graph.data_input(batch_norm, 0)?,
            batch_to_space: found.node(self.batch_to_space),
            output,
            input: found.tensor(self.input)?,
            weights: found.tensor(self.weights)?,
            bias: None,
            gamma: gamma?,
            beta: beta?,
            mean: mean?,
            variance: variance?,
            moving: None,
            other_branch: None,
        })
    }
}

/// A layer and batch norm in a form that the reference does not know: behind a bias, in a conditional.
fn find_more(graph: &Graph, pass: &mut Pass<'_>, node: NodeId) -> Option<FusedMatch> {
    let (batch_norm, other_branch) = match graph.op(node) {
        op if is_fused_batch_norm(op) => (node, None),
        "Merge" => {
            let [inference, training] = fold_switch::branches(graph, node)?;
            (inference, Some(training))
        }
        "Reshape" => (graph.data_input(node, 0).filter(|input| input.port == 0)?.node, None),
        _ => return None,
    };
    let parameters: Vec<TensorRef> = graph.data_inputs(batch_norm).collect();
    let (&[mut normalised, gamma, beta, mean, variance], true) =
        (parameters.as_slice(), is_fused_batch_norm(graph.op(batch_norm)))
    else {
        return None;
    };
    graph.tensor_consumers(node.into()).next()?;
    if other_branch.is_some() {
        normalised = fold_switch::switched(graph, normalised)?;
    }
    let mut below = normalised;
    if graph.op(below.node) == "Reshape" {
        below = graph.data_input(below.node, 0)?;
    }
    let bias = fold_bias::bias(&mut pass.finder(graph), below);
    if let Some((tensor, _)) = bias {
        below = tensor;
    }
    let of = layer_output(graph, below)?;
    // A fully connected layer's batch norm yields an image of one pixel, which a Reshape makes a matrix again.
    if (graph.op(of.layer) == "MatMul") != (graph.op(node) == "Reshape") {
        return None;
    }
    Some(FusedMatch {
        layer: of.layer,
        batch_norm,
        layer_output: of.layer.into(),
        normalised,
        batch_to_space: of.batch_to_space,
        output: node.into(),
        input: fold_layer_op::data(graph, of.layer)?,
        weights: graph.data_input(of.layer, 1)?,
        bias: bias.map(|(_, bias)| bias),
        gamma,
        beta,
        mean,
        variance,
        moving: None,
        other_branch,
    })
}

impl FusedMatch {
    /// The rule past the reference by which it is folded.
    fn extension(&self, graph: &Graph) -> Option<Extension> {
        if self.other_branch.is_some() {
            Some(Extension::FoldSwitch)
        } else if self.bias.is_some() {
            Some(Extension::FoldBias)
        } else if self.is_other_layer(graph) {
            Some(Extension::LayerOp)
        } else {
            self.lost_by_reference(graph).map(|_| Extension::FoldLayout)
        }
    }

    /// Whether the layer is one that the reference folds nothing into.
    fn is_other_layer(&self, graph: &Graph) -> bool {
        !is_reference_layer(graph.op(self.layer))
    }

    fn lost_by_reference(&self, graph: &Graph) -> Option<&'static str> {
        fold_layout::lost_by_reference(graph, self.layer, self.batch_to_space)
    }
}

/// Finds and folds all of them.
pub(super) fn fold(b: &mut Builder<'_>, pass: &mut Pass<'_>) -> Result<Vec<BatchNorm>> {
    let operations = b.operations();
    let mut report: Vec<BatchNorm> = Vec::new();
    let mut matches = Vec::new();
    let mut matched_layers = HashSet::new();
    let mut normalised = HashSet::new();
    let patterns = LayerPatterns::new();
    let order = Order::new(b.graph, &operations);
    let extended = pass.keeping == Keeping::All;
    for &node in &operations {
        let more = |pass: &mut Pass<'_>| {
            let found = extended.then(|| find_more(b.graph, pass, node)).flatten();
            found.filter(|found| !matched_layers.contains(&found.layer))
        };
        let Some(mut found) = patterns.find(b.graph, node).or_else(|| more(pass)) else { continue };
        let left_alone = if !pass.common.selection.contains(b.graph.name(found.layer)) {
            Some(FoldOutcome::NotSelected)
        } else if pass.loops.contain(found.batch_norm) {
            Some(FoldOutcome::InsideLoop)
        } else {
            None
        };
        if let Some(outcome) = left_alone {
            if matched_layers.insert(found.layer) {
                normalised.extend([Some(found.batch_norm), found.other_branch].into_iter().flatten());
                report.push(entry(b.graph, &found, outcome));
            }
            continue;
        }
        let refused = check(b, pass, &order, &mut found);
        if refused.is_ok() && is_training(b.graph, found.batch_norm) {
            use_batch_statistics(b, pass, &mut found)?;
        }
        if matched_layers.insert(found.layer) {
            normalised.extend([Some(found.batch_norm), found.other_branch].into_iter().flatten());
            let mut batch_norm = entry(b.graph, &found, FoldOutcome::Folded);
            match refused {
                Ok(()) => {
                    if extended {
                        batch_norm.extension = found.extension(b.graph);
                    } else {
                        batch_norm.changes = found.lost_by_reference(b.graph);
                    }
                    matches.push((report.len(), found));
                }
                Err(refusal) => {
                    let is_optional =
                        found.bias.is_some() || found.other_branch.is_some() || found.is_other_layer(b.graph);
                    batch_norm.record_refusal(refusal, pass.common.skip_unmatched || is_optional)?;
                }
            }
            report.push(batch_norm);
        }
    }
    let mut replaced = Replaced::default();
    for (index, mut found) in matches {
        if let Some(input) = replaced.instead_of(found.input).filter(|_| pass.keeping == Keeping::All) {
            found.input = input;
            report[index].extension.get_or_insert(Extension::FoldChain);
        }
        let output = fold_one(b, pass, &found)?;
        replaced.note(found.output, output);
        pass.unread.extend([Some(found.batch_norm), found.other_branch].into_iter().flatten());
        report[index].folded = Some(b.graph.name(output.node).to_owned());
    }
    let layers = if extended { FOLDING_LAYERS } else { REFERENCE_LAYERS };
    report_others(b.graph, &operations, layers, &normalised, &mut report);
    Ok(report)
}

fn entry(graph: &Graph, found: &FusedMatch, outcome: FoldOutcome) -> BatchNorm {
    let of = BatchNorm::new(graph.name(found.batch_norm), graph.op(found.batch_norm), outcome);
    BatchNorm { layer: Some(graph.name(found.layer).to_owned()), ..of }
}

/// Every batch norm that no layer was found for is told of as well.
fn report_others(
    graph: &Graph,
    operations: &[NodeId],
    layers: &[&str],
    normalised: &HashSet<NodeId>,
    report: &mut Vec<BatchNorm>,
) {
    for &node in operations {
        if !is_fused_batch_norm(graph.op(node)) || normalised.contains(&node) {
            continue;
        }
        let is_read = graph.tensor_consumers(node.into()).next().is_some();
        let outcome = if is_read { FoldOutcome::NoLayer } else { FoldOutcome::NotRead };
        let mut batch_norm = BatchNorm::new(graph.name(node), graph.op(node), outcome);
        if let Some(read) = graph.data_input(node, 0).filter(|_| is_read) {
            batch_norm.detail = Some(no_layer(graph, read, layers));
            // Layer normalization is made of this op as well, behind a Reshape.
            let normalised = layer_before(graph, read).filter(|_| graph.op(read.node) != "Reshape");
            batch_norm.layer = normalised.map(|layer| graph.name(layer).to_owned());
        }
        report.push(batch_norm);
    }
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
fn check(b: &Builder<'_>, pass: &mut Pass<'_>, order: &Order, found: &mut FusedMatch) -> Result<(), Refusal> {
    let at = found.batch_norm;
    check_layer(b, pass.keeping, found.layer).map_err(|error| Refusal::fatal(FoldOutcome::UnknownForm, error))?;
    for tensor in [found.weights, found.gamma, found.beta].into_iter().chain(found.bias) {
        check_float(b, tensor, at)?;
    }
    if found.other_branch.is_some() {
        check_branch(b.graph, pass, found)?;
    }
    match pass.keeping {
        Keeping::All => check_channels(b, pass, found)?,
        Keeping::AsReference => check_shapes_of_reference(b, &mut pass.shapes, found)?,
    }
    if !is_training(b.graph, at) {
        return Ok(());
    }
    let moving = moving_averages(b.graph, pass.keeping, order, at);
    found.moving = Some(moving);
    match moving {
        MovingAverages { mean: Some(mean), variance: Some(variance), decays: [Some(_), Some(_)] } => {
            pass.shapes.constant_shape(b.graph, variance, at)?;
            pass.shapes.check_broadcast(b, variance, mean, at)
        }
        _ if is_frozen(b.graph, [found.weights, found.gamma, found.beta]) => {
            let what = "frozen from the training graph: it normalises by the mean and variance of each batch, so that \
                        every result depends on what else is in the batch, and the moving averages are not in the file; \
                        export again from the graph built for inference";
            Err(Refusal::fatal(FoldOutcome::FrozenTraining, b.graph.error(ErrorKind::Refused, what, at)))
        }
        _ => {
            let what = if pass.common.is_training {
                "a batch norm in training mode whose moving averages are not found: no (average - statistic) * decay"
            } else {
                "a batch norm in training mode, without the updates of its moving averages: for --mode eval, export the \
                 graph built for inference (is_training=False, training=False, or learning phase 0)"
            };
            Err(lacks(b.graph.error(ErrorKind::Refused, what, at)))
        }
    }
}

/// What TensorFlow would stumble over.
fn check_shapes_of_reference(b: &Builder<'_>, shapes: &mut FoldShapes, found: &FusedMatch) -> Result<(), Refusal> {
    let at = found.batch_norm;
    if b.graph.op(found.layer) == "DepthwiseConv2dNative" {
        shapes.depthwise_scale(b.graph, found.weights, at)?;
    } else {
        shapes.check_broadcast(b, found.weights, found.gamma, at)?;
    }
    // The folded layer yields what the layer does, channels last; its bias is added to that, and it takes the place of the
    // batch norm's output. Only of dilated depthwise layers is the way back from batches to space copied.
    shapes.check_broadcast(b, found.layer_output, found.beta, at)?;
    if !copies_batch_to_space(b.graph, Keeping::AsReference, found) {
        shapes.check_same(b.graph, found.layer_output, found.output, at)?;
    }
    Ok(())
}

/// Refuses a batch norm whose channels are not those of the layer.
fn check_channels(b: &Builder<'_>, pass: &mut Pass<'_>, found: &FusedMatch) -> Result<(), Refusal> {
    let (graph, at) = (&*b.graph, found.batch_norm);
    let refuse = |outcome, what: &str| Err(Refusal::fatal(outcome, graph.error(ErrorKind::Refused, what, at)));
    let is_matrix = graph.op(found.layer) == "MatMul";
    let Some((axis, _)) = channel_axis(graph, found.layer) else {
        return refuse(FoldOutcome::DataFormat, "the layer's data format is neither NHWC nor NCHW");
    };
    let is_second = graph.attr_str(at, "data_format").is_some_and(|format| format.starts_with("NC"));
    if !is_matrix && is_second != (axis == 1) {
        return refuse(FoldOutcome::DataFormat, "one of layer and batch norm is NCHW, the other is not");
    }
    if !is_matrix && graph.op(found.normalised.node) == "Reshape" {
        return refuse(FoldOutcome::ShapeMismatch, "the layer's output is reshaped before it is normalised");
    }
    if graph.op(found.layer) == "DepthwiseConv2dNative" {
        pass.shapes.depthwise_scale(graph, found.weights, at)?;
    }
    if let (Some(of_layer), Some([Some(of_norm)])) =
        (channels(graph, &mut pass.shapes.cache, found.layer), pass.shapes.of(graph, found.gamma).as_deref())
        && of_layer != *of_norm
    {
        let what = format!("the layer yields {of_layer} channels, the batch norm has {of_norm}");
        return refuse(FoldOutcome::ShapeMismatch, &what);
    }
    if let Some(back) = found.batch_to_space
        && !fold_layout::spares_channels(graph, &mut pass.shapes.cache, back, axis)
    {
        return refuse(FoldOutcome::Atrous, "blocks of channels are put back from batches to space");
    }
    if let Some(bias) = found.bias {
        pass.shapes.check_elements(graph, found.gamma, bias, at)?;
    }
    let replaced = if is_matrix { found.layer_output } else { found.normalised };
    pass.shapes.check_same(graph, replaced, found.output, at)
}

/// A batch norm of inference inside a conditional: only in eval mode is it known to be meant.
fn check_branch(graph: &Graph, pass: &Pass<'_>, found: &FusedMatch) -> Result<(), Refusal> {
    let refuse =
        |outcome, what: &str| Err(Refusal::fatal(outcome, graph.error(ErrorKind::Refused, what, found.output.node)));
    if pass.common.is_training {
        return refuse(
            FoldOutcome::TrainingMode,
            "a placeholder decides when the graph runs whether it normalises by the batch or by moving averages; \
             --mode eval takes the branch of inference, and to train, build the graph with is_training=True",
        );
    }
    let parameters = [found.gamma, found.beta, found.mean, found.variance];
    if parameters.iter().any(|&parameter| !fold_switch::can_leave(graph, parameter)) {
        return refuse(FoldOutcome::UnknownForm, "a parameter is computed inside of the conditional");
    }
    Ok(())
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
fn moving_averages(graph: &Graph, keeping: Keeping, order: &Order, batch_norm: NodeId) -> MovingAverages {
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
                let decay = match factors[..] {
                    [first, decay] if first.node == difference => decay,
                    // TensorFlow's own optimizer sorts the factors by name.
                    [decay, second] if keeping == Keeping::All && second.node == difference => decay,
                    _ => continue,
                };
                if last.is_none_or(|(place, ..)| place <= order.of(product)) {
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
fn use_batch_statistics(b: &mut Builder<'_>, pass: &mut Pass<'_>, found: &mut FusedMatch) -> Result<()> {
    use prost::Message;
    let shapes = &mut pass.shapes;
    // What is cropped behind a dilated layer does not count.
    let counted = if pass.keeping == Keeping::All && found.batch_to_space.is_some() {
        found.normalised
    } else {
        found.layer_output
    };
    let op = found.batch_norm;
    let gradient = AttrValue { value: Some(Value::S(GRADIENT_OP.into())) };
    b.graph.set_attr(op, "_gradient_op_type", gradient.encode_to_vec());
    found.mean = TensorRef { node: op, port: 1 };
    let unbiased = TensorRef { node: op, port: 2 };
    let elements = |b: &Builder<'_>, shapes: &mut FoldShapes, tensor| {
        shapes.complete(b.graph, tensor).and_then(|dims| dims.into_iter().try_fold(1i64, i64::checked_mul))
    };
    let sizes = [elements(b, shapes, counted), elements(b, shapes, found.mean)];
    let scope = parent(b.graph.name(op)).map(str::to_owned);
    found.variance = b.existing_scope(scope.as_deref(), |b| {
        let values = b.size(counted, sizes[0])?;
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
fn fold_one(b: &mut Builder<'_>, pass: &mut Pass<'_>, found: &FusedMatch) -> Result<TensorRef> {
    let scope = parent(b.graph.name(found.layer)).map(str::to_owned);
    let keeping = pass.keeping;
    b.existing_scope(scope.as_deref(), |b| {
        let folded = match &scope {
            Some(scope) => {
                b.existing_scope(Some(&format!("{scope}/BatchNorm_Fold")), |b| fold_parameters(b, pass, found))?
            }
            None => b.name_scope("BatchNorm_Fold", |b| fold_parameters(b, pass, found))?,
        };
        let shapes = &mut pass.shapes;
        let mut weights = found.weights;
        if let Some(correction) = &folded.correction {
            weights = b.binary("Mul", "correction_mult", correction.scale, weights)?;
        }
        let weights = b.binary("Mul", "mul_fold", weights, folded.multiplier)?;
        let mut output = clone_with_new_operands(b, shapes, keeping, found, weights)?;
        let mut combine = |b: &mut Builder<'_>, op: &str, name: &str, x: TensorRef, y: TensorRef| {
            shapes.check_broadcast(b, x, y, found.batch_norm).map_err(|refusal| refusal.error)?;
            b.binary(op, name, x, y)
        };
        if let Some(correction) = &folded.correction {
            let reciprocal = along_channels(b, keeping, found.layer, "reciprocal_reshape", correction.reciprocal)?;
            output = combine(b, "Mul", "post_conv_mul", reciprocal, output)?;
            let offset = along_channels(b, keeping, found.layer, "offset_reshape", correction.offset)?;
            output = combine(b, "Add", "correction_add", output, offset)?;
        }
        let bias = along_channels(b, keeping, found.layer, "bias_reshape", folded.bias)?;
        let output = combine(b, "Add", "add_fold", output, bias)?;
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

fn fold_parameters(b: &mut Builder<'_>, pass: &mut Pass<'_>, found: &FusedMatch) -> Result<Folded> {
    let shapes = &mut pass.shapes;
    let mut found = *found;
    if found.other_branch.is_some() {
        for parameter in [&mut found.gamma, &mut found.beta, &mut found.mean, &mut found.variance] {
            *parameter = fold_switch::outside(b, *parameter)?;
        }
    }
    if let Some(bias) = found.bias {
        let bias = fold_bias::as_vector(b, shapes.of(b.graph, bias).map_or(1, |dims| dims.len()), bias)?;
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
        correction = Some(statistics.correct(b, shapes, name, pass.only.freeze_bn_delay, found.batch_norm)?);
    }
    let places = [found.layer, found.batch_norm];
    if let Some(dims) = scale_dims(b, shapes, pass.keeping, places, found.weights)? {
        let float = DataType::DtFloat as i32;
        multiplier = b.reshape("scale_reshape", multiplier, &dims, float)?;
        if let Some(correction) = &mut correction {
            correction.scale = b.reshape("correction_reshape", correction.scale, &dims, float)?;
        }
    }
    Ok(Folded { multiplier, bias, correction })
}

/// By the reference's rules, a dilated convolution's BatchToSpaceND is copied for depthwise layers alone.
fn copies_batch_to_space(graph: &Graph, keeping: Keeping, found: &FusedMatch) -> bool {
    found.batch_to_space.is_some() && (keeping == Keeping::All || graph.op(found.layer) == "DepthwiseConv2dNative")
}

/// TensorFlow's `_CloneWithNewOperands`.
fn clone_with_new_operands(
    b: &mut Builder<'_>,
    shapes: &mut FoldShapes,
    keeping: Keeping,
    found: &FusedMatch,
    weights: TensorRef,
) -> Result<TensorRef> {
    let name = format!("{}_Fold", leaf(b.graph.name(found.layer)));
    let output = clone_layer(b, shapes, keeping, found.layer, &name, [found.input, weights])?;
    let like = match (keeping, found.batch_to_space) {
        (Keeping::All, like) => like,
        // The first that reads the layer is taken for it.
        (Keeping::AsReference, _) if copies_batch_to_space(b.graph, keeping, found) => {
            b.graph.tensor_consumers(found.layer.into()).next()
        }
        (Keeping::AsReference, _) => None,
    };
    let Some(like) = like else { return Ok(output) };
    let name = format!("{}_Fold", leaf(b.graph.name(like)));
    batch_to_space(b, &name, output, like)
}
