//! The element type of a tensor, as far as its op says it.

use super::{Graph, TensorRef};
use crate::proto::tensorflow::DataType;

impl Graph {
    /// The tensor's element type, where its op says it.
    #[must_use]
    pub fn tensor_type(&self, tensor: TensorRef) -> Option<DataType> {
        let node = tensor.node;
        let op = self.op(node);
        if let Some(fixed) = fixed_type(op, tensor.port) {
            return Some(fixed);
        }
        // Attributes of the default value are left out by whoever strips them: exporters of SavedModels do.
        let (attr, default) = match op {
            "Cast" => ("DstT", None),
            "Shape" | "ShapeN" | "Size" => ("out_type", Some(DataType::DtInt32)),
            "ArgMax" | "ArgMin" => ("output_type", Some(DataType::DtInt64)),
            "MaxPoolWithArgmax" if tensor.port == 1 => ("Targmax", Some(DataType::DtInt64)),
            "TopKV2" if tensor.port == 1 => ("index_type", Some(DataType::DtInt32)),
            "Unique" | "UniqueV2" | "UniqueWithCounts" | "UniqueWithCountsV2" | "ListDiff" if tensor.port > 0 => {
                ("out_idx", Some(DataType::DtInt32))
            }
            "Range" => ("Tidx", Some(DataType::DtInt32)),
            "Dequantize" => ("dtype", Some(DataType::DtFloat)),
            "LeakyRelu" | "LRN" | "MaxPool" | "MaxPoolV2" | "NonMaxSuppressionV5" => ("T", Some(DataType::DtFloat)),
            "InvertPermutation" | "BroadcastArgs" => ("T", Some(DataType::DtInt32)),
            "Gather" | "GatherV2" | "GatherNd" => ("Tparams", None),
            "BatchMatMulV3" => ("Tout", None),
            "FusedBatchNormV2" | "FusedBatchNormV3" if tensor.port > 0 => ("U", None),
            "Const"
            | "VariableV2"
            | "Variable"
            | "Placeholder"
            | "PlaceholderV2"
            | "PlaceholderWithDefault"
            | "ReadVariableOp"
            | "ResourceGather"
            | "RandomUniform"
            | "RandomStandardNormal"
            | "TruncatedNormal"
            | "TensorArrayReadV3"
            | "TensorArrayGatherV3"
            | "TensorArrayConcatV3" => ("dtype", None),
            "TensorListGetItem" | "TensorListStack" | "TensorListGather" | "TensorListConcatV2" => {
                ("element_dtype", None)
            }
            _ => ("T", None),
        };
        match self.attr_type(node, attr) {
            Some(number) => DataType::try_from(number).ok(),
            None => default,
        }
    }
}

/// The type that an op's output is of, whatever its attributes.
fn fixed_type(op: &str, port: u32) -> Option<DataType> {
    Some(match op {
        "ResizeBilinear"
        | "ResizeBicubic"
        | "ResizeArea"
        | "CropAndResize"
        | "SparseMatMul"
        | "TensorArrayWriteV3"
        | "TensorArrayScatterV3"
        | "TensorArraySplitV3"
        | "FakeQuantWithMinMaxVars"
        | "FakeQuantWithMinMaxArgs"
        | "FakeQuantWithMinMaxVarsPerChannel" => DataType::DtFloat,
        "CombinedNonMaxSuppression" if port < 3 => DataType::DtFloat,
        "TensorArrayV3" if port == 1 => DataType::DtFloat,
        "NonMaxSuppressionV5" if port == 1 => return None,
        "Rank"
        | "TensorArraySizeV3"
        | "TensorListLength"
        | "CombinedNonMaxSuppression"
        | "NonMaxSuppression"
        | "NonMaxSuppressionV2"
        | "NonMaxSuppressionV3"
        | "NonMaxSuppressionV4"
        | "NonMaxSuppressionV5"
        | "NonMaxSuppressionWithOverlaps" => DataType::DtInt32,
        "Merge" | "RefMerge" | "TopK" if port == 1 => DataType::DtInt32,
        "Where" => DataType::DtInt64,
        "TensorArrayConcatV3" | "TensorListConcatV2" if port == 1 => DataType::DtInt64,
        "All"
        | "Any"
        | "Equal"
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
        | "IsVariableInitialized" => DataType::DtBool,
        "VarHandleOp" | "TensorArrayV3" => DataType::DtResource,
        "EmptyTensorList"
        | "TensorListFromTensor"
        | "TensorListPushBack"
        | "TensorListReserve"
        | "TensorListResize"
        | "TensorListScatterV2"
        | "TensorListScatterIntoExistingList"
        | "TensorListSetItem" => DataType::DtVariant,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples::graph_of;

    #[test]
    fn an_attribute_that_was_left_out_has_its_default() {
        let graph = graph_of("x = Placeholder [?,4]\n shape = Shape(x)\n axis = Const [1]i\n most = ArgMax(x, axis)");
        let types = ["x", "shape", "most"].map(|name| graph.tensor_type(graph.find(name).unwrap().into()));
        assert_eq!(types, [DataType::DtFloat, DataType::DtInt32, DataType::DtInt64].map(Some));
    }
}
