//! A call that waits for another process can be cancelled, with no effect on the calls around it.

use std::path::Path;

use rusqlite::Connection;
use webstorage_server::transcript::Framing;

use crate::peer::Peer;

const CALL: &str = r#""jsonrpc":"2.0","method""#;

fn call(id: u32, method: &str, params: &str) -> String {
    format!(r#"{{"id":{id},{CALL}:"{method}","params":{params}}}"#)
}

fn cancel(id: u32) -> String {
    format!(r#"{{{CALL}:"$/cancelRequest","params":{{"id":{id}}}}}"#)
}

fn result(id: u32, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

/// A server with a persistent area, handle 1, with the item "k": "old".
fn open(framing: Framing, dir: &Path) -> Peer {
    let mut peer = Peer::start(framing, ["--storage-dir", dir.to_str().expect("the path is UTF-8"), "--busy-timeout", "60000"]);
    assert!(peer.call(&call(1, "storage/open", "[true]")).contains("\"storage\":1"));
    assert_eq!(peer.call(&call(2, "storage/setItem", r#"[1,"k","old"]"#)), result(2, "null"));
    peer
}

/// Another user of the area, who holds its write lock. Files of SQLite are shared by every process alike.
fn lock(dir: &Path) -> Connection {
    let files = std::fs::read_dir(dir.join("bottles")).expect("the server has created its files");
    let file = files
        .map(|file| file.expect("the folder can be read").path())
        .find(|path| path.extension().is_some_and(|extension| extension == "sqlite"))
        .expect("the area has a file");
    let other = Connection::open(file).expect("the file is a database");
    other.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes");
    other
}

fn is_cancelled(reply: &str, id: u32) -> bool {
    reply.starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32800,"#))
}

#[test]
fn a_waiting_call_is_cancelled() {
    for framing in [Framing::Lines, Framing::Headers] {
        let dir = tempfile::tempdir().expect("the temporary directory is writable");
        let mut peer = open(framing, dir.path());
        let other = lock(dir.path());
        peer.send(&call(3, "storage/setItem", r#"[1,"k","new"]"#));
        peer.send(&cancel(3));
        // The lock is still held: the reply comes although the call could have waited for a minute.
        let reply = peer.receive().expect("the call is answered");
        assert!(is_cancelled(&reply, 3), "{reply}");
        assert_eq!(peer.call(&call(4, "storage/getItem", r#"[1,"k"]"#)), result(4, r#""old""#));
        drop(other);
        assert_eq!(peer.call(&call(5, "storage/setItem", r#"[1,"k","newer"]"#)), result(5, "null"));
        assert_eq!(peer.call(&call(6, "storage/getItem", r#"[1,"k"]"#)), result(6, r#""newer""#));
    }
}

#[test]
fn the_cancellation_may_come_with_the_call_or_byte_by_byte() {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let mut peer = open(Framing::Headers, dir.path());
    let other = lock(dir.path());
    let bytes = |messages: &[String]| messages.iter().flat_map(|message| Framing::Headers.encode(message.as_bytes())).collect::<Vec<u8>>();
    peer.send_raw(&bytes(&[call(3, "storage/removeItem", r#"[1,"k"]"#), cancel(3)]));
    assert!(is_cancelled(&peer.receive().expect("the call is answered"), 3));
    peer.send(&call(4, "storage/clear", "[1]"));
    for byte in bytes(&[cancel(4)]) {
        peer.send_raw(&[byte]);
    }
    assert!(is_cancelled(&peer.receive().expect("the call is answered"), 4));
    drop(other);
    assert_eq!(peer.call(&call(5, "storage/length", "[1]")), result(5, "1"));
}

#[test]
fn calls_behind_a_waiting_one_are_cancelled_before_they_begin() {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let mut peer = open(Framing::Lines, dir.path());
    let other = lock(dir.path());
    for message in [
        call(3, "storage/setItem", r#"[1,"a","1"]"#),
        call(4, "storage/setItem", r#"[1,"b","1"]"#),
        call(5, "storage/setItem", r#"[1,"c","1"]"#),
        call(6, "workspace/executeCommand", r#"{"command":"webstorage.setItem","arguments":[1,"d","1"]}"#),
        format!("[{},{}]", call(7, "storage/setItem", r#"[1,"e","1"]"#), call(8, "storage/setItem", r#"[1,"f","1"]"#)),
        // The cancellation of a call that has not come cancels nothing.
        cancel(9),
        call(9, "storage/setItem", r#"[1,"g","1"]"#),
        cancel(4),
        cancel(6),
        cancel(8),
        // What waits is cancelled last, so that everything before it has been seen.
        cancel(3),
    ] {
        peer.send(&message);
    }
    assert!(is_cancelled(&peer.receive().expect("the call is answered"), 3));
    drop(other);
    assert!(is_cancelled(&peer.receive().expect("the call is answered"), 4));
    assert_eq!(peer.receive(), Some(result(5, "null")));
    assert!(is_cancelled(&peer.receive().expect("the call is answered"), 6));
    let batch = peer.receive().expect("the batch is answered");
    assert!(batch.starts_with(&format!("[{},", result(7, "null"))) && batch.contains(r#""id":8,"error":{"code":-32800,"#), "{batch}");
    assert_eq!(peer.receive(), Some(result(9, "null")));
    assert_eq!(peer.call(&call(10, "storage/keys", "[1]")), result(10, r#"["k","c","e","g"]"#));
    // An id may be used again.
    assert_eq!(peer.call(&call(4, "storage/getItem", r#"[1,"c"]"#)), result(4, r#""1""#));
}

#[test]
fn the_end_of_the_input_does_not_cancel() {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let mut peer = open(Framing::Lines, dir.path());
    let other = lock(dir.path());
    peer.send(&call(3, "storage/setItem", r#"[1,"k","never"]"#));
    peer.send(&call(4, "storage/setItem", r#"[1,"k","new"]"#));
    peer.send(&call(5, "storage/setItem", r#"[1,"l","new"]"#));
    peer.send(&cancel(5));
    peer.send(&call(6, "storage/getItem", r#"[1,"k"]"#));
    // The reply to the call that waits shows that everything before its cancellation has been seen.
    peer.send(&cancel(3));
    peer.close();
    assert!(is_cancelled(&peer.receive().expect("the call is answered"), 3));
    drop(other);
    assert_eq!(peer.receive(), Some(result(4, "null")));
    assert!(is_cancelled(&peer.receive().expect("the call is answered"), 5));
    assert_eq!(peer.receive(), Some(result(6, r#""new""#)));
    assert_eq!(peer.receive(), None);
    assert_eq!(peer.wait().code(), Some(0));
}
