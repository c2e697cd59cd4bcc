//! What the fuzz targets do with their bytes. Nothing may panic, and what goes through must be right.
//!
//! The targets in `fuzz_targets` run these with libFuzzer, `tests/fuzz_smoke.rs` in plain `cargo test` over a small
//! corpus.

#[path = "one_op.rs"]
mod one_op;
#[path = "../tests/support/random/mod.rs"]
pub mod random;

use bytes::Bytes;
use one_op::one_op;
use tfquant::document;
use tfquant::freeze::{FreezeOptions, freeze as freeze_model, layers, report as freeze_report};
use tfquant::inspect::{check, diff, explain, ranges, summary};
use tfquant::internals::{Fields, checkpoint_index as index, put_bytes};
use tfquant::internals::{Graph, NodeId, ShapeCache, TensorRef, check_acyclic, parse, text};
use tfquant::interpreter::{Limits, Plan, Session, Tensor};
use tfquant::report;
use tfquant::samples::{npy, npz};
use tfquant::{Common, ConstantRanges, MessageKind, NamesOnly, Quantize, RewriteOptions, Rules, Target, TopologyOnly};
use tfquant::{Encoding, Model, OpenOptions, rewrite as run_passes};

/// One body.
pub type Body = fn(&[u8]);

/// Every body by name.
pub const BODIES: [(&str, Body); 13] = [
    ("graph", graph),
    ("model", model),
    ("text", text_form),
    ("rewrite", rewrite),
    ("collections", collections),
    ("inspect", inspect),
    ("checkpoint", checkpoint),
    ("freeze", freeze),
    ("interpreter", interpreter),
    ("ranges", ranges_file),
    ("samples", samples),
    ("generated", generated),
    ("integer", integer),
];

/// The reader of GraphDefs, and what is known of a graph without running it.
pub fn graph(data: &[u8]) {
    let Ok(graph) = parse(Bytes::copy_from_slice(data)) else { return };
    // Around a cycle, what is known depends on where the search began; else every search ends with the same.
    let is_acyclic = check_acyclic(&graph).is_ok() && !graph.ids().any(|node| graph.closes_loop(node));
    let [mut shapes, mut ranks] = [(); 2].map(|()| ShapeCache::default());
    for node in graph.ids() {
        for port in 0..2 {
            let tensor = TensorRef { node, port };
            let _ = (graph.tensor_type(tensor), graph.const_value(tensor));
            let rank = graph.rank_with(tensor, if is_acyclic { &mut ranks } else { &mut shapes });
            let shape = graph.static_shape_with(tensor, &mut shapes);
            let same_rank = rank == shape.as_ref().map(Vec::len);
            assert!(same_rank || !is_acyclic && (rank.is_none() || shape.is_none()), "two ranks of one tensor");
        }
        let _ = (graph.colocation_groups(node), graph.attr_entries(node).count());
    }
    assert!(!graph.has_changes());
}

/// The readers of every container and encoding: what was not changed is written as it came.
pub fn model(data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    let formats = MessageKind::ALL.into_iter().flat_map(|kind| [(kind, Encoding::Binary), (kind, Encoding::Text)]);
    for format in formats.map(Some).chain([None]) {
        let Ok(model) = Model::open(data.clone(), &OpenOptions { format, ..OpenOptions::default() }) else { continue };
        let written = write(&model).expect("an unchanged model can be written");
        assert!(written == *model.bytes(), "an unchanged model is not what was read");
        if model.encoding == Encoding::Binary {
            assert!(written == data);
        }
    }
}

/// The text form: what it says in binary, it says again in text.
pub fn text_form(data: &[u8]) {
    for kind in MessageKind::ALL {
        let mut printed = Vec::new();
        let _ = text::print(data, kind, &mut printed);
        let Ok(binary) = std::str::from_utf8(data).map_err(drop).and_then(|data| text::parse(data, kind).map_err(drop))
        else {
            continue;
        };
        printed.clear();
        text::print(&binary, kind, &mut printed).expect("what was parsed can be printed");
        let printed = std::str::from_utf8(&printed).expect("text is UTF-8");
        assert!(text::parse(printed, kind).expect("what was printed can be parsed") == binary);
    }
}

