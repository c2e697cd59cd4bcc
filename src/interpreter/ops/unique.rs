//! What is in vectors: Unique in its forms, and ListDiff.

use super::scatter::of_type_of;
use crate::error::Result;
use crate::interpreter::kernel::{Attributes, Kernel, Op, axis, invalid};
use crate::interpreter::tensor::{Tensor, with_values};

/// The values, each once, in the order in which they come first; for each element which one it is; and how many there are
/// of each.
fn unique(node: &Attributes<'_>) -> Result<Kernel> {
    let is_long = node.graph.attr_type(node.node, "out_idx") == Some(9);
    let op = node.graph.op(node.node);
    let (has_axis, counts) = (op.contains("V2"), op.contains("Counts"));
    Ok(Box::new(move |inputs, memory| {
        let x = inputs.tensor(0)?;
        if has_axis {
            for along in inputs.ints(1)? {
                axis(along, x.rank())?;
            }
        }
        if x.rank() != 1 {
            return Err(invalid("only what is in a vector is told apart"));
        }
        let count = x.len();
        let _charge = memory.charge(count.saturating_mul(3 * size_of::<usize>()))?;
        let (first, which) = with_values!(x, values => {
            let mut order: Vec<usize> = (0..count).collect();
            let compare = |&a: &usize, &b: &usize| {
                values[a].partial_cmp(&values[b]).unwrap_or_else(|| a.cmp(&b)).then(a.cmp(&b))
            };
            order.sort_by(compare);
            let mut of = vec![0usize; count];
            for pair in 0..count {
                let at = order[pair];
                let same = pair > 0 && values[order[pair - 1]] == values[at];
                of[at] = if same { of[order[pair - 1]] } else { at };
            }
            // By now each element knows the first of its equals.
            let mut place = vec![0usize; count];
            let mut first = Vec::new();
            for at in 0..count {
                if of[at] == at {
                    place[at] = first.len();
                    first.push(at);
                }
            }
            let which: Vec<usize> = of.iter().map(|&at| place[at]).collect();
            (first, which)
        });
        let mut sizes = vec![0usize; first.len()];
        which.iter().for_each(|&place| sizes[place] += 1);
        let values = with_values!(x, values => {
            Tensor::from_storage(vec![first.len()], memory.collect(first.len(), first.iter().map(|&at| values[at]))?)
        })?;
        let mut numbers = |values: &[usize]| -> Result<Tensor> {
            let count = values.len();
            if is_long {
                return Tensor::from_storage(vec![count], memory.collect(count, values.iter().map(|&at| at as i64))?);
            }
            Tensor::from_storage(vec![count], memory.collect(count, values.iter().map(|&at| at as i32))?)
        };
        let mut made = vec![values.retyped(x.dtype()).into(), numbers(&which)?.into()];
        if counts {
            made.push(numbers(&sizes)?.into());
        }
        Ok(made)
    }))
}

/// The elements of a vector that another one lacks, and where they are.
fn list_diff(node: &Attributes<'_>) -> Result<Kernel> {
    let is_long = node.graph.attr_type(node.node, "out_idx") == Some(9);
    Ok(Box::new(move |inputs, memory| {
        let (x, without) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let _charge = memory.charge(x.len().saturating_add(without.len()).saturating_mul(size_of::<usize>()))?;
        let places: Vec<usize> = with_values!(x, values => {
            let mut without = of_type_of(values, without)?.to_vec();
            without.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
            let lacks = |value| without.binary_search_by(|other| {
                other.partial_cmp(&value).unwrap_or(std::cmp::Ordering::Less)
            }).is_err();
            values.iter().enumerate().filter(|&(_, &value)| lacks(value)).map(|(at, _)| at).collect()
        });
        let count = places.len();
        let kept = with_values!(x, values => {
            Tensor::from_storage(vec![count], memory.collect(count, places.iter().map(|&at| values[at]))?)
        })?;
        let places = if is_long {
            Tensor::from_storage(vec![count], memory.collect(count, places.iter().map(|&at| at as i64))?)?
        } else {
            Tensor::from_storage(vec![count], memory.collect(count, places.iter().map(|&at| at as i32))?)?
        };
        Ok(vec![kept.retyped(x.dtype()).into(), places.into()])
    }))
}

pub(super) const OPS: &[Op] = &[
    Op { name: "Unique", prepare: unique },
    Op { name: "UniqueV2", prepare: unique },
    Op { name: "UniqueWithCounts", prepare: unique },
    Op { name: "UniqueWithCountsV2", prepare: unique },
    Op { name: "ListDiff", prepare: list_diff },
];
