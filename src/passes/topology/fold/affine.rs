//! Batch norms made of single ops, recognised by structure: [`crate::passes::extensions::fold_affine`].
//!
//! What was looked for by name and refused gets its second chance here; what is no chain, but normalises by the batch, is
//! told of.

use hashbrown::{HashMap, HashSet};

use super::Pass;
use super::clone::{Keeping, batch_to_space, check_layer, clone_layer, squeeze};
use super::layout::{along_channels, scale_dims};
use super::unfused::Named;
use crate::error::{ErrorKind, Result};
use crate::graph::name::{before_last, leaf, parent};
use crate::graph::op_class::{FOLDING_LAYERS, takes_batch_norm};
use crate::graph::{Graph, Input, NodeId, TensorRef};
use crate::nodes::Builder;
use crate::passes::batch_norms::{layer_before, no_layer};
use crate::passes::consumers::is_skipped;
use crate::passes::decisions::{BatchNorm, Extension, FoldOutcome, Refusal};
use crate::passes::extensions::fold_affine::{self, Chain, Step};
use crate::passes::extensions::{fold_layer_op, fold_switch};
use crate::proto::tensorflow::DataType;

/// Folds all of them; tells of those found by name as well.
pub(super) fn fold(b: &mut Builder<'_>, pass: &mut Pass<'_>, mut named: Vec<Named>) -> Result<Vec<BatchNorm>> {
    if pass.keeping == Keeping::AsReference {
        return Ok(named.into_iter().map(|named| named.batch_norm).collect());
    }
    let by_scope: HashMap<String, usize> =
        named.iter().enumerate().map(|(index, named)| (named.scope.clone(), index)).collect();
    let mut seen: HashSet<NodeId> = named.iter().filter_map(|named| named.end).collect();
    let mut inside = Inside::default();
    let mut report = Vec::new();
    for node in b.operations() {
        if !b.graph.is_original(node) || seen.contains(&node) || is_skipped(b.graph.name(node)) {
            continue;
        }
        let named_as_this = || scope_of(b.graph.name(node)).and_then(|scope| by_scope.get(scope)).copied();
        let known = if by_scope.is_empty() { None } else { named_as_this() };
        if let Some(chain) = pass.finder(b.graph).chain(node) {
            if chain.nodes.iter().any(|node| seen.contains(node)) {
                continue;
            }
            seen.extend(chain.nodes.iter().copied());
            let was_decided = known.is_some_and(|index| named[index].refusal.is_none());
            if was_decided {
                continue;
            }
            let mut batch_norm = match known {
                Some(index) => named[index].batch_norm.clone(),
                None => BatchNorm::new(group(b.graph, chain.root()), "batchnorm", FoldOutcome::Folded),
            };
            fold_chain(b, pass, &mut inside, &chain, &mut batch_norm)?;
            match known {
                Some(index) => {
                    named[index].batch_norm = batch_norm;
                    named[index].refusal = None;
                }
                None => report.push(batch_norm),
            }
        } else if known.is_none()
            && let Some(batch_norm) = left(b.graph, pass, node)
        {
            report.push(batch_norm);
        }
    }
    for mut named in named {
        if let Some(refusal) = named.refusal {
            named.batch_norm.record_refusal(refusal, pass.common.skip_unmatched)?;
        }
        report.push(named.batch_norm);
    }
    Ok(report)
}

/// The scope by which a batch norm was looked for, of a node of it.
fn scope_of(name: &str) -> Option<&str> {
    before_last(name, "BatchNorm/batchnorm")
}

/// What a batch norm is called: the scope of its ops, or the last of them where that says nothing.
fn group(graph: &Graph, root: NodeId) -> String {
    let name = graph.name(root);
    parent(name).filter(|scope| leaf(scope).to_ascii_lowercase().contains("norm")).unwrap_or(name).to_owned()
}

/// Folds one, or says why not.
fn fold_chain(
    b: &mut Builder<'_>,
    pass: &mut Pass<'_>,
    inside: &mut Inside,
    chain: &Chain,
    batch_norm: &mut BatchNorm,
) -> Result<()> {
    let layer = b.graph.name(chain.of.layer).to_owned();
    let is_selected = pass.common.selection.contains(&layer);
    batch_norm.layer = Some(layer);
    if !is_selected {
        batch_norm.outcome = FoldOutcome::NotSelected;
    } else if pass.loops.contain(chain.root()) {
        batch_norm.outcome = FoldOutcome::InsideLoop;
    } else if b.graph.tensor_consumers(chain.root().into()).next().is_none() {
        batch_norm.outcome = FoldOutcome::NotRead;
    } else if let Err(refusal) = check(b, pass, chain) {
        // The reference knows no such batch norm, so it is no reason to refuse the graph.
        batch_norm.record_refusal(refusal, true)?;
    } else {
        let output = insert(b, pass, inside, chain)?;
        batch_norm.record_folded(b.graph.name(output.node).to_owned());
        batch_norm.extension = Some(Extension::FoldAffine);
        pass.unread.extend(chain.nodes.iter().copied());
    }
    Ok(())
}

