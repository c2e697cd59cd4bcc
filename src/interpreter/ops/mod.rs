//! The ops that the interpreter runs, a family of like ones a file, found by their names.

mod bicubic;
mod binary;
mod blocks;
mod cast;
mod conv;
mod crop;
mod depthwise;
mod diagonal;
mod einsum;
pub(super) mod fake_quant;
mod framed;
mod gather;
mod join;
mod list;
mod matmul;
mod max_pool;
mod norm;
mod pad;
mod pass;
mod pool;
mod recurrent;
mod reduce;
mod reorder;
pub(super) mod resize;
mod scatter;
mod segment;
mod select;
mod shape;
mod slice;
mod softmax;
mod suppress;
mod suppress_combined;
mod tile;
mod transposed_conv;
mod unary;
mod unique;
mod volume;
mod window;

use std::sync::LazyLock;

use hashbrown::HashMap;

use super::kernel::Op;

const FAMILIES: &[&[Op]] = &[
    bicubic::OPS,
    binary::OPS,
    blocks::OPS,
    cast::OPS,
    conv::OPS,
    crop::OPS,
    depthwise::OPS,
    diagonal::OPS,
    einsum::OPS,
    fake_quant::OPS,
    gather::OPS,
    join::OPS,
    list::OPS,
    matmul::OPS,
    max_pool::OPS,
    norm::OPS,
    pad::OPS,
    pass::OPS,
    pool::OPS,
    recurrent::OPS,
    reduce::OPS,
    reorder::OPS,
    resize::OPS,
    scatter::OPS,
    segment::OPS,
    select::OPS,
    shape::OPS,
    slice::OPS,
    softmax::OPS,
    suppress::OPS,
    suppress_combined::OPS,
    tile::OPS,
    transposed_conv::OPS,
    unary::OPS,
    unique::OPS,
    volume::OPS,
];

static BY_NAME: LazyLock<HashMap<&'static str, &'static Op>> =
    LazyLock::new(|| FAMILIES.iter().copied().flatten().map(|op| (op.name, op)).collect());

/// The op of that name, if the interpreter runs it.
pub(super) fn find(name: &str) -> Option<&'static Op> {
    BY_NAME.get(name).copied()
}

/// Whether the op takes the elements of its second input as they lie in the file, aligned or not.
pub(super) fn reads_stored(name: &str) -> bool {
    matches!(
        name,
        "Conv2D"
            | "Conv2DBackpropInput"
            | "Conv3D"
            | "Conv3DBackpropInputV2"
            | "MatMul"
            | "BatchMatMul"
            | "BatchMatMulV2"
            | "BatchMatMulV3"
    )
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
