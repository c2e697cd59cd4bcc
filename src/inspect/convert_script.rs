//! The lines of Python that convert this very model: its tensors, its signature, the types at its ends.
//!
//! A GraphDef becomes a concrete function between its inputs and outputs, a SavedModel is read through its signature.
//! TensorFlow's converter takes integers at an end only where a fake quantizer says which.

use std::path::Path;

use super::fake_quant::{self, FakeQuant, Range, State, fake_quants};
use super::ranges::Channel;
use crate::container::endpoints;
use crate::container::{DEFAULT_SIGNATURE, Encoding, MessageKind, Model};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::op_class::is_fake_quant;
use crate::graph::tensor::type_name;
use crate::graph::{Graph, TensorRef};
use crate::options::Target;
use crate::passes::integer::kernels::{Kernel, kernel, passes_on};

/// What to convert to.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// For which runtime.
    pub target: Target,
    /// Where the script reads the model: its file, or the folder of a SavedModel.
    pub model: &'a Path,
    /// Where the script writes what the converter makes of it.
    pub converted: &'a Path,
}

/// The script. Only what the model says is in it, so that it can be read, kept and changed.
///
/// # Errors
/// [`ErrorKind::Refused`] for a model that a converter would not quantize by its fake quantizers, or could not read;
/// [`ErrorKind::Options`] for a path that is no text.
pub fn convert_script(model: &Model, options: &Options<'_>) -> Result<String> {
    check_is_ready(model)?;
    let paths = Paths { model: &literal_path(options.model)?, converted: &literal_path(options.converted)? };
    let lines = match (options.target, model.kind) {
        (Target::Openvino, _) => openvino(&paths),
        (Target::LitertInt8, MessageKind::SavedModel) => by_signature(model, &paths)?,
        (Target::LitertInt8, _) => by_ends(model, &paths)?,
        (Target::LitertUint8, _) => unsigned(model, &paths)?,
    };
    Ok(lines.join("\n") + "\n")
}

struct Paths<'a> {
    model: &'a str,
    converted: &'a str,
}

fn check_is_ready(model: &Model) -> Result<()> {
    let refuse = |what: &str, hint: &'static str| Err(Error::new(ErrorKind::Refused, what).hint(hint));
    match State::of(&fake_quants(&model.graph)) {
        State::Float => refuse(
            "the model has no fake quantizers",
            "make them first: 'tfquant calibrate MODEL --data samples.npy -o model_q.pb', then convert that",
        ),
        State::Training => refuse(
            "the model's ranges are updated while it runs",
            "train it, rewrite the eval graph, and freeze that with the checkpoint: tfquant freeze",
        ),
        _ if model.kind == MessageKind::MetaGraphDef => refuse(
            "converters read no MetaGraphDef",
            "make a graph of it: 'tfquant freeze MODEL --checkpoint PREFIX -o f.pb'",
        ),
        State::Eval | State::Mixed if model.kind == MessageKind::GraphDef => refuse(
            "the model's ranges are variables, whose values are not in it",
            "freeze the MetaGraphDef or SavedModel with its checkpoint first: tfquant freeze",
        ),
        _ => Ok(()),
    }
}

/// A SavedModel by its signature.
fn by_signature(model: &Model, paths: &Paths<'_>) -> Result<Vec<String>> {
    let signatures = model.signatures();
    let name = |(key, _): &(String, TensorRef)| key.split_once(':').map(|(signature, _)| signature.to_owned());
    let named: Vec<String> = signatures.outputs.iter().filter_map(name).collect();
    let Some(signature) = named.iter().find(|&name| name == DEFAULT_SIGNATURE).or(named.first()) else {
        return Err(Error::new(ErrorKind::Refused, "the SavedModel has no signature").hint(
            "make a graph of it, and say where it begins and ends: 'tfquant freeze MODEL --outputs NAME -o f.pb'",
        ));
    };
    let of = |ends: &[(String, TensorRef)]| -> Vec<TensorRef> {
        let ours = ends.iter().filter(|end| name(end).as_ref() == Some(signature));
        ours.map(|&(_, tensor)| tensor).collect()
    };
    let ends = [of(&signatures.inputs), of(&signatures.outputs)];
    let mut lines = vec!["import tensorflow as tf".to_owned(), String::new()];
    let keys = literal(signature);
    lines.push(format!(
        "converter = tf.lite.TFLiteConverter.from_saved_model({}, signature_keys=[{keys}])",
        paths.model
    ));
    lines.extend(converted(&model.graph, &ends, paths));
    Ok(lines)
}

