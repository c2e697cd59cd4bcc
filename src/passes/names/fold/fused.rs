//! Batch norms that are one op: FusedBatchNorm and its later versions.

use hashbrown::HashMap;

use super::checks::Checks;
use crate::error::{ErrorKind, Result};
use crate::graph::attr::Tensor;
use crate::graph::name::{leaf, parent};
use crate::graph::op_class::{REFERENCE_LAYERS, is_fused_batch_norm};
use crate::graph::shape::{Dims, ShapeCache};
use crate::graph::{Graph, NodeId, TensorRef};
use crate::nodes::Builder;
use crate::options::Common;
use crate::passes::batch_norms::{is_frozen, is_training, no_layer};
use crate::passes::decisions::{BatchNorm, FoldOutcome, Refusal};
use crate::passes::graph_matcher::{FUSED_BATCH_NORM, Match, PatternId, Patterns};
use crate::proto::tensorflow::DataType;

/// What the op definition says where the attribute was stripped.
const DEFAULT_EPSILON: f32 = 1e-4;

/// A layer and its batch norm, side by side in the graph.
struct FusedMatch {
    layer: NodeId,
    batch_norm: NodeId,
    /// What is read instead once it is folded.
    output: TensorRef,
    input: TensorRef,
    weights: TensorRef,
    gamma: TensorRef,
    beta: TensorRef,
    mean: TensorRef,
    variance: TensorRef,
}

/// What is known of a match before anything is inserted.
struct Plan {
    found: FusedMatch,
    epsilon: f32,
    /// How a depthwise layer's scale is laid out.
    scale: Option<[i32; 2]>,
    /// A depthwise layer's folded weights.
    filter: Option<Vec<i32>>,
}

/// The patterns of a layer under a batch norm; `root` is what is matched.
struct LayerPatterns {
    patterns: Patterns,
    root: PatternId,
    layer: PatternId,
    input: PatternId,
    weights: PatternId,
    batch_norm: PatternId,
    statistics: [PatternId; 4],
}

impl LayerPatterns {
    fn convolution() -> Self {
        Self::new("Conv2D|DepthwiseConv2dNative", false)
    }

    /// A MatMul between two Reshapes, as FusedBatchNorm takes images only.
    fn fully_connected() -> Self {
        Self::new("MatMul", true)
    }

    fn new(ops: &'static str, between_reshapes: bool) -> Self {
        let mut patterns = Patterns::new();
        let reshaped = |patterns: &mut Patterns, inner| {
            let shape = patterns.any();
            patterns.op("Reshape", &[inner, shape])
        };
        let (input, weights) = (patterns.any(), patterns.any());
        let layer = patterns.op(ops, &[input, weights]);
        let normalised = if between_reshapes { reshaped(&mut patterns, layer) } else { layer };
        let [gamma, beta, mean, variance] = std::array::from_fn(|_| patterns.any());
        let batch_norm = patterns.op(FUSED_BATCH_NORM, &[normalised, gamma, beta, mean, variance]);
        let root = if between_reshapes { reshaped(&mut patterns, batch_norm) } else { batch_norm };
        Self { patterns, root, layer, input, weights, batch_norm, statistics: [gamma, beta, mean, variance] }
    }

    fn find(&self, graph: &Graph, node: NodeId) -> Option<FusedMatch> {
        let found = self.patterns.match_node(graph, self.root, node)?;
        self.take(graph, &found)
    }

    fn take(&self, graph: &Graph, found: &Match) -> Option<FusedMatch> {
        let batch_norm = found.node(self.batch_norm)?;
        let [gamma, beta, mean, variance] = self.statistics.map(|pattern| found.tensor(pattern));
        let (mean, variance) = if is_training(graph, batch_norm) {
            (TensorRef { node: batch_norm, port: 1 }, TensorRef { node: batch_norm, port: 2 })
        } else {
            (mean?, variance?)
        };
        Some(FusedMatch {
            layer: found.node(self.layer)?,
            batch_norm,
            output: found.root().into(),
            input: found.tensor(self.input)?,
            weights: found.tensor(self.weights)?,
            gamma: gamma?,
            beta: beta?,
            mean,
            variance,
        })
    }
}

