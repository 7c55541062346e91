//! The protocol as TypeScript, generated from the OpenRPC document for the clients that are written in it.

use std::fmt::Write;

use serde_json::{Map, Value};

use webstorage_server::openrpc;

use crate::document::{keep, last, list, object, text};

#[test]
fn the_typescript_is_current() {
    keep("clients/node/packages/webstorage-client/src/protocol.ts", &generate(&openrpc::document()));
}

/// The whole file.
fn generate(document: &Value) -> String {
    let mut out = String::from(
        "// Generated from schema/openrpc.json by `cargo test`, which also finds out when it is out of date. Do not edit.\n\n",
    );
    write(&mut out, "/** The version of the protocol: clients work with every later one of the same major version. */\n");
    write(&mut out, &format!("export const protocolVersion = {};\n", document["info"]["version"]));
    for (name, schema) in object(&document["components"]["schemas"]) {
        declare(&mut out, name, schema);
    }
    let methods = list(&document["methods"]);
    for method in methods {
        declare_params(&mut out, method);
    }
    let of = |direction: &str, kind: &str| -> Vec<&Value> {
        methods.iter().filter(|method| method["x-messageDirection"] == direction && method["x-kind"] == kind).collect()
    };
    interface(&mut out, "Methods", "The methods: what a client can call.", &of("clientToServer", "call"));
    interface(&mut out, "ClientNotifications", "What a client can send without getting a reply.", &of("clientToServer", "notification"));
    interface(&mut out, "ServerNotifications", "What the server sends, after it was asked for.", &of("serverToClient", "notification"));
    declare_errors(&mut out, object(&document["components"]["errors"]));
    out
}

fn declare(out: &mut String, name: &str, schema: &Value) {
    out.push('\n');
    comment(out, "", schema["description"].as_str());
    if schema["properties"].is_object() {
        write(out, &format!("export interface {name} {}\n", members(schema, "")));
    } else {
        write(out, &format!("export type {name} = {};\n", type_of(schema, "")));
    }
}

/// The params of a method by name, and where the server takes them so, by position.
fn declare_params(out: &mut String, method: &Value) {
    let params = list(&method["params"]);
    if params.is_empty() {
        return;
    }
    let name = params_name(method);
    write(out, &format!("\n/** Params of `{}`. */\nexport interface {name} {{\n", text(&method["name"])));
    for param in params {
        comment(out, "  ", param["description"].as_str());
        let mark = if param["required"] == true { "" } else { "?" };
        write(out, &format!("  {}{mark}: {};\n", text(&param["name"]), type_of(&param["schema"], "  ")));
    }
    out.push_str("}\n");
    if method["paramStructure"] == "either" {
        let positions: Vec<String> = params
            .iter()
            .map(|param| {
                let mark = if param["required"] == true { "" } else { "?" };
                // A few names of params are no names in TypeScript.
                let name = if param["name"] == "if" { "conditions" } else { text(&param["name"]) };
                format!("{name}{mark}: {}", type_of(&param["schema"], ""))
            })
            .collect();
        write(out, &format!("\n/** The same by position. */\nexport type {name}ByPosition = [{}];\n", positions.join(", ")));
    }
}

fn interface(out: &mut String, name: &str, description: &str, methods: &[&Value]) {
    write(out, &format!("\n/** {description} */\nexport interface {name} {{\n"));
    for method in methods {
        comment(out, "  ", method["description"].as_str());
        let params = if list(&method["params"]).is_empty() { "Record<string, never> | undefined".to_owned() } else { params_name(method) };
        write(out, &format!("  {}: {{\n    params: {params};\n", method["name"]));
        if method["paramStructure"] == "either" && !list(&method["params"]).is_empty() {
            write(out, &format!("    paramsByPosition: {params}ByPosition;\n"));
        }
        if method["x-kind"] == "call" {
            write(out, &format!("    result: {};\n", type_of(&method["result"]["schema"], "    ")));
            let errors: Vec<String> = list(&method["errors"]).iter().map(|error| format!("\"{}\"", last(&error["$ref"]))).collect();
            write(out, &format!("    errors: {};\n", errors.join(" | ")));
        }
        out.push_str("  };\n");
        if let Some(alias) = method["x-alias"].as_str() {
            write(out, &format!("  {alias}: {name}[{}];\n", method["name"]));
        }
    }
    out.push_str("}\n");
}

