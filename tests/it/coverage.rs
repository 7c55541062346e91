//! Every method, notification, error code and optional param of the document is in a transcript.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use webstorage_server::openrpc;

use crate::conformance::without_lone_surrogates;

/// What the transcripts contain.
#[derive(Default)]
struct Contents {
    /// For each name of a method the calls: which params they give by name, or how many by position.
    calls: BTreeMap<String, Vec<Given>>,
    /// Names of the server's notifications.
    notifications: BTreeSet<String>,
    /// Names and numbers of errors.
    errors: BTreeSet<String>,
}

/// Which params a call gives.
enum Given {
    Names(BTreeSet<String>),
    Count(usize),
}

impl Given {
    fn has(&self, name: &str, position: usize) -> bool {
        match self {
            Given::Names(names) => names.contains(name),
            Given::Count(count) => position < *count,
        }
    }
}

impl Contents {
    fn of_all_transcripts() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protocol");
        let mut contents = Contents::default();
        for entry in fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("the folder can be read").path();
            if path.extension().is_some_and(|extension| extension == "txt") {
                contents.read(&fs::read_to_string(path).expect("transcripts are text"));
            }
        }
        contents
    }

    fn read(&mut self, transcript: &str) {
        let mut steps: Vec<String> = Vec::new();
        for line in transcript.lines() {
            match steps.last_mut() {
                Some(step) if line.starts_with([' ', '\t']) => step.push_str(line.trim_start()),
                _ => steps.push(line.to_owned()),
            }
        }
        for step in &steps {
            // A step may begin with the name of its connection.
            let step = step.trim_start_matches(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit());
            if let Some(sent) = step.strip_prefix("--> ") {
                self.read_sent(&without_placeholders(sent));
            } else if let Some(expected) = step.strip_prefix("<~~ ") {
                let name = expected.split(' ').next().unwrap_or_default();
                self.notifications.insert(name.to_owned());
            } else if let Some(expected) = step.strip_prefix("<-- ") {
                if let Some((_, error)) = expected.split_once("! ") {
                    self.errors.insert(error.split(' ').next().unwrap_or_default().to_owned());
                }
                for code in expected.split("\"code\":").skip(1) {
                    self.errors.insert(code.split([',', '}']).next().unwrap_or_default().to_owned());
                }
            }
        }
    }

    fn read_sent(&mut self, sent: &str) {
        if sent.starts_with(['{', '[']) {
            if let Ok(message) = serde_json::from_str::<Value>(sent) {
                for message in message.as_array().map_or(std::slice::from_ref(&message), Vec::as_slice) {
                    if let Some(method) = message["method"].as_str() {
                        self.call(method, &message["params"]);
                    }
                }
            }
            return;
        }
        let mut values = serde_json::Deserializer::from_str(sent).into_iter::<Value>();
        let id = values.next().is_some_and(|id| id.is_ok());
        let rest = if id { sent[values.byte_offset()..].trim_start() } else { sent };
        let (method, params) = rest.split_once(' ').unwrap_or((rest, "{}"));
        self.call(method, &serde_json::from_str(params).unwrap_or_default());
    }

    fn call(&mut self, method: &str, params: &Value) {
        if method == "workspace/executeCommand" && params["command"].is_string() {
            let arguments = match params["arguments"].as_array().map(Vec::as_slice) {
                Some([only]) if only.is_object() => only,
                _ => &params["arguments"],
            };
            let command = params["command"].as_str().unwrap_or_default();
            self.call(&command.replacen("webstorage.", "storage/", 1), arguments);
        }
        let given = match params {
            Value::Array(positions) => Given::Count(positions.len()),
            Value::Object(names) => Given::Names(names.keys().cloned().collect()),
            _ => Given::Count(0),
        };
        self.calls.entry(method.to_owned()).or_default().push(given);
    }
}

/// The text of a step with some value for each placeholder.
fn without_placeholders(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut quoted = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => {
                out.push(c);
                out.extend(rest.chars().next());
                rest = &rest[rest.chars().next().map_or(0, char::len_utf8)..];
                continue;
            }
            '"' => quoted = !quoted,
            '$' if !quoted && rest.starts_with(char::is_alphabetic) => {
                rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
                out.push('1');
                continue;
            }
            '<' if !quoted => {
                rest = rest.split_once('>').map_or("", |(_, rest)| rest);
                out.push_str("\"\"");
                continue;
            }
            _ => {}
        }
        out.push(c);
    }
    without_lone_surrogates(&out)
}

/// What no transcript can bring about: a fault of the server. What comes nearest is an area that has given out all its
/// ordinals, in the tests of `limits`.
const ELSEWHERE: &[&str] = &["the error InternalError"];

#[test]
fn everything_is_in_a_transcript() {
    let contents = Contents::of_all_transcripts();
    let document = openrpc::document();
    let mut missing = Vec::new();
    for method in document["methods"].as_array().expect("the document has methods") {
        let name = method["name"].as_str().expect("methods have names");
        if method["x-messageDirection"] == "serverToClient" {
            if !contents.notifications.contains(name) {
                missing.push(format!("the notification {name}"));
            }
            continue;
        }
        let names = [Some(name), method["x-alias"].as_str()];
        let calls: Vec<&Given> = names.into_iter().flatten().filter_map(|name| contents.calls.get(name)).flatten().collect();
        if calls.is_empty() {
            missing.push(format!("the method {name}"));
            continue;
        }
        for (position, param) in method["params"].as_array().expect("params are a list").iter().enumerate() {
            let param_name = param["name"].as_str().expect("params have names");
            if !calls.iter().any(|call| call.has(param_name, position)) {
                missing.push(format!("{name} with the param {param_name}"));
            }
            if param["required"] == false && calls.iter().all(|call| call.has(param_name, position)) {
                missing.push(format!("{name} without the param {param_name}"));
            }
        }
    }
    for (name, error) in document["components"]["errors"].as_object().expect("errors are an object") {
        if !contents.errors.contains(name) && !contents.errors.contains(&error["code"].to_string()) {
            missing.push(format!("the error {name}"));
        }
    }
    let unexpected: Vec<&String> = missing.iter().filter(|missing| !ELSEWHERE.contains(&missing.as_str())).collect();
    assert!(unexpected.is_empty(), "tests/protocol has no transcript of: {unexpected:#?}");
    let found: Vec<&&str> = ELSEWHERE.iter().filter(|elsewhere| !missing.iter().any(|missing| missing == *elsewhere)).collect();
    assert!(found.is_empty(), "tests/protocol has a transcript by now of: {found:#?}");
}

#[test]
fn what_is_in_a_transcript_is_found() {
    let mut contents = Contents::default();
    contents.read(concat!(
        "# --> 0 storage/none [1]\n--> 1 storage/open [false]\nB--> \"x y\" storage/getItem {\"storage\":$s,\n  \"key\":<\"a\" x 9>}\n",
        "--> exit\n<-- 1 ! -32602 \"key\"\n<~~ storage/event {...}\n--> [{\"jsonrpc\":\"2.0\",\"method\":\"key\",\"params\":[1,\"\\ud800\"]}]\n",
    ));
    let names: Vec<&str> = contents.calls.keys().map(String::as_str).collect();
    assert_eq!(names, ["exit", "key", "storage/getItem", "storage/open"]);
    assert!(contents.calls["storage/getItem"][0].has("key", 1) && !contents.calls["storage/open"][0].has("origin", 1));
    assert!(contents.errors.contains("-32602") && contents.notifications.contains("storage/event"));
}
