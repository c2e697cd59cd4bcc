//! What is known of a tensor without running the graph: its element type and its rank.
//!
//! The quantization passes reduce over all axes of a tensor and need to know how many there are, as TensorFlow's shape
//! inference would. A rank recorded by the exporter (`_output_shapes`) is taken; otherwise it follows from the op, if
//! need be from the ranks of its inputs. What no rule covers is unknown, never guessed.

use hashbrown::{HashMap, HashSet};

use super::{Graph, NodeId, TensorRef};
use crate::proto::tensorflow::{DataType, TensorProto, TensorShapeProto, attr_value::Value};

/// How an op's rank follows from what it reads.
enum Rule {
    Known(Option<usize>),
    /// That of one data input, plus a number of axes.
    Like(TensorRef, isize),
    /// The largest of the inputs' ranks: element by element, with broadcasting.
    Broadcast(Vec<TensorRef>),
    /// The rank all inputs agree on.
    Agree(Vec<TensorRef>),
    /// The first rank that is known.
    Any(Vec<TensorRef>),
}

impl Graph {
    /// The tensor's element type, where its op says it.
    #[must_use]
    pub fn tensor_type(&self, tensor: TensorRef) -> Option<DataType> {
        let node = tensor.node;
        let attr = match self.op(node) {
            "Cast" => "DstT",
            "Shape" | "ShapeN" | "Size" => "out_type",
            "ArgMax" | "ArgMin" => "output_type",
            "Rank" => return Some(DataType::DtInt32),
            "FakeQuantWithMinMaxVars" | "FakeQuantWithMinMaxArgs" | "FakeQuantWithMinMaxVarsPerChannel" => {
                return Some(DataType::DtFloat);
            }
            "Equal"
            | "NotEqual"
            | "Less"
            | "LessEqual"
            | "Greater"
            | "GreaterEqual"
            | "LogicalAnd"
            | "LogicalOr"
            | "LogicalNot"
            | "IsFinite"
            | "IsNan"
            | "IsInf"
            | "VarIsInitializedOp"
            | "IsVariableInitialized" => {
                return Some(DataType::DtBool);
            }
            "FusedBatchNormV2" | "FusedBatchNormV3" if tensor.port > 0 => "U",
            "Const"
            | "VariableV2"
            | "Variable"
            | "Placeholder"
            | "PlaceholderWithDefault"
            | "ReadVariableOp"
            | "RandomUniform"
            | "RandomStandardNormal"
            | "TruncatedNormal" => "dtype",
            "VarHandleOp" => return Some(DataType::DtResource),
            _ => "T",
        };
        DataType::try_from(self.attr_type(node, attr)?).ok()
    }

    /// The tensor's number of axes, where it is known without running the graph.
    #[must_use]
    pub fn rank(&self, tensor: TensorRef) -> Option<usize> {
        self.rank_with(tensor, &mut HashMap::new())
    }

    /// As [`Graph::rank`], sharing what was found out with earlier and later calls.
    pub fn rank_with(&self, tensor: TensorRef, known: &mut HashMap<TensorRef, Option<usize>>) -> Option<usize> {
        let mut stack = vec![tensor];
        let mut on_stack: HashSet<TensorRef> = HashSet::from([tensor]);
        while let Some(&top) = stack.last() {
            if known.contains_key(&top) {
                stack.pop();
                continue;
            }
            let rule = self.rank_rule(top);
            let inputs = rule.inputs();
            let missing = inputs.iter().find(|input| !known.contains_key(*input) && !on_stack.contains(*input));
            if let Some(&missing) = missing.filter(|_| stack.len() < MAX_DEPTH) {
                stack.push(missing);
                on_stack.insert(missing);
                continue;
            }
            known.insert(top, rule.rank(|input| known.get(&input).copied().flatten()));
            stack.pop();
        }
        known.get(&tensor).copied().flatten()
    }

