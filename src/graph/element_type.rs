//! The element type of a tensor, as far as its op says it.

use super::{Graph, TensorRef};
use crate::proto::tensorflow::DataType;

impl Graph {
    /// The tensor's element type, where its op says it.
    #[must_use]
    pub fn tensor_type(&self, tensor: TensorRef) -> Option<DataType> {
        let node = tensor.node;
        // Attributes of the default value are left out by whoever strips them: exporters of SavedModels do.
        let (attr, default) = match self.op(node) {
            "Cast" => ("DstT", None),
            "Shape" | "ShapeN" | "Size" => ("out_type", Some(DataType::DtInt32)),
            "ArgMax" | "ArgMin" => ("output_type", Some(DataType::DtInt64)),
            "Range" => ("Tidx", Some(DataType::DtInt32)),
            "Rank" => return Some(DataType::DtInt32),
            "ResizeBilinear" | "ResizeBicubic" => return Some(DataType::DtFloat),
            "Merge" | "RefMerge" if tensor.port == 1 => return Some(DataType::DtInt32),
            "Dequantize" => ("dtype", Some(DataType::DtFloat)),
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
            "FusedBatchNormV2" | "FusedBatchNormV3" if tensor.port > 0 => ("U", None),
            "Const"
            | "VariableV2"
            | "Variable"
            | "Placeholder"
            | "PlaceholderWithDefault"
            | "ReadVariableOp"
            | "RandomUniform"
            | "RandomStandardNormal"
            | "TruncatedNormal" => ("dtype", None),
            "VarHandleOp" => return Some(DataType::DtResource),
            _ => ("T", None),
        };
        match self.attr_type(node, attr) {
            Some(number) => DataType::try_from(number).ok(),
            None => default,
        }
    }
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
