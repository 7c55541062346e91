//! The files of a storage directory are opened by SQLite and by nothing else, whatever path somebody names.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use webstorage_server::transcript::Framing;

use crate::folder::{Folder, beside, set_mode};
use crate::peer::{PROGRAM, Peer};

/// A server that has the persistent area of the default origin open as handle 1, with one item.
fn start(folder: &Folder) -> Peer {
    let mut peer = Peer::start(Framing::Lines, ["--storage-dir".as_ref(), folder.path().as_os_str()]);
    let opened = peer.call(r#"{"jsonrpc":"2.0","id":1,"method":"storage/open","params":[true]}"#);
    assert!(opened.contains("\"storage\":1"), "{opened}");
    assert!(peer.call(r#"{"jsonrpc":"2.0","id":2,"method":"setItem","params":[1,"first","1"]}"#).contains("null"));
    peer
}

/// Every kind of file that a storage directory has, and other ways to name the bottle's.
fn own_paths(folder: &Folder, beside_it: &Path) -> Vec<PathBuf> {
    let bottle = folder.default_bottle();
    let mut paths: Vec<PathBuf> = ["", "-wal", "-shm"].iter().map(|suffix| beside(&bottle, suffix)).collect();
    paths.push(bottle.with_extension("lock"));
    for (name, file) in [("damaged/x.sqlite", ""), ("listeners/1", "")] {
        let path = folder.path().join(name);
        fs::write(&path, file).expect("the directory is ours");
        paths.push(path);
    }
    for (index, target) in paths.clone().into_iter().enumerate() {
        let (hard, soft) = (beside_it.join(format!("hard{index}")), beside_it.join(format!("soft{index}")));
        fs::hard_link(&target, &hard).expect("both are on one file system");
        symlink(&target, &soft).expect("the name is free");
        paths.extend([hard, soft]);
    }
    let link = beside_it.join("storage by another name");
    symlink(folder.path().join("bottles"), &link).expect("the name is free");
    paths.push(link.join(bottle.file_name().expect("it has a name")));
    paths
}

fn call_with_path(peer: &mut Peer, method: &str, path: &Path, more: &str) -> String {
    let path = serde_json::Value::from(path.to_str().expect("the name is UTF-8"));
    peer.call(&format!(r#"{{"jsonrpc":"2.0","id":3,"method":"storage/{method}","params":{{"path":{path}{more}}}}}"#))
}

fn requires_refusal(reply: &str, path: &Path) {
    let named = reply.contains("\"code\":-32602") && reply.contains("\"param\":\"path\"") && reply.contains("storage directory");
    assert!(named, "{}: {reply}", path.display());
}

#[test]
fn naming_a_file_of_ours_takes_no_lock_away() {
    let folder = Folder::new();
    let elsewhere = tempfile::tempdir_in(folder.path().parent().expect("it has one")).expect("the folder is writable");
    let mut peer = start(&folder);
    for path in own_paths(&folder, elsewhere.path()) {
        for (method, more) in
            [("import", ""), ("import", r#","dryRun":true"#), ("export", ""), ("export", r#","format":"flat","storages":[1]"#)]
        {
            requires_refusal(&call_with_path(&mut peer, method, &path, more), &path);
        }
    }
    // A database elsewhere, with which SQLite would open a file of ours as well.
    let database = elsewhere.path().join("other");
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/other_programs/deno-2.9.6.sqlite"), &database).expect("the folder is writable");
    fs::hard_link(beside(&folder.default_bottle(), "-shm"), beside(&database, "-shm")).expect("both are on one file system");
    requires_refusal(&call_with_path(&mut peer, "import", &database, ""), &database);

    // A lock file with a second name would be refused itself.
    for entry in fs::read_dir(elsewhere.path()).expect("the folder is there") {
        fs::remove_file(entry.expect("the folder can be read").path()).expect("these are files of the test");
    }

    // The end of the only other user removes the WAL, unless the locks say that it is in use.
    let other = Command::new(PROGRAM).args(["set", "other", "1", "--storage-dir"]).arg(folder.path()).status();
    assert!(other.expect("the program starts").success());
    for n in 0..50 {
        let reply = peer.call(&format!(r#"{{"jsonrpc":"2.0","id":4,"method":"setItem","params":[1,"k{n}","{n}"]}}"#));
        assert!(reply.contains("\"result\":null"), "{reply}");
    }
    peer.kill();
    peer.wait();
    let mut after = start(&folder);
    let length = after.call(r#"{"jsonrpc":"2.0","id":5,"method":"length","params":[1]}"#);
    assert!(length.contains("\"result\":52"), "{length}");
}

#[test]
fn an_export_takes_no_place_in_a_storage_directory() {
    let folder = Folder::new();
    let elsewhere = tempfile::tempdir().expect("the temporary directory is writable");
    let other = Folder::prepared();
    fs::create_dir(other.path().join("listeners")).expect("the name is free");
    let mut peer = Peer::start(Framing::Lines, ["--storage-dir".as_ref(), folder.path().as_os_str()]);
    fs::create_dir(folder.path()).expect("no server has made it yet");
    set_mode(folder.path(), 0o700);
    let new = folder.path().join("bottles");
    requires_refusal(&call_with_path(&mut peer, "export", &new, ""), &new);
    drop(peer);

    let mut peer = start(&folder);
    let (dangling, bottle) = (elsewhere.path().join("dangling"), folder.bottle("https://new.test"));
    symlink(&bottle, &dangling).expect("the name is free");
    let paths = [
        bottle.clone(),
        beside(&bottle, "-wal"),
        bottle.with_extension("lock"),
        folder.path().join("damaged/state.json"),
        folder.path().join("bottles/../listeners/2"),
        dangling,
        other.bottle("https://new.test"),
    ];
    for path in &paths {
        requires_refusal(&call_with_path(&mut peer, "export", path, ""), path);
        assert!(!path.exists(), "{}", path.display());
    }
    let state = folder.path().join("state.json");
    assert!(call_with_path(&mut peer, "export", &state, "").contains("\"items\":1"), "what is ours are the directories in it");
    assert!(call_with_path(&mut peer, "import", &state, "").contains("\"unchanged\":1"));
}

#[test]
fn the_command_line_names_what_it_refuses() {
    let folder = Folder::new();
    let bottle = folder.default_bottle();
    let path = bottle.to_str().expect("the name is UTF-8");
    let storage = folder.path().to_str().expect("the name is UTF-8");
    let run = |arguments: &[&str]| Command::new(PROGRAM).args(arguments).args(["--storage-dir", storage]).output().expect("it starts");
    assert!(run(&["set", "a", "1"]).status.success());
    for arguments in [["import", path, "--mode", "merge"], ["export", "--output", path, "http://localhost"]] {
        let output = run(&arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(3) && told.contains(path) && told.contains("storage directory"), "{told}");
    }
    assert_eq!(run(&["get", "a"]).stdout.trim_ascii_end(), b"1");
}

#[test]
fn an_export_replaces_no_database() {
    let folder = Folder::new();
    let elsewhere = tempfile::tempdir().expect("the temporary directory is writable");
    let database = elsewhere.path().join("of another program");
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/other_programs/node-22.4.0.sqlite"), &database).expect("the folder is writable");
    let before = fs::read(&database).expect("it is there");
    let mut peer = start(&folder);
    for more in ["", r#","format":"flat""#, r#","format":"pairs""#] {
        let reply = call_with_path(&mut peer, "export", &database, more);
        assert!(reply.contains("-32602") && reply.contains("is a database"), "{reply}");
        assert!(fs::read(&database).expect("it is there") == before, "it is as it was");
    }
}

#[test]
fn no_flag_opens_a_file_of_ours() {
    let folder = Folder::new();
    let elsewhere = tempfile::tempdir_in(folder.path().parent().expect("it has one")).expect("the folder is writable");
    let _peer = start(&folder);
    let read = |path: &PathBuf| fs::read(path).expect("it is there");
    let mut paths = own_paths(&folder, elsewhere.path());
    let before: Vec<Vec<u8>> = paths.iter().map(read).collect();
    let new = folder.path().join("bottles/trace");
    for flag in ["--trace", "--record", "--log-file", "--listen"] {
        for path in paths.iter().chain([&new]) {
            let output = Command::new(PROGRAM).arg("--storage-dir").arg(folder.path()).arg(flag).arg(path).output().expect("it starts");
            let told = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{flag} {}: {told}", path.display());
            assert!(told.contains(flag) && told.contains("storage directory"), "{told}");
        }
    }
    assert!(!new.exists());
    assert!(paths.drain(..).map(|path| read(&path)).eq(before), "all are as they were");
}
