//! Batch norms made of single ops, as `tf.nn.batch_normalization` makes them, found by their names.
//!
//! With gamma: `Rsqrt → mul`, which scales the layer's output (`mul_1`) and the mean (`mul_2`); without: `Rsqrt` scales
//! both itself (`mul`, `mul_1`). Either way `add_1` yields the normalised output.

use hashbrown::HashSet;

use super::checks::Checks;
use crate::error::{ErrorKind, Result};
use crate::graph::name::before_last;
use crate::graph::op_class::canonical_op;
use crate::graph::shape::{ShapeCache, shape_text};
use crate::graph::{Graph, Input, NodeId, TensorRef, Word};
use crate::nodes::Builder;
use crate::options::Common;
use crate::passes::consumers::is_skipped;
use crate::passes::decisions::{BatchNorm, FoldOutcome, Refusal};
use crate::passes::names::endpoint::endpoint_activation;
use crate::proto::tensorflow::DataType;

/// What the names of a batch norm's ops have between the layer's scope and their own.
const GROUP: &str = "/BatchNorm/batchnorm";

/// A batch norm and what surrounds it; everything that is needed to fold it.
struct Plan {
    /// The scope of the layer that it belongs to.
    scope: String,
    layer: NodeId,
    /// The op that scales the layer's output, and the scale.
    scaling: NodeId,
    scale: TensorRef,
    /// The op that yields the normalised output.
    shift: NodeId,
    /// A depthwise layer's scale: what it is, and how it is laid out.
    depthwise: Option<Depthwise>,
    /// The activation or Add that is to read the folded output.
    end: NodeId,
}

struct Depthwise {
    scale: TensorRef,
    dims: [i32; 2],
    filter: Option<Vec<i32>>,
}

/// Folds every batch norm of single ops. In one walk over the graph the groups are found, in another folded.
pub(super) fn fold(b: &mut Builder<'_>, shapes: &mut ShapeCache, common: &Common) -> Result<Vec<BatchNorm>> {
    let (scopes, mut others) = find_groups(b.graph);
    let node_count = b.graph.len();
    let mut records = Vec::new();
    for scope in scopes {
        let mut record = new_record(format!("{scope}{GROUP}"));
        if let Some(layer) = find_layer(b.graph, &scope, node_count) {
            let name = b.graph.name(layer);
            record.layer = Some(name.to_owned());
            if !common.selection.contains(name) {
                record.outcome = FoldOutcome::NotSelected;
                records.push(record);
                continue;
            }
        }
        match plan(b.graph, shapes, &scope, node_count) {
            Ok(plan) => record.record_folded(insert(b, &plan)?),
            Err(refusal) => record.record_refusal(refusal, common.skip_unmatched)?,
        }
        records.push(record);
    }
    records.append(&mut others);
    Ok(records)
}

fn new_record(node: String) -> BatchNorm {
    BatchNorm::new(node, "batchnorm", FoldOutcome::UnknownForm)
}

/// The layers' scopes that hold a batch norm, each once, in graph order; and the batch norms whose scope is not called
/// so that the rules see them.
fn find_groups(graph: &Graph) -> (Vec<String>, Vec<BatchNorm>) {
    let mut scopes = Vec::new();
    let mut seen: HashSet<&str> = HashSet::new();
    let mut others = Vec::new();
    if !graph.some_name_may_hold(Word::BatchNorm) {
        return (scopes, others);
    }
    for name in graph.ids().map(|node| graph.name(node)).filter(|name| !is_skipped(name)) {
        if let Some(scope) = before_last(name, GROUP) {
            if seen.insert(scope) {
                scopes.push(scope.to_owned());
            }
        } else if let Some(group) = name.strip_suffix("/Rsqrt").filter(|group| group.ends_with(Word::BatchNorm.text()))
        {
            let mut record = new_record(group.to_owned());
            record.detail = Some("its scope is not called BatchNorm, by which the rules know it".to_owned());
            others.push(record);
        }
    }
    (scopes, others)
}

fn member(graph: &Graph, scope: &str, name: &str) -> Result<NodeId, Refusal> {
    let full = format!("{scope}{GROUP}/{name}");
    graph.find(&full).ok_or_else(|| missing(graph, scope, &full, FoldOutcome::UnknownForm))
}

/// A node that is looked for by name and is not there.
fn missing(graph: &Graph, scope: &str, name: &str, outcome: FoldOutcome) -> Refusal {
    let what = format!("the batch norm '{scope}{GROUP}' cannot be folded: there is no node '{name}'");
    let error = crate::error::Error::new(ErrorKind::Refused, what);
    let group = format!("{scope}{GROUP}");
    let any = || graph.ids().find(|&node| graph.name(node).starts_with(&group));
    let error = match graph.find(&format!("{group}/add_1")).or_else(any) {
        Some(node) => error.in_node(graph.name(node), graph.op(node)),
        None => error,
    };
    Refusal::fatal(outcome, error)
}

