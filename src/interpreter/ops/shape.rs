//! Ops of shapes: asking for them, changing them, and tensors made of them alone.

use crate::error::Result;
use crate::interpreter::kernel::{Attributes, Kernel, Op, axis, invalid, kernel, size};
use crate::interpreter::memory::Memory;
use crate::interpreter::number::{Number, with_float_type, with_number_type};
use crate::interpreter::tensor::{DType, Data, Tensor, element_count, with_values};

/// A vector of sizes, of the type that the node asks for.
pub(super) fn sizes(values: impl Iterator<Item = usize>, dtype: DType) -> Tensor {
    match dtype {
        DType::I64 => Tensor::vector(values.map(|value| value as i64).collect::<Vec<_>>()),
        _ => Tensor::vector(values.map(|value| value as i32).collect::<Vec<_>>()),
    }
}

fn shape(node: &Attributes<'_>) -> Result<Kernel> {
    let dtype = node.dtype("out_type", DType::I32)?;
    Ok(Box::new(move |inputs, _| {
        let shapes = inputs.tensors(0, inputs.len())?;
        Ok(shapes.iter().map(|tensor| sizes(tensor.dims().iter().copied(), dtype).into()).collect())
    }))
}

fn count(node: &Attributes<'_>) -> Result<Kernel> {
    let dtype = node.dtype("out_type", DType::I32)?;
    kernel(move |inputs, _| sizes(std::iter::once(inputs.tensor(0)?.len()), dtype).reshaped(Vec::new()))
}

fn reshape(_: &Attributes<'_>) -> Result<Kernel> {
    kernel(|inputs, _| {
        let asked = inputs.ints(1)?;
        let x = inputs.take(0)?;
        let known = asked.iter().filter(|&&dim| dim != -1).map(|&dim| size(dim, "a dimension"));
        let known: Vec<usize> = known.collect::<Result<_>>()?;
        let rest = match asked.len() - known.len() {
            0 => 1,
            1 => open_dimension(x.dims(), &known)?,
            _ => return Err(invalid("two dimensions are left open")),
        };
        let dims = asked.iter().map(|&dim| usize::try_from(dim).unwrap_or(rest)).collect();
        x.reshaped(dims)
    })
}

/// The size that is left for the one open dimension; among zeros, what the others leave.
fn open_dimension(from: &[usize], known: &[usize]) -> Result<usize> {
    let has_zero = known.contains(&0);
    let product = |dims: &[usize]| dims.iter().filter(|&&dim| !has_zero || dim > 0).product::<usize>();
    element_count(known)?;
    Ok(product(from) / product(known).max(1))
}

fn squeeze(node: &Attributes<'_>) -> Result<Kernel> {
    let mut axes = node.ints("squeeze_dims");
    axes.extend(node.ints("axis"));
    kernel(move |inputs, _| {
        let x = inputs.take(0)?;
        let squeezed: Vec<usize> = axes.iter().map(|&index| axis(index, x.rank())).collect::<Result<_>>()?;
        if squeezed.iter().any(|&axis| x.dims()[axis] != 1) {
            return Err(invalid("a dimension to be squeezed is not 1"));
        }
        let stays = |axis: usize| if axes.is_empty() { x.dims()[axis] != 1 } else { !squeezed.contains(&axis) };
        let dims = (0..x.rank()).filter(|&axis| stays(axis)).map(|axis| x.dims()[axis]).collect();
        x.reshaped(dims)
    })
}

fn expand_dims(_: &Attributes<'_>) -> Result<Kernel> {
    kernel(|inputs, _| {
        let at = inputs.int(1)?;
        let x = inputs.take(0)?;
        let mut dims = x.dims().to_vec();
        dims.insert(axis(at, x.rank() + 1)?, 1);
        x.reshaped(dims)
    })
}

/// A tensor with that one value in every place.
pub(super) fn filled(dims: Vec<usize>, value: &Tensor, memory: &mut Memory) -> Result<Tensor> {
    let count = element_count(&dims)?;
    with_values!(value, values => {
        let &[value_of_all] = values else { return Err(invalid("the value to fill with is not a scalar")) };
        let filled = memory.collect(count, std::iter::repeat_n(value_of_all, count))?;
        Ok(Tensor::from_storage(dims, filled)?.retyped(value.dtype()))
    })
}

