//! Whether a network expects other numbers than it is fed: whole ones from 0 to 255 where it was trained on scaled ones.
//!
//! A network that scales images itself does so before its first layer. One that does not may still have been trained on
//! what images hold; then the batch norm behind its first layer says so, whose moving mean is what that layer made of the
//! data. Where neither speaks for the data, they are most likely not those that the network was trained on.

use super::look::Fed;
use crate::error::Result;
use crate::graph::op_class::{canonical_op, is_fused_batch_norm};
use crate::graph::{Graph, NodeId, TensorRef, only};
use crate::interpreter::{Limits, Tensor};
use crate::passes::integer::constants::{Constants, evaluate};
use crate::passes::integer::network::{Layer, weights};
use crate::proto::tensorflow::DataType;

/// How many nodes may lie between an input and its first layers.
const MOST: usize = 256;
/// Of what a layer makes of the data, the least part that the batch norm behind it must have seen.
const LEAST_PART: f64 = 0.5;

/// Whether the input is fed with pixels as files hold them, and the network neither scales them nor was trained on them.
///
/// # Errors
/// Those of computing constants.
pub(super) fn expects_scaled(graph: &Graph, input: TensorRef, fed: &Fed, limits: &Limits) -> Result<bool> {
    let are_pixels = fed.whole_numbers && fed.min >= 0.0 && fed.max <= 255.0 && fed.max - fed.min > 100.0;
    let is_float = graph.tensor_type(input) == Some(DataType::DtFloat);
    if !are_pixels || !is_float || fed.shape.len() < 2 {
        return Ok(false);
    }
    let Some(layers) = first_layers(graph, input) else { return Ok(false) };
    let constants = Constants::of(graph, &graph.run_order());
    for &layer in &layers {
        if let Some(norm) = Norm::behind(graph, &constants, layer)
            && norm.part_seen(graph, fed.mean, limits)?.is_some_and(|part| part >= LEAST_PART)
        {
            return Ok(false);
        }
    }
    Ok(!layers.is_empty())
}

/// The layers that read the input as it is fed; none if anything computes with it before.
fn first_layers(graph: &Graph, input: TensorRef) -> Option<Vec<NodeId>> {
    let (mut layers, mut seen, mut waiting) = (Vec::new(), 0, vec![input]);
    while let Some(tensor) = waiting.pop() {
        for reader in graph.tensor_consumers(tensor) {
            seen += 1;
            match graph.op(reader) {
                _ if seen > MOST => return None,
                _ if Layer::of(graph, reader).is_some() => layers.push(reader),
                op if keeps_values(op) => waiting.push(reader.into()),
                "Shape" | "ShapeN" | "Rank" | "Size" | "NoOp" => {}
                _ => return None,
            }
        }
    }
    Some(layers)
}

fn keeps_values(op: &str) -> bool {
    matches!(
        op,
        "Identity"
            | "IdentityN"
            | "StopGradient"
            | "PlaceholderWithDefault"
            | "CheckNumerics"
            | "Reshape"
            | "Squeeze"
            | "ExpandDims"
            | "Transpose"
            | "Pad"
            | "PadV2"
            | "MirrorPad"
            | "Slice"
            | "StridedSlice"
            | "ReverseV2"
            | "ConcatV2"
            | "Pack"
            | "ResizeBilinear"
            | "ResizeNearestNeighbor"
            | "SpaceToDepth"
            | "SpaceToBatchND"
            | "MaxPool"
    )
}

/// What a layer computes with, and the mean of what it made in training.
struct Norm {
    layer: Layer,
    weights: TensorRef,
    bias: Option<TensorRef>,
    mean: TensorRef,
}

impl Norm {
    fn behind(graph: &Graph, constants: &Constants, node: NodeId) -> Option<Self> {
        const MEAN: usize = 3;
        let (layer, weights) = (Layer::of(graph, node)?, weights(graph, node)?);
        let mut reader = only(graph.consumers(node))?;
        let mut bias = None;
        if matches!(canonical_op(graph.op(reader)), "BiasAdd" | "Add") {
            bias = graph.data_inputs(reader).find(|input| constants.contain(input.node));
            reader = only(graph.consumers(reader))?;
        }
        let mean = graph.data_input(reader, MEAN).filter(|_| is_fused_batch_norm(graph.op(reader)))?;
        let all = [Some(weights), bias, Some(mean)];
        let are_constant = all.iter().flatten().all(|tensor| constants.contain(tensor.node));
        are_constant.then_some(Self { layer, weights, bias, mean })
    }

