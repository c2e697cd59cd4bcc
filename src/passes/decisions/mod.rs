//! What the passes decide, in the words of the report: every outcome has a code and a reason.

mod batch_norm;
mod codes;
mod extension;
mod layer;
mod steps;

pub(super) use batch_norm::Refusal;
pub use batch_norm::{BatchNorm, FoldOutcome};
pub use extension::Extension;
pub use layer::{InsertedFakeQuant, Layer, Outcome, Quantized, Role};
pub use steps::{Rule, Step};
