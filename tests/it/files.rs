//! What is found at a bottle's place when it is opened: each gets a clear answer, and nothing is deleted.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rusqlite::Connection;

use crate::client::{Client, program};
use crate::folder::{Folder, beside, mode, set_mode};

const TEXT: &str = "This is no database. It is long enough to hold the header that one begins with, and more than that.\n";

/// Sets some items and ends the server well.
fn fill(folder: &Folder, open: &str, count: usize) {
    let mut client = Client::start(folder.path());
    let storage = client.open(open).storage;
    client.send_all((0..count).map(|n| ("setItem", format!(r#"[{storage},"key{n}","{}"]"#, "v".repeat(500)))));
    (0..count).for_each(|_| drop(client.outcome().expect("the items fit")));
    client.end();
}

/// Kills a server, so that its newest write is in the WAL alone.
fn leave_wal(folder: &Folder) {
    let mut client = Client::start(folder.path());
    let storage = client.open("[true]").storage;
    client.get("setItem", &format!(r#"[{storage},"newest","x"]"#));
    client.kill();
    assert!(fs::metadata(beside(&folder.default_bottle(), "-wal")).expect("the WAL is left").len() > 0);
}

/// That the bottle can be used and is empty.
fn assert_new(folder: &Folder) {
    let mut client = Client::start(folder.path());
    let opened = client.open("[true]");
    assert_eq!((opened.length, opened.usage, opened.quota), (0, 0, 10 << 20));
    client.get("setItem", &format!(r#"[{},"k","v"]"#, opened.storage));
    client.end();
}

#[test]
fn an_empty_file_is_a_new_bottle() {
    let folder = Folder::prepared();
    fs::write(folder.default_bottle(), "").expect("the directory is ours");
    assert_new(&folder);
}

#[test]
fn a_text_file_is_moved_aside_with_its_wal() {
    let folder = Folder::prepared();
    let bottle = folder.default_bottle();
    fs::write(&bottle, TEXT).expect("the directory is ours");
    fs::write(beside(&bottle, "-wal"), "not a WAL either").expect("the directory is ours");
    let mut client = Client::start(folder.path());
    let fault = client.fail("storage/open", "[true]", "DataCorruption");
    let moved = fault.data.moved_to.expect("the error says where the file is now");
    assert!(fault.message.contains(&moved), "people are told too: {}", fault.message);
    assert_eq!(fs::read_to_string(&moved).expect("the file was moved"), TEXT);
    assert_eq!(fs::read_to_string(format!("{moved}-wal")).expect("the WAL was moved"), "not a WAL either");
    let opened = client.open("[true]");
    assert_eq!((opened.length, opened.quota), (0, 10 << 20));
    assert!(client.end_logged().contains(&moved), "it is logged");
    assert_new_after_items_are_kept(&folder);
}

/// The bottle that has replaced a damaged one is an ordinary one.
fn assert_new_after_items_are_kept(folder: &Folder) {
    fill(folder, "[true]", 3);
    let mut client = Client::start(folder.path());
    assert_eq!(client.open("[true]").length, 3);
    client.end();
    assert!(folder.damaged().iter().any(|path| path.extension().is_some_and(|extension| extension == "sqlite")));
}

#[test]
fn many_processes_find_one_damaged_file() {
    let folder = Folder::prepared();
    for round in 0..10 {
        let origin = format!("https://damaged{round}.example");
        fs::write(folder.bottle(&origin), TEXT).expect("the directory is ours");
        let params = format!(r#"[true,"{origin}"]"#);
        let mut clients: Vec<Client> = (0..4).map(|_| Client::start(folder.path())).collect();
        for client in &mut clients {
            client.send("storage/open", &params);
        }
        for client in &mut clients {
            let outcome = client.outcome();
            assert!(outcome.as_ref().err().is_none_or(|fault| fault.data.name == "DataCorruption"), "{outcome:?}");
        }
        // Whoever was told may try again, and at some time the file has been moved.
        for client in &mut clients {
            let opened = (0..100).find_map(|_| client.call("storage/open", &params).ok()).expect("the damaged file is out of the way");
            let opened: crate::client::Opened = serde_json::from_str(&opened).expect("open tells of the area");
            assert_eq!(opened.quota, 10 << 20);
            client.get("setItem", &format!(r#"[{},"k","v"]"#, opened.storage));
        }
        assert_eq!(mode(&folder.bottle(&origin)), 0o600);
        let texts = folder.damaged().into_iter().filter(|path| fs::read_to_string(path).is_ok_and(|text| text == TEXT)).count();
        assert_eq!(texts, round + 1, "each damaged file was moved aside once and is complete");
        for client in clients {
            client.end();
        }
    }
}

#[test]
fn a_truncated_file_is_damage() {
    let folder = Folder::new();
    fill(&folder, "[true]", 200);
    let bottle = folder.default_bottle();
    let whole = fs::read(&bottle).expect("the file is ours");
    let half = &whole[..whole.len() / 8192 * 4096];
    fs::write(&bottle, half).expect("the file is ours");
    let mut client = Client::start(folder.path());
    let fault = client.fail("storage/open", "[true]", "DataCorruption");
    let moved = fault.data.moved_to.expect("the file was moved aside");
    assert!(fs::read(moved).expect("the file was moved") == half, "as it was");
    assert_eq!(client.open("[true]").length, 0);
    client.end();
}

/// Opening looks at little of the file; reading meets the damage, and opening again looks at everything.
#[test]
fn damage_in_the_middle_is_found_and_moved_aside() {
    let folder = Folder::new();
    fill(&folder, "[true]", 200);
    let bottle = folder.default_bottle();
    let mut bytes = fs::read(&bottle).expect("the file is ours");
    let (from, to) = (bytes.len() / 8192 * 4096, bytes.len() - 4096);
    bytes[from..to].fill(0xAA);
    fs::write(&bottle, &bytes).expect("the file is ours");
    let mut client = Client::start(folder.path());
    let storage = client.open("[true]").storage;
    let damaged = (0..200).filter(|n| {
        let outcome = client.call("getItem", &format!(r#"[{storage},"key{n}"]"#));
        outcome.is_err_and(|fault| fault.data.name == "DataCorruption" && fault.message.contains("open it again"))
    });
    assert!(damaged.count() > 0, "what is damaged is not passed off as empty");
    client.get("storage/close", &format!("[{storage}]"));
    let fault = client.fail("storage/open", "[true]", "DataCorruption");
    let moved = fault.data.moved_to.expect("the file was moved aside");
    assert!(fs::read(moved).expect("the file was moved") == bytes, "as it was");
    assert_eq!(client.open("[true]").length, 0);
    client.end();
}

/// SQLite takes an empty file for a new database and would delete the WAL, which is all that is left.
#[test]
fn a_wal_whose_database_was_emptied_is_kept() {
    let folder = Folder::new();
    leave_wal(&folder);
    let wal = fs::read(beside(&folder.default_bottle(), "-wal")).expect("the file is ours");
    fs::write(folder.default_bottle(), "").expect("the file is ours");
    let mut client = Client::start(folder.path());
    let fault = client.fail("storage/open", "[true]", "DataCorruption");
    let moved = fault.data.moved_to.expect("the error says where the files are now");
    assert!(fs::read(format!("{moved}-wal")).expect("the WAL was moved") == wal);
    client.end();
    assert_new(&folder);
}

#[test]
fn a_wal_whose_database_is_gone_is_kept() {
    let folder = Folder::new();
    leave_wal(&folder);
    let wal = fs::read(beside(&folder.default_bottle(), "-wal")).expect("the file is ours");
    fs::remove_file(folder.default_bottle()).expect("the file is ours");
    assert_new(&folder);
    let [kept] = &folder.damaged()[..] else { panic!("one file was moved aside: {:?}", folder.damaged()) };
    assert!(fs::read(kept).expect("the WAL was moved") == wal);
}

#[test]
fn a_leftover_wal_belongs_to_its_database() {
    let folder = Folder::new();
    leave_wal(&folder);
    let mut client = Client::start(folder.path());
    let storage = client.open("[true]").storage;
    assert_eq!(client.get("getItem", &format!(r#"[{storage},"newest"]"#)), "\"x\"");
    client.end();
    assert!(!beside(&folder.default_bottle(), "-wal").exists(), "a good end leaves everything in the database");
}

/// That opening fails in this way and changes no file in the directory of bottles.
fn assert_refused(folder: &Folder, name: &str, part: &str) {
    let bottle = folder.default_bottle();
    let contents = |suffix: &str| fs::read(beside(&bottle, suffix)).ok();
    let before = ["", "-wal", "-journal"].map(contents);
    let mut client = Client::start(folder.path());
    for _ in 0..2 {
        let fault = client.fail("storage/open", "[true]", name);
        assert!(fault.message.contains(part), "{}", fault.message);
    }
    client.open(r#"[true,"https://another.example"]"#);
    client.end();
    assert!(["", "-wal", "-journal"].map(contents) == before, "the files are untouched, byte for byte");
    assert_eq!(folder.damaged().len(), 0);
}

#[test]
fn a_newer_schema_is_refused() {
    let folder = Folder::new();
    fill(&folder, "[true]", 3);
    let database = Connection::open(folder.default_bottle()).expect("it is a database");
    database.pragma_update(None, "user_version", 99).expect("it can be written");
    drop(database);
    assert_refused(&folder, "NotSupportedError", "schema 99");
}

#[test]
fn a_newer_schema_in_a_wal_is_refused() {
    let folder = Folder::new();
    fill(&folder, "[true]", 3);
    let database = Connection::open(folder.default_bottle()).expect("it is a database");
    database.pragma_update(None, "user_version", 99).expect("it can be written");
    // A copy made while it is in use is what a killed program leaves.
    let copies = ["", "-wal"].map(|suffix| fs::read(beside(&folder.default_bottle(), suffix)).expect("the file is ours"));
    drop(database);
    for (suffix, copy) in ["", "-wal"].iter().zip(copies) {
        fs::write(beside(&folder.default_bottle(), suffix), copy).expect("the file is ours");
    }
    assert_refused(&folder, "NotSupportedError", "schema 99");
}

#[test]
fn another_programs_database_is_refused() {
    for mode in ["WAL", "DELETE"] {
        let folder = Folder::prepared();
        let database = Connection::open(folder.default_bottle()).expect("the directory is ours");
        database.pragma_update(None, "journal_mode", mode).expect("the mode is known");
        database.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").expect("the SQL is valid");
        drop(database);
        assert_refused(&folder, "NotSupportedError", "another program's database");
    }
}

#[test]
fn another_origins_bottle_is_refused() {
    let folder = Folder::new();
    fill(&folder, r#"[true,"https://owner.example"]"#, 3);
    fs::copy(folder.bottle("https://owner.example"), folder.default_bottle()).expect("the directory is ours");
    assert_refused(&folder, "NotSupportedError", "https://owner.example");
}

#[test]
fn what_is_no_file_is_left_alone() {
    let folder = Folder::prepared();
    let bottle = folder.default_bottle();
    let elsewhere = folder.path().join("elsewhere");
    let unused = |folder: &Folder| {
        let mut client = Client::start(folder.path());
        let fault = client.fail("storage/open", "[true]", "UnknownError");
        assert!(fault.message.contains("is no regular file"), "{}", fault.message);
        client.end();
    };
    fs::create_dir(&bottle).expect("the name is free");
    unused(&folder);
    fs::remove_dir(&bottle).expect("the directory is still there, and empty");
    rustix::fs::mknodat(rustix::fs::CWD, &bottle, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("the name is free");
    unused(&folder);
    fs::remove_file(&bottle).expect("the FIFO is still there");
    symlink(&elsewhere, &bottle).expect("the name is free");
    unused(&folder);
    assert!(!elsewhere.exists(), "nothing was created where the link points");
    fs::write(&elsewhere, "").expect("the directory is ours");
    unused(&folder);
    assert_eq!(fs::metadata(&elsewhere).expect("it is there").len(), 0);
    fs::remove_file(&bottle).expect("the link is still there");
    assert_new(&folder);
}

#[test]
fn a_link_in_the_place_of_a_lock_file_is_not_followed() {
    let folder = Folder::prepared();
    let elsewhere = folder.path().join("elsewhere");
    symlink(&elsewhere, folder.default_bottle().with_extension("lock")).expect("the name is free");
    let mut client = Client::start(folder.path());
    client.fail("storage/open", "[true]", "UnknownError");
    client.end();
    assert!(!elsewhere.exists());
}

#[test]
fn only_the_owner_can_read_anything() {
    let folder = Folder::new();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "umask 0 && exec \"$0\" \"$@\"", crate::peer::PROGRAM]).env_remove("WEBSTORAGE_DIR").env_remove("RUST_LOG");
    let mut client = Client::run(command.arg("--storage-dir").arg(folder.path()));
    let storage = client.open("[true]").storage;
    client.get("setItem", &format!(r#"[{storage},"k","v"]"#));
    let bottle = folder.default_bottle();
    for dir in [folder.path(), &folder.path().join("bottles"), &folder.path().join("damaged")] {
        assert_eq!(mode(dir), 0o700, "{}", dir.display());
    }
    for file in [bottle.clone(), beside(&bottle, "-wal"), beside(&bottle, "-shm"), bottle.with_extension("lock")] {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    client.end();
}

#[test]
fn a_directory_that_others_can_access_is_refused() {
    let folder = Folder::prepared();
    set_mode(&folder.path().join("bottles"), 0o755);
    let mut client = Client::start(folder.path());
    let fault = client.fail("storage/open", "[true]", "NotSupportedError");
    assert!(fault.message.contains("chmod 700"), "{}", fault.message);
    assert!(!folder.default_bottle().exists());
    client.open("[false]");
    set_mode(&folder.path().join("bottles"), 0o700);
    client.open("[true]");
    client.end();
}

#[test]
fn a_storage_directory_that_cannot_be_one_is_refused() {
    let folder = Folder::prepared();
    let file = folder.path().join("file");
    fs::write(&file, TEXT).expect("the directory is ours");
    for dir in [&file, &file.join("below"), Path::new("/proc/nowhere"), Path::new("/dev/null/x")] {
        let mut client = Client::run(program(["--storage-dir".as_ref(), dir.as_os_str()]).arg("--log=off"));
        let fault = client.fail("storage/open", "[true]", "NotSupportedError");
        assert!(fault.message.contains("--storage-dir"), "the way out is named: {}", fault.message);
        client.open("[false]");
        client.end();
    }
    assert_eq!(fs::read_to_string(file).expect("it is there"), TEXT);
}
