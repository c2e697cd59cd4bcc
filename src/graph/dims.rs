//! The dimensions of a tensor, as far as they are known without running the graph.
//!
//! Folding a batch normalisation needs the number of channels and of elements, as TensorFlow's shape inference knows
//! them. What the exporter recorded (`_output_shapes`) counts; what it left open follows from the op and the shapes it
//! reads. A dimension that no rule yields is unknown, never guessed. For the number of axes alone see [`super::shape`].

use hashbrown::{HashMap, HashSet};

use super::shape::integers;
use super::{Graph, NodeId, TensorRef};
use crate::proto::tensorflow::{TensorShapeProto, attr_value::Value};

/// The dimensions of a tensor with a known number of axes; `None` for one that is not known.
pub type Dims = Vec<Option<i64>>;

/// The shapes found so far. Rewiring does not change shapes, so what is known stays known.
#[derive(Debug, Default)]
pub struct Shapes {
    known: HashMap<TensorRef, Option<Dims>>,
    ranks: HashMap<TensorRef, Option<usize>>,
}

/// A chain of ops whose shapes follow from each other is walked this far.
const MAX_DEPTH: usize = 100_000;

impl Shapes {
    /// The tensor's dimensions, if at least their number is known.
    pub fn of(&mut self, graph: &Graph, tensor: TensorRef) -> Option<Dims> {
        let mut stack = vec![tensor];
        let mut on_stack: HashSet<TensorRef> = HashSet::from([tensor]);
        while let Some(&top) = stack.last() {
            if self.known.contains_key(&top) {
                stack.pop();
                continue;
            }
            let recorded = recorded(graph, top);
            let missing = if recorded.as_deref().is_some_and(is_complete) {
                None
            } else {
                let inputs = inputs_that_matter(graph, top.node).into_iter();
                inputs.into_iter().find(|input| !self.known.contains_key(input) && !on_stack.contains(input))
            };
            if let Some(missing) = missing.filter(|_| stack.len() < MAX_DEPTH) {
                stack.push(missing);
                on_stack.insert(missing);
                continue;
            }
            let dims = match recorded {
                Some(dims) if is_complete(&dims) => Some(dims),
                recorded => merge(recorded, self.inferred(graph, top)),
            };
            let dims = dims.or_else(|| Some(vec![None; graph.rank_with(top, &mut self.ranks)?]));
            self.known.insert(top, dims);
            stack.pop();
        }
        self.known.get(&tensor).cloned().flatten()
    }

    /// The tensor's number of axes.
    pub fn rank_of(&mut self, graph: &Graph, tensor: TensorRef) -> Option<usize> {
        graph.rank_with(tensor, &mut self.ranks)
    }

    /// The tensor's dimensions if all of them are known.
    pub fn complete(&mut self, graph: &Graph, tensor: TensorRef) -> Option<Vec<i64>> {
        self.of(graph, tensor)?.into_iter().collect()
    }

    /// How many elements the tensor has.
    pub fn elements(&mut self, graph: &Graph, tensor: TensorRef) -> Option<i64> {
        self.complete(graph, tensor)?.into_iter().try_fold(1i64, i64::checked_mul)
    }

    fn get(&self, tensor: TensorRef) -> Option<Dims> {
        self.known.get(&tensor).cloned().flatten()
    }

