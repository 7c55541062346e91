//! The protocol for people who type JSON by hand, generated from the OpenRPC document.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use webstorage_server::openrpc;

use crate::document::{keep, last, list, object, text};

#[test]
fn the_reference_is_current() {
    keep("schema/README.md", &generate(&openrpc::document()));
}

/// The errors that are said once for all calls.
const OF_EVERY_CALL: [&str; 3] = ["InvalidRequest", "InvalidParams", "InternalError"];

/// The whole file.
fn generate(document: &Value) -> String {
    let version = text(&document["info"]["version"]);
    let mut out = include_str!("reference/begin.md").replace("VERSION", version);
    let methods = list(&document["methods"]);
    let usual = usual_beginning(methods);
    let lines: Vec<String> = list(usual).iter().enumerate().map(|(index, call)| sent(call, index + 1)).collect();
    write(&mut out, &format!("```jsonc\n{}\n```\n\n", lines.join("\n")));
    table_of_methods(&mut out, methods);
    out.push_str("## Messages of the client\n\n");
    for method in methods.iter().filter(|method| method["x-messageDirection"] == "clientToServer") {
        describe(&mut out, method, document, usual);
    }
    out.push_str(
        "## Messages of the server\n\nEach is sent only after the client has asked for it, and never before the reply to `initialize`.\n\n",
    );
    for method in methods.iter().filter(|method| method["x-messageDirection"] == "serverToClient") {
        describe(&mut out, method, document, usual);
    }
    errors(&mut out, document);
    options(&mut out, document);
    out.push_str(&include_str!("reference/end.md").replace("VERSION", version));
    out
}

/// The calls that most examples begin with.
fn usual_beginning(methods: &[Value]) -> &Value {
    let of = |method: &Value| method["name"] == "storage/getItem";
    &methods.iter().find(|method| of(method)).expect("getItem is a method")["examples"][0]["x-before"]
}

fn table_of_methods(out: &mut String, methods: &[Value]) {
    out.push_str("| message | params | result |\n|---|---|---|\n");
    for method in methods {
        let params: Vec<String> = list(&method["params"])
            .iter()
            .map(|param| format!("{}{}", text(&param["name"]), if param["required"] == true { "" } else { "?" }))
            .collect();
        let is_call = method["x-kind"] == "call";
        let result = if is_call { type_of(&method["result"]["schema"]) } else { "*none, a notification*".to_owned() };
        let name = text(&method["name"]);
        write(out, &format!("| [`{name}`](#{}) | {} | {result} |\n", anchor(name), params.join(", ")));
    }
    out.push('\n');
}

fn describe(out: &mut String, method: &Value, document: &Value, usual: &Value) {
    let name = text(&method["name"]);
    write(out, &format!("### `{name}`\n\n{}\n", text(&method["description"])));
    let mut names = Vec::new();
    if let Some(alias) = method["x-alias"].as_str() {
        names.push(format!("The bare name `{alias}` does the same."));
    }
    if let Some(command) = method["x-command"].as_str() {
        names.push(format!("As a command: `{command}`."));
    }
    if !names.is_empty() {
        write(out, &format!("\n{}\n", names.join(" ")));
    }
    let params = list(&method["params"]);
    if !params.is_empty() {
        let from_client = method["x-messageDirection"] == "clientToServer";
        out.push_str("\n| param | type | |\n|---|---|---|\n");
        for param in params {
            let required = param["required"] == true;
            let optional = match (required, from_client) {
                (true, _) => "",
                (false, true) => "*Optional.* ",
                (false, false) => "*Not always there.* ",
            };
            let kind = type_of(&without_null(&param["schema"], required || !from_client));
            let description = param["description"].as_str().unwrap_or_default();
            write(out, &format!("| `{}` | {kind} | {optional}{description} |\n", text(&param["name"])));
        }
        components(out, &method["params"], document);
    }
    if method["x-kind"] == "call" {
        let schema = &method["result"]["schema"];
        write(out, &format!("\nResult: {}.\n", type_of(schema)));
        components(out, schema, document);
        let own: Vec<&str> =
            list(&method["errors"]).iter().map(|error| last(&error["$ref"])).filter(|name| !OF_EVERY_CALL.contains(name)).collect();
        if !own.is_empty() {
            write(out, &format!("\nErrors: {}.\n", own.join(", ")));
        }
    }
    if let Some(example) = method["examples"].get(0) {
        conversation(out, method, example, usual);
    }
    out.push('\n');
}