fn check(b: &Builder<'_>, pass: &mut Pass<'_>, chain: &Chain) -> Result<(), Refusal> {
    let (graph, layer) = (&*b.graph, chain.of.layer);
    check_layer(b, pass.keeping, layer).map_err(|error| Refusal::fatal(FoldOutcome::UnknownForm, error))?;
    let weights = graph.data_input(layer, 1);
    for tensor in chain.steps.iter().map(|step| step.operand()).chain(weights) {
        let data_type = b.number_type(tensor);
        if data_type != DataType::DtFloat {
            let what = format!("'{}' is {}, not DT_FLOAT", graph.tensor_name(tensor), data_type.as_str_name());
            return Err(Refusal::fatal(FoldOutcome::NotFloat, graph.error(ErrorKind::Refused, what, layer)));
        }
    }
    if let Some(back) = chain.of.batch_to_space
        && let Some((axis, _)) = fold_affine::output_axes(graph, chain.of)
        && !crate::passes::extensions::fold_layout::spares_channels(graph, &mut pass.shapes.cache, back, axis)
    {
        let what = "blocks of channels are put back from batches to space";
        return Err(Refusal::fatal(FoldOutcome::Atrous, graph.error(ErrorKind::Refused, what, back)));
    }
    Ok(())
}

/// Adds the folded layer and lets the readers of the chain read it.
fn insert(b: &mut Builder<'_>, pass: &mut Pass<'_>, inside: &mut Inside, chain: &Chain) -> Result<TensorRef> {
    let (layer, keeping) = (chain.of.layer, pass.keeping);
    let name = b.graph.name(layer).to_owned();
    let scope = parent(&name).map(str::to_owned);
    let missing = |b: &Builder<'_>| b.graph.error(ErrorKind::InvalidGraph, "an input is missing", layer);
    let (Some(input), Some(weights)) = (fold_layer_op::data(b.graph, layer), b.graph.data_input(layer, 1)) else {
        return Err(missing(b));
    };
    let output = b.existing_scope(scope.as_deref(), |b| {
        let parameters = |b: &mut Builder<'_>| parameters(b, pass, inside, chain);
        let (mut scale, shift) = match &scope {
            Some(scope) => b.existing_scope(Some(&format!("{scope}/BatchNorm_Fold")), parameters)?,
            None => b.name_scope("BatchNorm_Fold", parameters)?,
        };
        if let Some(dims) = scale_dims(b, &mut pass.shapes, keeping, [layer, layer], weights)? {
            scale = b.reshape("scale_reshape", scale, &dims, DataType::DtFloat as i32)?;
        }
        let weights = b.binary("Mul", "mul_fold", weights, scale)?;
        let clone = format!("{}_Fold", leaf(&name));
        let mut output = clone_layer(b, &mut pass.shapes, keeping, layer, &clone, [input, weights])?;
        if let Some(like) = chain.of.squeeze {
            let name = format!("{}_Fold", leaf(b.graph.name(like)));
            output = squeeze(b, &name, output, like)?;
        }
        if let Some(like) = chain.of.batch_to_space {
            let name = format!("{}_Fold", leaf(b.graph.name(like)));
            output = batch_to_space(b, &name, output, like)?;
        }
        let shift = along_channels(b, keeping, layer, "bias_reshape", shift)?;
        b.binary("Add", "add_fold", output, shift)
    })?;
    let replaced = TensorRef::from(chain.root());
    let mut readers: Vec<NodeId> = b.graph.tensor_consumers(replaced).collect();
    readers.sort_unstable();
    readers.dedup();
    b.graph.reroute(replaced, output, &readers);
    Ok(output)
}

/// All scales in one vector, and all shifts.
fn parameters(
    b: &mut Builder<'_>,
    pass: &mut Pass<'_>,
    inside: &mut Inside,
    chain: &Chain,
) -> Result<(TensorRef, TensorRef)> {
    let (mut scale, mut shift) = (None, None);
    for &step in &chain.steps {
        let operand = inside.leave(b, pass, step.operand())?;
        let axes = pass.shapes.of(b.graph, step.operand()).map_or(1, |dims| dims.len());
        let operand = crate::passes::extensions::fold_bias::as_vector(b, axes, operand)?;
        match (step, shift) {
            (Step::Add(_), None) => shift = Some(operand),
            (Step::Add(_), Some(before)) => shift = Some(b.binary("AddV2", "shift", before, operand)?),
            (Step::Subtract(_), None) => shift = Some(b.unary("Neg", "shift", operand)?),
            (Step::Subtract(_), Some(before)) => shift = Some(b.binary("Sub", "shift", before, operand)?),
            (Step::Multiply(_) | Step::Divide(_), _) => {
                let op = if matches!(step, Step::Multiply(_)) { "Mul" } else { "RealDiv" };
                shift = shift.map(|before| b.binary(op, "shift", before, operand)).transpose()?;
                scale = Some(match scale {
                    Some(before) => b.binary(op, "scale", before, operand)?,
                    None if op == "Mul" => operand,
                    None => b.unary("Reciprocal", "scale", operand)?,
                });
            }
        }
    }
    // A chain has a scale and ends with a shift.
    let at = chain.root();
    scale
        .zip(shift)
        .ok_or_else(|| b.graph.error(ErrorKind::InvalidGraph, "the batch norm does not scale and shift", at))
}

