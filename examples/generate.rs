//! Writes a graph of any size, to measure with.
//!
//! ```text
//! cargo run --release --example generate -- chain 20000 chain.meta     # conv + bias + relu, 18 nodes a layer
//! cargo run --release --example generate -- norms 20000 norms.meta     # conv + fused batch norm + relu, 31 nodes
//! cargo run --release --example generate -- frozen 1500 frozen.pb      # 1,500 MB in 50 layers' constants
//! cargo run --release --example generate -- tiny 9000000 tiny.pb       # nodes of a name and an op
//! cargo run --release --example generate -- random 300 FOLDER          # 300 small models of every kind
//! ```
//! A chain whose file does not end in `.meta` is written as a bare GraphDef.

#[path = "../tests/support/generate.rs"]
mod generate;
#[path = "../tests/support/random/mod.rs"]
mod random;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use generate::Layer;
use prost::Message;
use tfquant::MessageKind;

const FROZEN_LAYERS: usize = 50;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = || {
        io::Error::other(
            "usage: generate chain|norms LAYERS FILE, generate frozen MEGABYTES FILE, generate tiny NODES FILE, \
             generate random MODELS FOLDER",
        )
    };
    let [kind, size, path] = arguments.as_slice() else { return Err(usage()) };
    let size: usize = size.parse().map_err(|_| usage())?;
    let out = || File::create(path).map(BufWriter::new);
    match kind.as_str() {
        "chain" => write_chain(size, Layer::Bias, path, out()?),
        "norms" => write_chain(size, Layer::BatchNorm, path, out()?),
        "frozen" => {
            let mut out = out()?;
            generate::frozen(size as u64 * 1_000_000, FROZEN_LAYERS, &mut out)?;
            out.flush()
        }
        "tiny" => {
            let mut out = out()?;
            generate::tiny(size, &mut out)?;
            out.flush()
        }
        "random" => write_random(size, Path::new(path)),
        _ => Err(usage()),
    }
}

/// Models from the same numbers every time: `0.pb`, `1.meta`, and folders of SavedModels.
fn write_random(models: usize, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut numbers = generate::Values::new();
    for index in 0..models {
        let model = random::model(&numbers.bytes(16 + index % 200));
        let path = match model.kind {
            MessageKind::GraphDef => folder.join(format!("{index}.pb")),
            MessageKind::MetaGraphDef => folder.join(format!("{index}.meta")),
            MessageKind::SavedModel => {
                let folder = folder.join(index.to_string());
                fs::create_dir_all(&folder)?;
                folder.join("saved_model.pb")
            }
        };
        fs::write(path, model.message)?;
    }
    Ok(())
}

fn write_chain(layers: usize, layer: Layer, path: &str, mut out: impl Write) -> io::Result<()> {
    let meta_graph = generate::chain(layers, layer);
    let encoded = match meta_graph.graph_def {
        Some(graph) if Path::new(path).extension() != Some("meta".as_ref()) => graph.encode_to_vec(),
        _ => meta_graph.encode_to_vec(),
    };
    out.write_all(&encoded)?;
    out.flush()
}
