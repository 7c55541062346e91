//! JSON-RPC 2.0 messages: from the bytes of a frame to calls, notifications, responses and batches.
//!
//! jsonrpsee's own request type turns a call whose id it cannot parse into a notification, which would
//! never be answered. This parser keeps every id as the text it came as, so that it can be echoed, and
//! tells the difference between `"id": null` and no id.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::scan::{Usual, usual_message};

/// One message, borrowing from its frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Expects a reply that carries its id.
    Call {
        /// The id as JSON text, echoed unchanged.
        id: &'a str,
        /// The name of the method.
        method: Cow<'a, str>,
        /// The params as JSON text, if given.
        params: Option<&'a str>,
    },
    /// Expects no reply.
    Notification {
        /// The name of the method.
        method: Cow<'a, str>,
        /// The params as JSON text, if given.
        params: Option<&'a str>,
    },
    /// A reply to a call of ours.
    Response,
    /// Several messages in one frame, each as JSON text.
    Batch(Vec<&'a str>),
}

/// A frame that holds no message; answered with an error.
#[derive(Debug, PartialEq, Eq)]
pub struct Invalid<'a> {
    /// The id to answer with: the message's own where that could be read, else `null`.
    pub id: &'a str,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not JSON (JSON-RPC's -32700).
    Parse(String),
    /// JSON, but no JSON-RPC message (JSON-RPC's -32600).
    Request(String),
}

const NO_ID: &str = "null";

/// The members of any JSON-RPC message.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// Tells `null` from an absent member.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Parses the body of a frame.
///
/// # Errors
/// When the bytes are not UTF-8, not JSON, or no JSON-RPC message.
pub fn parse(frame: &[u8]) -> Result<Message<'_>, Invalid<'_>> {
    let text = std::str::from_utf8(frame)
        .map_err(|error| Invalid { id: NO_ID, fault: Fault::Parse(format!("the message is not UTF-8: {error}")) })?;
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    if text.starts_with('[') {
        return match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(members) if members.is_empty() => Err(invalid(NO_ID, "an empty batch holds no call")),
            Ok(members) => Ok(Message::Batch(members.into_iter().map(RawValue::get).collect())),
            Err(error) => Err(Invalid { id: NO_ID, fault: Fault::Parse(error.to_string()) }),
        };
    }
    parse_single(text)
}

/// Parses one message that is no batch: a member of a batch, or a whole frame.
///
/// # Errors
/// As [`parse`]; a batch inside a batch is no request.
pub fn parse_single(text: &str) -> Result<Message<'_>, Invalid<'_>> {
    if let Some(Usual { id, method, params }) = usual_message(text) {
        return Ok(message(id, Cow::Borrowed(method), params));
    }
    let envelope: Envelope<'_> = match serde_json::from_str(text) {
        Ok(envelope) if text.starts_with('{') => envelope,
        Ok(_) => return Err(invalid(NO_ID, "a message is a JSON object")),
        Err(error) => return Err(why_no_envelope(text, &error)),
    };
    let id = match envelope.id.map(RawValue::get) {
        Some(id) if id.starts_with(['{', '[', 't', 'f']) => {
            return Err(invalid(NO_ID, "id must be a string, a number or null"));
        }
        id => id,
    };
    let reply_id = id.unwrap_or(NO_ID);
    if !envelope.jsonrpc.is_some_and(|version| is_text(version, "2.0")) {
        return Err(invalid(reply_id, "jsonrpc must be \"2.0\""));
    }
    let Some(method) = envelope.method else {
        if envelope.result.is_some() || envelope.error.is_some() {
            return Ok(Message::Response);
        }
        return Err(invalid(reply_id, "method is missing"));
    };
    let Ok(method) = serde_json::from_str::<Name<'_>>(method.get()) else {
        return Err(invalid(reply_id, "method must be a string"));
    };
    Ok(message(id, method.0, envelope.params.map(RawValue::get)))
}

fn message<'a>(id: Option<&'a str>, method: Cow<'a, str>, params: Option<&'a str>) -> Message<'a> {
    // `null` stands for absent params in messages of several LSP clients.
    let params = params.filter(|params| *params != "null");
    match id {
        Some(id) => Message::Call { id, method, params },
        None => Message::Notification { method, params },
    }
}

/// A string that borrows when it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

fn is_text(value: &RawValue, expected: &str) -> bool {
    value.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) == Some(expected)
        || serde_json::from_str::<Name<'_>>(value.get()).is_ok_and(|text| text.0 == expected)
}

fn invalid<'a>(id: &'a str, why: &str) -> Invalid<'a> {
    Invalid { id, fault: Fault::Request(why.to_owned()) }
}

/// Tells text that is not JSON from JSON that is no message.
fn why_no_envelope<'a>(text: &'a str, error: &serde_json::Error) -> Invalid<'a> {
    match serde_json::from_str::<&RawValue>(text) {
        Err(error) => Invalid { id: NO_ID, fault: Fault::Parse(error.to_string()) },
        Ok(_) if !text.starts_with('{') => invalid(NO_ID, "a message is a JSON object"),
        // The only other fault of an object is a member that is given twice.
        Ok(_) => {
            let mut why = error.to_string();
            why.truncate(why.find(" at line").unwrap_or(why.len()));
            Invalid { id: NO_ID, fault: Fault::Request(why) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> (String, Fault) {
        let invalid = parse(text.as_bytes()).expect_err(text);
        (invalid.id.to_owned(), invalid.fault)
    }

    #[test]
    fn ids_stay_as_they_came() {
        for id in ["1", "-1", "1.5", "9007199254740993", "\"a\\u0062\"", "null", "1e400"] {
            let text = format!(r#"{{"jsonrpc":"2.0","id": {id} ,"method":"m"}}"#);
            assert_eq!(parse(text.as_bytes()), Ok(Message::Call { id, method: "m".into(), params: None }));
        }
    }

    #[test]
    fn without_an_id_it_is_a_notification() {
        let text = br#"{"method":"m\u0061","params":[1],"jsonrpc":"2.0"}"#;
        assert_eq!(parse(text), Ok(Message::Notification { method: "ma".into(), params: Some("[1]") }));
    }

    #[test]
    fn faults_are_told_apart() {
        assert!(matches!(fault("{"), (_, Fault::Parse(_))));
        assert!(matches!(fault(""), (_, Fault::Parse(_))));
        assert!(matches!(fault(&"[".repeat(100_000)), (_, Fault::Parse(_))));
        for text in ["null", "1", "\"x\"", "{}", "[]", r#"{"jsonrpc":"1.0","method":"m"}"#, r#"{"jsonrpc":"2.0","method":1}"#] {
            assert!(matches!(fault(text), (_, Fault::Request(_))), "{text}");
        }
        let twice = r#"{"jsonrpc":"2.0","method":"a","method":"b"}"#;
        assert_eq!(fault(twice).1, Fault::Request("duplicate field `method`".into()));
        assert_eq!(fault(r#"{"jsonrpc":"1.0","id":7,"method":"m"}"#).0, "7");
    }
}
