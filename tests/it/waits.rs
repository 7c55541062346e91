//! Waits that keep to their time and can be cancelled, locks that last as long as what they protect, and a storage
//! directory in which others have a hand.

use std::fs::{self, File, Permissions, TryLockError};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use webstorage_server::transcript::Framing;

use crate::client::{Client, call, program};
use crate::peer::Peer;

/// The one file of an ending in the directory of the bottles.
fn file(dir: &Path, extension: &str) -> PathBuf {
    let files = fs::read_dir(dir.join("bottles")).expect("the server has created its files");
    let mut files = files.map(|file| file.expect("the folder can be read").path());
    files.find(|path| path.extension().is_some_and(|found| found == extension)).expect("the file is there")
}

/// Takes the write lock of a bottle, as another process does that writes.
fn write_lock(path: &Path) -> rusqlite::Connection {
    let other = rusqlite::Connection::open(path).expect("the file is a database");
    other.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes");
    other
}

fn lock_file(path: &Path) -> File {
    File::options().read(true).write(true).create(true).truncate(false).open(path).expect("the file can be opened")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn open_origin(name: &str) -> String {
    format!(r#"[true,"https://{name}.example"]"#)
}

#[test]
fn opening_behind_a_lock_on_the_directory_keeps_to_its_time_and_can_be_cancelled() {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    Client::start(dir.path()).open("[true]");
    let turn = File::open(dir.path().join("bottles")).expect("the directory is there");
    turn.lock().expect("the server has ended");
    let mut client = Client::with(dir.path(), &["--busy-timeout", "50"]);
    client.fail("storage/open", "[true]", "TimeoutError");
    client.fail("storage/open", &open_origin("other"), "TimeoutError");
    let dir_name = dir.path().to_str().expect("temporary paths are UTF-8");
    let mut patient = Peer::start(Framing::Lines, ["--storage-dir", dir_name, "--busy-timeout", "600000"]);
    patient.send(&call(1, "storage/open", "[true]"));
    patient.send(r#"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1}}"#);
    let reply = patient.receive().expect("the call is answered");
    assert!(reply.contains(r#""code":-32800"#), "{reply}");
    drop(turn);
    client.open("[true]");
    client.end();
}

#[test]
fn an_origin_opens_while_another_waits() {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let storage = dir.path().join("storage");
    let mut first = Client::start(&storage);
    first.open(&open_origin("waits"));
    let lock = lock_file(&file(&storage, "lock"));
    first.end();
    lock.lock().expect("the server has ended");
    let socket = dir.path().join("private").join("socket");
    fs::create_dir(dir.path().join("private")).expect("the temporary directory is writable");
    fs::set_permissions(dir.path().join("private"), Permissions::from_mode(0o700)).expect("the directory is ours");
    let listen = socket.to_str().expect("temporary paths are UTF-8");
    let mut command = program(["--storage-dir".as_ref(), storage.as_os_str()]);
    let _server = Client::run(command.args(["--listen", listen, "--busy-timeout", "600000"]));
    let (mut waiting, mut other) = (Client::connect(&socket), Client::connect(&socket));
    waiting.send("storage/open", &open_origin("waits"));
    for n in 0..50 {
        assert_eq!(other.open(&open_origin(&format!("other{n}"))).length, 0);
    }
    drop(lock);
    assert!(waiting.outcome().is_ok());
}

#[test]
fn a_signal_ends_a_server_with_many_locked_bottles() {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let mut client = Client::with(dir.path(), &["--busy-timeout", "20000"]);
    for n in 0..4 {
        let handle = client.open(&open_origin(&format!("locked{n}"))).storage;
        client.get("storage/subscribe", &format!("[{handle}]"));
    }
    let files = fs::read_dir(dir.path().join("bottles")).expect("the server has created its files");
    let paths = files.map(|file| file.expect("the folder can be read").path());
    let _locks: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "sqlite")).map(|path| write_lock(&path)).collect();
    client.terminate();
    assert_eq!(client.wait().code(), Some(0));
}

#[test]
fn a_locked_bottle_does_not_hold_up_the_events_of_another() {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let dir_name = dir.path().to_str().expect("temporary paths are UTF-8");
    let mut listener = Peer::start(Framing::Lines, ["--storage-dir", dir_name, "--busy-timeout", "600000"]);
    assert!(listener.call(&call(1, "storage/open", &open_origin("locked"))).contains(r#""storage":1"#));
    let locked = file(dir.path(), "sqlite");
    assert!(listener.call(&call(2, "storage/open", &open_origin("free"))).contains(r#""storage":2"#));
    for (id, storage) in [(3, 1), (4, 2)] {
        assert!(listener.call(&call(id, "storage/subscribe", &format!("[{storage}]"))).contains("sequence"));
    }
    let mut writer = Client::start(dir.path());
    let free = writer.open(&open_origin("free")).storage;
    let held = write_lock(&locked);
    listener.send(&call(5, "storage/setItem", r#"[1,"k","v"]"#));
    // Longer than any interval at which every bottle is looked at.
    let begun = std::time::Instant::now();
    let mut n = 0;
    while begun.elapsed() < std::time::Duration::from_millis(2500) {
        writer.get("setItem", &format!(r#"[{free},"k","{n}"]"#));
        let event = listener.receive().expect("the server runs");
        assert!(event.contains("storage/event") && event.contains(&format!(r#""newValue":"{n}""#)), "{event}");
        n += 1;
    }
    drop(held);
    let reply = listener.receive().expect("the server runs");
    assert!(reply.contains(r#""id":5,"result":null"#), "{reply}");
    writer.end();
}

/// Puts a file that is no sound database in the place of a bottle that is in use.
fn damage(dir: &Path) {
    let path = file(dir, "sqlite");
    let other = dir.join("other");
    let mut bytes = fs::read(&path).expect("the file can be read");
    bytes.iter_mut().skip(100).for_each(|byte| *byte = 0xEE);
    fs::write(&other, bytes).expect("the directory is writable");
    fs::rename(other, path).expect("the directory is writable");
}

#[test]
fn a_quarantine_gives_the_exclusive_lock_back() {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let mut client = Client::start(dir.path());
    let handle = client.open("[true]").storage;
    client.get("setItem", &format!(r#"[{handle},"k","v"]"#));
    damage(dir.path());
    let fault = client.fail("getItem", &format!(r#"[{handle},"k"]"#), "DataCorruption");
    assert!(fault.data.moved_to.is_some(), "{}", fault.message);
    let lock = lock_file(&file(dir.path(), "lock"));
    lock.try_lock_shared().expect("a bottle that is moved away is nobody's alone");
    assert!(matches!(lock.try_lock(), Err(TryLockError::WouldBlock)), "the handle still has the place");
    client.end();
}

#[test]
fn a_quarantine_that_fails_keeps_the_bottle_locked() {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let mut client = Client::start(dir.path());
    let handle = client.open("[true]").storage;
    let lock = lock_file(&file(dir.path(), "lock"));
    lock.lock_shared().expect("others may use it too");
    damage(dir.path());
    let fault = client.fail("getItem", &format!(r#"[{handle},"k"]"#), "DataCorruption");
    assert_eq!(fault.data.moved_to, None, "somebody else has it open");
    lock.unlock().expect("it is locked");
    assert!(matches!(lock.try_lock(), Err(TryLockError::WouldBlock)), "the handle still has the place");
    client.end();
}

#[test]
fn a_removal_that_stops_in_the_middle_brings_no_older_state_back() {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let mut client = Client::start(dir.path());
    let handle = client.open("[true]").storage;
    client.get("setItem", &format!(r#"[{handle},"k","old"]"#));
    client.end();
    let mut client = Client::start(dir.path());
    let handle = client.open("[true]").storage;
    client.get("setItem", &format!(r#"[{handle},"k","new"]"#));
    client.kill();
    client.wait();
    // A file of the bottle that cannot be removed.
    let shm = with_suffix(&file(dir.path(), "sqlite"), "-shm");
    fs::remove_file(&shm).expect("the server had it open");
    fs::create_dir(&shm).expect("the directory is writable");
    let mut client = Client::start(dir.path());
    let removed = client.call("storage/delete", r#"{"origin":"http://localhost"}"#);
    assert!(removed.is_err());
    fs::remove_dir(&shm).expect("it is empty");
    let handle = client.open("[true]").storage;
    let value = client.get("getItem", &format!(r#"[{handle},"k"]"#));
    assert!(value == "null" || value == r#""new""#, "{value} had been overwritten");
    client.end();
}

#[test]
fn a_removal_that_was_cut_short_is_finished_by_the_next() {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let mut client = Client::start(dir.path());
    let handle = client.open("[true]").storage;
    client.get("setItem", &format!(r#"[{handle},"k","v"]"#));
    client.kill();
    client.wait();
    let path = file(dir.path(), "sqlite");
    fs::remove_file(&path).expect("the server had it open");
    let mut client = Client::start(dir.path());
    assert_eq!(client.get("storage/delete", r#"{"origin":"http://localhost"}"#), "false");
    assert!(!with_suffix(&path, "-wal").exists(), "what is left of a bottle goes too");
    assert_eq!(client.open("[true]").length, 0);
    client.end();
}

#[test]
fn a_storage_directory_in_which_others_can_write_is_refused() {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let open = dir.path().join("open");
    fs::create_dir(&open).expect("the temporary directory is writable");
    for mode in [0o777, 0o1777, 0o770] {
        fs::set_permissions(&open, Permissions::from_mode(mode)).expect("the directory is ours");
        let mut client = Client::start(&open);
        let fault = client.fail("storage/open", "[true]", "NotSupportedError");
        assert!(fault.message.contains("chmod go-w"), "{}", fault.message);
        client.end();
    }
    assert_eq!(fs::read_dir(&open).expect("the directory is ours").count(), 0, "nothing was put into it");
    fs::set_permissions(&open, Permissions::from_mode(0o755)).expect("the directory is ours");
    Client::start(&open).open("[true]");
    if std::os::unix::fs::chown(&open, Some(12_345), None).is_ok() {
        let mut client = Client::start(&open);
        client.fail("storage/open", "[true]", "NotSupportedError");
        client.end();
    }
    let new = dir.path().join("new").join("deeper");
    Client::start(&new).open("[true]");
    for made in [new.as_path(), &dir.path().join("new")] {
        assert_eq!(fs::metadata(made).expect("it was made").mode() & 0o777, 0o700);
    }
}

#[test]
fn another_directory_in_the_place_of_the_storage_directory_is_noticed() {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let (storage, moved) = (dir.path().join("storage"), dir.path().join("moved"));
    let mut client = Client::start(&storage);
    let handle = client.open("[true]").storage;
    client.get("setItem", &format!(r#"[{handle},"k","v"]"#));
    fs::rename(&storage, &moved).expect("the directory is ours");
    fs::create_dir_all(storage.join("bottles")).expect("the directory is ours");
    for (method, params) in [
        ("getItem", format!(r#"[{handle},"k"]"#)),
        ("setItem", format!(r#"[{handle},"k","lost"]"#)),
        ("storage/open", open_origin("new")),
        ("storage/delete", r#"{"origin":"http://localhost"}"#.to_owned()),
        ("storage/check", r#"{"origin":"http://localhost"}"#.to_owned()),
        ("storage/origins", "{}".to_owned()),
    ] {
        let fault = client.call(method, &params).expect_err("what is there now is not what was examined");
        assert!(fault.message.contains("is another one"), "{}", fault.message);
    }
    assert_eq!(fs::read_dir(storage.join("bottles")).expect("it is there").count(), 0, "nothing was put into it");
    fs::remove_dir_all(&storage).expect("the directory is ours");
    fs::rename(&moved, &storage).expect("the directory is ours");
    assert_eq!(client.get("getItem", &format!(r#"[{handle},"k"]"#)), r#""v""#);
    client.end();
}

#[test]
fn a_lock_file_that_is_something_else_is_left_alone() {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let storage = dir.path().join("storage");
    let mut client = Client::start(&storage);
    client.open("[true]");
    client.end();
    let lock = file(&storage, "lock");
    let precious = dir.path().join("precious");
    fs::write(&precious, "precious").expect("the temporary directory is writable");
    let put: [&dyn Fn(); 3] = [
        &|| fs::hard_link(&precious, &lock).expect("one file system"),
        &|| std::os::unix::fs::symlink(&precious, &lock).expect("the directory is writable"),
        &|| assert!(Command::new("mkfifo").arg(&lock).status().expect("the program is there").success()),
    ];
    for put in put {
        fs::remove_file(&lock).expect("it is there");
        put();
        let mut client = Client::start(&storage);
        let fault = client.call("storage/open", "[true]").expect_err("the lock file is not ours");
        assert!(fault.message.contains("could not be locked"), "{}", fault.message);
        client.call("storage/delete", r#"{"origin":"http://localhost"}"#).expect_err("the lock file is not ours");
        client.end();
        assert_eq!(fs::read_to_string(&precious).expect("it is there"), "precious");
    }
    fs::remove_file(&lock).expect("it is there");
    let mut client = Client::start(&storage);
    client.open("[true]");
    client.end();
}

#[test]
fn a_pipe_among_the_listeners_holds_nobody_up() {
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let mut client = Client::start(dir.path());
    let handle = client.open("[true]").storage;
    let pipe = dir.path().join("listeners").join("1-pipe");
    for mut command in [Command::new("mkfifo"), Command::new("touch")] {
        let old: &[&str] = if command.get_program() == "touch" { &["-d", "2001-01-01"] } else { &[] };
        assert!(command.args(old).arg(&pipe).status().expect("the program is there").success());
    }
    client.get("storage/subscribe", &format!("[{handle}]"));
    client.end();
    assert!(pipe.exists(), "what is not ours is left alone");
}