    /// What follows from the op; the shapes of its inputs are known by now, as far as they can be.
    fn inferred(&self, graph: &Graph, tensor: TensorRef) -> Option<Dims> {
        let node = tensor.node;
        let input = |index| graph.data_input(node, index);
        let shape_of = |index| input(index).and_then(|input| self.get(input));
        match graph.op(node) {
            "Const" => {
                graph.attr_tensor(node, "value").and_then(|value| proto_dims(&value.tensor_shape.unwrap_or_default()))
            }
            "VariableV2" | "Variable" | "Placeholder" | "PlaceholderV2" | "PlaceholderWithDefault" | "VarHandleOp" => {
                graph.attr_shape(node, "shape").as_ref().and_then(proto_dims)
            }
            "Relu" | "Relu6" | "Elu" | "Selu" | "LeakyRelu" | "Sigmoid" | "Tanh" | "Softplus" | "Softmax" | "Identity"
            | "BiasAdd" | "Cast" | "StopGradient" | "Neg" | "Abs" | "Exp" | "Log" | "Sqrt" | "Rsqrt" | "Square"
            | "Reciprocal" | "Switch" | "RefSwitch" | "Enter" | "RefEnter" | "Exit" | "NextIteration"
            | "ReadVariableOp" | "Dequantize" | "FakeQuantWithMinMaxVars" | "FakeQuantWithMinMaxArgs"
            | "FakeQuantWithMinMaxVarsPerChannel" | "ZerosLike" | "OnesLike" | "Assign" | "AssignAdd" | "AssignSub"
            | "CheckNumerics" | "PreventGradient" => shape_of(0),
            "Add" | "AddV2" | "Sub" | "Mul" | "Div" | "RealDiv" | "Maximum" | "Minimum" | "Pow" | "SquaredDifference" => {
                Some(broadcast(&shape_of(0)?, &shape_of(1)?))
            }
            "Merge" => agreed(graph.data_inputs(node).map(|input| self.get(input))),
            "Conv2D" => self.conv2d(graph, node),
            "DepthwiseConv2dNative" => self.conv2d(graph, node),
            "MaxPool" | "AvgPool" => pooled(graph, node, &shape_of(0)?),
            "MatMul" => mat_mul(graph, node, &shape_of(0)?, &shape_of(1)?),
            "FusedBatchNorm" | "FusedBatchNormV2" | "FusedBatchNormV3" => self.batch_norm(graph, tensor),
            "Reshape" => reshaped(shape_of(0), integers(&graph.const_value(input(1)?)?)?),
            "Pad" | "PadV2" => padded(&shape_of(0)?, &integers(&graph.const_value(input(1)?)?)?),
            "Squeeze" => squeezed(graph, node, shape_of(0)?),
            "Mean" | "Sum" | "Max" | "Min" | "Prod" => reduced(graph, node, shape_of(0)?),
            "ConcatV2" => self.concatenated(graph, node),
            "SpaceToBatchND" => {
                let block = integers(&graph.const_value(input(1)?)?)?;
                let pads = integers(&graph.const_value(input(2)?)?)?;
                space_to_batch(shape_of(0)?, &block, &pads)
            }
            "BatchToSpaceND" => {
                let block = integers(&graph.const_value(input(1)?)?)?;
                let crops = integers(&graph.const_value(input(2)?)?)?;
                batch_to_space(shape_of(0)?, &block, &crops)
            }
            "Fill" => Some(integers(&graph.const_value(input(0)?)?)?.into_iter().map(known).collect()),
            _ => None,
        }
    }

    fn conv2d(&self, graph: &Graph, node: NodeId) -> Option<Dims> {
        let input = self.get(graph.data_input(node, 0)?).filter(|dims| dims.len() == 4);
        let filter = self.get(graph.data_input(node, 1)?).filter(|dims| dims.len() == 4);
        let (input, filter) = (input.unwrap_or(vec![None; 4]), filter.unwrap_or(vec![None; 4]));
        let axes = Axes::of(graph, node);
        let strides = graph.attr_ints(node, "strides")?;
        let dilations = graph.attr_ints(node, "dilations").filter(|list| list.len() == 4).unwrap_or(vec![1; 4]);
        let padding = graph.attr_str(node, "padding")?;
        let mut output: Dims = vec![None; 4];
        output[0] = input[0];
        for (place, axis) in axes.spatial.into_iter().enumerate() {
            output[axis] = windowed(input[axis], filter[place], *strides.get(axis)?, dilations[axis], &padding);
        }
        output[axes.channel] = match graph.op(node) {
            "Conv2D" => filter[3],
            _ => filter[2].zip(filter[3]).and_then(|(inputs, multiplier)| inputs.checked_mul(multiplier)),
        };
        Some(output)
    }

