//! Arithmetic on tensors of any number type and shape, as `math_ops` and `array_ops` of TensorFlow 1.15 build it.

use super::Builder;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::TensorRef;
use crate::graph::attr::Tensor;
use crate::proto::tensorflow::DataType;

/// From this many elements on, `zeros` and `ones` fill a tensor when the graph runs instead of holding a constant.
const FILL_FROM: i64 = 1000;

impl Builder<'_> {
    /// The tensor's element type, a reference counting as what it refers to; float where it is not known.
    pub(crate) fn number_type(&self, x: TensorRef) -> DataType {
        let known = self.graph.tensor_type(x).unwrap_or(DataType::DtFloat);
        DataType::try_from(known as i32 % REFERENCE).unwrap_or(known)
    }

    /// The element type of two tensors that an op wants to be of one type.
    pub(crate) fn common_type(&self, x: TensorRef, y: TensorRef) -> Result<DataType> {
        let (of_x, of_y) = (self.number_type(x), self.number_type(y));
        if of_x == of_y {
            return Ok(of_x);
        }
        let what = format!(
            "'{}' is {} but '{}' is {}, and the two would have to be combined",
            self.graph.tensor_name(x),
            of_x.as_str_name(),
            self.graph.tensor_name(y),
            of_y.as_str_name()
        );
        Err(self.graph.error(ErrorKind::Refused, what, x.node).hint("export the model in float32 throughout"))
    }

    /// An op of one tensor, of its type.
    pub(crate) fn unary(&mut self, op: &str, name: &str, x: TensorRef) -> Result<TensorRef> {
        let data_type = self.number_type(x);
        Ok(self.op(op, name, &[x], |attrs| attrs.data_type("T", data_type))?.into())
    }

    /// `x / y` of two 32-bit integers: both become doubles.
    pub(crate) fn divide_integers(&mut self, x: TensorRef, y: TensorRef) -> Result<TensorRef> {
        self.name_scope("truediv", |b| {
            let x = b.cast("Cast", x, DataType::DtDouble)?;
            let y = b.cast("Cast", y, DataType::DtDouble)?;
            b.op_here("RealDiv", &[x, y], |attrs| attrs.data_type("T", DataType::DtDouble)).map(TensorRef::from)
        })
    }

    /// `tf.cast(x, to)`.
    pub(crate) fn cast(&mut self, name: &str, x: TensorRef, to: DataType) -> Result<TensorRef> {
        let from = self.number_type(x);
        if from == to {
            return Ok(x);
        }
        let node = self.op("Cast", name, &[x], |attrs| {
            attrs.data_type("DstT", to).data_type("SrcT", from).bool("Truncate", false)
        })?;
        Ok(node.into())
    }

    /// `tf.size(x)`: a constant where the shape is known, as `elements` tells.
    pub(crate) fn size(&mut self, x: TensorRef, elements: Option<i64>) -> Result<TensorRef> {
        let Some(elements) = elements else {
            let data_type = self.number_type(x);
            let node = self.op("Size", "Size", &[x], |attrs| {
                attrs.data_type("T", data_type).data_type("out_type", DataType::DtInt32)
            })?;
            return Ok(node.into());
        };
        let elements = i32::try_from(elements).map_err(|_| {
            let what = format!("a tensor of {elements} elements is too large to be counted in 32 bits");
            self.graph
                .error(ErrorKind::Refused, what, x.node)
                .hint("shrink the batch size that the graph was built for")
        })?;
        self.constant("Size", Tensor::Int32(elements))
    }

    /// `tf.zeros(shape)` or `tf.ones(shape)` of floats, by name.
    pub(crate) fn filled(&mut self, name: &str, value: f32, shape: &[i64]) -> Result<TensorRef> {
        if shape.iter().copied().fold(1i64, i64::saturating_mul) < FILL_FROM {
            return self.constant(name, Tensor::Filled(value, shape));
        }
        let dims: Option<Vec<i32>> = shape.iter().map(|&dim| i32::try_from(dim).ok()).collect();
        let dims = dims.ok_or_else(|| {
            Error::new(ErrorKind::Refused, format!("a dimension of {shape:?} is too large"))
                .hint("no layer has that many channels; check the shapes in the graph")
        })?;
        self.name_scope(name, |b| {
            let shape = b.constant("shape_as_tensor", Tensor::Int32s(&dims))?;
            let value = b.constant("Const", Tensor::Float(value))?;
            let node = b.op_here("Fill", &[shape, value], |attrs| {
                attrs.data_type("T", DataType::DtFloat).data_type("index_type", DataType::DtInt32)
            })?;
            Ok(node.into())
        })
    }
}

/// A reference to a type has the type's number plus this.
const REFERENCE: i32 = 100;
