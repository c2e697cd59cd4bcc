//! Tensors repeated: Tile, BroadcastTo.

use super::slice::View;
use crate::error::Result;
use crate::interpreter::kernel::{Attributes, Kernel, Op, invalid, kernel};
use crate::interpreter::layout::{broadcast, broadcast_strides};
use crate::interpreter::memory::Memory;
use crate::interpreter::tensor::{Tensor, element_count};

/// The tensor seen as one of shape `dims`, which it broadcasts to, under the name of the shape `named`.
fn spread(x: &Tensor, from: &[usize], dims: &[usize], named: Vec<usize>, memory: &mut Memory) -> Result<Tensor> {
    View { start: 0, dims: dims.to_vec(), strides: broadcast_strides(from, dims) }.of(x, named, memory)
}

fn tile(_: &Attributes<'_>) -> Result<Kernel> {
    kernel(|inputs, memory| {
        let (x, times) = (inputs.tensor(0)?, inputs.sizes(1, "a number of copies")?);
        if times.len() != x.rank() {
            return Err(invalid(format!("{} numbers of copies for a tensor of rank {}", times.len(), x.rank())));
        }
        let sizes = x.dims().iter().zip(&times).map(|(&dim, &times)| dim.saturating_mul(times));
        let named: Vec<usize> = sizes.collect();
        element_count(&named)?;
        // Each axis becomes two: the copies, and the axis itself.
        let from: Vec<usize> = x.dims().iter().flat_map(|&dim| [1, dim]).collect();
        let dims: Vec<usize> = x.dims().iter().zip(&times).flat_map(|(&dim, &times)| [times, dim]).collect();
        spread(x, &from, &dims, named, memory)
    })
}

fn broadcast_to(_: &Attributes<'_>) -> Result<Kernel> {
    kernel(|inputs, memory| {
        let (x, dims) = (inputs.tensor(0)?, inputs.sizes(1, "a dimension")?);
        if broadcast(x.dims(), &dims)? != dims {
            return Err(invalid("the tensor does not broadcast to that shape"));
        }
        spread(x, x.dims(), &dims, dims.clone(), memory)
    })
}

pub(super) const OPS: &[Op] = &[Op { name: "Tile", prepare: tile }, Op { name: "BroadcastTo", prepare: broadcast_to }];
