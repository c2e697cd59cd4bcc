//! The dimensions of a tensor as far as they are known without running the graph.
//!
//! The folding passes reshape and multiply weights and must know beforehand that the shapes fit. A shape recorded by the
//! exporter (`_output_shapes`) is taken; otherwise it follows from the op and the shapes of its inputs. What no rule
//! covers has at least the number of axes that [`super::shape`] knows; a dimension is never guessed.

use hashbrown::HashMap;

use super::{Graph, NodeId, TensorRef};
use crate::proto::tensorflow::{DataType, TensorShapeProto, attr_value::Value};

/// One entry per axis; `None` where the dimension is not known.
pub type Dims = Vec<Option<i64>>;

/// What was found out about shapes, to be shared by the calls of one pass.
#[derive(Debug, Default)]
pub struct ShapeCache {
    shapes: HashMap<TensorRef, Option<Dims>>,
    ranks: HashMap<TensorRef, Option<usize>>,
}

impl ShapeCache {
    /// What was found out about the tensor so far.
    pub(super) fn known(&self, tensor: TensorRef) -> Option<Dims> {
        self.shapes.get(&tensor).cloned().flatten()
    }
}

impl Graph {
    /// The tensor's dimensions; `None` when not even their number is known.
    #[must_use]
    pub fn static_shape(&self, tensor: TensorRef) -> Option<Dims> {
        self.static_shape_with(tensor, &mut ShapeCache::default())
    }

    /// As [`Graph::static_shape`], sharing what was found out with earlier and later calls.
    pub fn static_shape_with(&self, tensor: TensorRef, cache: &mut ShapeCache) -> Option<Dims> {
        let mut stack = vec![(tensor, false)];
        while let Some((top, inputs_known)) = stack.pop() {
            if inputs_known {
                let dims = merged(self.recorded_shape(top), self.inferred_shape(top, cache));
                let dims = dims.or_else(|| self.rank_with(top, &mut cache.ranks).map(|rank| vec![None; rank]));
                cache.shapes.insert(top, dims);
            } else if !cache.shapes.contains_key(&top) {
                let recorded = self.recorded_shape(top);
                if !recorded.as_deref().is_some_and(is_complete) {
                    stack.push((top, true));
                    stack.extend(self.shape_inputs(top.node).into_iter().map(|input| (input, false)));
                }
                // While its inputs are looked at, a tensor counts as not better known: that ends cycles.
                cache.shapes.insert(top, recorded);
            }
        }
        cache.shapes.get(&tensor).cloned().flatten()
    }

    /// The tensor's dimensions if all of them are known.
    pub fn complete_shape_with(&self, tensor: TensorRef, cache: &mut ShapeCache) -> Option<Vec<i64>> {
        self.static_shape_with(tensor, cache)?.into_iter().collect()
    }

    fn recorded_shape(&self, tensor: TensorRef) -> Option<Dims> {
        match self.attr(tensor.node, "_output_shapes") {
            Some(Value::List(list)) => dims(list.shape.get(tensor.port as usize)?),
            _ => None,
        }
    }

    /// The inputs whose shapes decide about the node's.
    fn shape_inputs(&self, node: NodeId) -> Vec<TensorRef> {
        let vector = match self.op(node) {
            "Reshape" => self.data_input(node, 1),
            "Fill" | "Conv2DBackpropInput" | "RandomUniform" | "RandomStandardNormal" | "TruncatedNormal" => {
                self.data_input(node, 0)
            }
            _ => None,
        };
        let mut inputs = vector.map(|vector| self.shape_sources(vector)).unwrap_or_default();
        let count = match self.op(node) {
            "Const" | "VariableV2" | "Variable" | "Placeholder" | "PlaceholderWithDefault" | "VarHandleOp" => 0,
            "FusedBatchNorm" | "FusedBatchNormV2" | "FusedBatchNormV3" => 5,
            "Conv2D" | "DepthwiseConv2dNative" | "MatMul" | "Split" => 2,
            "MaxPool"
            | "AvgPool"
            | "Reshape"
            | "Transpose"
            | "Pad"
            | "PadV2"
            | "MirrorPad"
            | "Squeeze"
            | "ExpandDims"
            | "SplitV"
            | "SpaceToBatchND"
            | "BatchToSpaceND"
            | "SpaceToDepth"
            | "DepthToSpace"
            | "ResizeBilinear"
            | "ResizeNearestNeighbor"
            | "Mean"
            | "Sum"
            | "Max"
            | "Min"
            | "Prod" => 1,
            _ if is_like_input(self.op(node)) => 1,
            _ if is_broadcast(self.op(node)) => 2,
            "ConcatV2" | "Merge" | "RefMerge" | "AddN" => usize::MAX,
            _ => 0,
        };
        inputs.extend(self.data_inputs(node).take(count));
        inputs
    }

