//! `OneHot` of floats: the converter makes no model of one in a range. A `OneHot` of truths has a kernel, and so has choosing
//! by them.

use super::super::parts::{END, Parts};
use crate::error::Result;
use crate::graph::attr::{Attrs, Tensor as Value};
use crate::graph::{Graph, NodeId, TensorRef};
use crate::proto::tensorflow::DataType;

/// Rows of one value, but for one element.
#[derive(Debug)]
pub(super) struct OneHot {
    indices: TensorRef,
    indices_type: DataType,
    depth: TensorRef,
    on: TensorRef,
    off: TensorRef,
    axis: i64,
}

pub(super) fn find(graph: &Graph, node: NodeId) -> Option<OneHot> {
    let input = |place: usize| graph.data_input(node, place);
    let indices = input(0)?;
    Some(OneHot {
        indices,
        indices_type: graph.tensor_type(indices)?,
        depth: input(1)?,
        on: input(2)?,
        off: input(3)?,
        axis: graph.attr_int(node, "axis").unwrap_or(-1),
    })
}

impl OneHot {
    pub(super) fn write(self, parts: &mut Parts<'_>) -> Result<TensorRef> {
        let (mut indices, mut kind) = (self.indices, self.indices_type);
        if !matches!(kind, DataType::DtInt32 | DataType::DtInt64) {
            let mut attrs = Attrs::default();
            attrs.data_type("SrcT", kind).data_type("DstT", DataType::DtInt32);
            indices = parts.insert("indices", "Cast", &[indices], &attrs)?;
            kind = DataType::DtInt32;
        }
        let [on, off] = [parts.constant("on", &Value::Bool(true))?, parts.constant("off", &Value::Bool(false))?];
        let mut attrs = Attrs::default();
        attrs.data_type("T", DataType::DtBool).data_type("TI", kind).int("axis", self.axis);
        let is = parts.insert("is", "OneHot", &[indices, self.depth, on, off], &attrs)?;
        parts.choose(END, is, self.on, self.off)
    }
}
