//! Batch norms.

use super::dims::{of_rank, with_rank};
use super::window::Layout;
use super::{Dims, Inference};

/// A batch norm's outputs: the image, and vectors of one element per channel.
pub(super) fn fused_batch_norm(at: &mut Inference<'_>) -> Option<Dims> {
    let format = at.graph.attr_str(at.node(), "data_format");
    let rank = if format.is_some_and(|format| format.len() == 5) { 5 } else { 4 };
    let layout = Layout::of(at, rank);
    match (at.port(), layout) {
        (0, None) => Some(of_rank(rank)),
        (0, Some(layout)) => Some(image(at, &layout)),
        (1..=4, None) => Some(of_rank(1)),
        (1..=4, Some(layout)) => Some(vec![image(at, &layout)[layout.channel]]),
        _ => None,
    }
}

/// Any vector that is read tells how many channels there are, except for the moving averages while training, which may
/// be empty.
fn image(at: &mut Inference<'_>, layout: &Layout) -> Dims {
    let mut image = with_rank(at.detail(0), layout.rank);
    let vectors = if at.bool("is_training").unwrap_or(true) { 1..3 } else { 1..5 };
    for index in vectors {
        if let Some([channels]) = at.detail(index).as_deref() {
            image[layout.channel] = image[layout.channel].or(*channels);
        }
    }
    image
}
