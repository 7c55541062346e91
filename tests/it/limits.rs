//! What must not grow: descriptors and memory with areas that were closed, the WAL with writes, waiting with
//! locks.

use std::fs;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use webstorage_server::transcript::Framing;

use crate::backpressure::memory;
use crate::client::{Client, Opened};
use crate::folder::{Folder, beside};
use crate::peer::{PROGRAM, Peer};

fn descriptors(client: &Client) -> usize {
    fs::read_dir(format!("/proc/{}/fd", client.pid())).expect("the process runs").count()
}

fn opened(client: &mut Client) -> u64 {
    let opened = client.outcome().expect("the area can be opened");
    serde_json::from_str::<Opened>(&opened).expect("open tells of the area").storage
}

/// Opens areas of `count` origins, then closes them all.
fn open_and_close(client: &mut Client, persistent: bool, origins: usize, at_once: usize) {
    for from in (0..origins).step_by(at_once) {
        let params = |n: usize| format!(r#"[{persistent},"https://origin{n}.example"]"#);
        client.send_all((from..from + at_once).map(|n| ("storage/open", params(n))));
        let handles: Vec<u64> = (0..at_once).map(|_| opened(client)).collect();
        client.send_all(handles.iter().map(|storage| ("length", format!("[{storage}]"))));
        client.send_all(handles.iter().map(|storage| ("storage/close", format!("[{storage}]"))));
        (0..2 * at_once).for_each(|_| drop(client.outcome().expect("the handles are open")));
    }
}

#[test]
fn ten_thousand_session_areas_leave_nothing_behind() {
    let folder = Folder::new();
    let mut client = Client::start(folder.path());
    open_and_close(&mut client, false, 10_000, 10_000);
    let (memory_before, descriptors_before) = (memory(client.pid(), "VmRSS:"), descriptors(&client));
    for _ in 0..3 {
        open_and_close(&mut client, false, 10_000, 10_000);
    }
    assert_eq!(descriptors(&client), descriptors_before);
    let after = memory(client.pid(), "VmRSS:");
    assert!(after < memory_before + (8 << 20), "{memory_before} bytes became {after}");
    client.end();
}

#[test]
fn thousands_of_openings_of_files_leave_nothing_behind() {
    let folder = Folder::new();
    let mut client = Client::start(folder.path());
    open_and_close(&mut client, true, 100, 20);
    let (memory_before, descriptors_before) = (memory(client.pid(), "VmRSS:"), descriptors(&client));
    for _ in 0..25 {
        open_and_close(&mut client, true, 100, 20);
    }
    assert_eq!(descriptors(&client), descriptors_before);
    let after = memory(client.pid(), "VmRSS:");
    assert!(after < memory_before + (8 << 20), "{memory_before} bytes became {after}");
    client.end();
}

/// More files than the process may open: a clear error for the ones that are too many, and no harm to the others.
#[test]
fn too_many_open_files() {
    let folder = Folder::new();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 100 && exec \"$0\" \"$@\"", PROGRAM]).env_remove("WEBSTORAGE_DIR").env_remove("RUST_LOG");
    let mut client = Client::run(command.arg("--storage-dir").arg(folder.path()));
    let mut handles = Vec::new();
    let fault = loop {
        let params = format!(r#"[true,"https://origin{}.example"]"#, handles.len());
        match client.call("storage/open", &params) {
            Ok(opened) => handles.push(serde_json::from_str::<Opened>(&opened).expect("open tells of the area").storage),
            Err(fault) => break fault,
        }
    };
    assert!(handles.len() > 10, "some could be opened: {}", handles.len());
    assert_eq!(fault.data.name, "UnknownError", "{fault:?}");
    for storage in &handles {
        client.get("setItem", &format!(r#"[{storage},"k","v"]"#));
    }
    for storage in handles.drain(..).skip(1) {
        client.get("storage/close", &format!("[{storage}]"));
    }
    let opened = client.open(r#"[true,"https://another.example"]"#);
    assert_eq!(opened.length, 0);
    assert!(folder.damaged().is_empty(), "no file was taken for damaged");
    client.end();
}

/// Writers that never pause, and readers among them, on one bottle: the WAL is moved into the database all the
/// while.
#[test]
fn the_wal_stays_bounded() {
    const ROUNDS: usize = 40;
    let folder = Folder::new();
    let mut clients: Vec<Client> = (0..3).map(|_| Client::start(folder.path())).collect();
    let handles: Vec<u64> = clients.iter_mut().map(|client| client.open("[true,null,100000000]").storage).collect();
    let wal = beside(&folder.default_bottle(), "-wal");
    let mut largest = 0;
    for round in 0..ROUNDS {
        for (number, (client, storage)) in clients.iter_mut().zip(&handles).enumerate() {
            let write =
                |n: usize| ("setItem", format!(r#"[{storage},"{number}-{}","{round}:{}"]"#, (round * 200 + n) % 1000, "v".repeat(4000)));
            let read = |n: usize| ("getItem", format!(r#"[{storage},"0-{}"]"#, n % 97));
            client.send_all((0..200).flat_map(|n| [if number == 2 { read(n) } else { write(n) }, read(n)]));
        }
        for client in &mut clients {
            (0..400).for_each(|_| drop(client.outcome().expect("the items fit")));
        }
        largest = largest.max(fs::metadata(&wal).expect("the bottle is in use").len());
    }
    let written = ROUNDS * 2 * 200 * 4000;
    assert!(largest < 48 << 20, "the WAL had {largest} bytes when {written} had been written");
    for client in clients {
        client.end();
    }
    assert!(!wal.exists(), "the last one to end has emptied it");
}

/// Another process holds the write lock, as one that was stopped (SIGSTOP) would.
#[test]
fn a_lock_that_is_held_is_a_timeout_and_no_more() {
    let folder = Folder::new();
    let mut client = Client::with(folder.path(), &["--busy-timeout", "300"]);
    let storage = client.open("[true]").storage;
    client.get("setItem", &format!(r#"[{storage},"k","old"]"#));
    let holder = Connection::open(folder.default_bottle()).expect("it is a database");
    holder.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes");
    let begun = Instant::now();
    let fault = client.fail("setItem", &format!(r#"[{storage},"k","new"]"#), "TimeoutError");
    assert!(begun.elapsed() >= Duration::from_millis(300), "it waits as long as it was told");
    assert!(fault.message.contains("300 ms"), "{}", fault.message);
    // Pipelined calls fail too, each for itself; readers are not held up.
    client.send_all([
        ("setItem", format!(r#"[{storage},"k","new"]"#)),
        ("getItem", format!(r#"[{storage},"k"]"#)),
        ("removeItem", format!(r#"[{storage},"k"]"#)),
        ("length", format!("[{storage}]")),
    ]);
    let outcomes: Vec<_> = (0..4).map(|_| client.outcome().map_err(|fault| fault.data.name)).collect();
    let timeout = || Err("TimeoutError".to_owned());
    assert_eq!(outcomes, [timeout(), Ok("\"old\"".to_owned()), timeout(), Ok("1".to_owned())]);
    let mut reader = Client::start(folder.path());
    assert_eq!(reader.open("[true]").length, 1);
    holder.execute_batch("ROLLBACK").expect("the transaction is open");
    client.get("setItem", &format!(r#"[{storage},"k","new"]"#));
    assert_eq!(client.get("getItem", &format!(r#"[{storage},"k"]"#)), "\"new\"");
    drop(holder);
    reader.end();
    client.end();
}

#[test]
fn an_area_without_ordinals_left_says_so_and_goes_on() {
    let folder = Folder::new();
    let mut peer = Peer::start(Framing::Lines, ["--storage-dir".as_ref(), folder.path().as_os_str()]);
    let mut call = |method: &str, params: &str| peer.call(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#));
    let result = |result: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
    call("storage/open", "[true]");
    assert_eq!(call("setItem", r#"[1,"old","1"]"#), result("null"));
    let database = Connection::open(folder.default_bottle()).expect("the file is a database");
    database.execute("UPDATE area SET next = 1 << 40", []).expect("nobody else writes");
    let refused = call("setItem", r#"[1,"new","1"]"#);
    assert!(refused.starts_with(r#"{"jsonrpc":"2.0","id":1,"error":{"code":101,"#), "{refused}");
    assert!(refused.contains("\"DataCorruption\"") && refused.contains("ordinals"), "{refused}");
    assert_eq!(call("setItem", r#"[1,"old","2"]"#), result("null"));
    assert_eq!(call("storage/entries", "[1]"), result(r#"[{"key":"old","value":"2"}]"#));
    assert_eq!(call("storage/estimate", "[1]").split(',').nth(2), Some(r#""result":{"usage":8"#));
}