    fn inferred_shape(&self, tensor: TensorRef, cache: &ShapeCache) -> Option<Dims> {
        let node = tensor.node;
        let input = |index| cache.shapes.get(&self.data_input(node, index)?)?.clone();
        match self.op(node) {
            "Const" => dims(&self.attr_tensor(node, "value")?.tensor_shape.unwrap_or_default()),
            "VariableV2" | "Variable" | "Placeholder" | "PlaceholderWithDefault" | "VarHandleOp" => {
                dims(&self.attr_shape(node, "shape")?)
            }
            "Conv2D" => {
                let filter = input(1);
                let filter_axis = |axis: usize| filter.as_ref()?.get(axis).copied().flatten();
                Some(self.windowed_shape(
                    node,
                    input(0),
                    [filter_axis(0), filter_axis(1)],
                    &Channels::Are(filter_axis(3)),
                ))
            }
            "DepthwiseConv2dNative" => {
                let filter = input(1);
                let filter_axis = |axis: usize| filter.as_ref()?.get(axis).copied().flatten();
                let channels = filter_axis(2).zip(filter_axis(3)).and_then(|(inputs, each)| inputs.checked_mul(each));
                Some(self.windowed_shape(node, input(0), [filter_axis(0), filter_axis(1)], &Channels::Are(channels)))
            }
            "MaxPool" | "AvgPool" => {
                let window = self.attr_ints(node, "ksize")?;
                let [height, width] = self.spatial_axes(node);
                let window = [height, width].map(|axis| window.get(axis).copied());
                Some(self.windowed_shape(node, input(0), window, &Channels::AsBefore))
            }
            "MatMul" => {
                let axis = |dims: Option<Dims>, transpose: &str, plain: usize| {
                    let axis = if self.attr_bool(node, transpose) == Some(true) { 1 - plain } else { plain };
                    dims?.get(axis).copied().flatten()
                };
                Some(vec![axis(input(0), "transpose_a", 0), axis(input(1), "transpose_b", 1)])
            }
            "FusedBatchNorm" | "FusedBatchNormV2" | "FusedBatchNormV3" => self.normalized_shape(tensor, input),
            "Pad" | "PadV2" | "MirrorPad" => padded(&input(0)?, &self.const_ints(self.data_input(node, 1)?)?),
            "Squeeze" => self.squeezed(node, input(0)?),
            "Mean" | "Sum" | "Max" | "Min" | "Prod" => self.reduced(node, input(0)?),
            "SpaceToBatchND" | "BatchToSpaceND" => {
                let block = self.const_ints(self.data_input(node, 1)?)?;
                let margins = self.const_ints(self.data_input(node, 2)?)?;
                if self.op(node) == "SpaceToBatchND" {
                    space_to_batch(input(0)?, &block, &margins)
                } else {
                    batch_to_space(input(0)?, &block, &margins)
                }
            }
            "Merge" | "RefMerge" => {
                let inputs = self.data_inputs(node).map(|input| cache.shapes.get(&input).cloned().flatten());
                if tensor.port == 0 { agreed(inputs) } else { Some(Vec::new()) }
            }
            "AddN" => agreed(self.data_inputs(node).map(|input| cache.known(input))),
            "Fill" | "Conv2DBackpropInput" | "RandomUniform" | "RandomStandardNormal" | "TruncatedNormal" => {
                self.shape_vector(self.data_input(node, 0)?, cache)
            }
            "Reshape" => Some(reshaped(input(0), &self.shape_vector(self.data_input(node, 1)?, cache)?)),
            "ExpandDims" => {
                let (mut dims, axis) = (input(0)?, *self.const_ints(self.data_input(node, 1)?)?.first()?);
                dims.insert(wrapped(axis, dims.len() + 1)?, Some(1));
                Some(dims)
            }
            "Split" => {
                let (mut dims, parts) = (input(1)?, self.attr_int(node, "num_split").filter(|&parts| parts > 0)?);
                let axis = wrapped(*self.const_ints(self.data_input(node, 0)?)?.first()?, dims.len())?;
                dims[axis] = dims[axis].map(|dim| dim / parts);
                Some(dims)
            }
            "SplitV" => {
                let sizes = self.const_ints(self.data_input(node, 1)?)?;
                let mut dims = input(0)?;
                let axis = wrapped(*self.const_ints(self.data_input(node, 2)?)?.first()?, dims.len())?;
                dims[axis] = sizes.get(tensor.port as usize).copied().filter(|&size| size >= 0);
                Some(dims)
            }
            "ResizeBilinear" | "ResizeNearestNeighbor" => {
                let mut dims = input(0).filter(|dims| dims.len() == 4)?;
                let sizes = self.const_ints(self.data_input(node, 1)?);
                dims[1..3].fill(None);
                if let Some([height, width]) = sizes.as_deref() {
                    dims[1..3].copy_from_slice(&[Some(*height), Some(*width)]);
                }
                Some(dims)
            }
            "SpaceToDepth" | "DepthToSpace" => self.regrouped(node, input(0)?),
            "Transpose" => {
                let (dims, order) = (input(0)?, self.const_ints(self.data_input(node, 1)?)?);
                order.iter().map(|&axis| dims.get(usize::try_from(axis).ok()?).copied()).collect()
            }
            "ConcatV2" => self.concatenated(node, cache),
            op if is_like_input(op) && (tensor.port == 0 || op.ends_with("Switch")) => input(0),
            op if is_broadcast(op) => broadcast(&input(0)?, &input(1)?).ok(),
            _ => None,
        }
    }

