//! The journal of a bottle: written only for others, bounded, and given up when they are gone.

use std::fs::{self, File};
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use crate::listener::{Folder, Listener};
use crate::peer::PATIENCE;

const ROWS: &str = "SELECT count(*) FROM change";
const BYTES: &str = "SELECT coalesce(sum(length(key) + ifnull(length(old), 0) + ifnull(length(new), 0) + length(url)), 0) FROM change";

fn unix_time() -> i64 {
    let elapsed = SystemTime::UNIX_EPOCH.elapsed().expect("the clock is set");
    i64::try_from(elapsed.as_secs()).expect("the time fits")
}

#[test]
fn nothing_is_kept_while_no_other_process_listens() {
    let folder = Folder::new();
    let mut alone = Listener::subscribed(&folder);
    alone.call("storage/subscribe", &json!({"storage": 1, "includeSelf": true}));
    let mut writer = Listener::start(&folder);
    alone.set_all((0..300).map(|n| ("k", n.to_string())));
    assert_eq!(folder.number(ROWS), 0);
    writer.set("k", "for the other one");
    assert_eq!(folder.number(ROWS), 1);
    assert_eq!((0..301).map(|_| alone.event().sequence).max(), Some(301));
}

#[test]
fn what_is_kept_is_bounded_in_rows_and_bytes() {
    const MIB: i64 = 1 << 20;
    let folder = Folder::new();
    let _listener = Listener::subscribed(&folder);
    let mut writer = Listener::start(&folder);
    for round in 0..25 {
        writer.set_all((0..1000).map(|n| ("k", format!("{round}/{n}"))));
    }
    let rows = folder.number(ROWS);
    assert!((20_000..21_000).contains(&rows), "{rows} rows");
    // Each of these rows has an old value and a new one.
    for n in 0..20 {
        writer.set("large", &format!("{n}{}", "x".repeat(1 << 20)));
    }
    let bytes = folder.number(BYTES);
    assert!((10 * MIB..20 * MIB).contains(&bytes), "{bytes} bytes of values");
    writer.call("storage/open", &json!({"persistent": true, "url": format!("http://localhost/{}", "u".repeat(1 << 20))}));
    writer.call("clear", &json!([2]));
    for n in 0..40 {
        writer.call("setItem", &json!([2, "k", n.to_string()]));
    }
    let bytes = folder.number(BYTES);
    assert!(bytes < 20 * MIB, "{bytes} bytes of URLs");
}

#[test]
fn changes_that_are_not_kept_any_more_are_a_gap() {
    let folder = Folder::new();
    let mut listener = Listener::subscribed(&folder);
    let mut writer = Listener::start(&folder);
    for round in 0..22 {
        writer.set_all((0..1000).map(|n| ("k", format!("{round}/{n}"))));
    }
    let gap = |listener: &mut Listener, since: u64| {
        let subscribed = listener.call("storage/subscribe", &json!({"storage": 1, "since": since, "keys": []}));
        assert_eq!(subscribed["sequence"], json!(22_000));
        subscribed["gap"].clone()
    };
    assert_eq!(gap(&mut listener, 0), json!(true));
    assert_eq!(gap(&mut listener, 1000), json!(true));
    assert_eq!(gap(&mut listener, 2000), json!(false));
    assert_eq!(gap(&mut listener, 21_999), json!(false));
}

