//! Storage events between processes: each foreign change once, in order, and nothing else.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread;

use serde_json::{Value, json};
use webstorage_server::transcript::Framing;

use crate::listener::{Event, Folder, Listener};
use crate::peer::Peer;

const WRITERS: usize = 4;
const LISTENERS: usize = 4;
const CHANGES: usize = 10_000;

/// Changes that a writer makes before everybody has heard of them. The journal and the outputs are bounded;
/// a listener that is too slow for them is another test.
const ROUND: usize = 250;

/// The calls of one writer. Each changes the area, whatever the other writers do meanwhile.
fn changing_calls(writer: usize, from: usize) -> impl Iterator<Item = (&'static str, Value)> {
    (from..from + ROUND).map(move |n| match n % 5 {
        3 => ("setItem", json!([1, format!("own of {writer}"), format!("{n}")])),
        4 => ("removeItem", json!([1, format!("own of {writer}")])),
        _ => ("setItem", json!([1, format!("shared {}", n % 7), format!("{writer}/{n}")])),
    })
}

fn change(writer: &mut Listener, number: usize, from: usize) {
    let lines: Vec<String> = changing_calls(number, from).map(|(method, params)| writer.line(method, &params)).collect();
    writer.peer.send_raw(lines.concat().as_bytes());
    writer.replies(lines.len());
}

#[test]
fn every_listener_hears_of_every_change_once_and_in_order() {
    let folder = Folder::new();
    let rounds = CHANGES / ROUND;
    let barrier = Barrier::new(WRITERS + LISTENERS);
    thread::scope(|scope| {
        for number in 0..WRITERS {
            let (folder, barrier) = (&folder, &barrier);
            scope.spawn(move || {
                let mut writer = Listener::start(folder);
                barrier.wait();
                for round in 0..rounds {
                    change(&mut writer, number, round * ROUND);
                    barrier.wait();
                }
                assert_eq!(writer.kept(), 0, "who has not subscribed is told nothing");
            });
        }
        for _ in 0..LISTENERS {
            let (folder, barrier) = (&folder, &barrier);
            scope.spawn(move || {
                let mut listener = Listener::subscribed(folder);
                let (mut items, mut last) = (BTreeMap::new(), 0);
                barrier.wait();
                for round in 1..=rounds {
                    while last < (round * ROUND * WRITERS) as u64 {
                        let event = listener.event();
                        assert_eq!(event.sequence, last + 1);
                        last = event.sequence;
                        event.apply(&mut items);
                    }
                    barrier.wait();
                }
                assert_eq!(items, listener.items());
                assert_eq!(listener.kept(), 0, "each change is told once");
            });
        }
    });
}

