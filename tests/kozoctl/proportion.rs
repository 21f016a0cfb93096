//! What a Node makes of many small values takes memory, and room on the disk, in proportion to their size.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use crate::kit::{System, both, until};

const MIB: u64 = 1024 * 1024;

/// An array of nothing but nil, each of which is a byte.
fn nils(count: u32) -> Vec<u8> {
    let head = [&[0xdd][..], &count.to_be_bytes()].concat();
    head.into_iter().chain(std::iter::repeat_n(0xc0, count as usize)).collect()
}

#[test]
fn a_log_of_many_small_values_costs_a_node_little() {
    let mut system = System::prepared();
    system.start("cellar");
    let before = system.most_memory("cellar");
    let count = 3_900_000;
    let mut command = system.workspace.command(&["-n", "cellar", "inject", "log", "note", "-"]);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut inject = piped.spawn().unwrap();
    let json = format!("[null{}]", ",null".repeat(count - 1));
    inject.stdin.take().unwrap().write_all(json.as_bytes()).unwrap();
    let output = inject.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", both(&output));
    let log = system.workspace.path().join("cellar.log");
    until("it is logged", || fs::metadata(&log).is_ok_and(|file| file.len() > 0));
    let (grown, written) =
        (system.most_memory("cellar") - before, fs::metadata(&log).unwrap().len());
    eprintln!("a Message of {count} nils: {} MiB of memory, {written} bytes", grown / MIB);
    assert!(grown < 100 * MIB && written < 10 * MIB);
}

#[test]
fn a_large_storage_file_costs_a_node_little() {
    let mut system = System::prepared();
    let storage = system.workspace.path().join("storage");
    fs::create_dir(&storage).unwrap();
    fs::write(storage.join("cuckoo"), nils(30_000_000)).unwrap();
    system.start("cellar");
    until("it is set aside", || storage.join("cuckoo.corrupt-1").exists());
    let memory = system.most_memory("cellar");
    eprintln!("a storage file of 30 MB: {} MiB of memory", memory / MIB);
    assert!(memory < 150 * MIB);
}
