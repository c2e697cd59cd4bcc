//! Arguments that several verbs share, and how they become the library's options.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::freeze::on_the_way::OnTheWay;
use crate::inspect::ranges;
use crate::{
    Common, ConstantRanges, Encoding, Error, ErrorKind, GivenRanges, MessageKind, NamesOnly, OpenOptions, Quantize,
    Result, RewriteOptions, Rules, Selection, Target, TopologyOnly, Weights, is_range, source,
};

/// What `--help` ends with.
pub const EXIT_CODES: &str = "Exit codes: 0 done, 1 could not, 2 wrong usage";
/// The same for a verb that looks for something.
pub const EXIT_CODES_OF_FINDING: &str = "Exit codes: 0 nothing found, 1 something found, or could not, 2 wrong usage";
/// The same for all verbs together.
pub const EXIT_CODES_OF_ALL: &str =
    "Exit codes: 0 done, 1 could not (check, compare, diff: or something found), 2 wrong usage";

/// The headings of `--help`.
pub const WHERE: &str = "Where";
pub const HOW_MUCH: &str = "How much to say";
pub const WHAT: &str = "What to do";

/// Which file to read, and as what.
#[derive(Debug, Args)]
#[command(next_help_heading = WHERE)]
pub struct InputArgs {
    /// GraphDef, MetaGraphDef or SavedModel (file or folder), binary or text; - for standard input
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    /// Take the input for this, instead of telling it from its content
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub input_format: Option<InputFormat>,

    /// Tags of the graph to take from a SavedModel, separated by commas [default: its first graph]
    #[arg(long, value_name = "TAGS", value_delimiter = ',')]
    pub tag_set: Vec<String>,

    /// Tensors that are fed, separated by commas; what comes before them is left alone [default: the graph's inputs]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub inputs: Vec<String>,

    /// Tensors that are read in the end, separated by commas [default: the signatures' outputs, else what nobody reads]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub outputs: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum InputFormat {
    GraphDef,
    GraphDefText,
    MetaGraphDef,
    MetaGraphDefText,
    SavedModel,
    SavedModelText,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    Binary,
    Text,
    /// A new SavedModel folder with the signature serving_default
    SavedModel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// What follows the data is updated while the graph runs
    Training,
    /// It is read from variables, as a checkpoint has it
    Eval,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Match {
    /// By names if these rules accept the whole graph, else by topology
    Auto,
    /// By the names TF-Slim gives (the rewriter of 2017)
    Names,
    /// By structure, whatever the names (the rewriter of TensorFlow 1.15, and beyond)
    Topology,
}

/// Where the result goes and what is said about it.
#[derive(Debug, Args)]
#[command(next_help_heading = WHERE)]
pub struct OutputArgs {
    /// Where to write the result, in the container it came in; - for standard output
    #[arg(short, long, value_name = "PATH", required_unless_present = "dry_run")]
    pub output: Option<PathBuf>,

    /// Write binary or text, or a GraphDef as a SavedModel [default: text when the output ends in .pbtxt, else binary]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub output_format: Option<OutputFormat>,

    /// Write what was done, and why, as JSON
    #[arg(long, value_name = "FILE", help_heading = HOW_MUCH)]
    pub report: Option<PathBuf>,

    /// Do all but write the result
    #[arg(long)]
    pub dry_run: bool,

    /// Say nothing but errors
    #[arg(short, long, help_heading = HOW_MUCH)]
    pub quiet: bool,

    /// Tell the decision about every layer
    #[arg(short, long, conflicts_with = "quiet", help_heading = HOW_MUCH)]
    pub verbose: bool,
}

/// Which layers there are, and which of them to touch.
#[derive(Debug, Args)]
#[command(next_help_heading = WHAT)]
#[allow(clippy::struct_excessive_bools)] // switches
pub struct LayerArgs {
    /// How layers are recognised
    #[arg(long = "match", value_name = "RULES", value_enum, default_value = "auto")]
    pub rules: Match,

