//! Ops that take axes away by computing along them, matrix products among them.

use super::dims::{of_rank, with_rank, wrapped};
use super::elementwise::broadcast_or_rank;
use super::{Dims, Inference, dims};
use crate::graph::einsum::{Equation, Label};

/// Sum and its like: the second input says the axes.
pub(super) fn reduce(at: &mut Inference<'_>) -> Option<Dims> {
    let input = at.input(0)?;
    let keeps = at.bool("keep_dims") == Some(true);
    let Some(axes) = at.constant(1) else { return keeps.then(|| of_rank(input.len())) };
    let axes: Option<Vec<usize>> = axes.into_iter().map(|axis| wrapped(axis, input.len())).collect();
    let left = |(axis, dim): (usize, Option<i64>), axes: &[usize]| match axes.contains(&axis) {
        true if keeps => Some(Some(1)),
        true => None,
        false => Some(dim),
    };
    axes.map(|axes| input.into_iter().enumerate().filter_map(|dim| left(dim, &axes)).collect())
}

/// ArgMax and ArgMin: along one axis.
pub(super) fn arg(at: &mut Inference<'_>) -> Option<Dims> {
    let mut dims = at.input(0)?;
    match at.constant_scalar(1).and_then(|axis| wrapped(axis, dims.len())) {
        Some(axis) => drop(dims.remove(axis)),
        None => dims = of_rank(dims.len().saturating_sub(1)),
    }
    Some(dims)
}

pub(super) fn mat_mul(at: &mut Inference<'_>) -> Option<Dims> {
    let (x, y) = (with_rank(at.detail(0), 2), with_rank(at.detail(1), 2));
    let row = if at.bool("transpose_a") == Some(true) { x[1] } else { x[0] };
    let column = if at.bool("transpose_b") == Some(true) { y[0] } else { y[1] };
    Some(vec![row, column])
}

/// Products of as many matrices as the other axes count, which are those of both inputs.
pub(super) fn batch_mat_mul(at: &mut Inference<'_>) -> Option<Dims> {
    let (x, y) = (at.input(0), at.input(1));
    let (x, y) = (x.map(Matrices::of), y.map(Matrices::of));
    let batch = dims::merged(x.as_ref().map(|x| x.batch.clone()), y.as_ref().map(|y| y.batch.clone()))?;
    Some(product(at, batch, x.map(|x| x.matrix), y.map(|y| y.matrix)))
}

/// As [`batch_mat_mul`], but the other axes are broadcast.
pub(super) fn batch_mat_mul_v2(at: &mut Inference<'_>) -> Option<Dims> {
    let (x, y) = (at.input(0), at.input(1));
    let (x, y) = (Matrices::of(x?), Matrices::of(y?));
    Some(product(at, broadcast_or_rank(&x.batch, &y.batch), Some(x.matrix), Some(y.matrix)))
}

/// Each axis is as long as those of its name in the inputs; what `...` stands for is broadcast.
pub(super) fn einsum(at: &mut Inference<'_>) -> Option<Dims> {
    let equation = Equation::parse(&at.text("equation")?)?;
    let mut input = |index| at.input(index).or_else(|| equation.rank(index).map(of_rank));
    let inputs: Vec<Dims> = (0..equation.count()).map(&mut input).collect::<Option<_>>()?;
    let labels = equation.labels(&inputs.iter().map(Vec::len).collect::<Vec<_>>())?;
    let length = |label: &Label| {
        let of_input = |(dims, labels): (&Dims, &Vec<Label>)| {
            labels.iter().position(|other| other == label).map(|axis| dims[axis])
        };
        let mut lengths = inputs.iter().zip(&labels.inputs).filter_map(of_input);
        match (label, lengths.next(), lengths.next()) {
            (Label::Dots(_), Some(first), Some(second)) => broadcast_or_rank(&[first], &[second])[0],
            (_, first, second) => first.flatten().or(second.flatten()),
        }
    };
    Some(labels.output.iter().map(length).collect())
}

struct Matrices {
    batch: Dims,
    matrix: [Option<i64>; 2],
}

impl Matrices {
    fn of(mut dims: Dims) -> Self {
        let columns = dims.pop().flatten();
        let rows = dims.pop().flatten();
        Self { batch: dims, matrix: [rows, columns] }
    }
}

fn product(at: &Inference<'_>, mut batch: Dims, x: Option<[Option<i64>; 2]>, y: Option<[Option<i64>; 2]>) -> Dims {
    let ([x_rows, x_columns], [y_rows, y_columns]) = (x.unwrap_or_default(), y.unwrap_or_default());
    batch.push(if at.bool("adj_x") == Some(true) { x_columns } else { x_rows });
    batch.push(if at.bool("adj_y") == Some(true) { y_rows } else { y_columns });
    batch
}
