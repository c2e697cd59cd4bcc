//! The element type of a tensor, as far as its op says it.

use super::{Graph, TensorRef};
use crate::proto::tensorflow::DataType;

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
            "ResizeBilinear" | "ResizeBicubic" => return Some(DataType::DtFloat),
            "Merge" | "RefMerge" if tensor.port == 1 => return Some(DataType::DtInt32),
            "Dequantize" if self.attr_type(node, "dtype").is_none() => return Some(DataType::DtFloat),
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
            | "Dequantize"
            | "RandomUniform"
            | "RandomStandardNormal"
            | "TruncatedNormal" => "dtype",
            "VarHandleOp" => return Some(DataType::DtResource),
            _ => "T",
        };
        DataType::try_from(self.attr_type(node, attr)?).ok()
    }
}
