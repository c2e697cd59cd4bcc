//! `ExtractImagePatches`, which the converter has no op for: patches side by side are `SpaceToDepth`, and others as many
//! slices as a patch has pixels, one beside the other.

use super::super::parts::{END, Parts};
use crate::error::Result;
use crate::graph::attr::{Attrs, Tensor as Value};
use crate::graph::shape::ShapeCache;
use crate::graph::{Graph, NodeId, TensorRef};
use crate::proto::tensorflow::DataType;

/// Larger patches that are not side by side would be more slices than are worth it.
const MOST_PIXELS: usize = 49;

/// Patches of images of known size.
#[derive(Debug)]
pub(super) struct Patches {
    x: TensorRef,
    rows: Axis,
    columns: Axis,
}

/// How patches lie along one axis, in pixels.
#[derive(Debug, Clone, Copy)]
struct Axis {
    size: i32,
    patch: i32,
    stride: i32,
    rate: i32,
    /// So many patches.
    count: i32,
    /// So many zeros before and behind the image.
    padding: [i32; 2],
}

impl Axis {
    fn new(size: i64, patch: i64, stride: i64, rate: i64, is_same: bool) -> Option<Self> {
        let reach = (patch.checked_sub(1)?).checked_mul(rate)?.checked_add(1)?;
        let is_known = size > 0 && patch > 0 && stride > 0 && rate > 0;
        let steps = |room: i64| room.checked_add(stride - 1).map(|room| room / stride);
        let count =
            if is_same { steps(size).filter(|_| is_known)? } else { steps(size - reach + 1).filter(|_| is_known)? };
        let missing = ((count - 1).checked_mul(stride)?.checked_add(reach)? - size).max(0);
        let [size, patch, stride, rate, count] =
            [size, patch, stride, rate, count].map(|number| i32::try_from(number).ok());
        let padding = [missing / 2, missing - missing / 2].map(|zeros| i32::try_from(zeros).ok());
        Some(Self {
            size: size?,
            patch: patch?,
            stride: stride?,
            rate: rate?,
            count: count.filter(|&count| count > 0)?,
            padding: [padding[0]?, padding[1]?],
        })
    }

    fn is_side_by_side(self) -> bool {
        self.patch == self.stride && self.rate == 1 && self.size % self.patch == 0 && self.patch > 1
    }

    /// Where the pixel that is `place` pixels into its patch lies in the first patch, and past the last.
    fn pixels(self, place: i32) -> [i32; 2] {
        let first = place * self.rate;
        [first, first + (self.count - 1) * self.stride + 1]
    }
}

pub(super) fn find(graph: &Graph, node: NodeId, shapes: &mut ShapeCache) -> Option<Patches> {
    let x = graph.data_input(node, 0)?;
    let &[_, Some(height), Some(width), _] = graph.static_shape_with(x, shapes)?.as_slice() else { return None };
    let is_same = match graph.attr_str(node, "padding").as_deref() {
        Some("SAME") => true,
        Some("VALID") => false,
        _ => return None,
    };
    let [patch, stride, rate] = ["ksizes", "strides", "rates"].map(|name| {
        let of_axes = graph.attr_ints(node, name)?;
        if let [1, rows, columns, 1] = of_axes[..] { Some([rows, columns]) } else { None }
    });
    let (patch, stride, rate) = (patch?, stride?, rate?);
    let axis = |size, place: usize| Axis::new(size, patch[place], stride[place], rate[place], is_same);
    let (rows, columns) = (axis(height, 0)?, axis(width, 1)?);
    let pixels = usize::try_from(rows.patch).ok()?.checked_mul(usize::try_from(columns.patch).ok()?)?;
    let patches = Patches { x, rows, columns };
    (patches.are_blocks() || (2..=MOST_PIXELS).contains(&pixels)).then_some(patches)
}

impl Patches {
    fn are_blocks(&self) -> bool {
        self.rows.is_side_by_side() && self.columns.is_side_by_side() && self.rows.patch == self.columns.patch
    }

    pub(super) fn write(self, parts: &mut Parts<'_>) -> Result<TensorRef> {
        let mut attrs = Attrs::default();
        attrs.data_type("T", DataType::DtFloat);
        if self.are_blocks() {
            attrs.int("block_size", self.rows.patch.into()).str("data_format", "NHWC");
            return parts.insert(END, "SpaceToDepth", &[self.x], &attrs);
        }
        let padded = self.padded(parts)?;
        let mut slices = Vec::new();
        for row in 0..self.rows.patch {
            for column in 0..self.columns.patch {
                slices.push(self.slice(parts, padded, row, column)?);
            }
        }
        attrs.int("N", i64::try_from(slices.len()).unwrap_or(i64::MAX)).data_type("Tidx", DataType::DtInt32);
        slices.push(parts.constant("axis", &Value::Int32(3))?);
        parts.insert(END, "ConcatV2", &slices, &attrs)
    }

    fn padded(&self, parts: &mut Parts<'_>) -> Result<TensorRef> {
        if [self.rows.padding, self.columns.padding] == [[0; 2]; 2] {
            return Ok(self.x);
        }
        let zeros =
            parts.constant("padded", &Value::Int32Pairs(&[[0, 0], self.rows.padding, self.columns.padding, [0, 0]]))?;
        let mut attrs = Attrs::default();
        attrs.data_type("T", DataType::DtFloat).data_type("Tpaddings", DataType::DtInt32);
        parts.insert("padded", "Pad", &[self.x, zeros], &attrs)
    }

    /// The pixel at that place of all patches.
    fn slice(&self, parts: &mut Parts<'_>, x: TensorRef, row: i32, column: i32) -> Result<TensorRef> {
        let name = format!("pixel_{row}_{column}");
        let ([top, bottom], [left, right]) = (self.rows.pixels(row), self.columns.pixels(column));
        let begin = parts.constant(&format!("{name}/begin"), &Value::Int32s(&[0, top, left, 0]))?;
        let end = parts.constant(&format!("{name}/end"), &Value::Int32s(&[0, bottom, right, 0]))?;
        let steps = [1, self.rows.stride, self.columns.stride, 1];
        let steps = parts.constant(&format!("{name}/strides"), &Value::Int32s(&steps))?;
        let mut attrs = Attrs::default();
        attrs.data_type("T", DataType::DtFloat).data_type("Index", DataType::DtInt32);
        attrs.int("begin_mask", 0b1001).int("end_mask", 0b1001);
        parts.insert(&name, "StridedSlice", &[x, begin, end, steps], &attrs)
    }
}
