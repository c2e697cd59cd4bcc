//! What a constant holds.

use super::{Graph, NodeId, TensorRef};
use crate::proto::tensorflow::{DataType, TensorProto};

/// A chain of Identity nodes before a Const is followed this far.
const MAX_IDENTITIES: usize = 16;
/// More numbers than any shape or list of axes holds.
const MAX_NUMBERS: usize = 1 << 10;

impl Graph {
    /// The Const that a tensor is, also behind Identity.
    pub(crate) fn const_node(&self, tensor: TensorRef) -> Option<NodeId> {
        let mut node = tensor.node;
        for _ in 0..MAX_IDENTITIES {
            match self.op(node) {
                "Identity" => node = self.data_input(node, 0)?.node,
                "Const" => return Some(node),
                _ => return None,
            }
        }
        None
    }

    /// The tensor of a Const, also behind Identity.
    #[must_use]
    pub fn const_value(&self, tensor: TensorRef) -> Option<TensorProto> {
        self.attr_tensor(self.const_node(tensor)?, "value")
    }

    /// The one 32-bit float that a Const holds, also behind Identity.
    #[must_use]
    pub fn const_float(&self, tensor: TensorRef) -> Option<f32> {
        let value = self.const_value(tensor)?;
        match (value.float_val.as_slice(), value.tensor_content.as_ref()) {
            (&[number], []) => Some(number),
            ([], &[a, b, c, d]) => Some(f32::from_le_bytes([a, b, c, d])),
            // Grappler leaves zeros out.
            ([], []) if value.dtype == DataType::DtFloat as i32 && element_count(&value) != Some(0) => Some(0.0),
            _ => None,
        }
    }

    /// The integers of a Const, also behind Identity; none if it holds more than any shape or list of axes.
    #[must_use]
    pub fn const_ints(&self, tensor: TensorRef) -> Option<Vec<i64>> {
        let value = self.const_value(tensor)?;
        let count = element_count(&value).filter(|&count| count <= MAX_NUMBERS)?;
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
        if listed.len() > count {
            return None;
        }
        let last = listed.last().copied().unwrap_or(0);
        Some(listed.into_iter().chain(std::iter::repeat(last)).take(count).collect())
    }
}

/// How many elements a tensor has, by its shape.
#[must_use]
pub(crate) fn element_count(tensor: &TensorProto) -> Option<usize> {
    let dims = tensor.tensor_shape.as_ref().map_or(&[][..], |shape| &shape.dim);
    dims.iter().try_fold(1usize, |count, dim| count.checked_mul(usize::try_from(dim.size).ok()?))
}

#[cfg(test)]
mod tests {
    use crate::container::{Encoding, MessageKind, Model, OpenOptions};

    #[test]
    fn a_number_that_is_left_out_is_zero() {
        let node = |name: &str, dtype: &str, tensor: &str| {
            format!(
                r#"node {{ name: "{name}" op: "Const" attr {{ key: "dtype" value {{ type: {dtype} }} }}
                   attr {{ key: "value" value {{ tensor {{ dtype: {dtype} {tensor} }} }} }} }}"#
            )
        };
        let text = [
            node("given", "DT_FLOAT", "tensor_shape { } float_val: 2.5"),
            node("left_out", "DT_FLOAT", "tensor_shape { }"),
            node("empty", "DT_FLOAT", "tensor_shape { dim { size: 0 } }"),
            node("integer", "DT_INT32", "tensor_shape { }"),
        ]
        .concat();
        let options = OpenOptions { format: Some((MessageKind::GraphDef, Encoding::Text)), ..OpenOptions::default() };
        let graph = Model::open(text.into_bytes().into(), &options).unwrap().graph;
        let number = |name: &str| graph.const_float(graph.find(name).unwrap().into());
        assert_eq!(["given", "left_out", "empty", "integer"].map(number), [Some(2.5), Some(0.0), None, None]);
        assert_eq!(graph.const_ints(graph.find("integer").unwrap().into()), Some(vec![0]));
    }
}
