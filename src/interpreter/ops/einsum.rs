//! Einsum of one or two tensors: axes have names, and are brought into the order of a batch of products.

use super::matmul::product;
use super::slice::transposed;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::einsum::{Equation, Label};
use crate::interpreter::kernel::{Attributes, Kernel, Op, invalid, kernel};
use crate::interpreter::memory::Memory;
use crate::interpreter::number::{Number, with_number_type};
use crate::interpreter::tensor::{Tensor, element_count};

/// A tensor whose axes have names.
struct Named {
    tensor: Tensor,
    labels: Vec<Label>,
}

impl Named {
    /// The tensor with its axes in the order of those groups, each but the first made one.
    fn grouped(&self, apart: &[Label], groups: &[&[Label]], memory: &mut Memory) -> Result<Tensor> {
        let place = |label: &Label| self.labels.iter().position(|other| other == label);
        let order: Vec<usize> = apart.iter().chain(groups.iter().copied().flatten()).filter_map(place).collect();
        let mut dims: Vec<usize> = apart.iter().map(|label| self.size(*label)).collect();
        for group in groups {
            dims.push(element_count(&group.iter().map(|label| self.size(*label)).collect::<Vec<_>>())?);
        }
        transposed(&self.tensor, &order, memory)?.reshaped(dims)
    }

    fn size(&self, label: Label) -> usize {
        let at = self.labels.iter().position(|&other| other == label);
        at.map_or(1, |at| self.tensor.dims()[at])
    }

    /// The sum over all axes but those.
    fn summed(self, kept: impl Fn(Label) -> bool, memory: &mut Memory) -> Result<Self> {
        let (stays, goes): (Vec<Label>, Vec<Label>) = self.labels.iter().partition(|&&label| kept(label));
        if goes.is_empty() {
            return Ok(self);
        }
        let dims: Vec<usize> = stays.iter().map(|&label| self.size(label)).collect();
        let rows = self.grouped(&[], &[&stays, &goes], memory)?;
        let ones =
            with_number_type!(rows, T => Tensor::new(&[rows.dims()[1], 1], vec![<T as Number>::ONE; rows.dims()[1]]))?;
        let ones = ones.retyped(rows.dtype());
        Ok(Self { tensor: product(&rows, &ones, [false, false], memory)?.reshaped(dims)?, labels: stays })
    }
}

fn contracted(a: Named, b: Named, output: &[Label], memory: &mut Memory) -> Result<Named> {
    let a_labels = a.labels.clone();
    let a = a.summed(|label| output.contains(&label) || b.labels.contains(&label), memory)?;
    let b = b.summed(|label| output.contains(&label) || a_labels.contains(&label), memory)?;
    let of_both = |label: &&Label| b.labels.contains(label);
    let (shared, a_only): (Vec<Label>, Vec<Label>) = a.labels.iter().partition(|label| of_both(label));
    let (batch, inner): (Vec<Label>, Vec<Label>) = shared.iter().partition(|label| output.contains(label));
    let b_only: Vec<Label> = b.labels.iter().copied().filter(|label| !a.labels.contains(label)).collect();
    if inner.iter().any(|&label| a.size(label) != b.size(label)) {
        return Err(invalid("axes of one name are of different sizes"));
    }
    let left = a.grouped(&batch, &[&a_only, &inner], memory)?;
    let right = b.grouped(&batch, &[&inner, &b_only], memory)?;
    let made = product(&left, &right, [false, false], memory)?;
    let mut dims = made.dims()[..batch.len()].to_vec();
    dims.extend(a_only.iter().map(|&label| a.size(label)).chain(b_only.iter().map(|&label| b.size(label))));
    let labels = [batch, a_only, b_only].concat();
    Ok(Named { tensor: made.reshaped(dims)?, labels })
}

fn einsum(node: &Attributes<'_>) -> Result<Kernel> {
    let text = node.text("equation", "");
    let refused = || Error::new(ErrorKind::Refused, format!("the equation '{text}' is not computed"));
    let equation = Equation::parse(&text).ok_or_else(refused)?;
    kernel(move |inputs, memory| {
        let tensors = (0..equation.count()).map(|index| inputs.tensor(index));
        let tensors: Vec<&Tensor> = tensors.collect::<Result<_>>()?;
        let ranks: Vec<usize> = tensors.iter().map(|tensor| tensor.rank()).collect();
        let labels = equation.labels(&ranks).ok_or_else(|| invalid("an input has not as many axes as the equation"))?;
        let named = tensors.into_iter().zip(labels.inputs);
        let mut named: Vec<Named> = named.map(|(tensor, labels)| Named { tensor: tensor.clone(), labels }).collect();
        let output = labels.output;
        let last = named.pop().ok_or_else(|| invalid("an einsum of nothing"))?;
        let made = match named.pop() {
            Some(first) => contracted(first, last, &output, memory)?,
            None => last.summed(|label| output.contains(&label), memory)?,
        };
        if output.len() != made.labels.len() || output.iter().any(|label| !made.labels.contains(label)) {
            return Err(invalid("the result has an axis that no input has"));
        }
        made.grouped(&output, &[], memory)
    })
}

pub(super) const OPS: &[Op] = &[Op { name: "Einsum", prepare: einsum }];
