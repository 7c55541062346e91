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

/// How Node declares the table of its items, and what else it makes.
const NODES_ITEMS: &str = "CREATE TABLE nodejs_webstorage(key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY(key)) STRICT;";
const NODES_STATE: &str = "CREATE TABLE nodejs_webstorage_state(max_size INTEGER NOT NULL DEFAULT 10485760, total_size INTEGER NOT NULL,
    schema_version INTEGER NOT NULL DEFAULT 0, single_row_ INTEGER NOT NULL DEFAULT 1 CHECK(single_row_ = 1), PRIMARY KEY(single_row_)) STRICT;
    INSERT INTO nodejs_webstorage_state (total_size, schema_version) VALUES (0, 1);";
const DENOS: &str = "CREATE TABLE data (key VARCHAR UNIQUE, value VARCHAR);";

/// What is said about the import of a database that these statements make. Nothing of it is imported.
fn refused(statements: &str) -> String {
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let path = directory.path().join("other.db");
    let database = Connection::open(&path).expect("the folder is writable");
    database.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false).expect("it can be set");
    database.execute_batch(statements).expect("the statements are sound");
    drop(database);
    let before = fs::read(&path).expect("it is there");
    let mut peer = start(&directory);
    let reply = peer.call(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"storage/import","params":{{"path":"{}"}}}}"#, path.display()));
    assert!(reply.contains("-32602") && reply.contains("other.db: ") && reply.contains("Nothing was imported."), "{statements}: {reply}");
    let opened = peer.call(r#"{"jsonrpc":"2.0","id":2,"method":"storage/open","params":[true]}"#);
    assert!(opened.contains("\"length\":0"), "{statements}: {opened}");
    assert!(fs::read(&path).expect("it is there") == before, "{statements}: it is as it was");
    reply
}

#[test]
fn databases_that_are_not_as_node_and_deno_make_them_are_refused() {
    let firefox = "CREATE TABLE database(origin TEXT NOT NULL, usage INTEGER NOT NULL DEFAULT 0); INSERT INTO database(origin) VALUES('https://a.test');
        CREATE TABLE data(key TEXT PRIMARY KEY, utf16_length INTEGER NOT NULL, conversion_type INTEGER NOT NULL, compression_type INTEGER NOT NULL,
        last_access_time INTEGER NOT NULL DEFAULT 0, value BLOB NOT NULL); INSERT INTO data VALUES('snappy',11,1,1,0,x'0b006119');";
    for (statements, named) in [
        ("CREATE TABLE t (a)".to_owned(), ""),
        (firefox.to_owned(), "data is not declared as CREATE TABLE data (key VARCHAR UNIQUE, value VARCHAR)"),
        ("CREATE TABLE data(id INTEGER PRIMARY KEY, key TEXT, value TEXT, owner TEXT)".to_owned(), "data is not declared"),
        ("CREATE TABLE data (key VARCHAR, value VARCHAR)".to_owned(), "data is not declared"),
        ("CREATE TABLE data (key VARCHAR UNIQUE, value VARCHAR AS (zeroblob(1000000000)))".to_owned(), "data is not declared"),
        ("CREATE TABLE data (key VARCHAR UNIQUE COLLATE NOCASE, value VARCHAR)".to_owned(), "data is not declared"),
        ("CREATE VIEW data AS SELECT 'a' AS key, 'b' AS value".to_owned(), ""),
        (format!("{DENOS} CREATE TABLE more (a)"), "it also has the table \\\"more\\\""),
        (format!("{DENOS} CREATE INDEX more ON data (value || key)"), "it also has the index \\\"more\\\""),
        (format!("{DENOS} CREATE VIEW more AS SELECT 1"), "it also has the view \\\"more\\\""),
        (format!("{DENOS} CREATE TRIGGER more AFTER INSERT ON data BEGIN SELECT 1; END"), "it also has the trigger \\\"more\\\""),
        (format!("PRAGMA encoding='UTF-16le'; {DENOS} INSERT INTO data VALUES ('a', 'b')"), "not in UTF-8"),
        (format!("{DENOS} PRAGMA user_version=3"), "its user_version is 3"),
        (format!("{DENOS} PRAGMA application_id=7"), "its application_id is 7"),
        (NODES_ITEMS.to_owned(), "nodejs_webstorage_state is missing"),
        (format!("{} {NODES_STATE}", NODES_ITEMS.replace(" STRICT", "")), "nodejs_webstorage is not declared"),
        (format!("{} {NODES_STATE}", NODES_ITEMS.replace("STRICT", "STRICT, WITHOUT ROWID")), "nodejs_webstorage is not declared"),
        (format!("{NODES_ITEMS} {NODES_STATE} UPDATE nodejs_webstorage_state SET schema_version = 2"), "schema_version 1"),
        (format!("{NODES_ITEMS} {NODES_STATE} DELETE FROM nodejs_webstorage_state"), "schema_version 1"),
        (format!("{NODES_ITEMS} {NODES_STATE} {DENOS}"), "it also has the table \\\"data\\\""),
        (format!("{NODES_ITEMS} {NODES_STATE} CREATE TRIGGER other AFTER INSERT ON nodejs_webstorage BEGIN SELECT 1; END"), "trigger"),
    ] {
        let told = refused(&statements);
        assert!(told.contains("neither that of Node's --localstorage-file nor Deno's local_storage") && told.contains(named), "{told}");
    }
}