/// All passes, on a file of any kind. The first byte chooses the options.
pub fn rewrite(data: &[u8]) {
    let Some((&choice, message)) = data.split_first() else { return };
    let message = Bytes::copy_from_slice(message);
    let Ok(mut model) = Model::open(message, &OpenOptions::default()) else { return };
    let options = options(choice);
    let before = model.clone();
    let Ok(rewritten) = run_passes(&mut model, &options) else { return };
    let report = rewritten.report;
    let _ = (document::to_json(&report), report::text::to_text(&report, true));
    let written = write(&model).expect("a rewritten model can be written");
    assert_eq!(written.len() as u64, report.output.bytes);
    let format = Some((model.kind, Encoding::Binary));
    let again =
        Model::open(written.into(), &OpenOptions { format, ..OpenOptions::default() }).expect("the output is a model");
    assert_eq!(again.graph.len(), model.graph.len());
    let attributes_may_change = options.fold && matches!(options.rules, Rules::Topology(_));
    check_lossless(&before.graph, &again.graph, attributes_may_change);
}

/// Collections of any content around a graph that the passes take.
pub fn collections(data: &[u8]) {
    let mut message = Vec::new();
    put_bytes(&mut message, 2, &small_graph());
    message.extend_from_slice(data);
    let format = Some((MessageKind::MetaGraphDef, Encoding::Binary));
    let Ok(mut model) = Model::open(message.into(), &OpenOptions { format, ..OpenOptions::default() }) else { return };
    let quantize = Some(Quantize { quant_delay: Some(3), ..Quantize::default() });
    let options = RewriteOptions { quantize, fold: false, ..RewriteOptions::default() };
    if run_passes(&mut model, &options).is_err() {
        return;
    }
    if let Ok(written) = write(&model) {
        Model::open(written.into(), &OpenOptions { format, ..OpenOptions::default() }).expect("the output is a model");
    }
}

/// Everything that looks at a graph without changing it.
pub fn inspect(data: &[u8]) {
    let Ok(mut model) = Model::open(Bytes::copy_from_slice(data), &OpenOptions::default()) else { return };
    let _ = summary::to_text(&summary::summarize(&model, "a"), Some(5));
    let _ = check::to_text(&check::check(&model, "a", &check::Options::default()), false);
    let of_today = check::Options { target: Some(check::Target::LitertInt8), ..check::Options::default() };
    let _ = check::to_text(&check::check(&model, "a", &of_today), true);
    let same = diff::diff(&model, &model, ["a", "a"], None).expect("no scope was asked for");
    assert!(same.is_empty(), "{}", diff::to_text(&same));
    for choice in [0, 1] {
        let plan = explain::plan(&mut model, &options(choice));
        model.reset().expect("it was read before");
        if let Ok(plan) = plan
            && let Ok(explanation) = explain::explain(&model, "a", plan, None)
        {
            let _ = explain::to_text(&explanation, true);
        }
    }
}

/// Runs a graph within narrow limits: the file as it is, if it is one, and a graph of one op that the bytes choose.
pub fn interpreter(data: &[u8]) {
    if let Ok(graph) = parse(Bytes::copy_from_slice(data)) {
        run_all(&graph);
    }
    if let Ok(graph) = parse(one_op(data).into()) {
        run_all(&graph);
    }
}

/// Feeds every placeholder, asks for every node.
fn run_all(graph: &Graph) {
    let is_placeholder = |node: &NodeId| graph.op(*node) == "Placeholder";
    let feeds: Vec<TensorRef> = graph.ids().filter(is_placeholder).map(TensorRef::from).collect();
    let arrays: Vec<Tensor> = feeds.iter().map(|feed| sample(graph, *feed)).collect();
    let limits = Limits { memory: 1 << 18, steps: 300 };
    for node in graph.ids().rev().take(8) {
        let Ok(plan) = Plan::new(graph, &feeds, &[node.into()], &limits) else { continue };
        let run = || {
            let mut seen = Vec::new();
            let results = Session::new(&plan).run(&arrays, &mut |at, tensor| {
                seen.push((at, tensor.dims().to_vec()));
                Ok(())
            });
            (results.map(|results| format!("{results:?}")).map_err(|error| error.to_string()), seen)
        };
        assert!(run() == run(), "two runs differ");
        assert!(plan.peak_memory() <= limits.memory);
    }
}

/// A small tensor of a placeholder's type and rank.
fn sample(graph: &Graph, feed: TensorRef) -> Tensor {
    let shape = graph.attr_shape(feed.node, "shape").filter(|shape| shape.dim.len() <= 4);
    let dims: Vec<usize> = shape.map_or(vec![2], |shape| {
        shape.dim.iter().map(|dim| usize::try_from(dim.size.clamp(1, 5)).unwrap_or(1)).collect()
    });
    let values = 0..dims.iter().product::<usize>();
    let tensor = match graph.attr_type(feed.node, "dtype") {
        Some(3) => Tensor::new(&dims, values.map(|value| i32::try_from(value % 3).unwrap_or(0)).collect()),
        Some(9) => Tensor::new(&dims, values.map(|value| i64::try_from(value % 3).unwrap_or(0)).collect()),
        Some(10) => Tensor::new(&dims, values.map(|value| value % 2 == 0).collect()),
        _ => Tensor::new(&dims, values.map(|value| f32::from(u8::try_from(value % 7).unwrap_or(0)) - 3.0).collect()),
    };
    tensor.expect("as many values as the dimensions say")
}

