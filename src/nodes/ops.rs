//! The single ops: constants, arithmetic, reductions, as the generated op wrappers and `math_ops` make them.

use super::{Builder, GlobalStep, Variable};
use crate::error::Result;
use crate::graph::attr::Tensor;
use crate::graph::{Input, NewNode, NodeId, TensorRef};
use crate::proto::tensorflow::DataType;

impl Builder<'_> {
    /// `tf.constant(value, name=name)`.
    pub(crate) fn constant(&mut self, name: &str, value: Tensor<'_>) -> Result<TensorRef> {
        let node =
            self.op("Const", name, &[], |attrs| attrs.data_type("dtype", value.data_type()).tensor("value", &value))?;
        Ok(node.into())
    }

    /// A NoOp of exactly that name that waits for `nodes`.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::InvalidGraph`] if the name is taken.
    pub(crate) fn no_op(&mut self, name: &str, nodes: &[NodeId]) -> Result<NodeId> {
        let inputs: Vec<Input> = nodes.iter().copied().map(Input::Control).collect();
        self.graph.insert(NewNode { name, op: "NoOp", device: "", inputs: &inputs, attrs: &[] })
    }

    /// An op of two tensors of the same type.
    pub(crate) fn binary(&mut self, op: &str, name: &str, x: TensorRef, y: TensorRef) -> Result<TensorRef> {
        let data_type = self.common_type(x, y)?;
        self.binary_of(op, name, x, y, data_type)
    }

    /// An op of two tensors of that type.
    pub(super) fn binary_of(
        &mut self,
        op: &str,
        name: &str,
        x: TensorRef,
        y: TensorRef,
        data_type: DataType,
    ) -> Result<TensorRef> {
        Ok(self.op(op, name, &[x, y], |attrs| attrs.data_type("T", data_type))?.into())
    }

    /// `op(x, <number>)`: the number becomes the constant `name/y`.
    pub(crate) fn binary_with_y(&mut self, op: &str, name: &str, x: TensorRef, y: Tensor<'_>) -> Result<TensorRef> {
        self.op_scope(name, |b| {
            let constant = b.constant("y", y)?;
            if b.number_type(x) != y.data_type() {
                b.common_type(x, constant)?;
            }
            b.op_here(op, &[x, constant], |attrs| attrs.data_type("T", y.data_type())).map(TensorRef::from)
        })
    }

    /// `op(<number>, y)`: the number becomes the constant `name/x`.
    pub(crate) fn binary_with_x(&mut self, op: &str, name: &str, x: Tensor<'_>, y: TensorRef) -> Result<TensorRef> {
        self.op_scope(name, |b| {
            let constant = b.constant("x", x)?;
            b.op_here(op, &[constant, y], |attrs| attrs.data_type("T", x.data_type())).map(TensorRef::from)
        })
    }

    /// `tf.rsqrt(x)` of a float tensor.
    pub(crate) fn rsqrt(&mut self, x: TensorRef) -> Result<TensorRef> {
        let node = self.op("Rsqrt", "Rsqrt", &[x], |attrs| attrs.data_type("T", DataType::DtFloat))?;
        Ok(node.into())
    }

    /// `tf.identity(x, name=name)`.
    pub(crate) fn identity(&mut self, name: &str, x: TensorRef, data_type: DataType) -> Result<TensorRef> {
        let node = self.op("Identity", name, &[x], |attrs| attrs.data_type("T", data_type))?;
        Ok(node.into())
    }

    /// `tf.fake_quant_with_min_max_vars(input, min, max)`; the ends are read once their updates are done, where there are any.
    pub(crate) fn fake_quant_with_min_max_vars(
        &mut self,
        input: TensorRef,
        ends: [(&Variable, Option<NodeId>); 2],
        bits: u8,
        narrow_range: bool,
    ) -> Result<TensorRef> {
        let op = "FakeQuantWithMinMaxVars";
        self.op_scope(op, |b| {
            let [min, max] = ends;
            let inputs = [input, b.value_after(min.0, min.1)?, b.value_after(max.0, max.1)?];
            let node = b.op_here(op, &inputs, |attrs| {
                attrs.bool("narrow_range", narrow_range).int("num_bits", i64::from(bits))
            })?;
            Ok(node.into())
        })
    }

    /// `tf.fake_quant_with_min_max_vars(input, min, max)` of constant ends.
    pub(crate) fn fake_quant_of_constants(
        &mut self,
        inputs: [TensorRef; 3],
        bits: u8,
        narrow_range: bool,
    ) -> Result<TensorRef> {
        self.fake_quant_op("FakeQuantWithMinMaxVars", inputs, bits, narrow_range)
    }

    /// `tf.fake_quant_with_min_max_vars_per_channel(input, min, max)`.
    pub(crate) fn fake_quant_per_channel(
        &mut self,
        inputs: [TensorRef; 3],
        bits: u8,
        narrow_range: bool,
    ) -> Result<TensorRef> {
        self.fake_quant_op("FakeQuantWithMinMaxVarsPerChannel", inputs, bits, narrow_range)
    }

    fn fake_quant_op(&mut self, op: &str, inputs: [TensorRef; 3], bits: u8, narrow_range: bool) -> Result<TensorRef> {
        let node = self
            .op(op, op, &inputs, |attrs| attrs.bool("narrow_range", narrow_range).int("num_bits", i64::from(bits)))?;
        Ok(node.into())
    }

    /// `step >= <number>`, for an integer tensor.
    pub(crate) fn greater_equal(&mut self, name: &str, step: &GlobalStep, number: i64) -> Result<TensorRef> {
        self.op_scope(name, |b| {
            let x = if step.is_resource { b.read_variable(step.tensor, step.data_type)? } else { step.tensor };
            let number = match i32::try_from(number) {
                Ok(number) if step.data_type == DataType::DtInt32 => Tensor::Int32(number),
                _ => Tensor::Int64(number),
            };
            let y = b.constant("y", number)?;
            b.op_here("GreaterEqual", &[x, y], |attrs| attrs.data_type("T", step.data_type)).map(TensorRef::from)
        })
    }

    /// `tf.reduce_min` / `tf.reduce_max` of all elements. Without a known rank the axes are computed by Rank and Range.
    pub(crate) fn reduce_all(&mut self, op: &str, name: &str, x: TensorRef, rank: Option<usize>) -> Result<TensorRef> {
        let axes = match rank {
            Some(rank) => {
                let axes: Vec<i32> = (0..).take(rank).collect();
                self.constant("Const", Tensor::Int32s(&axes))?
            }
            None => self.all_axes(x)?,
        };
        let node = self.op(op, name, &[x, axes], |attrs| {
            attrs.data_type("T", DataType::DtFloat).data_type("Tidx", DataType::DtInt32).bool("keep_dims", false)
        })?;
        Ok(node.into())
    }

    /// `range(0, rank(x))`.
    fn all_axes(&mut self, x: TensorRef) -> Result<TensorRef> {
        let rank = self.op("Rank", "Rank", &[x], |attrs| attrs.data_type("T", DataType::DtFloat))?;
        self.op_scope("range", |b| {
            let start = b.constant("start", Tensor::Int32(0))?;
            let delta = b.constant("delta", Tensor::Int32(1))?;
            let range = [start, rank.into(), delta];
            b.op_here("Range", &range, |attrs| attrs.data_type("Tidx", DataType::DtInt32)).map(TensorRef::from)
        })
    }
}
