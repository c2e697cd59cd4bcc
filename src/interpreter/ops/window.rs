//! Where a window lies as it moves over an axis: what convolutions and poolings have in common.

use super::slice::transposed;
use crate::error::{Error, ErrorKind, Result};
use crate::interpreter::kernel::{Attributes, invalid, size};
use crate::interpreter::memory::Memory;
use crate::interpreter::tensor::Tensor;

/// How the border is padded.
#[derive(Debug, Clone)]
pub(super) enum Padding {
    Same,
    Valid,
    /// Before and behind each axis of the tensor, in its layout.
    Explicit(Vec<[usize; 2]>),
}

/// That the input's channels divide into groups, each as deep as the weights, which share the outputs evenly.
pub(super) fn check_groups(channels: usize, depth: usize, outputs: usize) -> Result<()> {
    let divides = depth != 0 && channels != 0 && channels.is_multiple_of(depth);
    if !divides || !outputs.is_multiple_of(channels / depth) {
        return Err(invalid(format!("{channels} channels do not divide into groups of {depth} for {outputs} outputs")));
    }
    Ok(())
}

/// One axis of a window's way over a tensor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    /// How many places there are in the input.
    pub input: usize,
    /// How many places the window takes.
    pub output: usize,
    /// How many places the window sees from each.
    pub kernel: usize,
    pub stride: usize,
    /// From one place that the window sees to the next.
    pub dilation: usize,
    /// How much is padded before the axis.
    pub before: usize,
}

impl Axis {
    /// The window's elements that see the input when the window is at `at`: their range, and what the first one sees.
    pub(super) fn seen(&self, at: usize) -> (std::ops::Range<usize>, usize) {
        let start = at * self.stride;
        let first = self.before.saturating_sub(start).div_ceil(self.dilation).min(self.kernel);
        // Element e sees place start + e · dilation - before.
        let places = (self.input + self.before).saturating_sub(start);
        let end = places.div_ceil(self.dilation).min(self.kernel);
        let place = (start + first * self.dilation).saturating_sub(self.before);
        (first..end.max(first), place)
    }

    /// How many places the window reaches over.
    pub(super) fn reach(&self) -> usize {
        (self.kernel - 1) * self.dilation + 1
    }

    /// How many places all windows together reach over, with what is padded.
    pub(super) fn framed(&self) -> usize {
        self.output.saturating_sub(1) * self.stride + self.reach()
    }
}

/// The attributes of a moving window over the two spatial axes.
#[derive(Debug, Clone)]
pub(super) struct Window {
    pub padding: Padding,
    pub strides: [usize; 2],
    pub dilations: [usize; 2],
    pub channels_first: bool,
}

/// Sizes past this are refused: places are computed with them.
const MAX_SIZE: usize = 1 << 31;

/// Two numbers of an attribute with one for each axis; 1 where it is left out.
pub(super) fn spatial(node: &Attributes<'_>, name: &str, channels_first: bool) -> Result<[usize; 2]> {
    let values = node.ints(name);
    let values = match values.as_slice() {
        [] => [1; 4],
        &[a, b, c, d] => [a, b, c, d],
        _ => return Err(invalid(format!("the attribute {name} has {} numbers instead of four", values.len()))),
    };
    let [height, width, others] = if channels_first {
        [values[2], values[3], values[0].max(values[1])]
    } else {
        [values[1], values[2], values[0].max(values[3])]
    };
    if others > 1 {
        let what = format!("{name} other than 1 along batch or channels are not computed with");
        return Err(Error::new(ErrorKind::Refused, what));
    }
    let positive = |value: i64| {
        size(value, name).and_then(|value| {
            if (1..MAX_SIZE).contains(&value) { Ok(value) } else { Err(invalid(format!("{name} of {value}"))) }
        })
    };
    Ok([positive(height)?, positive(width)?])
}