/// The reader of ranges files, of every form.
pub fn ranges_file(data: &[u8]) {
    let _ = ranges::read(data);
}

/// The readers of arrays.
pub fn samples(data: &[u8]) {
    if let Ok(array) = npy::read(data) {
        let again = npy::read(&npy::write(&array)).expect("what was written can be read");
        assert!(again.dims() == array.dims());
    }
    let _ = npz::read(&Bytes::copy_from_slice(data));
}

/// A model that is valid, whatever the bytes; of these, the first chooses the options.
pub fn generated(data: &[u8]) {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let generated = random::model(bytes);
    let format = |encoding| OpenOptions { format: Some((generated.kind, encoding)), ..OpenOptions::default() };
    let message = Bytes::from(generated.message);
    let mut model = Model::open(message.clone(), &format(Encoding::Binary)).expect("it is valid");
    rewrite(&[&[choice], &message[..]].concat());
    inspect(&message);

    let mut printed = Vec::new();
    text::print(&message, generated.kind, &mut printed).expect("it is valid");
    let parsed = text::parse(std::str::from_utf8(&printed).expect("text is UTF-8"), generated.kind);
    assert!(parsed.expect("what was printed can be parsed") == message, "text says something else than binary");

    // TensorFlow's own rules do quantize once more what they quantized.
    let options = RewriteOptions { allow_nothing: true, ..options(choice & !(1 << 6) | 0b101) };
    let Ok(first) = run_passes(&mut model, &options) else { return };
    let once = write(first.output.model()).expect("a rewritten model can be written");
    let mut again = Model::open(once.into(), &format(Encoding::Binary)).expect("the output is a model");
    if let Ok(second) = run_passes(&mut again, &options) {
        assert_eq!(second.report.summary.fake_quants, 0, "a rewrite of a rewrite adds to it");
    }
}

/// The reader of a checkpoint's index: what it says of every tensor, or why it is none.
pub fn checkpoint(data: &[u8]) {
    let Ok(index) = index::parse(data) else { return };
    for (name, entry) in &index.entries {
        for slice in &entry.slices {
            let _ = (slice.within(&entry.dims), index::slice_key(name, slice));
        }
    }
}

/// Freezing, with the checkpoint of one of the models in `testdata/freeze`: what is written is the graph that was made.
pub fn freeze(data: &[u8]) {
    let Ok(model) = Model::open(Bytes::copy_from_slice(data), &OpenOptions::default()) else { return };
    let top = env!("CARGO_MANIFEST_DIR").trim_end_matches("/fuzz");
    for checkpoint in ["network/variables/variables", "while_loop/variables/variables", "v1/model.ckpt"] {
        let prefix = format!("{top}/testdata/freeze/{checkpoint}").into();
        let outputs = if checkpoint.starts_with("v1") { vec!["output".to_owned()] } else { Vec::new() };
        let mut options = FreezeOptions { checkpoint: Some(prefix), outputs, ..FreezeOptions::default() };
        let Ok(frozen) = freeze_model(&model, &options) else { continue };
        let _ = (freeze_report::to_text(&frozen.report), layers::in_functions(&model));
        options.simplify = true;
        let simple = freeze_model(&model, &options).expect("what can be frozen can be without what computes nothing");
        assert!(write(&simple.model).is_ok() || write(&frozen.model).is_err());
        let Ok(written) = write(&frozen.model) else { continue };
        let format = Some((MessageKind::GraphDef, Encoding::Binary));
        let again = Model::open(written.into(), &OpenOptions { format, ..OpenOptions::default() })
            .expect("the output is a graph");
        assert_eq!(again.graph.len(), frozen.model.graph.len());
    }
}