/// Whether the batch norm has a gamma: then one Mul alone reads the Rsqrt. Nodes added since folding began don't count.
fn has_scaling(graph: &Graph, rsqrt: NodeId, node_count: usize) -> bool {
    let mut muls: Vec<NodeId> = graph
        .consumers(rsqrt)
        .filter(|&node| node.index() < node_count && graph.op(node) == "Mul" && !is_skipped(graph.name(node)))
        .collect();
    muls.sort_unstable();
    muls.dedup();
    muls.len() == 1
}

/// The op that scales the layer's output.
fn find_scaling(graph: &Graph, scope: &str, node_count: usize) -> Result<(NodeId, bool), Refusal> {
    let rsqrt = member(graph, scope, "Rsqrt")?;
    let has_scaling = has_scaling(graph, rsqrt, node_count);
    Ok((member(graph, scope, if has_scaling { "mul_1" } else { "mul" })?, has_scaling))
}

fn find_layer(graph: &Graph, scope: &str, node_count: usize) -> Option<NodeId> {
    let (scaling, _) = find_scaling(graph, scope, node_count).ok()?;
    graph.data_input(scaling, 0).map(|tensor| tensor.node)
}

/// Finds all that belongs to the batch norm and checks it in the order in which TensorFlow does.
fn plan(graph: &Graph, shapes: &mut ShapeCache, scope: &str, node_count: usize) -> Result<Plan, Refusal> {
    let (scaling, has_scaling) = find_scaling(graph, scope, node_count)?;
    let [Some(layer), Some(scale)] = [0, 1].map(|index| graph.data_input(scaling, index)) else {
        return Err(unknown_form(graph, "the op does not scale one tensor by another", scaling));
    };
    let layer = layer.node;
    let [Some(input), Some(weights)] = [0, 1].map(|index| graph.data_input(layer, index)) else {
        return Err(no_layer(graph, scope, layer));
    };
    let mut checks = Checks { graph, shapes, layer };

    let depthwise = match graph.op(layer) {
        "DepthwiseConv2dNative" => {
            let dims = checks.depthwise_scale(weights)?;
            let scale = member(graph, scope, if has_scaling { "mul" } else { "Rsqrt" })?;
            Some((scale, dims))
        }
        "Conv2D" | "MatMul" => None,
        _ => return Err(no_layer(graph, scope, layer)),
    };
    if graph.op(scaling) != "Mul" {
        return Err(unknown_form(graph, "the op that should scale the layer's output is no Mul", scaling));
    }
    let weights_dims = checks.shape(weights);
    let scale_dims = match &depthwise {
        Some((_, dims)) => Some(dims.map(|dim| Some(i64::from(dim))).to_vec()),
        None => checks.shape(scale),
    };
    let folded = checks.elementwise(&format!("{scope}/mul_fold"), weights_dims.as_ref(), scale_dims.as_ref())?;
    checks.same_shape("the folded weights", weights_dims.as_ref(), folded.as_ref())?;
    check_operands(&mut checks, input, weights)?;

    let shift = member(graph, scope, "add_1")?;
    let Some(bias) = graph.data_input(shift, 1).filter(|_| canonical_op(graph.op(shift)) == "Add") else {
        return Err(unknown_form(graph, "the op that should shift the scaled output is no Add", shift));
    };
    let output = checks.shape(layer.into());
    let bias_dims = checks.shape(bias);
    let sum = checks.elementwise(&format!("{scope}/add_fold"), output.as_ref(), bias_dims.as_ref())?;
    checks.same_shape("the folded output", output.as_ref(), sum.as_ref())?;

    let end = find_end(graph, scope, shift)?;
    let replaced = checks.shape(shift.into());
    checks.same_shape("the folded output", replaced.as_ref(), sum.as_ref())?;
    check_read_once(graph, end, shift)?;
    checks.computes_the_same()?;

    let filter = folded.and_then(|dims| dims.iter().map(|dim| i32::try_from((*dim)?).ok()).collect());
    let depthwise = depthwise.map(|(scale, dims)| Depthwise { scale: scale.into(), dims, filter });
    Ok(Plan { scope: scope.to_owned(), layer, scaling, scale, shift, depthwise, end })
}

fn no_layer(graph: &Graph, scope: &str, node: NodeId) -> Refusal {
    let what = format!("what the batch norm '{scope}{GROUP}' normalises is no layer that can be folded");
    Refusal::fatal(FoldOutcome::NoLayer, graph.error(ErrorKind::Refused, what, node))
}

fn unknown_form(graph: &Graph, what: &str, node: NodeId) -> Refusal {
    Refusal::fatal(FoldOutcome::UnknownForm, graph.error(ErrorKind::Refused, what, node))
}