#[test]
fn rows_that_are_not_as_node_and_deno_write_them_are_refused() {
    // A table that is declared as Node declares it only after it has its rows.
    let planted = |rows: &str| {
        let declared = NODES_ITEMS.trim_end_matches(';');
        format!(
            "CREATE TABLE nodejs_webstorage(key BLOB NOT NULL, value BLOB, PRIMARY KEY(key)); {NODES_STATE}
             INSERT INTO nodejs_webstorage VALUES (x'6f00', x'6b00'), {rows}; PRAGMA writable_schema=ON;
             UPDATE sqlite_schema SET sql = '{declared}' WHERE type = 'table' AND name = 'nodejs_webstorage'; PRAGMA writable_schema=RESET;"
        )
    };
    let strict = |rows: &str| format!("{NODES_ITEMS} {NODES_STATE} INSERT INTO nodejs_webstorage VALUES (x'6f00', x'6b00'), {rows}");
    let denos = |rows: &str| format!("{DENOS} INSERT INTO data VALUES ('o', 'k'), {rows}");
    for (statements, named) in [
        (
            planted("(x'6b00', 'hello!')"),
            "row 2 of nodejs_webstorage: the value of the key \\\"k\\\" is the TEXT \\\"hello!\\\", and not a BLOB of UTF-16",
        ),
        (planted("('greeting', x'7800')"), "row 2 of nodejs_webstorage: the key is the TEXT \\\"greeting\\\""),
        (planted("(x'6e00', 42)"), "row 2 of nodejs_webstorage: the value of the key \\\"n\\\" is the INTEGER 42"),
        (planted("(x'6e00', 0.5)"), "is the REAL 0.5"),
        (planted("(x'6e00', NULL)"), "row 2 of nodejs_webstorage: the value of the key \\\"n\\\" is NULL"),
        (planted("(7, x'7800')"), "row 2 of nodejs_webstorage: the key is the INTEGER 7"),
        (strict("(x'6b00', x'610062')"), "row 2 of nodejs_webstorage: the value of the key \\\"k\\\" is a BLOB of 3 bytes (x'610062')"),
        (strict("(x'6f0062', x'')"), "row 2 of nodejs_webstorage: the key is a BLOB of 3 bytes"),
        (strict("(x'', x'00')"), "the value of the key \\\"\\\" is a BLOB of 1 bytes"),
        (denos("('k', NULL)"), "row 2 of data: the value of the key \\\"k\\\" is NULL, and not TEXT in UTF-8"),
        (denos("(NULL, 'v')"), "row 2 of data: the key is NULL"),
        (denos("('k', x'61')"), "row 2 of data: the value of the key \\\"k\\\" is a BLOB of 1 bytes (x'61')"),
        (denos("(x'6f', '')"), "row 2 of data: the key is a BLOB of 1 bytes (x'6f')"),
        (denos("('k', CAST(x'61ff' AS TEXT))"), "row 2 of data: the value of the key \\\"k\\\" is the TEXT"),
        (denos("(CAST(x'eda080' AS TEXT), '')"), "row 2 of data: the key is the TEXT"),
    ] {
        let told = refused(&statements);
        assert!(told.contains(named), "{told}");
    }
}

#[test]
fn an_index_that_has_lost_rows_is_refused() {
    // An empty index in the place of the one that the declaration makes.
    let told = refused(&format!(
        "CREATE TABLE data (key VARCHAR, value VARCHAR); INSERT INTO data VALUES ('a', '1'), ('b', '2'); {}",
        "CREATE UNIQUE INDEX i ON data (key) WHERE key > 'a'; PRAGMA writable_schema=ON;
         UPDATE sqlite_schema SET name = 'sqlite_autoindex_data_1', sql = NULL WHERE name = 'i';
         UPDATE sqlite_schema SET sql = 'CREATE TABLE data (key VARCHAR UNIQUE, value VARCHAR)' WHERE name = 'data'; PRAGMA writable_schema=RESET;"
    ));
    assert!(told.contains("data has 2 rows, and its index 1"), "{told}");
}

#[test]
fn what_means_the_same_to_node_and_deno_is_imported() {
    for statements in [
        format!("{DENOS} INSERT INTO data VALUES ('k', 'v'); ANALYZE;"),
        format!(
            "{} {NODES_STATE} INSERT INTO nodejs_webstorage VALUES (x'6b00', x'7600');",
            NODES_ITEMS.replace(", ", ",\n    ").replace('(', " ( ")
        ),
    ] {
        let directory = tempfile::tempdir().expect("the temporary directory is writable");
        let path = directory.path().join("local_storage");
        Connection::open(&path).expect("the folder is writable").execute_batch(&statements).expect("the statements are sound");
        assert_eq!(import(&directory, &path), r#"{"jsonrpc":"2.0","id":3,"result":[{"key":"k","value":"v"}]}"#, "{statements}");
    }
}

#[test]
fn exported_files_are_private() {
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let path = directory.path().join("state.json");
    fs::write(&path, r#"{"cookies":[{"name":"kept"}],"origins":[]}"#).expect("the folder is writable");
    crate::folder::set_mode(&path, 0o666);
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
