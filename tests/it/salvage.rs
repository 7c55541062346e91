//! A damaged file is moved aside, listed, and what is readable in it can be had.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use webstorage_server::transcript::{Framing, Json};

use crate::folder::{Folder, beside};
use crate::peer::{PROGRAM, Peer};

const OPEN: &str = r#"{"jsonrpc":"2.0","id":0,"method":"storage/open","params":[true]}"#;
const PAGE: usize = 4096;

const ITEMS: usize = 900;

fn start(folder: &Folder) -> Peer {
    Peer::start(Framing::Lines, ["--storage-dir".as_ref(), folder.path().as_os_str()])
}

fn value(n: usize) -> String {
    format!("{n:04}").repeat(25)
}

fn set(peer: &mut Peer, n: usize, value: &str) {
    let reply = peer.call(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"setItem","params":[1,"key {n}","{value}"]}}"#));
    assert!(reply.contains("\"result\":null"), "{reply}");
}

/// A storage directory with a bottle whose items are all in its file.
fn written() -> (Folder, PathBuf) {
    let folder = Folder::new();
    let mut peer = start(&folder);
    peer.call(OPEN);
    // In one transaction, so that no background checkpoint is at work when the process ends: a WAL that is left would
    // hide the damage.
    let items: Vec<String> = (0..ITEMS).map(|n| format!(r#"{{"key":"key {n}","value":"{}"}}"#, value(n))).collect();
    let items = items.join(",");
    let reply = peer.call(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"storage/transact","params":{{"storage":1,"set":[{items}]}}}}"#));
    assert!(reply.contains("\"result\":null"), "{reply}");
    peer.close();
    assert_eq!(peer.wait().code(), Some(0));
    let file = folder.default_bottle();
    assert!(!beside(&file, "-wal").exists());
    (folder, file)
}

fn overwrite(file: &Path, from: usize, bytes: &[u8]) {
    let file = fs::OpenOptions::new().write(true).open(file).expect("the file is ours");
    file.write_all_at(bytes, from as u64).expect("the file can be written");
}

fn size(file: &Path) -> usize {
    fs::read(file).expect("the file is there").len()
}

/// Bytes that look like nothing, the same each time.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// What a process salvages of the one damaged file. Its temporary files go to the storage directory, and none
/// may be left.
fn salvage(folder: &Folder) -> Json {
    let temporary = folder.path().join("temporary");
    fs::create_dir(&temporary).expect("the directory is ours");
    let mut command = Command::new(PROGRAM);
    command.arg("--storage-dir").arg(folder.path()).env_remove("RUST_LOG").env("TMPDIR", &temporary);
    let mut peer = Peer::spawn(Framing::Lines, &mut command);
    let checked = peer.call(r#"{"jsonrpc":"2.0","id":1,"method":"storage/check","params":["http://localhost"]}"#);
    let checked = Json::parse(checked.as_bytes()).expect("replies are JSON");
    let Some(Json::Array(files)) = checked.member("result").and_then(|result| result.member("damaged")) else {
        panic!("damaged files are listed: {checked}")
    };
    let name = files.first().and_then(|file| file.member("file")).expect("the file is listed").to_string();
    let salvaged = peer.call(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"storage/salvage","params":[{name}]}}"#));
    assert_eq!(fs::read_dir(&temporary).expect("the directory can be read").count(), 0, "temporary files are left");
    Json::parse(salvaged.as_bytes()).expect("replies are JSON")
}

/// The keys and values of a result that says that not all may be there.
fn items(salvaged: &Json) -> Vec<(String, String)> {
    let result = salvaged.member("result").unwrap_or_else(|| panic!("something is readable: {salvaged}"));
    assert_eq!(result.member("complete"), Some(&Json::Boolean(false)));
    let Some(Json::Array(items)) = result.member("items") else { panic!("items are an array") };
    let text = |item: &Json, name| item.member(name).expect("an item has both").to_string().trim_matches('"').to_owned();
    items.iter().map(|item| (text(item, "key"), text(item, "value"))).collect()
}

fn number(key: &str) -> usize {
    key.strip_prefix("key ").and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{key:?} was never set"))
}

/// Opens the bottle, which must be found damaged and be moved aside.
fn find_damage(folder: &Folder) -> PathBuf {
    let mut peer = start(folder);
    let opened = peer.call(OPEN);
    assert!(opened.contains("\"DataCorruption\"") && opened.contains("movedTo"), "{opened}");
    folder.damaged().into_iter().find(|path| path.extension().is_some_and(|extension| extension == "sqlite")).expect("it was moved aside")
}

#[test]
fn a_string_that_the_disk_has_changed_is_damage() {
    const CHANGED: usize = 450;
    let (folder, file) = written();
    let bytes = fs::read(&file).expect("the file is there");
    let text = value(CHANGED).into_bytes();
    let place = bytes.windows(text.len()).position(|window| window == text).expect("the value is in the file as it is");
    // No UTF-8 has this byte, and SQLite does not look at it.
    overwrite(&file, place + 5, &[0xFF]);

    let mut peer = start(&folder);
    let mut call = |method: &str, params: &str| {
        let reply = peer.call(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#));
        assert!(Json::parse(reply.as_bytes()).is_ok(), "{reply}");
        reply
    };
    let checked = call("storage/check", r#"["http://localhost"]"#);
    assert!(checked.contains("of 900 items 1 have a key or a value that is no string any more"), "{checked}");
    call("storage/open", "[true]");
    for (method, params) in [
        ("getItem", format!(r#"[1,"key {CHANGED}"]"#)),
        ("storage/entries", "[1]".to_owned()),
        ("storage/largest", "[1]".to_owned()),
        ("storage/open", r#"{"persistent":false,"copyOf":1}"#.to_owned()),
    ] {
        let reply = call(method, &params);
        assert!(reply.contains("\"DataCorruption\"") && reply.contains("no string any more"), "{method} {reply}");
    }
    assert!(call("getItem", r#"[1,"key 1"]"#).contains(&value(1)));
    let exported = call("storage/export", "{}");
    assert!(exported.contains(&format!(r#""items":{}"#, ITEMS - 1)) && exported.contains(&value(1)), "{}", &exported[..300]);
    let missing = format!(r#""items":1,"keys":["key {CHANGED}"]"#);
    assert!(exported.contains("no string any more") && exported.contains(&missing), "{}", &exported[exported.len() - 600..]);
    call("storage/close", "[1]");
    let opened = call("storage/open", "[true]");
    assert!(opened.contains("\"DataCorruption\"") && opened.contains("movedTo"), "{opened}");
    assert!(call("storage/open", "[true]").contains("\"length\":0"));
    let found = items(&salvage(&folder));
    assert_eq!(found.len(), ITEMS);
    let wrong: Vec<_> = found.iter().filter(|(key, text)| *text != value(number(key))).collect();
    assert!(matches!(&wrong[..], [(key, text)] if number(key) == CHANGED && text.contains('\u{FFFD}')), "{wrong:?}");
}

#[test]
fn what_is_readable_of_a_damaged_file_is_salvaged() {
    let (folder, file) = written();
    let middle = size(&file) / PAGE / 2;
    // The structure is damaged in the middle, and the first page, so that opening notices it, is sound.
    overwrite(&file, middle * PAGE, &[0xA5; 2 * PAGE]);

    let mut peer = start(&folder);
    let checked = peer.call(r#"{"jsonrpc":"2.0","id":1,"method":"storage/check","params":["http://localhost"]}"#);
    assert!(checked.contains("\"exists\":true") && !checked.contains("\"problems\":[]"), "{checked}");
    let read = peer.call(OPEN);
    if !read.contains("\"error\"") {
        // Opening looks at the first pages only; reading meets the damage.
        let entries = peer.call(r#"{"jsonrpc":"2.0","id":1,"method":"storage/entries","params":[1]}"#);
        assert!(entries.contains("\"DataCorruption\""), "{}", &entries[..entries.len().min(300)]);
    }
    peer.close();
    peer.wait();

    // Moved aside by hand, as opening does with what it finds damaged.
    let name = format!("{}-1-0.sqlite", file.file_stem().and_then(|stem| stem.to_str()).expect("the name is ASCII"));
    if file.exists() {
        fs::rename(&file, folder.path().join("damaged").join(&name)).expect("both folders are ours");
    }
    let items = items(&salvage(&folder));
    assert!((600..ITEMS).contains(&items.len()), "most of {ITEMS} items are on sound pages, found {}", items.len());
    assert!(items.iter().all(|(key, held)| *held == value(number(key))), "each is as it was");
}

#[test]
fn items_are_salvaged_without_the_first_page() {
    let page = PAGE;
    for (what, from, bytes) in [("zeros", 0, vec![0; page]), ("noise", 0, noise(page)), ("noise after the header", 100, noise(page - 100))]
    {
        let (folder, file) = written();
        overwrite(&file, from, &bytes);
        let aside = find_damage(&folder);
        let before = fs::read(&aside).expect("the file is there");
        let items = items(&salvage(&folder));
        let keys: Vec<usize> = items.iter().map(|(key, _)| number(key)).collect();
        assert!(keys.iter().copied().eq(0..ITEMS), "{what}: all items, in key order: {keys:?}");
        assert!(items.iter().all(|(key, held)| *held == value(number(key))), "{what}: each is as it was");
        assert!(fs::read(&aside).expect("the file is there") == before, "{what}: the damaged file is as it was");
    }
}

#[test]
fn items_are_salvaged_without_the_first_page_and_some_others() {
    let (folder, file) = written();
    let middle = size(&file) / PAGE / 2;
    overwrite(&file, 0, &[0; PAGE]);
    overwrite(&file, middle * PAGE, &noise(2 * PAGE));
    find_damage(&folder);
    let items = items(&salvage(&folder));
    assert!((600..ITEMS).contains(&items.len()), "most of {ITEMS} items are on sound pages, found {}", items.len());
    assert!(items.iter().all(|(key, held)| *held == value(number(key))), "each is as it was");
}

#[test]
fn what_the_wal_has_is_salvaged_without_the_first_page() {
    let (folder, file) = written();
    let mut peer = start(&folder);
    peer.call(OPEN);
    // A value of the same length changes neither the size of the file nor, with that, its first page.
    set(&mut peer, 7, &"n".repeat(100));
    peer.kill();
    peer.wait();
    assert!(fs::metadata(beside(&file, "-wal")).is_ok_and(|wal| wal.len() > 0), "the change is in the WAL");
    overwrite(&file, 0, &[0; PAGE]);
    find_damage(&folder);
    let items = items(&salvage(&folder));
    assert_eq!(items.len(), ITEMS);
    assert_eq!(items[7], ("key 7".to_owned(), "n".repeat(100)));
}

#[test]
fn noise_is_no_database() {
    let (folder, file) = written();
    overwrite(&file, 0, &noise(size(&file)));
    find_damage(&folder);
    let reply = salvage(&folder).to_string();
    assert!(reply.contains("\"DataCorruption\"") && reply.contains("Nothing can be read"), "{reply}");
}
