//! Diagonals of matrices: MatrixBandPart, MatrixDiag, MatrixDiagPart and MatrixSetDiag in their versions, Diag, DiagPart.

use crate::error::{Error, ErrorKind, Result};
use crate::interpreter::kernel::{Attributes, Inputs, Kernel, Op, invalid, kernel, size};
use crate::interpreter::memory::Memory;
use crate::interpreter::tensor::{Element, Tensor, element_count, shape_text, with_values};

/// Diagonals side by side of a matrix, and how they lie in the rows of a tensor.
#[derive(Clone, Copy)]
struct Band {
    rows: usize,
    columns: usize,
    lower: i64,
    upper: i64,
    /// Whether shorter diagonals above and below the main one begin where their row of the tensor does.
    left: Left,
}

#[derive(Clone, Copy)]
struct Left {
    above: bool,
    below: bool,
}

impl Band {
    /// The length of a diagonal.
    fn length(&self, diagonal: i64) -> usize {
        let rows = self.rows as i64 + diagonal.min(0);
        let columns = self.columns as i64 - diagonal.max(0);
        rows.min(columns).max(0) as usize
    }

    fn count(&self) -> usize {
        (self.upper - self.lower + 1) as usize
    }

    fn longest(&self) -> usize {
        let rows = self.rows as i64 + self.upper.min(0);
        let columns = self.columns as i64 - self.lower.max(0);
        rows.min(columns).max(0) as usize
    }

    /// The shape of the tensor of diagonals of matrices that lie in a tensor of these dimensions.
    fn dims(&self, outer: &[usize]) -> Vec<usize> {
        let several = (self.lower != self.upper).then(|| self.count());
        outer.iter().copied().chain(several).chain([self.longest()]).collect()
    }

    /// Where the element of the matrix is in the tensor of diagonals, if it is on one of them.
    fn place(&self, row: usize, column: usize) -> Option<usize> {
        let diagonal = column as i64 - row as i64;
        if diagonal < self.lower || diagonal > self.upper {
            return None;
        }
        let from_left = (diagonal >= 0 && self.left.above) || (diagonal <= 0 && self.left.below);
        let offset = if from_left { 0 } else { self.longest() - self.length(diagonal) };
        let at = if diagonal >= 0 { row } else { column };
        Some((self.upper - diagonal) as usize * self.longest() + offset + at)
    }

    fn checked(self) -> Result<Self> {
        let (rows, columns) = (self.rows as i64, self.columns as i64);
        let inside = |diagonal: i64| (diagonal > -rows && diagonal < columns) || (diagonal == 0);
        if self.lower > self.upper || !inside(self.lower) || !inside(self.upper) {
            let what = format!("the diagonals {} to {} of a matrix of {rows} by {columns}", self.lower, self.upper);
            return Err(invalid(what));
        }
        Ok(self)
    }
}

fn alignment(node: &Attributes<'_>, version: u8) -> Result<Left> {
    if version < 3 {
        return Ok(Left { above: true, below: true });
    }
    Ok(match node.text("align", "RIGHT_LEFT").as_str() {
        "LEFT_RIGHT" => Left { above: true, below: false },
        "RIGHT_LEFT" => Left { above: false, below: true },
        "LEFT_LEFT" => Left { above: true, below: true },
        "RIGHT_RIGHT" => Left { above: false, below: false },
        other => return Err(Error::new(ErrorKind::Refused, format!("the alignment '{other}' is not known"))),
    })
}

/// Which diagonals, by the input that says so.
fn diagonals(inputs: &Inputs, index: usize) -> Result<(i64, i64)> {
    match *inputs.ints(index)?.as_slice() {
        [one] => Ok((one, one)),
        [lower, upper] => Ok((lower, upper)),
        _ => Err(invalid("the diagonals are not one number or two")),
    }
}

/// The matrix, or batch of them, as its outer dimensions and its two.
fn matrix(x: &Tensor) -> Result<(&[usize], usize, usize)> {
    match x.dims() {
        [outer @ .., rows, columns] => Ok((outer, *rows, *columns)),
        dims => Err(invalid(format!("the shape {} is not that of matrices", shape_text(dims)))),
    }
}

