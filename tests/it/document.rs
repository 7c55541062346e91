//! The committed documents of the protocol are what the method table says.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};
use webstorage_server::openrpc;
use webstorage_server::transcript::Framing;

use crate::peer::{PROGRAM, Peer};

/// Compares a generated file with what it should be, and rewrites it if it differs.
pub fn keep(path: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if fs::read_to_string(&path).is_ok_and(|found| found == wanted) {
        return;
    }
    fs::write(&path, wanted).expect("the repository is writable");
    panic!(
        "{} was out of date. It has been generated again from the method table: look at the difference, run the test once more, and commit the file.",
        path.display()
    );
}

#[test]
fn the_openrpc_document_is_current() {
    keep("schema/openrpc.json", &openrpc::pretty(&openrpc::document()));
}

#[test]
fn the_schema_of_the_settings_is_current() {
    keep("schema/settings.json", &openrpc::pretty(&openrpc::settings()));
}

#[test]
fn the_program_prints_the_document() {
    let output = Command::new(PROGRAM).arg("schema").output().expect("the server was built");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), openrpc::pretty(&openrpc::document()));
}

/// OpenRPC's meta-schema refers to a copy of JSON Schema's own, draft 7, which the validator has under its
/// usual name.
fn meta_schema() -> Value {
    let text = include_str!("../openrpc/meta-schema.json")
        .replace(
            "\"https://meta.json-schema.tools/#/definitions/JSONSchemaObject/properties/$ref\"",
            "\"http://json-schema.org/draft-07/schema#/properties/$ref\"",
        )
        .replace("\"https://meta.json-schema.tools/\"", "\"http://json-schema.org/draft-07/schema#\"")
        .replace("\"https://meta.json-schema.tools\"", "\"http://json-schema.org/draft-07/schema#\"");
    serde_json::from_str(&text).expect("the meta-schema is JSON")
}

#[test]
fn the_document_is_valid_openrpc() {
    let validator = jsonschema::draft7::new(&meta_schema()).expect("the meta-schema is a schema");
    let document = openrpc::document();
    let faults: Vec<String> = validator.iter_errors(&document).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let mut broken = document;
    broken["methods"][0]["params"] = json!({});
    assert!(!validator.is_valid(&broken), "the meta-schema finds what is wrong");
}

#[test]
fn every_method_is_described() {
    for method in openrpc::document()["methods"].as_array().expect("the document has methods") {
        let name = &method["name"];
        assert!(method["description"].as_str().is_some_and(|text| text.ends_with('.')), "{name} has a description");
        assert!(method["examples"][0].is_object(), "{name} has an example: give its row of the method table one");
        for param in method["params"].as_array().expect("params are a list") {
            assert!(param["description"].is_string(), "{name}: {} has a doc comment", param["name"]);
        }
    }
}

/// Whether a result has everything that an example shows; lists of names are shortened there, and the place of the
/// storage directory is the test's own.
fn shows(example: &Value, result: &Value) -> bool {
    match (example, result) {
        (Value::Object(example), Value::Object(result)) => example.iter().all(|(name, value)| match (name.as_str(), result.get(name)) {
            (_, None) => false,
            ("storageDir" | "path" | "movedTo", Some(place)) => place.is_string(),
            ("commands" | "methods" | "notifications", Some(Value::Array(all))) => {
                value.as_array().is_some_and(|some| some.iter().all(|name| all.contains(name)))
            }
            (_, Some(other)) => shows(value, other),
        }),
        _ => example == result,
    }
}

/// Lines of a conversation: the calls of an example, with the params of its own one.
fn calls_of(method: &Value, example: &Value) -> Vec<String> {
    let before = example["x-before"].as_array().cloned().unwrap_or_default();
    let mut calls: Vec<Value> = before;
    if method["x-messageDirection"] == "clientToServer" {
        let given = example["params"].as_array().expect("params are a list").iter();
        let params: serde_json::Map<String, Value> =
            given.map(|param| (param["name"].as_str().unwrap_or_default().to_owned(), param["value"].clone())).collect();
        calls.push(json!({ "method": method["name"], "params": params }));
    }
    let message =
        |(index, call): (usize, &Value)| json!({ "jsonrpc": "2.0", "id": index + 1, "method": call["method"], "params": call["params"] });
    calls.iter().enumerate().map(message).map(|message| message.to_string()).collect()
}

#[test]
fn the_examples_are_true() {
    let mut faults = Vec::new();
    for method in openrpc::document()["methods"].as_array().expect("the document has methods") {
        let name = method["name"].as_str().expect("methods have names");
        let example = &method["examples"][0];
        // These take more than a few calls, and have tests of their own.
        if ["storage/overflow", "storage/salvage", "$/progress"].contains(&name)
            || (method["x-kind"] == "notification" && method["x-messageDirection"] == "clientToServer")
        {
            continue;
        }
        let dir = tempfile::tempdir().expect("the temporary directory is writable");
        let dir = dir.path().to_str().expect("the path is UTF-8");
        let mut peer = Peer::start(Framing::Lines, ["--enable-test-methods", "--storage-dir", dir]);
        for call in calls_of(method, example) {
            peer.send(&call);
        }
        peer.close();
        let messages: Vec<Value> =
            std::iter::from_fn(|| peer.receive()).map(|message| serde_json::from_str(&message).expect("messages are JSON")).collect();
        if method["x-kind"] == "call" {
            let reply = messages.iter().rfind(|message| message.get("id").is_some()).expect("the call is answered");
            let wanted = &example["result"]["value"];
            if !shows(wanted, &reply["result"]) {
                faults.push(format!("{name}: the example shows {wanted}, the server replies {reply}"));
            }
        } else {
            let params = example["params"].as_array().expect("params are a list").iter();
            let wanted: serde_json::Map<String, Value> =
                params.map(|param| (param["name"].as_str().unwrap_or_default().to_owned(), param["value"].clone())).collect();
            if !messages.iter().any(|message| message["method"] == name && message["params"] == Value::Object(wanted.clone())) {
                faults.push(format!("{name}: the example shows {wanted:?}, the server sends {messages:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// An object of the document.
pub fn object(value: &Value) -> &Map<String, Value> {
    value.as_object().expect("the document has an object there")
}

/// A list of the document; what is absent is empty.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A string of the document.
pub fn text(value: &Value) -> &str {
    value.as_str().expect("the document has a string there")
}

/// The last part of a reference: the name of what it leads to.
pub fn last(reference: &Value) -> &str {
    text(reference).rsplit('/').next().unwrap_or_default()
}