#[test]
fn a_killed_listener_is_kept_changes_for_a_while_and_then_forgotten() {
    let folder = Folder::new();
    let mut living = Listener::subscribed(&folder);
    let mut killed = Listener::subscribed(&folder);
    Listener::start(&folder).set("k", "0");
    assert_eq!(folder.number("SELECT count(*) FROM listener WHERE until = 0"), 2);
    killed.peer.kill();
    // A process that has just begun to write looks who lives.
    let mut writer = Listener::start(&folder);
    writer.set("k", "1");
    assert_eq!(folder.number("SELECT count(*) FROM listener WHERE until = 0"), 1);
    let left = folder.number("SELECT until FROM listener WHERE until <> 0") - unix_time();
    assert!((1..=60).contains(&left), "changes are kept for {left} seconds more");
    writer.set("k", "2");
    assert_eq!(folder.number(ROWS), 3);
    // The time passes.
    folder.database().execute("UPDATE listener SET until = 1 WHERE until <> 0", []).expect("nobody else writes");
    writer.set("k", "3");
    assert_eq!(folder.number("SELECT count(*) FROM listener"), 1);
    assert_eq!(folder.lock_files().len(), 1, "the lock file of the one that lives");
    assert_eq!((0..4).map(|_| living.event().sequence).collect::<Vec<_>>(), [1, 2, 3, 4]);
    // The last one dies too.
    living.peer.kill();
    let mut writer = Listener::start(&folder);
    writer.set("k", "4");
    folder.database().execute("UPDATE listener SET until = 1 WHERE until <> 0", []).expect("nobody else writes");
    writer.set_all((5..100).map(|n| ("k", n.to_string())));
    assert_eq!(folder.number("SELECT count(*) FROM listener"), 0);
    assert_eq!(folder.number(ROWS), 0, "what was kept for it is removed");
    assert!(folder.lock_files().is_empty());
}

#[test]
fn who_stops_listening_leaves_nothing_but_a_row_that_runs_out() {
    let folder = Folder::new();
    let mut listener = Listener::subscribed(&folder);
    let mut writer = Listener::start(&folder);
    writer.set("k", "1");
    assert_eq!(folder.lock_files().len(), 1);
    listener.call("storage/unsubscribe", &json!([1]));
    assert!(folder.lock_files().is_empty());
    let left = folder.number("SELECT until FROM listener") - unix_time();
    assert!((1..=60).contains(&left), "changes are kept for {left} seconds more");
    writer.set("k", "2");
    assert_eq!(folder.number(ROWS), 2);
    // It comes back in time, and goes with the end of its connection.
    let subscribed = listener.call("storage/subscribe", &json!({"storage": 1, "since": 1}));
    assert_eq!(subscribed, json!({"subscription": 2, "sequence": 2, "gap": false}));
    listener.end();
    assert!(folder.lock_files().is_empty());
    assert_eq!(folder.number("SELECT count(*) FROM listener WHERE until = 0"), 0);
    folder.database().execute("UPDATE listener SET until = 1", []).expect("nobody else writes");
    writer.set("k", "3");
    assert_eq!(folder.number("SELECT count(*) FROM listener") + folder.number(ROWS), 0);
}

#[test]
fn lock_files_that_nobody_holds_are_removed() {
    let folder = Folder::new();
    let mut writer = Listener::start(&folder);
    let (old, new) = (folder.path().join("listeners/7-0123456789abcdef"), folder.path().join("listeners/7-fedcba9876543210"));
    let long_ago = SystemTime::now() - Duration::from_hours(1);
    File::create(&old).and_then(|file| file.set_modified(long_ago)).expect("the directory is ours");
    File::create(&new).expect("the directory is ours");
    let held = File::create(folder.path().join("listeners/8-0123456789abcdef")).expect("the directory is ours");
    held.lock().expect("it is new");
    held.set_modified(long_ago).expect("the file is ours");
    writer.call("storage/subscribe", &json!([1]));
    assert!(!old.exists(), "nobody holds it");
    assert!(new.exists(), "its process may be about to lock it");
    assert!(folder.path().join("listeners/8-0123456789abcdef").exists(), "it is held");
    assert_eq!(folder.lock_files().len(), 3);
}

#[cfg(target_os = "linux")]
#[test]
fn threads_and_files_end_with_the_last_subscription() {
    let folder = Folder::new();
    let mut listener = Listener::start(&folder);
    let id = listener.peer.id();
    let count = |what: &str| fs::read_dir(format!("/proc/{id}/{what}")).expect("it runs").count();
    listener.set("k", "0");
    let (threads, files) = (count("task"), count("fd"));
    for round in 1..=3 {
        let subscribed = listener.call("storage/subscribe", &json!([1]));
        assert!(count("task") > threads, "somebody watches");
        listener.call("storage/unsubscribe", &json!([subscribed["subscription"]]));
        // What the operating system tells ends by itself, a moment later.
        let deadline = Instant::now() + PATIENCE;
        while (count("task"), count("fd")) != (threads, files) {
            assert!(Instant::now() < deadline, "round {round}: {} threads of {threads}", count("task"));
            listener.set("k", &round.to_string());
        }
    }
}
