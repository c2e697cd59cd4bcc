//! Measures chains of layers by size: how many nodes a second are read, rewritten and written.
//!
//! ```text
//! cargo run --release --example sizes            # 200 to 20,000 layers
//! cargo run --release --example sizes -- 200000  # as many as are said; such a result is past what a file may hold
//! ```
//! Each figure is the median of several runs, over the nodes of the result; reading counts the nodes that are read, the
//! input's and then the result's. Files are in memory: a disk would measure itself.

#[path = "../tests/support/generate.rs"]
mod generate;

use std::io::{self, Write};
use std::time::Instant;

use bytes::Bytes;
use generate::Layer;
use prost::Message;
use tfquant::{Encoding, ErrorKind, Model, NamesOnly, OpenOptions, RewriteOptions, Rules, TopologyOnly, rewrite};

/// Seconds that each stage took.
#[derive(Debug, Clone, Copy, Default)]
struct Seconds {
    read: f64,
    rewrite: f64,
    write: f64,
    read_result: f64,
}

/// What came of one run.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    seconds: Seconds,
    nodes: usize,
    nodes_out: usize,
    /// Bytes of the result, if it fits a file.
    bytes_out: Option<usize>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sizes: Result<Vec<usize>, _> = std::env::args().skip(1).map(|size| size.parse()).collect();
    let sizes = match sizes? {
        none if none.is_empty() => vec![200, 2000, 20_000],
        some => some,
    };
    let mut out = io::stdout().lock();
    writeln!(out, "million nodes a second; nanoseconds for each node of the result")?;
    writeln!(
        out,
        "| layers | rules | nodes in | nodes out | read | rewrite | write | whole | read again | ns a node |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|---|")?;
    for size in sizes {
        let bias: Bytes = generate::chain(size, Layer::Bias).encode_to_vec().into();
        let norms: Bytes = generate::chain(size, Layer::BatchNorm).encode_to_vec().into();
        for (name, bytes, rules) in [
            ("names", &bias, Rules::Names(NamesOnly::default())),
            ("topology", &bias, Rules::Topology(TopologyOnly::default())),
            ("names, batch norms", &norms, Rules::Names(NamesOnly::default())),
            ("topology, batch norms", &norms, Rules::Topology(TopologyOnly::default())),
        ] {
            let options = RewriteOptions { rules, ..RewriteOptions::default() };
            let runs = (100_000 / size).clamp(3, 21);
            let run = median(&(0..runs).map(|_| run(bytes, &options)).collect::<Result<Vec<_>, _>>()?);
            writeln!(out, "{}", row(size, name, &run))?;
        }
    }
    Ok(())
}

fn run(bytes: &Bytes, options: &RewriteOptions) -> tfquant::Result<Run> {
    let mut run = Run::default();
    let start = Instant::now();
    let mut model = Model::open(bytes.clone(), &OpenOptions::default())?;
    run.seconds.read = start.elapsed().as_secs_f64();
    run.nodes = model.graph.len();
    let start = Instant::now();
    let mut result = Vec::new();
    match rewrite(&mut model, options) {
        Ok(rewritten) => {
            run.seconds.rewrite = start.elapsed().as_secs_f64();
            let start = Instant::now();
            rewritten.output.write(Encoding::Binary, &mut result)?;
            run.seconds.write = start.elapsed().as_secs_f64();
            run.bytes_out = Some(result.len());
        }
        // All the work is done when it turns out how large the result would be.
        Err(error) if error.kind() == ErrorKind::TooLarge => run.seconds.rewrite = start.elapsed().as_secs_f64(),
        Err(error) => return Err(error),
    }
    run.nodes_out = model.graph.len();
    drop(model);
    if run.bytes_out.is_some() {
        let start = Instant::now();
        Model::open(result.into(), &OpenOptions::default())?;
        run.seconds.read_result = start.elapsed().as_secs_f64();
    }
    Ok(run)
}

/// A run whose stages took as long as in the middle one of these.
fn median(runs: &[Run]) -> Run {
    let of = |stage: fn(&Seconds) -> f64| {
        let mut seconds: Vec<f64> = runs.iter().map(|run| stage(&run.seconds)).collect();
        seconds.sort_by(f64::total_cmp);
        seconds.get(seconds.len() / 2).copied().unwrap_or_default()
    };
    let seconds = Seconds {
        read: of(|seconds| seconds.read),
        rewrite: of(|seconds| seconds.rewrite),
        write: of(|seconds| seconds.write),
        read_result: of(|seconds| seconds.read_result),
    };
    Run { seconds, ..runs.first().copied().unwrap_or_default() }
}

#[allow(clippy::cast_precision_loss)] // figures to look at
fn row(size: usize, rules: &str, run: &Run) -> String {
    let Run { seconds, nodes, nodes_out, bytes_out } = *run;
    let rate = |nodes: usize, seconds: f64| {
        if seconds > 0.0 { format!("{:.1}", nodes as f64 / seconds / 1e6) } else { "–".to_owned() }
    };
    let whole = seconds.read + seconds.rewrite + seconds.write;
    let cells = [
        size.to_string(),
        rules.to_owned(),
        nodes.to_string(),
        nodes_out.to_string(),
        rate(nodes, seconds.read),
        rate(nodes_out, seconds.rewrite),
        rate(nodes_out, if bytes_out.is_some() { seconds.write } else { 0.0 }),
        rate(nodes_out, whole),
        rate(nodes_out, seconds.read_result),
        format!("{:.0}", whole * 1e9 / nodes_out as f64),
    ];
    format!("| {} |", cells.join(" | "))
}
