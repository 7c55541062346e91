//! What goes over the wire is what the OpenRPC document says: every message of every transcript is validated,
//! and every method, notification, error code and optional param has a transcript.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use webstorage_server::openrpc;

use crate::document::{last, list, text};

/// The document, ready to validate messages.
pub struct Protocol {
    pub methods: BTreeMap<String, Method>,
    /// Validators of the data of errors, by code.
    errors: BTreeMap<i64, (String, Validator)>,
}

/// One method of the document.
pub struct Method {
    pub described: Value,
    by_name: Validator,
    by_position: Validator,
    result: Option<Validator>,
    errors: Vec<String>,
}

/// The protocol as this program describes it.
pub static PROTOCOL: LazyLock<Protocol> = LazyLock::new(|| Protocol::new(&openrpc::document()));

impl Protocol {
    fn new(document: &Value) -> Self {
        let components = &document["components"];
        let compile = |schema: &Value| {
            let schema = json!({ "allOf": [schema], "components": components });
            jsonschema::draft7::new(&schema).expect("the document's schemas are schemas")
        };
        let mut methods = BTreeMap::new();
        for described in list(&document["methods"]) {
            let method = || Method {
                described: described.clone(),
                by_name: compile(&by_name(described)),
                by_position: compile(&by_position(described)),
                result: described.get("result").map(|result| compile(&result["schema"])),
                errors: list(&described["errors"]).iter().map(|error| last(&error["$ref"]).to_owned()).collect(),
            };
            for name in [&described["name"], &described["x-alias"], &described["x-command"]] {
                if let Some(name) = name.as_str() {
                    methods.insert(name.to_owned(), method());
                }
            }
        }
        let errors = components["errors"].as_object().expect("errors are an object").iter();
        let errors = errors
            .map(|(name, error)| {
                let data = compile(&error["data"]);
                (error["code"].as_i64().expect("codes are integers"), (name.clone(), data))
            })
            .collect();
        Protocol { methods, errors }
    }

    /// What the messages in a server's wire log have that the document does not allow.
    pub fn faults(&self, log: &str) -> Vec<String> {
        let mut connections: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
        let mut faults = Vec::new();
        // A test can make any method fail with any error.
        let made_to_fail = log.contains("\"method\":\"test/fail\"");
        for line in log.lines() {
            // A number out of the range of a double is legal, as an id too, but not for this reader.
            let line = without_lone_surrogates(line).replace("1e400", "1e300");
            let Ok(entry) = serde_json::from_str::<Value>(&line) else {
                // Nor is endless nesting.
                assert!(line.contains("\"direction\":\"in\""), "the server sends JSON: {line}");
                continue;
            };
            let pending = connections.entry(entry["connection"].as_u64().unwrap_or_default()).or_default();
            let message = &entry["message"];
            for message in message.as_array().map_or(std::slice::from_ref(message), Vec::as_slice) {
                let checked = match (entry["direction"] == "in", message.get("method").is_some()) {
                    (true, true) if message.get("id").is_some() => {
                        pending.push(message.clone());
                        Ok(())
                    }
                    (true, _) => Ok(()),
                    (false, true) => self.notification(message),
                    (false, false) => self.reply_to_one_of(pending, message),
                };
                let allowed = |fault: &String| made_to_fail && fault.contains("does not list the error");
                faults.extend(checked.err().filter(|fault| !allowed(fault)).map(|fault| format!("{fault}\n  {message}")));
            }
        }
        faults
    }

    fn notification(&self, message: &Value) -> Result<(), String> {
        only_members(message, &["jsonrpc", "method", "params"])?;
        let name = message["method"].as_str().ok_or("method is no string")?;
        let method = self.methods.get(name).ok_or("a notification that the document does not have")?;
        if method.described["x-messageDirection"] != "serverToClient" {
            return Err("a message that only clients send".to_owned());
        }
        check(&method.by_name, &message["params"], "params")
    }

