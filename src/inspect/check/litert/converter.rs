//! The versions of the converter that check knows, as far as they differ.

/// A version of the converter that differs from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Converter {
    /// TensorFlow 2.15.
    Tf215,
    /// TensorFlow 2.21.
    Newest,
}

/// What they are called.
pub(super) const VERSIONS: [&str; 2] = ["2.15", "2.21"];

/// All of them, in the order of [`VERSIONS`].
pub(super) const CONVERTERS: [Converter; 2] = [Converter::Tf215, Converter::Newest];
