//! The files in which Node and Deno keep web storage can be imported, and exported states are private.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rusqlite::Connection;
use webstorage_server::transcript::{Framing, Json};

use crate::folder::beside;
use crate::peer::Peer;

/// Files that these programs have written themselves, each with what the program says that it holds.
const WRITTEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/other_programs");

#[test]
fn files_of_node_and_deno_are_imported_exactly() {
    for name in ["node-22.4.0", "node-26.10.0", "deno-2.9.6"] {
        let directory = tempfile::tempdir().expect("the temporary directory is writable");
        let folder = directory.path().join("of the program");
        fs::create_dir(&folder).expect("the folder is writable");
        let original = fs::read(format!("{WRITTEN}/{name}.sqlite")).expect("the file is in the repository");
        let path = folder.join("storage");
        fs::write(&path, &original).expect("the folder is writable");

        let entries = Json::parse(import(&directory, &path).as_bytes()).expect("replies are JSON");
        let Some(Json::Array(entries)) = entries.member("result") else { panic!("{name}: entries are an array") };
        let imported: Vec<Json> = entries
            .iter()
            .map(|entry| ["key", "value"].map(|member| entry.member(member).cloned().expect("an entry has both")))
            .map(|pair| Json::Array(pair.into()))
            .collect();
        let held = fs::read(format!("{WRITTEN}/{name}.json")).expect("the file is in the repository");
        let Ok(Json::Array(held)) = Json::parse(&held) else { panic!("{name}.json is an array") };
        assert_eq!(imported.len(), held.len(), "{name}");
        for (imported, held) in imported.iter().zip(&held) {
            assert_eq!(imported, held, "{name}");
        }

        let left: Vec<_> =
            fs::read_dir(&folder).expect("the folder can be read").map(|entry| entry.map(|entry| entry.file_name())).collect();
        assert!(matches!(&left[..], [Ok(only)] if only == "storage"), "{name}: nothing is left beside the file: {left:?}");
        assert!(fs::read(&path).expect("the file is there") == original, "{name}: the file is as it was");
    }
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
    assert_eq!(entries, r#"{"jsonrpc":"2.0","id":3,"result":[{"key":"a\u0000b","value":""},{"key":"z","value":"ñ😀"}]}"#);

    // Its program was killed, and what it wrote is in the WAL only.
    let left = directory.path().join("left");
    fs::create_dir(&left).expect("the folder is writable");
    let files = ["", "-wal"].map(|suffix| (beside(&path, suffix), beside(&left.join("local_storage"), suffix)));
    for (from, to) in &files {
        fs::copy(from, to).expect("the file is there");
    }
    drop(database);
    let before = files.each_ref().map(|(_, to)| fs::read(to).expect("the file is there"));
    assert_eq!(import(&directory, &left.join("local_storage")), entries);
    assert!(files.each_ref().map(|(_, to)| fs::read(to).expect("the file is there")) == before, "recovery is left to the program");
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
    assert_eq!(fs::read_dir(directory.path()).expect("the folder can be read").count(), 1, "no temporary file is left");
}

fn start(directory: &tempfile::TempDir) -> Peer {
    let storage = directory.path().join("storage");
    Peer::start(Framing::Lines, ["--storage-dir", storage.to_str().expect("its name is UTF-8")])
}

/// Imports a file into the default origin, and gives the reply with its entries.
fn import(directory: &tempfile::TempDir, path: &std::path::Path) -> String {
    let mut peer = start(directory);
    let reply = peer.call(&format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"storage/import","params":{{"path":"{}","mode":"replace"}}}}"#,
        path.display()
    ));
    assert!(reply.contains("\"areas\":[{"), "{reply}");
    peer.call(r#"{"jsonrpc":"2.0","id":2,"method":"storage/open","params":[true]}"#);
    peer.call(r#"{"jsonrpc":"2.0","id":3,"method":"storage/entries","params":[1]}"#)
}