/// A GraphDef between its ends.
fn by_ends(model: &Model, paths: &Paths<'_>) -> Result<Vec<String>> {
    let ends = ends(model)?;
    let [inputs, outputs] = [&ends[0], &ends[1]].map(|ends| names(&model.graph, ends));
    let mut lines = vec!["import tensorflow as tf".to_owned()];
    if model.encoding == Encoding::Text {
        lines.extend(["from google.protobuf import text_format".to_owned(), String::new()]);
        lines.push(format!("graph = text_format.Parse(open({}).read(), tf.compat.v1.GraphDef())", paths.model));
    } else {
        lines.push(String::new());
        lines.push(format!("graph = tf.compat.v1.GraphDef.FromString(open({}, \"rb\").read())", paths.model));
    }
    lines.push("network = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=\"\"), [])".to_owned());
    lines.push(format!("network = network.prune({inputs}, {outputs})"));
    lines.push("converter = tf.lite.TFLiteConverter.from_concrete_functions([network], network)".to_owned());
    lines.extend(converted(&model.graph, &ends, paths));
    Ok(lines)
}

/// What is the same for every model: quantized by its fake quantizers, integers at its ends, written.
fn converted(graph: &Graph, [inputs, outputs]: &[Vec<TensorRef>; 2], paths: &Paths<'_>) -> Vec<String> {
    let mut lines = vec!["converter.optimizations = [tf.lite.Optimize.DEFAULT]".to_owned()];
    let is_float = |tensor: &&TensorRef| type_name(graph, **tensor) == "float32";
    let mut floats = inputs.iter().filter(is_float).peekable();
    if floats.peek().is_some() {
        lines.push(type_at("input", floats.all(|&input| is_fed_quantized(graph, input))));
    }
    // The converter of 2.15 fails on integers beside an output of another type.
    if outputs.iter().all(|output| is_float(&output)) {
        lines.push(type_at("output", outputs.iter().all(|&output| is_read_quantized(graph, output))));
    }
    lines.extend(written(paths));
    lines
}

/// Nothing is opened before there is something to write.
fn written(paths: &Paths<'_>) -> [String; 2] {
    let write = format!("open({}, \"wb\").write(converted)", paths.converted);
    ["converted = converter.convert()".to_owned(), write]
}

fn type_at(end: &str, is_quantized: bool) -> String {
    if is_quantized {
        format!("converter.inference_{end}_type = tf.int8")
    } else {
        format!("# An {end} has no fake quantizer, so they stay floats: see 'tfquant check'.")
    }
}

/// The converter's older form, which makes unsigned integers; it is told what the inputs' integers mean.
fn unsigned(model: &Model, paths: &Paths<'_>) -> Result<Vec<String>> {
    if (model.kind, model.encoding) != (MessageKind::GraphDef, Encoding::Binary) {
        return Err(Error::new(ErrorKind::Refused, "the converter makes unsigned integers of a binary GraphDef alone")
            .hint("make one of the model: 'tfquant freeze MODEL -o frozen.pb'"));
    }
    let (graph, [inputs, outputs]) = (&model.graph, ends(model)?);
    let nodes = |tensors: &[TensorRef]| list(tensors.iter().map(|tensor| literal(graph.name(tensor.node))));
    let mut statistics = Vec::new();
    for &input in &inputs {
        let Some(Channel { scale, zero_point, .. }) = range_of(graph, input) else {
            return Err(graph
                .error(ErrorKind::Refused, "no range says what integers at the input mean", input.node)
                .hint("quantize the inputs too: tfquant calibrate, or rewrite --target litert-uint8 --input-range MIN,MAX"));
        };
        statistics.push(format!("{}: ({zero_point}, {})", literal(graph.name(input.node)), 1.0 / f64::from(scale)));
    }
    let (inputs, outputs) = (nodes(&inputs), nodes(&outputs));
    let lines = vec![
        "import tensorflow as tf".to_owned(),
        String::new(),
        "from_frozen_graph = tf.compat.v1.lite.TFLiteConverter.from_frozen_graph".to_owned(),
        format!("converter = from_frozen_graph({}, {inputs}, {outputs})", paths.model),
        "converter.inference_type = tf.uint8".to_owned(),
        "# Each input's zero point, and how many integers one is.".to_owned(),
        format!("converter.quantized_input_stats = {{{}}}", statistics.join(", ")),
    ];
    Ok(lines.into_iter().chain(written(paths)).collect())
}

fn openvino(paths: &Paths<'_>) -> Vec<String> {
    vec![
        "import openvino".to_owned(),
        String::new(),
        format!("model = openvino.convert_model({})", paths.model),
        format!("openvino.save_model(model, {}, compress_to_fp16=False)", paths.converted),
    ]
}

/// The inputs and outputs that the user named, else those of the graph.
fn ends(model: &Model) -> Result<[Vec<TensorRef>; 2]> {
    let graph = &model.graph;
    let named = &model.ends;
    let find = |ends: endpoints::Endpoints<'_>| ends.iter().filter_map(|end| graph.find_tensor(&end.tensor)).collect();
    let signatures = model.signatures();
    let inputs =
        if named.inputs.is_empty() { find(endpoints::inputs(graph, &signatures)) } else { named.inputs.clone() };
    let outputs = model.outputs();
    match (inputs.is_empty(), outputs.is_empty()) {
        (false, false) => Ok([inputs, outputs]),
        (nothing_fed, _) => {
            let (what, option) = if nothing_fed { ("fed", "--inputs") } else { ("read", "--outputs") };
            Err(Error::new(ErrorKind::Refused, format!("nothing of the graph is {what}"))
                .hint(format!("name it with {option}")))
        }
    }
}