    /// A batch norm's outputs: the image, and vectors of one element per channel. Any vector it reads tells how many
    /// channels there are, except for the moving averages while training, which may be empty.
    fn normalized_shape(&self, tensor: TensorRef, input: impl Fn(usize) -> Option<Dims>) -> Option<Dims> {
        let channel = if self.spatial_axes(tensor.node) == [2, 3] { 1 } else { 3 };
        let mut image = input(0).filter(|dims| dims.len() == 4).unwrap_or_else(|| vec![None; 4]);
        let vectors = if self.attr_bool(tensor.node, "is_training").unwrap_or(true) { 1..3 } else { 1..5 };
        for index in vectors {
            if let Some([channels]) = input(index).as_deref() {
                image[channel] = image[channel].or(*channels);
            }
        }
        match tensor.port {
            0 => Some(image),
            1..=4 => Some(vec![image[channel]]),
            _ => None,
        }
    }

    /// Blocks of an image moved between its height and width and its channels.
    fn regrouped(&self, node: NodeId, mut dims: Dims) -> Option<Dims> {
        let size = self.attr_int(node, "block_size").filter(|&size| size > 1)?;
        let spatial = self.spatial_axes(node);
        let channel = if spatial == [2, 3] { 1 } else { 3 };
        if dims.len() != 4 || self.attr_str(node, "data_format").is_some_and(|format| format.len() != 4) {
            return None;
        }
        let area = size.checked_mul(size)?;
        let gathers = self.op(node) == "SpaceToDepth";
        for axis in spatial {
            dims[axis] = dims[axis].and_then(|dim| if gathers { Some(dim / size) } else { dim.checked_mul(size) });
        }
        dims[channel] = dims[channel].and_then(|dim| if gathers { dim.checked_mul(area) } else { Some(dim / area) });
        Some(dims)
    }

    fn squeezed(&self, node: NodeId, input: Dims) -> Option<Dims> {
        let Some(axes) = self.attr_ints(node, "squeeze_dims").filter(|axes| !axes.is_empty()) else {
            return is_complete(&input).then(|| input.into_iter().filter(|&dim| dim != Some(1)).collect());
        };
        let axes: Vec<usize> = axes.into_iter().map(|axis| wrapped(axis, input.len())).collect::<Option<_>>()?;
        Some(input.into_iter().enumerate().filter(|(axis, _)| !axes.contains(axis)).map(|(_, dim)| dim).collect())
    }

