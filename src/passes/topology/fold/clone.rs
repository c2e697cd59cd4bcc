//! The copies of a layer that read folded weights, as `nn_ops` of TensorFlow 1.15 make them.
//!
//! They are made anew, not copied. By the reference's rules alone, attributes that TensorFlow's folding does not pass on have
//! their defaults; else all that the layer computes by is kept ([`crate::passes::extensions::fold_layout`]).

use super::shapes::FoldShapes;
use crate::error::{ErrorKind, Result};
use crate::graph::attr::Tensor;
use crate::graph::{Graph, NodeId, TensorRef};
use crate::nodes::Builder;
use crate::proto::tensorflow::DataType;

/// What of a layer its copy has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeping {
    /// All that it computes by.
    All,
    /// What TensorFlow's folding passes on.
    AsReference,
}

/// The attributes that TensorFlow's folding does not pass on.
struct Geometry {
    data_format: String,
    dilations: Vec<i64>,
    explicit_paddings: Vec<i64>,
}

impl Geometry {
    fn of(graph: &Graph, layer: NodeId) -> Self {
        Self {
            data_format: graph.attr_str(layer, "data_format").unwrap_or_else(|| "NHWC".to_owned()),
            dilations: graph.attr_ints(layer, "dilations").filter(|by| !by.is_empty()).unwrap_or_else(|| vec![1; 4]),
            explicit_paddings: graph.attr_ints(layer, "explicit_paddings").unwrap_or_default(),
        }
    }

    fn plain(data_format: String) -> Self {
        Self { data_format, dilations: vec![1; 4], explicit_paddings: Vec::new() }
    }
}

/// A copy of `layer` named `name` that reads `input` and `weights`.
pub(super) fn clone_layer(
    b: &mut Builder<'_>,
    shapes: &mut FoldShapes,
    keeping: Keeping,
    layer: NodeId,
    name: &str,
    inputs: [TensorRef; 2],
) -> Result<TensorRef> {
    let mut geometry = Geometry::of(b.graph, layer);
    match b.graph.op(layer) {
        "Conv2D" => {
            if keeping == Keeping::AsReference {
                geometry = Geometry::plain(geometry.data_format);
            }
            conv2d(b, layer, name, inputs, &geometry)
        }
        "DepthwiseConv2dNative" => {
            if keeping == Keeping::AsReference {
                geometry = Geometry::plain("NHWC".to_owned());
            }
            depthwise(b, shapes, layer, name, inputs, &geometry)
        }
        "MatMul" => mat_mul(b, shapes, layer, name, inputs),
        "Conv3D" if keeping == Keeping::All => b.clone_op(name, layer, &inputs),
        "Conv2DBackpropInput" if keeping == Keeping::All => {
            let sizes = b.graph.data_input(layer, 0).into_iter();
            let [data, weights] = inputs;
            b.clone_op(name, layer, &sizes.chain([weights, data]).collect::<Vec<_>>())
        }
        _ => Err(b
            .graph
            .error(ErrorKind::Refused, "batch norms are not folded into such a layer", layer)
            .hint("leave the batch norm unfolded: --exclude or --skip-unmatched")),
    }
}

/// Whether [`clone_layer`] can copy the layer, found out before anything is inserted.
pub(super) fn check_layer(b: &Builder<'_>, keeping: Keeping, layer: NodeId) -> Result<()> {
    if keeping == Keeping::AsReference && b.graph.attr_str(layer, "padding").as_deref() == Some("EXPLICIT") {
        return Err(b
            .graph
            .error(ErrorKind::Refused, "the explicit padding would be lost in the folded layer", layer)
            .hint("pad with an op of its own, or leave the batch norm unfolded: --exclude or --skip-unmatched"));
    }
    Ok(())
}

fn conv2d(
    b: &mut Builder<'_>,
    layer: NodeId,
    name: &str,
    inputs: [TensorRef; 2],
    geometry: &Geometry,
) -> Result<TensorRef> {
    let data_type = b.common_type(inputs[0], inputs[1])?;
    let padding = b.graph.attr_str(layer, "padding").unwrap_or_else(|| "SAME".to_owned());
    let strides = b.graph.attr_ints(layer, "strides").unwrap_or_default();
    let use_cudnn = b.graph.attr_bool(layer, "use_cudnn_on_gpu").unwrap_or(true);
    let node = b.op("Conv2D", name, &inputs, |attrs| {
        attrs.data_type("T", data_type).str("data_format", &geometry.data_format);
        attrs.ints("dilations", &geometry.dilations).ints("explicit_paddings", &geometry.explicit_paddings);
        attrs.str("padding", &padding).ints("strides", &strides);
        attrs.bool("use_cudnn_on_gpu", use_cudnn)
    })?;
    Ok(node.into())
}

