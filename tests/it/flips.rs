//! Single bits that the disk has changed. Each ends in the right data, in an error that says that the file is damaged and a
//! next opening that moves it aside, or, where no reader can tell, in a check that says so. SQLite's pages have no checksums:
//! one string that has become another is all that nobody can notice.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::client::{Client, Fault, Outcome};
use crate::folder::{Folder, beside};

const ITEMS: usize = 12;

const CHECK: &str = r#"["http://localhost"]"#;

fn item(n: usize) -> (String, String) {
    // One value is too large to be kept in memory, and one is on pages of its own.
    let length = match n {
        3 => 9_000,
        7 => 40_000,
        _ => 20,
    };
    (format!("key {n}"), format!("{n:02}").repeat(length / 2))
}

/// A storage directory with a bottle that has items, a listener that has gone and changes that are kept for it.
fn written() -> (Folder, PathBuf) {
    let folder = Folder::new();
    let mut listener = Client::start(folder.path());
    let storage = listener.open("[true]").storage;
    listener.get("storage/subscribe", &json!({"storage": storage, "values": true}).to_string());
    let mut writer = Client::start(folder.path());
    let storage = writer.open("[true]").storage;
    for n in 0..ITEMS {
        let (key, value) = item(n);
        writer.get("setItem", &json!([storage, key, value]).to_string());
    }
    listener.kill();
    writer.end();
    let file = folder.default_bottle();
    assert!(!beside(&file, "-wal").exists(), "everything is in the database");
    (folder, file)
}

/// Writes the whole file as it was, with one bit changed if one is named.
fn put(file: &Path, bytes: &[u8], flip: Option<usize>) {
    let out = fs::OpenOptions::new().write(true).open(file).expect("the file is ours");
    out.set_len(bytes.len() as u64).and_then(|()| out.write_all_at(bytes, 0)).expect("the file is ours");
    if let Some(bit) = flip {
        out.write_all_at(&[bytes[bit / 8] ^ (1 << (bit % 8))], (bit / 8) as u64).expect("the file is ours");
    }
}

/// What a server says of a file with one changed bit.
struct Told {
    /// Whether a call said that the file is damaged.
    damage: bool,
    /// Results that are not those of the file as it was written.
    wrong: Vec<String>,
}

impl Told {
    fn take(&mut self, what: &str, outcome: Outcome, expected: &Value) {
        match outcome {
            Ok(result) => {
                let result: Value = serde_json::from_str(&result).expect("results are JSON");
                if result != *expected {
                    self.wrong.push(format!("{what} {}", result.to_string().chars().take(300).collect::<String>()));
                }
            }
            Err(fault) => self.fault(what, &fault),
        }
    }

    fn fault(&mut self, what: &str, fault: &Fault) {
        match &*fault.data.name {
            "DataCorruption" => self.damage = true,
            // Another quota or usage is a number as good as any.
            "QuotaExceededError" => self.wrong.push(format!("{what} {}", fault.message)),
            other => panic!("{what} ended in {other:?}: {}", fault.message),
        }
    }
}

/// Uses the open area in every way.
fn work(client: &mut Client, storage: u64) -> Told {
    let mut told = Told { damage: false, wrong: Vec::new() };
    let all: Vec<Value> = (0..ITEMS).map(item).map(|(key, value)| json!({"key": key, "value": value})).collect();
    let entries = client.call("storage/entries", &json!([storage]).to_string());
    told.take("entries", entries, &Value::Array(all));
    for n in 0..ITEMS {
        let (key, value) = item(n);
        told.take("getItem", client.call("getItem", &json!([storage, key]).to_string()), &json!(value));
        told.take("key", client.call("key", &json!([storage, n]).to_string()), &json!(key));
    }
    told.take("length", client.call("length", &json!([storage]).to_string()), &json!(ITEMS));
    for (method, params, expected) in [
        ("setItem", json!([storage, "new", "v"]), json!(null)),
        ("getItem", json!([storage, "new"]), json!("v")),
        ("removeItem", json!([storage, "new"]), json!(null)),
        ("storage/keys", json!([storage]), json!((0..ITEMS).map(|n| item(n).0).collect::<Vec<_>>())),
    ] {
        told.take(method, client.call(method, &params.to_string()), &expected);
    }
    // After the newest change, so that no events come.
    if let Err(fault) = client.call("storage/subscribe", &json!({"storage": storage, "since": ITEMS + 2}).to_string()) {
        told.fault("subscribe", &fault);
    }
    told
}