    fn batch_norm(&self, graph: &Graph, tensor: TensorRef) -> Option<Dims> {
        let axes = Axes::of(graph, tensor.node);
        let input = graph.data_input(tensor.node, 0).and_then(|input| self.get(input)).filter(|dims| dims.len() == 4);
        let mut output = input.unwrap_or(vec![None; 4]);
        let is_training = graph.attr_bool(tensor.node, "is_training").unwrap_or(true);
        for index in 1..if is_training { 3 } else { 5 } {
            let scale = graph.data_input(tensor.node, index).and_then(|scale| self.get(scale));
            if let Some([channels]) = scale.as_deref() {
                output[axes.channel] = output[axes.channel].or(*channels);
            }
        }
        match tensor.port {
            0 => Some(output),
            1..=4 => Some(vec![output[axes.channel]]),
            _ => None,
        }
    }

    fn concatenated(&self, graph: &Graph, node: NodeId) -> Option<Dims> {
        let inputs: Vec<TensorRef> = graph.data_inputs(node).collect();
        let (axis, tensors) = inputs.split_last()?;
        let axis = *integers(&graph.const_value(*axis)?)?.first()?;
        let shapes: Option<Vec<Dims>> = tensors.iter().map(|&tensor| self.get(tensor)).collect();
        let shapes = shapes?;
        let mut output = shapes.first()?.clone();
        let axis = wrap_axis(axis, output.len())?;
        for other in &shapes[1..] {
            if other.len() != output.len() {
                return None;
            }
            for (place, dim) in output.iter_mut().enumerate() {
                *dim = if place == axis { dim.zip(other[place]).map(|(a, b)| a.saturating_add(b)) } else { dim.or(other[place]) };
            }
        }
        Some(output)
    }
}

/// Where the axes of an image are.
struct Axes {
    spatial: [usize; 2],
    channel: usize,
}

impl Axes {
    fn of(graph: &Graph, node: NodeId) -> Self {
        if graph.attr_str(node, "data_format").is_some_and(|format| format.starts_with("NC")) {
            Self { spatial: [2, 3], channel: 1 }
        } else {
            Self { spatial: [1, 2], channel: 3 }
        }
    }
}

fn is_complete(dims: &[Option<i64>]) -> bool {
    dims.iter().all(Option::is_some)
}

fn known(dim: i64) -> Option<i64> {
    (dim >= 0).then_some(dim)
}

fn proto_dims(shape: &TensorShapeProto) -> Option<Dims> {
    (!shape.unknown_rank).then(|| shape.dim.iter().map(|dim| known(dim.size)).collect())
}

fn recorded(graph: &Graph, tensor: TensorRef) -> Option<Dims> {
    match graph.attr(tensor.node, "_output_shapes") {
        Some(Value::List(list)) => proto_dims(list.shape.get(tensor.port as usize)?),
        _ => None,
    }
}

/// The inputs whose shapes the output's follows from.
fn inputs_that_matter(graph: &Graph, node: NodeId) -> Vec<TensorRef> {
    let count = match graph.op(node) {
        "Const" | "VariableV2" | "Variable" | "Placeholder" | "VarHandleOp" => 0,
        "Reshape" | "Pad" | "PadV2" | "Mean" | "Sum" | "Max" | "Min" | "Prod" | "SpaceToBatchND" | "BatchToSpaceND" => 1,
        _ => usize::MAX,
    };
    graph.data_inputs(node).take(count).collect()
}

fn merge(first: Option<Dims>, second: Option<Dims>) -> Option<Dims> {
    match (first, second) {
        (Some(first), Some(second)) if first.len() == second.len() => {
            Some(first.into_iter().zip(second).map(|(first, second)| first.or(second)).collect())
        }
        (first, second) => first.or(second),
    }
}

fn broadcast(x: &[Option<i64>], y: &[Option<i64>]) -> Dims {
    let rank = x.len().max(y.len());
    let dim = |dims: &[Option<i64>], place: usize| match place.checked_sub(rank - dims.len()) {
        Some(place) => dims[place],
        None => Some(1),
    };
    (0..rank)
        .map(|place| match (dim(x, place), dim(y, place)) {
            (Some(1), other) | (other, Some(1)) => other,
            (Some(size), _) | (None, Some(size)) => Some(size),
            (None, None) => None,
        })
        .collect()
}