    /// Of the mean that the layer makes of data with this mean, the part that is in the mean of its training. About one for
    /// the data of its training; about nothing for pixels if it was trained on scaled ones.
    fn part_seen(&self, graph: &Graph, mean: f64, limits: &Limits) -> Result<Option<f64>> {
        let values = evaluate(graph, [Some(self.weights), self.bias, Some(self.mean)].into_iter().flatten(), limits)?;
        let floats = |tensor: TensorRef| values.get(&tensor).and_then(Tensor::values::<f32>);
        let (Some(weights), Some(trained)) = (floats(self.weights), floats(self.mean)) else { return Ok(None) };
        let dims = values.get(&self.weights).map(Tensor::dims).unwrap_or_default();
        let Some((channels, stride)) = self.layer.channels(dims).filter(|&(channels, _)| channels == trained.len())
        else {
            return Ok(None);
        };
        let mut made = vec![0.0; channels];
        for (index, &weight) in weights.iter().enumerate() {
            made[index / stride % channels] += f64::from(weight) * mean;
        }
        for (made, &bias) in made.iter_mut().zip(self.bias.and_then(floats).unwrap_or_default()) {
            *made += f64::from(bias);
        }
        let product: f64 = made.iter().zip(trained).map(|(made, &trained)| made * f64::from(trained)).sum();
        let square: f64 = made.iter().map(|made| made * made).sum();
        Ok((square > 0.0).then(|| product / square))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples::graph_of;

    fn pixels() -> Fed {
        Fed { shape: vec![4, 4, 1], max: 255.0, mean: 120.0, whole_numbers: true, ..Fed::default() }
    }

    fn is_wrong(head: &str, fed: &Fed) -> bool {
        let graph = graph_of(&format!(
            "x = Placeholder [1,4,4,1]
             w = Const [1,1,1,1]
             two = Const 2.0
             {head}"
        ));
        let input = graph.find("x").unwrap().into();
        expects_scaled(&graph, input, fed, &Limits::default()).unwrap()
    }

    #[test]
    fn a_first_layer_without_scaling_before_it_expects_scaled_numbers() {
        let bare = "pad = Identity(x)\n conv = Conv2D(pad, w)";
        assert!(is_wrong(bare, &pixels()));
        let scaled = Fed { max: 1.0, whole_numbers: false, ..pixels() };
        assert!(!is_wrong(bare, &scaled));
        assert!(!is_wrong(bare, &Fed { whole_numbers: false, ..pixels() }));
        assert!(!is_wrong(bare, &Fed { min: -100.0, ..pixels() }));
        assert!(!is_wrong(bare, &Fed { shape: vec![4], ..pixels() }), "numbers of a table");
        for scaling in ["Mul", "Sub", "RealDiv", "AddV2"] {
            assert!(!is_wrong(&format!("own = {scaling}(x, two)\n conv = Conv2D(own, w)"), &pixels()), "{scaling}");
        }
        assert!(!is_wrong("conv = Conv2D(x, w)\n mean = Mean(x, two)\n", &pixels()));
    }

    #[test]
    fn a_batch_norm_that_has_seen_pixels_speaks_for_them() {
        let of_mean = |mean: f32| {
            format!(
                "one = Const [1]
                 number = Const {mean:?}
                 mean = Mul(one, number)
                 conv = Conv2D(x, w)
                 norm = FusedBatchNormV3(conv, one, one, mean, one)"
            )
        };
        assert!(!is_wrong(&of_mean(110.0), &pixels()));
        assert!(is_wrong(&of_mean(0.5), &pixels()));
        assert!(is_wrong(&of_mean(-3.0), &pixels()));
    }
}