/// Whether input and weights of the layer go together, as far as TensorFlow 1.5 looks: without regard to data format
/// and transposition.
fn check_operands(checks: &mut Checks<'_>, input: TensorRef, weights: TensorRef) -> Result<(), Refusal> {
    let (rank, input_axis, weights_axis) =
        if checks.graph.op(checks.layer) == "MatMul" { (2, 1, 0) } else { (4, 3, 2) };
    let (input_dims, weights_dims) = (checks.shape(input), checks.shape(weights));
    let axis = |dims: &Option<Vec<Option<i64>>>, axis: usize| dims.as_ref()?.get(axis).copied().flatten();
    let fits = match (axis(&input_dims, input_axis), axis(&weights_dims, weights_axis)) {
        (Some(input), Some(weights)) => input == weights,
        _ => true,
    };
    let has_rank = |dims: &Option<Vec<Option<i64>>>| dims.as_ref().is_none_or(|dims| dims.len() == rank);
    if fits && has_rank(&input_dims) && has_rank(&weights_dims) {
        return Ok(());
    }
    let (input, weights) = (shape_text(input_dims.as_ref()), shape_text(weights_dims.as_ref()));
    Err(checks.refuse(FoldOutcome::ShapeMismatch, format!("input {input} and weights {weights} do not fit folding")))
}

/// What is to read the folded output: the activation of the scope, or else the bypass Add of the scope above.
fn find_end(graph: &Graph, scope: &str, shift: NodeId) -> Result<NodeId, Refusal> {
    if let Some(activation) = endpoint_activation(graph, scope) {
        return Ok(activation);
    }
    let Some((above, _)) = scope.trim_end_matches('/').rsplit_once('/') else {
        let what = format!("no activation ends the layer '{scope}', nor is there a scope above it with a bypass Add");
        return Err(Refusal::fatal(FoldOutcome::NoActivation, graph.error(ErrorKind::Refused, what, shift)));
    };
    let name = format!("{above}/Add");
    graph.find(&name).ok_or_else(|| missing(graph, scope, &name, FoldOutcome::NoActivation))
}

/// Exactly one input of the activation or Add must read the batch norm's output.
fn check_read_once(graph: &Graph, end: NodeId, shift: NodeId) -> Result<(), Refusal> {
    let reads = reading_slots(graph, end, shift).count();
    if reads == 1 {
        return Ok(());
    }
    let what =
        format!("the batch norm's output '{}' must be read once here, but is read {reads} times", graph.name(shift));
    let outcome = if reads == 0 { FoldOutcome::NoActivation } else { FoldOutcome::ExtraConsumer };
    Err(Refusal::fatal(outcome, graph.error(ErrorKind::Refused, what, end)))
}

/// The input slots of `end` that hold the first output of `shift`.
fn reading_slots(graph: &Graph, end: NodeId, shift: NodeId) -> impl Iterator<Item = usize> + '_ {
    let output = Input::Data(shift.into());
    graph.uses(shift).filter(move |usage| usage.consumer == end && usage.input == output).map(|usage| usage.slot)
}

/// Adds the folded layer; returns the name of the node that replaces the batch norm's output.
fn insert(b: &mut Builder<'_>, plan: &Plan) -> Result<String> {
    let scope = &plan.scope;
    let tensor = |b: &Builder<'_>, node, index| {
        b.graph
            .data_input(node, index)
            .ok_or_else(|| b.graph.error(ErrorKind::InvalidGraph, "an input is missing", node))
    };
    let (input, weights) = (tensor(b, plan.layer, 0)?, tensor(b, plan.layer, 1)?);
    let bias = tensor(b, plan.shift, 1)?;
    let scale = match &plan.depthwise {
        Some(depthwise) => {
            let data_type = b.graph.attr_type(plan.scaling, "T").unwrap_or(DataType::DtFloat as i32);
            b.reshape(&format!("{scope}/scale_reshape"), depthwise.scale, &depthwise.dims, data_type)?
        }
        None => plan.scale,
    };
    let weights = b.clone_op(&format!("{scope}/mul_fold"), plan.scaling, &[weights, scale])?;
    let name = format!("{}_Fold", b.graph.name(plan.layer));
    let folded = match &plan.depthwise {
        Some(depthwise) => b.clone_depthwise(&name, plan.layer, [input, weights], depthwise.filter.as_deref())?,
        None => b.clone_op(&name, plan.layer, &[input, weights])?,
    };
    let output = b.clone_op(&format!("{scope}/add_fold"), plan.shift, &[folded, bias])?;
    let slots: Vec<usize> = reading_slots(b.graph, plan.end, plan.shift).collect();
    for slot in slots {
        b.graph.set_input(plan.end, slot, Input::Data(output));
    }
    Ok(b.graph.name(output.node).to_owned())
}