    fn recorded_rank(&self, tensor: TensorRef) -> Option<usize> {
        match self.attr(tensor.node, "_output_shapes") {
            Some(Value::List(list)) => list.shape.get(tensor.port as usize).and_then(shape_rank),
            _ => None,
        }
    }

    #[allow(clippy::too_many_lines, clippy::match_same_arms)] // a table
    fn rank_rule(&self, tensor: TensorRef) -> Rule {
        if let Some(rank) = self.recorded_rank(tensor) {
            return Rule::Known(Some(rank));
        }
        let node = tensor.node;
        let input = |index| self.data_input(node, index);
        let like = |index, axes| input(index).map_or(Rule::Known(None), |input| Rule::Like(input, axes));
        let all = || self.data_inputs(node).collect::<Vec<_>>();
        match self.op(node) {
            "Conv2D"
            | "DepthwiseConv2dNative"
            | "Conv2DBackpropInput"
            | "MaxPool"
            | "MaxPoolV2"
            | "AvgPool"
            | "ResizeBilinear"
            | "ResizeNearestNeighbor"
            | "ResizeBicubic"
            | "ResizeArea"
            | "DepthToSpace"
            | "SpaceToDepth"
            | "LRN"
            | "ExtractImagePatches" => Rule::Known(Some(4)),
            "FusedBatchNorm" | "FusedBatchNormV2" | "FusedBatchNormV3" => {
                Rule::Known(Some(if tensor.port == 0 { 4 } else { 1 }))
            }
            "Conv3D" | "MaxPool3D" | "AvgPool3D" => Rule::Known(Some(5)),
            "MatMul" | "SparseMatMul" | "Diag" => Rule::Known(Some(2)),
            "Shape" | "Range" => Rule::Known(Some(1)),
            "Rank" | "Size" | "L2Loss" | "VarIsInitializedOp" => Rule::Known(Some(0)),
            "Const" => Rule::Known(self.attr_tensor(node, "value").and_then(|value| shape_rank(&value.tensor_shape?))),
            "VariableV2" | "Variable" | "Placeholder" | "PlaceholderV2" | "PlaceholderWithDefault" | "VarHandleOp" => {
                Rule::Known(self.attr_shape(node, "shape").as_ref().and_then(shape_rank))
            }
            "Relu"
            | "Relu6"
            | "Elu"
            | "Selu"
            | "LeakyRelu"
            | "Sigmoid"
            | "Tanh"
            | "Softplus"
            | "Softsign"
            | "Softmax"
            | "LogSoftmax"
            | "Identity"
            | "BiasAdd"
            | "BiasAddV1"
            | "Cast"
            | "StopGradient"
            | "PreventGradient"
            | "CheckNumerics"
            | "Neg"
            | "Abs"
            | "Exp"
            | "Log"
            | "Log1p"
            | "Sqrt"
            | "Rsqrt"
            | "Square"
            | "Reciprocal"
            | "Inv"
            | "Floor"
            | "Ceil"
            | "Round"
            | "Rint"
            | "Sign"
            | "Erf"
            | "LogicalNot"
            | "Pad"
            | "PadV2"
            | "MirrorPad"
            | "Tile"
            | "Slice"
            | "Reverse"
            | "ReverseV2"
            | "Cumsum"
            | "Cumprod"
            | "Switch"
            | "RefSwitch"
            | "Enter"
            | "RefEnter"
            | "Exit"
            | "NextIteration"
            | "SpaceToBatchND"
            | "BatchToSpaceND"
            | "SpaceToBatch"
            | "BatchToSpace"
            | "Transpose"
            | "ReadVariableOp"
            | "Snapshot"
            | "Dequantize"
            | "QuantizeAndDequantize"
            | "FakeQuantWithMinMaxVars"
            | "FakeQuantWithMinMaxArgs"
            | "FakeQuantWithMinMaxVarsPerChannel"
            | "RefIdentity"
            | "Print"
            | "Assign"
            | "AssignAdd"
            | "AssignSub"
            | "BatchMatMul"
            | "BatchMatMulV2"
            | "ZerosLike"
            | "OnesLike" => like(0, 0),
            "Select" | "Split" => like(1, 0),
            "SplitV" => like(0, 0),
            "Add" | "AddV2" | "Sub" | "Mul" | "Div" | "RealDiv" | "FloorDiv" | "TruncateDiv" | "Mod" | "FloorMod"
            | "Maximum" | "Minimum" | "Pow" | "SquaredDifference" | "Less" | "LessEqual" | "Greater"
            | "GreaterEqual" | "Equal" | "NotEqual" | "LogicalAnd" | "LogicalOr" => Rule::Broadcast(all()),
            "Merge" | "RefMerge" => Rule::Agree(all()),
            "AddN" => Rule::Any(all()),
            "ConcatV2" => Rule::Any(all().split_last().map(|(_, tensors)| tensors.to_vec()).unwrap_or_default()),
            "Concat" => Rule::Any(all().into_iter().skip(1).collect()),
            "Pack" => like(0, 1),
            "Unpack" => like(0, -1),
            "ExpandDims" => like(0, 1),
            "OneHot" => like(0, 1),
            "Reshape" | "BroadcastTo" => Rule::Known(input(1).and_then(|shape| self.vector_length(shape))),
            "Fill" | "RandomUniform" | "RandomStandardNormal" | "TruncatedNormal" => {
                Rule::Known(input(0).and_then(|shape| self.vector_length(shape)))
            }
            "Squeeze" => match self.attr_ints(node, "squeeze_dims") {
                Some(axes) if !axes.is_empty() => like(0, -axes.len().cast_signed()),
                _ => Rule::Known(None),
            },
            "Sum" | "Mean" | "Min" | "Max" | "Prod" | "All" | "Any" => self.reduction_rule(node),
            "StridedSlice" => self.slice_rule(node),
            _ => Rule::Known(None),
        }
    }

