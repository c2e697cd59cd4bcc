//! The archives that `testdata/make_cases.py` packs: graphs and what TensorFlow's own rewriter made of them.

#![allow(dead_code)] // every test uses its part

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::{Map, Value};

/// A graph and what became of it under several sets of options.
pub struct Case {
    pub name: String,
    pub before: Bytes,
    pub sets: Vec<OptionSet>,
}

/// One run of TensorFlow's rewriter.
pub struct OptionSet {
    pub name: String,
    /// Whether batch norms were folded first.
    pub fold: bool,
    pub options: Map<String, Value>,
    pub outcome: Outcome,
}

pub enum Outcome {
    /// The MetaGraphDef that TensorFlow made.
    Rewritten(Bytes),
    /// TensorFlow's error, and the names one of which a refusal must give.
    Refused { error: String, ops: Vec<String> },
}

/// Every archive in a folder below `testdata`, in order.
pub fn archives(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(folder);
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_str().is_some_and(|path| path.ends_with(".tar.zst")));
    paths.sort();
    assert!(!paths.is_empty(), "no cases in {}", folder.display());
    paths
}

/// Unpacks one archive.
pub fn read(archive: &Path) -> Case {
    let name = archive.file_name().unwrap().to_str().unwrap().trim_end_matches(".tar.zst").to_owned();
    let mut unpacked = Vec::new();
    let decoder = ruzstd::decoding::StreamingDecoder::new(File::open(archive).unwrap());
    decoder.unwrap_or_else(|error| panic!("{name}: {error}")).read_to_end(&mut unpacked).unwrap();
    let unpacked = Bytes::from(unpacked);
    let mut files: BTreeMap<String, Bytes> = BTreeMap::new();
    for entry in tar::Archive::new(unpacked.as_ref()).entries().unwrap() {
        let entry = entry.unwrap();
        let start = usize::try_from(entry.raw_file_position()).unwrap();
        let end = start + usize::try_from(entry.size()).unwrap();
        files.insert(entry.path().unwrap().to_str().unwrap().to_owned(), unpacked.slice(start..end));
    }
    let sets = files
        .iter()
        .filter_map(|(file, described)| Some((file.strip_suffix(".json")?, described)))
        .map(|(set, described)| option_set(set, described, files.get(&format!("{set}.after.meta"))))
        .collect();
    Case { before: files["before.meta"].clone(), name, sets }
}

fn option_set(name: &str, described: &[u8], after: Option<&Bytes>) -> OptionSet {
    let described: Value = serde_json::from_slice(described).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let outcome = match (after, described.get("error")) {
        (Some(after), None) => Outcome::Rewritten(after.clone()),
        (None, Some(error)) => Outcome::Refused {
            error: text(error),
            ops: described["ops"].as_array().unwrap().iter().map(text).collect(),
        },
        _ => panic!("{name} has both a result and an error, or neither"),
    };
    OptionSet {
        name: name.to_owned(),
        fold: described["fold"].as_bool().unwrap(),
        options: described["options"].as_object().unwrap().clone(),
        outcome,
    }
}
