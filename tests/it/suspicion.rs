//! That a file is damaged is known to the processes that come after the one which has met it, what can be read of it is
//! exported, and what is wrong with one item can be mended by setting or removing it.

use std::fs;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::client::Client;
use crate::command_line::{expect, run};
use crate::folder::Folder;

const CHECK: &str = r#"["http://localhost"]"#;

/// A storage directory with five items, after `sql` has run on its file.
fn changed_by(sql: &str) -> Folder {
    let folder = Folder::new();
    let mut client = Client::start(folder.path());
    let storage = client.open("[true]").storage;
    for n in 0..5 {
        client.get("setItem", &format!(r#"[{storage},"k{n}","value{n}"]"#));
    }
    client.end();
    let database = Connection::open(folder.default_bottle()).expect("it is a database");
    database.execute_batch(sql).expect("the SQL is valid");
    folder
}

fn problems(client: &mut Client) -> String {
    let checked: Value = serde_json::from_str(&client.get("storage/check", CHECK)).expect("results are JSON");
    checked["problems"].to_string()
}

const NO_STRING: &str = "UPDATE item SET value = x'ff41414141ff' WHERE key = CAST('k1' AS BLOB)";

#[test]
fn the_next_process_examines_what_one_has_met() {
    let folder = changed_by(NO_STRING);
    let mut first = Client::start(folder.path());
    let storage = first.open("[true]").storage;
    first.fail("getItem", &format!(r#"[{storage},"k1"]"#), "DataCorruption");
    // While it is in use it cannot be moved, and the others use what is sound in it too.
    let mut second = Client::start(folder.path());
    let other = second.open("[true]");
    assert_eq!(other.length, 5);
    assert_eq!(second.get("getItem", &format!(r#"[{},"k2"]"#, other.storage)), "\"value2\"");
    first.kill();
    second.end();

    let mut third = Client::start(folder.path());
    let fault = third.fail("storage/open", "[true]", "DataCorruption");
    assert!(fault.data.moved_to.is_some() && fault.message.contains("no string any more"), "{}", fault.message);
    assert_eq!(third.open("[true]").length, 0);
    third.end();
    assert!(!folder.default_bottle().with_extension("suspect").exists(), "nothing is suspected any longer");
}

#[test]
fn a_file_that_was_mended_meanwhile_is_used_again() {
    let folder = changed_by(NO_STRING);
    let mut client = Client::start(folder.path());
    let storage = client.open("[true]").storage;
    client.fail("getItem", &format!(r#"[{storage},"k1"]"#), "DataCorruption");
    client.end();
    let database = Connection::open(folder.default_bottle()).expect("it is a database");
    database.execute_batch("UPDATE item SET value = CAST('value1' AS BLOB) WHERE key = CAST('k1' AS BLOB)").expect("the SQL is valid");
    drop(database);
    let mut client = Client::start(folder.path());
    assert_eq!(client.open("[true]").length, 5);
    client.end();
    assert_eq!(folder.damaged().len(), 0);
    assert!(!folder.default_bottle().with_extension("suspect").exists());
}

#[test]
fn setting_and_removing_mend_an_item() {
    for sql in [
        NO_STRING,
        "UPDATE item SET value = 'TEXT' WHERE key = CAST('k1' AS BLOB)",
        "UPDATE item SET value = 7 WHERE key = CAST('k1' AS BLOB)",
        "UPDATE item SET value = zeroblob(40000) || x'ff' WHERE key = CAST('k1' AS BLOB)",
    ] {
        for (method, rest, length, usage) in [("setItem", r#","new""#, 5, 78), ("removeItem", "", 4, 64), ("setItem", ",\"value1\"", 5, 80)]
        {
            let folder = changed_by(sql);
            let mut client = Client::start(folder.path());
            let storage = client.open("[true]").storage;
            client.get(method, &format!(r#"[{storage},"k1"{rest}]"#));
            let expected = rest.strip_prefix(',').unwrap_or("null");
            assert_eq!(client.get("getItem", &format!(r#"[{storage},"k1"]"#)), expected, "{sql}");
            assert_eq!(problems(&mut client), "[]", "{sql}, then {method}");
            client.end();
            let mut client = Client::start(folder.path());
            let opened = client.open("[true]");
            let expected: u64 = if rest == r#","new""# { 4 * 16 + 2 * 5 } else { usage };
            assert_eq!((opened.length, opened.usage), (length, expected), "{sql}, then {method}");
            client.end();
        }
    }
}

#[test]
fn what_the_counters_say_is_verified() {
    for (sql, found) in [
        ("UPDATE area SET usage = 8", "are counted"),
        ("UPDATE area SET length = 4", "are counted"),
        ("UPDATE area SET length = 9", "counters of its area"),
        ("UPDATE area SET next = -1", "-1"),
        ("UPDATE area SET next = 9223372036854775807", "counters of its area"),
        ("UPDATE area SET next = 1 << 41", "taken or too high"),
        ("UPDATE area SET quota = 'much'", "another type"),
        ("UPDATE area SET origin = 'no origin'", "no origin"),
        ("DELETE FROM area", "row of its area"),
        ("INSERT INTO area SELECT 2, origin, quota, usage, length, next, sequence FROM area", "areas"),
        ("UPDATE item SET id = id + (1 << 41) WHERE key = CAST('k1' AS BLOB)", "no item here can have"),
        ("UPDATE item SET area = 2 WHERE key = CAST('k1' AS BLOB)", "no item here can have"),
        ("INSERT INTO listener VALUES (x'00', 1, 0)", "another type"),
        ("INSERT INTO listener VALUES ('x', 'y', 0)", "another type"),
        ("INSERT INTO listener VALUES ('x', 1, -5)", "-5"),
        ("INSERT INTO change VALUES (1, 'k', NULL, NULL, '', 0)", "another type"),
    ] {
        let folder = changed_by(sql);
        let mut client = Client::start(folder.path());
        let listed = problems(&mut client);
        assert!(listed.contains(found), "{sql}: {listed}");
        // Whatever the first calls say, none fails for an unknown reason, and the file is out of the way in the end.
        fs::write(folder.default_bottle().with_extension("suspect"), "").expect("the directory is ours");
        let fault = client.fail("storage/open", "[true]", "DataCorruption");
        assert!(fault.data.moved_to.is_some(), "{sql}: {}", fault.message);
        let name = folder.damaged().into_iter().find(|path| path.extension().is_some_and(|extension| extension == "sqlite"));
        let name = name.and_then(|path| Some(path.file_name()?.to_str()?.to_owned())).expect("it was moved there");
        let salvaged = client.get("storage/salvage", &json!([name]).to_string());
        assert_eq!(salvaged.matches("\"value\"").count(), 5, "{sql}: {salvaged}");
        client.end();
    }
}

/// A number that is too low would be given twice, and one that is too high to no item that can be found again.
#[test]
fn the_number_of_a_new_item_is_no_unknown_error() {
    for sql in [
        // Items that are removed leave their numbers, so that these counters could be true.
        "DELETE FROM item WHERE id < (1 << 40) + 3; UPDATE area SET length = 2, usage = 32, next = 3",
        "UPDATE area SET next = 1 << 41",
    ] {
        let folder = changed_by(sql);
        let mut client = Client::start(folder.path());
        let storage = client.open("[true]").storage;
        let fault = client.fail("setItem", &format!(r#"[{storage},"new","v"]"#), "DataCorruption");
        assert!(fault.message.contains("open it again"), "{}", fault.message);
        client.get("storage/close", &format!("[{storage}]"));
        assert!(client.fail("storage/open", "[true]", "DataCorruption").data.moved_to.is_some());
        client.end();
    }
}

#[test]
fn what_can_be_read_is_exported() {
    for sql in [NO_STRING, "UPDATE item SET value = 'TEXT' WHERE key = CAST('k1' AS BLOB)"] {
        let folder = changed_by(sql);
        let temporary = folder.path().parent().expect("the storage directory is in a temporary one").to_owned();
        // The second time the file is examined and moved aside, the third it is there no longer.
        for (items, moved) in [(4, false), (4, true)] {
            let output = run(&temporary, &["export"], "");
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(4), "{told}");
            let state: Value = serde_json::from_slice(&output.stdout).expect("the state is JSON");
            assert_eq!(state["origins"][0]["localStorage"].as_array().map(Vec::len), Some(items), "{state}");
            assert!(told.contains("1 items of http://localhost are missing, among them \"k1\""), "{told}");
            assert_eq!(told.contains("It was moved to"), moved, "{told}");
        }
        expect(&temporary, &["export", "--format", "flat", "http://localhost"], 1, "");
        fs::remove_dir_all(folder.path()).expect("the directory is ours");
    }
}