fn fill(_: &Attributes<'_>) -> Result<Kernel> {
    kernel(|inputs, memory| filled(inputs.sizes(0, "a dimension")?, inputs.tensor(1)?, memory))
}

/// Zeros or ones of an input's type and shape.
fn like(one: bool) -> Result<Kernel> {
    kernel(move |inputs, memory| {
        let x = inputs.tensor(0)?;
        let dims = x.dims().to_vec();
        if let Data::Bool(_) = x.data() {
            return filled(dims, &Tensor::scalar(one), memory);
        }
        let value = with_number_type!(x, T => Ok(Tensor::scalar(if one { T::ONE } else { T::ZERO })))?;
        Ok(filled(dims, &value, memory)?.retyped(x.dtype()))
    })
}

fn range(_: &Attributes<'_>) -> Result<Kernel> {
    kernel(|inputs, memory| {
        let start = inputs.tensor(0)?;
        with_number_type!(start, T => {
            let (start, limit, delta) = (inputs.scalar::<T>(0)?, inputs.scalar::<T>(1)?, inputs.scalar::<T>(2)?);
            if delta == T::ZERO {
                return Err(invalid("a range with steps of zero"));
            }
            let count = if T::IS_INTEGER {
                let (span, step) = (i128::from(limit.to_i64()) - i128::from(start.to_i64()), i128::from(delta.to_i64()));
                let whole = span / step + i128::from(span % step != 0 && (span < 0) == (step < 0));
                usize::try_from(whole.max(0)).unwrap_or(usize::MAX)
            } else {
                ((limit.to_f64() - start.to_f64()) / delta.to_f64()).ceil().max(0.0) as usize
            };
            element_count(&[count])?;
            let mut next = start;
            let values = std::iter::from_fn(|| {
                let value = next;
                next = Number::add(next, delta);
                Some(value)
            });
            Tensor::from_storage(vec![count], memory.collect(count, values)?)
        })
    })
}

fn lin_space(_: &Attributes<'_>) -> Result<Kernel> {
    kernel(|inputs, memory| {
        let start = inputs.tensor(0)?;
        let count = size(inputs.int(2)?, "the number of values")?;
        element_count(&[count])?;
        if count == 0 {
            return Err(invalid("no values between two"));
        }
        with_float_type!(start, T => {
            let (start, stop) = (inputs.scalar::<T>(0)?, inputs.scalar::<T>(1)?);
            let step = (stop - start) / T::from_i64(count as i64 - 1);
            let value = |at: usize| match at {
                0 => start,
                at if at + 1 == count => stop,
                at => start + step * T::from_i64(at as i64),
            };
            Tensor::from_storage(vec![count], memory.collect(count, (0..count).map(value))?)
        })
    })
}

fn ensure_shape(node: &Attributes<'_>) -> Result<Kernel> {
    let shape = node.graph.attr_shape(node.node, "shape").filter(|shape| !shape.unknown_rank);
    kernel(move |inputs, _| {
        let x = inputs.take(0)?;
        let fits = shape.as_ref().is_none_or(|shape| {
            let mut sizes = shape.dim.iter().zip(x.dims());
            shape.dim.len() == x.rank() && sizes.all(|(dim, &size)| dim.size < 0 || dim.size == size as i64)
        });
        if fits { Ok(x) } else { Err(invalid("a tensor is not of the shape that it was ensured to be of")) }
    })
}

pub(super) const OPS: &[Op] = &[
    Op { name: "Shape", prepare: shape },
    Op { name: "ShapeN", prepare: shape },
    Op { name: "Size", prepare: count },
    Op { name: "Rank", prepare: |_| kernel(|inputs, _| Ok(Tensor::scalar(inputs.tensor(0)?.rank() as i32))) },
    Op { name: "Reshape", prepare: reshape },
    Op { name: "Squeeze", prepare: squeeze },
    Op { name: "ExpandDims", prepare: expand_dims },
    Op { name: "Fill", prepare: fill },
    Op { name: "ZerosLike", prepare: |_| like(false) },
    Op { name: "OnesLike", prepare: |_| like(true) },
    Op { name: "LinSpace", prepare: lin_space },
    Op { name: "Range", prepare: range },
    Op { name: "EnsureShape", prepare: ensure_shape },
];