    /// Takes the call that a reply answers from those that wait. What is no call of JSON-RPC's may have the same
    /// id as one that is.
    fn reply_to_one_of(&self, pending: &mut Vec<Value>, reply: &Value) -> Result<(), String> {
        let mut checked = None;
        for index in 0..pending.len() {
            if pending[index]["id"] == reply["id"] {
                checked = Some(self.reply(Some(&pending[index]), reply));
                if checked == Some(Ok(())) {
                    pending.remove(index);
                    break;
                }
            }
        }
        checked.unwrap_or_else(|| self.reply(None, reply))
    }

    fn reply(&self, call: Option<&Value>, reply: &Value) -> Result<(), String> {
        if let Some(error) = reply.get("error") {
            only_members(reply, &["jsonrpc", "id", "error"])?;
            let name = self.error(error)?;
            return match call.and_then(|call| self.method_of(call)) {
                // Anything can be wrong with a call besides what its method does.
                Some((method, _)) if !["ParseError", "InvalidRequest", "MethodNotFound"].contains(&name) => {
                    if method.errors.iter().any(|own| own == name) {
                        return Ok(());
                    }
                    Err(format!("{} does not list the error {name}", method.described["name"]))
                }
                _ => Ok(()),
            };
        }
        only_members(reply, &["jsonrpc", "id", "result"])?;
        let call = call.ok_or("a result without a call")?;
        let (method, params) = self.method_of(call).ok_or("the result of a method that the document does not have")?;
        let result = method.result.as_ref().map_or(Ok(()), |schema| check(schema, &reply["result"], "result"));
        result.and_then(|()| method.check_params(&params)).map_err(|fault| format!("{fault}\n  {call}"))
    }

    /// The name of an error whose code and data are as the document says.
    fn error(&self, error: &Value) -> Result<&str, String> {
        let code = error["code"].as_i64().ok_or("code is no integer")?;
        let (name, data) = self.errors.get(&code).ok_or_else(|| format!("the document has no error {code}"))?;
        if !error["message"].is_string() {
            return Err("an error without a message".to_owned());
        }
        check(data, error.get("data").ok_or("data is missing")?, "data")?;
        Ok(name)
    }

    /// The method of a call and the params for it; those of a command are in its arguments.
    fn method_of<'p>(&'p self, call: &Value) -> Option<(&'p Method, Value)> {
        let name = call["method"].as_str()?;
        if name == "workspace/executeCommand" {
            let method = call["params"]["command"].as_str().and_then(|command| self.methods.get(command))?;
            let arguments = &call["params"]["arguments"];
            let params = match arguments.as_array().map(Vec::as_slice) {
                Some([only]) if only.is_object() => only,
                _ => arguments,
            };
            return Some((method, params.clone()));
        }
        Some((self.methods.get(name)?, call["params"].clone()))
    }
}

impl Method {
    fn check_params(&self, params: &Value) -> Result<(), String> {
        match params {
            Value::Array(_) if self.described["paramStructure"] == "either" => check(&self.by_position, params, "params"),
            Value::Null => check(&self.by_name, &json!({}), "params"),
            Value::Object(_) => check(&self.by_name, params, "params"),
            // LSP's own messages without params do not look at what they are given.
            _ if list(&self.described["params"]).is_empty() => Ok(()),
            _ => Err("params are not given by name".to_owned()),
        }
    }
}

/// The schema of a method's params as an object.
fn by_name(method: &Value) -> Value {
    let params = list(&method["params"]);
    let properties: Map<String, Value> = params.iter().map(|param| (text(&param["name"]).to_owned(), param["schema"].clone())).collect();
    let required: Vec<&str> = params.iter().filter(|param| param["required"] == true).map(|param| text(&param["name"])).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": method["x-otherParams"] == "ignored" })
}

/// The schema of a method's params as an array.
fn by_position(method: &Value) -> Value {
    let params = list(&method["params"]);
    let items: Vec<&Value> = params.iter().map(|param| &param["schema"]).collect();
    let required = params.iter().filter(|param| param["required"] == true).count();
    if items.is_empty() {
        return json!({ "type": "array", "maxItems": 0 });
    }
    json!({ "type": "array", "items": items, "minItems": required, "additionalItems": false })
}