    fn reduced(&self, node: NodeId, input: Dims) -> Option<Dims> {
        let axes = self.const_ints(self.data_input(node, 1)?)?;
        let axes: Vec<usize> = axes.into_iter().map(|axis| wrapped(axis, input.len())).collect::<Option<_>>()?;
        let keep = self.attr_bool(node, "keep_dims").unwrap_or(false);
        let left = input.into_iter().enumerate().filter(|(axis, _)| keep || !axes.contains(axis));
        Some(left.map(|(axis, dim)| if axes.contains(&axis) { Some(1) } else { dim }).collect())
    }

    /// The height and width axes by the node's data format.
    fn spatial_axes(&self, node: NodeId) -> [usize; 2] {
        if self.attr_str(node, "data_format").is_some_and(|format| format.starts_with("NC")) { [2, 3] } else { [1, 2] }
    }

    /// What a sliding window makes of an image.
    fn windowed_shape(&self, node: NodeId, image: Option<Dims>, window: [Option<i64>; 2], channels: &Channels) -> Dims {
        let mut dims = image.filter(|dims| dims.len() == 4).unwrap_or_else(|| vec![None; 4]);
        let strides = self.attr_ints(node, "strides");
        let dilations = self.attr_ints(node, "dilations");
        let padding = self.attr_str(node, "padding");
        let spatial = self.spatial_axes(node);
        for (axis, window) in spatial.into_iter().zip(window) {
            let stride = strides.as_ref().and_then(|strides| strides.get(axis).copied());
            let dilation = dilations.as_ref().map_or(Some(1), |dilations| dilations.get(axis).copied());
            dims[axis] = windowed(dims[axis], window, stride, dilation, padding.as_deref());
        }
        if let &Channels::Are(channels) = channels {
            dims[if spatial == [2, 3] { 1 } else { 3 }] = channels;
        }
        dims
    }

    fn concatenated(&self, node: NodeId, cache: &ShapeCache) -> Option<Dims> {
        let inputs: Vec<TensorRef> = self.data_inputs(node).collect();
        let (&axis, parts) = inputs.split_last()?;
        let parts: Vec<&Dims> =
            parts.iter().map(|part| cache.shapes.get(part)?.as_ref()).collect::<Option<Vec<_>>>()?;
        let mut dims = (*parts.first()?).clone();
        let axis = *self.const_ints(axis)?.first()?;
        let axis =
            usize::try_from(if axis < 0 { axis.checked_add(dims.len().cast_signed() as i64)? } else { axis }).ok()?;
        *dims.get_mut(axis)? =
            parts.iter().try_fold(0i64, |sum, part| sum.checked_add(part.get(axis).copied().flatten()?));
        Some(dims)
    }

