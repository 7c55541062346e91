//! The files in which Node and Deno keep web storage can be imported, and exported states are private.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rusqlite::{Connection, params};
use webstorage_server::transcript::Framing;

use crate::peer::Peer;

fn utf16le(units: &[u16]) -> Vec<u8> {
    units.iter().flat_map(|unit| unit.to_le_bytes()).collect()
}

#[test]
fn nodes_file_is_imported_exactly() {
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let path = directory.path().join("node.db");
    let database = Connection::open(&path).expect("the folder is writable");
    // As Node 26 creates it.
    database
        .execute_batch(
            "PRAGMA encoding='UTF-16le'; PRAGMA journal_mode=WAL; CREATE TABLE nodejs_webstorage_state(max_size INTEGER NOT NULL DEFAULT 10485760, total_size INTEGER NOT NULL, \
             schema_version INTEGER NOT NULL DEFAULT 0, single_row_ INTEGER NOT NULL DEFAULT 1 CHECK(single_row_ = 1), PRIMARY KEY(single_row_)) STRICT;
             CREATE TABLE nodejs_webstorage(key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY(key)) STRICT;",
        )
        .expect("the schema is sound");
    let hostile: &[(&[u16], &[u16])] = &[(&[0x7A], &[0xD800]), (&[], &[0x61, 0, 0x62]), (&[0xDFFF, 0xD83D, 0xDE00], &[])];
    for (key, value) in hostile {
        database.execute("INSERT INTO nodejs_webstorage VALUES (?1, ?2)", params![utf16le(key), utf16le(value)]).expect("the row is new");
    }
    drop(database);
    let entries = import(&directory, &path);
    assert_eq!(
        entries,
        r#"{"jsonrpc":"2.0","id":3,"result":[{"key":"z","value":"\ud800"},{"key":"","value":"a\u0000b"},{"key":"\udfff😀","value":""}]}"#
    );
}

#[test]
fn denos_file_is_imported_while_it_is_open() {
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let path = directory.path().join("local_storage");
    let database = Connection::open(&path).expect("the folder is writable");
    database
        .execute_batch(
            "PRAGMA journal_mode=WAL; CREATE TABLE data (key VARCHAR UNIQUE, value VARCHAR);
             INSERT INTO data VALUES ('z', 'ñ😀'), ('a' || char(0) || 'b', '');",
        )
        .expect("the schema is sound");
    let entries = import(&directory, &path);
    assert_eq!(entries, r#"{"jsonrpc":"2.0","id":3,"result":[{"key":"z","value":"ñ😀"},{"key":"a\u0000b","value":""}]}"#);
    drop(database);
}

#[test]
fn other_databases_are_refused() {
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let path = directory.path().join("other.db");
    Connection::open(&path).expect("the folder is writable").execute_batch("CREATE TABLE t (a)").expect("the schema is sound");
    let mut peer = start(&directory);
    let reply = peer.call(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"storage/import","params":{{"path":"{}"}}}}"#, path.display()));
    assert!(reply.contains("-32602") && reply.contains("neither"), "{reply}");
}

#[test]
fn exported_files_are_private() {
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let path = directory.path().join("state.json");
    fs::write(&path, r#"{"cookies":[{"name":"kept"}],"origins":[]}"#).expect("the folder is writable");
    let mut peer = start(&directory);
    let reply = peer.call(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"storage/export","params":{{"path":"{}"}}}}"#, path.display()));
    assert!(reply.contains("\"items\":0"), "{reply}");
    let mode = fs::metadata(&path).expect("the file was written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&path).expect("it is UTF-8"), "{\"cookies\":[{\"name\":\"kept\"}],\"origins\":[]}\n");
    assert_eq!(fs::read_dir(directory.path()).expect("the folder can be read").count(), 2, "no temporary file is left");
}

fn start(directory: &tempfile::TempDir) -> Peer {
    let storage = directory.path().join("storage");
    Peer::start(Framing::Lines, ["--storage-dir", storage.to_str().expect("its name is UTF-8")])
}

/// Imports a file into the default origin, and gives the reply with its entries.
fn import(directory: &tempfile::TempDir, path: &std::path::Path) -> String {
    let mut peer = start(directory);
    let reply = peer.call(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"storage/import","params":{{"path":"{}"}}}}"#, path.display()));
    assert!(reply.contains("\"areas\":[{"), "{reply}");
    peer.call(r#"{"jsonrpc":"2.0","id":2,"method":"storage/open","params":[true]}"#);
    peer.call(r#"{"jsonrpc":"2.0","id":3,"method":"storage/entries","params":[1]}"#)
}
