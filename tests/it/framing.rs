//! A conversation means the same in both framings and however its bytes are cut.

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::sample::{Index, select};
use proptest::test_runner::FileFailurePersistence;
use webstorage_server::transcript::Framing;

use crate::peer::Peer;

/// Text of JSON strings in which a cut hurts: characters of several bytes, escapes, what looks
/// like the end of a message or like a header.
fn text() -> impl Strategy<Value = String> {
    const PARTS: &[&str] = &["a", "é", "鍵", "😀", "\\n", "\\\\", "\\\"", "\\ud800", "\\ud83d\\ude00", "}", "]", "Content-Length: 2", " "];
    vec(select(PARTS), 0..6).prop_map(|parts| parts.concat())
}

/// One message, without its frame. The session area is the handle 1.
fn message() -> impl Strategy<Value = String> {
    let id = prop_oneof![Just("7"), Just("-1"), Just("1.5"), Just("\"é\""), Just("null")];
    let method = prop_oneof![
        4 => (text(), text()).prop_map(|(key, value)| {
            format!(r#""method":"storage/setItem","params":[1,"{key}","{value}"]"#)
        }),
        3 => text().prop_map(|key| format!(r#""method":"getItem","params":[1,"{key}"]"#)),
        2 => text().prop_map(|key| {
            format!(r#""method":"storage/removeItem","params":{{"key":"{key}","storage":1}}"#)
        }),
        1 => Just(r#""method":"storage/keys","params":[1]"#.to_owned()),
        1 => Just(r#""method":"length","params":[1]"#.to_owned()),
        1 => Just(r#""method":"unknown""#.to_owned()),
        1 => Just(r#""method":"storage/setItem","params":[1,5,"x"]"#.to_owned()),
    ];
    prop_oneof![
        8 => (id, method.clone())
            .prop_map(|(id, method)| format!(r#"{{"jsonrpc":"2.0","id":{id},{method}}}"#)),
        1 => method.prop_map(|method| format!(r#"{{"jsonrpc":"2.0",{method}}}"#)),
        1 => select(&["{", "{}", "nonsense", "null"][..]).prop_map(str::to_owned),
    ]
}

/// The replies to a conversation whose bytes arrive in these pieces.
fn replies(framing: Framing, messages: &[String], cuts: &[Index]) -> Vec<String> {
    let open = r#"{"jsonrpc":"2.0","id":0,"method":"storage/open","params":[false]}"#;
    let bodies = std::iter::once(open).chain(messages.iter().map(String::as_str));
    let bytes: Vec<u8> = bodies.flat_map(|body| framing.encode(body.as_bytes())).collect();
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut peer = Peer::start(framing, ["--no-persistent"]);
    let mut begin = 0;
    for end in ends {
        peer.send_raw(&bytes[begin..end]);
        begin = end;
    }
    peer.close();
    let replies = std::iter::from_fn(|| peer.receive()).collect();
    assert_eq!(peer.wait().code(), Some(0), "the end of the input is a normal end");
    replies
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_cutting_in_any_framing_gives_the_same_replies(
        messages in vec(message(), 1..40),
        cuts in vec(any::<Index>(), 0..200),
    ) {
        let whole = replies(Framing::Lines, &messages, &[]);
        let expected = 1 + messages.iter().filter(|message| is_answered(message)).count();
        assert_eq!(whole.len(), expected, "one reply for each call and each fault");
        assert_eq!(whole, replies(Framing::Lines, &messages, &cuts));
        assert_eq!(whole, replies(Framing::Headers, &messages, &cuts));
    }
}

/// Only a notification gets no reply, and of these messages only notifications name a method
/// without an id.
fn is_answered(message: &str) -> bool {
    message.contains("\"id\":") || !message.contains("\"method\":")
}

#[test]
fn a_byte_at_a_time_is_enough() {
    let messages: Vec<String> = (0..20)
        .map(|n| format!(r#"{{"jsonrpc":"2.0","id":{n},"method":"setItem","params":[1,"é{n}","😀"]}}"#))
        .chain([r#"{"jsonrpc":"2.0","id":99,"method":"length","params":[1]}"#.to_owned()])
        .collect();
    for framing in [Framing::Lines, Framing::Headers] {
        let mut peer = Peer::start(framing, ["--no-persistent"]);
        peer.call(r#"{"jsonrpc":"2.0","id":0,"method":"storage/open","params":[false]}"#);
        for message in &messages {
            for byte in framing.encode(message.as_bytes()) {
                peer.send_raw(&[byte]);
            }
            assert!(peer.receive().expect("the call is answered").contains("\"result\":"));
        }
        let reply = peer.call(messages.last().expect("there are messages"));
        assert_eq!(reply, r#"{"jsonrpc":"2.0","id":99,"result":20}"#);
    }
}
