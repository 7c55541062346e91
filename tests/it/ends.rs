//! How a server ends: everything that was acknowledged stays, and the exit code says whether all went well.

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

/// What a client has written before it was killed is stored, though the server is told of its end too.
#[test]
fn what_a_killed_client_has_written_is_stored() {
    for round in 0..5 {
        let folder = Folder::new();
        let calls: String = (0..50).map(|n| call(n + 2, "setItem", &format!(r#"[1,"k{n}","v"]"#)) + "\n").collect();
        let text = folder.path().with_extension("calls");
        std::fs::write(&text, call(1, "storage/open", "[true]") + "\n" + &calls).expect("the directory is writable");
        // The server is the child of one process and the reader of another, which both are gone when it begins.
        let mut client = parent();
        let (reader, writer) = std::io::pipe().expect("descriptors are left");
        let mut server = program(["--clientProcessId", &client.id().to_string(), "--storage-dir"])
            .arg(folder.path())
            .stdin(reader)
            .stdout(Stdio::null())
            .spawn()
            .expect("the server was built and starts");
        let mut wrote = Command::new("cat").arg(&text).stdout(writer).spawn().expect("every Unix has cat");
        if round % 2 == 0 {
            wrote.wait().expect("the process is ours to wait for");
        }
        client.kill().expect("the process is ours to kill");
        client.wait().expect("the process is ours to wait for");
        wrote.wait().expect("the process is ours to wait for");
        assert_eq!(wait(&mut server), Some(0));
        assert_eq!(stored(&folder), 50);
    }
}

#[test]
fn a_process_that_never_was_ends_nothing() {
    let folder = Folder::new();
    let mut gone = parent();
    gone.kill().expect("the process is ours to kill");
    gone.wait().expect("the process is ours to wait for");
    let mut client = Client::with(folder.path(), &["--clientProcessId", &gone.id().to_string()]);
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
