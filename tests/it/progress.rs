//! The progress of long calls, for clients that ask for it.

use serde_json::{Value, json};
use webstorage_server::transcript::Framing;

use crate::folder::Folder;
use crate::peer::Peer;

const ITEMS: usize = 100_000;

/// What an import sends from the call to its reply.
fn import(peer: &mut Peer, params: &Value) -> Vec<Value> {
    peer.send(&json!({"jsonrpc": "2.0", "id": 1, "method": "storage/import", "params": params}).to_string());
    let mut received: Vec<Value> = Vec::new();
    while received.last().is_none_or(|message| message.get("method").is_some()) {
        let message = peer.receive().expect("the call is answered");
        received.push(serde_json::from_str(&message).expect("messages are JSON"));
    }
    received
}

#[test]
fn a_large_import_tells_how_far_it_is() {
    let pairs: Vec<[String; 2]> = (0..ITEMS).map(|n| [format!("key {n}"), n.to_string()]).collect();
    for framing in [Framing::Lines, Framing::Headers] {
        let folder = Folder::new();
        let mut peer = Peer::start(framing, ["--storage-dir".as_ref(), folder.path().as_os_str()]);
        let mut received = import(&mut peer, &json!({"state": pairs, "mode": "replace", "workDoneToken": "t/1"}));
        let reply = received.pop().expect("the reply is the last");
        assert_eq!((&reply["id"], &reply["result"]["areas"][0]["length"]), (&json!(1), &json!(ITEMS)), "{reply}");
        let told = |value: Value| json!({"jsonrpc": "2.0", "method": "$/progress", "params": {"token": "t/1", "value": value}});
        let mut expected = vec![told(json!({"kind": "begin", "title": "web storage", "message": ""}))];
        expected.extend(
            (1..20).map(|step| {
                told(json!({"kind": "report", "message": format!("{} of {ITEMS} items", step * 5000), "percentage": step * 5}))
            }),
        );
        expected.push(told(json!({"kind": "end", "message": "1 areas"})));
        assert_eq!(received, expected);
        // Who does not ask is not told.
        assert_eq!(import(&mut peer, &json!({"state": pairs, "mode": "merge"})).len(), 1);
    }
}
