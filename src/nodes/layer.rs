//! Copies of a layer's ops with other inputs, and the reshapes between them, as batch-norm folding needs them.

use std::collections::BTreeMap;

use prost::Message;

use super::Builder;
use crate::error::Result;
use crate::graph::attr::{Attrs, Tensor};
use crate::graph::{NodeId, TensorRef};
use crate::proto::tensorflow::attr_value::{ListValue, Value};
use crate::proto::tensorflow::{AttrValue, DataType};

impl Builder<'_> {
    /// A node like `original` but for its name and inputs: same op, and all attributes that are the op's own.
    pub(crate) fn clone_op(&mut self, name: &str, original: NodeId, inputs: &[TensorRef]) -> Result<TensorRef> {
        let (op, own) = self.own_attrs(original);
        let node = self.op(&op, name, inputs, |attrs| put_all(attrs, &own))?;
        Ok(node.into())
    }

    /// As [`Builder::clone_op`] for a `DepthwiseConv2dNative`, with what `nn.depthwise_conv2d` leaves beside it: the
    /// filter's shape and the dilation rate. `filter_dims` is the filter's shape, where it is known.
    pub(crate) fn clone_depthwise(
        &mut self,
        name: &str,
        original: NodeId,
        inputs: [TensorRef; 2],
        filter_dims: Option<&[i32]>,
    ) -> Result<TensorRef> {
        let (op, own) = self.own_attrs(original);
        self.name_scope(name, |b| {
            match filter_dims {
                Some(dims) => b.constant("Shape", Tensor::Int32s(dims))?,
                None => b.shape("Shape", inputs[1], original)?,
            };
            b.constant("dilation_rate", Tensor::Int32s(&[1, 1]))?;
            b.op_here(&op, &inputs, |attrs| put_all(attrs, &own)).map(TensorRef::from)
        })
    }

    /// `tf.shape(x)` of a tensor whose shape is not known and whose type is that of `like`.
    pub(crate) fn shape(&mut self, name: &str, x: TensorRef, like: NodeId) -> Result<TensorRef> {
        let data_type = self.graph.attr_type(like, "T").unwrap_or(DataType::DtFloat as i32);
        let node = self.op("Shape", name, &[x], |attrs| {
            attrs.type_number("T", data_type).data_type("out_type", DataType::DtInt32)
        })?;
        Ok(node.into())
    }

    /// `tf.reshape(x, dims, name=name)` of a tensor of that type, by its number.
    pub(crate) fn reshape(&mut self, name: &str, x: TensorRef, dims: &[i32], data_type: i32) -> Result<TensorRef> {
        self.name_scope(name, |b| {
            let shape = b.constant("shape", Tensor::Int32s(dims))?;
            b.op_here("Reshape", &[x, shape], |attrs| {
                attrs.type_number("T", data_type).data_type("Tshape", DataType::DtInt32)
            })
            .map(TensorRef::from)
        })
    }

    /// The op, and the encoded attributes its definition knows: those of the node but for the marks that begin with an
    /// underscore, and the defaults that an exporter may have stripped.
    fn own_attrs(&self, node: NodeId) -> (String, BTreeMap<String, Vec<u8>>) {
        let op = self.graph.op(node).to_owned();
        let mut own: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for &(name, ref value) in &defaults(&op) {
            own.insert(name.to_owned(), AttrValue { value: Some(value.clone()) }.encode_to_vec());
        }
        for (name, value) in self.graph.attr_entries(node).filter(|(name, _)| !name.starts_with('_')) {
            own.insert(name.to_owned(), value.to_vec());
        }
        (op, own)
    }
}

fn put_all<'a>(attrs: &'a mut Attrs, own: &BTreeMap<String, Vec<u8>>) -> &'a mut Attrs {
    own.iter().fold(attrs, |attrs, (name, value)| attrs.raw(name, value))
}

fn defaults(op: &str) -> Vec<(&'static str, Value)> {
    let data_format = || ("data_format", Value::S("NHWC".into()));
    let dilations = || ("dilations", Value::List(ListValue { i: vec![1; 4], ..ListValue::default() }));
    match op {
        "Conv2D" => vec![data_format(), dilations(), ("use_cudnn_on_gpu", Value::B(true))],
        "DepthwiseConv2dNative" => vec![data_format(), dilations()],
        "MatMul" => vec![("transpose_a", Value::B(false)), ("transpose_b", Value::B(false))],
        _ => Vec::new(),
    }
}
