//! Listeners that cannot be told every change: they are told that, and from where to go on.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};
use webstorage_server::transcript::{Connection, Framing, Incoming};

use crate::listener::{Folder, Listener};
use crate::peer::{PATIENCE, PROGRAM};

/// What a listener knows by its notifications: all changes up to `newest`, by events or because it has
/// been told to read the area.
#[derive(Default)]
struct Known {
    newest: u64,
    events: u64,
    overflows: u64,
}

impl Known {
    fn hear(&mut self, message: &Value) {
        let sequence = message["params"]["sequence"].as_u64().expect("every notification has one");
        if message["method"] == "storage/overflow" {
            assert!(sequence > self.newest, "{message} after {}", self.newest);
            self.overflows += 1;
        } else {
            assert_eq!((&message["method"], sequence), (&json!("storage/event"), self.newest + 1));
            self.events += 1;
        }
        self.newest = sequence;
    }
}

/// Changes that do not fit into what waits for one listener.
const CHANGES: u64 = 30_000;

fn change(writer: &mut Listener, from: u64) {
    for round in 0..CHANGES / 1000 {
        writer.set_all((0..1000).map(|n| ("k", format!("{} {}", from + round * 1000 + n, "x".repeat(100)))));
    }
}

fn send(mut to: impl Write, method: &str, params: &Value) {
    writeln!(to, "{}", json!({"jsonrpc": "2.0", "id": method, "method": method, "params": params})).expect("the server reads");
}

/// Has a listener that does not read miss changes, then read, and miss no later ones.
fn read_late<I, O>(mut input: I, mut output: O, writer: &mut Listener, memory: impl Fn() -> u64)
where
    I: Write + Send + 'static,
    O: Read + Send + 'static,
{
    send(&mut input, "storage/open", &json!([true]));
    send(&mut input, "storage/subscribe", &json!({"storage": 1, "includeSelf": true}));
    let (mut replies, mut lines) = (Vec::new(), 0);
    while lines < 2 {
        let mut byte = [0];
        output.read_exact(&mut byte).expect("the server answers");
        replies.extend(byte);
        lines += u32::from(byte == *b"\n");
    }
    assert_eq!(String::from_utf8_lossy(&replies).matches("result").count(), 2);
    change(writer, 0);
    let before = memory();
    change(writer, CHANGES);
    // When it has done this it has been through every change before.
    send(&mut input, "setItem", &json!([1, "through", "1"]));
    let deadline = Instant::now() + PATIENCE;
    while writer.call("getItem", &json!([1, "through"])).is_null() {
        assert!(Instant::now() < deadline, "the listener is stuck");
    }
    let after = memory();
    assert!(after < before + (16 << 10), "{before} KiB have become {after} KiB");
    let mut connection = Connection::new(Framing::Lines, output, input, drop);
    let mut known = Known::default();
    let mut hear = |until: u64| {
        while known.newest < until {
            let Ok(Incoming::Message(line)) = connection.receive(PATIENCE) else {
                panic!("nothing tells of what came after {}", known.newest);
            };
            let message: Value = serde_json::from_slice(&line).expect("messages are JSON");
            if message.get("method").is_some() {
                known.hear(&message);
            }
        }
        (known.events, known.overflows)
    };
    let missed = 2 * CHANGES + 1;
    let (events, overflows) = hear(missed);
    assert!(events > 0 && overflows > 0 && events < missed, "{events} events, {overflows} notices");
    // It has caught up, so that it is told all again.
    writer.set("k", "later");
    writer.set("k", "later still");
    assert_eq!(hear(missed + 2), (events + 2, overflows));
}

#[cfg(target_os = "linux")]
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("every process has memory");
    line.trim().trim_end_matches(" kB").parse().expect("it is a number")
}

#[cfg(not(target_os = "linux"))]
fn memory(_pid: u32) -> u64 {
    0
}

/// A server that is killed with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

