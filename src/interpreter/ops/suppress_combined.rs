//! CombinedNonMaxSuppression: class by class, then the best of all classes of an image.

use super::suppress::{Choice, chosen, overlap};
use crate::error::Result;
use crate::interpreter::kernel::{Attributes, Inputs, Kernel, Op, Outputs, invalid, size};
use crate::interpreter::memory::Memory;
use crate::interpreter::tensor::{Tensor, element_count};

fn combined(node: &Attributes<'_>) -> Result<Kernel> {
    let (by_class, clips) = (node.bool("pad_per_class", false), node.bool("clip_boxes", true));
    Ok(Box::new(move |inputs, memory| suppressed(inputs, memory, by_class, clips)))
}

fn suppressed(inputs: &Inputs, memory: &mut Memory, by_class: bool, clips: bool) -> Result<Outputs> {
    let ([batch, count, box_classes, four], [score_batch, score_count, classes]) =
        (inputs.dims::<4>(0)?, inputs.dims::<3>(1)?);
    let (boxes, scores) = (inputs.values::<f32>(0)?, inputs.values::<f32>(1)?);
    let [per_class, in_all] = [2, 3].map(|index| inputs.int(index).and_then(|most| size(most, "the number of boxes")));
    let (per_class, in_all) = (per_class?, in_all?);
    let fits =
        four == 4 && batch == score_batch && count == score_count && (box_classes == 1 || box_classes == classes);
    if !fits {
        return Err(invalid("boxes and scores that do not go together"));
    }
    let choice = Choice { most: per_class, similar: inputs.scalar(4)?, least_score: inputs.scalar(5)?, sigma: 0.0 };
    let places = if by_class { in_all.min(per_class.saturating_mul(classes)) } else { in_all };
    let total = element_count(&[batch, places])?;
    let mut found_boxes = memory.zeros::<f32>(element_count(&[batch, places, 4])?)?;
    let (mut found_scores, mut found_classes) = (memory.zeros::<f32>(total)?, memory.zeros::<f32>(total)?);
    let mut valid = memory.zeros::<i32>(batch)?;
    let corners = boxes.as_chunks::<4>().0;
    let _charge = memory.charge(count.saturating_mul(classes).saturating_mul(size_of::<(f32, usize, [f32; 4])>()))?;
    for image in 0..batch {
        let mut found: Vec<(f32, usize, [f32; 4])> = Vec::new();
        for class in 0..classes {
            let of_box =
                |index: usize| corners[(image * count + index) * box_classes + if box_classes > 1 { class } else { 0 }];
            let of_class: Vec<f32> =
                (0..count).map(|index| scores[(image * count + index) * classes + class]).collect();
            let best = chosen(&of_class, choice, |a, b| overlap(of_box(a), of_box(b)), memory)?;
            found.extend(best.into_iter().map(|(index, score)| (score, class, of_box(index))));
        }
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        found.truncate(places);
        valid[image] = found.len() as i32;
        for (at, (score, class, corners)) in found.into_iter().enumerate() {
            let at = image * places + at;
            (found_scores[at], found_classes[at]) = (score, class as f32);
            let corners = if clips { corners.map(|value| value.clamp(0.0, 1.0)) } else { corners };
            found_boxes[at * 4..][..4].copy_from_slice(&corners);
        }
    }
    Ok(vec![
        Tensor::from_storage(vec![batch, places, 4], found_boxes)?.into(),
        Tensor::from_storage(vec![batch, places], found_scores)?.into(),
        Tensor::from_storage(vec![batch, places], found_classes)?.into(),
        Tensor::from_storage(vec![batch], valid)?.into(),
    ])
}

pub(super) const OPS: &[Op] = &[Op { name: "CombinedNonMaxSuppression", prepare: combined }];
