//! The biases of a network's layers: where they are, and new ones where there are none.
//!
//! # What it leaves alone
//! Layers in loops, layers that share their weights, and layers whose result is scaled or mixed before a bias comes; each
//! with the reason.

use super::constants::Constants;
use super::network::{Ends, Layer, hands_channels_on, weights};
use super::new_nodes::{add_node, constant};
use crate::error::Result;
use crate::graph::attr::Tensor as Value;
use crate::graph::loops::Loops;
use crate::graph::op_class::canonical_op;
use crate::graph::shape::ShapeCache;
use crate::graph::{Graph, Input, NodeId, TensorRef};
use crate::proto::tensorflow::DataType;

/// What is added to the channels of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bias {
    /// The layer.
    pub layer: NodeId,
    /// The op that adds.
    pub node: NodeId,
    /// Which of its inputs the constant is.
    pub slot: usize,
    /// The constant.
    pub tensor: TensorRef,
    /// Whether channels are the second dimension instead of the last.
    pub channels_first: bool,
}

/// The biases of all layers with constant weights, in the order in which they run, or why there is none.
pub(crate) fn biases(graph: &Graph, outputs: &[TensorRef]) -> Vec<(NodeId, Result<Bias, &'static str>)> {
    let order = graph.run_order();
    let constants = Constants::of(graph, &order);
    let loops = Loops::new(graph, &order);
    let ends = Ends::new(graph, outputs);
    let of = |&layer: &NodeId| {
        Layer::of(graph, layer)?;
        let tensor = weights(graph, layer).filter(|tensor| constants.contain(tensor.node))?;
        if graph.tensor_type(tensor) != Some(DataType::DtFloat) || constants.contain(layer) {
            return None;
        }
        Some((layer, bias(graph, &constants, &ends, &loops, layer)))
    };
    order.iter().filter_map(of).collect()
}

fn bias(
    graph: &Graph,
    constants: &Constants,
    ends: &Ends<'_>,
    loops: &Loops,
    layer: NodeId,
) -> Result<Bias, &'static str> {
    if loops.contain(layer) {
        return Err("it is in a loop");
    }
    let mut last = layer;
    while let Some(reader) = ends.only_reader(last) {
        let op = canonical_op(graph.op(reader));
        let reads_in = |slot: usize| graph.data_input(reader, slot) == Some(last.into());
        if matches!(op, "BiasAdd" | "Add") {
            let slot = usize::from(reads_in(0));
            let operand = graph.data_input(reader, slot).filter(|operand| constants.contain(operand.node));
            let Some(tensor) = operand.filter(|_| reads_in(1 - slot)) else { break };
            if ends.only_reader(tensor.node) != Some(reader) {
                return Err("its bias is read by others too");
            }
            // Behind the layer itself, BiasAdd says where channels are; Add has them in the last dimension or not at all.
            let format = graph.attr_str(if op == "BiasAdd" { reader } else { layer }, "data_format");
            let channels_first = format.is_some_and(|format| format == "NCHW");
            if channels_first && op != "BiasAdd" {
                return Err("its bias is no BiasAdd, and channels come first");
            }
            return Ok(Bias { layer, node: reader, slot, tensor, channels_first });
        }
        if !hands_channels_on(op) || !reads_in(0) {
            break;
        }
        last = reader;
    }
    Err(NONE)
}

const NONE: &str = "it has no bias";

/// Gives each layer that has no bias one of zeros, where nothing stands against it.
///
/// # Errors
/// Those of inserting nodes.
pub(crate) fn give_biases(graph: &mut Graph, outputs: &[TensorRef]) -> Result<()> {
    let lacking: Vec<NodeId> =
        biases(graph, outputs).into_iter().filter(|(_, bias)| *bias == Err(NONE)).map(|(layer, _)| layer).collect();
    let mut shapes = ShapeCache::default();
    let mut given = Vec::new();
    for layer in lacking {
        let (Some(kind), Some(tensor)) = (Layer::of(graph, layer), weights(graph, layer)) else { continue };
        let dims = graph.complete_shape_with(tensor, &mut shapes).unwrap_or_default();
        let dims: Vec<usize> = dims.into_iter().filter_map(|dim| usize::try_from(dim).ok()).collect();
        let is_alone = graph.consumers(tensor.node).count() == 1 && !outputs.contains(&layer.into());
        let is_plain = !matches!(graph.op(layer), "BatchMatMul" | "BatchMatMulV2" | "BatchMatMulV3");
        let channels = kind.channels(&dims).filter(|&(channels, _)| channels > 0 && is_alone && is_plain);
        given.extend(channels.map(|(channels, _)| (layer, channels)));
    }
    for (layer, channels) in given {
        let (name, device) = (graph.name(layer).to_owned(), graph.device(layer).to_owned());
        let format = graph.attr_str(layer, "data_format").filter(|format| format == "NCHW");
        let zeros = constant(graph, &format!("{name}/bias"), &Value::Floats(&vec![0.0; channels]))?;
        let readers: Vec<NodeId> = graph.tensor_consumers(layer.into()).collect();
        let inputs = [layer.into(), zeros];
        let format = format.as_deref().unwrap_or("NHWC");
        let added = add_node(graph, &format!("{name}/biased"), "BiasAdd", &device, inputs, Some(format))?;
        graph.reroute(layer.into(), added.into(), &readers);
    }
    Ok(())
}

/// Puts other numbers in the place of a bias.
///
/// # Errors
/// Those of inserting a node.
pub(crate) fn set_bias(graph: &mut Graph, bias: &Bias, numbers: &[f32]) -> Result<()> {
    let name = format!("{}/corrected", graph.name(bias.tensor.node));
    let new = constant(graph, &name, &Value::Floats(numbers))?;
    graph.set_input(bias.node, bias.slot, Input::Data(new));
    Ok(())
}