fn problems(client: &mut Client) -> usize {
    let checked: Value = serde_json::from_str(&client.get("storage/check", CHECK)).expect("results are JSON");
    checked["problems"].as_array().expect("problems are listed").len()
}

/// That what is damaged is moved aside by the next opening, and that something can be had of it.
fn assert_moved(client: &mut Client, folder: &Folder, fault: &Fault) {
    assert_eq!(fault.data.name, "DataCorruption", "{}", fault.message);
    let moved = PathBuf::from(fault.data.moved_to.as_deref().unwrap_or_else(|| panic!("it is moved aside: {}", fault.message)));
    let name = moved.file_name().and_then(|name| name.to_str()).expect("the name is UTF-8");
    match client.call("storage/salvage", &json!([name]).to_string()) {
        Ok(salvaged) => assert!(salvaged.contains("key 5"), "{salvaged:.300}"),
        Err(fault) => panic!("most is sound: {}", fault.message),
    }
    let opened = client.open("[true]");
    assert_eq!(opened.length, 0);
    client.get("storage/close", &json!([opened.storage]).to_string());
    for file in folder.damaged() {
        fs::remove_file(file).expect("the directory is ours");
    }
}

fn try_flip(client: &mut Client, folder: &Folder, file: &Path, bytes: &[u8], bit: usize) {
    put(file, bytes, Some(bit));
    match client.call("storage/open", "[true]") {
        Err(fault) if fault.data.name == "NotSupportedError" => {
            // The version of the schema and the origin are as good as any others, and the way out is named.
            assert!(
                ["newer webstorage-server", "holds the storage of"].iter().any(|part| fault.message.contains(part)),
                "{}",
                fault.message
            );
        }
        Err(fault) => assert_moved(client, folder, &fault),
        Ok(opened) => {
            let opened: Value = serde_json::from_str(&opened).expect("results are JSON");
            let storage = opened["storage"].as_u64().expect("open gives a handle");
            let told = work(client, storage);
            let found = problems(client);
            client.get("storage/close", &json!([storage]).to_string());
            if told.damage {
                let outcome = client.call("storage/open", "[true]");
                let fault = outcome.expect_err("what a call has found damaged is moved aside");
                assert_moved(client, folder, &fault);
            } else if found == 0 {
                let silent = told.wrong.iter().all(|wrong| is_other_string(wrong));
                assert!(silent, "nobody says that anything is wrong: {:?}", told.wrong);
            }
        }
    }
    // The sound file is in use again, whatever was known of the other.
    if file.exists() {
        put(file, bytes, None);
    } else {
        fs::write(file, bytes).expect("the directory is ours");
    }
    let opened = client.open("[true]");
    assert_eq!(opened.length, ITEMS as u64);
    client.get("storage/close", &json!([opened.storage]).to_string());
    put(file, bytes, None);
}

/// Whether a result differs in one string only, which is all that cannot be noticed.
fn is_other_string(wrong: &str) -> bool {
    ["entries", "getItem", "key", "storage/keys"].iter().any(|method| wrong.starts_with(method)) && !wrong.ends_with("null")
}

#[test]
fn no_single_bit_is_lost_without_a_word() {
    let (folder, file) = written();
    let bytes = fs::read(&file).expect("the file is ours");
    let place = |text: &[u8]| bytes.windows(text.len()).rposition(|window| window == text).expect("it is in the file");
    // The rows that say the most, with the headers of their records and cells; and something of everything.
    let mut bits: Vec<usize> = Vec::new();
    for (text, length) in [(b"http://localhost".as_slice(), 50), (b"key 5", 50)] {
        let at = place(text);
        bits.extend((at - 16) * 8..(at - 16 + length) * 8);
    }
    bits.extend(0..100 * 8);
    let mut random = fastrand::Rng::with_seed(21);
    random.shuffle(&mut bits);
    bits.truncate(120);
    bits.extend((0..80).map(|_| random.usize(..bytes.len() * 8)));
    let mut client = Client::start(folder.path());
    for bit in bits {
        eprintln!("byte {} bit {}", bit / 8, bit % 8);
        try_flip(&mut client, &folder, &file, &bytes, bit);
    }
    client.end();
}