fn depthwise(
    b: &mut Builder<'_>,
    shapes: &mut FoldShapes,
    layer: NodeId,
    name: &str,
    inputs: [TensorRef; 2],
    geometry: &Geometry,
) -> Result<TensorRef> {
    let data_type = b.common_type(inputs[0], inputs[1])?;
    let filter = shapes.complete(b.graph, inputs[1]);
    let filter: Option<Vec<i32>> =
        filter.and_then(|dims| dims.into_iter().map(|dim| i32::try_from(dim).ok()).collect());
    let padding = b.graph.attr_str(layer, "padding").unwrap_or_else(|| "SAME".to_owned());
    let strides = b.graph.attr_ints(layer, "strides").unwrap_or_default();
    b.name_scope(name, |b| {
        match filter {
            Some(dims) => b.constant("Shape", Tensor::Int32s(&dims))?,
            None => b.shape("Shape", inputs[1], layer)?,
        };
        b.constant("dilation_rate", Tensor::Int32s(&[1, 1]))?;
        let node = b.op_here("DepthwiseConv2dNative", &inputs, |attrs| {
            attrs.data_type("T", data_type).str("data_format", &geometry.data_format);
            attrs.ints("dilations", &geometry.dilations);
            if !geometry.explicit_paddings.is_empty() {
                attrs.ints("explicit_paddings", &geometry.explicit_paddings);
            }
            attrs.str("padding", &padding).ints("strides", &strides)
        })?;
        Ok(node.into())
    })
}

/// `math_ops.matmul`, which takes a batch of matrices where one of the inputs may be no matrix.
fn mat_mul(
    b: &mut Builder<'_>,
    shapes: &mut FoldShapes,
    layer: NodeId,
    name: &str,
    inputs: [TensorRef; 2],
) -> Result<TensorRef> {
    let data_type = b.common_type(inputs[0], inputs[1])?;
    let are_matrices = inputs.iter().all(|&input| shapes.of(b.graph, input).is_some_and(|dims| dims.len() <= 2));
    let transpose = ["transpose_a", "transpose_b"].map(|name| b.graph.attr_bool(layer, name).unwrap_or(false));
    let node = if are_matrices {
        b.op("MatMul", name, &inputs, |attrs| {
            attrs.data_type("T", data_type).bool("transpose_a", transpose[0]).bool("transpose_b", transpose[1])
        })?
    } else {
        b.op("BatchMatMulV2", name, &inputs, |attrs| {
            attrs.data_type("T", DataType::DtFloat).bool("adj_x", transpose[0]).bool("adj_y", transpose[1])
        })?
    };
    Ok(node.into())
}

/// `tf.batch_to_space_nd` of `x` with the block and crops of another.
pub(super) fn batch_to_space(b: &mut Builder<'_>, name: &str, x: TensorRef, like: NodeId) -> Result<TensorRef> {
    let inputs: Vec<TensorRef> = b.graph.data_inputs(like).collect();
    let (Some(&block), Some(&crops)) = (inputs.get(1), inputs.get(2)) else {
        return Err(b
            .graph
            .error(ErrorKind::Refused, "what reads the layer first is no BatchToSpaceND with a block and crops", like)
            .hint("leave the batch norm unfolded: --exclude or --skip-unmatched"));
    };
    let [of_x, of_block, of_crops] = [x, block, crops].map(|tensor| b.number_type(tensor));
    let node = b.op("BatchToSpaceND", name, &[x, block, crops], |attrs| {
        attrs.data_type("T", of_x).data_type("Tblock_shape", of_block).data_type("Tcrops", of_crops)
    })?;
    Ok(node.into())
}

/// `tf.squeeze` of `x` along the axes of another.
pub(super) fn squeeze(b: &mut Builder<'_>, name: &str, x: TensorRef, like: NodeId) -> Result<TensorRef> {
    let data_type = b.number_type(x);
    let axes = b.graph.attr_ints(like, "squeeze_dims").unwrap_or_default();
    Ok(b.op("Squeeze", name, &[x], |attrs| attrs.data_type("T", data_type).ints("squeeze_dims", &axes))?.into())
}