fn check(schema: &Validator, value: &Value, what: &str) -> Result<(), String> {
    schema.validate(value).map_err(|fault| format!("{what}{}: {fault}", fault.instance_path()))
}

fn only_members(message: &Value, names: &[&str]) -> Result<(), String> {
    let members = message.as_object().ok_or("a message is an object")?;
    match members.keys().find(|name| !names.contains(&name.as_str())) {
        Some(name) => Err(format!("an unknown member {name}")),
        None if message["jsonrpc"] == "2.0" => Ok(()),
        None => Err("jsonrpc is not \"2.0\"".to_owned()),
    }
}

/// The text with U+FFFD for each escape of a surrogate, which `serde_json::Value` can only hold in pairs.
pub fn without_lone_surrogates(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let escape = &rest[at..];
        out.push_str(&rest[..at]);
        let surrogate =
            escape.len() >= 6 && escape.starts_with("\\u") && matches!(escape.as_bytes()[2], b'd' | b'D') && escape.as_bytes()[3] > b'7';
        let length = if surrogate { 6 } else { 1 + escape[1..].chars().next().map_or(0, char::len_utf8) };
        out.push_str(if surrogate { "\\ufffd" } else { &escape[..length] });
        rest = &escape[length..];
    }
    out.push_str(rest);
    out
}

/// The faults of every message that the servers of one transcript have sent and received; `logs` is the
/// folder of their wire logs.
pub fn faults_in(logs: &Path) -> Vec<String> {
    let entries = fs::read_dir(logs).expect("the folder of the wire logs is there");
    let logs = entries.map(|entry| fs::read(entry.expect("the folder can be read").path()).expect("the log can be read"));
    logs.flat_map(|log| PROTOCOL.faults(&String::from_utf8_lossy(&log))).collect()
}

/// A validator that finds nothing wrong would let every message pass, so this is what it must find.
#[test]
fn what_is_wrong_is_found() {
    let open = r#"{"direction":"in","connection":1,"message":{"jsonrpc":"2.0","id":1,"method":"storage/length","params":[1]}}"#;
    for (out, part) in [
        (r#"{"jsonrpc":"2.0","id":1,"result":"2"}"#, "result"),
        (r#"{"jsonrpc":"2.0","id":1,"result":2,"more":1}"#, "unknown member more"),
        (r#"{"jsonrpc":"2.0","id":2,"result":2}"#, "without a call"),
        (r#"{"jsonrpc":"2.0","id":1,"error":{"code":7,"message":""}}"#, "no error 7"),
        (r#"{"jsonrpc":"2.0","id":1,"error":{"code":11,"message":""}}"#, "data is missing"),
        (r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"","data":{"param":"key"}}}"#, "name"),
        (r#"{"jsonrpc":"2.0","id":1,"error":{"code":11,"message":"","data":{"name":"SecurityError"}}}"#, "data/name"),
        (r#"{"jsonrpc":"2.0","id":1,"error":{"code":18,"message":"","data":{"name":"SecurityError"}}}"#, "does not list the error"),
        (r#"{"jsonrpc":"2.0","method":"storage/event","params":{}}"#, "params"),
        (r#"{"jsonrpc":"2.0","method":"storage/open","params":{}}"#, "only clients send"),
    ] {
        let faults = PROTOCOL.faults(&format!("{open}\n{{\"direction\":\"out\",\"connection\":1,\"message\":{out}}}\n"));
        assert!(matches!(&faults[..], [fault] if fault.contains(part)), "{out}: {faults:?}");
    }
    let unknown = open.replace("[1]", r#"{"storage":1,"other":2}"#);
    let faults = PROTOCOL.faults(&format!(
        "{unknown}\n{{\"direction\":\"out\",\"connection\":1,\"message\":{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":2}}}}\n"
    ));
    assert!(matches!(&faults[..], [fault] if fault.contains("other")), "{faults:?}");
}
