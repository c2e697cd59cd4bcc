//! Where results go: all of it or nothing, in place, onto full disks and into closed pipes.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use tfquant::internals::put_varint;

use crate::models::{graph_def, meta_graph, saved_model};
use crate::{Folder, stderr};

#[test]
fn a_file_can_be_rewritten_in_place() {
    let folder = Folder::with_model();
    folder.rewrite(&["in.meta", "-o", "out.meta"]);
    let expected = folder.read("out.meta");
    folder.rewrite(&["in.meta", "-o", "in.meta"]);
    assert!(folder.read("in.meta") == expected);
    assert_eq!(folder.entries(), ["in.meta", "out.meta"], "nothing is left beside it");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let folder = Folder::new();
    folder.write("in.meta", meta_graph("resnet_tiny"));
    for name in ["a.meta", "b.meta"] {
        folder.rewrite(&["in.meta", "-o", name, "--quant-delay", "100"]);
    }
    assert!(folder.read("a.meta") == folder.read("b.meta"));
}

#[cfg(unix)]
#[test]
fn links_and_permissions_of_the_output_stay() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = Folder::with_model();
    folder.write("target.meta", "old");
    fs::set_permissions(folder.path("target.meta"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("target.meta", folder.path("link.meta")).unwrap();
    folder.rewrite(&["in.meta", "-o", "link.meta"]);
    assert!(fs::symlink_metadata(folder.path("link.meta")).unwrap().is_symlink());
    assert!(folder.read("target.meta").len() > 10_000);
    assert_eq!(fs::metadata(folder.path("target.meta")).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn a_dry_run_writes_nothing_and_reports_all() {
    let folder = Folder::with_model();
    folder.rewrite(&["in.meta", "-o", "out.meta", "--report", "real.json"]);
    let real_length = folder.read("out.meta").len();
    fs::remove_file(folder.path("out.meta")).unwrap();
    folder.rewrite(&["in.meta", "--dry-run", "--report", "dry.json"]);
    folder.rewrite(&["in.meta", "-o", "out.meta", "--dry-run", "--report", "dry.json"]);
    assert_eq!(folder.entries(), ["dry.json", "in.meta", "real.json"]);
    let report = |name: &str| -> serde_json::Value { serde_json::from_slice(&folder.read(name)).unwrap() };
    let (real, dry) = (report("real.json"), report("dry.json"));
    assert_eq!((&real["dry_run"], &dry["dry_run"]), (&false.into(), &true.into()));
    assert_eq!(dry["output"]["bytes"], real_length);
    assert_eq!((&dry["layers"], &dry["variables"]), (&real["layers"], &real["variables"]));
}

#[test]
fn a_folder_or_a_missing_folder_is_no_output() {
    let folder = Folder::with_model();
    fs::create_dir(folder.path("folder")).unwrap();
    for output in ["folder", "none/out.meta", "in.meta/out.meta"] {
        let (code, said) = folder.refuse(&["in.meta", "-o", output]);
        assert_eq!(code, 1, "{output}: {said}");
        assert!(said.contains("hint: "), "{output}: {said}");
    }
}

#[cfg(unix)]
#[test]
fn a_folder_that_may_not_be_written_is_no_output() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::with_model();
    fs::create_dir(folder.path("closed")).unwrap();
    fs::set_permissions(folder.path("closed"), fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(folder.path("closed/probe"), "").is_ok() {
        return; // the superuser may write anywhere
    }
    let (code, said) = folder.refuse(&["in.meta", "-o", "closed/out.meta"]);
    assert_eq!(code, 1);
    assert!(said.contains("cannot write 'closed/out.meta'"), "{said}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_the_old_file() {
    let folder = Folder::with_model();
    let (code, said) = folder.refuse(&["in.meta", "-o", "/dev/full"]);
    assert_eq!(code, 1);
    assert!(said.contains("No space left") && said.contains("hint: free some space"), "{said}");

    // A file system of 12 kB, seen by these processes alone.
    let script = "mount -t tmpfs -o size=12k none small && echo old > small/out.meta || exit 77
        \"$0\" rewrite in.meta -o small/out.meta; echo \"exit $?\"; ls -A small; head -c 100 small/out.meta";
    fs::create_dir(folder.path("small")).unwrap();
    let command = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", script, env!("CARGO_BIN_EXE_tfquant")])
        .current_dir(folder.path(""))
        .output();
    let Ok(output) = command else { return };
    if output.stdout.is_empty() {
        return; // no right to mount
    }
    assert_eq!(String::from_utf8_lossy(&output.stdout), "exit 1\nout.meta\nold\n", "{}", stderr(&output));
    assert!(stderr(&output).contains("No space left"), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn what_no_protobuf_reader_could_read_is_not_written() {
    let folder = Folder::new();
    let small = graph_def(&meta_graph("conv_relu"));
    // A node that nobody reads, whose name is followed by a hole of zeros up to just below the limit.
    let total = (1u64 << 31) - 1;
    let mut head = vec![0x0a];
    let body = total - small.len() as u64 - 6;
    put_varint(&mut head, body);
    let name = [&[0x0a, 1, b'z', 0x12, 5][..], b"Const"].concat();
    head.extend_from_slice(&name);
    head.push(0x7a); // an unknown field
    put_varint(&mut head, body - name.len() as u64 - 6);
    let file = fs::File::create(folder.path("in.pb")).unwrap();
    file.set_len(total).unwrap();
    (&file).write_all(&head).unwrap();
    (&file).seek(SeekFrom::Start(total - small.len() as u64)).unwrap();
    (&file).write_all(&small).unwrap();

    let output = folder.run(&["rewrite", "in.pb", "-o", "out.pb"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("2 GiB - 1"), "{}", stderr(&output));
    assert_eq!(folder.entries(), ["in.pb"]);
}

#[cfg(unix)]
#[test]
fn a_kill_at_any_moment_leaves_the_old_file_or_the_new_one() {
    let folder = Folder::new();
    folder.write("in.meta", meta_graph("mobilenet_v1"));
    folder.rewrite(&["in.meta", "-o", "new.meta"]);
    let new = folder.read("new.meta");
    let started = Instant::now();
    folder.rewrite(&["in.meta", "-o", "new.meta"]);
    let duration = started.elapsed();
    for step in 0..12 {
        folder.write("out.meta", "old");
        let mut child = Command::new(env!("CARGO_BIN_EXE_tfquant"))
            .args(["rewrite", "in.meta", "-o", "out.meta", "-q"])
            .current_dir(folder.path(""))
            .spawn()
            .unwrap();
        thread::sleep(duration * step / 10);
        child.kill().unwrap();
        child.wait().unwrap();
        let out = folder.read("out.meta");
        assert!(out == b"old" || out == new, "{} bytes, neither old nor new", out.len());
    }
}

#[test]
fn a_reader_that_has_had_enough_is_no_error_to_speak_of() {
    let folder = Folder::new();
    folder.write("in.meta", meta_graph("mobilenet_v1"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_tfquant"))
        .args(["rewrite", "in.meta", "-o", "-"])
        .current_dir(folder.path(""))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut start = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut start).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(stderr(&output), "");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn what_cannot_all_be_written_is_not_written_in_part() {
    let folder = Folder::with_model();
    folder.write("out.meta", "old");
    for document in ["--report", "--plan", "--html"] {
        for unwritable in ["none/document", "."] {
            let (code, said) = folder.refuse(&["in.meta", "-o", "out.meta", document, unwritable]);
            assert_eq!(code, 1, "{document} {unwritable}: {said}");
        }
        let output = folder.run(&["rewrite", "in.meta", "-o", "out.meta", document, "/dev/full"]);
        if cfg!(target_os = "linux") {
            assert_eq!(output.status.code(), Some(1), "{document}: {}", stderr(&output));
        }
        assert_eq!(folder.read("out.meta"), b"old", "{document}");
    }
}

#[test]
fn two_things_do_not_go_to_one_place() {
    let folder = Folder::with_model();
    let mistakes: [&[&str]; 6] = [
        &["-o", "x", "--report", "x"],
        &["-o", "x", "--report", "./x"],
        &["-o", "-", "--report", "-"],
        &["-o", "x", "--plan", "y", "--html", "y"],
        &["-o", "x", "--plan", "in.meta"],
        &["--dry-run", "--report", "in.meta"],
    ];
    for mistake in mistakes {
        let (code, said) = folder.refuse(&[&["in.meta"], mistake].concat());
        assert_eq!(code, 2, "{mistake:?}: {said}");
        assert!(said.contains("hint: "), "{said}");
    }
    folder.rewrite(&["in.meta", "-o", "/dev/null", "--report", "/dev/null"]);
}

#[cfg(unix)]
#[test]
fn assets_that_lead_back_to_themselves_are_no_trap() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new();
    folder.write("in/saved_model.pb", saved_model(&[(&["serve"], &meta_graph("conv_relu"))]));
    fs::create_dir(folder.path("in/assets")).unwrap();
    symlink("..", folder.path("in/assets/up")).unwrap();
    let (code, said) = folder.refuse(&["in", "-o", "out"]);
    assert_eq!(code, 1);
    assert!(said.contains("leads back"), "{said}");
}
