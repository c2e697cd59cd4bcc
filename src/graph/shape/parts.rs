//! Ops that put tensors together, take them apart, cut from them and add to them.

use super::dims::{merged, of_rank, with_rank, wrapped};
use super::{Dims, Inference, MAX_AXES};

/// A new axis along which the inputs lie.
pub(super) fn pack(at: &mut Inference<'_>) -> Option<Dims> {
    let parts = at.inputs(0..usize::MAX);
    let count = i64::try_from(parts.len()).ok();
    let mut dims = parts.into_iter().fold(None, merged)?;
    match wrapped(at.int("axis").unwrap_or(0), dims.len() + 1) {
        Some(axis) => dims.insert(axis, count),
        None => dims = of_rank(dims.len() + 1),
    }
    Some(dims)
}

/// An axis goes, an output for each of its elements.
pub(super) fn unpack(at: &mut Inference<'_>) -> Option<Dims> {
    let mut dims = at.input(0)?;
    let axis = wrapped(at.int("axis").unwrap_or(0), dims.len())?;
    dims.remove(axis);
    Some(dims)
}

/// ConcatV2: the axis comes last.
pub(super) fn concat_v2(at: &mut Inference<'_>) -> Option<Dims> {
    let parts = at.graph.data_inputs(at.node()).count().checked_sub(1)?;
    let inputs = at.inputs(0..parts);
    concatenated(inputs, at.constant_scalar(parts))
}

/// Concat: the axis comes first.
pub(super) fn concat(at: &mut Inference<'_>) -> Option<Dims> {
    let inputs = at.inputs(1..usize::MAX);
    concatenated(inputs, at.constant_scalar(0))
}

fn concatenated(parts: Vec<Option<Dims>>, axis: Option<i64>) -> Option<Dims> {
    let rank = parts.iter().flatten().next()?.len();
    let Some(axis) = axis.and_then(|axis| wrapped(axis, rank)) else { return Some(of_rank(rank)) };
    let along = |part: &Option<Dims>| part.as_ref()?.get(axis).copied().flatten();
    let sum = parts.iter().try_fold(0i64, |sum, part| sum.checked_add(along(part)?));
    let mut dims = parts.into_iter().fold(None, merged)?;
    dims[axis] = sum;
    Some(dims)
}

/// Split: the axis, then the tensor, in equal parts.
pub(super) fn split(at: &mut Inference<'_>) -> Option<Dims> {
    let mut dims = at.input(1)?;
    let axis = at.constant_scalar(0).and_then(|axis| wrapped(axis, dims.len()));
    let parts = at.int("num_split").filter(|&parts| parts > 0);
    let Some((axis, parts)) = axis.zip(parts) else { return Some(of_rank(dims.len())) };
    dims[axis] = dims[axis].map(|dim| dim / parts);
    Some(dims)
}

/// SplitV: the tensor, the sizes of its parts, the axis. One size may be -1: it is what the others leave.
pub(super) fn split_v(at: &mut Inference<'_>) -> Option<Dims> {
    let mut dims = at.input(0)?;
    let axis = at.constant_scalar(2).and_then(|axis| wrapped(axis, dims.len()));
    let Some(axis) = axis else { return Some(of_rank(dims.len())) };
    let sizes = at.constant(1).unwrap_or_default();
    dims[axis] = match sizes.get(at.port()) {
        Some(-1) => dims[axis].and_then(|all| left_by(&sizes, all)),
        size => size.copied().filter(|&size| size >= 0),
    };
    Some(dims)
}

/// What the sizes leave of so many, of which one is -1.
fn left_by(sizes: &[i64], all: i64) -> Option<i64> {
    let others = || sizes.iter().filter(|&&size| size >= 0);
    let sum = others().try_fold(0i64, |sum, &size| sum.checked_add(size))?;
    all.checked_sub(sum).filter(|&left| left >= 0 && others().count() + 1 == sizes.len())
}

/// Slices of a tensor, along its first axis.
pub(super) fn gather(at: &mut Inference<'_>) -> Option<Dims> {
    gathered(at, Some(0), 0)
}

/// GatherV2: the same along any axis, which comes third; batches of both go together.
pub(super) fn gather_v2(at: &mut Inference<'_>) -> Option<Dims> {
    let (axis, batches) = (at.constant_scalar(2), at.int("batch_dims").unwrap_or(0));
    gathered(at, axis, batches)
}

/// In place of the axis come those of the indices, but for the batches.
fn gathered(at: &mut Inference<'_>, axis: Option<i64>, batches: i64) -> Option<Dims> {
    let (params, indices) = (at.input(0), at.input(1));
    let (params, indices) = (params?, indices?);
    // Negative, it counts from behind the last.
    let batches = wrapped(batches, indices.len() + usize::from(batches >= 0))?;
    match axis.and_then(|axis| wrapped(axis, params.len())) {
        Some(axis) if batches <= axis => Some([&params[..axis], &indices[batches..], &params[axis + 1..]].concat()),
        _ => (params.len() + indices.len()).checked_sub(batches + 1).map(of_rank),
    }
}

/// A margin before and after on each axis.
pub(super) fn pad(at: &mut Inference<'_>) -> Option<Dims> {
    let margins = at.constant(1);
    let Some(input) = at.input(0) else {
        let rank = at.dims(1)?.first().copied().flatten()?;
        return usize::try_from(rank).ok().filter(|&rank| rank <= MAX_AXES).map(of_rank);
    };
    Some(margins.and_then(|margins| padded(&input, &margins)).unwrap_or_else(|| of_rank(input.len())))
}

