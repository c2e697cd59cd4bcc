//! The command line as it is typed, and how it becomes the library's options.

use std::path::PathBuf;

use clap::{Args, ColorChoice, Parser, Subcommand, ValueEnum};

use tfquant::container::{Encoding, MessageKind, OpenOptions};
use tfquant::error::{Error, ErrorKind, Result};
use tfquant::passes::fold_batch_norms;
use tfquant::passes::quantize::{Options, Selection, topology};
use tfquant::rewrite::{Fold, Quantize, RewriteOptions, check_op_name};

/// Rewrites TensorFlow graph files for simulated quantization.
#[derive(Debug, Parser)]
#[command(name = "tfquant", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Verb,

    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Insert fake quantizers around the layers of a graph
    Rewrite(RewriteArgs),
    /// Fold batch norms into the weights of their layers, without quantizing
    Fold(FoldArgs),
    /// Make one graph without variables and calls out of a model
    Freeze(crate::freeze::FreezeArgs),
    /// Tell what a graph is: inputs, outputs, ops, parameters, how far it is quantized
    Summary(SummaryArgs),
    /// Tell whether a converter will take a graph, and what looks wrong in it
    Check(CheckArgs),
    /// Tell what the rules say about each layer, and why
    Explain(ExplainArgs),
    /// Tell how two graphs differ, node by node
    Diff(DiffArgs),
    /// Print the completions for a shell
    Completions(CompletionsArgs),
    /// Print the manual page
    Man,
}

/// Which file to read, and as what.
#[derive(Debug, Args)]
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Ranges follow the data
    Training,
    /// Ranges are read from a checkpoint
    Eval,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Match {
    /// By the names TF-Slim gives (the rewriter of 2017)
    Names,
    /// By structure, whatever the names (the rewriter of TensorFlow 1.15, and beyond)
    Topology,
}

/// Where the result goes and what is said about it.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// Where to write the result, in the container it came in; - for standard output
    #[arg(short, long, value_name = "PATH", required_unless_present = "dry_run")]
    pub output: Option<PathBuf>,

    /// Write binary or text [default: text when the output ends in .pbtxt]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub output_format: Option<OutputFormat>,

    /// Write what was done, and why, as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,

    /// Do all but write the result
    #[arg(long)]
    pub dry_run: bool,

    /// Say nothing but errors
    #[arg(short, long)]
    pub quiet: bool,

    /// Tell the decision about every layer
    #[arg(short, long, conflicts_with = "quiet")]
    pub verbose: bool,
}

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // switches
pub struct RewriteArgs {
    #[command(flatten)]
    pub input: InputArgs,

    #[command(flatten)]
    pub output: OutputArgs,

    /// Write the plan as JSON, for review
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,

    #[command(flatten)]
    pub html: HtmlArgs,

    #[command(flatten)]
    pub passes: PassArgs,
}

#[derive(Debug, Args)]
pub struct FoldArgs {
    #[command(flatten)]
    pub input: InputArgs,

    #[command(flatten)]
    pub output: OutputArgs,

    #[command(flatten)]
    pub html: HtmlArgs,

    #[command(flatten)]
    pub layers: LayerArgs,
}

/// Which layers there are, and which of them to touch.
#[derive(Debug, Args)]
pub struct LayerArgs {
    /// How layers are recognised
    #[arg(long = "match", value_name = "RULES", value_enum, default_value = "names")]
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

    /// Freeze the moving averages of folded batch norms from this step on (--match topology)
    #[arg(long, value_name = "N")]
    pub freeze_bn_delay: Option<i64>,

    /// Do what TensorFlow does and no more: no extensions (--match topology)
    #[arg(long)]
    pub reference_only: bool,

    /// Fail when a batch norm stays unfolded
    #[arg(long)]
    pub strict_fold: bool,
}

/// How the passes decide.
#[derive(Debug, Args)]
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
}

/// A page to look at.
#[derive(Debug, Args)]
pub struct HtmlArgs {
    /// Write the graph and what is decided about it as one page that a browser opens from disk
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct SummaryArgs {
    #[command(flatten)]
    pub input: InputArgs,

    /// Tell every output, op, variable and function, however many there are
    #[arg(long)]
    pub all: bool,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Target {
    /// TFLite with unsigned 8-bit tensors
    TfliteUint8,
    /// TFLite with signed 8-bit tensors
    TfliteInt8,
    /// No converter in particular
    Any,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub input: InputArgs,

    /// Tensors that are read in the end, separated by commas [default: the signatures' outputs, else what nobody reads]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub outputs: Vec<String>,

    /// Converter that is to take the graph
    #[arg(long, value_enum, default_value = "tflite-uint8")]
    pub target: Target,

    /// Compare the ranges of MODEL, an eval graph, with those of this training graph
    #[arg(long, value_name = "TRAIN")]
    pub against: Option<PathBuf>,

    /// Compare the variables with the keys of this checkpoint
    #[arg(long, value_name = "PREFIX")]
    pub checkpoint: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub input: InputArgs,

    /// The node to explain [default: every layer, those left alone in detail]
    #[arg(value_name = "NODE", conflicts_with = "all")]
    pub node: Option<String>,

    /// Explain every layer in detail
    #[arg(long)]
    pub all: bool,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub html: HtmlArgs,

    #[command(flatten)]
    pub passes: PassArgs,
}

#[derive(Debug, Args)]
pub struct DiffArgs {
    #[command(flatten)]
    pub input: InputArgs,

    /// The file to compare with
    #[arg(value_name = "OTHER")]
    pub other: PathBuf,

    /// Look at the nodes of this scope alone
    #[arg(long, value_name = "SCOPE")]
    pub scope: Option<String>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    #[command(flatten)]
    pub html: HtmlArgs,
}

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

fn decay(text: &str) -> Result<f64, String> {
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
        OpenOptions { format, tag_set: self.tag_set.clone() }
    }
}

impl OutputArgs {
    /// The encoding of the result. A folder says nothing by its name and keeps the encoding it came in.
    pub fn encoding(&self, folder_of: Option<Encoding>) -> Encoding {
        let is_text_path = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "pbtxt");
        match self.output_format {
            Some(OutputFormat::Text) => Encoding::Text,
            Some(OutputFormat::Binary) => Encoding::Binary,
            None if self.output.as_ref().is_some_and(is_text_path) => Encoding::Text,
            None => folder_of.unwrap_or(Encoding::Binary),
        }
    }
}

