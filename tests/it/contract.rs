//! The version of the protocol is raised when the contract changes: all of the document but its words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use webstorage_server::openrpc;

use crate::document::keep;

/// What the last version stood for.
const FILE: &str = "schema/contract.txt";

const HEAD: &str = "\
# What this version of the protocol stands for: for each message and each error a digest of its part of
# openrpc.json, without descriptions and examples. `cargo test --test it contract` compares them.
";

/// For each message and each error a digest of what clients rely on.
type Contract = BTreeMap<String, String>;

#[test]
fn the_version_is_raised_with_the_contract() {
    let document = openrpc::document();
    let version = document["info"]["version"].as_str().expect("the document has a version").to_owned();
    let contract = contract_of(&document);
    if let Ok(text) = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE)) {
        let (kept_version, kept) = parse(&text);
        let differences = differences(&kept, &contract);
        let advice = "The section Versions of schema/README.md says which part of it to raise. If nobody has got this version yet, delete \
                      schema/contract.txt instead and run the test again.";
        assert!(
            differences.is_empty() || version != kept_version,
            "The contract has changed, but its version has not:\n{differences}Raise PROTOCOL_VERSION in src/methods/lifecycle.rs from {version}. {advice}"
        );
        let is_gone = kept.keys().any(|name| !contract.contains_key(name));
        assert!(
            !is_gone || numbers(&version)[0] > numbers(&kept_version)[0],
            "The protocol has lost something:\n{differences}That needs a new major version in PROTOCOL_VERSION, {version} is not one. {advice}"
        );
        assert!(numbers(&version) >= numbers(&kept_version), "{version} comes before {kept_version}. {advice}");
    }
    keep(FILE, &print(&version, &contract));
}

fn contract_of(document: &Value) -> Contract {
    let mut contract = Contract::new();
    for method in document["methods"].as_array().expect("the document has methods") {
        let name = method["name"].as_str().expect("methods have names");
        contract.insert(name.to_owned(), digest(&wire(method, document, &mut Vec::new())));
    }
    for (name, error) in document["components"]["errors"].as_object().expect("errors are an object") {
        let mut error = error.clone();
        error["message"].take();
        contract.insert(format!("error {name}"), digest(&wire(&error, document, &mut Vec::new())));
    }
    contract
}

/// A part of the document without what is for people, and with what it refers to in its place. Lists whose order says
/// nothing are sorted, and what can be written in two ways is written in one.
fn wire<'d>(part: &'d Value, document: &'d Value, open: &mut Vec<&'d str>) -> Value {
    const FOR_PEOPLE: [&str; 3] = ["description", "title", "examples"];
    let Value::Object(members) = part else {
        return match part {
            Value::Array(items) => items.iter().map(|item| wire(item, document, open)).collect(),
            _ => part.clone(),
        };
    };
    let mut out = Map::new();
    let mut alternatives = BTreeSet::new();
    for (name, value) in members {
        match (name.as_str(), value) {
            (name, _) if FOR_PEOPLE.contains(&name) => {}
            // The names of properties are not words of the schema.
            ("properties", Value::Object(properties)) => {
                let properties = properties.iter().map(|(name, schema)| (name.clone(), wire(schema, document, open)));
                out.insert(name.clone(), properties.collect::<Map<_, _>>().into());
            }
            ("$ref", Value::String(reference)) => {
                let target = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
                let target = target.unwrap_or_else(|| panic!("{reference} leads nowhere"));
                if open.contains(&reference.as_str()) {
                    out.insert(name.clone(), reference.as_str().into());
                } else if let Some(error) = reference.strip_prefix("#/components/errors/") {
                    // Errors have digests of their own.
                    out.insert("error".to_owned(), error.into());
                } else {
                    open.push(reference);
                    merge(&mut out, wire(target, document, open));
                    open.pop();
                }
            }
            ("allOf", Value::Array(parts)) => parts.iter().for_each(|part| merge(&mut out, wire(part, document, open))),
            ("oneOf" | "anyOf", Value::Array(kinds)) => {
                for kind in kinds {
                    let kind = wire(kind, document, open);
                    match kind.get("alternatives").and_then(Value::as_array) {
                        Some(inner) => alternatives.extend(inner.iter().map(canonical)),
                        None => _ = alternatives.insert(canonical(&kind)),
                    }
                }
            }
            ("enum", Value::Array(values)) => {
                let kind = &members["type"];
                alternatives.extend(values.iter().map(|value| canonical(&json!({ "type": kind, "const": value }))));
            }
            ("required" | "type" | "errors", Value::Array(items)) => {
                let mut items: Vec<Value> = items.iter().map(|item| wire(item, document, open)).collect();
                items.sort_by_key(canonical);
                out.insert(name.clone(), items.into());
            }
            _ => _ = out.insert(name.clone(), wire(value, document, open)),
        }
    }
    if !alternatives.is_empty() {
        if members.contains_key("enum") {
            out.remove("type");
        }
        let alternatives = alternatives.iter().map(|text| serde_json::from_str::<Value>(text).expect("it was written as JSON"));
        out.insert("alternatives".to_owned(), alternatives.collect());
    }
    Value::Object(out)
}

