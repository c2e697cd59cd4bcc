//! The ops that the interpreter runs, a family of like ones a file, found by their names.

mod binary;
mod blocks;
mod cast;
mod conv;
mod depthwise;
mod einsum;
pub(super) mod fake_quant;
mod framed;
mod gather;
mod join;
mod list;
mod matmul;
mod norm;
mod pad;
mod pass;
mod pool;
mod reduce;
mod reorder;
mod resize;
mod select;
mod shape;
mod slice;
mod softmax;
mod tile;
mod transposed_conv;
mod unary;
mod window;

use std::sync::LazyLock;

use hashbrown::HashMap;

use super::kernel::Op;

const FAMILIES: &[&[Op]] = &[
    binary::OPS,
    blocks::OPS,
    cast::OPS,
    conv::OPS,
    depthwise::OPS,
    einsum::OPS,
    fake_quant::OPS,
    gather::OPS,
    join::OPS,
    list::OPS,
    matmul::OPS,
    norm::OPS,
    pad::OPS,
    pass::OPS,
    pool::OPS,
    reduce::OPS,
    reorder::OPS,
    resize::OPS,
    select::OPS,
    shape::OPS,
    slice::OPS,
    softmax::OPS,
    tile::OPS,
    transposed_conv::OPS,
    unary::OPS,
];

static BY_NAME: LazyLock<HashMap<&'static str, &'static Op>> =
    LazyLock::new(|| FAMILIES.iter().copied().flatten().map(|op| (op.name, op)).collect());

/// The op of that name, if the interpreter runs it.
pub(super) fn find(name: &str) -> Option<&'static Op> {
    BY_NAME.get(name).copied()
}

/// Whether the op takes the elements of its second input as they lie in the file, aligned or not.
pub(super) fn reads_stored(name: &str) -> bool {
    matches!(name, "Conv2D" | "Conv2DBackpropInput" | "MatMul" | "BatchMatMul" | "BatchMatMulV2" | "BatchMatMulV3")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_op_is_there_twice() {
        assert_eq!(BY_NAME.len(), FAMILIES.iter().copied().map(<[Op]>::len).sum::<usize>());
        assert!(find("Conv2D").is_some() && find("NoSuchOp").is_none());
    }
}
