//! The protocol as a document: the method table as OpenRPC, with a JSON Schema of everything on the wire.
//!
//! What OpenRPC has no word for is in members that begin with `x-`: who sends a message, whether it gets a
//! reply, a method's other name, its name as a command, and whether params that are not listed are refused.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::method::{Direction, Example, Kind, Method, OF_EVERY_CALL};
use crate::methods::{PROTOCOL_VERSION, table};
use crate::protocol::{Code, ErrorData, InitializationOptions};

/// The OpenRPC document.
#[must_use]
pub fn document() -> Value {
    let mut generator =
        SchemaSettings::draft07().with(|settings| settings.definitions_path = "/components/schemas".into()).into_generator();
    let methods: Vec<Value> = table().iter().map(|method| describe(method, &mut generator)).collect();
    let fields = properties(&generate::<ErrorData>(&mut generator));
    let mut schemas = generator.take_definitions(true);
    let mut errors = Map::new();
    for code in Code::ALL {
        let name = format!("{}Data", code.name());
        let error = json!({ "code": code.number(), "message": code.description(), "data": reference("schemas", &name) });
        schemas.insert(name, data_of(*code, &fields));
        errors.insert(code.name().to_owned(), error);
    }
    let mut document = json!({
        "openrpc": "1.3.2",
        "info": {
            "title": env!("CARGO_PKG_NAME"),
            "version": PROTOCOL_VERSION,
            "description": env!("CARGO_PKG_DESCRIPTION"),
            "license": { "name": env!("CARGO_PKG_LICENSE") },
        },
        "methods": methods,
        "components": { "schemas": schemas, "errors": errors },
    });
    tidy(&mut document);
    document
}

/// The schema of `initializationOptions`, which is also that of a host's settings for this server.
#[must_use]
pub fn settings() -> Value {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<InitializationOptions<'_>>();
    schema.insert("title".to_owned(), json!("Settings of webstorage-server"));
    let mut schema = schema.to_value();
    tidy(&mut schema);
    schema
}

/// The document as text, for a file.
#[must_use]
pub fn pretty(document: &Value) -> String {
    format!("{document:#}\n")
}

fn describe(method: &Method, generator: &mut SchemaGenerator) -> Value {
    let schema = (method.params)(generator).to_value();
    let other_params_refused = schema.get("additionalProperties") == Some(&json!(false));
    let params: Vec<Value> = properties(&schema)
        .into_iter()
        .map(|(name, mut property)| {
            let description = property.as_object_mut().and_then(|schema| schema.shift_remove("description"));
            let required = is_required(&schema, &name);
            let mut param = json!({ "name": name });
            if let Some(description) = description {
                param["description"] = description;
            }
            param["required"] = json!(required);
            param["schema"] = property;
            param
        })
        .collect();
    let mut described = json!({
        "name": method.name,
        "description": method.description,
        // LSP's own messages and everything the server sends have params by name.
        "paramStructure": if other_params_refused && method.direction == Direction::ClientToServer { "either" } else { "by-name" },
        "params": params,
    });
    if method.kind == Kind::Call {
        described["result"] = json!({ "name": "result", "schema": (method.result)(generator).to_value() });
        let errors = OF_EVERY_CALL.iter().chain(method.errors.iter().filter(|code| !OF_EVERY_CALL.contains(code)));
        described["errors"] = errors.map(|code| reference("errors", code.name())).collect();
    }
    if let Some(example) = &method.example {
        described["examples"] = json!([pairing(method, example)]);
    }
    described["x-messageDirection"] = json!(match method.direction {
        Direction::ClientToServer => "clientToServer",
        Direction::ServerToClient => "serverToClient",
    });
    described["x-kind"] = json!(match method.kind {
        Kind::Call => "call",
        Kind::Notification => "notification",
    });
    described["x-otherParams"] = json!(if other_params_refused { "refused" } else { "ignored" });
    if let Some(alias) = method.alias {
        described["x-alias"] = json!(alias);
    }
    if let Some(command) = method.command() {
        described["x-command"] = json!(command);
    }
    described
}

/// An example as OpenRPC has it: the params one by one.
fn pairing(method: &Method, example: &Example) -> Value {
    let parse = |text: &str| serde_json::from_str::<Value>(text).expect("the table's examples are JSON, as a test of the document sees");
    let params = match example.params {
        "" => Vec::new(),
        text => match parse(text) {
            Value::Object(members) => members.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect(),
            _ => Vec::new(),
        },
    };
    let mut pairing = json!({ "name": method.name, "params": params });
    if method.kind == Kind::Call {
        pairing["result"] = json!({ "name": "result", "value": parse(example.result) });
    }
    let before: Vec<Value> = example.before.iter().map(|(method, params)| json!({ "method": method, "params": parse(params) })).collect();
    if !before.is_empty() {
        pairing["x-before"] = before.into();
    }
    pairing
}

/// The schema of the `data` of an error.
fn data_of(code: Code, fields: &Map<String, Value>) -> Value {
    let mut properties = Map::new();
    let mut required = vec!["name"];
    let name = json!({ "const": code.name(), "description": "The name of the error; that of a storage error is the name of the exception that a client should throw." });
    properties.insert("name".to_owned(), name);
    for field in code.always().iter().chain(code.sometimes()) {
        let schema = fields.get(*field).expect("the codes' fields are fields of ErrorData");
        properties.insert((*field).to_owned(), not_null(schema.clone()));
    }
    required.extend(code.always());
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// A field of `ErrorData` is left out where it is none, and so is never null.
fn not_null(mut schema: Value) -> Value {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            schema["type"] = only.clone();
        }
    } else if let Some(Value::Array(kinds)) = schema.get_mut("anyOf") {
        kinds.retain(|kind| kind.get("type") != Some(&json!("null")));
    }
    schema
}

/// Takes out what says nothing on the wire: Rust's sizes of integers, defaults that stand for "left out", and
/// the ends of lines in doc comments.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if members.get("default").is_some_and(Value::is_null) {
                members.shift_remove("default");
            }
            if members.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint") || format.starts_with("int")) {
                members.shift_remove("format");
            }
            if let Some(Value::String(description)) = members.get_mut("description") {
                let paragraphs: Vec<String> = description.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
                *description = paragraphs.join("\n\n");
            }
            members.values_mut().for_each(tidy);
        }
        Value::Array(members) => members.iter_mut().for_each(tidy),
        _ => {}
    }
}

fn generate<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    T::json_schema(generator).to_value()
}

fn properties(schema: &Value) -> Map<String, Value> {
    schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default()
}

fn is_required(schema: &Value, name: &str) -> bool {
    schema.get("required").and_then(Value::as_array).is_some_and(|required| required.iter().any(|required| required == name))
}

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}