/// The members of every object that a value is made of.
fn components(out: &mut String, schema: &Value, document: &Value) {
    let mut waiting = references(schema);
    let mut shown: Vec<String> = Vec::new();
    while let Some(name) = waiting.pop() {
        let schema = &document["components"]["schemas"][&name];
        // The options have a section of their own.
        if shown.contains(&name) || !schema["properties"].is_object() || name == "InitializationOptions" {
            continue;
        }
        write(out, &format!("\n| *{name}* | type | |\n|---|---|---|\n"));
        for (member, property) in object(&schema["properties"]) {
            let optional = if is_required(schema, member) { "" } else { "*Not always there.* " };
            let description = property["description"].as_str().unwrap_or_default();
            write(out, &format!("| `{member}` | {} | {optional}{description} |\n", type_of(property)));
            waiting.splice(0..0, references(property));
        }
        shown.push(name);
    }
}

fn conversation(out: &mut String, method: &Value, example: &Value, usual: &Value) {
    let params: Map<String, Value> =
        list(&example["params"]).iter().map(|param| (text(&param["name"]).to_owned(), param["value"].clone())).collect();
    let before = example.get("x-before").unwrap_or(&Value::Null);
    let is_call = method["x-kind"] == "call";
    let id = list(before).len() + 1;
    out.push_str(match before {
        Value::Null => "\n",
        before if before == usual => "\nAfter the calls above:\n\n",
        _ => "\nExample:\n\n",
    });
    out.push_str("```jsonc\n");
    if !before.is_null() && before != usual {
        for (index, call) in list(before).iter().enumerate() {
            write(out, &format!("{}\n", sent(call, index + 1)));
        }
    }
    let mut message = json!({ "jsonrpc": "2.0" });
    if is_call {
        message["id"] = json!(id);
    }
    message["method"] = method["name"].clone();
    if !params.is_empty() {
        message["params"] = params.into();
    }
    let from_server = method["x-messageDirection"] == "serverToClient";
    write(out, &format!("{} {message}\n", if from_server { "<--" } else { "-->" }));
    // What the document of a protocol returns when asked for itself need not be in itself.
    let result = &example["result"]["value"];
    if is_call && method["name"] == "rpc.discover" {
        write(out, &format!("<-- {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"openrpc\":\"1.3.2\",…}}}}\n"));
    } else if is_call {
        write(out, &format!("<-- {}\n", json!({ "jsonrpc": "2.0", "id": id, "result": result })));
    }
    out.push_str("```\n");
    if method["name"] == "initialize" {
        out.push_str("\nThe lists are shortened here.\n");
    }
}

/// A call of an example as it is sent.
fn sent(call: &Value, id: usize) -> String {
    format!("--> {}", json!({ "jsonrpc": "2.0", "id": id, "method": call["method"], "params": call["params"] }))
}

fn errors(out: &mut String, document: &Value) {
    out.push_str(
        "## Errors\n\nBesides those listed with each message, every call can fail with InvalidRequest, InvalidParams or InternalError. The `name` in the data of every error is the one in this table; for a storage error it is that of the `DOMException` a client should throw, and its code that exception's legacy \
         code, or one from 100 on where it has none.\n\n| code | name | | data |\n|---|---|---|---|\n",
    );
    for (name, error) in object(&document["components"]["errors"]) {
        let data = members_of(&document["components"]["schemas"][last(&error["data"]["$ref"])]);
        write(out, &format!("| {} | {name} | {} | {data} |\n", error["code"], text(&error["message"])));
    }
    out.push_str(
        "\n```jsonc\n--> {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"storage/open\",\"params\":{\"persistent\":false,\"quota\":16}}\n\
         <-- {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"storage\":1,\"persistent\":false,\"origin\":\"http://localhost\",\"length\":0,\"usage\":0,\"quota\":16}}\n\
         --> {\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"storage/setItem\",\"params\":{\"storage\":1,\"key\":\"too\",\"value\":\"long\",\"ttl\":60}}\n\
         <-- {\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32602,\"message\":\"Invalid params: ttl: unknown field `ttl`, expected one of `storage`, `key`, `value`\",\"data\":{\"name\":\"InvalidParams\",\"param\":\"ttl\"}}}\n```\n\n",
    );
}