/// A frozen graph made what a converter to integers wants, with one range for all that has none. The first byte chooses the
/// converter.
pub fn integer(data: &[u8]) {
    let Some((&choice, message)) = data.split_first() else { return };
    let Ok(model) = Model::open(Bytes::copy_from_slice(message), &OpenOptions::default()) else { return };
    let top = env!("CARGO_MANIFEST_DIR").trim_end_matches("/fuzz");
    let checkpoint = Some(format!("{top}/testdata/freeze/while_loop/variables/variables").into());
    let Ok(frozen) = freeze_model(&model, &FreezeOptions { checkpoint, ..FreezeOptions::default() }) else { return };
    let target = [Target::LitertInt8, Target::LitertUint8, Target::Openvino][usize::from(choice) % 3];
    let ranges = ConstantRanges {
        target: Some(target),
        weights: target.weights(),
        default: Some([-1.0, 2.0]),
        quantize_inputs: true,
        ..ConstantRanges::default()
    };
    let options = RewriteOptions {
        common: Common { is_training: false, ..Common::default() },
        quantize: Some(Quantize { constant_ranges: Some(ranges), ..Quantize::default() }),
        ..RewriteOptions::default()
    };
    let rewritten = || {
        let mut model = frozen.model.clone();
        run_passes(&mut model, &options).ok()?;
        Some(write(&model).expect("a rewritten model can be written"))
    };
    let Some(first) = rewritten() else { return };
    assert!(Some(&first) == rewritten().as_ref(), "twice the same is not the same");
    let format = Some((MessageKind::GraphDef, Encoding::Binary));
    Model::open(first.into(), &OpenOptions { format, ..OpenOptions::default() }).expect("the output is a graph");
}

fn write(model: &Model) -> tfquant::Result<Vec<u8>> {
    let encoded = model.encode()?;
    let mut out = Vec::new();
    encoded.write(Encoding::Binary, &mut out)?;
    assert_eq!(out.len() as u64, encoded.len());
    Ok(out)
}

/// A set of options for every byte.
fn options(choice: u8) -> RewriteOptions {
    let bit = |index: u8| choice >> index & 1 == 1;
    let rules = if bit(0) {
        Rules::Topology(TopologyOnly { reference_only: bit(6), allow_training_ops: bit(7), ..TopologyOnly::default() })
    } else {
        Rules::Names(NamesOnly { quantize_folded_weights_use_ema: bit(6), ..NamesOnly::default() })
    };
    RewriteOptions {
        common: Common { is_training: !bit(1), skip_unmatched: bit(2), ..Common::default() },
        fold: !bit(4),
        quantize: Some(Quantize { quant_delay: bit(3).then_some(10), ..Quantize::default() }),
        rules,
        init_op: bit(5).then(|| "new/init".to_owned()),
        ..RewriteOptions::default()
    }
}

/// Checks that the nodes of `before` are in `after`, in their order, and that of those that differ only inputs do (and
/// attributes, where that is allowed).
pub fn check_lossless(before: &Graph, after: &Graph, attributes_may_change: bool) {
    const NAME: u32 = 1;
    const INPUT: u32 = 3;
    const ATTR: u32 = 5;
    assert!(after.len() >= before.len());
    for node in before.ids() {
        let (old, new) = (before.node_def(node), after.node_def(node));
        if old == new {
            continue;
        }
        // An output that was quantized leaves its name to what stands behind its quantizer.
        let is_renamed = before.name(node) != after.name(node);
        let (old, new) = if is_renamed { (without(&old, &[NAME]), without(&new, &[NAME])) } else { (old, new) };
        assert!(!is_renamed || after.name(node).starts_with(&format!("{}/unquantized", before.name(node))));
        let same = without(&old, &[INPUT]) == without(&new, &[INPUT]);
        let all_but_attributes = || without(&old, &[INPUT, ATTR]) == without(&new, &[INPUT, ATTR]);
        assert!(same || attributes_may_change && all_but_attributes(), "'{}' lost something", before.name(node));
    }
}

/// The fields of a message but those of some numbers.
fn without(message: &[u8], numbers: &[u32]) -> Vec<u8> {
    let fields = Fields::new(message).map_while(Result::ok).filter(|field| !numbers.contains(&field.number));
    fields.flat_map(|field| &message[field.span()]).copied().collect()
}

/// `in, weights → Conv2D → Relu → out` and a barrier.
fn small_graph() -> Vec<u8> {
    let nodes: [(&str, &str, &[&str]); 6] = [
        ("in", "Placeholder", &[]),
        ("c/weights/read", "Placeholder", &[]),
        ("c/Conv2D", "Conv2D", &["in", "c/weights/read"]),
        ("c/Relu", "Relu", &["c/Conv2D"]),
        ("out", "Identity", &["c/Relu"]),
        ("update_barrier", "NoOp", &[]),
    ];
    let mut graph = Vec::new();
    for (name, op, inputs) in nodes {
        let mut node = Vec::new();
        put_bytes(&mut node, 1, name.as_bytes());
        put_bytes(&mut node, 2, op.as_bytes());
        for input in inputs {
            put_bytes(&mut node, 3, input.as_bytes());
        }
        for key in [&b"T"[..], b"dtype"] {
            let mut entry = Vec::new();
            put_bytes(&mut entry, 1, key);
            put_bytes(&mut entry, 2, b"\x30\x01"); // type: DT_FLOAT
            put_bytes(&mut node, 5, &entry);
        }
        put_bytes(&mut graph, 1, &node);
    }
    graph
}