    /// Whether the graph trains or evaluates
    #[arg(long, value_enum, default_value = "training")]
    pub mode: Mode,

    /// Touch only layers whose op's name matches (repeatable)
    #[arg(long, value_name = "REGEX")]
    pub include: Vec<String>,

    /// Leave alone layers whose op's name matches (repeatable)
    #[arg(long, value_name = "REGEX")]
    pub exclude: Vec<String>,

    /// Leave a layer that the rules refuse as it is, instead of failing
    #[arg(long)]
    pub skip_unmatched: bool,

    /// Leave out what only trains, saves or watches, so that a graph saved while training can be rewritten
    #[arg(long)]
    pub drop_training: bool,

    /// Freeze the moving averages of folded batch norms from this step on (--match topology)
    #[arg(long, value_name = "N")]
    pub freeze_bn_delay: Option<i64>,

    /// Do what TensorFlow does and no more: no extensions (--match topology)
    #[arg(long)]
    pub reference_only: bool,

    /// Make new variables resource variables; done without being asked where the model's own are (--match topology)
    #[arg(long)]
    pub resource_variables: bool,

    /// Compute the weights that constant batch norms make, instead of the graph computing them (a frozen GraphDef)
    #[arg(long)]
    pub fold_constants: bool,

    /// Fail when a batch norm stays unfolded
    #[arg(long)]
    pub strict_fold: bool,

    /// Take it for a success even if nothing can be done to the graph
    #[arg(long)]
    pub allow_nothing: bool,
}

/// How the passes decide.
#[derive(Debug, Args)]
#[command(next_help_heading = WHAT)]
#[allow(clippy::struct_excessive_bools)] // switches
pub struct PassArgs {
    #[command(flatten)]
    pub layers: LayerArgs,

    /// Bits for weights, 2 to 8
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(2..=8))]
    pub weight_bits: u8,

    /// Leave the lowest level of weights unused
    #[arg(long)]
    pub weight_narrow_range: bool,

    /// Bits for activations, 2 to 8
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(2..=8))]
    pub activation_bits: u8,

    /// Decay of the moving averages of activation ranges, 0 to 1
    #[arg(long, value_name = "F", default_value_t = 0.999, value_parser = decay)]
    pub ema_decay: f64,

    /// Quantize activations from this global step on [default: from the start]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub quant_delay: Option<i64>,

    /// Collection that range variables enter beside the standard ones [default: moving_average_variables; with --match
    /// topology, variables]
    #[arg(long, value_name = "NAME")]
    pub vars_collection: Option<String>,

    /// Follow folded weights by moving averages too
    #[arg(long)]
    pub quantize_folded_weights_use_ema: bool,

    /// Keep the ends of layers' ranges at the same distance from zero (--match topology)
    #[arg(long)]
    pub symmetric: bool,

    /// Quantize only what is inside this name scope (--match topology)
    #[arg(long, value_name = "NAME")]
    pub scope: Option<String>,

    /// Go on with a graph that holds training ops already (--match topology)
    #[arg(long)]
    pub allow_training_ops: bool,

    /// Quantize alone, without folding batch norms
    #[arg(long)]
    pub no_fold_batch_norms: bool,

    /// Add a NoOp of this name that initialises all new variables
    #[arg(long, value_name = "NAME")]
    pub init_op: Option<String>,

    /// Add a NoOp of this name that updates all ranges
    #[arg(long, value_name = "NAME")]
    pub update_op: Option<String>,

    #[command(flatten)]
    pub ranges: RangeArgs,
}

/// Where ranges are, and what they are.
#[derive(Debug, Args)]
#[command(next_help_heading = "Ranges")]
pub struct RangeArgs {
    /// Whether ranges are variables or constants (--mode eval, --match topology) [default: constants where a flag below is
    /// given, else variables]
    #[arg(long, value_name = "FORM", value_enum)]
    pub ranges: Option<RangeForm>,