fn merge(into: &mut Map<String, Value>, from: Value) {
    let Value::Object(from) = from else { panic!("{from} is no schema") };
    into.extend(from);
}

/// JSON with the members of objects in the order of their names.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<_, _> = members.iter().map(|(name, value)| (name, canonical(value))).collect();
            let members: Vec<String> = members.into_iter().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        _ => value.to_string(),
    }
}

fn digest(value: &Value) -> String {
    Sha256::digest(canonical(value).as_bytes()).iter().take(8).fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

fn print(version: &str, contract: &Contract) -> String {
    let lines: Vec<String> = contract.iter().map(|(name, digest)| format!("{digest} {name}\n")).collect();
    format!("{HEAD}version {version}\n{}", lines.concat())
}

fn parse(text: &str) -> (String, Contract) {
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let version = lines.next().and_then(|line| line.strip_prefix("version ")).unwrap_or_else(|| panic!("{FILE} has no version"));
    let line = |line: &str| line.split_once(' ').map(|(digest, name)| (name.to_owned(), digest.to_owned()));
    (version.to_owned(), lines.map(|text| line(text).unwrap_or_else(|| panic!("{FILE}: {text}"))).collect())
}

/// What has changed, a line each.
fn differences(before: &Contract, after: &Contract) -> String {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let line = |name: &String| match (before.get(name), after.get(name)) {
        (Some(before), Some(after)) if before == after => String::new(),
        (Some(_), Some(_)) => format!("  {name} has changed\n"),
        (Some(_), None) => format!("  {name} is gone\n"),
        (None, _) => format!("  {name} is new\n"),
    };
    names.into_iter().map(line).collect()
}

fn numbers(version: &str) -> [u32; 3] {
    let numbers: Vec<u32> = version.split('.').map(|part| part.parse().expect("versions are numbers")).collect();
    numbers.try_into().expect("a version has three parts")
}

/// The document after an edit, and what that means for the contract.
fn after(edit: impl FnOnce(&mut Value)) -> String {
    let mut document = openrpc::document();
    let before = contract_of(&document);
    edit(&mut document);
    differences(&before, &contract_of(&document))
}

fn method<'d>(document: &'d mut Value, name: &str) -> &'d mut Value {
    let methods = document["methods"].as_array_mut().expect("the document has methods");
    methods.iter_mut().find(|method| method["name"] == name).expect("the method is there")
}

#[test]
fn words_are_not_the_contract() {
    let same = after(|document| {
        document["info"]["description"] = json!("other words");
        let open = method(document, "storage/open");
        open["description"] = json!("other words");
        open["params"][0]["description"] = json!("other words");
        open["examples"] = json!([]);
        open["errors"].as_array_mut().expect("it can fail").reverse();
        let length = method(document, "storage/length");
        // As a result gets with a description beside its reference.
        length["result"]["schema"]["title"] = json!("other words");
        document["components"]["errors"]["NotFoundError"]["message"] = json!("other words");
        let schemas = document["components"]["schemas"].as_object_mut().expect("schemas are an object");
        let opened = schemas.remove("Opened").expect("the schema is there");
        schemas.insert("Renamed".to_owned(), opened);
        schemas["ErrorName"]["description"] = json!("other words");
        let forms = schemas["StateFormat"]["oneOf"].as_array().expect("there are several");
        let forms: Vec<Value> = forms.iter().map(|form| form["const"].clone()).collect();
        schemas["StateFormat"] = json!({ "type": "string", "enum": forms });
        method(document, "storage/open")["result"]["schema"] = json!({ "allOf": [{ "$ref": "#/components/schemas/Renamed" }] });
        document["methods"].as_array_mut().expect("the document has methods").reverse();
    });
    assert_eq!(same, "");
}

type Edit = fn(&mut Value);

#[test]
fn what_is_on_the_wire_is_the_contract() {
    let edits: [(Edit, &str); 8] = [
        (|document| method(document, "storage/open")["params"][1]["required"] = json!(true), "  storage/open has changed\n"),
        (|document| method(document, "storage/key")["x-alias"] = json!("at"), "  storage/key has changed\n"),
        (
            |document| method(document, "storage/keys")["params"].as_array_mut().expect("it has params").swap(1, 2),
            "  storage/keys has changed\n",
        ),
        (|document| _ = method(document, "storage/clear")["errors"].as_array_mut().map(Vec::pop), "  storage/clear has changed\n"),
        (
            |document| document["components"]["schemas"]["Opened"]["properties"]["title"] = json!({ "type": "string" }),
            "  storage/open has changed\n",
        ),
        (
            |document| _ = document["components"]["schemas"]["StateFormat"]["oneOf"].as_array_mut().map(Vec::pop),
            "  storage/export has changed\n  storage/import has changed\n",
        ),
        (|document| document["components"]["errors"]["TimeoutError"]["code"] = json!(24), "  error TimeoutError has changed\n"),
        (|document| method(document, "storage/flush")["name"] = json!("storage/sync"), "  storage/flush is gone\n  storage/sync is new\n"),
    ];
    for (edit, expected) in edits {
        assert_eq!(after(edit), expected);
    }
}
