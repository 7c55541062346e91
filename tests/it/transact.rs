//! Transactions of several keys, between processes that race.

use std::sync::Barrier;
use std::thread;

use webstorage_server::transcript::Framing;

use crate::peer::Peer;

/// How often each process increments.
const INCREMENTS: u32 = 1000;

/// Increments the item `n` by compare and set, again after each conflict.
fn increment(directory: &str, start: &Barrier) {
    let mut peer = Peer::start(Framing::Lines, ["--storage-dir", directory]);
    peer.call(r#"{"jsonrpc":"2.0","id":0,"method":"storage/open","params":[true]}"#);
    start.wait();
    let mut held = peer.call(r#"{"jsonrpc":"2.0","id":1,"method":"getItem","params":[1,"n"]}"#);
    let mut done = 0;
    while done < INCREMENTS {
        let value = held.split("\"value\":").last().and_then(|text| text.split("\"result\":").last()).expect("split gives a part");
        let value = value.trim_end_matches(|c| "}]".contains(c));
        let now: u32 = value.trim_matches('"').parse().unwrap_or(0);
        let reply = peer.call(&format!(
            r#"{{"jsonrpc":"2.0","id":2,"method":"storage/transact","params":{{"storage":1,"if":[{{"key":"n","value":{value}}}],"set":[{{"key":"n","value":"{}"}}]}}}}"#,
            now + 1
        ));
        if reply.contains("\"result\":null") {
            done += 1;
            held = format!("\"value\":\"{}\"", now + 1);
        } else {
            assert!(reply.contains("\"ConstraintError\""), "{reply}");
            held = reply;
        }
    }
    peer.close();
    assert_eq!(peer.wait().code(), Some(0));
}

#[test]
fn increments_of_two_processes_are_never_lost() {
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let directory = directory.path().to_str().expect("its name is UTF-8");
    let start = Barrier::new(2);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| increment(directory, &start));
        }
    });
    let mut peer = Peer::start(Framing::Lines, ["--storage-dir", directory]);
    peer.call(r#"{"jsonrpc":"2.0","id":0,"method":"storage/open","params":[true]}"#);
    let held = peer.call(r#"{"jsonrpc":"2.0","id":1,"method":"getItem","params":[1,"n"]}"#);
    assert!(held.contains(&format!("\"{}\"", 2 * INCREMENTS)), "{held}");
}
