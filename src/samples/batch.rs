//! Samples as an input takes them: several at once, or one without the dimension that counts them.

use crate::error::Result;
use crate::interpreter::tensor::with_values;
use crate::interpreter::{Element, Tensor};

/// Tensors of one type and shape, one behind the other along their first dimension.
///
/// # Errors
/// When they are of different types or shapes.
pub fn joined(parts: &[Tensor]) -> Result<Tensor> {
    fn join<T: Element>(first: &Tensor, parts: &[Tensor]) -> Result<Tensor> {
        let mut dims = first.dims().to_vec();
        if let Some(batch) = dims.first_mut() {
            *batch *= parts.len();
        }
        Tensor::new(&dims, parts.iter().flat_map(|part| part.values::<T>().unwrap_or_default()).copied().collect())
    }
    fn of_type_of<T: Element>(_: &[T]) -> fn(&Tensor, &[Tensor]) -> Result<Tensor> {
        join::<T>
    }
    match parts {
        [] => Tensor::new::<f32>(&[0], Vec::new()),
        [one] => Ok(one.clone()),
        [first, ..] => with_values!(first, values => of_type_of(values)(first, parts)),
    }
}

/// A sample without its first dimension, which is one.
///
/// # Errors
/// When it is not.
pub fn alone(sample: &Tensor) -> Result<Tensor> {
    let dims = sample.dims().get(1..).unwrap_or_default();
    with_values!(sample, values => Tensor::new(dims, values.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_whatever_the_type() {
        let part = |first: i64| Tensor::new(&[1, 2], vec![first, first + 1]).unwrap();
        let both = joined(&[part(3), part(7)]).unwrap();
        assert_eq!((both.dims(), both.values::<i64>().unwrap()), (&[2, 2][..], &[3, 4, 7, 8][..]));
        let flags = joined(&[Tensor::vector(vec![true]), Tensor::vector(vec![false])]).unwrap();
        assert_eq!(flags.values::<bool>().unwrap(), [true, false]);
        assert!(joined(&[part(1), Tensor::new(&[1, 1], vec![1i64]).unwrap()]).is_err());
        assert!(joined(&[part(1), Tensor::new(&[1, 2], vec![1i32, 2]).unwrap()]).is_err());
        assert_eq!(alone(&Tensor::vector(vec![5u8])).unwrap().dims(), [0usize; 0]);
        assert!(alone(&both).is_err());
    }
}
