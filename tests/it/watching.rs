//! The command `watch`: it makes no storage, and misses nothing silently.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::client::Client;
use crate::command_line::{expect, run};
use crate::folder::Folder;
use crate::peer::{PATIENCE, PROGRAM};

/// A running `watch`, which is killed with the test.
struct Watching {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    trace: PathBuf,
}

impl Watching {
    /// Starts it, and waits until it has traced this.
    fn start(storage: &Path, arguments: &[&str], traced: &str) -> Self {
        let trace = storage.with_extension("trace");
        let mut command = Command::new(PROGRAM);
        command.arg("watch").args(arguments).arg("--trace").arg(&trace).env("WEBSTORAGE_DIR", storage).env_remove("RUST_LOG");
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program was built");
        let lines = BufReader::new(process.stdout.take().expect("the output is a pipe")).lines();
        let watching = Watching { process, lines, trace };
        watching.wait_for(traced);
        watching
    }

    fn wait_for(&self, traced: &str) {
        let begun = Instant::now();
        while !fs::read_to_string(&self.trace).is_ok_and(|trace| trace.contains(traced)) {
            assert!(begun.elapsed() < PATIENCE, "{traced} is not traced");
            std::thread::yield_now();
        }
    }

    /// Stops the process or lets it go on.
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("the process is ours");
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("it has not ended").expect("the output is UTF-8")
    }

    fn json(&mut self) -> Value {
        serde_json::from_str(&self.line()).expect("it prints JSON")
    }

    fn end(mut self) {
        let begun = Instant::now();
        while self.process.try_wait().expect("the process is ours").is_none() {
            assert!(begun.elapsed() < PATIENCE, "it goes on");
            std::thread::yield_now();
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

#[test]
fn an_origin_without_storage_gets_none_from_being_watched() {
    let folder = Folder::new();
    let temporary = folder.path().parent().expect("the storage directory is in a temporary one");
    let mut watching = Watching::start(folder.path(), &["--count", "3", "--prefix", "a"], "");
    expect(temporary, &["list"], 0, "");
    assert!(!folder.path().exists());
    // Others do not matter, and what comes is told from its beginning.
    expect(temporary, &["set", "a", "other", "--origin", "https://other.test"], 0, "");
    expect(
        temporary,
        &["call", "storage/transact", r#"{"set":[{"key":"a","value":"1"},{"key":"b","value":"2"},{"key":"a2","value":"3"}]}"#],
        0,
        "null\n",
    );
    assert_eq!([watching.line(), watching.line()], ["set      a = 1", "set      a2 = 3"]);
    expect(temporary, &["set", "a", "4"], 0, "");
    assert_eq!(watching.line(), "set      a = 4");
    watching.end();
    expect(temporary, &["clear", "--origin", "https://third.test"], 0, "");
    expect(temporary, &["origins", "--origin", "https://third.test"], 1, "");
}

#[test]
fn what_came_too_fast_is_asked_for_again() {
    const CHANGES: u64 = 40;
    let folder = Folder::new();
    let temporary = folder.path().parent().expect("the storage directory is in a temporary one");
    expect(temporary, &["set", "k", "0"], 0, "");
    let mut watching = Watching::start(folder.path(), &["--json", "--count", "41"], "\"gap\":false");
    // Far more than waits for somebody who does not read, and less than the journal holds.
    let mut writer = Client::start(folder.path());
    writer.open("[true]");
    for n in 1..=CHANGES {
        writer.get("setItem", &json!([1, "k", format!("{n} {}", "x".repeat(100_000))]).to_string());
    }
    writer.get("storage/clear", "[1]");
    for n in 1..=CHANGES {
        let event = watching.json();
        let value = event["newValue"].as_str().unwrap_or_else(|| panic!("{event:.200} instead of {n}"));
        assert!(value.starts_with(&format!("{n} ")), "{value:.20} instead of {n}");
        assert_eq!(event["sequence"], n + 1);
    }
    let cleared = watching.json();
    assert_eq!((&cleared["key"], &cleared["newValue"], cleared.get("overflow")), (&Value::Null, &Value::Null, None));
    watching.end();
}

#[test]
fn what_was_missed_is_said_and_looks_like_nothing_else() {
    for form in ["--json", "--count=1"] {
        let folder = Folder::new();
        let temporary = folder.path().parent().expect("the storage directory is in a temporary one");
        expect(temporary, &["set", "k", "0"], 0, "");
        let mut watching = Watching::start(folder.path(), &[form], "\"gap\":false");
        watching.signal(Signal::STOP);
        // More than the journal holds.
        let value = folder.path().with_extension("value");
        for n in 1..=12 {
            fs::write(&value, format!("{n}{}", "x".repeat(2_000_000))).expect("the folder is writable");
            let text = fs::read_to_string(&value).expect("it was written");
            assert!(run(temporary, &["set", "k"], &text).status.success());
        }
        watching.signal(Signal::CONT);
        if form == "--json" {
            assert_eq!(watching.json(), json!({ "overflow": true, "sequence": 13 }));
        } else {
            assert!(watching.line().starts_with("some changes were missed: "));
        }
        // What was missed counts as no change, and what comes later is told.
        expect(temporary, &["set", "k", "later"], 0, "");
        if form == "--json" {
            assert_eq!(watching.json()["newValue"], "later");
        } else {
            assert_eq!(watching.line(), "set      k = later");
            watching.end();
        }
    }
}
