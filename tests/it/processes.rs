//! Several real processes on one bottle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::client::{Client, program};

/// Processes that write at the same time.
const WRITERS: usize = 4;

/// Writes of each, and how many of them are sent together.
const WRITES: usize = 1500;
const WINDOW: usize = 50;

/// Bottles that are created, each by this many processes at the same time.
const BOTTLES: usize = 60;
const CREATORS: usize = 8;

fn start(dir: &Path, count: usize) -> Vec<Client> {
    (0..count).map(|_| Client::start(dir)).collect()
}

#[test]
fn racing_writers_lose_nothing() {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let mut writers = start(dir.path(), WRITERS);
    let handles: Vec<u64> = writers.iter_mut().map(|writer| writer.open("[true]").storage).collect();
    std::thread::scope(|scope| {
        for (number, (writer, storage)) in writers.iter_mut().zip(&handles).enumerate() {
            scope.spawn(move || {
                for from in (0..WRITES).step_by(WINDOW) {
                    // A key of its own, and one that all writers overwrite. Every third burst goes call by call.
                    let calls = (from..from + WINDOW).flat_map(|n| {
                        [
                            ("setItem", format!(r#"[{storage},"{number}-{n}","{n}"]"#)),
                            ("setItem", format!(r#"[{storage},"shared{}","{number}-{n}"]"#, n % 5)),
                        ]
                    });
                    if (from / WINDOW).is_multiple_of(3) {
                        calls.for_each(|(method, params)| drop(writer.get(method, &params)));
                    } else {
                        writer.send_all(calls);
                        (0..2 * WINDOW).for_each(|_| drop(writer.outcome().expect("no lock surfaces, and everything fits")));
                    }
                }
            });
        }
    });
    let expected: BTreeSet<String> = (0..WRITERS)
        .flat_map(|number| (0..WRITES).map(move |n| format!("{number}-{n}")))
        .chain((0..5).map(|n| format!("shared{n}")))
        .collect();
    let mut orders = Vec::new();
    for (writer, storage) in writers.iter_mut().zip(&handles) {
        let keys = writer.keys(*storage);
        assert_eq!(keys.iter().cloned().collect::<BTreeSet<_>>(), expected);
        assert_eq!(keys.len(), expected.len(), "no key comes twice");
        assert_eq!(writer.get("length", &format!("[{storage}]")), expected.len().to_string());
        orders.push(keys);
    }
    assert!(orders.iter().all(|keys| *keys == orders[0]), "all processes see one order of keys");
    for (writer, storage) in writers.iter_mut().zip(&handles) {
        writer.send_all(orders[0].iter().map(|key| ("getItem", format!(r#"[{storage},"{key}"]"#))));
    }
    let values: Vec<Vec<String>> =
        writers.iter_mut().map(|writer| orders[0].iter().map(|_| writer.outcome().expect("reading works")).collect()).collect();
    assert!(values.iter().all(|of_one| *of_one == values[0]), "all processes see the same values");
    for (key, value) in orders[0].iter().zip(&values[0]).filter(|(key, _)| !key.starts_with("shared")) {
        assert!(key.ends_with(&format!("-{}", value.trim_matches('"'))), "{key} has the value that was acknowledged: {value}");
    }
    let opened = writers[0].open("[true]");
    let usage: usize = orders[0].iter().zip(&values[0]).map(|(key, value)| 2 * (key.len() + value.len() - 2)).sum();
    assert_eq!((opened.length, opened.usage), (orders[0].len() as u64, usage as u64));
    for client in writers {
        client.end();
    }
}

#[test]
fn what_one_has_acknowledged_every_other_sees() {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let mut clients = start(dir.path(), 3);
    let handles: Vec<u64> = clients.iter_mut().map(|client| client.open("[true]").storage).collect();
    let mut length = 0;
    for round in 0..600 {
        let (writer, reader) = (round % 3, (round + 1 + round / 3 % 2) % 3);
        let (to, from) = (handles[writer], handles[reader]);
        match round % 4 {
            0 | 1 => {
                clients[writer].get("setItem", &format!(r#"[{to},"k{round}","{round}"]"#));
                length += 1;
                assert_eq!(clients[reader].get("getItem", &format!(r#"[{from},"k{round}"]"#)), format!("\"{round}\""));
                assert_eq!(clients[reader].get("key", &format!("[{from},{}]", length - 1)), format!("\"k{round}\""));
            }
            2 => {
                clients[writer].get("removeItem", &format!(r#"[{to},"k{}"]"#, round - 1));
                length -= 1;
                assert_eq!(clients[reader].get("getItem", &format!(r#"[{from},"k{}"]"#, round - 1)), "null");
            }
            _ if round % 100 == 99 => {
                clients[writer].get("clear", &format!("[{to}]"));
                length = 0;
            }
            _ => {
                // Several calls that share a transaction, some of them reads.
                clients[writer].send_all([
                    ("setItem", format!(r#"[{to},"both","{round}"]"#)),
                    ("getItem", format!(r#"[{to},"both"]"#)),
                    ("removeItem", format!(r#"[{to},"both"]"#)),
                    ("length", format!("[{to}]")),
                ]);
                let replies: Vec<String> = (0..4).map(|_| clients[writer].outcome().expect("they fit")).collect();
                assert_eq!(replies, ["null", &format!("\"{round}\""), "null", &length.to_string()]);
            }
        }
        assert_eq!(clients[reader].get("length", &format!("[{from}]")), length.to_string());
    }
    for client in clients {
        client.end();
    }
}

/// A writer takes the area as it knows it for up to date only if nobody has committed since. A change of nothing
/// commits nothing, so that whatever was committed meanwhile is another's.
#[test]
fn changes_of_nothing_beside_the_commits_of_others() {
    const CALLS: u32 = 4000;
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let mut writers = start(dir.path(), 2);
    let handles: Vec<u64> = writers.iter_mut().map(|writer| writer.open("[true]").storage).collect();
    let seeds = [7_u32, 8];
    let items: Vec<BTreeMap<String, String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (writers.iter_mut().zip(&handles).zip(seeds))
            .map(|((writer, storage), mut random)| {
                scope.spawn(move || {
                    let mut items = BTreeMap::new();
                    for _ in 0..CALLS {
                        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        let key = format!("{}-{}", writer.pid(), random >> 28);
                        match random >> 16 & 7 {
                            0..4 => drop(writer.get("removeItem", &format!(r#"[{storage},"nothing"]"#))),
                            4..7 => {
                                let value = "x".repeat((random >> 20 & 3) as usize);
                                writer.get("setItem", &format!(r#"[{storage},"{key}","{value}"]"#));
                                items.insert(key, value);
                            }
                            _ => {
                                writer.get("removeItem", &format!(r#"[{storage},"{key}"]"#));
                                items.remove(&key);
                            }
                        }
                        let value = items.last_key_value().map_or("null".to_owned(), |(_, value)| format!("\"{value}\""));
                        let key = items.last_key_value().map_or("nothing", |(key, _)| key);
                        assert_eq!(writer.get("getItem", &format!(r#"[{storage},"{key}"]"#)), value);
                    }
                    items
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("every call succeeds")).collect()
    });
    let length: usize = items.iter().map(BTreeMap::len).sum();
    for (writer, storage) in writers.iter_mut().zip(&handles) {
        assert_eq!(writer.get("length", &format!("[{storage}]")), length.to_string());
        let checked = writer.get("storage/check", r#"{"origin":"http://localhost"}"#);
        assert!(checked.contains(r#""problems":[]"#), "{checked}");
    }
    for writer in writers {
        writer.end();
    }
}

#[test]
fn many_processes_create_one_bottle() {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    // The processes are started together too: the first round also creates the directories.
    let dir = dir.path().join("storage");
    let mut clients = start(&dir, CREATORS);
    for round in 0..BOTTLES {
        let params = format!(r#"[true,"https://bottle{round}.example"]"#);
        for client in &mut clients {
            client.send("storage/open", &params);
        }
        let handles: Vec<u64> = clients
            .iter_mut()
            .map(|client| {
                let opened = client.outcome().expect("whoever comes first, all can open it");
                let opened: crate::client::Opened = serde_json::from_str(&opened).expect("open tells of the area");
                assert_eq!((opened.length, opened.usage, opened.quota), (0, 0, 10 << 20));
                opened.storage
            })
            .collect();
        for (number, (client, storage)) in clients.iter_mut().zip(&handles).enumerate() {
            client.send("setItem", &format!(r#"[{storage},"{number}","x"]"#));
        }
        for client in &mut clients {
            client.outcome().expect("it fits");
        }
        for (client, storage) in clients.iter_mut().zip(&handles) {
            assert_eq!(client.get("length", &format!("[{storage}]")), CREATORS.to_string());
        }
    }
    for client in clients {
        client.end();
    }
}

/// Two connections of one process share its file handle; a third, of another process, is beside them.
#[test]
fn connections_of_one_process_and_another_process() {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let socket = dir.path().join("private").join("socket");
    let listen = socket.to_str().expect("temporary paths are UTF-8");
    let storage = dir.path().join("storage");
    let mut server = Client::run(program(["--storage-dir".as_ref(), storage.as_os_str()]).args(["--listen", listen]));
    let mut clients = vec![Client::connect(&socket), Client::connect(&socket), Client::start(&storage)];
    let handles: Vec<u64> = clients.iter_mut().map(|client| client.open("[true]").storage).collect();
    std::thread::scope(|scope| {
        for (number, (client, storage)) in clients.iter_mut().zip(&handles).enumerate() {
            scope.spawn(move || {
                for from in (0..WRITES).step_by(WINDOW) {
                    client.send_all((from..from + WINDOW).flat_map(|n| {
                        let key = format!("{number}-{n}");
                        [("setItem", format!(r#"[{storage},"{key}","{n}"]"#)), ("getItem", format!(r#"[{storage},"{key}"]"#))]
                    }));
                    for n in from..from + WINDOW {
                        assert_eq!(client.outcome().expect("it fits"), "null");
                        assert_eq!(client.outcome().expect("it is there"), format!("\"{n}\""));
                    }
                }
            });
        }
    });
    let orders: Vec<Vec<String>> = clients.iter_mut().zip(&handles).map(|(client, storage)| client.keys(*storage)).collect();
    assert_eq!(orders[0].len(), 3 * WRITES);
    assert!(orders.iter().all(|keys| *keys == orders[0]), "all connections see one order of keys");
    // A connection that ends takes nothing from the other, and session areas are each connection's own.
    let session = clients[0].open("[false]").storage;
    clients[0].get("setItem", &format!(r#"[{session},"mine","x"]"#));
    assert_eq!(clients[1].open("[false]").length, 0);
    let mut first = clients.remove(0);
    first.close();
    assert!(first.next().is_none(), "the server closes a connection whose client has");
    clients[0].get("setItem", &format!(r#"[{},"after","x"]"#, handles[1]));
    assert_eq!(clients[1].get("getItem", &format!(r#"[{},"after"]"#, handles[2])), "\"x\"");
    clients.remove(1).end();
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    assert!(!socket.exists(), "the socket goes with the server");
}