fn band_part(_: &Attributes<'_>) -> Result<Kernel> {
    kernel(|inputs, memory| {
        let (below, above) = (inputs.int(1)?, inputs.int(2)?);
        let x = inputs.tensor(0)?;
        let (_, rows, columns) = matrix(x)?;
        let (tall, wide) = (rows as i64, columns as i64);
        if below > tall || above > wide {
            return Err(invalid(format!("a band of {below} and {above} diagonals in {rows} by {columns}")));
        }
        let part = with_values!(x, values => {
            let kept = |(flat, &value): (usize, &_)| {
                let (row, column) = ((flat / columns % rows) as i64, (flat % columns) as i64);
                let inside = (below < 0 || row - column <= below) && (above < 0 || column - row <= above);
                if inside { value } else { Default::default() }
            };
            let out = memory.collect(values.len(), values.iter().enumerate().map(kept))?;
            Tensor::from_storage(x.dims().to_vec(), out)
        })?;
        Ok(part.retyped(x.dtype()))
    })
}

/// The value of a scalar input, of the type of those.
fn scalar_like<T: Element>(_: &[T], inputs: &Inputs, index: usize) -> Result<T> {
    inputs.scalar::<T>(index)
}

fn diag(node: &Attributes<'_>, version: u8) -> Result<Kernel> {
    let left = alignment(node, version)?;
    kernel(move |inputs, memory| {
        let x = inputs.tensor(0)?;
        let (lower, upper) = if version > 1 { diagonals(inputs, 1)? } else { (0, 0) };
        let several = lower != upper;
        let split = x.rank().checked_sub(1 + usize::from(several));
        let split = split.ok_or_else(|| invalid("diagonals without dimensions"))?;
        let (outer, own) = x.dims().split_at(split);
        let longest = own.last().copied().unwrap_or_default();
        let limit = 1i64 << 40;
        if lower > upper || lower < -limit || upper > limit || (several && own[0] as i64 != upper - lower + 1) {
            return Err(invalid(format!("diagonals {lower} to {upper} of the shape {}", shape_text(x.dims()))));
        }
        let least = [longest as i64 - upper.min(0), longest as i64 + lower.max(0)];
        let asked = if version > 1 { [inputs.int(2)?, inputs.int(3)?] } else { [-1, -1] };
        let [rows, columns] = match asked {
            [-1, -1] => [least[0].max(least[1]); 2],
            [-1, columns] => [least[0], columns],
            [rows, -1] => [rows, least[1]],
            both => both,
        };
        if rows < least[0] || columns < least[1] || (rows != least[0] && columns != least[1]) {
            return Err(invalid(format!("diagonals of {longest} in a matrix of {rows} by {columns}")));
        }
        let band = Band { rows: size(rows, "rows")?, columns: size(columns, "columns")?, lower, upper, left };
        let dims: Vec<usize> = outer.iter().copied().chain([band.rows, band.columns]).collect();
        let count = element_count(&dims)?;
        let part = band.count() * band.longest();
        if band.longest() != longest {
            return Err(invalid(format!("diagonals of {longest} in a matrix of {rows} by {columns}")));
        }
        let made = with_values!(x, values => {
            let filling = if version > 1 { scalar_like(values, inputs, 4)? } else { Default::default() };
            let size = (band.rows * band.columns).max(1);
            let element = |flat: usize| {
                let (row, column) = (flat % size / band.columns, flat % band.columns);
                band.place(row, column).map_or(filling, |place| values[flat / size * part + place])
            };
            Tensor::from_storage(dims, memory.collect(count, (0..count).map(element))?)
        })?;
        Ok(made.retyped(x.dtype()))
    })
}

fn diag_part(node: &Attributes<'_>, version: u8) -> Result<Kernel> {
    let left = alignment(node, version)?;
    kernel(move |inputs, memory| {
        let x = inputs.tensor(0)?;
        let (outer, rows, columns) = matrix(x)?;
        let (lower, upper) = if version > 1 { diagonals(inputs, 1)? } else { (0, 0) };
        let band = Band { rows, columns, lower, upper, left }.checked()?;
        let dims = band.dims(outer);
        let count = element_count(&dims)?;
        let part = (band.count() * band.longest()).max(1);
        let made = with_values!(x, values => {
            let filling = if version > 1 { scalar_like(values, inputs, 2)? } else { Default::default() };
            let mut out = memory.collect(count, std::iter::repeat_n(filling, count))?;
            let matrices = values.chunks_exact((rows * columns).max(1));
            for (from, to) in matrices.zip(out.chunks_exact_mut(part)) {
                spread(&band, |row, column, place| to[place] = from[row * columns + column]);
            }
            Tensor::from_storage(dims, out)
        })?;
        Ok(made.retyped(x.dtype()))
    })
}

