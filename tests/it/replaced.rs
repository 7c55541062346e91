//! A bottle's file that is removed or replaced while servers use it: what is acknowledged after that is in
//! the file that is there, and neither file is corrupted.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use crate::client::Client;
use crate::folder::{Folder, beside};

/// Sets `count` items whose keys begin with `prefix`, in one burst.
fn set(client: &mut Client, storage: u64, prefix: &str, count: usize) {
    client.send_all((0..count).map(|n| ("setItem", format!(r#"[{storage},"{prefix}{n}","{}"]"#, "v".repeat(200)))));
    (0..count).for_each(|_| drop(client.outcome().expect("the items fit")));
}

/// The keys that a server started now finds, and a check that the file is sound.
fn found(folder: &Folder) -> Vec<String> {
    let mut client = Client::start(folder.path());
    let opened = client.open("[true]");
    let keys = client.keys(opened.storage);
    assert_eq!(opened.length, keys.len() as u64);
    client.end();
    sound(&folder.default_bottle());
    keys
}

fn sound(path: &Path) {
    let database = Connection::open(path).expect("the file is there");
    let finding: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("it can be examined");
    assert_eq!(finding, "ok", "{}", path.display());
}

/// A sound bottle of the default origin with one item, `backup`, beside the one that is in use.
fn backup() -> (Folder, std::path::PathBuf) {
    let folder = Folder::new();
    let mut client = Client::start(folder.path());
    let storage = client.open("[true]").storage;
    client.get("setItem", &format!(r#"[{storage},"backup","x"]"#));
    client.end();
    let path = folder.default_bottle();
    (folder, path)
}

/// What is done to the files, and how the keys begin that a new server must then find first.
fn replace(how: &str, folder: &Folder) -> Vec<String> {
    let bottle = folder.default_bottle();
    let aside = folder.path().join("aside");
    match how {
        "removed" => fs::remove_file(&bottle).expect("it is there"),
        "removed with its WAL" => {
            for suffix in ["", "-wal", "-shm"] {
                fs::remove_file(beside(&bottle, suffix)).expect("it is there");
            }
        }
        "renamed" => fs::rename(&bottle, aside).expect("it is there"),
        "replaced" => {
            let (_folder, source) = backup();
            fs::copy(source, &aside).expect("the directory is ours");
            fs::rename(aside, &bottle).expect("the directory is ours");
            return vec!["backup".to_owned()];
        }
        _ => unreachable!("the tests know these ways"),
    }
    Vec::new()
}

const WAYS: [&str; 4] = ["removed", "removed with its WAL", "renamed", "replaced"];

#[test]
fn one_server_goes_on_in_the_file_that_is_there() {
    for how in WAYS {
        // Few writes, and enough that a checkpoint has run in the background.
        for before in [20, 3000] {
            let folder = Folder::new();
            let mut client = Client::start(folder.path());
            let storage = client.open("[true]").storage;
            set(&mut client, storage, "before", before);
            let mut expected = replace(how, &folder);
            set(&mut client, storage, "after", 3000);
            client.get("setItem", &format!(r#"[{storage},"last","x"]"#));
            expected.extend((0..3000).map(|n| format!("after{n}")));
            expected.push("last".to_owned());
            assert_eq!(client.keys(storage), expected, "{how}");
            client.end();
            assert_eq!(found(&folder), expected, "{how}");
        }
    }
}

#[test]
fn a_read_is_of_the_file_that_is_there() {
    for how in WAYS {
        let folder = Folder::new();
        let mut client = Client::start(folder.path());
        let storage = client.open("[true]").storage;
        set(&mut client, storage, "before", 20);
        let expected = replace(how, &folder);
        assert_eq!(client.get("getItem", &format!(r#"[{storage},"before1"]"#)), "null", "{how}");
        assert_eq!(client.keys(storage), expected, "{how}");
        assert_eq!(client.get("length", &format!("[{storage}]")), expected.len().to_string(), "{how}");
        client.end();
        assert_eq!(found(&folder), expected, "{how}");
    }
}

#[test]
fn several_servers_go_on_in_one_file() {
    for how in WAYS {
        let folder = Folder::new();
        let mut clients: Vec<Client> = (0..3).map(|_| Client::start(folder.path())).collect();
        let mut handles: Vec<u64> = clients.iter_mut().map(|client| client.open("[true]").storage).collect();
        for (client, storage) in clients.iter_mut().zip(&handles) {
            set(client, *storage, "before", 100);
        }
        let mut expected = replace(how, &folder);
        // One that comes new finds the same file as those that had the old one.
        clients.push(Client::start(folder.path()));
        handles.push(clients[3].open("[true]").storage);
        for round in 0..5 {
            for (number, (client, storage)) in clients.iter_mut().zip(&handles).enumerate().rev() {
                let prefix = format!("{number}-{round}-");
                set(client, *storage, &prefix, 200);
                expected.extend((0..200).map(|n| format!("{prefix}{n}")));
            }
        }
        for (client, storage) in clients.iter_mut().zip(&handles) {
            assert_eq!(client.keys(*storage), expected, "{how}");
        }
        for client in clients {
            client.end();
        }
        assert_eq!(found(&folder), expected, "{how}");
    }
}

/// A copy of the whole directory, taken from killed servers, is as good as the original: its WAL is its own.
#[test]
fn a_directory_that_is_gone_is_named() {
    let folder = Folder::new();
    let mut client = Client::start(folder.path());
    let storage = client.open("[true]").storage;
    client.get("setItem", &format!(r#"[{storage},"k","v"]"#));
    let aside = folder.path().with_extension("aside");
    fs::rename(folder.path(), &aside).expect("the directory can be moved");
    for (method, params) in [
        ("getItem", format!(r#"[{storage},"k"]"#)),
        ("setItem", format!(r#"[{storage},"k","w"]"#)),
        ("storage/open", r#"[true,"https://another.test"]"#.to_owned()),
    ] {
        let fault = client.fail(method, &params, "UnknownError");
        assert!(fault.message.contains("bottles is gone") && fault.message.contains("start the server again"), "{}", fault.message);
    }
    fs::rename(&aside, folder.path()).expect("the directory can be moved back");
    assert_eq!(client.get("getItem", &format!(r#"[{storage},"k"]"#)), r#""v""#);
    client.end();
}

#[test]
fn a_copied_directory_keeps_its_wal() {
    let folder = Folder::new();
    let mut client = Client::start(folder.path());
    let storage = client.open("[true]").storage;
    set(&mut client, storage, "k", 50);
    client.kill();
    let copy = Folder::prepared();
    for entry in fs::read_dir(folder.path().join("bottles")).expect("it is there") {
        let entry = entry.expect("it can be read");
        fs::copy(entry.path(), copy.path().join("bottles").join(entry.file_name())).expect("the directory is ours");
    }
    assert_eq!(found(&copy).len(), 50);
    assert_eq!(found(&folder).len(), 50);
}
