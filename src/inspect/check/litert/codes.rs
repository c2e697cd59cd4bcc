//! Why an op is not what it should be: every code with what it means and what to do.

use serde::{Serialize, Serializer};

/// How an op fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It computes in integers.
    Integer,
    /// It computes in floats.
    StaysFloat,
    /// Its results differ from those of the graph.
    WillBeWrong,
    /// The converter fails, or the interpreter refuses the model.
    WillNotRun,
}

impl Verdict {
    /// The word for it, which the report has too.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::StaysFloat => "stays_float",
            Self::WillBeWrong => "will_be_wrong",
            Self::WillNotRun => "will_not_run",
        }
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One thing that is the matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// No integer kernel computes the op.
    NoIntegerKernel,
    /// The converter has no op for it.
    NotConverted,
    /// What it reads has no range.
    InputUnranged,
    /// What it makes has no range.
    OutputUnranged,
    /// What it makes has several.
    SeveralRanges,
    /// What it makes is read in front of its fake quantizer too.
    ReadUnranged,
    /// A scale behind the layer is folded into weights that are quantized already.
    WeightsScaled,
    /// The weights are computed behind their fake quantizer.
    WeightsComputed,
    /// The bias has a fake quantizer.
    BiasRanged,
    /// Zero is no middle of the weights' levels.
    WeightsNotSymmetric,
    /// The same where the kernel does not look.
    WeightsOffCentre,
    /// Weights of so few, or so many, bits have no type.
    WeightBits,
    /// Weights of three bits are stored as four.
    ThreeBits,
    /// Activations of so few, or so many, bits have no type.
    ActivationBits,
    /// Ranges by channel where the kernel takes one.
    PerChannel,
    /// Ranges by channel along an axis that a Transpose has moved.
    ChannelAxis,
    /// An input of the network is read in front of its fake quantizer, or has several.
    InputReadUnranged,
    /// A number in front of the layer is folded into weights that are quantized.
    ScaleInFront,
    /// A bias of one number beside weights with a range a channel.
    BiasOfOneNumber,
    /// Both operands are Reshapes of one range.
    EqualReshapes,
    /// A range that cuts off what reaches it.
    RangeReplaced,
    /// A range that is that of another tensor.
    RangeBorrowed,
    /// Levels of one range are taken for those of another.
    RangeReread,
    /// A range that holds nothing.
    RangeEmpty,
    /// A list whose elements have an open shape.
    OpenList,
    /// A loop that carries floats from step to step.
    LoopInFloats,
    /// There is no fake quantizer at all.
    NoFakeQuantizer,
}