    /// Converter that is to take the result: ranges go where it wants them, as 'tfquant calibrate' puts them (a frozen
    /// GraphDef) [default: reference]
    #[arg(long, value_name = "CONVERTER", value_enum)]
    pub target: Option<RangeTarget>,

    /// How to quantize weights [default: what suits the target]
    #[arg(long, value_enum, value_name = "HOW")]
    pub weights: Option<WeightForm>,

    /// Ranges of activations, as 'tfquant ranges' writes them with --format json, csv, aeq or quant-stats
    #[arg(long, value_name = "FILE")]
    pub ranges_file: Option<PathBuf>,

    /// Range of activations that no other is given for
    #[arg(long, value_name = "MIN,MAX", value_parser = range, allow_hyphen_values = true)]
    pub default_range: Option<[f32; 2]>,

    /// Give the float inputs of the graph a range too
    #[arg(long)]
    pub quantize_inputs: bool,

    /// Range of inputs that no other is given for; means --quantize-inputs
    #[arg(long, value_name = "MIN,MAX", value_parser = range, allow_hyphen_values = true)]
    pub input_range: Option<[f32; 2]>,

    /// Write loops of a known length out in up to so many steps, for --target litert-* [default: 128]
    #[arg(long, value_name = "STEPS", requires = "target")]
    pub unroll: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RangeForm {
    /// Numbers in the graph
    Const,
    /// Variables, as TensorFlow's own rewriter makes them
    Variables,
}

/// Which converter.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ConverterTarget {
    /// TensorFlow's converter to LiteRT (TFLite), signed 8-bit tensors
    LitertInt8,
    /// The same with unsigned 8-bit tensors (TFLiteConverter of compat.v1)
    LitertUint8,
    /// OpenVINO
    Openvino,
}

