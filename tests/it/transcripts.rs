//! Every file in `tests/protocol` is a conversation with the real server.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use webstorage_server::transcript::{Host, Transcript};

use crate::conformance::faults_in;
use crate::peer::{PATIENCE, PROGRAM};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/protocol");

/// Holds a transcript, and validates what its servers have sent and received against the document of the protocol.
fn hold(name: &str) {
    let path = Path::new(FOLDER).join(name);
    let text = fs::read_to_string(&path).expect("the transcript is there");
    let logs = tempfile::tempdir().expect("the temporary directory is writable");
    let program = logging_program(logs.path());
    let mut failures = failures(&format!("tests/protocol/{name}"), &text, &program, PATIENCE);
    failures.extend(faults_in(&logs.path().join("logs")));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
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

/// A test for each transcript, and the list of their files.
macro_rules! transcripts {
    ($($name:ident = $file:literal,)*) => {
        $(
            #[test]
            fn $name() {
                hold($file);
            }
        )*

        const LISTED: &[&str] = &[$($file),*];
    };
}

transcripts! {
    administration = "administration.txt",
    bare_names = "bare-names.txt",
    batch_in_headers = "batch-in-headers.txt",
    batch = "batch.txt",
    cancellation = "cancellation.txt",
    copies = "copies.txt",
    default_origin = "default-origin.txt",
    default_quota = "default-quota.txt",
    events_choices = "events-choices.txt",
    events_delete = "events-delete.txt",
    events_handles = "events-handles.txt",
    events_items = "events-items.txt",
    events_listen = "events-listen.txt",
    events_overflow = "events-overflow.txt",
    events_processes = "events-processes.txt",
    events_since = "events-since.txt",
    events_transact = "events-transact.txt",
    events_values = "events-values.txt",
    execute_command = "execute-command.txt",
    discover = "discover.txt",
    entries = "entries.txt",
    export_import = "export-import.txt",
    flags = "flags.txt",
    framing_broken_headers = "framing-broken-headers.txt",
    framing_broken_length = "framing-broken-length.txt",
    framing_cut_off = "framing-cut-off.txt",
    framing_headers = "framing-headers.txt",
    framing_lines = "framing-lines.txt",
    framing_other_protocols_on_a_socket = "framing-other-protocols-on-a-socket.txt",
    framing_other_protocols = "framing-other-protocols.txt",
    get_set = "get-set.txt",
    ids = "ids.txt",
    initialize_options = "initialize-options.txt",
    invalid_requests = "invalid-requests.txt",
    key_order = "key-order.txt",
    keys_paging = "keys-paging.txt",
    lifecycle_lines = "lifecycle-lines.txt",
    lifecycle = "lifecycle.txt",
    no_persistent = "no-persistent.txt",
    open_close = "open-close.txt",
    optional_params = "optional-params.txt",
    origins_many = "origins-many.txt",
    origins = "origins.txt",
    params = "params.txt",
    pipelining = "pipelining.txt",
    pipelining_areas = "pipelining-areas.txt",
    quota_at_opening = "quota-at-opening.txt",
    quota = "quota.txt",
    restart_persistence = "restart-persistence.txt",
    session_and_persistent = "session-and-persistent.txt",
    storage_directory = "storage-directory.txt",
    strings = "strings.txt",
    test_methods = "test-methods.txt",
    transact = "transact.txt",
    transact_pipelined = "transact-pipelined.txt",
    transport_pipe = "transport-pipe.txt",
    transport_socket = "transport-socket.txt",
    two_connections = "two-connections.txt",
    two_processes = "two-processes.txt",
}

#[test]
fn every_transcript_is_held() {
    let entries = fs::read_dir(FOLDER).expect("the folder is there");
    let files: BTreeSet<String> = entries
        .map(|entry| entry.expect("the folder can be read").file_name())
        .filter_map(|name| name.into_string().ok())
        .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "txt"))
        .collect();
    let listed: BTreeSet<String> = LISTED.iter().map(ToString::to_string).collect();
    assert_eq!(files, listed, "list each file of tests/protocol in tests/it/transcripts.rs");
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
