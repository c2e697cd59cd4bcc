//! Graphs of one op on constants, for the interpreter's fuzz target.

use bytes::Bytes;
use tfquant::internals::{Attrs, Input, NewNode, attr, parse, put_bytes};

/// Ops of every family.
const OPS: &[&str] = &[
    "Conv2D",
    "DepthwiseConv2dNative",
    "Conv2DBackpropInput",
    "MatMul",
    "BatchMatMulV2",
    "BiasAdd",
    "FusedBatchNormV3",
    "MaxPool",
    "AvgPool",
    "Pad",
    "PadV2",
    "MirrorPad",
    "ConcatV2",
    "Split",
    "SplitV",
    "Slice",
    "StridedSlice",
    "Pack",
    "Unpack",
    "Reshape",
    "Squeeze",
    "ExpandDims",
    "Transpose",
    "Tile",
    "BroadcastTo",
    "GatherV2",
    "GatherNd",
    "Range",
    "Fill",
    "OneHot",
    "Cumsum",
    "Mean",
    "Sum",
    "Max",
    "All",
    "ArgMax",
    "AddV2",
    "FloorMod",
    "RealDiv",
    "Pow",
    "SelectV2",
    "Select",
    "Where",
    "Cast",
    "Softmax",
    "LRN",
    "ResizeBilinear",
    "ResizeNearestNeighbor",
    "SpaceToBatchND",
    "BatchToSpaceND",
    "DepthToSpace",
    "SpaceToDepth",
    "ReverseV2",
    "TensorListReserve",
    "TensorListFromTensor",
    "TensorListStack",
    "TensorArrayV3",
    "FakeQuantWithMinMaxVars",
    "FakeQuantWithMinMaxVarsPerChannel",
    "Switch",
    "Merge",
    "Shape",
    "AddN",
    "BroadcastArgs",
    "Relu6",
    "LogSoftmax",
    "Conv3D",
    "Conv3DBackpropInputV2",
    "MaxPool3D",
    "ResizeBicubic",
    "ResizeArea",
    "CropAndResize",
    "ExtractImagePatches",
    "MaxPoolWithArgmax",
    "MaxPoolV2",
    "NonMaxSuppressionV3",
    "NonMaxSuppressionV5",
    "NonMaxSuppressionWithOverlaps",
    "CombinedNonMaxSuppression",
    "ScatterNd",
    "TensorScatterUpdate",
    "TensorScatterAdd",
    "SparseToDense",
    "DynamicStitch",
    "SegmentMean",
    "UnsortedSegmentSum",
    "Unique",
    "ListDiff",
    "MatrixBandPart",
    "MatrixDiagV3",
    "MatrixDiagPartV3",
    "MatrixSetDiagV3",
    "Diag",
    "DiagPart",
    "LinSpace",
    "LSTMBlockCell",
    "BlockLSTM",
    "GRUBlockCell",
    "BatchNormWithGlobalNormalization",
    "TopKV2",
];

/// A graph of one op on constants: op, attributes, types, shapes and values are what the bytes say.
#[allow(clippy::cast_possible_truncation)]
pub fn one_op(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.iter().copied();
    let mut next = move || bytes.next().unwrap_or(0);
    let op = OPS[usize::from(next()) % OPS.len()];
    let mut attrs = Attrs::default();
    let number = |byte: u8| match byte {
        0..=240 => i64::from(byte % 6) - 1,
        241..=246 => 1 << (byte - 210),
        247..=250 => i64::MAX,
        _ => i64::MIN,
    };
    for name in ["axis", "begin_mask", "block_size", "ellipsis_mask", "end_mask", "new_axis_mask", "num", "num_bits"] {
        attrs.int(name, number(next()));
    }
    let axes = if op.contains("3D") { 5 } else { 4 };
    for name in ["dilations", "explicit_paddings", "ksize", "ksizes", "rates", "squeeze_dims", "strides"] {
        let values: Vec<i64> =
            (0..if name.starts_with('e') { 8 } else { axes }).map(|_| number(next()).max(1)).collect();
        attrs.ints(name, &values);
    }
    let choice = next();
    attrs.str("data_format", if choice & 1 == 0 { "NHWC" } else { "NCHW" });
    attrs.str("mode", if choice & 2 == 0 { "REFLECT" } else { "SYMMETRIC" });
    attrs.str("padding", ["SAME", "VALID", "EXPLICIT", "SAME"][usize::from(choice >> 2 & 3)]);
    for (bit, name) in ["keep_dims", "align_corners", "transpose_a", "adj_y"].iter().enumerate() {
        attrs.bool(name, choice >> (4 + bit) & 1 == 1);
    }
    let mut file = parse(Bytes::new()).expect("no nodes");
    let mut inputs = Vec::new();
    for index in 0..next() % 10 {
        let kind = next();
        let dims: Vec<i64> = (0..kind >> 4 & 7).take(5).map(|_| number(next()).max(0)).collect();
        let mut constant = Attrs::default();
        let tensor = match kind & 3 {
            0 => attr::Tensor::Filled(f32::from(next()) - 9.0, &dims),
            1 => attr::Tensor::Int32(number(next()) as i32),
            2 => attr::Tensor::Bool(next() & 1 == 1),
            _ => {
                let values: Vec<i32> = (0..kind >> 4).map(|_| number(next()) as i32).collect();
                let name = format!("i{index}");
                constant.tensor("value", &attr::Tensor::Int32s(&values));
                let new = NewNode { name: &name, op: "Const", device: "", inputs: &[], attrs: constant.as_bytes() };
                inputs.push(Input::Data(file.insert(new).expect("a new name").into()));
                continue;
            }
        };
        constant.tensor("value", &tensor);
        let name = format!("i{index}");
        let new = NewNode { name: &name, op: "Const", device: "", inputs: &[], attrs: constant.as_bytes() };
        inputs.push(Input::Data(file.insert(new).expect("a new name").into()));
    }
    let new = NewNode { name: "op", op, device: "", inputs: &inputs, attrs: attrs.as_bytes() };
    file.insert(new).expect("a new name");
    let mut encoded = Vec::new();
    file.ids().for_each(|node| put_bytes(&mut encoded, 1, &file.node_def(node)));
    encoded
}