    /// The integers of a Const, also behind Identity.
    #[must_use]
    pub fn const_ints(&self, tensor: TensorRef) -> Option<Vec<i64>> {
        let value = self.const_value(tensor)?;
        let count = super::shape::element_count(&value)?;
        let content = &value.tensor_content;
        let (width, listed): (usize, Vec<i64>) = match DataType::try_from(value.dtype).ok()? {
            DataType::DtInt32 => (4, value.int_val.iter().map(|&number| i64::from(number)).collect()),
            DataType::DtInt64 => (8, value.int64_val.clone()),
            _ => return None,
        };
        if !content.is_empty() {
            let numbers = content.chunks_exact(width).map(|bytes| match *bytes {
                [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
                _ => bytes.try_into().map_or(0, i64::from_le_bytes),
            });
            return (content.len() / width == count).then(|| numbers.collect());
        }
        if listed.len() > count || count > MAX_AXES {
            return None;
        }
        let last = listed.last().copied().unwrap_or(0);
        Some(listed.into_iter().chain(std::iter::repeat(last)).take(count).collect())
    }
}

/// More numbers than any shape or list of axes holds.
const MAX_AXES: usize = 1 << 10;

/// How many channels come out of a sliding window.
enum Channels {
    AsBefore,
    Are(Option<i64>),
}

/// What Reshape makes of a tensor, where -1 stands for what is left.
/// The dimensions that were asked for; what is open follows from the number of elements if it is one dimension.
fn reshaped(from: Option<Dims>, to: &[Option<i64>]) -> Dims {
    let known: Option<i64> = to.iter().flatten().try_fold(1i64, |product, &dim| product.checked_mul(dim));
    let total = from.and_then(|dims| dims.into_iter().try_fold(1i64, |product, dim| product.checked_mul(dim?)));
    let rest = match (total, known) {
        (Some(total), Some(known)) if known > 0 && total % known == 0 => Some(total / known),
        _ => None,
    };
    let rest = rest.filter(|_| to.iter().filter(|dim| dim.is_none()).count() == 1);
    to.iter().map(|dim| dim.or(rest)).collect()
}

fn windowed(
    size: Option<i64>,
    window: Option<i64>,
    stride: Option<i64>,
    dilation: Option<i64>,
    padding: Option<&str>,
) -> Option<i64> {
    let (size, stride) = (size?, stride.filter(|&stride| stride > 0)?);
    match padding? {
        "SAME" => size.checked_add(stride - 1).map(|size| size / stride),
        "VALID" => {
            let reach = window?.checked_sub(1)?.checked_mul(dilation?)?;
            size.checked_sub(reach)?.checked_add(stride - 1).map(|size| (size / stride).max(0))
        }
        _ => None,
    }
}

fn is_like_input(op: &str) -> bool {
    matches!(
        op,
        "Relu"
            | "Relu6"
            | "Elu"
            | "Selu"
            | "LeakyRelu"
            | "Sigmoid"
            | "Tanh"
            | "Softplus"
            | "Softmax"
            | "Identity"
            | "ReadVariableOp"
            | "BiasAdd"
            | "BiasAddV1"
            | "Cast"
            | "StopGradient"
            | "Neg"
            | "Abs"
            | "Exp"
            | "Log"
            | "Sqrt"
            | "Rsqrt"
            | "Reciprocal"
            | "Square"
            | "Floor"
            | "Ceil"
            | "Round"
            | "Sign"
            | "Erf"
            | "LogicalNot"
            | "LRN"
            | "LogSoftmax"
            | "Softsign"
            | "FakeQuantWithMinMaxVars"
            | "FakeQuantWithMinMaxArgs"
            | "FakeQuantWithMinMaxVarsPerChannel"
            | "RefIdentity"
            | "Switch"
            | "RefSwitch"
            | "Enter"
            | "RefEnter"
            | "Exit"
            | "Dequantize"
            | "ZerosLike"
            | "OnesLike"
    )
}

fn is_complete(dims: &[Option<i64>]) -> bool {
    dims.iter().all(Option::is_some)
}

/// What two sources know together; where they disagree, the first counts.
fn merged(first: Option<Dims>, second: Option<Dims>) -> Option<Dims> {
    match (first, second) {
        (Some(first), Some(second)) if first.len() == second.len() => {
            Some(first.into_iter().zip(second).map(|(first, second)| first.or(second)).collect())
        }
        (first, second) => first.or(second),
    }
}

/// What all have in common.
fn agreed(mut shapes: impl Iterator<Item = Option<Dims>>) -> Option<Dims> {
    let mut common = shapes.next()??;
    for other in shapes {
        let other = other.filter(|other| other.len() == common.len())?;
        common.iter_mut().zip(other).for_each(|(dim, other)| *dim = dim.filter(|_| *dim == other));
    }
    Some(common)
}

/// An axis counted from the end when negative.
fn wrapped(axis: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let axis = if axis < 0 { axis.checked_add(rank)? } else { axis };
    usize::try_from(axis).ok().filter(|_| axis < rank)
}

fn padded(input: &[Option<i64>], margins: &[i64]) -> Option<Dims> {
    let (margins, rest) = margins.as_chunks();
    if !rest.is_empty() || margins.len() != input.len() {
        return None;
    }
    let pad = |(dim, &[before, after]): (&Option<i64>, &[i64; 2])| {
        dim.and_then(|dim| dim.checked_add(before)?.checked_add(after))
    };
    Some(input.iter().zip(margins).map(pad).collect())
}

/// The sizes and margins of blocks, by axis after the batch.
fn blocks<'a>(
    dims: &Dims,
    sizes: &'a [i64],
    margins: &'a [i64],
) -> Option<impl Iterator<Item = (i64, [i64; 2])> + use<'a>> {
    let (margins, rest) = margins.as_chunks();
    let fits = rest.is_empty() && margins.len() == sizes.len() && sizes.len() < dims.len();
    (fits && sizes.iter().all(|&size| size > 0)).then(|| sizes.iter().copied().zip(margins.iter().copied()))
}

