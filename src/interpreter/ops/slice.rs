//! Parts of a tensor: Slice, StridedSlice, ReverseV2, and its axes in another order: Transpose.

use crate::error::Result;
use crate::interpreter::kernel::{Attributes, Kernel, Op, axis, invalid, kernel, size};
use crate::interpreter::layout::{copy, row_major};
use crate::interpreter::memory::Memory;
use crate::interpreter::tensor::{Tensor, element_count, with_values};

/// What a slice, a reversal, a transposition or a repetition is: elements at fixed distances.
pub(super) struct View {
    pub start: usize,
    pub dims: Vec<usize>,
    pub strides: Vec<isize>,
}

impl View {
    /// The viewed elements, as a tensor of shape `dims`, of which the view's own lacks only axes of one element.
    pub(super) fn of(self, x: &Tensor, dims: Vec<usize>, memory: &mut Memory) -> Result<Tensor> {
        let count = element_count(&self.dims)?;
        let tensor = with_values!(x, values => {
            let mut out = memory.unset(count)?;
            let to = (&mut out[..], 0, &row_major(&self.dims)[..]);
            copy(&self.dims, (values, self.start, &self.strides), to);
            Tensor::from_storage(dims, out)
        })?;
        Ok(tensor.retyped(x.dtype()))
    }
}

/// The tensor with its axes in that order.
pub(super) fn transposed(x: &Tensor, order: &[usize], memory: &mut Memory) -> Result<Tensor> {
    let strides = row_major(x.dims());
    let dims: Vec<usize> = order.iter().map(|&axis| x.dims()[axis]).collect();
    let view = View { start: 0, dims: dims.clone(), strides: order.iter().map(|&axis| strides[axis]).collect() };
    view.of(x, dims, memory)
}

fn transpose(_: &Attributes<'_>) -> Result<Kernel> {
    kernel(|inputs, memory| {
        let (x, order) = (inputs.tensor(0)?, inputs.ints(1)?);
        let order: Vec<usize> = order.iter().map(|&index| axis(index, x.rank())).collect::<Result<_>>()?;
        let mut seen = vec![false; x.rank()];
        order.iter().for_each(|&axis| seen[axis] = true);
        if order.len() != x.rank() || seen.contains(&false) {
            return Err(invalid("the order of axes is no permutation of them"));
        }
        transposed(x, &order, memory)
    })
}

fn slice(_: &Attributes<'_>) -> Result<Kernel> {
    kernel(|inputs, memory| {
        let (x, begin, sizes) = (inputs.tensor(0)?, inputs.ints(1)?, inputs.ints(2)?);
        if begin.len() != x.rank() || sizes.len() != x.rank() {
            return Err(invalid(format!("a slice with {} places of a tensor of rank {}", begin.len(), x.rank())));
        }
        let strides = row_major(x.dims());
        let (mut start, mut dims) = (0, Vec::new());
        for (at, &dim) in x.dims().iter().enumerate() {
            let first = size(begin[at], "the first place of a slice")?;
            let count = if sizes[at] == -1 { dim.saturating_sub(first) } else { size(sizes[at], "a slice's size")? };
            if first > dim || count > dim - first {
                return Err(invalid(format!("a slice of {count} from {first} on, of {dim} there are")));
            }
            start += first * strides[at].unsigned_abs();
            dims.push(count);
        }
        View { start, dims: dims.clone(), strides }.of(x, dims, memory)
    })
}

/// Which entries of a StridedSlice mean something else than a first place, an end and a step.
struct Masks {
    begin: i64,
    end: i64,
    ellipsis: i64,
    new_axis: i64,
    shrink: i64,
}

fn strided_slice(node: &Attributes<'_>) -> Result<Kernel> {
    let masks = Masks {
        begin: node.int("begin_mask", 0),
        end: node.int("end_mask", 0),
        ellipsis: node.int("ellipsis_mask", 0),
        new_axis: node.int("new_axis_mask", 0),
        shrink: node.int("shrink_axis_mask", 0),
    };
    if masks.ellipsis.count_ones() > 1 {
        return Err(invalid("more than one ellipsis in a slice"));
    }
    kernel(move |inputs, memory| {
        let entries = [inputs.ints(1)?, inputs.ints(2)?, inputs.ints(3)?];
        let x = inputs.tensor(0)?;
        let (view, dims) = strided_view(x.dims(), &entries, &masks)?;
        view.of(x, dims, memory)
    })
}

