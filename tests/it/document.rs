//! The committed documents of the protocol are what the method table says.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use webstorage_server::openrpc;

use crate::peer::PROGRAM;

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
