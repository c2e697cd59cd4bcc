//! Select, SelectV2, Where.

use crate::error::Result;
use crate::interpreter::kernel::{Attributes, Kernel, Op, invalid, kernel};
use crate::interpreter::layout::{Walk, broadcast, broadcast_strides, row_major};
use crate::interpreter::memory::Memory;
use crate::interpreter::tensor::{Data, Element, Tensor, with_values};

fn choose<T: Element>(condition: &Tensor, yes: &Tensor, no: &Tensor, memory: &mut Memory) -> Result<Tensor> {
    let dims = broadcast(condition.dims(), &broadcast(yes.dims(), no.dims())?)?;
    let mut out = memory.unset_for::<T>(&dims)?;
    let of = |tensor: &Tensor| broadcast_strides(tensor.dims(), &dims);
    let (of_out, of_condition, of_yes, of_no) = (row_major(&dims), of(condition), of(yes), of(no));
    let strides: Vec<[isize; 4]> =
        (0..dims.len()).map(|axis| [of_out[axis], of_condition[axis], of_yes[axis], of_no[axis]]).collect();
    let walk = Walk::new(&dims, &strides);
    let (Some(conditions), Some(yes), Some(no)) = (condition.values::<bool>(), yes.values::<T>(), no.values::<T>())
    else {
        return Err(invalid("tensors of different types to choose from"));
    };
    let (length, steps) = walk.row();
    let step = steps.map(|step| usize::from(step != 0));
    walk.for_each_row([0; 4], |[at, condition_at, yes_at, no_at]| {
        for (index, out) in out[at..at + length].iter_mut().enumerate() {
            let takes_yes = conditions[condition_at + index * step[1]];
            *out = if takes_yes { yes[yes_at + index * step[2]] } else { no[no_at + index * step[3]] };
        }
    });
    Tensor::from_storage(dims, out)
}

/// `Select`: the condition may be a vector that chooses whole rows.
fn select(_: &Attributes<'_>) -> Result<Kernel> {
    kernel(|inputs, memory| {
        inputs.values::<bool>(0)?;
        let mut condition = inputs.take(0)?;
        let (yes, no) = (inputs.tensor(1)?, inputs.tensor(2)?);
        if yes.dims() != no.dims() {
            return Err(invalid("tensors of different shapes to choose from"));
        }
        if condition.rank() == 1 && yes.rank() > 1 {
            let mut dims = vec![1; yes.rank()];
            dims[0] = condition.len();
            condition = condition.reshaped(dims)?;
        }
        chosen(&condition, yes, no, memory)
    })
}

fn chosen(condition: &Tensor, yes: &Tensor, no: &Tensor, memory: &mut Memory) -> Result<Tensor> {
    match yes.data() {
        Data::F32(_) => choose::<f32>(condition, yes, no, memory),
        Data::F64(_) => choose::<f64>(condition, yes, no, memory),
        Data::I32(_) => choose::<i32>(condition, yes, no, memory),
        Data::I64(_) => choose::<i64>(condition, yes, no, memory),
        Data::U8(_) => choose::<u8>(condition, yes, no, memory),
        Data::I8(_) => choose::<i8>(condition, yes, no, memory),
        Data::Bool(_) => choose::<bool>(condition, yes, no, memory),
    }
}

fn select_v2(_: &Attributes<'_>) -> Result<Kernel> {
    kernel(|inputs, memory| {
        inputs.values::<bool>(0)?;
        chosen(inputs.tensor(0)?, inputs.tensor(1)?, inputs.tensor(2)?, memory)
    })
}

/// The places of the elements that are not zero, a row each.
fn places(_: &Attributes<'_>) -> Result<Kernel> {
    kernel(|inputs, memory| {
        let x = inputs.tensor(0)?;
        with_values!(x, values => places_of(values, x.dims(), memory))
    })
}

fn places_of<T: Element>(values: &[T], dims: &[usize], memory: &mut Memory) -> Result<Tensor> {
    let strides = row_major(dims);
    let is_set = |value: &T| *value != T::default();
    let found = values.iter().filter(|value| is_set(value)).count();
    let indices = values.iter().enumerate().filter(|(_, value)| is_set(value)).map(|(index, _)| index);
    let coordinates = indices.flat_map(|index| {
        let places = strides.iter().zip(dims);
        places.map(move |(stride, dim)| (index / stride.unsigned_abs() % dim) as i64)
    });
    Tensor::from_storage(vec![found, dims.len()], memory.collect(found * dims.len(), coordinates)?)
}

pub(super) const OPS: &[Op] = &[
    Op { name: "Select", prepare: select },
    Op { name: "SelectV2", prepare: select_v2 },
    Op { name: "Where", prepare: places },
];
