//! Shapes of which not everything is known, and what follows from them whatever the op.

use crate::proto::tensorflow::TensorShapeProto;

/// One entry per axis; `None` where the dimension is not known.
pub type Dims = Vec<Option<i64>>;

pub(super) fn from_proto(shape: &TensorShapeProto) -> Option<Dims> {
    let dims = || shape.dim.iter().map(|dim| (dim.size >= 0).then_some(dim.size)).collect();
    (!shape.unknown_rank).then(dims)
}

/// A shape of which only the rank is known.
pub(super) fn of_rank(rank: usize) -> Dims {
    vec![None; rank]
}

/// That shape if it has that rank, else one of which only the rank is known: what an op makes of an input that must have
/// so many axes.
pub(super) fn with_rank(dims: Option<Dims>, rank: usize) -> Dims {
    dims.filter(|dims| dims.len() == rank).unwrap_or_else(|| of_rank(rank))
}

pub(super) fn is_complete(dims: &[Option<i64>]) -> bool {
    dims.iter().all(Option::is_some)
}

/// What two sources know together; where they disagree, the first counts.
pub(super) fn merged(first: Option<Dims>, second: Option<Dims>) -> Option<Dims> {
    match (first, second) {
        (Some(first), Some(second)) if first.len() == second.len() => {
            Some(first.into_iter().zip(second).map(|(first, second)| first.or(second)).collect())
        }
        (first, second) => first.or(second),
    }
}

/// What all have in common.
pub(super) fn agreed(shapes: impl IntoIterator<Item = Option<Dims>>) -> Option<Dims> {
    let mut shapes = shapes.into_iter();
    let mut common = shapes.next()??;
    for other in shapes {
        let other = other.filter(|other| other.len() == common.len())?;
        common.iter_mut().zip(other).for_each(|(dim, other)| *dim = dim.filter(|_| *dim == other));
    }
    Some(common)
}

/// An axis counted from the end when negative.
pub(crate) fn wrapped(axis: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let axis = if axis < 0 { axis.checked_add(rank)? } else { axis };
    usize::try_from(axis).ok().filter(|_| axis < rank)
}

/// The shape of an element-by-element op on tensors of these shapes, or the two dimensions that do not go together.
///
/// # Errors
/// The first pair of unequal dimensions, from the last axis on, neither of which is 1.
pub(crate) fn broadcast(x: &[Option<i64>], y: &[Option<i64>]) -> Result<Dims, (i64, i64)> {
    let rank = x.len().max(y.len());
    let axis = |dims: &[Option<i64>], index: usize| {
        (index + dims.len()).checked_sub(rank).map_or(Some(1), |index| dims.get(index).copied().flatten())
    };
    let mut result = vec![None; rank];
    for index in (0..rank).rev() {
        result[index] = match (axis(x, index), axis(y, index)) {
            (Some(1), other) | (other, Some(1)) => other,
            (Some(x), Some(y)) if x != y => return Err((x, y)),
            (Some(known), _) | (None, Some(known)) => Some(known),
            (None, None) => None,
        };
    }
    Ok(result)
}

/// Whether tensors of these shapes could have the same shape.
#[must_use]
pub(crate) fn compatible(x: Option<&Dims>, y: Option<&Dims>) -> bool {
    let (Some(x), Some(y)) = (x, y) else { return true };
    x.len() == y.len() && x.iter().zip(y).all(|(x, y)| x.is_none() || y.is_none() || x == y)
}

/// A shape as text: `[3,?,8]`, or `?` for one of which nothing is known.
#[must_use]
pub fn shape_text(dims: Option<&Dims>) -> String {
    let Some(dims) = dims else { return "?".to_owned() };
    let texts: Vec<String> = dims.iter().map(|dim| dim.map_or_else(|| "?".to_owned(), |dim| dim.to_string())).collect();
    format!("[{}]", texts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_compares_from_the_last_axis() {
        assert_eq!(broadcast(&[Some(2), None, Some(8)], &[Some(4), Some(1)]), Ok(vec![Some(2), Some(4), Some(8)]));
        assert_eq!(broadcast(&[Some(4), Some(3)], &[Some(4)]), Err((3, 4)));
        assert!(compatible(Some(&vec![None, Some(2)]), Some(&vec![Some(7), Some(2)])));
        assert!(!compatible(Some(&vec![None]), Some(&vec![Some(7), Some(2)])));
    }
}