fn padded(input: &[Option<i64>], margins: &[i64]) -> Option<Dims> {
    let (margins, rest) = margins.as_chunks();
    if !rest.is_empty() || margins.len() != input.len() {
        return None;
    }
    let pad = |(dim, &[before, after]): (&Option<i64>, &[i64; 2])| {
        dim.and_then(|dim| dim.checked_add(before)?.checked_add(after)).filter(|&dim| dim >= 0)
    };
    Some(input.iter().zip(margins).map(pad).collect())
}

/// Copies beside each other, so many on each axis.
pub(super) fn tile(at: &mut Inference<'_>) -> Option<Dims> {
    let copies = at.elements(1);
    let Some(dims) = at.input(0) else { return copies.map(|copies| of_rank(copies.len())) };
    let Some(copies) = copies.filter(|copies| copies.len() == dims.len()) else { return Some(of_rank(dims.len())) };
    Some(dims.into_iter().zip(copies).map(|(dim, copies)| dim?.checked_mul(copies?)).collect())
}

/// A part that begins somewhere and has some size, where -1 means up to the end.
pub(super) fn slice(at: &mut Inference<'_>) -> Option<Dims> {
    let (begin, size) = (at.elements(1), at.elements(2));
    let given = size.as_ref().or(begin.as_ref()).map(|list| of_rank(list.len()));
    let dims = at.input(0).or(given)?;
    let fitting = |list: Option<Dims>| with_rank(list, dims.len());
    let (begin, size) = (fitting(begin), fitting(size));
    let reaches_end = at.constant(2).unwrap_or_default();
    let cut = |axis: usize| match size[axis] {
        None if reaches_end.get(axis) == Some(&-1) => dims[axis]?.checked_sub(begin[axis]?).filter(|&dim| dim >= 0),
        size => size,
    };
    Some((0..dims.len()).map(cut).collect())
}

/// A part between two ends on each axis, in steps; axes may go, come, or be passed over.
pub(super) fn strided_slice(at: &mut Inference<'_>) -> Option<Dims> {
    let dims = at.input(0)?;
    let ends = [1, 2, 3].map(|list| at.constant(list));
    let listed = at.dims(1).and_then(|list| *list.first()?).and_then(|count| usize::try_from(count).ok());
    let count = ends[0].as_ref().map(Vec::len).or(listed).filter(|&count| count <= MAX_AXES)?;
    let bit = |mask: &str, place: usize| at.int(mask).is_some_and(|mask| place < 63 && mask >> place & 1 == 1);
    let places: Vec<Place> = (0..count)
        .map(|place| {
            let [ellipsis, new, shrink] =
                ["ellipsis_mask", "new_axis_mask", "shrink_axis_mask"].map(|mask| bit(mask, place));
            match (ellipsis, new, shrink) {
                (true, ..) => Place::Ellipsis,
                (_, true, _) => Place::New,
                (_, _, true) => Place::Shrink,
                _ => Place::Range { from_first: bit("begin_mask", place), to_last: bit("end_mask", place) },
            }
        })
        .collect();
    let taken = places.iter().filter(|place| matches!(place, Place::Range { .. } | Place::Shrink)).count();
    let mut passed_over = Some(dims.len().checked_sub(taken)?);
    let mut axes = dims.into_iter();
    let mut sliced = Vec::new();
    for (index, place) in places.into_iter().enumerate() {
        match place {
            Place::Ellipsis => sliced.extend(axes.by_ref().take(passed_over.take()?)),
            Place::New => sliced.push(Some(1)),
            Place::Shrink => drop(axes.next()?),
            Place::Range { from_first, to_last } => {
                let dim = axes.next()?;
                let end = |which: usize| ends[which].as_ref().and_then(|list| list.get(index).copied());
                let range = || range_len(dim?, end(0).filter(|_| !from_first), end(1).filter(|_| !to_last), end(2)?);
                let is_known = (from_first || end(0).is_some()) && (to_last || end(1).is_some());
                sliced.push(is_known.then(range).flatten());
            }
        }
    }
    sliced.extend(axes);
    Some(sliced)
}

/// What a slice does with one of the places that it lists.
enum Place {
    Ellipsis,
    New,
    Shrink,
    Range { from_first: bool, to_last: bool },
}

/// How many elements lie between two ends, which count from the end of the axis when negative.
fn range_len(dim: i64, begin: Option<i64>, end: Option<i64>, stride: i64) -> Option<i64> {
    let forward = stride > 0;
    let [first, last] = if forward { [0, dim] } else { [-1, dim.checked_sub(1)?] };
    let clamped = |end: i64| Some(if end < 0 { end.checked_add(dim)? } else { end }.clamp(first, last));
    let begin = begin.map_or(Some(if forward { first } else { last }), clamped)?;
    let end = end.map_or(Some(if forward { last } else { first }), clamped)?;
    let reach = if forward { end.checked_sub(begin)? } else { begin.checked_sub(end)? };
    let step = stride.checked_abs().filter(|&step| step > 0)?;
    Some(if reach > 0 { reach.checked_add(step - 1)? / step } else { 0 })
}