/// TensorFlow's `ValidateStridedSliceOp`: the view, and the shape of the result.
fn strided_view(from: &[usize], [begin, end, step]: &[Vec<i64>; 3], masks: &Masks) -> Result<(View, Vec<usize>)> {
    let entries = begin.len();
    if end.len() != entries || step.len() != entries || entries > 63 {
        return Err(invalid("a slice whose first places, ends and steps are not equally many"));
    }
    let is = |mask: i64, entry: usize| mask >> entry & 1 == 1;
    let taken = (0..entries).filter(|&entry| !is(masks.ellipsis, entry) && !is(masks.new_axis, entry)).count();
    let Some(covered) = from.len().checked_sub(taken) else {
        return Err(invalid(format!("a slice with {taken} places of a tensor of rank {}", from.len())));
    };
    let of_axes = row_major(from);
    let mut view = View { start: 0, dims: Vec::new(), strides: Vec::new() };
    let (mut dims, mut at) = (Vec::new(), 0);
    let keep = |view: &mut View, dims: &mut Vec<usize>, at: &mut usize, count: usize| {
        for _ in 0..count {
            view.dims.push(from[*at]);
            view.strides.push(of_axes[*at]);
            dims.push(from[*at]);
            *at += 1;
        }
    };
    for entry in 0..entries {
        if is(masks.ellipsis, entry) {
            keep(&mut view, &mut dims, &mut at, covered);
        } else if is(masks.new_axis, entry) {
            dims.push(1);
        } else {
            let size = from[at] as i64;
            let (first, count) = if is(masks.shrink, entry) {
                let place = begin[entry];
                let place = if place < 0 { place.saturating_add(size) } else { place };
                if !(0..size).contains(&place) {
                    return Err(invalid(format!("the slice index {} is out of {size}", begin[entry])));
                }
                (place, 1)
            } else {
                let masked = [is(masks.begin, entry), is(masks.end, entry)];
                let (first, count) = extent(size, [begin[entry], end[entry], step[entry]], masked)?;
                dims.push(count);
                (first, count)
            };
            // The step matters only from one element to the next, and is then no longer than the axis.
            let stride = if count > 1 { of_axes[at] * step[entry] as isize } else { 0 };
            if count > 0 {
                view.start += first as usize * of_axes[at].unsigned_abs();
            }
            view.dims.push(count);
            view.strides.push(stride);
            at += 1;
        }
    }
    let rest = from.len() - at;
    keep(&mut view, &mut dims, &mut at, rest);
    Ok((view, dims))
}

/// The first place and the number of places of one axis.
fn extent(size: i64, [begin, end, step]: [i64; 3], [no_begin, no_end]: [bool; 2]) -> Result<(i64, usize)> {
    if step == 0 {
        return Err(invalid("a slice with steps of zero"));
    }
    let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
    let place = |place: i64| (if place < 0 { place.saturating_add(size) } else { place }).clamp(low, high);
    let first = match (no_begin, step > 0) {
        (true, true) => low,
        (true, false) => high,
        _ => place(begin),
    };
    let end = match (no_end, step > 0) {
        (true, true) => high,
        (true, false) => low,
        _ => place(end),
    };
    let span = i128::from(end) - i128::from(first);
    let step = i128::from(step);
    if span == 0 || (span < 0) != (step < 0) {
        return Ok((0, 0));
    }
    Ok((first, (span / step + i128::from(span % step != 0)) as usize))
}

fn reverse(_: &Attributes<'_>) -> Result<Kernel> {
    kernel(|inputs, memory| {
        let (x, axes) = (inputs.tensor(0)?, inputs.ints(1)?);
        let mut view = View { start: 0, dims: x.dims().to_vec(), strides: row_major(x.dims()) };
        if x.is_empty() {
            return Ok(x.clone());
        }
        for &index in &axes {
            let axis = axis(index, x.rank())?;
            if view.strides[axis] < 0 {
                return Err(invalid("an axis is reversed twice"));
            }
            view.start += (x.dims()[axis] - 1) * view.strides[axis].unsigned_abs();
            view.strides[axis] = -view.strides[axis];
        }
        let dims = x.dims().to_vec();
        view.of(x, dims, memory)
    })
}

pub(super) const OPS: &[Op] = &[
    Op { name: "Slice", prepare: slice },
    Op { name: "StridedSlice", prepare: strided_slice },
    Op { name: "ReverseV2", prepare: reverse },
    Op { name: "Transpose", prepare: transpose },
];