fn space_to_batch(mut dims: Dims, sizes: &[i64], margins: &[i64]) -> Option<Dims> {
    for (axis, (size, [before, after])) in (1..).zip(blocks(&dims, sizes, margins)?) {
        dims[0] = dims[0].and_then(|batch| batch.checked_mul(size));
        dims[axis] = dims[axis].and_then(|dim| Some(dim.checked_add(before)?.checked_add(after)? / size));
    }
    Some(dims)
}

fn batch_to_space(mut dims: Dims, sizes: &[i64], margins: &[i64]) -> Option<Dims> {
    for (axis, (size, [before, after])) in (1..).zip(blocks(&dims, sizes, margins)?) {
        dims[0] = dims[0].map(|batch| batch / size);
        let spread = dims[axis].and_then(|dim| dim.checked_mul(size)?.checked_sub(before)?.checked_sub(after));
        dims[axis] = spread.filter(|&dim| dim >= 0);
    }
    Some(dims)
}

fn is_broadcast(op: &str) -> bool {
    matches!(
        op,
        "Add"
            | "AddV2"
            | "Sub"
            | "Mul"
            | "Div"
            | "RealDiv"
            | "FloorDiv"
            | "FloorMod"
            | "Maximum"
            | "Minimum"
            | "Pow"
            | "SquaredDifference"
            | "Less"
            | "LessEqual"
            | "Greater"
            | "GreaterEqual"
            | "Equal"
            | "NotEqual"
            | "LogicalAnd"
            | "LogicalOr"
    )
}

fn dims(shape: &TensorShapeProto) -> Option<Dims> {
    let dims = || shape.dim.iter().map(|dim| (dim.size >= 0).then_some(dim.size)).collect();
    (!shape.unknown_rank).then(dims)
}

/// The shape of an element-by-element op on tensors of these shapes, or the two dimensions that do not go together.
///
/// # Errors
/// The first pair of unequal dimensions, from the last axis on, neither of which is 1.
pub fn broadcast(x: &[Option<i64>], y: &[Option<i64>]) -> Result<Dims, (i64, i64)> {
    let rank = x.len().max(y.len());
    let axis = |dims: &[Option<i64>], index: usize| {
        (index + dims.len()).checked_sub(rank).map_or(Some(1), |index| dims.get(index).copied().flatten())
    };
    let mut result = vec![None; rank];
    for index in (0..rank).rev() {
        result[index] = match (axis(x, index), axis(y, index)) {
            (Some(1), other) | (other, Some(1)) => other,
            (Some(x), Some(y)) if x != y => return Err((x, y)),
            (Some(known), _) | (None, Some(known)) => Some(known),
            (None, None) => None,
        };
    }
    Ok(result)
}

/// Whether tensors of these shapes could have the same shape.
#[must_use]
pub fn compatible(x: Option<&Dims>, y: Option<&Dims>) -> bool {
    let (Some(x), Some(y)) = (x, y) else { return true };
    x.len() == y.len() && x.iter().zip(y).all(|(x, y)| x.is_none() || y.is_none() || x == y)
}

