//! Blocks of space moved into the batch or into the channels, and back.

use super::pad::padded;
use super::slice::{View, transposed};
use crate::error::{Error, ErrorKind, Result};
use crate::interpreter::kernel::{Attributes, Inputs, Kernel, Op, invalid, kernel, size};
use crate::interpreter::layout::row_major;
use crate::interpreter::tensor::with_values;

/// The block sizes and, for each of their axes, two numbers. Older ops have one size for two axes, as an attribute.
fn blocks(inputs: &Inputs, fixed: Option<usize>) -> Result<(Vec<usize>, Vec<[usize; 2]>)> {
    let (blocks, at) = match fixed {
        Some(block) => (vec![block; 2], 1),
        None => (inputs.sizes(1, "a block size")?, 2),
    };
    let amounts = inputs.ints(at)?;
    if inputs.tensor(at)?.dims() != [blocks.len(), 2]
        || blocks.contains(&0)
        || blocks.iter().any(|&block| block > 1 << 30)
    {
        return Err(invalid("the block sizes and their paddings or crops do not go together"));
    }
    let pairs = amounts.as_chunks::<2>().0.iter();
    let amounts = pairs.map(|&[a, b]| Ok([size(a, "a padding or crop")?, size(b, "a padding or crop")?]));
    Ok((blocks, amounts.collect::<Result<_>>()?))
}

/// The attribute that says one block size.
fn block_size(node: &Attributes<'_>) -> Result<usize> {
    let block = size(node.int("block_size", 0), "the block size")?;
    if (1..1 << 20).contains(&block) { Ok(block) } else { Err(invalid(format!("a block size of {block}"))) }
}

fn space_to_batch(fixed: Option<usize>) -> Result<Kernel> {
    kernel(move |inputs, memory| {
        let (blocks, amounts) = blocks(inputs, fixed)?;
        let x = inputs.tensor(0)?;
        let spatial = blocks.len();
        if x.rank() < spatial + 1 {
            return Err(invalid("more block sizes than axes"));
        }
        let mut all = vec![[0, 0]; x.rank()];
        all[1..=spatial].copy_from_slice(&amounts);
        let grown = with_values!(x, values => padded(values, x.dims(), &all, Default::default(), memory))?;
        // [n, s·b …, rest] → [n, s, b …, rest] → [b …, n, s …, rest] → [n·b…, s …, rest]
        let (mut apart, mut whole) = (vec![grown.dims()[0]], vec![grown.dims()[0]]);
        for (&block, &dim) in blocks.iter().zip(&grown.dims()[1..]) {
            if dim % block != 0 {
                return Err(invalid(format!("{dim} is not a multiple of the block size {block}")));
            }
            apart.extend([dim / block, block]);
            whole[0] = whole[0].saturating_mul(block);
            whole.push(dim / block);
        }
        apart.extend(&x.dims()[spatial + 1..]);
        whole.extend(&x.dims()[spatial + 1..]);
        let mut order: Vec<usize> = (0..spatial).map(|index| 2 + 2 * index).collect();
        order.push(0);
        order.extend((0..spatial).map(|index| 1 + 2 * index));
        order.extend(1 + 2 * spatial..apart.len());
        Ok(transposed(&grown.reshaped(apart)?, &order, memory)?.reshaped(whole)?.retyped(x.dtype()))
    })
}

fn batch_to_space(fixed: Option<usize>) -> Result<Kernel> {
    kernel(move |inputs, memory| {
        let (blocks, crops) = blocks(inputs, fixed)?;
        let x = inputs.tensor(0)?;
        let spatial = blocks.len();
        let product = blocks.iter().fold(1usize, |product, &block| product.saturating_mul(block));
        if x.rank() < spatial + 1 || x.dims()[0] % product != 0 {
            return Err(invalid("the batch is not a multiple of the blocks"));
        }
        let batch = x.dims()[0] / product;
        let rest = &x.dims()[spatial + 1..];
        let apart: Vec<usize> = blocks.iter().chain([&batch]).chain(&x.dims()[1..]).copied().collect();
        let mut order = vec![spatial];
        order.extend((0..spatial).flat_map(|index| [spatial + 1 + index, index]));
        order.extend(2 * spatial + 1..apart.len());
        let mut whole = vec![batch];
        whole.extend(x.dims()[1..].iter().zip(&blocks).map(|(&dim, &block)| dim.saturating_mul(block)));
        whole.extend(rest);
        let joined = transposed(&x.clone().reshaped(apart)?, &order, memory)?.reshaped(whole)?;
        let (mut dims, mut start) = (joined.dims().to_vec(), 0);
        let strides = row_major(joined.dims());
        for (index, &[before, behind]) in crops.iter().enumerate() {
            let left = dims[index + 1].checked_sub(before.saturating_add(behind));
            dims[index + 1] = left.ok_or_else(|| invalid("more is cropped than there is"))?;
            start += before * strides[index + 1].unsigned_abs();
        }
        View { start, dims: dims.clone(), strides }.of(&joined, dims, memory)
    })
}

/// Depth to space or back, of `[batch, height, width, depth]` (`channels_first`: depth second).
fn depth_and_space(node: &Attributes<'_>, to_space: bool) -> Result<Kernel> {
    let block = block_size(node)?;
    if node.text("data_format", "NHWC") == "NCHW_VECT_C" {
        return Err(Error::new(ErrorKind::Refused, "the data format NCHW_VECT_C is not computed with"));
    }
    let channels_first = node.channels_first()?;
    kernel(move |inputs, memory| {
        let x = inputs.tensor(0)?;
        let dims: [usize; 4] = inputs.dims(0)?;
        let [batch, height, width, depth] = if channels_first { [dims[0], dims[2], dims[3], dims[1]] } else { dims };
        let fits = if to_space { depth % (block * block) == 0 } else { height % block == 0 && width % block == 0 };
        if !fits {
            return Err(invalid(format!("the tensor does not consist of blocks of {block}")));
        }
        let (apart, order, whole) = if to_space {
            let left = depth / (block * block);
            let whole = [batch, height * block, width * block, left];
            if channels_first {
                (vec![batch, block, block, left, height, width], [0, 3, 4, 1, 5, 2], whole)
            } else {
                (vec![batch, height, width, block, block, left], [0, 1, 3, 2, 4, 5], whole)
            }
        } else {
            let whole = [batch, height / block, width / block, depth * block * block];
            if channels_first {
                (vec![batch, depth, height / block, block, width / block, block], [0, 3, 5, 1, 2, 4], whole)
            } else {
                (vec![batch, height / block, block, width / block, block, depth], [0, 1, 3, 2, 4, 5], whole)
            }
        };
        let [batch, height, width, depth] = whole;
        let whole = if channels_first { vec![batch, depth, height, width] } else { whole.to_vec() };
        transposed(&x.clone().reshaped(apart)?, &order, memory)?.reshaped(whole)
    })
}

pub(super) const OPS: &[Op] = &[
    Op { name: "SpaceToBatchND", prepare: |_| space_to_batch(None) },
    Op { name: "BatchToSpaceND", prepare: |_| batch_to_space(None) },
    Op { name: "SpaceToBatch", prepare: |node| space_to_batch(Some(block_size(node)?)) },
    Op { name: "BatchToSpace", prepare: |node| batch_to_space(Some(block_size(node)?)) },
    Op { name: "DepthToSpace", prepare: |node| depth_and_space(node, true) },
    Op { name: "SpaceToDepth", prepare: |node| depth_and_space(node, false) },
];
