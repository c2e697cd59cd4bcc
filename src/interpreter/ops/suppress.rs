//! NonMaxSuppression, V1 to V5 and with overlaps: of boxes that overlap, the one with the best score.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::error::Result;
use crate::interpreter::kernel::{Attributes, Inputs, Kernel, Op, Outputs, invalid, size};
use crate::interpreter::memory::Memory;
use crate::interpreter::tensor::{Tensor, element_count};

/// By how much two boxes overlap: what both cover, over what either does.
pub(super) fn overlap(a: [f32; 4], b: [f32; 4]) -> f32 {
    let sides = |[y, x, other_y, other_x]: [f32; 4]| [y.min(other_y), x.min(other_x), y.max(other_y), x.max(other_x)];
    let (a, b) = (sides(a), sides(b));
    let area = |[top, left, bottom, right]: [f32; 4]| (bottom - top) * (right - left);
    let (area_a, area_b) = (area(a), area(b));
    if area_a <= 0.0 || area_b <= 0.0 {
        return 0.0;
    }
    let common = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0) * (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    common / (area_a + area_b - common)
}

/// A box that may be chosen.
#[derive(Debug, PartialEq)]
struct Candidate {
    score: f32,
    index: usize,
    /// The first of the chosen boxes that it was not compared with yet.
    compared: usize,
}

impl Eq for Candidate {}