/// A shape as text: `[3,?,8]`, or `?` for one of which nothing is known.
#[must_use]
pub fn shape_text(dims: Option<&Dims>) -> String {
    let Some(dims) = dims else { return "?".to_owned() };
    let texts: Vec<String> = dims.iter().map(|dim| dim.map_or_else(|| "?".to_owned(), |dim| dim.to_string())).collect();
    format!("[{}]", texts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Input;
    use crate::graph::attr::Tensor;
    use crate::graph::samples::Sample;

    #[test]
    fn dimensions_follow_the_ops() {
        let mut graph = Sample::new();
        let image = graph.add("Placeholder", &[], |attrs| attrs.shape("shape", &[-1, 9, 9, 3]));
        let filter = graph.add("VariableV2", &[], |attrs| attrs.shape("shape", &[3, 3, 3, 16]));
        let read = graph.add("Identity", &[filter], |attrs| attrs);
        let conv =
            graph.add("Conv2D", &[image, read], |attrs| attrs.str("padding", "SAME").ints("strides", &[1, 2, 2, 1]));
        let valid =
            graph.add("Conv2D", &[image, read], |attrs| attrs.str("padding", "VALID").ints("strides", &[1, 2, 2, 1]));
        let scale = graph.add("Const", &[], |attrs| attrs.tensor("value", &Tensor::Floats(&[0.0; 16])));
        let sum = graph.add("Add", &[conv, scale], |attrs| attrs);
        let target = graph.add("Const", &[], |attrs| attrs.tensor("value", &Tensor::Int32s(&[-1, 16])));
        let flat = graph.add("Reshape", &[sum, target], |attrs| attrs);
        let vector = graph.add("Reshape", &[scale, target], |attrs| attrs);
        let mystery = graph.add("Mystery", &[flat], |attrs| attrs);
        let shape = |tensor| graph.0.static_shape(tensor);
        assert_eq!(shape(sum), Some(vec![None, Some(5), Some(5), Some(16)]));
        assert_eq!(shape(valid), Some(vec![None, Some(4), Some(4), Some(16)]));
        assert_eq!(shape(flat), Some(vec![None, Some(16)]));
        assert_eq!(shape(vector), Some(vec![Some(1), Some(16)]));
        assert_eq!(shape(mystery), None);
    }

    #[test]
    fn a_space_to_batch_and_back_keeps_what_is_known() {
        let there = space_to_batch(vec![Some(2), Some(9), None, Some(3)], &[2, 2], &[2, 3, 0, 0]).unwrap();
        assert_eq!(there, [Some(8), Some(7), None, Some(3)]);
        assert_eq!(batch_to_space(there, &[2, 2], &[2, 3, 0, 0]), Some(vec![Some(2), Some(9), None, Some(3)]));
        assert_eq!(space_to_batch(vec![Some(2)], &[2, 2], &[0, 0]), None);
    }

    #[test]
    fn a_recorded_shape_is_completed_by_the_op() {
        let mut graph = Sample::new();
        let image = graph.add("Placeholder", &[], |attrs| attrs.shape("shape", &[-1, 9, 9, -1]));
        let scale = graph.add("Placeholder", &[], |attrs| attrs.shape("shape", &[16]));
        let norm = graph.add("FusedBatchNormV3", &[image, scale, scale, image, image], |attrs| attrs);
        let shape = |port| graph.0.static_shape(TensorRef { port, ..norm });
        assert_eq!(shape(0), Some(vec![None, Some(9), Some(9), Some(16)]));
        assert_eq!(shape(2), Some(vec![Some(16)]));
    }

    #[test]
    fn broadcasting_compares_from_the_last_axis() {
        assert_eq!(broadcast(&[Some(2), None, Some(8)], &[Some(4), Some(1)]), Ok(vec![Some(2), Some(4), Some(8)]));
        assert_eq!(broadcast(&[Some(4), Some(3)], &[Some(4)]), Err((3, 4)));
        assert!(compatible(Some(&vec![None, Some(2)]), Some(&vec![Some(7), Some(2)])));
        assert!(!compatible(Some(&vec![None]), Some(&vec![Some(7), Some(2)])));
    }

    #[test]
    fn long_chains_and_cycles_end() {
        let mut graph = Sample::new();
        let mut last = graph.add("Placeholder", &[], |attrs| attrs.shape("shape", &[4]));
        for _ in 0..5_000 {
            last = graph.add("Relu", &[last], |attrs| attrs);
        }
        assert_eq!(graph.0.static_shape(last), Some(vec![Some(4)]));
        graph.0.set_input(NodeId(1), 0, Input::Data(last));
        assert_eq!(graph.0.static_shape(last), None);
    }
}