impl Window {
    pub(super) fn of(node: &Attributes<'_>) -> Result<Self> {
        let channels_first = node.channels_first()?;
        let padding = match node.text("padding", "VALID").as_str() {
            "SAME" => Padding::Same,
            "VALID" => Padding::Valid,
            "EXPLICIT" => {
                let amounts = node.ints("explicit_paddings");
                let sizes: Vec<usize> =
                    amounts.iter().map(|&amount| size(amount, "a padding")).collect::<Result<_>>()?;
                if sizes.len() != 8 || sizes.iter().any(|&size| size > MAX_SIZE) {
                    return Err(invalid("explicit_paddings are not eight numbers"));
                }
                Padding::Explicit(sizes.as_chunks::<2>().0.to_vec())
            }
            other => return Err(Error::new(ErrorKind::Refused, format!("the padding '{other}' is not known"))),
        };
        Ok(Self {
            padding,
            strides: spatial(node, "strides", channels_first)?,
            dilations: spatial(node, "dilations", channels_first)?,
            channels_first,
        })
    }

    /// TensorFlow's `GetWindowedOutputSize`, for the first (0) or second spatial axis.
    pub(super) fn axis(&self, which: usize, input: usize, kernel: usize) -> Result<Axis> {
        let (stride, dilation) = (self.strides[which], self.dilations[which]);
        if kernel == 0 || kernel > MAX_SIZE || input > MAX_SIZE {
            return Err(invalid(format!("a window of {kernel} over {input}")));
        }
        let reach = (kernel - 1).saturating_mul(dilation).saturating_add(1);
        let (output, before) = match &self.padding {
            Padding::Same => {
                let output = input.div_ceil(stride);
                let needed = output.saturating_sub(1).saturating_mul(stride).saturating_add(reach);
                (output, needed.saturating_sub(input) / 2)
            }
            Padding::Valid => (placed(input, reach, stride)?, 0),
            Padding::Explicit(amounts) => {
                let [before, behind] = amounts[which + if self.channels_first { 2 } else { 1 }];
                (placed(input + before + behind, reach, stride)?, before)
            }
        };
        Ok(Axis { input, output, kernel, stride, dilation, before })
    }
}

/// How many places a window takes that stays inside.
fn placed(input: usize, reach: usize, stride: usize) -> Result<usize> {
    let places = (input.saturating_add(stride)).checked_sub(reach);
    places
        .map(|places| places / stride)
        .ok_or_else(|| invalid(format!("a window that reaches over {reach} of {input}")))
}

/// The tensor with its channels last.
pub(super) fn to_channels_last(x: Tensor, channels_first: bool, memory: &mut Memory) -> Result<Tensor> {
    if channels_first { reordered(x, [0, 2, 3, 1], memory) } else { Ok(x) }
}

/// The tensor, whose channels are last, in the node's own layout.
pub(super) fn from_channels_last(x: Tensor, channels_first: bool, memory: &mut Memory) -> Result<Tensor> {
    if channels_first { reordered(x, [0, 3, 1, 2], memory) } else { Ok(x) }
}

/// An image with its axes in that order; what is no image stays.
fn reordered(x: Tensor, order: [usize; 4], memory: &mut Memory) -> Result<Tensor> {
    if x.rank() != order.len() {
        return Ok(x);
    }
    let image = transposed(&x, &order, memory)?;
    memory.recycle(x);
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_see_what_is_there() {
        let window = Window { padding: Padding::Same, strides: [2, 1], dilations: [1, 2], channels_first: false };
        let axis = window.axis(0, 5, 3).unwrap();
        assert_eq!((axis.output, axis.before), (3, 1));
        assert_eq!([0, 1, 2].map(|at| axis.seen(at)), [(1..3, 0), (0..3, 1), (0..2, 3)]);
        let dilated = window.axis(1, 3, 3).unwrap();
        assert_eq!((dilated.output, dilated.before), (3, 2));
        assert_eq!([0, 1, 2].map(|at| dilated.seen(at)), [(1..3, 0), (1..2, 1), (0..2, 0)]);
        let valid = Window { padding: Padding::Valid, ..window };
        assert_eq!(valid.axis(0, 2, 3).unwrap().output, 0);
        assert!(valid.axis(0, 0, 4).is_err());
    }
}
