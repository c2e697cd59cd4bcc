//! By which rule past TensorFlow's own something was done.

use super::codes::coded;

coded! {
    /// The rule of [`crate::passes::extensions`] by which a layer was quantized, or a batch norm folded, although the
    /// reference leaves it out.
    pub enum Extension {
        ConstWeights = "const_weights": "its weights are a constant",
        WrappedWeights = "wrapped_weights": "its weights are converted or reshaped on their way",
        LayerOp = "layer_op": "the reference knows no such layer op",
        BareLayer = "bare_layer": "neither bias nor activation ends it",
        Activation = "activation": "an activation that the reference does not know",
        SharedWeights = "shared_weights": "several layers share its weights",
        FoldBias = "fold_bias": "a batch norm behind a bias is folded",
        FoldAffine = "fold_affine": "a batch norm of single ops is recognised by its structure",
        FoldSwitch = "fold_switch": "of a conditional, the batch norm of inference is folded",
        FoldLayout = "fold_layout": "dilations, data format or transposition are kept, which the reference loses",
        FoldChain = "fold_chain": "a folded layer reads the folded layer before it",
    }
}