impl Ord for Candidate {
    /// The better score is greater; of equal ones that of the earlier box.
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.partial_cmp(&other.score).unwrap_or(Ordering::Equal).then(other.index.cmp(&self.index))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What is asked of the boxes that are chosen.
#[derive(Clone, Copy)]
pub(super) struct Choice {
    pub most: usize,
    pub similar: f32,
    pub least_score: f32,
    /// Of the Gaussian that lowers the scores of similar boxes; zero for none.
    pub sigma: f32,
}

/// The chosen boxes and their scores, the best first.
pub(super) fn chosen(
    scores: &[f32],
    choice: Choice,
    similarity: impl Fn(usize, usize) -> f32,
    memory: &mut Memory,
) -> Result<Vec<(usize, f32)>> {
    let _charge = memory.charge(scores.len().saturating_mul(size_of::<Candidate>() + size_of::<(usize, f32)>()))?;
    let all = scores.iter().enumerate().filter(|&(_, &score)| score > choice.least_score);
    let mut open: BinaryHeap<Candidate> = all.map(|(index, &score)| Candidate { score, index, compared: 0 }).collect();
    let mut chosen: Vec<(usize, f32)> = Vec::new();
    let scale = if choice.sigma > 0.0 { -0.5 / choice.sigma } else { 0.0 };
    while chosen.len() < choice.most.min(scores.len())
        && let Some(mut next) = open.pop()
    {
        let before = next.score;
        let mut suppressed = false;
        for &(other, _) in chosen[next.compared..].iter().rev() {
            let similar = similarity(next.index, other);
            next.score *=
                if choice.sigma > 0.0 || similar <= choice.similar { (scale * similar * similar).exp() } else { 0.0 };
            if choice.sigma <= 0.0 && similar > choice.similar {
                suppressed = true;
                break;
            }
            if next.score <= choice.least_score {
                break;
            }
        }
        next.compared = chosen.len();
        if suppressed {
            continue;
        }
        if next.score == before {
            chosen.push((next.index, next.score));
        } else if next.score > choice.least_score {
            open.push(next);
        }
    }
    Ok(chosen)
}

/// Which inputs a version has behind boxes and scores, and what it makes.
#[derive(Clone, Copy)]
struct Version {
    thresholds: usize,
    /// Whether scores may be lowered, by an input's sigma, and come out too.
    lowers_scores: bool,
    makes_count: bool,
    by_overlaps: bool,
}

const FIRST: Version = Version { thresholds: 0, lowers_scores: false, makes_count: false, by_overlaps: false };

fn suppression(node: &Attributes<'_>, version: Version) -> Result<Kernel> {
    let fixed = node.float("iou_threshold", 0.5);
    let fills = version.makes_count && node.bool("pad_to_max_output_size", false);
    Ok(Box::new(move |inputs, memory| suppressed(inputs, memory, version, fixed, fills)))
}

fn suppressed(inputs: &Inputs, memory: &mut Memory, version: Version, fixed: f32, fills: bool) -> Result<Outputs> {
    let (boxes, scores) = (inputs.values::<f32>(0)?, inputs.values::<f32>(1)?);
    let [count, wide] = inputs.dims::<2>(0)?;
    if scores.len() != count || wide != if version.by_overlaps { count } else { 4 } {
        return Err(invalid(format!("{} scores for {count} boxes of {wide} numbers", scores.len())));
    }
    let number =
        |index: usize, or: f32| if version.thresholds > index { inputs.scalar::<f32>(3 + index) } else { Ok(or) };
    let most = size(inputs.int(2)?, "the number of boxes")?;
    let choice = Choice {
        most,
        similar: number(0, fixed)?,
        least_score: number(1, f32::NEG_INFINITY)?,
        sigma: if version.lowers_scores { inputs.scalar::<f32>(5)? } else { 0.0 },
    };
    if !version.by_overlaps && !(0.0..=1.0).contains(&choice.similar) {
        return Err(invalid(format!("the threshold of overlaps is {}", choice.similar)));
    }
    if choice.sigma.is_nan() || choice.sigma < 0.0 {
        return Err(invalid(format!("the sigma of soft suppression is {}", choice.sigma)));
    }
    let corners = boxes.as_chunks::<4>().0;
    let mut found = if version.by_overlaps {
        chosen(scores, choice, |a, b| boxes[a * count + b], memory)?
    } else {
        chosen(scores, choice, |a, b| overlap(corners[a], corners[b]), memory)?
    };
    let valid = found.len();
    let length = if fills { most } else { valid };
    element_count(&[length])?;
    let _charge = memory.charge(length.saturating_mul(size_of::<(usize, f32)>()))?;
    found.resize(length, (0, 0.0));
    let indices = memory.collect(length, found.iter().map(|&(index, _)| index as i32))?;
    let mut made = vec![Tensor::from_storage(vec![length], indices)?.into()];
    if version.lowers_scores {
        let scores = memory.collect(length, found.iter().map(|&(_, score)| score))?;
        made.push(Tensor::from_storage(vec![length], scores)?.retyped(inputs.tensor(1)?.dtype()).into());
    }
    if version.makes_count {
        made.push(Tensor::scalar(valid as i32).into());
    }
    Ok(made)
}

pub(super) const OPS: &[Op] = &[
    Op { name: "NonMaxSuppression", prepare: |node| suppression(node, FIRST) },
    Op { name: "NonMaxSuppressionV2", prepare: |node| suppression(node, Version { thresholds: 1, ..FIRST }) },
    Op { name: "NonMaxSuppressionV3", prepare: |node| suppression(node, Version { thresholds: 2, ..FIRST }) },
    Op {
        name: "NonMaxSuppressionV4",
        prepare: |node| suppression(node, Version { thresholds: 2, makes_count: true, ..FIRST }),
    },
    Op {
        name: "NonMaxSuppressionV5",
        prepare: |node| suppression(node, Version { thresholds: 2, lowers_scores: true, makes_count: true, ..FIRST }),
    },
    Op {
        name: "NonMaxSuppressionWithOverlaps",
        prepare: |node| suppression(node, Version { thresholds: 2, by_overlaps: true, ..FIRST }),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_overlap_whichever_corner_comes_first() {
        assert_eq!(overlap([0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0]), 1.0);
        assert_eq!(overlap([0.0, 0.0, 1.0, 1.0], [0.0, 0.5, 1.0, 1.5]), 1.0 / 3.0);
        assert_eq!(overlap([0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0]), 0.0);
    }
}