#[test]
fn who_writes_hears_of_the_others_in_order_and_not_of_itself() {
    let folder = Folder::new();
    let rounds = 8;
    let barrier = Barrier::new(WRITERS);
    let heard: Vec<Vec<u64>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..WRITERS)
            .map(|number| {
                let (folder, barrier) = (&folder, &barrier);
                scope.spawn(move || {
                    let mut writer = Listener::subscribed(folder);
                    let mut heard = Vec::new();
                    barrier.wait();
                    for round in 0..rounds {
                        change(&mut writer, number, round * ROUND);
                        while heard.len() < (round + 1) * ROUND * (WRITERS - 1) {
                            let event = writer.event();
                            assert_ne!(event.key, Some(format!("own of {number}")));
                            heard.push(event.sequence);
                        }
                        barrier.wait();
                    }
                    assert!(heard.is_sorted_by(|one, next| one < next));
                    heard
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a writer has failed")).collect()
    });
    // Every change was heard by all but the one who made it.
    let mut times = BTreeMap::new();
    heard.iter().flatten().for_each(|sequence| *times.entry(*sequence).or_insert(0) += 1);
    let all = (rounds * ROUND * WRITERS) as u64;
    assert_eq!(times.into_iter().collect::<Vec<_>>(), (1..=all).map(|sequence| (sequence, WRITERS - 1)).collect::<Vec<_>>());
}

#[test]
fn what_a_killed_writer_has_committed_is_told() {
    let folder = Folder::new();
    let mut listener = Listener::subscribed(&folder);
    let (mut items, mut last) = (BTreeMap::new(), 0);
    for run in 0..5 {
        let mut writer = Listener::start(&folder);
        let lines: Vec<String> =
            (0..3000).map(|n| writer.line("setItem", &json!([1, format!("k{}", n % 50), format!("{run}/{n}")]))).collect();
        writer.peer.send_raw(lines.concat().as_bytes());
        // It is in the middle of its work when it has given some replies.
        writer.replies(1 + run * 100);
        writer.peer.kill();
        let written = listener.sequence();
        assert!(written > last, "something was committed before the first reply");
        while last < written {
            let event = listener.event();
            assert_eq!(event.sequence, last + 1);
            last = event.sequence;
            event.apply(&mut items);
        }
        assert_eq!(items, listener.items());
    }
}

#[test]
fn an_event_comes_after_its_commit() {
    let folder = Folder::new();
    let mut listener = Listener::subscribed(&folder);
    let mut reader = Listener::start(&folder);
    let mut writer = Listener::start(&folder);
    let lines: Vec<String> = (1..=500).map(|n| writer.line("setItem", &json!([1, "k", n.to_string()]))).collect();
    writer.peer.send_raw(lines.concat().as_bytes());
    for n in 1..=500_u64 {
        let event = listener.event();
        assert_eq!((event.sequence, event.new), (n, Some(n.to_string())));
        // A third process finds it, or what was written after it.
        let found = reader.call("getItem", &json!([1, "k"]));
        assert!(found.as_str().and_then(|text| text.parse().ok()).is_some_and(|found: u64| found >= n), "{found} after the event {n}");
    }
}

#[test]
fn the_first_event_comes_after_the_reply_and_is_the_next_change() {
    let folder = Folder::new();
    let mut writer = Listener::start(&folder);
    let mut listener = Listener::start(&folder);
    for _ in 0..100 {
        let lines: Vec<String> = (0..200).map(|n| writer.line("setItem", &json!([1, "k", n.to_string()]))).collect();
        writer.peer.send_raw(lines.concat().as_bytes());
        let line = listener.line("storage/subscribe", &json!([1]));
        listener.peer.send_raw(line.as_bytes());
        let subscribed = listener.reply();
        assert_eq!(listener.kept(), 0, "nothing comes before the reply that names the subscription");
        writer.replies(lines.len());
        let mut last = subscribed["sequence"].as_u64().expect("it is a number");
        let end = writer.sequence();
        while last < end {
            let message = listener.notification();
            assert_eq!(message["params"]["subscription"], subscribed["subscription"]);
            assert_eq!(message["params"]["sequence"], json!(last + 1));
            last += 1;
        }
        listener.call("storage/unsubscribe", &json!([subscribed["subscription"]]));
        assert_eq!(listener.kept(), 0);
    }
}

#[test]
fn a_change_that_waits_with_the_subscription_is_told_after_the_reply() {
    let folder = Folder::new();
    let mut listener = Listener::start(&folder);
    for persistent in [false, true] {
        let storage = [(); 2].map(|()| listener.call("storage/open", &json!([persistent]))["storage"].take());
        let calls = [
            listener.line("storage/subscribe", &json!([storage[0]])),
            listener.line("setItem", &json!([storage[1], "k", "1"])),
            listener.line("setItem", &json!([storage[1], "k", "2"])),
        ];
        listener.peer.send_raw(calls.concat().as_bytes());
        let subscribed = listener.reply();
        assert_eq!(listener.kept(), 0, "nothing comes before the reply that names the subscription");
        assert_eq!((&subscribed["sequence"], &subscribed["gap"]), (&json!(0), &json!(false)));
        listener.replies(2);
        assert_eq!([listener.event().sequence, listener.event().sequence], [1, 2]);
    }
}

#[test]
fn who_comes_late_is_told_what_happened_since() {
    let folder = Folder::new();
    let _first = Listener::subscribed(&folder);
    let mut writer = Listener::start(&folder);
    let mut late = Listener::start(&folder);
    let mut items = BTreeMap::new();
    let mut last = 0;
    // Each time a change has been going on when it comes.
    for round in 0..20 {
        let lines: Vec<String> =
            (0..300).map(|n| writer.line("setItem", &json!([1, format!("k{}", n % 9), format!("{round}/{n}")]))).collect();
        writer.peer.send_raw(lines.concat().as_bytes());
        let subscribed = late.call("storage/subscribe", &json!({"storage": 1, "since": last}));
        assert_eq!(subscribed["gap"], json!(false));
        let now = subscribed["sequence"].as_u64().expect("it is a number");
        while last < now {
            let event = late.event();
            assert_eq!(event.sequence, last + 1);
            last = event.sequence;
            event.apply(&mut items);
        }
        late.call("storage/unsubscribe", &json!([subscribed["subscription"]]));
        while late.kept() > 0 {
            let event: Event = late.event();
            assert_eq!(event.sequence, last + 1);
            last = event.sequence;
            event.apply(&mut items);
        }
        writer.replies(lines.len());
    }
    let subscribed = late.call("storage/subscribe", &json!({"storage": 1, "since": last}));
    while json!(last) != subscribed["sequence"] {
        let event = late.event();
        last = event.sequence;
        event.apply(&mut items);
    }
    assert_eq!(items, late.items());
}

#[test]
fn who_writes_for_long_hears_of_others_after_that() {
    let folder = Folder::new();
    let mut busy = Listener::subscribed(&folder);
    let mut other = Listener::start(&folder);
    // Long enough that the system has told the busy one of its own writes a hundred times.
    for round in 0..40 {
        busy.set_all((0..500).map(|n| ("k", format!("{round}/{n}"))));
        busy.set("k", &round.to_string());
    }
    let own = busy.sequence();
    for n in 1..=5 {
        other.set("k", &format!("of the other {n}"));
        assert_eq!(busy.event().sequence, own + n);
    }
}

#[test]
fn a_subscription_that_ends_in_the_same_breath_has_heard_what_was_before() {
    let folder = Folder::new();
    for persistent in [false, true] {
        for (last, batch) in [("storage/unsubscribe", false), ("storage/close", false), ("storage/unsubscribe", true)] {
            let mut peer = Peer::start(Framing::Lines, ["--storage-dir".as_ref(), folder.path().as_os_str()]);
            let line =
                |id: u32, method: &str, params: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
            let calls = [
                line(1, "storage/open", &format!("[{persistent}]")),
                line(2, "storage/subscribe", r#"{"storage":1,"includeSelf":true}"#),
                line(3, "storage/transact", r#"{"storage":1,"clear":true,"set":[{"key":"k","value":"v"}]}"#),
                line(4, last, "[1]"),
                line(5, "storage/open", "[false]"),
            ];
            let text = if batch { format!("[{}]\n", calls.join(",")) } else { format!("{}\n", calls.join("\n")) };
            peer.send_raw(text.as_bytes());
            peer.close();
            let mut told = Vec::new();
            while let Some(line) = peer.receive() {
                let message: Value = serde_json::from_str(&line).expect("each line is a message");
                let replies = message.as_array().cloned().unwrap_or_else(|| vec![message]);
                told.extend(replies.iter().map(|reply| reply["id"].as_u64().map_or_else(|| reply["params"]["key"].clone(), Value::from)));
            }
            let order = if batch { json!([1, 2, 3, 4, 5, "k"]) } else { json!([1, 2, 3, "k", 4, 5]) };
            // A bottle that the rounds before have filled is cleared first.
            told.retain(|member| !member.is_null());
            assert_eq!(Value::from(told), order, "{persistent} {last}");
        }
    }
}
