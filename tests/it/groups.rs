//! Groups of calls whose commit fails: one reply for each call, in order, and nothing else on the wire.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use serde_json::Value;

use crate::client::{call, program};
use crate::folder::Folder;

/// What a client sends in one go, in lines.
#[derive(Clone, Copy, Debug)]
enum Sent {
    Set,
    Get,
    Batch,
    Invalid,
    Open,
}

const ALL: [Sent; 5] = [Sent::Set, Sent::Get, Sent::Batch, Sent::Invalid, Sent::Open];

impl Sent {
    /// The message, and the ids of the replies to it.
    fn message(self, id: u64) -> (String, Value) {
        let set = |id| call(id, "setItem", r#"[1,"k","vvvvvvvv"]"#);
        match self {
            Sent::Set => (set(id), id.into()),
            Sent::Get => (call(id, "getItem", r#"[1,"k"]"#), id.into()),
            Sent::Batch => (
                format!("[{},{},5,{}]", set(id), call(id + 1, "getItem", r#"[1,"k"]"#), set(id + 2)),
                vec![Value::from(id), (id + 1).into(), Value::Null, (id + 2).into()].into(),
            ),
            Sent::Invalid => ("{nonsense".to_owned(), Value::Null),
            Sent::Open => (call(id, "storage/open", "[true]"), id.into()),
        }
    }
}

/// The ids in a line of output.
fn ids(line: &str) -> Value {
    let reply: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    match reply {
        Value::Array(replies) => replies.into_iter().map(|reply| reply["id"].clone()).collect(),
        reply => reply["id"].clone(),
    }
}

/// Every sequence of three kinds of messages, while no file may grow and while all may.
#[test]
#[cfg(target_os = "linux")]
fn every_call_has_its_reply_whatever_stands_beside_a_commit_that_fails() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};

    let folder = Folder::new();
    let mut server = program(["--storage-dir".as_ref(), folder.path().as_os_str(), "--log".as_ref(), "off".as_ref()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server was built and starts");
    let mut input = server.stdin.take().expect("it is a pipe");
    let mut output = BufReader::new(server.stdout.take().expect("it is a pipe"));
    let mut line = String::new();
    writeln!(input, "{}\n{}", call(1, "storage/open", "[true]"), call(2, "setItem", r#"[1,"k","v"]"#)).expect("the server reads");
    for _ in 0..2 {
        output.read_line(&mut line).expect("the server writes");
    }
    let pid = Pid::from_child(&server);
    let (mut id, mut failed) = (10, 0);
    for limit in [Some(0), None] {
        prlimit(Some(pid), Resource::Fsize, Rlimit { current: limit, maximum: None }).expect("the process is ours");
        for sequence in ALL.iter().flat_map(|a| ALL.iter().flat_map(move |b| ALL.iter().map(move |c| [*a, *b, *c]))) {
            let mut text = String::new();
            let mut expected = Vec::new();
            for sent in sequence {
                let (message, ids) = sent.message(id);
                text += &(message + "\n");
                expected.push(ids);
                id += 3;
            }
            input.write_all(text.as_bytes()).expect("the server reads");
            for expected in expected {
                line.clear();
                output.read_line(&mut line).expect("the server writes");
                assert_eq!(ids(&line), expected, "{sequence:?}");
                failed += usize::from(limit.is_some() && line.contains("\"error\":{\"code\":") && ids(&line).is_u64());
            }
        }
    }
    assert!(failed > 0, "some commits have failed");
    drop(input);
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("replies are UTF-8");
    assert_eq!((rest.as_str(), server.wait().expect("the process is ours").code()), ("", Some(0)));
}