fn declare_errors(out: &mut String, errors: &Map<String, Value>) {
    out.push_str("\n/** The code of each error. */\nexport const errorCodes = {\n");
    for (name, error) in errors {
        comment(out, "  ", error["message"].as_str());
        write(out, &format!("  {name}: {},\n", error["code"]));
    }
    out.push_str("} as const;\n\n/** The `data` of each error. */\nexport interface ErrorData {\n");
    for (name, error) in errors {
        write(out, &format!("  {name}: {};\n", last(&error["data"]["$ref"])));
    }
    out.push_str("}\n");
}

/// A schema as a type. `indent` is that of the line it stands on.
fn type_of(schema: &Value, indent: &str) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        return reference.rsplit('/').next().unwrap_or_default().to_owned();
    }
    if let Some(literal) = schema.get("const") {
        return literal.to_string();
    }
    for union in ["anyOf", "oneOf", "enum"] {
        if let Some(members) = schema[union].as_array() {
            let members: Vec<String> =
                members.iter().map(|member| if union == "enum" { member.to_string() } else { type_of(member, indent) }).collect();
            return members.join(" | ");
        }
    }
    if let Some([only]) = schema["allOf"].as_array().map(Vec::as_slice) {
        return type_of(only, indent);
    }
    match &schema["type"] {
        Value::String(kind) => named_type(kind, schema, indent),
        Value::Array(kinds) => kinds.iter().map(|kind| named_type(text(kind), schema, indent)).collect::<Vec<_>>().join(" | "),
        _ => "unknown".to_owned(),
    }
}

fn named_type(kind: &str, schema: &Value, indent: &str) -> String {
    match kind {
        "integer" => "number".to_owned(),
        "array" => {
            let item = type_of(&schema["items"], indent);
            if item.contains(' ') { format!("({item})[]") } else { format!("{item}[]") }
        }
        "object" if schema["properties"].is_object() => members(schema, indent),
        "object" => "Record<string, unknown>".to_owned(),
        other => other.to_owned(),
    }
}

/// The members of an object, in braces.
fn members(schema: &Value, indent: &str) -> String {
    let mut out = String::from("{\n");
    let inner = format!("{indent}  ");
    for (name, property) in object(&schema["properties"]) {
        comment(&mut out, &inner, property["description"].as_str());
        let required = schema["required"].as_array().is_some_and(|required| required.iter().any(|required| required == name));
        write(&mut out, &format!("{inner}{name}{}: {};\n", if required { "" } else { "?" }, type_of(property, &inner)));
    }
    write(&mut out, &format!("{indent}}}"));
    out
}

/// `storage/getItem` has `GetItemParams`, and the notification `storage/event` has `StorageEventParams`.
fn params_name(method: &Value) -> String {
    let capitalized = |word: &str| {
        let (first, rest) = word.split_at(usize::from(!word.is_empty()));
        format!("{}{rest}", first.to_uppercase())
    };
    let words: Vec<String> = text(&method["name"]).split(['/', '.', '$']).map(capitalized).collect();
    let from_server = method["x-messageDirection"] == "serverToClient";
    format!("{}Params", if from_server { words.concat() } else { words.last().cloned().unwrap_or_default() })
}

fn comment(out: &mut String, indent: &str, description: Option<&str>) {
    if let Some(description) = description {
        let lines: Vec<&str> = description.split('\n').filter(|line| !line.is_empty()).collect();
        match lines.as_slice() {
            [only] => write(out, &format!("{indent}/** {only} */\n")),
            lines => write(out, &format!("{indent}/**\n{indent} * {}\n{indent} */\n", lines.join(&format!("\n{indent} * ")))),
        }
    }
}

fn write(out: &mut String, text: &str) {
    out.write_str(text).expect("a string takes any text");
}
