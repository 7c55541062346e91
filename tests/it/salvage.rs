//! A damaged file is moved aside, listed, and what is readable in it can be had.

use std::fs;
use std::os::unix::fs::FileExt;

use webstorage_server::transcript::{Framing, Json};

use crate::peer::Peer;

#[test]
fn what_is_readable_of_a_damaged_file_is_salvaged() {
    let directory = tempfile::tempdir().expect("the temporary directory is writable");
    let arguments = ["--storage-dir", directory.path().to_str().expect("its name is UTF-8")];
    let open = r#"{"jsonrpc":"2.0","id":0,"method":"storage/open","params":[true]}"#;
    let mut peer = Peer::start(Framing::Lines, arguments);
    peer.call(open);
    // Few enough that no background checkpoint is still at work when the process ends: a WAL that is left would
    // hide the damage.
    for n in 0..900 {
        peer.send(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"setItem","params":[1,"key {n}","{}"]}}"#, "v".repeat(100)));
        peer.receive().expect("the call is answered");
    }
    peer.close();
    assert_eq!(peer.wait().code(), Some(0));

    let bottles = fs::read_dir(directory.path().join("bottles")).expect("the bottles are there");
    let file = bottles
        .map(|entry| entry.expect("the folder can be read").path())
        .find(|path| path.extension().is_some_and(|extension| extension == "sqlite"))
        .expect("the bottle is there");
    let size = fs::metadata(&file).expect("the file is there").len();
    let writer = fs::OpenOptions::new().write(true).open(&file).expect("the file is ours");
    // The structure is damaged in the middle, and the first page, so that opening notices it, is sound.
    for page in [size / 4096 / 2, size / 4096 / 2 + 1] {
        writer.write_all_at(&[0xA5; 4096], page * 4096).expect("the file can be written");
    }
    drop(writer);

    let mut peer = Peer::start(Framing::Lines, arguments);
    let checked = peer.call(r#"{"jsonrpc":"2.0","id":1,"method":"storage/check","params":["http://localhost"]}"#);
    assert!(checked.contains("\"exists\":true") && !checked.contains("\"problems\":[]"), "{checked}");
    let read = peer.call(open);
    if !read.contains("\"error\"") {
        // Opening looks at the first pages only; reading meets the damage.
        let entries = peer.call(r#"{"jsonrpc":"2.0","id":1,"method":"storage/entries","params":[1]}"#);
        assert!(entries.contains("\"DataCorruption\""), "{}", &entries[..entries.len().min(300)]);
    }
    peer.close();
    peer.wait();

    // Moved aside by hand, as opening does with what it finds damaged.
    let damaged = directory.path().join("damaged");
    let name = format!("{}-1-0.sqlite", file.file_stem().and_then(|stem| stem.to_str()).expect("the name is ASCII"));
    if file.exists() {
        fs::rename(&file, damaged.join(&name)).expect("both folders are ours");
    }
    let mut peer = Peer::start(Framing::Lines, arguments);
    let checked = peer.call(r#"{"jsonrpc":"2.0","id":1,"method":"storage/check","params":["http://localhost"]}"#);
    let checked = Json::parse(checked.as_bytes()).expect("replies are JSON");
    let Some(Json::Array(files)) = checked.member("result").and_then(|result| result.member("damaged")) else {
        panic!("damaged files are listed: {checked}")
    };
    let name = files.first().and_then(|file| file.member("file")).expect("the file is listed").to_string();
    let salvaged = peer.call(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"storage/salvage","params":[{name}]}}"#));
    let salvaged = Json::parse(salvaged.as_bytes()).expect("replies are JSON");
    let result = salvaged.member("result").unwrap_or_else(|| panic!("something is readable: {salvaged}"));
    assert_eq!(result.member("complete"), Some(&Json::Boolean(false)));
    let Some(Json::Array(items)) = result.member("items") else { panic!("items are an array") };
    assert!((600..900).contains(&items.len()), "most of 900 items are on sound pages, found {}", items.len());
    assert!(items.iter().all(|item| item.member("value") == items[0].member("value")), "each is as it was");
}
