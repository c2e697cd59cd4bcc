//! Opens a model and does nothing else, to time what all verbs begin with:
//! `cargo run --release --example read -- model.pb`

use std::error::Error;
use std::io::{self, Write};
use std::path::Path;

use tfquant::Model;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("which model?")?;
    let model = Model::open_path(Path::new(&path))?;
    writeln!(io::stdout(), "{} nodes", model.graph.len())?;
    Ok(())
}