    /// A slice loses the axes that it takes one place of, and gains those it is told to.
    fn slice_rule(&self, node: NodeId) -> Rule {
        let begin = self.data_input(node, 1).and_then(|begin| self.const_value(begin));
        let Some((input, axes)) = self.data_input(node, 0).zip(begin.and_then(|begin| element_count(&begin))) else {
            return Rule::Known(None);
        };
        let mask = |name| self.attr_int(node, name).unwrap_or(0);
        let (ellipsis, gained) = (mask("ellipsis_mask"), mask("new_axis_mask") & !mask("ellipsis_mask"));
        let lost = mask("shrink_axis_mask") & !gained & !ellipsis;
        let count = |mask: i64| (0..axes.min(63)).filter(|axis| mask >> axis & 1 == 1).count().cast_signed();
        Rule::Like(input, count(gained) - count(lost))
    }

    fn reduction_rule(&self, node: NodeId) -> Rule {
        let Some(input) = self.data_input(node, 0) else { return Rule::Known(None) };
        if self.attr_bool(node, "keep_dims") == Some(true) {
            return Rule::Like(input, 0);
        }
        match self.data_input(node, 1).and_then(|axes| self.const_value(axes)).and_then(|axes| element_count(&axes)) {
            Some(axes) => Rule::Like(input, -axes.cast_signed()),
            None => Rule::Known(None),
        }
    }

    /// The tensor of a Const, also behind Identity.
    #[must_use]
    pub fn const_value(&self, tensor: TensorRef) -> Option<TensorProto> {
        let mut node = tensor.node;
        for _ in 0..MAX_IDENTITIES {
            match self.op(node) {
                "Identity" => node = self.data_input(node, 0)?.node,
                "Const" => return self.attr_tensor(node, "value"),
                _ => return None,
            }
        }
        None
    }

