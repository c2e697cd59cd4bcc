//! Compiles the vendored TensorFlow interface files in `proto/`.
//!
//! Leaves two things in `OUT_DIR`, both named by `src/proto.rs` alone: `tensorflow_protos.rs`, the generated message
//! types, and `descriptors.binpb`, the encoded `FileDescriptorSet` that the text format is driven by.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

const PROTO_ROOT: &str = "proto";
const MODULES_FILE: &str = "tensorflow_protos.rs";
const DESCRIPTORS_FILE: &str = "descriptors.binpb";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={PROTO_ROOT}");

    let mut files = Vec::new();
    collect_proto_files(Path::new(PROTO_ROOT), &mut files)?;
    files.sort();

    let mut compiler = protox::Compiler::new([PROTO_ROOT])?;
    compiler.include_imports(true).include_source_info(false);
    compiler.open_files(&files)?;

    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    fs::write(out_dir.join(DESCRIPTORS_FILE), compiler.encode_file_descriptor_set())?;

    prost_build::Config::new()
        .bytes(["."])
        .btree_map(["."])
        .compile_well_known_types()
        .include_file(MODULES_FILE)
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

fn collect_proto_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect_proto_files(&path, files)?;
        } else if path.extension().is_some_and(|ending| ending == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
