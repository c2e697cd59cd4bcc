//! Fake quantizers whose ranges are constants.

use super::new_nodes::constant_at;
use crate::error::Result;
use crate::graph::attr::{Attrs, Tensor as Value};
use crate::graph::{Graph, Input, NewNode, NodeId, TensorRef};
use crate::passes::output_names::{QuantizedOutput, keep};

/// A tensor's range. Zero is always inside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// The lower end.
    pub min: f32,
    /// The upper end.
    pub max: f32,
}

/// A fake quantizer to insert.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FakeQuant<'a> {
    pub name: &'a str,
    pub input: TensorRef,
    /// One, or one for each channel.
    pub ranges: &'a [Range],
    /// Whether there is a range for each channel, of which there may be one.
    pub per_channel: bool,
    pub bits: u8,
    pub narrow_range: bool,
    /// In a loop's body, a node of it.
    pub pivot: Option<NodeId>,
}

impl FakeQuant<'_> {
    /// Adds it, and the constants that hold its range. Nobody reads it yet.
    pub(crate) fn insert(&self, graph: &mut Graph) -> Result<NodeId> {
        let name = graph.free_name(self.name);
        let mut end = |what: &str, of: fn(&Range) -> f32| {
            let numbers: Vec<f32> = self.ranges.iter().map(of).collect();
            let value = match numbers[..] {
                [number] if !self.per_channel => Value::Float(number),
                _ => Value::Floats(&numbers),
            };
            constant_at(graph, &format!("{name}/{what}"), &value, self.pivot)
        };
        let (min, max) = (end("min", |range| range.min)?, end("max", |range| range.max)?);
        let op = if self.per_channel { "FakeQuantWithMinMaxVarsPerChannel" } else { "FakeQuantWithMinMaxVars" };
        let mut attrs = Attrs::default();
        attrs.bool("narrow_range", self.narrow_range).int("num_bits", i64::from(self.bits));
        let inputs = [self.input, min, max].map(Input::Data);
        graph.insert(NewNode { name: &name, op, device: "", inputs: &inputs, attrs: attrs.as_bytes() })
    }
}

/// What the fake quantizer of an activation is called, where the name is free.
pub(crate) fn quantizer_name(graph: &Graph, tensor: TensorRef) -> String {
    format!("{}/quant", graph.name(tensor.node))
}

/// Puts a fake quantizer between a tensor and everyone who reads it; an output of the network keeps its name.
///
/// # Errors
/// Those of inserting nodes.
pub(crate) fn quantize(
    graph: &mut Graph,
    tensor: TensorRef,
    range: Range,
    bits: u8,
    is_output: bool,
    pivot: Option<NodeId>,
) -> Result<NodeId> {
    // What a loop hands on unchanged stays so.
    let hands_on = |reader: NodeId| graph.op(tensor.node) == "Switch" && graph.op(reader) == "NextIteration";
    let readers: Vec<NodeId> = graph.tensor_consumers(tensor).filter(|&reader| !hands_on(reader)).collect();
    let name = quantizer_name(graph, tensor);
    let quant = FakeQuant {
        name: &name,
        input: tensor,
        ranges: &[range],
        per_channel: false,
        bits,
        narrow_range: false,
        pivot,
    };
    let node = quant.insert(graph)?;
    graph.reroute(tensor, node.into(), &readers);
    if is_output {
        keep(graph, &QuantizedOutput { tensor, quantized: node.into() })?;
    }
    Ok(node)
}