/// Whether all that read an input are fake quantizers, whose range the input gets.
fn is_fed_quantized(graph: &Graph, input: TensorRef) -> bool {
    graph.tensor_consumers(input).next().is_some()
        && graph.tensor_consumers(input).all(|reader| is_fake_quant(graph.op(reader)))
}

/// Whether an output comes out of a fake quantizer, through ops that pass values on or whose kernels know their range.
fn is_read_quantized(graph: &Graph, mut output: TensorRef) -> bool {
    for _ in 0..graph.len() {
        let op = graph.op(output.node);
        if is_fake_quant(op) {
            return true;
        }
        match graph.data_input(output.node, 0).filter(|_| passes_on(op) || kernel(op) == Kernel::Fixed) {
            Some(input) => output = input,
            None => return false,
        }
    }
    false
}

/// The range of the fake quantizer that reads an input.
fn range_of(graph: &Graph, input: TensorRef) -> Option<Channel> {
    let reader = graph.tensor_consumers(input).find(|&reader| is_fake_quant(graph.op(reader)))?;
    let FakeQuant { bits, narrow_range, range, .. } = fake_quant::read(graph, reader)?;
    match range {
        Range::Constant { min, max } => Some(Channel::new(*min.first()?, *max.first()?, bits, narrow_range)),
        _ => None,
    }
}

fn names(graph: &Graph, tensors: &[TensorRef]) -> String {
    list(tensors.iter().map(|tensor| literal(&format!("{}:{}", graph.name(tensor.node), tensor.port))))
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// A text as Python spells it, which is as JSON does; nothing in it controls a terminal.
fn literal(text: &str) -> String {
    let json = serde_json::to_string(text).unwrap_or_default();
    let spelled = |letter: char| match letter {
        control if control.is_control() => format!("\\u{:04x}", u32::from(control)),
        letter => letter.to_string(),
    };
    json.chars().map(spelled).collect()
}

fn literal_path(path: &Path) -> Result<String> {
    path.to_str().map(literal).ok_or_else(|| {
        Error::new(ErrorKind::Options, format!("the path '{}' is no text", path.display())).hint("rename it")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::model_of;

    fn script(lines: &str, target: Target) -> Result<String> {
        let options = Options { target, model: Path::new("m q.pb"), converted: Path::new("m.tflite") };
        convert_script(&model_of(lines), &options)
    }

    const QUANTIZED: &str = "
        x = Placeholder [?,4]
        low = Const -1.0
        high = Const 3.0
        input = FakeQuantWithMinMaxVars(x, low, high)
        relu = Relu(input)
        quant = FakeQuantWithMinMaxVars(relu, low, high)
        shape = Const [2]i
    ";

    #[test]
    fn the_ends_are_integers_where_fake_quantizers_say_which() {
        let whole = script(&format!("{QUANTIZED}\n out = Reshape(quant, shape)"), Target::LitertInt8).unwrap();
        assert!(whole.contains("network.prune([\"x:0\"], [\"out:0\"])"), "{whole}");
        assert!(whole.contains("inference_input_type = tf.int8\nconverter.inference_output_type = tf.int8"), "{whole}");
        let known = script(&format!("{QUANTIZED}\n out = Softmax(quant)"), Target::LitertInt8).unwrap();
        assert!(known.contains("inference_output_type"), "{known}");
        let float = script(&format!("{QUANTIZED}\n out = Exp(quant)"), Target::LitertInt8).unwrap();
        assert!(float.contains("inference_input_type") && !float.contains("inference_output_type"), "{float}");
        let number = script(&format!("{QUANTIZED}\n axis = Const 1i\n out = ArgMax(quant, axis)"), Target::LitertInt8);
        assert!(!number.unwrap().contains("inference_output_type"));
    }

    #[test]
    fn unsigned_integers_are_told_apart_by_the_range_of_the_input() {
        let unsigned = script(QUANTIZED, Target::LitertUint8).unwrap();
        assert!(unsigned.contains("{\"x\": (64, 63.74999"), "{unsigned}");
        let lacking = QUANTIZED.replace("input = FakeQuantWithMinMaxVars(x, low, high)", "input = Relu(x)");
        assert!(script(&lacking, Target::LitertUint8).unwrap_err().to_string().contains("in node 'x'"));
    }

    #[test]
    fn what_no_converter_would_quantize_is_refused() {
        let error = script("x = Placeholder [?,4]\n relu = Relu(x)", Target::LitertInt8).unwrap_err();
        assert!(error.to_string().contains("no fake quantizers"), "{error}");
    }

    #[test]
    fn names_are_spelled_as_python_does() {
        assert_eq!(literal("a\"\\\u{1b}\u{9b}é"), "\"a\\\"\\\\\\u001b\\u009bé\"");
    }
}
