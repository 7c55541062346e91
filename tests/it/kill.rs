//! `kill -9` at random moments: what was acknowledged is there, and what is there is what was written up to
//! some moment.

use std::collections::BTreeMap;
use std::path::Path;

use crate::client::Client;

/// Kills of a writer that pipelines, of a writer beside a second one, and during the creation of a file.
const PIPELINING: u64 = 90;
const BESIDE: u64 = 20;
const CREATING: u64 = 30;

/// Calls that are sent in one write, so that they share transactions.
const BURST: u64 = 300;

/// Different keys that are written.
const KEYS: u64 = 48;

/// The write with this number. Some values fill several pages, so that a transaction can be torn in the middle
/// of one; every seventh write removes its key.
fn write(number: u64) -> (String, Option<String>) {
    let key = format!("k{}", number * 31 % KEYS);
    let length = if number.is_multiple_of(41) { 9000 } else { usize::try_from(number % 50).expect("it is below 50") };
    let value = (!number.is_multiple_of(7)).then(|| format!("{number}:{}", "v".repeat(length)));
    (key, value)
}

fn call(storage: u64, number: u64) -> (&'static str, String) {
    match write(number) {
        (key, Some(value)) => ("setItem", format!(r#"[{storage},"{key}","{value}"]"#)),
        (key, None) => ("removeItem", format!(r#"[{storage},"{key}"]"#)),
    }
}

/// What an area holds after the writes up to this number. Every key is written once in so many writes as there
/// are keys, so the ones before do not matter.
fn after(last: u64) -> BTreeMap<String, String> {
    let mut items = BTreeMap::new();
    for number in last.saturating_sub(KEYS) + 1..=last {
        match write(number) {
            (key, Some(value)) => items.insert(key, value),
            (key, None) => items.remove(&key),
        };
    }
    items
}

/// Every item of an area, and a check that its length, usage and keys agree.
fn items(client: &mut Client, open: &str) -> (u64, BTreeMap<String, String>) {
    let opened = client.open(open);
    let keys = client.keys(opened.storage);
    assert_eq!(opened.length, keys.len() as u64, "length and keys agree");
    client.send_all(keys.iter().map(|key| ("getItem", format!(r#"[{},"{key}"]"#, opened.storage))));
    let mut items = BTreeMap::new();
    for key in keys {
        let value = client.outcome().expect("a key that is listed has a value");
        items.insert(key, serde_json::from_str(&value).expect("values are strings"));
    }
    let usage: usize = items.iter().map(|(key, value): (&String, &String)| 2 * (key.len() + value.len())).sum();
    assert_eq!(opened.usage, usage as u64, "usage and items agree");
    (opened.storage, items)
}

/// Starts a server on storage that a killed one has left, and finds the number of the last write in it, which
/// must not be before the last one that was acknowledged.
fn recover(dir: &Path, sent: u64, acknowledged: u64) -> (Client, u64, u64) {
    let mut client = Client::start(dir);
    let (storage, found) = items(&mut client, "[true]");
    let last = (acknowledged..=sent).find(|last| after(*last) == found);
    let last = last.unwrap_or_else(|| panic!("the items are not those of any write from {acknowledged} to {sent}: {:?}", found.keys()));
    (client, storage, last)
}

/// Seeds the random moments with `KILL_SEED`, or a new seed, and prints it: a test that fails shows how it is held again.
fn seed() {
    let given = std::env::var("KILL_SEED").ok().map(|seed| seed.parse().expect("KILL_SEED is a number"));
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("KILL_SEED={seed}");
    fastrand::seed(seed);
}

#[test]
fn of_a_pipelining_writer() {
    seed();
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let (mut sent, mut acknowledged, mut total) = (0, 0, 0);
    for kill in 0..PIPELINING {
        let (mut client, storage, last) = recover(dir.path(), sent, acknowledged);
        (sent, acknowledged) = (last, last);
        for _ in 0..3 {
            client.send_all((sent + 1..=sent + BURST).map(|number| call(storage, number)));
            sent += BURST;
        }
        // Killed at once, or when some of its replies have come, others are under way, and it is at work.
        for _ in 0..if kill % 5 == 0 { 0 } else { fastrand::u64(0..BURST * 2) } {
            client.outcome().expect("the writes fit");
            acknowledged += 1;
        }
        client.kill();
        // What it had written to its output before it died was acknowledged too.
        while let Some(outcome) = client.next() {
            outcome.expect("the writes fit");
            acknowledged += 1;
        }
        total += acknowledged - last;
    }
    recover(dir.path(), sent, acknowledged).0.end();
    assert!(total > PIPELINING, "most writers got something done: {total}");
}

/// A second process that writes the same bottle neither loses anything nor is held up by the death of the first.
#[test]
fn of_one_of_two_writers() {
    seed();
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    let mut survivor = Client::start(dir.path());
    let storage = survivor.open("[true]").storage;
    let mut written = 0;
    for _ in 0..BESIDE {
        let mut victim = Client::start(dir.path());
        let handle = victim.open("[true]").storage;
        victim.send_all((0..BURST).map(|number| ("setItem", format!(r#"[{handle},"victim{number}","{}"]"#, "v".repeat(500)))));
        survivor.send_all((written..written + BURST).map(|number| ("setItem", format!(r#"[{storage},"s{number}","{number}"]"#))));
        for _ in 0..fastrand::u64(0..BURST) {
            victim.outcome().expect("the writes fit");
        }
        victim.kill();
        for _ in 0..BURST {
            survivor.outcome().expect("the death of another process is no concern of this one");
        }
        written += BURST;
    }
    let mut reader = Client::start(dir.path());
    let (_, found) = items(&mut reader, "[true]");
    for number in 0..written {
        assert_eq!(found.get(&format!("s{number}")), Some(&number.to_string()));
    }
    reader.end();
    survivor.end();
}

/// A bottle that was being created is usable afterwards.
#[test]
fn while_a_bottle_is_created() {
    seed();
    let dir = tempfile::tempdir().expect("the temporary directory is writable");
    for kill in 0..CREATING {
        let open = format!(r#"[true,"https://new{kill}.example"]"#);
        let mut victim = Client::start(dir.path());
        if kill % 3 == 0 {
            // By the first reply the server is up, so that the kill meets the opening itself.
            victim.get("storage/open", "[false]");
        }
        victim.send("storage/open", &open);
        // This waits for nothing: it only picks the moment.
        std::thread::sleep(std::time::Duration::from_micros(fastrand::u64(0..6000)));
        victim.kill();
        let mut client = Client::start(dir.path());
        let opened = client.open(&open);
        assert_eq!((opened.length, opened.usage, opened.quota), (0, 0, 10 << 20));
        client.get("setItem", &format!(r#"[{},"k","v"]"#, opened.storage));
        client.end();
    }
}