impl From<ConverterTarget> for Target {
    fn from(target: ConverterTarget) -> Self {
        match target {
            ConverterTarget::LitertInt8 => Self::LitertInt8,
            ConverterTarget::LitertUint8 => Self::LitertUint8,
            ConverterTarget::Openvino => Self::Openvino,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RangeTarget {
    /// TensorFlow's converter to LiteRT (TFLite), signed 8-bit tensors
    LitertInt8,
    /// The same with unsigned 8-bit tensors
    LitertUint8,
    /// What TensorFlow's own rewriter would find
    Reference,
    /// OpenVINO
    Openvino,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WeightForm {
    /// Zero in the middle, one range a channel where the layer's kernel takes that
    SymmetricPerChannel,
    /// Zero in the middle, one range for all
    Symmetric,
    /// From the least to the greatest
    Asymmetric,
}

impl RangeArgs {
    /// Whether ranges are to be constants.
    fn are_constant(&self) -> bool {
        let implied = self.target.is_some()
            || self.weights.is_some()
            || self.ranges_file.is_some()
            || self.default_range.is_some()
            || self.input_range.is_some()
            || self.quantize_inputs;
        self.ranges.map_or(implied, |form| form == RangeForm::Const)
    }

    /// The library's options; reads the file of ranges.
    fn constant_ranges(&self) -> Result<Option<ConstantRanges>> {
        if !self.are_constant() {
            return Ok(None);
        }
        let target = match self.target.unwrap_or(RangeTarget::Reference) {
            RangeTarget::LitertInt8 => Some(Target::LitertInt8),
            RangeTarget::LitertUint8 => Some(Target::LitertUint8),
            RangeTarget::Openvino => Some(Target::Openvino),
            RangeTarget::Reference => None,
        };
        let weights = self.weights.map_or(target.map_or(Weights::Asymmetric, Target::weights), |form| match form {
            WeightForm::SymmetricPerChannel => Weights::SymmetricPerChannel,
            WeightForm::Symmetric => Weights::Symmetric,
            WeightForm::Asymmetric => Weights::Asymmetric,
        });
        let given = match &self.ranges_file {
            Some(path) => {
                let name = path.display().to_string();
                let given = ranges::read(&source::open_file(path)?.bytes).map_err(|error| error.in_file(&name))?;
                given.in_file(&name)
            }
            None => GivenRanges::default(),
        };
        Ok(Some(ConstantRanges {
            target,
            weights,
            given,
            default: self.default_range,
            quantize_inputs: self.quantize_inputs || self.input_range.is_some() || target.is_some(),
            input_range: self.input_range.or(self.default_range),
            unroll: self.unroll,
        }))
    }
}

/// Two numbers around zero.
fn range(text: &str) -> Result<[f32; 2], String> {
    let ends: Option<Vec<f32>> = text.split(',').map(|end| end.trim().parse().ok()).collect();
    match ends.as_deref() {
        Some(&[min, max]) if is_range([min, max]) => Ok([min, max]),
        _ => Err("not two numbers MIN,MAX with zero between them".to_owned()),
    }
}

/// Whether a model is frozen before the passes see it, and from where.
#[derive(Debug, Args)]
#[command(next_help_heading = WHAT)]
pub struct FreezingArgs {
    /// Freeze the model first; done without being asked where the layers are in functions (--mode eval)
    #[arg(long)]
    pub freeze: bool,

    /// Signature to freeze [default: serving_default, or the only one]
    #[arg(long, value_name = "NAME")]
    pub signature: Option<String>,

    /// Checkpoint that holds the variables to freeze [default: that of the SavedModel folder]
    #[arg(long, value_name = "PREFIX")]
    pub checkpoint: Option<PathBuf>,
}

/// A page to look at.
#[derive(Debug, Args)]
#[command(next_help_heading = HOW_MUCH)]
pub struct HtmlArgs {
    /// Write it as a page too, in one file that a browser opens from disk
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

pub fn decay(text: &str) -> Result<f64, String> {
    let decay: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&decay) { Ok(decay) } else { Err("not between 0 and 1".to_owned()) }
}

impl InputArgs {
    /// How to open the input.
    pub fn open_options(&self) -> OpenOptions {
        let format = self.input_format.map(|format| match format {
            InputFormat::GraphDef => (MessageKind::GraphDef, Encoding::Binary),
            InputFormat::GraphDefText => (MessageKind::GraphDef, Encoding::Text),
            InputFormat::MetaGraphDef => (MessageKind::MetaGraphDef, Encoding::Binary),
            InputFormat::MetaGraphDefText => (MessageKind::MetaGraphDef, Encoding::Text),
            InputFormat::SavedModel => (MessageKind::SavedModel, Encoding::Binary),
            InputFormat::SavedModelText => (MessageKind::SavedModel, Encoding::Text),
        });
        OpenOptions {
            format,
            tag_set: self.tag_set.clone(),
            inputs: self.inputs.clone(),
            outputs: self.outputs.clone(),
        }
    }

    /// How to open an input whose ends may have names that are found only when it is frozen.
    pub fn open_options_without_ends(&self) -> OpenOptions {
        OpenOptions { inputs: Vec::new(), outputs: Vec::new(), ..self.open_options() }
    }
}

impl FreezingArgs {
    /// The library's form of it.
    pub fn on_the_way(&self, input: &InputArgs) -> OnTheWay {
        OnTheWay {
            asked_for: self.freeze,
            signature: self.signature.clone(),
            checkpoint: self.checkpoint.clone(),
            inputs: input.inputs.clone(),
            outputs: input.outputs.clone(),
        }
    }
}

impl OutputArgs {
    /// The encoding of the result. A folder says nothing by its name and keeps the encoding it came in.
    pub fn encoding(&self, folder_of: Option<Encoding>) -> Encoding {
        let is_text_path = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "pbtxt");
        match self.output_format {
            Some(OutputFormat::Text) => Encoding::Text,
            Some(OutputFormat::Binary | OutputFormat::SavedModel) => Encoding::Binary,
            None if self.output.as_ref().is_some_and(is_text_path) => Encoding::Text,
            None => folder_of.unwrap_or(Encoding::Binary),
        }
    }
}

impl PassArgs {
    /// The library's options, checked.
    pub fn rewrite_options(&self) -> Result<RewriteOptions> {
        let options = RewriteOptions {
            fold: !self.no_fold_batch_norms,
            quantize: Some(Quantize {
                weight_bits: self.weight_bits,
                activation_bits: self.activation_bits,
                ema_decay: self.ema_decay,
                quant_delay: self.quant_delay,
                vars_collection: self.vars_collection.clone(),
                constant_ranges: self.ranges.constant_ranges()?,
            }),
            init_op: self.init_op.clone(),
            update_op: self.update_op.clone(),
            ..self.layers.rewrite_options(self.names_only(), self.topology_only(), &self.rules_of_flags())?
        };
        options.check()?;
        Ok(options)
    }

    /// The flags that only some rules know, and whether they were given.
    fn rules_of_flags(&self) -> [(Match, &'static str, bool); 5] {
        [
            (Match::Topology, "--symmetric", self.symmetric),
            (Match::Topology, "--ranges const", self.ranges.are_constant()),
            (Match::Topology, "--scope", self.scope.is_some()),
            (Match::Topology, "--allow-training-ops", self.allow_training_ops),
            (Match::Names, "--quantize-folded-weights-use-ema", self.quantize_folded_weights_use_ema),
        ]
    }

    /// What only the rules of names know.
    fn names_only(&self) -> NamesOnly {
        NamesOnly {
            weight_narrow_range: self.weight_narrow_range,
            quantize_folded_weights_use_ema: self.quantize_folded_weights_use_ema,
        }
    }

    /// What only the rules of topology know, but for folding.
    fn topology_only(&self) -> TopologyOnly {
        TopologyOnly {
            symmetric: self.symmetric,
            scope: self.scope.clone(),
            allow_training_ops: self.allow_training_ops,
            ..TopologyOnly::default()
        }
    }
}

impl LayerArgs {
    /// The library's options as far as folding goes; `flags` are those of the verb that only some rules know.
    pub fn rewrite_options(
        &self,
        names: NamesOnly,
        topology: TopologyOnly,
        flags: &[(Match, &'static str, bool)],
    ) -> Result<RewriteOptions> {
        let own = [
            (Match::Topology, "--reference-only", self.reference_only),
            (Match::Topology, "--freeze-bn-delay", self.freeze_bn_delay.is_some()),
            (Match::Topology, "--resource-variables", self.resource_variables),
        ];
        let given = || own.iter().chain(flags).filter(|(_, _, given)| *given);
        // A choice that one generation alone knows is a choice of that generation.
        let asked = match self.rules {
            Match::Auto => given().next().map_or(Match::Auto, |&(rules, ..)| rules),
            asked => asked,
        };
        if let Some((rules, flag, _)) = given().find(|&&(rules, ..)| rules != asked) {
            let rules = if *rules == Match::Names { "names" } else { "topology" };
            return Err(Error::new(ErrorKind::Options, format!("{flag} goes with --match {rules}"))
                .hint("leave it out, or choose the other rules"));
        }
        let rules = match asked {
            Match::Auto => Rules::Auto(names),
            Match::Names => Rules::Names(names),
            Match::Topology => Rules::Topology(TopologyOnly {
                reference_only: self.reference_only,
                freeze_bn_delay: self.freeze_bn_delay,
                resource_variables: self.resource_variables,
                ..topology
            }),
        };
        Ok(RewriteOptions {
            common: Common {
                is_training: self.mode == Mode::Training,
                selection: Selection::new(&self.include, &self.exclude)?,
                skip_unmatched: self.skip_unmatched,
                drop_training: self.drop_training,
            },
            fold: true,
            fold_constants: self.fold_constants,
            strict_fold: self.strict_fold,
            quantize: None,
            rules,
            allow_nothing: self.allow_nothing,
            init_op: None,
            update_op: None,
        })
    }
}
