//! Every file in `tests/protocol` is a conversation with the real server.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use webstorage_server::transcript::{Host, Transcript};

use crate::conformance::faults_in;
use crate::peer::{PATIENCE, PROGRAM};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/protocol");

/// Holds a transcript, and validates what its servers have sent and received against the document of the protocol.
fn hold(name: &str) -> Vec<String> {
    let path = Path::new(FOLDER).join(name);
    let text = fs::read_to_string(&path).expect("the transcript is there");
    let logs = tempfile::tempdir().expect("the temporary directory is writable");
    let program = logging_program(logs.path());
    let mut failures = failures(&format!("tests/protocol/{name}"), &text, &program, PATIENCE);
    failures.extend(faults_in(&logs.path().join("logs")).into_iter().map(|fault| format!("tests/protocol/{name}: {fault}")));
    failures
}

/// A program that is the server, with a wire log for each process in `directory`.
fn logging_program(directory: &Path) -> PathBuf {
    fs::create_dir(directory.join("logs")).expect("the temporary directory is writable");
    let program = directory.join("server");
    let script = format!("#!/bin/sh\nexec '{PROGRAM}' --trace '{}/logs/'$$ \"$@\"\n", directory.display());
    fs::write(&program, script).expect("the temporary directory is writable");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).expect("the file is ours");
    program
}

/// What a transcript finds wrong with the server.
fn failures(name: &str, text: &str, program: &Path, patience: Duration) -> Vec<String> {
    let transcript = match Transcript::parse(name, text) {
        Ok(transcript) => transcript,
        Err(failure) => return vec![failure.to_string()],
    };
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let host = Host { program: program.to_owned(), directory: directory.path().to_owned(), patience };
    let failures = transcript.run(&host).err().unwrap_or_default();
    failures.iter().map(ToString::to_string).collect()
}

/// Transcripts that are held at the same time.
const AT_ONCE: usize = 4;

/// Part of the names of the transcripts that are held; all without it.
const FILTER: &str = "TRANSCRIPT";

/// The names of the transcripts in the folder.
fn files() -> BTreeSet<String> {
    let entries = fs::read_dir(FOLDER).expect("the folder is there");
    entries
        .map(|entry| entry.expect("the folder can be read").file_name())
        .filter_map(|name| name.into_string().ok())
        .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "txt"))
        .collect()
}

#[test]
fn every_transcript_is_held() {
    let filter = std::env::var(FILTER).unwrap_or_default();
    let chosen: Vec<String> = files().into_iter().filter(|name| name.contains(&filter)).collect();
    assert!(!chosen.is_empty(), "no transcript has {filter:?} in its name");
    let next = AtomicUsize::new(0);
    let hold_next =
        || -> Vec<String> { std::iter::from_fn(|| chosen.get(next.fetch_add(1, Ordering::Relaxed))).flat_map(|name| hold(name)).collect() };
    let failures: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(hold_next)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("what is wrong is said, not panicked")).collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A runner that finds nothing wrong would make every transcript pass, so this is what it must find.
#[test]
fn what_is_wrong_is_found() {
    let begin = "args: --no-persistent\n--> 1 storage/open [false]\n<-- 1 {\"storage\":<integer as s>,...}\n";
    for (steps, line, parts) in [
        ("--> 2 length [$s]\n<-- 2 1\n", 5, &["result: expected 1, received 0"][..]),
        ("--> 2 length [$s]\n<-- 3 0\n", 5, &["id: expected 3, received 2"]),
        ("--> 2 length [$s]\n", 4, &["no step expects", "\"result\":0"]),
        ("--> 2 length [$s]\n<-- 2 ! -32602\n", 5, &["error: expected an object", "result: expected nothing"]),
        ("--> 2 getItem [$s]\n<-- 2 ! -32602 \"value\"\n", 5, &["error.message", "<string containing \"value\">"]),
        ("--> length [$s]\nclose\n<-- 2 0\n", 6, &["closed its output"]),
        ("--> length [$s]\n<-- 2 0\n", 5, &["nothing came in time"]),
        ("<~~ storage/event {...}\n", 4, &["nothing came in time"]),
        ("close\nexit 1\n", 5, &["expected exit code 1, received 0"]),
        ("exit: 3\n", 4, &["expected exit code 3, received 0"]),
        ("--> 2 length [$s]\n<--raw \"{}\\n\"\n", 5, &["received: \"{\\\"j\""]),
        ("--> 2 length [$t]\n", 4, &["bound to the name `t`"]),
        ("--> 2 setItem [$s,\"k\",\"\\ud800\"]\n<-- 2 null\n--> 3 getItem [$s,\"k\"]\n<-- 3 \"\\ufffd\"\n", 7, &["received \"\\ud800\""]),
        ("B connect to A\n", 4, &["no server `A`"]),
        ("nonsense\n", 4, &["neither a setting nor a step"]),
    ] {
        // Only where nothing must come is there something to wait for.
        let waits = parts.contains(&"nothing came in time");
        let patience = if waits { Duration::from_secs(5) } else { PATIENCE };
        let failures = failures("wrong.txt", &format!("{begin}{steps}"), Path::new(PROGRAM), patience);
        let [failure] = &failures[..] else {
            panic!("{steps}: one failure, not {failures:?}");
        };
        assert!(failure.starts_with(&format!("wrong.txt:{line}: ")), "{steps}: {failure}");
        for part in parts {
            assert!(failure.contains(part), "{steps}: {failure}");
        }
    }
}