impl FusedMatch {
    /// What a frozen network computes otherwise once it is folded. Training graphs are folded by that variance too, since
    /// these rules made them so.
    fn scaled_otherwise(&self, graph: &Graph) -> Option<&'static str> {
        let is_frozen = is_frozen(graph, [self.weights, self.gamma, self.beta]);
        (is_frozen && is_training(graph, self.batch_norm)).then_some(
            "it is in training mode and normalises by the batch's variance, but the folded weights are scaled by the unbiased \
             variance, n / (n - 1) times as large",
        )
    }
}

/// Folds every fused batch norm of the graph that follows a layer.
pub(super) fn fold(b: &mut Builder<'_>, shapes: &mut ShapeCache, common: &Common) -> Result<Vec<BatchNorm>> {
    let mut records = Vec::new();
    let mut record_of: HashMap<NodeId, usize> = HashMap::new();
    let convolution = LayerPatterns::convolution();
    for node in b.graph.ids() {
        if !is_fused_batch_norm(b.graph.op(node)) {
            continue;
        }
        let mut record = new_record(b.graph, node);
        if let Some(found) = convolution.find(b.graph, node) {
            fold_match(b, shapes, common, found, &mut record)?;
        }
        record_of.insert(node, records.len());
        records.push(record);
    }
    let fully_connected = LayerPatterns::fully_connected();
    for node in b.graph.ids() {
        let Some(found) = fully_connected.find(b.graph, node) else { continue };
        if let Some(record) = record_of.get(&found.batch_norm).and_then(|&index| records.get_mut(index)) {
            fold_match(b, shapes, common, found, record)?;
        }
    }
    Ok(records)
}

/// The record of a batch norm that no pattern has matched yet.
fn new_record(graph: &Graph, node: NodeId) -> BatchNorm {
    let read = graph.data_input(node, 0);
    let (outcome, detail) = match read.map(|read| (graph.op(read.node), read)) {
        Some(("BatchToSpaceND" | "BatchToSpace", read)) => {
            let name = graph.name(read.node);
            (FoldOutcome::Atrous, Some(format!("it reads '{name}', the end of a dilated convolution")))
        }
        Some((_, read)) => (FoldOutcome::NoLayer, Some(no_layer(graph, read, REFERENCE_LAYERS))),
        None => (FoldOutcome::NoLayer, None),
    };
    BatchNorm { detail, ..BatchNorm::new(graph.name(node), graph.op(node), outcome) }
}

fn fold_match(
    b: &mut Builder<'_>,
    shapes: &mut ShapeCache,
    common: &Common,
    found: FusedMatch,
    record: &mut BatchNorm,
) -> Result<()> {
    let layer = b.graph.name(found.layer);
    record.layer = Some(layer.to_owned());
    if !common.selection.contains(layer) {
        record.outcome = FoldOutcome::NotSelected;
        record.detail = None;
        return Ok(());
    }
    match plan(b.graph, shapes, found) {
        Ok(plan) => {
            record.record_folded(insert(b, &plan)?);
            record.changes = plan.found.scaled_otherwise(b.graph);
        }
        Err(refusal) => record.record_refusal(refusal, common.skip_unmatched)?,
    }
    Ok(())
}

