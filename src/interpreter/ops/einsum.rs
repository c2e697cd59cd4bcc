//! Einsum of one or two tensors: axes have names, and are brought into the order of a batch of products.

use super::matmul::product;
use super::slice::transposed;
use crate::error::{Error, ErrorKind, Result};
use crate::interpreter::kernel::{Attributes, Kernel, Op, invalid, kernel};
use crate::interpreter::memory::Memory;
use crate::interpreter::number::{Number, with_number_type};
use crate::interpreter::tensor::{Tensor, element_count};

/// The name of an axis: a letter, or a place in what `...` stands for, counted from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    Letter(char),
    Dots(usize),
}

/// The names of a tensor's axes, as far as its rank does not matter.
#[derive(Debug)]
struct Term {
    before: Vec<Label>,
    behind: Vec<Label>,
    has_dots: bool,
}

impl Term {
    fn parse(text: &str) -> Option<Self> {
        let (before, behind, has_dots) = match text.split_once("...") {
            Some((before, behind)) => (before, behind, true),
            None => (text, "", false),
        };
        let letters = |text: &str| {
            let letter = |letter: char| letter.is_ascii_alphabetic().then_some(Label::Letter(letter));
            text.chars().map(letter).collect::<Option<Vec<_>>>()
        };
        Some(Self { before: letters(before)?, behind: letters(behind)?, has_dots })
    }

    /// How many axes the dots stand for in a tensor of that rank.
    fn dots(&self, rank: usize) -> Option<usize> {
        rank.checked_sub(self.before.len() + self.behind.len()).filter(|&dots| dots == 0 || self.has_dots)
    }

    fn labels(&self, dots: usize) -> Vec<Label> {
        let dots = (0..if self.has_dots { dots } else { 0 }).rev().map(Label::Dots);
        self.before.iter().copied().chain(dots).chain(self.behind.iter().copied()).collect()
    }
}

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
    let equation: String = node.text("equation", "").split_whitespace().collect();
    let refused = || Error::new(ErrorKind::Refused, format!("the equation '{equation}' is not computed"));
    let (inputs, output) = equation.split_once("->").ok_or_else(refused)?;
    let terms: Option<Vec<Term>> = inputs.split(',').map(Term::parse).collect();
    let (terms, output) = (terms.ok_or_else(refused)?, Term::parse(output).ok_or_else(refused)?);
    let repeats = |term: &Term| {
        let labels = term.labels(0);
        (1..labels.len()).any(|at| labels[..at].contains(&labels[at]))
    };
    if terms.len() > 2 || terms.iter().chain([&output]).any(repeats) {
        return Err(refused());
    }
    kernel(move |inputs, memory| {
        let mut dots = 0;
        let mut named = Vec::new();
        for (index, term) in terms.iter().enumerate() {
            let tensor = inputs.tensor(index)?;
            let of_term = term.dots(tensor.rank());
            let of_term =
                of_term.ok_or_else(|| invalid(format!("input {index} has not as many axes as the equation")))?;
            dots = dots.max(of_term);
            named.push(Named { tensor: tensor.clone(), labels: term.labels(of_term) });
        }
        let output = output.labels(dots);
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