/// Visits every element of the diagonals: its row, its column, and its place in the tensor of diagonals.
fn spread(band: &Band, mut visit: impl FnMut(usize, usize, usize)) {
    for diagonal in band.lower..=band.upper {
        let first = ((-diagonal).max(0) as usize, diagonal.max(0) as usize);
        for at in 0..band.length(diagonal) {
            let (row, column) = (first.0 + at, first.1 + at);
            if let Some(place) = band.place(row, column) {
                visit(row, column, place);
            }
        }
    }
}

fn set_diag(node: &Attributes<'_>, version: u8) -> Result<Kernel> {
    let left = alignment(node, version)?;
    kernel(move |inputs, memory| {
        let (x, diagonal) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let (outer, rows, columns) = matrix(x)?;
        let (lower, upper) = if version > 1 { diagonals(inputs, 2)? } else { (0, 0) };
        let band = Band { rows, columns, lower, upper, left }.checked()?;
        let expected = band.dims(outer);
        if diagonal.dims() != expected {
            let (found, wanted) = (shape_text(diagonal.dims()), shape_text(&expected));
            return Err(invalid(format!("diagonals of the shape {found} instead of {wanted}")));
        }
        let part = (band.count() * band.longest()).max(1);
        let made = with_values!(x, values => {
            let Some(diagonals) = of_type(values, diagonal) else { return Err(invalid("diagonals of another type")) };
            let mut out = memory.collect(values.len(), values.iter().copied())?;
            let matrices = out.chunks_exact_mut((rows * columns).max(1));
            for (to, from) in matrices.zip(diagonals.chunks_exact(part)) {
                spread(&band, |row, column, place| to[row * columns + column] = from[place]);
            }
            Tensor::from_storage(x.dims().to_vec(), out)
        })?;
        Ok(made.retyped(x.dtype()))
    })
}

fn of_type<'a, T: Element>(_: &[T], tensor: &'a Tensor) -> Option<&'a [T]> {
    tensor.values()
}

/// `Diag`: a tensor on the diagonal of one with twice its dimensions.
fn tensor_diag(inputs: &Inputs, memory: &mut Memory) -> Result<Tensor> {
    let x = inputs.tensor(0)?;
    let dims: Vec<usize> = x.dims().iter().chain(x.dims()).copied().collect();
    let (count, length) = (element_count(&dims)?, x.len());
    let made = with_values!(x, values => {
        let mut out = memory.zeros(count)?;
        values.iter().enumerate().for_each(|(at, &value)| out[at * (length + 1)] = value);
        Tensor::from_storage(dims, out)
    })?;
    Ok(made.retyped(x.dtype()))
}

/// `DiagPart`: the diagonal of a tensor whose dimensions come twice.
fn tensor_diag_part(inputs: &Inputs, memory: &mut Memory) -> Result<Tensor> {
    let x = inputs.tensor(0)?;
    let (dims, others) = x.dims().split_at(x.rank() / 2);
    if dims != others {
        return Err(invalid(format!("the diagonal of the shape {}", shape_text(x.dims()))));
    }
    let length = element_count(dims)?;
    let made = with_values!(x, values => {
        let diagonal = (0..length).map(|at| values[at * (length + 1)]);
        Tensor::from_storage(dims.to_vec(), memory.collect(length, diagonal)?)
    })?;
    Ok(made.retyped(x.dtype()))
}

pub(super) const OPS: &[Op] = &[
    Op { name: "MatrixBandPart", prepare: band_part },
    Op { name: "MatrixDiag", prepare: |node| diag(node, 1) },
    Op { name: "MatrixDiagV2", prepare: |node| diag(node, 2) },
    Op { name: "MatrixDiagV3", prepare: |node| diag(node, 3) },
    Op { name: "MatrixDiagPart", prepare: |node| diag_part(node, 1) },
    Op { name: "MatrixDiagPartV2", prepare: |node| diag_part(node, 2) },
    Op { name: "MatrixDiagPartV3", prepare: |node| diag_part(node, 3) },
    Op { name: "MatrixSetDiag", prepare: |node| set_diag(node, 1) },
    Op { name: "MatrixSetDiagV2", prepare: |node| set_diag(node, 2) },
    Op { name: "MatrixSetDiagV3", prepare: |node| set_diag(node, 3) },
    Op { name: "Diag", prepare: |_| kernel(|inputs, memory| tensor_diag(inputs, memory)) },
    Op { name: "DiagPart", prepare: |_| kernel(|inputs, memory| tensor_diag_part(inputs, memory)) },
];