fn agreed(shapes: impl Iterator<Item = Option<Dims>>) -> Option<Dims> {
    let mut all = shapes;
    let mut output = all.next()??;
    for other in all {
        let other = other.filter(|other| other.len() == output.len())?;
        output.iter_mut().zip(other).for_each(|(dim, other)| *dim = dim.filter(|_| *dim == other));
    }
    Some(output)
}

/// How often a window of that size fits.
fn windowed(input: Option<i64>, window: Option<i64>, stride: i64, dilation: i64, padding: &str) -> Option<i64> {
    let (input, stride) = (input?, Some(stride).filter(|&stride| stride > 0)?);
    let free = match padding {
        "SAME" => input.checked_add(stride - 1)?,
        "VALID" => {
            let window = window?.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
            input.checked_sub(window)?.checked_add(stride)?
        }
        _ => return None,
    };
    known(free / stride)
}

fn pooled(graph: &Graph, node: NodeId, input: &[Option<i64>]) -> Option<Dims> {
    let window = graph.attr_ints(node, "ksize")?;
    let strides = graph.attr_ints(node, "strides")?;
    let padding = graph.attr_str(node, "padding")?;
    if input.len() != 4 || window.len() != 4 || strides.len() != 4 {
        return None;
    }
    Some((0..4).map(|axis| windowed(input[axis], Some(window[axis]), strides[axis], 1, &padding)).collect())
}

fn mat_mul(graph: &Graph, node: NodeId, a: &[Option<i64>], b: &[Option<i64>]) -> Option<Dims> {
    let transposed = |name| graph.attr_bool(node, name).unwrap_or(false);
    match (a, b) {
        ([_, _], [_, _]) => {
            Some(vec![a[usize::from(transposed("transpose_a"))], b[usize::from(!transposed("transpose_b"))]])
        }
        _ => None,
    }
}

fn reshaped(input: Option<Dims>, target: Vec<i64>) -> Option<Dims> {
    let mut output: Dims = target.into_iter().map(known).collect();
    let elements = input.and_then(|dims| dims.into_iter().try_fold(1i64, |count, dim| count.checked_mul(dim?)));
    let open: Vec<usize> = (0..output.len()).filter(|&place| output[place].is_none()).collect();
    if let ([place], Some(elements)) = (open.as_slice(), elements) {
        let others = output.iter().flatten().try_fold(1i64, |count, &dim| count.checked_mul(dim))?;
        if others > 0 && elements % others == 0 {
            output[*place] = Some(elements / others);
        }
    }
    Some(output)
}

fn padded(input: &[Option<i64>], pads: &[i64]) -> Option<Dims> {
    if pads.len() != input.len() * 2 {
        return None;
    }
    Some(input.iter().zip(pads.chunks(2)).map(|(dim, pads)| dim.map(|dim| dim.saturating_add(pads[0]).saturating_add(pads[1]))).collect())
}

fn wrap_axis(axis: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let wrapped = if axis < 0 { axis.checked_add(rank)? } else { axis };
    usize::try_from(wrapped).ok().filter(|_| wrapped < rank)
}

fn squeezed(graph: &Graph, node: NodeId, input: Dims) -> Option<Dims> {
    let axes = graph.attr_ints(node, "squeeze_dims").filter(|axes| !axes.is_empty())?;
    let axes: Option<Vec<usize>> = axes.into_iter().map(|axis| wrap_axis(axis, input.len())).collect();
    let axes = axes?;
    Some(input.into_iter().enumerate().filter(|(place, _)| !axes.contains(place)).map(|(_, dim)| dim).collect())
}

fn reduced(graph: &Graph, node: NodeId, input: Dims) -> Option<Dims> {
    let axes = integers(&graph.const_value(graph.data_input(node, 1)?)?)?;
    let axes: Option<Vec<usize>> = axes.into_iter().map(|axis| wrap_axis(axis, input.len())).collect();
    let axes = axes?;
    let keep = graph.attr_bool(node, "keep_dims").unwrap_or(false);
    let dims = input.into_iter().enumerate().filter(|(place, _)| keep || !axes.contains(place));
    Some(dims.map(|(place, dim)| if axes.contains(&place) { Some(1) } else { dim }).collect())
}