impl Code {
    /// What the report says.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.facts().0
    }

    /// How an op fares of which that is so.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        self.facts().1
    }

    /// What it means.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        self.facts().2
    }

    /// What to do.
    #[must_use]
    pub fn hint(self) -> &'static str {
        self.facts().3
    }

    #[expect(clippy::too_many_lines, reason = "a table")]
    fn facts(self) -> (&'static str, Verdict, &'static str, &'static str) {
        use Verdict::{StaysFloat, WillBeWrong, WillNotRun};
        const RANGES: &str = "'tfquant calibrate' finds a range and puts it there; 'tfquant rewrite --target litert-int8' takes it \
            from '--ranges-file', an input's from '--input-range'";
        const WEIGHTS: &str =
            "use '--weights symmetric-per-channel' or '--weights symmetric' with rewrite or calibrate";
        match self {
            Self::NoIntegerKernel => (
                "no_integer_kernel",
                StaysFloat,
                "no integer kernel computes the op",
                "write it with ops that have one, or leave it in float",
            ),
            Self::NotConverted => (
                "not_converted",
                WillNotRun,
                "the converter has no op for it",
                "write it with ops that it has; with tf.lite.OpsSet.SELECT_TF_OPS it stays in float, for runtimes that hold \
                 TensorFlow's kernels",
            ),
            Self::InputUnranged => ("input_unranged", StaysFloat, "what it reads has no range", RANGES),
            Self::OutputUnranged => ("output_unranged", StaysFloat, "what it makes has no range", RANGES),
            Self::SeveralRanges => (
                "several_ranges",
                StaysFloat,
                "what it makes has several fake quantizers with different ranges",
                "give all its readers one range: '--ranges-file' has a row for each tensor",
            ),
            Self::ReadUnranged => (
                "read_unranged",
                StaysFloat,
                "what it makes is read in front of its fake quantizer as well",
                "let all its readers read the fake quantizer: 'tfquant calibrate' does",
            ),
            Self::WeightsScaled => (
                "weights_scaled",
                StaysFloat,
                "a scale behind it is folded into weights that are quantized already",
                "fold it before: 'tfquant calibrate' and 'tfquant rewrite --target litert-int8' do",
            ),
            Self::WeightsComputed => (
                "weights_computed",
                StaysFloat,
                "its weights are computed behind their fake quantizer",
                "put the fake quantizer behind what computes the weights",
            ),
            Self::BiasRanged => (
                "bias_ranged",
                StaysFloat,
                "its bias has a fake quantizer; the converter gives biases 32 bits by itself",
                "leave the bias without one",
            ),
            Self::WeightsNotSymmetric => {
                ("weights_not_symmetric", WillNotRun, "the kernel wants weights whose zero point is 0", WEIGHTS)
            }
            Self::WeightsOffCentre => (
                "weights_off_centre",
                WillBeWrong,
                "the kernel takes the zero point of its weights for 0, and it is far from that",
                WEIGHTS,
            ),
            Self::ThreeBits => (
                "three_bits",
                WillBeWrong,
                "weights of 3 bits are rounded to the levels of 4",
                "use '--weight-bits 4' or 8",
            ),
            Self::WeightBits => (
                "weight_bits",
                WillNotRun,
                "there is no type for weights of so many bits",
                "use '--weight-bits 8', or 4 for convolutions and matrix products",
            ),
            Self::ActivationBits => (
                "activation_bits",
                WillNotRun,
                "there is no type for activations of so many bits in an int8 model",
                "use '--activation-bits 8'",
            ),
            Self::PerChannel => (
                "per_channel",
                WillNotRun,
                "its weights have a range a channel, which the converter takes of convolutions alone, along the last axis",
                "use '--weights symmetric', or leave these weights without a fake quantizer: 'tfquant calibrate' does",
            ),
            Self::ChannelAxis => (
                "channel_axis",
                WillBeWrong,
                "its weights have a range for each of what it reads, not of what it makes",
                "use '--weights symmetric', or leave these weights without a fake quantizer: 'tfquant calibrate' does",
            ),
            Self::InputReadUnranged => (
                "input_read_unranged",
                WillNotRun,
                "the input is read in front of its fake quantizer as well, or has several",
                "let all its readers read one fake quantizer: 'tfquant calibrate' does",
            ),
            Self::ScaleInFront => (
                "scale_in_front",
                WillBeWrong,
                "a number that scales what it reads is folded into weights that are quantized already",
                "give the scaled tensor a range: 'tfquant calibrate' does",
            ),
            Self::BiasOfOneNumber => (
                "bias_of_one_number",
                WillBeWrong,
                "its bias is the same number for all channels, which the converter scales by the first channel's weights",
                "'tfquant calibrate' and 'tfquant rewrite --target litert-int8' write it so that it is not",
            ),
            Self::EqualReshapes => (
                "equal_reshapes",
                WillNotRun,
                "both its operands are Reshapes of one range, which the converter moves behind it and then refuses",
                "compute it in front of them, as 'tfquant calibrate' and 'tfquant rewrite --target litert-int8' do",
            ),
            Self::RangeReplaced => (
                "range_replaced",
                WillBeWrong,
                "an op that takes one range for all it reads cuts off a part of this one's",
                "give all that it reads one range: 'tfquant calibrate' does",
            ),
            Self::RangeBorrowed => (
                "range_borrowed",
                WillBeWrong,
                "it has no range and gets that of another tensor, which was not made for it",
                RANGES,
            ),
            Self::RangeReread => (
                "range_reread",
                WillBeWrong,
                "it hands levels on, and a fake quantizer with another range behind it takes them for its own",
                "give both sides one range, or leave out the one behind: 'tfquant calibrate' does",
            ),
            Self::RangeEmpty => (
                "empty_range",
                WillBeWrong,
                "the range holds nothing: its least is not below its greatest",
                "train or calibrate it",
            ),
            Self::OpenList => (
                "open_list",
                WillNotRun,
                "a loop keeps its results in a list, and how large each is is not known before it runs",
                "export the model with a batch of one; 'tfquant calibrate' fixes it where the lists hold batches",
            ),
            Self::LoopInFloats => (
                "loop_in_floats",
                StaysFloat,
                "what a loop carries from step to step is in floats, whatever it computes",
                "'tfquant calibrate' writes loops of a known length out, longer ones with '--unroll STEPS'",
            ),
            Self::NoFakeQuantizer => (
                "no_fake_quantizer",
                WillNotRun,
                "the graph holds no fake quantizer with a constant range, and the converter makes no int8 model of it",
                "'tfquant calibrate' makes one of a float model and samples",
            ),
        }
    }
}

/// All codes.
pub const CODES: [Code; 27] = [
    Code::NoIntegerKernel,
    Code::NotConverted,
    Code::InputUnranged,
    Code::OutputUnranged,
    Code::SeveralRanges,
    Code::ReadUnranged,
    Code::WeightsScaled,
    Code::WeightsComputed,
    Code::BiasRanged,
    Code::WeightsNotSymmetric,
    Code::WeightsOffCentre,
    Code::WeightBits,
    Code::ThreeBits,
    Code::ActivationBits,
    Code::PerChannel,
    Code::ChannelAxis,
    Code::InputReadUnranged,
    Code::ScaleInFront,
    Code::BiasOfOneNumber,
    Code::EqualReshapes,
    Code::RangeReplaced,
    Code::RangeBorrowed,
    Code::RangeReread,
    Code::RangeEmpty,
    Code::OpenList,
    Code::LoopInFloats,
    Code::NoFakeQuantizer,
];
