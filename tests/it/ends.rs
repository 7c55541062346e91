//! How a server ends: everything that was acknowledged stays, and the exit code says whether all went well.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::{Client, call, program};
use crate::folder::{Folder, beside};
use crate::peer::PATIENCE;

fn signal(client: &Client, signal: Signal) {
    let pid = Pid::from_raw(client.pid().cast_signed()).expect("ids of processes are positive");
    kill_process(pid, signal).expect("the process is ours to signal");
}

/// That a good end has moved everything into the database and left no WAL.
fn assert_checkpointed(folder: &Folder) {
    assert!(!beside(&folder.default_bottle(), "-wal").exists(), "the WAL was moved into the database");
}

fn stored(folder: &Folder) -> u64 {
    let mut client = Client::start(folder.path());
    let length = client.open("[true]").length;
    client.end();
    length
}

#[test]
fn the_end_of_the_input_drains() {
    let folder = Folder::new();
    let mut client = Client::start(folder.path());
    client.send("storage/open", "[true]");
    client.send_all((0..3000).map(|n| ("setItem", format!(r#"[1,"k{n}","v"]"#))));
    client.close();
    (0..3001).for_each(|_| drop(client.outcome().expect("what was read before the end is answered")));
    assert!(client.next().is_none());
    assert_eq!(client.wait().code(), Some(0));
    assert_checkpointed(&folder);
    assert_eq!(stored(&folder), 3000);
}

#[test]
fn a_signal_ends_a_server_that_waits() {
    for which in [Signal::TERM, Signal::INT, Signal::HUP] {
        let folder = Folder::new();
        let mut client = Client::start(folder.path());
        let storage = client.open("[true]").storage;
        client.get("setItem", &format!(r#"[{storage},"k","v"]"#));
        signal(&client, which);
        assert!(client.next().is_none(), "nothing more is said");
        assert_eq!(client.wait().code(), Some(0), "{which:?}");
        assert_checkpointed(&folder);
        assert_eq!(stored(&folder), 1);
    }
}

#[test]
fn a_signal_ends_a_server_that_works() {
    for round in 0..12 {
        let folder = Folder::new();
        let mut client = Client::start(folder.path());
        let storage = client.open("[true]").storage;
        client.send_all((0..20_000).map(|n| ("setItem", format!(r#"[{storage},"k{n}","v"]"#))));
        let mut acknowledged = 0;
        for _ in 0..round * 50 {
            client.outcome().expect("it fits");
            acknowledged += 1;
        }
        signal(&client, if round % 2 == 0 { Signal::TERM } else { Signal::INT });
        // What it has read it answers, in whole messages, and what it has answered is stored. On a busy machine
        // its time for that can be over before the last answers, so more can be stored than was answered.
        while let Some(outcome) = client.next() {
            outcome.expect("it fits");
            acknowledged += 1;
        }
        assert_eq!(client.wait().code(), Some(0));
        assert!(stored(&folder) >= acknowledged, "what was acknowledged is stored");
    }
}

/// A reader that never reads cannot keep a server alive that was told to end.
#[test]
fn a_signal_ends_a_server_that_nobody_reads() {
    let folder = Folder::new();
    let mut server = program(["--storage-dir".as_ref(), folder.path().as_os_str()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server was built and starts");
    let mut input = server.stdin.take().expect("it is a pipe");
    let mut calls = call(1, "storage/open", "[true]") + "\n" + &call(2, "setItem", r#"[1,"k","v"]"#) + "\n";
    for id in 3..5000 {
        calls += &(call(id, "storage/keys", "[1]") + "\n");
    }
    std::io::Write::write_all(&mut input, calls.as_bytes()).expect("the server reads");
    // By now it has stored the item, or will: it holds the lock of the bottle only while it works.
    while stored(&folder) == 0 {
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&server), Signal::TERM).expect("the process is ours to signal");
    assert_eq!(wait(&mut server), Some(0));
    assert_eq!(stored(&folder), 1);
}

fn wait(server: &mut Child) -> Option<i32> {
    let begun = Instant::now();
    loop {
        if let Some(status) = server.try_wait().expect("the process is ours to wait for") {
            return status.code();
        }
        assert!(begun.elapsed() < PATIENCE, "the server does not end");
        std::thread::yield_now();
    }
}

/// A process that does nothing until its input ends, in the place of a client that starts a server.
fn parent() -> Child {
    Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("every Unix has cat")
}

#[test]
fn the_end_of_the_clients_process_ends_the_server() {
    for by_flag in [true, false] {
        let folder = Folder::new();
        let mut parent = parent();
        let id = parent.id().to_string();
        let mut client = if by_flag { Client::with(folder.path(), &["--clientProcessId", &id]) } else { Client::start(folder.path()) };
        if !by_flag {
            client.get("initialize", &format!(r#"{{"processId":{id},"capabilities":{{}}}}"#));
        }
        let storage = client.open("[true]").storage;
        client.get("setItem", &format!(r#"[{storage},"k","v"]"#));
        let died = Instant::now();
        parent.kill().expect("the process is ours to kill");
        parent.wait().expect("the process is ours to wait for");
        assert!(client.next().is_none(), "the server ends though its input is open");
        assert_eq!(client.wait().code(), Some(0));
        // The promise is two seconds; a machine that is busy with other tests is given more.
        assert!(died.elapsed() < Duration::from_secs(10));
        assert_checkpointed(&folder);
        assert_eq!(stored(&folder), 1);
    }
}

/// Writes what it is given to its output, and then kills itself: first the first argument, then at a line of its input
/// the second.
const CLIENT: &str = r#"printf '%s\n' "$1"; read -r go; printf '%s\n' "$2"; kill -KILL $$"#;

/// What a client has written before it was killed is stored, though the server is told of its end too, and though another
/// process may hold the input open.
#[test]
fn what_a_killed_client_has_written_is_stored() {
    const ITEMS: u64 = 500;
    let calls: Vec<String> = (0..ITEMS).map(|n| call(n + 2, "setItem", &format!(r#"[1,"k{n}","v"]"#))).collect();
    for round in 0..6 {
        let folder = Folder::new();
        let (reader, writer) = std::io::pipe().expect("descriptors are left");
        let held = (round % 2 == 0).then(|| writer.try_clone().expect("descriptors are left"));
        let mut client = Command::new("sh")
            .args(["-c", CLIENT, "sh", &call(1, "storage/open", "[true]"), &calls.join("\n")])
            .stdin(Stdio::piped())
            .stdout(writer)
            .spawn()
            .expect("every Unix has sh");
        let mut server = program(["--clientProcessId", &client.id().to_string(), "--storage-dir"])
            .arg(folder.path())
            .stdin(reader)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server was built and starts");
        let mut replies = BufReader::new(server.stdout.take().expect("it is a pipe")).lines();
        let first = replies.next().expect("the server answers").expect("replies are UTF-8");
        assert!(first.contains(r#""id":1,"result""#), "{first}");
        let mut go = client.stdin.take().expect("it is a pipe");
        std::io::Write::write_all(&mut go, b"go\n").expect("the client reads");
        let killed = client.wait().expect("the process is ours to wait for");
        assert!(!killed.success());
        let answered = replies.map_while(Result::ok).filter(|reply| reply.contains(r#""result":null"#)).count();
        assert_eq!(wait(&mut server), Some(0));
        assert_eq!((answered as u64, stored(&folder)), (ITEMS, ITEMS));
        drop(held);
    }
}

/// After the end of the input nothing of the storage is held for replies that nobody reads, and they are still there for
/// whoever reads late.
#[test]
fn replies_that_wait_for_their_reader_hold_no_storage() {
    const READS: u64 = 40;
    let folder = Folder::new();
    let mut server = program(["--storage-dir".as_ref(), folder.path().as_os_str()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server was built and starts");
    let mut calls = call(1, "storage/open", "[true]") + "\n" + &call(2, "setItem", &format!(r#"[1,"k","{}"]"#, "v".repeat(100_000))) + "\n";
    for id in 3..READS + 3 {
        calls += &(call(id, "getItem", r#"[1,"k"]"#) + "\n");
    }
    let mut input = server.stdin.take().expect("it is a pipe");
    std::io::Write::write_all(&mut input, calls.as_bytes()).expect("the server reads");
    drop(input);
    let begun = Instant::now();
    while stored(&folder) == 0 || beside(&folder.default_bottle(), "-wal").exists() {
        assert!(begun.elapsed() < PATIENCE, "the bottle stays in use");
        std::thread::yield_now();
    }
    assert_eq!(server.try_wait().expect("the process is ours to wait for"), None, "it waits for its reader");
    let replies = BufReader::new(server.stdout.take().expect("it is a pipe")).lines();
    assert_eq!(replies.map_while(Result::ok).count() as u64, READS + 2);
    assert_eq!(wait(&mut server), Some(0));
}

#[test]
fn a_process_that_never_was_ends_nothing() {
    let folder = Folder::new();
    let mut gone = parent();
    gone.kill().expect("the process is ours to kill");
    gone.wait().expect("the process is ours to wait for");
    let mut client = Client::with(folder.path(), &["--clientProcessId", &gone.id().to_string()]);
    let begun = Instant::now();
    while !client.logged().contains("the client's process is not known here") {
        assert!(begun.elapsed() < PATIENCE, "the server does not say that it found no process");
        std::thread::yield_now();
    }
    client.get("initialize", r#"{"processId":null,"capabilities":{}}"#);
    client.open("[true]");
    client.end();
}

/// Session items are gone with their connection, persistent ones are not.
#[test]
fn the_end_of_the_server_is_the_end_of_session_areas() {
    let folder = Folder::new();
    for expected in [0, 1] {
        let mut client = Client::start(folder.path());
        let (session, persistent) = (client.open("[false]"), client.open("[true]"));
        assert_eq!((session.length, persistent.length), (0, expected));
        for storage in [session.storage, persistent.storage] {
            client.get("setItem", &format!(r#"[{storage},"k","v"]"#));
        }
        client.end();
    }
}