/// The members of the data of an error, in one line.
fn members_of(schema: &Value) -> String {
    let members = object(&schema["properties"]).iter().map(|(member, property)| match property["const"].as_str() {
        Some(name) => format!("`{member}`: `\"{name}\"`"),
        None => format!("`{member}`{}: {}", if is_required(schema, member) { "" } else { "?" }, type_of(property)),
    });
    members.collect::<Vec<_>>().join(", ")
}

fn is_required(schema: &Value, member: &str) -> bool {
    schema["required"].as_array().is_some_and(|required| required.iter().any(|required| required == member))
}

fn options(out: &mut String, document: &Value) {
    out.push_str(
        "## Initialization options\n\n`initializationOptions` of `initialize`. Each is optional and goes before the server's flags and environment; a wrong one is \
         an error that names it, and `initialize` can be tried again.\n\n| option | type | |\n|---|---|---|\n",
    );
    for (name, property) in object(&document["components"]["schemas"]["InitializationOptions"]["properties"]) {
        let description = property["description"].as_str().unwrap_or_default();
        write(out, &format!("| `{name}` | {} | {description} |\n", type_of(&without_null(property, false))));
    }
    out.push('\n');
}

/// A schema in words.
fn type_of(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        return match reference.rsplit('/').next().unwrap_or_default() {
            "DOMString" => "string".to_owned(),
            "ByteCount" | "Count" | "UnsignedLong" => "integer".to_owned(),
            "IllFormedStrings" => "`\"escape\"` or `\"replace\"`".to_owned(),
            "TraceValue" => "`\"off\"`, `\"messages\"` or `\"verbose\"`".to_owned(),
            "Id" => "number or string".to_owned(),
            "InitializationOptions" => "[options](#initialization-options)".to_owned(),
            "OpenrpcDocument" => "an OpenRPC document".to_owned(),
            name => format!("*{name}*"),
        };
    }
    for union in ["anyOf", "oneOf"] {
        if let Some(members) = schema[union].as_array() {
            return members.iter().map(type_of).collect::<Vec<_>>().join(" or ");
        }
    }
    if let Some([only]) = schema["allOf"].as_array().map(Vec::as_slice) {
        return type_of(only);
    }
    match &schema["type"] {
        Value::String(kind) => named_type(kind, schema),
        Value::Array(kinds) => kinds.iter().map(|kind| named_type(text(kind), schema)).collect::<Vec<_>>().join(" or "),
        _ => "any JSON".to_owned(),
    }
}

fn named_type(kind: &str, schema: &Value) -> String {
    if kind != "array" {
        return kind.to_owned();
    }
    match type_of(&schema["items"]).as_str() {
        "string" => "array of strings".to_owned(),
        item if item.contains(' ') => format!("array of ({item})"),
        item => format!("array of {item}"),
    }
}

/// An optional param may be null, which means the same as leaving it out and need not be said each time.
fn without_null(schema: &Value, required: bool) -> Value {
    let mut schema = schema.clone();
    if !required {
        for members in ["type", "anyOf"] {
            if let Some(members) = schema[members].as_array_mut() {
                members.retain(|member| member != "null" && member["type"] != "null");
            }
        }
    }
    schema
}

/// The names of the components that a schema refers to.
fn references(schema: &Value) -> Vec<String> {
    match schema {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match value {
                Value::String(reference) if name == "$ref" => vec![reference.rsplit('/').next().unwrap_or_default().to_owned()],
                value => references(value),
            })
            .collect(),
        Value::Array(members) => members.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// The anchor of a heading as code hosts make it.
fn anchor(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect::<String>().to_lowercase()
}

fn write(out: &mut String, text: &str) {
    out.write_str(text).expect("a string takes any text");
}