    /// How many elements a vector of dimensions has: the rank of what it is the shape of.
    fn vector_length(&self, vector: TensorRef) -> Option<usize> {
        if let Some(value) = self.const_value(vector) {
            return element_count(&value);
        }
        if self.op(vector.node) == "Pack" {
            return Some(self.data_inputs(vector.node).count());
        }
        match self.attr(vector.node, "_output_shapes") {
            Some(Value::List(list)) => match list.shape.get(vector.port as usize)?.dim.as_slice() {
                [dim] => usize::try_from(dim.size).ok(),
                _ => None,
            },
            _ => None,
        }
    }
}

/// A chain of ops that hand on their input's rank is followed this far.
const MAX_DEPTH: usize = 100_000;
/// A chain of Identity nodes before a Const is followed this far.
const MAX_IDENTITIES: usize = 16;

impl Rule {
    fn inputs(&self) -> &[TensorRef] {
        match self {
            Self::Known(_) => &[],
            Self::Like(input, _) => std::slice::from_ref(input),
            Self::Broadcast(inputs) | Self::Agree(inputs) | Self::Any(inputs) => inputs,
        }
    }

    fn rank(&self, known: impl Fn(TensorRef) -> Option<usize>) -> Option<usize> {
        match self {
            Self::Known(rank) => *rank,
            Self::Like(input, axes) => known(*input)?.checked_add_signed(*axes),
            Self::Broadcast(inputs) => inputs.iter().try_fold(0, |rank, &input| Some(rank.max(known(input)?))),
            Self::Agree(inputs) => {
                let first = known(*inputs.first()?)?;
                inputs.iter().all(|&input| known(input) == Some(first)).then_some(first)
            }
            Self::Any(inputs) => inputs.iter().find_map(|&input| known(input)),
        }
    }
}

fn shape_rank(shape: &TensorShapeProto) -> Option<usize> {
    (!shape.unknown_rank).then_some(shape.dim.len())
}

/// How many elements a tensor has, by its shape.
#[must_use]
pub fn element_count(tensor: &TensorProto) -> Option<usize> {
    let shape = tensor.tensor_shape.clone().unwrap_or_default();
    shape.dim.iter().try_fold(1usize, |count, dim| count.checked_mul(usize::try_from(dim.size).ok()?))
}

#[cfg(test)]
mod tests {
    use crate::graph::attr::Tensor;
    use crate::graph::samples::Sample;

    #[test]
    fn ranks_follow_the_ops() {
        let mut graph = Sample::new();
        let unknown = graph.add("Mystery", &[], |attrs| attrs);
        let conv = graph.add("Conv2D", &[unknown, unknown], |attrs| attrs);
        let relu = graph.add("Relu", &[conv], |attrs| attrs);
        let axes = graph.add("Const", &[], |attrs| attrs.tensor("value", &Tensor::Int32s(&[1, 2])));
        let mean = graph.add("Mean", &[relu, axes], |attrs| attrs);
        let sum = graph.add("Add", &[mean, relu], |attrs| attrs);
        let unsure = graph.add("Add", &[mean, unknown], |attrs| attrs);
        let shape = graph.add("Const", &[], |attrs| attrs.tensor("value", &Tensor::Int32s(&[8, -1, 3])));
        let reshaped = graph.add("Reshape", &[unknown, shape], |attrs| attrs);
        let rank = |tensor| graph.0.rank(tensor);
        assert_eq!([rank(relu), rank(mean), rank(sum), rank(reshaped)], [Some(4), Some(2), Some(4), Some(3)]);
        assert_eq!([rank(unsure), rank(unknown)], [None, None]);
    }

    #[test]
    fn long_chains_do_not_overflow_the_stack() {
        let mut graph = Sample::new();
        let mut last = graph.add("Conv2D", &[], |attrs| attrs);
        for _ in 0..5_000 {
            last = graph.add("Relu", &[last], |attrs| attrs);
        }
        assert_eq!(graph.0.rank(last), Some(4));
    }
}
