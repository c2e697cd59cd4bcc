//! Layers that read a folded batch norm.
//!
//! # What it does
//! Lets the folded copy of a layer read what took the place of the batch norm before it. The reference notes each layer's
//! input before it folds the first, so that the copy reads the old batch norm: the graph computes the same, but the folded
//! layer before it is dead, and so is its quantizer.
//!
//! # When it applies
//! Where a folded layer without activation feeds the next folded layer directly, as the projections of Keras' MobileNetV2.
//!
//! # What it leaves alone
//! Layers with anything in between, which reads the folded tensor by itself.
//!
//! # Example
//! Of `a/Conv2D → a/FusedBatchNorm → b/Conv2D → b/FusedBatchNorm`, `b/Conv2D_Fold` reads `a/add_fold`.

use hashbrown::HashMap;

use crate::graph::TensorRef;

/// What took the place of the batch norms' outputs.
#[derive(Debug, Default)]
pub(in crate::passes) struct Replaced(HashMap<TensorRef, TensorRef>);

impl Replaced {
    pub(crate) fn note(&mut self, batch_norm: TensorRef, by: TensorRef) {
        self.0.insert(batch_norm, by);
    }

    /// What is to be read instead of the tensor, if it was folded.
    pub(crate) fn instead_of(&self, tensor: TensorRef) -> Option<TensorRef> {
        self.0.get(&tensor).copied()
    }
}
