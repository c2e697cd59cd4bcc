//! Nodes as TensorFlow's messages hold them, attribute by attribute, for graphs that tests make.

#![allow(dead_code)] // every test uses its part

use tfquant::internals::tensorflow::attr_value::{ListValue, Value};
use tfquant::internals::tensorflow::tensor_shape_proto::Dim;
use tfquant::internals::tensorflow::{AttrValue, DataType, NodeDef, TensorProto, TensorShapeProto};

/// A node with its attributes still to come.
pub struct Builder(pub NodeDef);

pub fn node(name: &str, op: &str, inputs: &[&str]) -> Builder {
    let input = inputs.iter().map(|&input| input.to_owned()).collect();
    Builder(NodeDef { name: name.to_owned(), op: op.to_owned(), input, ..NodeDef::default() })
}

impl Builder {
    pub fn attr(mut self, key: &str, value: Value) -> Self {
        self.0.attr.insert(key.to_owned(), AttrValue { value: Some(value) });
        self
    }

    /// A type in that attribute.
    pub fn dtype(self, key: &str, data_type: DataType) -> Self {
        self.attr(key, Value::Type(data_type as i32))
    }

    pub fn bool(self, key: &str, value: bool) -> Self {
        self.attr(key, Value::B(value))
    }

    pub fn int(self, key: &str, value: i64) -> Self {
        self.attr(key, Value::I(value))
    }

    pub fn ints(self, key: &str, values: &[i64]) -> Self {
        self.attr(key, Value::List(ListValue { i: values.to_vec(), ..ListValue::default() }))
    }

    /// A float in that attribute.
    pub fn typed(self, key: &str) -> Self {
        self.attr(key, Value::Type(DataType::DtFloat as i32))
    }

    pub fn text(self, key: &str, text: &str) -> Self {
        self.attr(key, Value::S(text.to_owned().into()))
    }

    pub fn shape(self, key: &str, dims: &[i64]) -> Self {
        self.attr(key, Value::Shape(shape(dims)))
    }

    /// The shape of the only output, as exporters record it.
    pub fn shaped(self, dims: &[i64]) -> Self {
        self.attr("_output_shapes", shapes(&[dims]))
    }

    /// Belongs to that variable.
    pub fn class(self, variable: &str) -> Self {
        let s = vec![format!("loc:@{variable}").into()];
        self.attr("_class", Value::List(ListValue { s, ..ListValue::default() }))
    }
}

pub fn shape(dims: &[i64]) -> TensorShapeProto {
    let dim = dims.iter().map(|&size| Dim { size, ..Dim::default() }).collect();
    TensorShapeProto { dim, unknown_rank: false }
}

pub fn shapes(outputs: &[&[i64]]) -> Value {
    let shape = outputs.iter().map(|dims| shape(dims)).collect();
    Value::List(ListValue { shape, ..ListValue::default() })
}

pub fn floats(dims: &[i64], values: &[f32]) -> Value {
    let tensor_shape = Some(shape(dims));
    let dtype = DataType::DtFloat as i32;
    Value::Tensor(TensorProto { dtype, tensor_shape, float_val: values.to_vec(), ..TensorProto::default() })
}

pub fn ints(values: &[i32]) -> Value {
    let tensor_content: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Value::Tensor(TensorProto {
        dtype: DataType::DtInt32 as i32,
        tensor_shape: i64::try_from(values.len()).ok().map(|length| shape(&[length])),
        tensor_content: tensor_content.into(),
        ..TensorProto::default()
    })
}
