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
        "Neg" | "Square" | "Sqrt" | "Log1p" | "Sin" | "Cos" | "Elu" | "Selu" | "Softplus" | "Softsign" | "Floor"
        | "Ceil" | "Round" | "Sign" | "Cumsum" | "LRN" | "Conv3D" | "AddN" | "Pow" | "Erf" | "Erfc" => Kernel::None,
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
        | "Log"
        | "Rsqrt"
        | "Prod"
        | "SquaredDifference"
        | "ReverseV2"
        | "Fill"
        | "Greater"
        | "GreaterEqual"
        | "Less"
        | "LessEqual"
        | "Einsum"
        | "Equal"
        | "NotEqual"
        | "ArgMax"
        | "ArgMin" => Kernel::Computes,
        _ => Kernel::Unknown,
    }
}

/// Squared differences of more dimensions the converter takes apart, and leaves in float.
pub(crate) const MOST_DIMENSIONS: usize = 4;

/// Whether the converter has nothing that computes the op at all.
#[must_use]
pub(crate) fn is_not_converted(op: &str) -> bool {
    matches!(
        op,
        "Acos"
            | "Acosh"
            | "Asin"
            | "Asinh"
            | "Atan"
            | "Atanh"
            | "AvgPool3D"
            | "BesselI0e"
            | "BesselI1e"
            | "Betainc"
            | "Bincount"
            | "Cholesky"
            | "Cosh"
            | "CropAndResize"
            | "Cumprod"
            | "Digamma"
            | "Dilation2D"
            | "Erf"
            | "Erfc"
            | "Erfinv"
            | "EuclideanNorm"
            | "ExtractImagePatches"
            | "MatrixInverse"
            | "MaxPool3D"
            | "MaxPoolWithArgmax"
            | "Ndtri"
            | "RGBToHSV"
            | "ResizeArea"
            | "ResizeBicubic"
            | "Sinh"
            | "Tan"
            | "TruncateMod"
    )
}

/// Whether the op's result is made of values that it reads, in their range.
pub(crate) fn passes_on(op: &str) -> bool {
    matches!(kernel(op), Kernel::HandsOn | Kernel::Joins)
}