fn space_to_batch(mut dims: Dims, block: &[i64], pads: &[i64]) -> Option<Dims> {
    if block.len() + 1 > dims.len() || pads.len() != block.len() * 2 || block.iter().any(|&size| size < 1) {
        return None;
    }
    for (place, &size) in block.iter().enumerate() {
        dims[0] = dims[0].and_then(|batch| batch.checked_mul(size));
        let padded = dims[place + 1].and_then(|dim| dim.checked_add(pads[place * 2])?.checked_add(pads[place * 2 + 1]));
        dims[place + 1] = padded.map(|dim| dim / size);
    }
    Some(dims)
}

fn batch_to_space(mut dims: Dims, block: &[i64], crops: &[i64]) -> Option<Dims> {
    if block.len() + 1 > dims.len() || crops.len() != block.len() * 2 || block.iter().any(|&size| size < 1) {
        return None;
    }
    for (place, &size) in block.iter().enumerate() {
        dims[0] = dims[0].map(|batch| batch / size);
        let spread = dims[place + 1].and_then(|dim| dim.checked_mul(size));
        dims[place + 1] = spread.and_then(|dim| known(dim.checked_sub(crops[place * 2])?.checked_sub(crops[place * 2 + 1])?));
    }
    Some(dims)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::graph::attr::{Attrs, Tensor};
    use crate::graph::{Input, NewNode, read};

    struct Sample(Graph);

    impl Sample {
        fn add(&mut self, op: &str, inputs: &[TensorRef], attrs: impl FnOnce(&mut Attrs) -> &mut Attrs) -> TensorRef {
            let mut encoded = Attrs::default();
            attrs(&mut encoded);
            let name = format!("n{}", self.0.len());
            let inputs: Vec<Input> = inputs.iter().copied().map(Input::Data).collect();
            let new = NewNode { name: &name, op, device: "", inputs: &inputs, attrs: encoded.as_bytes() };
            self.0.insert(new).unwrap().into()
        }

        fn dims(&self, tensor: TensorRef) -> Option<Dims> {
            Shapes::default().of(&self.0, tensor)
        }
    }

    #[test]
    fn shapes_follow_the_ops() {
        let mut graph = Sample(read::parse(Bytes::new()).unwrap());
        let image = graph.add("Placeholder", &[], |attrs| attrs.shape("shape", &[-1, 32, 32, 3]));
        let kernel = graph.add("VariableV2", &[], |attrs| attrs.shape("shape", &[5, 5, 3, 8]));
        let conv = graph.add("Conv2D", &[image, kernel], |attrs| attrs.str("padding", "VALID").ints("strides", &[1, 2, 2, 1]));
        assert_eq!(graph.dims(conv), Some(vec![None, Some(14), Some(14), Some(8)]));
        let norm = graph.add("FusedBatchNormV3", &[conv, conv, conv], |attrs| attrs);
        assert_eq!(graph.dims(TensorRef { port: 1, ..norm }), Some(vec![Some(8)]));
        let target = graph.add("Const", &[], |attrs| attrs.tensor("value", &Tensor::Int32s(&[2, -1])));
        let flat = graph.add("Reshape", &[kernel, target], |attrs| attrs);
        assert_eq!(graph.dims(flat), Some(vec![Some(2), Some(300)]));
        let sum = graph.add("AddV2", &[norm, TensorRef { port: 1, ..norm }], |attrs| attrs);
        assert_eq!(graph.dims(sum), Some(vec![None, Some(14), Some(14), Some(8)]));
        let unknown = graph.add("Mystery", &[sum], |attrs| attrs);
        assert_eq!(graph.dims(unknown), None);
    }

    #[test]
    fn a_space_to_batch_and_back_keeps_what_is_known() {
        let dims = vec![Some(2), Some(9), None, Some(3)];
        let there = space_to_batch(dims, &[2, 2], &[2, 3, 0, 0]).unwrap();
        assert_eq!(there, [Some(8), Some(7), None, Some(3)]);
        assert_eq!(batch_to_space(there, &[2, 2], &[2, 3, 0, 0]).unwrap(), [Some(2), Some(9), None, Some(3)]);
    }
}