impl PassArgs {
    /// The library's options, checked.
    pub fn rewrite_options(&self) -> Result<RewriteOptions> {
        for name in [&self.init_op, &self.update_op].into_iter().flatten() {
            check_op_name(name)?;
        }
        self.check_rules()?;
        Ok(RewriteOptions {
            fold: if self.no_fold_batch_norms { None } else { Some(self.layers.fold_options()?) },
            strict_fold: self.layers.strict_fold,
            quantize: Some(match self.layers.rules {
                Match::Names => Quantize::Names(self.by_names()?),
                Match::Topology => Quantize::Topology(self.by_topology()?),
            }),
            allow_training_ops: self.allow_training_ops,
            init_op: self.init_op.clone(),
            update_op: self.update_op.clone(),
        })
    }

    fn by_names(&self) -> Result<Options> {
        let defaults = Options::default();
        Ok(Options {
            weight_bits: self.weight_bits,
            weight_narrow_range: self.weight_narrow_range,
            activation_bits: self.activation_bits,
            ema_decay: self.ema_decay,
            quant_delay: self.quant_delay,
            vars_collection: self.vars_collection.clone().unwrap_or(defaults.vars_collection),
            is_training: self.layers.mode == Mode::Training,
            quantize_folded_weights_use_ema: self.quantize_folded_weights_use_ema,
            selection: self.layers.selection()?,
            skip_unmatched: self.layers.skip_unmatched,
        })
    }

    fn by_topology(&self) -> Result<topology::Options> {
        let defaults = topology::Options::default();
        Ok(topology::Options {
            weight_bits: self.weight_bits,
            activation_bits: self.activation_bits,
            symmetric: self.symmetric,
            ema_decay: self.ema_decay,
            quant_delay: self.quant_delay,
            vars_collection: self.vars_collection.clone().unwrap_or(defaults.vars_collection),
            is_training: self.layers.mode == Mode::Training,
            scope: self.scope.clone(),
            selection: self.layers.selection()?,
            skip_unmatched: self.layers.skip_unmatched,
            reference_only: self.layers.reference_only,
        })
    }

    /// Refuses options that the chosen rules do not know.
    fn check_rules(&self) -> Result<()> {
        self.layers.check_rules()?;
        self.layers.refuse_unless(
            Match::Topology,
            &[
                ("--symmetric", self.symmetric),
                ("--scope", self.scope.is_some()),
                ("--allow-training-ops", self.allow_training_ops),
            ],
        )?;
        self.layers
            .refuse_unless(Match::Names, &[("--quantize-folded-weights-use-ema", self.quantize_folded_weights_use_ema)])
    }
}

impl LayerArgs {
    fn check_rules(&self) -> Result<()> {
        self.refuse_unless(
            Match::Topology,
            &[("--reference-only", self.reference_only), ("--freeze-bn-delay", self.freeze_bn_delay.is_some())],
        )
    }

    /// Refuses flags that were given, unless the rules are these.
    fn refuse_unless(&self, rules: Match, flags: &[(&str, bool)]) -> Result<()> {
        match flags.iter().find(|(_, given)| *given && self.rules != rules) {
            None => Ok(()),
            Some((flag, _)) => {
                let rules = if rules == Match::Names { "names" } else { "topology" };
                Err(Error::new(ErrorKind::Options, format!("{flag} goes with --match {rules}"))
                    .hint("leave it out, or choose the other rules"))
            }
        }
    }

    fn selection(&self) -> Result<Selection> {
        Selection::new(&self.include, &self.exclude)
    }

    fn fold_options(&self) -> Result<Fold> {
        let selection = self.selection()?;
        Ok(match self.rules {
            Match::Names => Fold::Names(fold_batch_norms::Options { selection, skip_unmatched: self.skip_unmatched }),
            Match::Topology => Fold::Topology(fold_batch_norms::topology::Options {
                is_training: self.mode == Mode::Training,
                freeze_bn_delay: self.freeze_bn_delay,
                selection,
                skip_unmatched: self.skip_unmatched,
                reference_only: self.reference_only,
            }),
        })
    }
}

impl FoldArgs {
    /// The library's options, checked.
    pub fn rewrite_options(&self) -> Result<RewriteOptions> {
        self.layers.check_rules()?;
        Ok(RewriteOptions {
            fold: Some(self.layers.fold_options()?),
            strict_fold: self.layers.strict_fold,
            ..RewriteOptions::default()
        })
    }
}
