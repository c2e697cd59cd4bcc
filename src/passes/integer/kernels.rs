//! What the integer kernels of TensorFlow's converter are like, op by op: whoever places ranges and whoever checks them
//! asks here.
//!
//! Measured with 2.15 and 2.21 (`tests/tensorflow/converter_corpus.py`).

/// How an op computes in integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// It does not: the converter leaves it in float, whatever range it has.
    None,
    /// It hands on values, in the range of what it reads.
    HandsOn,
    /// It joins several tensors into one, all of one range.
    Joins,
    /// Its result has a range of its own that the kernel knows.
    Fixed,
    /// It computes a result that needs a range from a fake quantizer.
    Computes,
    /// Nothing is known of it.
    Unknown,
}

/// The kernel of a graph's op.
#[must_use]
pub(crate) fn kernel(op: &str) -> Kernel {
    match op {
        "Reshape"
        | "Squeeze"
        | "ExpandDims"
        | "Identity"
        | "IdentityN"
        | "StopGradient"
        | "Pad"
        | "PadV2"
        | "MirrorPad"
        | "MaxPool"
        | "AvgPool"
        | "Transpose"
        | "Slice"
        | "StridedSlice"
        | "Split"
        | "SplitV"
        | "Unpack"
        | "Gather"
        | "GatherV2"
        | "Tile"
        | "BroadcastTo"
        | "ResizeBilinear"
        | "ResizeNearestNeighbor"
        | "DepthToSpace"
        | "SpaceToDepth"
        | "BatchToSpaceND"
        | "SpaceToBatchND"
        | "Max"
        | "Min"
        | "TopKV2"
        | "CheckNumerics"
        | "PreventGradient" => Kernel::HandsOn,
        "Concat" | "ConcatV2" | "Pack" | "Maximum" | "Minimum" | "Select" | "SelectV2" => Kernel::Joins,
        "Softmax" | "LogSoftmax" | "Sigmoid" | "Tanh" => Kernel::Fixed,
        "Neg" | "Square" | "Sqrt" | "Rsqrt" | "Log" | "Log1p" | "Sin" | "Cos" | "Elu" | "Selu" | "Softplus"
        | "Floor" | "Cumsum" | "LRN" | "Conv3D" | "AddN" | "Pow" | "Erf" => Kernel::None,
        "Conv2D"
        | "DepthwiseConv2dNative"
        | "Conv2DBackpropInput"
        | "MatMul"
        | "BatchMatMul"
        | "BatchMatMulV2"
        | "BatchMatMulV3"
        | "BiasAdd"
        | "Add"
        | "AddV2"
        | "Sub"
        | "Mul"
        | "Relu"
        | "Relu6"
        | "LeakyRelu"
        | "Mean"
        | "Sum"
        | "Abs"
        | "Exp"
        | "SquaredDifference"
        | "ReverseV2"
        | "Fill"
        | "Greater"
        | "GreaterEqual"
        | "Less"
        | "LessEqual"
        | "Equal"
        | "NotEqual"
        | "ArgMax"
        | "ArgMin" => Kernel::Computes,
        _ => Kernel::Unknown,
    }
}

/// Whether the op's result is made of values that it reads, in their range.
pub(crate) fn passes_on(op: &str) -> bool {
    matches!(kernel(op), Kernel::HandsOn | Kernel::Joins)
}
