//! Activations that the reference does not know.
//!
//! # What it does
//! Quantizes the output of LeakyRelu, Elu, Selu, Sigmoid and Tanh; of Relu1, as Minimum and Maximum with 1 and -1 in any
//! order; and of a hard swish that ends in a division by 6.
//!
//! # When it applies
//! Where the activation reads a quantized tensor, also through a Reshape, a pooling and the like. The range starts at
//! -6 to 6, as for every tensor that may be negative.
//!
//! # What it leaves alone
//! What fake quantizers read already. A hard swish that ends in a multiplication, which the reference quantizes.
//!
//! # Example
//! `BiasAdd → act_quant → LeakyRelu → next` gets `LeakyRelu/activation_LeakyRelu_quant` between `LeakyRelu` and `next`.

use crate::graph::{Graph, NodeId, TensorRef};

/// The tensor that the activation reads which the node ends.
pub(in crate::passes) fn input(graph: &Graph, node: NodeId) -> Option<TensorRef> {
    match graph.op(node) {
        "LeakyRelu" | "Elu" | "Selu" | "Sigmoid" | "Tanh" => graph.data_input(node, 0),
        "Minimum" | "Maximum" => relu1_input(graph, node),
        "RealDiv" | "Div" => hard_swish_input(graph, node),
        _ => None,
    }
}

/// The operand of a binary op that is no constant, and the constant.
fn with_constant(graph: &Graph, node: NodeId) -> Option<(TensorRef, f32)> {
    let (x, y) = (graph.data_input(node, 0)?, graph.data_input(node, 1)?);
    graph.const_float(y).map(|number| (x, number)).or_else(|| graph.const_float(x).map(|number| (y, number)))
}

#[allow(clippy::float_cmp)] // the numbers stand in the graph as they are
fn relu1_input(graph: &Graph, node: NodeId) -> Option<TensorRef> {
    let (inner, outer_bound) = with_constant(graph, node)?;
    let (input, inner_bound) = with_constant(graph, inner.node)?;
    let bounds = |node: NodeId, bound: f32| match graph.op(node) {
        "Minimum" => bound == 1.0,
        "Maximum" => bound == -1.0,
        _ => false,
    };
    let clips = graph.op(node) != graph.op(inner.node) && bounds(node, outer_bound) && bounds(inner.node, inner_bound);
    clips.then_some(input)
}

/// The tensor that was there before this run put quantizers behind it, delayed or not.
fn behind_quantizers(graph: &Graph, mut tensor: TensorRef) -> TensorRef {
    let is_quantizer = |node| matches!(graph.op(node), "FakeQuantWithMinMaxVars" | "Merge" | "Switch");
    while !graph.is_original(tensor.node) && is_quantizer(tensor.node) {
        match graph.data_input(tensor.node, 0) {
            Some(input) => tensor = input,
            None => break,
        }
    }
    tensor
}

/// `x * relu6(x + 3) / 6`.
#[allow(clippy::float_cmp)] // as above
fn hard_swish_input(graph: &Graph, node: NodeId) -> Option<TensorRef> {
    let product = behind_quantizers(graph, graph.data_input(node, 0)?).node;
    if graph.const_float(graph.data_input(node, 1)?)? != 6.0 || graph.op(product) != "Mul" {
        return None;
    }
    let factors = [graph.data_input(product, 0)?, graph.data_input(product, 1)?];
    let gate_input = |gate: TensorRef| {
        let gate = behind_quantizers(graph, gate);
        let sum = graph.data_input(gate.node, 0).filter(|_| graph.op(gate.node) == "Relu6")?;
        let sum = behind_quantizers(graph, sum).node;
        let (input, shift) = with_constant(graph, sum)?;
        (matches!(graph.op(sum), "Add" | "AddV2") && shift == 3.0).then_some(input)
    };
    factors.into_iter().find_map(gate_input)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::attr::Tensor;
    use crate::graph::samples::Sample;

    #[test]
    fn activations_of_several_ops_are_recognised_by_their_numbers() {
        let mut sample = Sample::new();
        let mut add = |op: &str, inputs: &[TensorRef], number: f32| {
            sample.add(op, inputs, |attrs| attrs.tensor("value", &Tensor::Float(number)))
        };
        let x = add("BiasAdd", &[], 0.0);
        let [one, minus_one, three, six] = [1.0, -1.0, 3.0, 6.0].map(|number| add("Const", &[], number));
        let low = add("Maximum", &[x, minus_one], 0.0);
        let relu1 = add("Minimum", &[one, low], 0.0);
        let clip6 = add("Minimum", &[low, six], 0.0);
        let sum = add("AddV2", &[x, three], 0.0);
        let gate = add("Relu6", &[sum], 0.0);
        let product = add("Mul", &[x, gate], 0.0);
        let swish = add("RealDiv", &[product, six], 0.0);
        let third = add("RealDiv", &[product, three], 0.0);
        let leaky = add("LeakyRelu", &[x], 0.0);
        let read = [relu1, clip6, swish, third, leaky, low].map(|tensor| input(&sample.0, tensor.node));
        assert_eq!(read, [Some(x), None, Some(x), None, Some(x), None]);
    }
}
