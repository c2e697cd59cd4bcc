//! The class that a network sees in a sample: the place of the greatest number along an output's last dimension.

use std::fmt;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::interpreter::Tensor;

/// The right classes, in the order of samples.
#[derive(Debug, Clone)]
pub struct Labels {
    classes: Vec<i64>,
    /// How many samples they are for.
    samples: usize,
}

impl Labels {
    /// From an array of whole numbers whose first dimension counts samples. `samples` is how many there are.
    ///
    /// # Errors
    /// [`ErrorKind::Options`] when they are no whole numbers, or are for more or fewer samples.
    pub fn new(array: &Tensor, samples: usize) -> Result<Self> {
        let Some(classes) = array.to_ints() else {
            let what = format!("labels of type {} are no classes", array.dtype().name());
            return Err(Error::new(ErrorKind::Options, what).hint("save the number of the right class of each sample"));
        };
        let count = array.dims().first().copied().unwrap_or_default();
        if count != samples || count == 0 {
            let what = format!("{count} labels for {samples} samples");
            return Err(Error::new(ErrorKind::Options, what).hint("give one label for each sample, in the same order"));
        }
        Ok(Self { classes, samples })
    }
}

/// How often both models see the right class, or the same.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Top1 {
    /// The output that tells classes.
    pub output: String,
    /// How many were looked at.
    pub count: u64,
    /// In how many each model sees the right class, if the right ones are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub right: Option<[u64; 2]>,
    /// In how many both see the same class.
    pub same: u64,
}

impl fmt::Display for Top1 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |part: u64| 100.0 * part as f64 / self.count.max(1) as f64;
        write!(formatter, "top-1 ")?;
        if let Some([a, b]) = self.right {
            write!(formatter, "{:.2} % and {:.2} % right, ", percent(a), percent(b))?;
        }
        write!(formatter, "{:.2} % the same, of {} in {}", percent(self.same), self.count, self.output)
    }
}

/// What was counted so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Votes {
    /// Which of the outputs tells classes; `None` while none has been seen to.
    output: Option<usize>,
    count: u64,
    right: [u64; 2],
    same: u64,
}

impl Votes {
    /// Looks at the outputs of a run.
    pub(super) fn count(&mut self, results: [&[Tensor]; 2], labels: Option<&Labels>, run: usize) -> Result<()> {
        let tells_classes = |tensor: &Tensor| tensor.rank() >= 2 && tensor.dims().last().is_some_and(|&last| last > 1);
        let Some(place) = results[0].iter().position(tells_classes) else { return Ok(()) };
        self.output = Some(place);
        let [seen, others] = results.map(|results| classes(&results[place]));
        if seen.len() != others.len() {
            return Ok(());
        }
        self.count += seen.len() as u64;
        self.same += seen.iter().zip(&others).filter(|(a, b)| a == b).count() as u64;
        if let Some(labels) = labels {
            let wanted = labels.classes.get(run * seen.len()..(run + 1) * seen.len()).filter(|_| {
                // As many classes a sample as the model tells.
                let batch = results[0][place].dims()[0];
                labels.classes.len() * batch == seen.len() * labels.samples
            });
            let Some(wanted) = wanted else {
                let what =
                    format!("{} labels do not fit an output of {:?}", labels.classes.len(), results[0][place].dims());
                return Err(Error::new(ErrorKind::Options, what).hint("give as many labels as the model tells classes"));
            };
            for (right, classes) in self.right.iter_mut().zip([&seen, &others]) {
                *right += classes.iter().zip(wanted).filter(|(class, wanted)| class == wanted).count() as u64;
            }
        }
        Ok(())
    }

    pub(super) fn together(all: Vec<Self>) -> Self {
        all.into_iter().fold(Self::default(), |sum, more| Self {
            output: sum.output.or(more.output),
            count: sum.count + more.count,
            right: [sum.right[0] + more.right[0], sum.right[1] + more.right[1]],
            same: sum.same + more.same,
        })
    }

    /// What they come to; `None` where no output tells classes.
    pub(super) fn top1(&self, with_labels: bool, name: impl Fn(usize) -> String) -> Option<Top1> {
        let output = name(self.output.filter(|_| self.count > 0)?);
        Some(Top1 { output, count: self.count, right: with_labels.then_some(self.right), same: self.same })
    }
}

/// The place of the greatest number in each row, the first of equal ones.
fn classes(tensor: &Tensor) -> Vec<i64> {
    let values = tensor.values::<f32>().unwrap_or_default();
    let width = tensor.dims().last().copied().unwrap_or(1).max(1);
    let greatest =
        |row: &[f32]| (1..row.len()).fold(0, |best, place| if row[place] > row[best] { place } else { best });
    values.chunks_exact(width).map(|row| greatest(row) as i64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(values: &[f32]) -> Vec<Tensor> {
        vec![Tensor::scalar(1.0f32), Tensor::new(&[values.len() / 3, 3], values.to_vec()).unwrap()]
    }

    #[test]
    fn counts_right_and_same_classes() {
        let (a, b) = (outputs(&[0.1, 0.7, 0.2, 0.5, 0.5, 0.0]), outputs(&[0.1, 0.7, 0.2, 0.1, 0.2, 0.3]));
        let labels = Labels::new(&Tensor::vector(vec![0u8, 0, 1, 2]), 4).unwrap();
        let mut votes = Votes::default();
        votes.count([&a, &b], Some(&labels), 1).unwrap();
        let top1 =
            Votes::together(vec![Votes::default(), votes]).top1(true, |place| format!("output {place}")).unwrap();
        assert_eq!(top1, Top1 { output: "output 1".to_owned(), count: 2, right: Some([1, 2]), same: 1 });
        assert_eq!(top1.to_string(), "top-1 50.00 % and 100.00 % right, 50.00 % the same, of 2 in output 1");
        assert!(Votes::default().count([&a, &b], Some(&labels), 2).is_err());
        assert!(Labels::new(&Tensor::vector(vec![0u8, 0, 1]), 4).is_err());
        assert!(Labels::new(&Tensor::vector(vec![0.5f32]), 1).is_err());
        assert!(Votes::default().top1(false, |_| String::new()).is_none());
    }
}
