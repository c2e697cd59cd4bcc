//! What goes in and comes out: three messages, two encodings, files, folders and streams.

use std::fs;

use tfquant::MessageKind;
use tfquant::internals::text;

use crate::models::{decode_graph, graph_def, meta_graph, saved_model, to_text};
use crate::{Folder, compare, stderr};

/// The small graph in every container.
fn message(kind: MessageKind) -> Vec<u8> {
    let meta = meta_graph("conv_relu");
    match kind {
        MessageKind::GraphDef => graph_def(&meta),
        MessageKind::MetaGraphDef => meta.to_vec(),
        MessageKind::SavedModel => saved_model(&[(&["serve"], &meta)]),
    }
}

#[test]
fn every_container_keeps_its_kind_in_both_encodings() {
    let folder = Folder::with_model();
    folder.rewrite(&["in.meta", "-o", "expected.meta"]);
    let expected = decode_graph(MessageKind::MetaGraphDef, &folder.read("expected.meta"), 0);
    for kind in MessageKind::ALL {
        let binary = message(kind);
        folder.write("in.pb", &binary);
        folder.write("in.pbtxt", to_text(kind, &binary));
        for (input, output) in
            [("in.pb", "out.pb"), ("in.pb", "out.pbtxt"), ("in.pbtxt", "out.pb"), ("in.pbtxt", "out.pbtxt")]
        {
            folder.rewrite(&[input, "-o", output]);
            let mut rewritten = folder.read(output);
            if output == "out.pbtxt" {
                assert_eq!(text::detect(&rewritten), Some(kind), "{input} -> {output}");
                rewritten = text::parse(std::str::from_utf8(&rewritten).unwrap(), kind).unwrap();
            }
            assert_eq!(decode_graph(kind, &rewritten, 0), expected, "{kind:?} {input} -> {output}");
        }
    }
}

#[test]
fn the_kind_is_told_from_the_content_and_can_be_overridden() {
    let folder = Folder::new();
    folder.write("graph.meta", message(MessageKind::GraphDef));
    folder.write("meta.pbtxt", message(MessageKind::MetaGraphDef));
    folder.write("saved.jpg", message(MessageKind::SavedModel));
    for (input, kind) in [
        ("graph.meta", MessageKind::GraphDef),
        ("meta.pbtxt", MessageKind::MetaGraphDef),
        ("saved.jpg", MessageKind::SavedModel),
    ] {
        folder.rewrite(&[input, "-o", "out", "--report", "report.json"]);
        let report: serde_json::Value = serde_json::from_slice(&folder.read("report.json")).unwrap();
        assert_eq!(report["input"]["container"], kind.name());
        decode_graph(kind, &folder.read("out"), 0);
    }
    folder.rewrite(&["graph.meta", "-o", "out", "--input-format", "graph-def"]);
    let (code, said) = folder.refuse(&["graph.meta", "-o", "out", "--input-format", "graph-def-text"]);
    assert_eq!(code, 1);
    assert!(said.contains("not UTF-8"), "{said}");
}

#[test]
fn the_ending_or_the_flag_chooses_the_encoding() {
    let folder = Folder::with_model();
    folder.rewrite(&["in.meta", "-o", "a.pbtxt", "--output-format", "binary"]);
    folder.rewrite(&["in.meta", "-o", "b.meta", "--output-format", "text"]);
    assert_eq!(text::detect(&folder.read("a.pbtxt")), None);
    assert_eq!(text::detect(&folder.read("b.meta")), Some(MessageKind::MetaGraphDef));
    assert!(
        compare::differences(
            folder.read("a.pbtxt").into(),
            text::parse(std::str::from_utf8(&folder.read("b.meta")).unwrap(), MessageKind::MetaGraphDef)
                .unwrap()
                .into()
        )
        .is_empty()
    );
}

#[test]
fn streams_carry_the_same_bytes_as_files() {
    let folder = Folder::with_model();
    folder.rewrite(&["in.meta", "-o", "out.meta"]);
    let expected = folder.read("out.meta");

    let output = folder.command(&["rewrite", "-", "-o", "-"]).write_stdin(folder.read("in.meta")).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(output.stdout == expected);
    assert!(stderr(&output).contains("1 of 1 quantized"), "the summary goes to standard error");

    let output = folder.command(&["rewrite", "-", "-o", "-"]).write_stdin("").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("standard input is empty"), "{}", stderr(&output));
}

/// A SavedModel folder with variables and assets.
fn saved_model_folder(name: &str, file: &str, contents: &[u8]) -> Folder {
    let folder = Folder::new();
    folder.write(&format!("{name}/{file}"), contents);
    folder.write(&format!("{name}/variables/variables.index"), "index");
    folder.write(&format!("{name}/variables/variables.data-00000-of-00001"), "data");
    folder.write(&format!("{name}/assets/vocabulary.txt"), "a b c");
    folder
}

