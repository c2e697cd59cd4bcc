//! How near each tensor of a quantized graph is to the float one's that it was made of.

use hashbrown::HashSet;
use serde::Serialize;

use super::correct::Setup;
use super::fidelity::{Fidelity, Pair, Side, measure};
use crate::error::Result;
use crate::graph::{Graph, TensorRef};
use crate::interpreter::{Limits, Plan};
use crate::passes::integer::Range;
use crate::passes::integer::constants::Constants;
use crate::passes::integer::network::Layer;

/// A tensor of the quantized model, beside the float one's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeasuredTensor {
    /// The tensor.
    pub tensor: String,
    /// The op that makes it.
    pub op: String,
    /// The layer that is computed together with that op, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// The fake quantizer that it went through, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Whether it is an output of the model.
    pub is_output: bool,
    /// How near it is.
    #[serde(flatten)]
    pub fidelity: Fidelity,
}

/// A tensor with a range, by which both graphs are measured.
#[derive(Debug, Clone)]
pub(super) struct Point {
    /// The tensor of the float graph.
    pub tensor: TensorRef,
    /// The fake quantizer's name.
    pub node: String,
    pub range: Range,
    /// The tensor to look at instead in both graphs: what clips behind it.
    pub behind: Option<TensorRef>,
}

/// Setup both graphs on the samples; `ends` are the outputs in each.
pub(super) fn measured(
    graphs: [&Graph; 2],
    points: &[Point],
    ends: [&[TensorRef]; 2],
    setup: &Setup<'_>,
    done: &(dyn Fn(usize) -> bool + Sync),
) -> Result<Vec<MeasuredTensor>> {
    let [float, quantized] = graphs;
    let constants = Constants::of(float, &float.run_order());
    let ranged: HashSet<TensorRef> = points.iter().map(|point| point.tensor).collect();
    let mut pairs = Vec::new();
    let mut told = Vec::new();
    for point in points.iter().filter(|point| !constants.contain(point.tensor.node)) {
        let Some(quantizer) = quantized.find(&point.node) else { continue };
        let tensors = point.behind.map_or([point.tensor, quantizer.into()], |behind| [behind; 2]);
        pairs.push(Pair { tensors, range: Some(point.range) });
        told.push((point.tensor, Some(point.node.clone()), ends[0].contains(&point.tensor)));
    }
    for (&end, &other) in ends[0].iter().zip(ends[1]).filter(|(end, _)| !ranged.contains(*end)) {
        pairs.push(Pair { tensors: [end, other], range: None });
        told.push((end, None, true));
    }
    let limits = Limits { memory: setup.limits.memory / 2, ..*setup.limits };
    let plan = |side: usize| Plan::new(graphs[side], setup.inputs, ends[side], &limits);
    let plans = [plan(0)?, plan(1)?];
    let side = |side: usize| Side { plan: &plans[side], feeds: setup.feeds, inputs: setup.inputs };
    let (fidelities, _) = measure::<()>(&[side(0), side(1)], &pairs, setup.threads, &|(), _, _| Ok(()), done)?;
    let measured = told.into_iter().zip(fidelities).filter_map(|((tensor, node, is_output), fidelity)| {
        Some(MeasuredTensor {
            tensor: float.tensor_name(tensor),
            op: float.op(tensor.node).to_owned(),
            layer: layer_of(float, &constants, &ranged, tensor).map(str::to_owned),
            node,
            is_output,
            fidelity: fidelity?,
        })
    });
    Ok(measured.collect())
}

/// The layer that the tensor is made by, before anything that has a range of its own.
fn layer_of<'g>(
    graph: &'g Graph,
    constants: &Constants,
    ranged: &HashSet<TensorRef>,
    mut tensor: TensorRef,
) -> Option<&'g str> {
    const MAX_STEPS: usize = 16;
    for _ in 0..MAX_STEPS {
        if Layer::of(graph, tensor.node).is_some() {
            return Some(graph.name(tensor.node));
        }
        tensor = graph.data_inputs(tensor.node).find(|input| !constants.contain(input.node))?;
        if ranged.contains(&tensor) {
            return None;
        }
    }
    None
}