/// Checks all that TensorFlow would stumble over, in the same order.
fn plan(graph: &Graph, shapes: &mut ShapeCache, found: FusedMatch) -> Result<Plan, Refusal> {
    let mut checks = Checks { graph, shapes, layer: found.layer };
    checks.float()?;
    let scope = parent(graph.name(found.layer));
    let new_name = |name: &str| scope.map_or_else(|| name.to_owned(), |scope| format!("{scope}/{name}"));
    let weights = checks.shape(found.weights);
    let channels = checks.shape(found.gamma);

    let (scale, scale_dims): (_, Option<Dims>) = if graph.op(found.layer) == "DepthwiseConv2dNative" {
        let scale = checks.depthwise_scale(found.weights)?;
        (Some(scale), Some(scale.map(|dim| Some(i64::from(dim))).to_vec()))
    } else {
        (None, channels.clone())
    };
    let folded_weights = checks.elementwise(&new_name("mul_fold"), weights.as_ref(), scale_dims.as_ref())?;
    let layer_output = checks.shape(found.layer.into());
    let sum = checks.elementwise(&new_name("add_fold"), layer_output.as_ref(), channels.as_ref())?;
    let output = checks.shape(found.output);
    checks.same_shape("the folded output", output.as_ref(), sum.as_ref())?;
    check_read_once(graph, &found)?;
    checks.computes_the_same()?;
    let filter = folded_weights.and_then(|dims| dims.iter().map(|dim| i32::try_from((*dim)?).ok()).collect());
    let epsilon = graph.attr_float(found.batch_norm, "epsilon").unwrap_or(DEFAULT_EPSILON);
    Ok(Plan { found, epsilon, scale, filter })
}

/// Exactly one input of one node may read what is replaced.
fn check_read_once(graph: &Graph, found: &FusedMatch) -> Result<(), Refusal> {
    let mut readers = graph.tensor_consumers(found.output);
    let (outcome, what) = match (readers.next(), readers.next()) {
        (Some(_), None) => return Ok(()),
        (None, _) => (
            FoldOutcome::NotRead,
            "nothing reads the output of the batch norm, so folding has nowhere to go".to_owned(),
        ),
        (Some(one), Some(other)) => {
            let (one, other) = (graph.name(one), graph.name(other));
            let what = format!("the output of the batch norm is read more than once ('{one}', '{other}')");
            (FoldOutcome::ExtraConsumer, what)
        }
    };
    Err(Refusal::fatal(outcome, graph.error(ErrorKind::Refused, what, found.output.node)))
}

/// Adds the folded layer; returns the name of the node that replaces the batch norm's output.
fn insert(b: &mut Builder<'_>, plan: &Plan) -> Result<String> {
    let found = &plan.found;
    let layer_name = b.graph.name(found.layer).to_owned();
    let device = b.graph.device(found.batch_norm).to_owned();
    let output =
        b.with_device(&device, |b| b.existing_scope(parent(&layer_name), |b| insert_here(b, plan, &layer_name)))?;
    let readers: Vec<NodeId> = b.graph.tensor_consumers(found.output).collect();
    b.graph.reroute(found.output, output, &readers);
    Ok(b.graph.name(output.node).to_owned())
}

fn insert_here(b: &mut Builder<'_>, plan: &Plan, layer_name: &str) -> Result<TensorRef> {
    let found = &plan.found;
    let variance = b.binary_with_y("Add", "add", found.variance, Tensor::Float(plan.epsilon))?;
    let deviation = b.rsqrt(variance)?;
    let mut scale = b.binary("Mul", "mul", found.gamma, deviation)?;
    let shift = b.binary("Mul", "mul", found.mean, scale)?;
    let bias = b.binary("Sub", "bias", found.beta, shift)?;
    if let Some(dims) = plan.scale {
        scale = b.reshape("scale_reshape", scale, &dims, DataType::DtFloat as i32)?;
    }
    let weights = b.binary("Mul", "mul_fold", found.weights, scale)?;
    let clone_name = format!("{}_Fold", leaf(layer_name));
    let inputs = [found.input, weights];
    let folded = if plan.scale.is_some() {
        b.clone_depthwise(&clone_name, found.layer, inputs, plan.filter.as_deref())?
    } else {
        b.clone_op(&clone_name, found.layer, &inputs)?
    };
    b.binary("Add", "add_fold", folded, bias)
}