#[test]
fn a_saved_model_folder_stays_one_with_its_variables_and_assets() {
    let folder = saved_model_folder("model", "saved_model.pb", &message(MessageKind::SavedModel));
    folder.rewrite(&["model", "-o", "model_q"]);
    assert_eq!(folder.read("model_q/variables/variables.index"), b"index");
    assert_eq!(folder.read("model_q/variables/variables.data-00000-of-00001"), b"data");
    assert_eq!(folder.read("model_q/assets/vocabulary.txt"), b"a b c");
    assert!(folder.read("model_q/saved_model.pb").len() > folder.read("model/saved_model.pb").len());
    assert_eq!(folder.entries(), ["model", "model_q"]);

    folder.rewrite(&["model", "-o", "alone.pb"]);
    assert_eq!(folder.read("alone.pb"), folder.read("model_q/saved_model.pb"));
}

#[test]
fn a_saved_model_folder_takes_the_place_of_an_older_one_as_a_whole() {
    let folder = saved_model_folder("model", "saved_model.pb", &message(MessageKind::SavedModel));
    folder.rewrite(&["model", "-o", "model_q"]);
    folder.write("model_q/assets/older.txt", "gone with the older one");
    folder.rewrite(&["model", "-o", "model_q"]);
    assert!(!folder.path("model_q/assets/older.txt").exists());
    assert_eq!(folder.read("model_q/variables/variables.index"), b"index");
    assert_eq!(folder.entries(), ["model", "model_q"], "nothing was left beside it");

    folder.write("notes/saved.txt", "no SavedModel");
    let (code, said) = folder.refuse(&["model", "-o", "notes"]);
    assert_eq!(code, 1);
    assert!(said.contains("exists already and is no SavedModel"), "{said}");
}

#[cfg(unix)]
#[test]
fn what_is_replaced_hands_on_its_mode() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    let folder = saved_model_folder("model", "saved_model.pb", &message(MessageKind::SavedModel));
    for output in ["model_q", "alone.pb"] {
        folder.rewrite(&["model", "-o", output]);
        fs::set_permissions(folder.path(output), PermissionsExt::from_mode(0o750)).unwrap();
        folder.rewrite(&["model", "-o", output]);
        assert_eq!(fs::metadata(folder.path(output)).unwrap().mode() & 0o7777, 0o750, "{output}");
    }
}

#[test]
fn of_runs_at_once_on_one_output_one_wins_whole() {
    let folder = saved_model_folder("model", "saved_model.pb", &message(MessageKind::SavedModel));
    folder.rewrite(&["model", "-o", "model_q"]);
    let bits: Vec<String> = (2..=8).map(|bits| bits.to_string()).collect();
    let alone: Vec<Vec<u8>> = bits
        .iter()
        .map(|bits| {
            folder.rewrite(&["model", "-o", "alone.pb", "--weight-bits", bits]);
            folder.read("alone.pb")
        })
        .collect();
    std::thread::scope(|scope| {
        for bits in &bits {
            scope.spawn(|| folder.rewrite(&["model", "-o", "model_q", "--weight-bits", bits]));
        }
    });
    assert!(alone.contains(&folder.read("model_q/saved_model.pb")));
    assert_eq!(folder.read("model_q/assets/vocabulary.txt"), b"a b c");
    assert_eq!(folder.entries(), ["alone.pb", "model", "model_q"]);
}

#[test]
fn a_saved_model_folder_can_be_rewritten_in_place() {
    let folder = saved_model_folder("model", "saved_model.pb", &message(MessageKind::SavedModel));
    let before = folder.read("model/saved_model.pb");
    folder.rewrite(&["model", "-o", "model"]);
    assert!(folder.read("model/saved_model.pb").len() > before.len());
    assert_eq!(folder.read("model/variables/variables.index"), b"index");
    assert_eq!(fs::read_dir(folder.path("model")).unwrap().count(), 3, "nothing was left beside it");
}

#[test]
fn a_saved_model_in_text_stays_text_in_its_folder() {
    let text = to_text(MessageKind::SavedModel, &message(MessageKind::SavedModel));
    let folder = saved_model_folder("model", "saved_model.pbtxt", &text);
    folder.rewrite(&["model", "-o", "model_q"]);
    assert_eq!(text::detect(&folder.read("model_q/saved_model.pbtxt")), Some(MessageKind::SavedModel));
    assert!(!folder.path("model_q/saved_model.pb").exists(), "one message, not two");
}

#[test]
fn tags_choose_the_graph_and_the_others_stay_as_they_are() {
    let (small, other) = (meta_graph("conv_relu"), meta_graph("fc_relu"));
    let folder = Folder::new();
    folder.write("saved.pb", saved_model(&[(&["train"], &small), (&["serve", "gpu"], &other)]));
    let graph = |name: &str, index| decode_graph(MessageKind::SavedModel, &folder.read(name), index);

    let said = folder.rewrite(&["saved.pb", "-o", "first.pb"]);
    assert!(said.contains("gpu,serve"), "the graphs left alone are named: {said}");
    assert!(graph("first.pb", 0).node.len() > graph("saved.pb", 0).node.len());
    assert_eq!(graph("first.pb", 1), graph("saved.pb", 1));

    folder.rewrite(&["saved.pb", "-o", "second.pb", "--tag-set", "gpu,serve"]);
    assert_eq!(graph("second.pb", 0), graph("saved.pb", 0));
    assert!(graph("second.pb", 1).node.len() > graph("saved.pb", 1).node.len());

    let (code, said) = folder.refuse(&["saved.pb", "-o", "third.pb", "--tag-set", "serve"]);
    assert_eq!(code, 1);
    assert!(said.contains("train | gpu,serve"), "{said}");
}