/// Where parameters come out of conditionals in eval mode. Each node is looked at once.
#[derive(Default)]
struct Inside {
    seen: HashSet<NodeId>,
    outside: HashMap<TensorRef, TensorRef>,
}

impl Inside {
    /// The parameter, computed from what the branches of inference yield.
    fn leave(&mut self, b: &mut Builder<'_>, pass: &Pass<'_>, parameter: TensorRef) -> Result<TensorRef> {
        if !pass.stored.has_choices() {
            return Ok(parameter);
        }
        let mut waiting = vec![parameter.node];
        while let Some(node) = waiting.pop() {
            if !self.seen.insert(node) {
                continue;
            }
            let slots = b.graph.inputs(node).len();
            for slot in 0..slots {
                let input = b.graph.inputs(node).nth(slot);
                let Some(Input::Data(tensor)) = input else { continue };
                if let Some(outside) = self.of_merge(b, pass, tensor)? {
                    b.graph.set_input(node, slot, Input::Data(outside));
                } else if pass.stored.holds(tensor.node) {
                    waiting.push(tensor.node);
                }
            }
        }
        Ok(self.of_merge(b, pass, parameter)?.unwrap_or(parameter))
    }

    fn of_merge(&mut self, b: &mut Builder<'_>, pass: &Pass<'_>, tensor: TensorRef) -> Result<Option<TensorRef>> {
        let Some(chosen) = pass.stored.chosen(tensor.node) else { return Ok(None) };
        if let Some(&outside) = self.outside.get(&tensor) {
            return Ok(Some(outside));
        }
        let outside = fold_switch::outside(b, chosen)?;
        self.outside.insert(tensor, outside);
        Ok(Some(outside))
    }
}

/// A batch norm that ends at the node and stays: it scales by one over a deviation per channel, and shifts.
fn left(graph: &Graph, pass: &mut Pass<'_>, node: NodeId) -> Option<BatchNorm> {
    if !matches!(graph.op(node), "Add" | "AddV2" | "Sub") {
        return None;
    }
    let (normalised, deviation) = graph.data_inputs(node).find_map(|input| normalised(graph, pass, input.node))?;
    let mut batch_norm = BatchNorm::new(group(graph, node), "batchnorm", FoldOutcome::NoLayer);
    let layer = layer_before(graph, normalised);
    batch_norm.layer = layer.map(|layer| graph.name(layer).to_owned());
    if !layer.is_some_and(|layer| takes_batch_norm(graph.op(layer))) {
        batch_norm.detail = Some(no_layer(graph, normalised, FOLDING_LAYERS));
    } else if pass.stored.holds(deviation) {
        batch_norm.outcome = FoldOutcome::UnknownForm;
        let what = "what is between layer and batch norm is not known, or the channels are not on the layer's axis";
        batch_norm.detail = Some(what.to_owned());
    } else {
        batch_norm.outcome = FoldOutcome::TrainingMode;
        batch_norm.detail = Some(
            "it normalises by the batch, or a placeholder decides; --mode eval takes the branch of inference, and a graph \
             without one must be exported for inference"
                .to_owned(),
        );
    }
    Some(batch_norm)
}

/// What a product scales by one over a deviation, which has one element per channel.
fn normalised(graph: &Graph, pass: &mut Pass<'_>, product: NodeId) -> Option<(TensorRef, NodeId)> {
    if graph.op(product) != "Mul" {
        return None;
    }
    let factors = [graph.data_input(product, 0)?, graph.data_input(product, 1)?];
    let (normalised, scale) = match factors.map(|factor| deviation(graph, factor.node)) {
        [None, Some(scale)] => (factors[0], scale),
        [Some(scale), None] => (factors[1], scale),
        _ => return None,
    };
    let of_vector = |dims: &[Option<i64>]| match dims {
        [Some(channels)] => *channels > 1,
        [rest @ .., Some(channels)] => *channels > 1 && rest.iter().all(|&dim| dim == Some(1)) && rest.len() == 3,
        _ => false,
    };
    let is_vector = pass.shapes.of(graph, scale.into()).is_some_and(|dims| of_vector(&dims));
    // The mean is scaled as well.
    let is_output = pass.shapes.of(graph, normalised).is_some_and(|dims| dims.len() > 1);
    (is_vector && is_output && !pass.stored.holds(normalised.node)).then_some((normalised, scale))
}

/// The Rsqrt of a scale that is one, or gamma times one.
fn deviation(graph: &Graph, scale: NodeId) -> Option<NodeId> {
    match graph.op(scale) {
        "Rsqrt" => Some(scale),
        "Mul" => graph.data_inputs(scale).map(|input| input.node).find(|&node| graph.op(node) == "Rsqrt"),
        _ => None,
    }
}
