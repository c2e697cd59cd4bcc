//! Which TensorFlow's builders are followed.

use crate::proto::tensorflow::VariableAggregation;

/// The generation of TensorFlow whose Python builders decide about names, attributes and collections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Dialect {
    /// TensorFlow 1.5: what `--match names` reproduces.
    #[default]
    V1_5,
    /// TensorFlow 1.15: what `--match topology` reproduces.
    V1_15,
}

impl Dialect {
    /// Whether `Conv` and `conv` count as the same name when a new one is to be unique.
    pub(super) fn names_ignore_case(self) -> bool {
        self == Self::V1_15
    }

    /// Whether a branch of a conditional lists its predicate among the values that come from outside.
    pub(super) fn lists_predicate_as_external(self) -> bool {
        self == Self::V1_15
    }

    /// Whether range variables are model variables.
    pub(super) fn ranges_are_model_variables(self) -> bool {
        self == Self::V1_5
    }

    /// How replicas combine the updates of a range.
    pub(super) fn range_aggregation(self) -> VariableAggregation {
        match self {
            Self::V1_5 => VariableAggregation::None,
            Self::V1_15 => VariableAggregation::Mean,
        }
    }
}