fn spawn(folder: &Folder, arguments: &[&str]) -> Killed {
    let mut command = Command::new(PROGRAM);
    command.arg("--storage-dir").arg(folder.path()).args(arguments).env_remove("WEBSTORAGE_DIR").env_remove("RUST_LOG");
    Killed(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the server was built and starts"))
}

#[test]
fn a_process_that_does_not_read_misses_changes_and_is_told() {
    let folder = Folder::new();
    let mut writer = Listener::start(&folder);
    let mut server = spawn(&folder, &[]);
    let pid = server.0.id();
    let (input, output) = (server.0.stdin.take().expect("it is piped"), server.0.stdout.take().expect("it is piped"));
    read_late(input, output, &mut writer, || memory(pid));
}

#[test]
fn a_connection_that_does_not_read_does_not_hold_up_its_process() {
    let folder = Folder::new();
    let socket = folder.path().join("socket/s");
    let server = spawn(&folder, &["--listen", socket.to_str().expect("temporary directories have plain names")]);
    let deadline = Instant::now() + PATIENCE;
    let stream = loop {
        match UnixStream::connect(&socket) {
            Ok(stream) => break stream,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    let mut writer = Listener::connect(&socket);
    let pid = server.0.id();
    read_late(stream.try_clone().expect("descriptors are left"), stream, &mut writer, || memory(pid));
}

/// A large value takes its reader a while, and is followed by others. A reader at work misses none of them.
#[test]
fn a_client_that_reads_is_told_every_change_around_a_large_one() {
    let folder = Folder::new();
    let mut listener = Listener::subscribed(&folder);
    let mut writer = Listener::start(&folder);
    let mut newest = 0;
    for round in 0..6 {
        let small = |from: u64| (from..from + 200).map(|n| ("k", format!("{n} {}", "x".repeat(100))));
        let big = ("big", format!("{round}{}", "v".repeat(1_500_000)));
        writer.set_all(small(round * 1000).chain([big]).chain(small(round * 1000 + 500)));
        for _ in 0..401 {
            let event = listener.event();
            assert_eq!(event.sequence, newest + 1);
            newest = event.sequence;
        }
    }
    listener.end();
    writer.end();
}

/// Takes the bottle away from under those who use it. Its file goes last, because they look at that.
fn take_away(folder: &Folder, how: &str) {
    let bottle = folder.bottle();
    let beside = |suffix: &str| PathBuf::from(format!("{}{suffix}", bottle.display()));
    let aside = |suffix: &str| folder.path().join(format!("aside{suffix}"));
    for suffix in ["-shm", "-wal"] {
        fs::rename(beside(suffix), aside(suffix)).expect("it is there");
    }
    match how {
        "removed" => fs::remove_file(&bottle).expect("it is there"),
        "renamed" => fs::rename(&bottle, aside("")).expect("it is there"),
        "replaced" => {
            // By a bottle with a longer history.
            let other = Folder::new();
            let mut client = Listener::start(&other);
            client.set_all((0..500).map(|n| ("other", n.to_string())));
            client.end();
            fs::copy(other.bottle(), aside("")).expect("the directory is ours");
            fs::rename(aside(""), &bottle).expect("the directory is ours");
        }
        _ => unreachable!("the tests know these ways"),
    }
}

#[test]
fn a_bottle_that_is_taken_away_is_told_and_listening_goes_on() {
    for how in ["removed", "renamed", "replaced"] {
        for listener_writes_first in [false, true] {
            let folder = Folder::new();
            let mut listener = Listener::start(&folder);
            listener.call("storage/subscribe", &json!({"storage": 1, "includeSelf": true}));
            let mut writer = Listener::start(&folder);
            for n in 1..=20 {
                writer.set("k", &n.to_string());
                assert_eq!(listener.event().sequence, n);
            }
            take_away(&folder, how);
            if listener_writes_first {
                listener.set("k", "of the listener");
            } else {
                writer.set("k", "after");
            }
            let notice = listener.notification();
            assert_eq!(notice["method"], "storage/overflow", "{how}: {notice}");
            // What it reads after the notice, with the events that follow, is what the area holds.
            let mut known = notice["params"]["sequence"].as_u64().expect("every notification has one");
            let mut items = listener.items();
            for n in 0..20 {
                writer.set("k", &format!("later {n}"));
            }
            let end = writer.sequence();
            while known < end {
                let event = listener.event();
                assert_eq!(event.sequence, known + 1, "{how}");
                known = event.sequence;
                if let (Some(key), Some(new)) = (event.key, event.new) {
                    items.insert(key, new);
                }
            }
            assert_eq!(items, writer.items(), "{how}");
        }
    }
}

#[test]
fn a_listener_that_was_held_to_be_dead_is_told_and_enters_itself_again() {
    let folder = Folder::new();
    let mut listener = Listener::subscribed(&folder);
    let mut writer = Listener::start(&folder);
    writer.set("k", "1");
    assert_eq!(listener.event().sequence, 1);
    // Somebody has tidied up.
    for file in folder.lock_files() {
        fs::remove_file(file).expect("the directory is ours");
    }
    folder.database().execute("DELETE FROM listener", []).expect("nobody else writes");
    writer.set("k", "2");
    // It may have noticed that before the change, and then has heard of it.
    let notice = listener.notification();
    assert_eq!(notice["params"]["sequence"], json!(2), "{notice}");
    // When its own call is answered it has entered itself again.
    listener.set("own", "3");
    Listener::start(&folder).set("k", "4");
    assert_eq!(listener.event().sequence, 4);
    assert_eq!(folder.number("SELECT count(*) FROM listener WHERE until = 0"), 1);
}
