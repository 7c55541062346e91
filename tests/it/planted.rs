//! Files that somebody else has made or changed: nothing of them runs, hangs or grows, and they stay as they are.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use crate::backpressure::memory;
use crate::client::Client;
use crate::folder::Folder;

const ITEMS: u64 = 20;

/// A storage directory with a bottle of a few items in its default origin.
fn written() -> Folder {
    let folder = Folder::new();
    let mut client = Client::start(folder.path());
    let storage = client.open("[true]").storage;
    for n in 0..ITEMS {
        client.get("setItem", &format!(r#"[{storage},"key {n}","value {n}"]"#));
    }
    client.end();
    folder
}

/// Changes a file as any program can that has SQLite, and leaves no WAL.
fn plant(file: &Path, sql: &str) {
    let database = Connection::open(file).expect("it is a database");
    database.execute_batch(sql).expect("the SQL is valid");
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("nobody else has it open");
}

/// Replaces the definition of a table behind SQLite's back.
fn redefine(name: &str, from: &str, to: &str) -> String {
    format!(
        "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = replace(sql, '{from}', '{to}') WHERE name = '{name}'; PRAGMA writable_schema=RESET;"
    )
}

/// Calls everything that opens or looks at the bottle. The server's patience is the test's own.
fn look(client: &mut Client, folder: &Folder) -> Vec<String> {
    let before = memory(client.pid(), "VmHWM:");
    let mut messages = Vec::new();
    let calls = [
        ("storage/origins", "{}".to_owned()),
        ("storage/check", r#"["http://localhost"]"#.to_owned()),
        ("storage/export", r#"{"origins":["http://localhost"]}"#.to_owned()),
        ("storage/open", "[true]".to_owned()),
    ];
    for (method, params) in calls {
        match client.call(method, &params) {
            Ok(result) => messages.push(result),
            Err(fault) => {
                assert!(matches!(&*fault.data.name, "NotSupportedError" | "DataCorruption"), "{method}: {}", fault.message);
                messages.push(format!("{}: {}", fault.data.name, fault.message));
            }
        }
    }
    // Another origin is not held up.
    client.open(r#"[true,"https://other.example"]"#);
    let grown = memory(client.pid(), "VmHWM:") - before;
    assert!(grown < 48 << 20, "{grown} bytes for {}", folder.path().display());
    messages
}

#[test]
fn what_others_put_into_a_file_does_not_run() {
    let count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";
    let long = format!("CREATE TABLE long (x -- {}\n)", "x".repeat(1 << 20));
    let many = (0..5000).fold(String::new(), |sql, n| sql + &format!("CREATE TABLE t{n} (x);"));
    let many = format!("BEGIN; {many} COMMIT;");
    for (what, sql) in [
        (
            "view \"area\"",
            format!(
                "DROP TABLE area; CREATE VIEW area AS {count} SELECT 1 id, 'http://localhost' origin, i quota, 0 usage, 0 length, 0 next, 0 sequence FROM n;"
            ),
        ),
        (
            "view \"listener\"",
            "DROP TABLE listener; CREATE VIEW listener AS SELECT hex(zeroblob(300000000)) name, 1 wants, 0 until;".to_owned(),
        ),
        ("trigger \"t\"", "CREATE TRIGGER t AFTER INSERT ON item BEGIN DELETE FROM item; END;".to_owned()),
        ("index \"i\"", "CREATE INDEX i ON item (hex(zeroblob(length(value) * 1000)));".to_owned()),
        ("table \"item\"", "ALTER TABLE item ADD COLUMN more GENERATED ALWAYS AS (zeroblob(900000000)) VIRTUAL;".to_owned()),
        ("table \"item\"", redefine("item", "value BLOB    NOT NULL", "value BLOB AS (zeroblob(900000000))")),
        ("table \"another\"", "CREATE TABLE another (x);".to_owned()),
        ("more or longer definitions", long),
        ("more or longer definitions", many),
    ] {
        let folder = written();
        let file = folder.default_bottle();
        plant(&file, &sql);
        let before = fs::read(&file).expect("the file is ours");
        let mut client = Client::start(folder.path());
        for message in look(&mut client, &folder) {
            let message = message.replace('\\', "");
            assert!(message.contains(what) && message.contains("It was not touched"), "{what}: {message}");
        }
        client.end();
        assert!(fs::read(&file).expect("it is still there") == before, "{what}: the file is as it was");
        assert_eq!(folder.damaged().len(), 0, "{what}");
    }
}

#[test]
fn another_form_of_the_same_tables_is_no_fault() {
    let schema = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/schema/storage.sql")).expect("the file is in the repository");
    for form in ["PRAGMA page_size=512", "PRAGMA page_size=65536", "PRAGMA encoding='UTF-16be'", "PRAGMA auto_vacuum=FULL"] {
        let folder = Folder::prepared();
        let file = folder.default_bottle();
        plant(
            &file,
            &format!(
                "{form}; {schema} PRAGMA application_id=0x57625374; PRAGMA user_version=1;
                 INSERT INTO area VALUES (1, 'http://localhost', 1000, 4, 1, 1, 1); INSERT INTO item VALUES (1 << 40, 1, x'6b', x'76');"
            ),
        );
        let mut client = Client::start(folder.path());
        let storage = client.open("[true]").storage;
        assert_eq!(client.get("getItem", &format!(r#"[{storage},"k"]"#)), "\"v\"", "{form}");
        client.get("setItem", &format!(r#"[{storage},"new","v"]"#));
        client.end();
        assert_eq!(folder.damaged().len(), 0, "{form}");
    }
}

#[test]
fn bytes_that_are_reserved_in_each_page_let_nothing_run() {
    let folder = written();
    let file = folder.default_bottle();
    let mut bytes = fs::read(&file).expect("the file is ours");
    bytes[20] = 32;
    fs::write(&file, bytes).expect("the file is ours");
    let mut client = Client::start(folder.path());
    look(&mut client, &folder);
    client.end();
}

#[test]
fn a_foreign_id_and_a_lost_one_are_told_apart() {
    let folder = written();
    plant(&folder.default_bottle(), "PRAGMA application_id=1; CREATE TABLE more (x);");
    let mut client = Client::start(folder.path());
    for message in look(&mut client, &folder) {
        assert!(message.contains("another program's database"), "{message}");
    }
    client.end();
    assert_eq!(folder.damaged().len(), 0);

    let folder = written();
    plant(&folder.default_bottle(), "PRAGMA application_id=0x57625375;");
    let mut client = Client::start(folder.path());
    let fault = client.fail("storage/open", "[true]", "DataCorruption");
    assert!(fault.data.moved_to.is_some(), "no other program makes these tables: {}", fault.message);
    client.end();
}

#[test]
fn another_programs_file_with_computed_values_is_refused() {
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    for table in [
        "CREATE TABLE data (key TEXT, value TEXT GENERATED ALWAYS AS (hex(zeroblob(length(key) * 30000000))))",
        "CREATE TABLE nodejs_webstorage (key BLOB, value BLOB as(zeroblob(900000000)))",
        "CREATE VIEW data AS SELECT 'k' key, hex(zeroblob(300000000)) value",
    ] {
        let path = directory.path().join("local_storage");
        let database = Connection::open(&path).expect("the folder is writable");
        database.execute_batch(table).expect("the SQL is valid");
        if table.contains("TABLE") {
            let name = if table.contains("nodejs") { "nodejs_webstorage" } else { "data" };
            database.execute_batch(&format!("INSERT INTO {name} (key) VALUES ('0123456789')")).expect("the table is there");
        }
        drop(database);
        let mut client = Client::start(directory.path());
        let before = memory(client.pid(), "VmHWM:");
        let fault = client.call("storage/import", &format!(r#"{{"path":{path:?}}}"#)).expect_err("it is refused");
        assert!(fault.message.contains("local_storage"), "{}", fault.message);
        let grown = memory(client.pid(), "VmHWM:") - before;
        assert!(grown < 16 << 20, "{grown} bytes for {table}");
        client.end();
        fs::remove_file(path).expect("the folder is writable");
    }
}

#[test]
fn a_pipe_among_the_damaged_files_holds_nobody_up() {
    let folder = written();
    let pipe = |name: &str| {
        let path = folder.path().join("damaged").join(name);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("the name is free");
    };
    pipe("a-1-0.sqlite");
    fs::copy(folder.default_bottle(), folder.path().join("damaged/b-1-0.sqlite")).expect("the directory is ours");
    pipe("b-1-0.sqlite-wal");
    let mut client = Client::start(folder.path());
    client.fail("storage/salvage", r#"["a-1-0.sqlite"]"#, "NotFoundError");
    let fault = client.fail("storage/salvage", r#"["b-1-0.sqlite"]"#, "UnknownError");
    assert!(fault.message.contains("no regular file"), "{}", fault.message);
    client.end();
}
