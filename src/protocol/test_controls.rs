//! The wire types of the controls for tests.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{ByteCount, Count, Handle};
use crate::dom_string::DomString;

/// The errors that calls can be made to fail with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum SimulatedError {
    /// The write does not fit.
    QuotaExceededError,
    /// Opaque origins have no persistent storage.
    SecurityError,
    /// A condition of a transaction is not met.
    ConstraintError,
    /// What the call names does not exist.
    NotFoundError,
    /// Not available in this server as it was started.
    NotSupportedError,
    /// The handle is unknown or closed.
    InvalidStateError,
    /// Another process kept the database locked.
    TimeoutError,
    /// The operating system or SQLite failed.
    UnknownError,
    /// The file of the area is damaged.
    DataCorruption,
}

/// Params of `test/fail`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fail<'a> {
    /// The error that the calls get.
    pub error: SimulatedError,
    /// Only calls of this method, by its full name such as `storage/setItem`.
    #[serde(borrow, default)]
    pub method: Option<Cow<'a, str>>,
    /// Only calls whose param `key` is like this, in which `*` stands for any characters. Methods with several keys have
    /// no such param.
    #[serde(borrow, default)]
    pub key: Option<DomString<'a>>,
    /// How many calls fail; 1 if left out, null for all.
    #[serde(default = "once")]
    pub count: Option<Count>,
    /// How many such calls succeed before; 0 if left out.
    #[serde(default)]
    pub skip: Option<Count>,
}

/// Params of `test/delay`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Delay<'a> {
    /// For how long the server waits before it handles the call, and everything after it, in milliseconds. The call can be
    /// cancelled meanwhile.
    pub milliseconds: Count,
    /// Only calls of this method, by its full name such as `storage/setItem`.
    #[serde(borrow, default)]
    pub method: Option<Cow<'a, str>>,
    /// Only calls whose param `key` is like this, in which `*` stands for any characters. Methods with several keys have
    /// no such param.
    #[serde(borrow, default)]
    pub key: Option<DomString<'a>>,
    /// How many calls wait; 1 if left out, null for all.
    #[serde(default = "once")]
    pub count: Option<Count>,
    /// How many such calls do not wait before; 0 if left out.
    #[serde(default)]
    pub skip: Option<Count>,
}

#[allow(clippy::unnecessary_wraps, reason = "the shape that serde's default needs")]
fn once() -> Option<Count> {
    Some(Count(1))
}

/// Params of `test/setQuota`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetQuota {
    /// The handle.
    pub storage: Handle,
    /// The quota in bytes until `test/reset`. What is there already stays.
    pub quota: ByteCount,
}

/// Params of `test/denyPersistence`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DenyPersistence<'a> {
    /// The reason that the error tells.
    #[serde(borrow, default)]
    pub reason: Option<Cow<'a, str>>,
}

/// Params of `test/dispatchEvent`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DispatchEvent<'a> {
    /// A handle on the area whose listeners on this connection get the event.
    pub storage: Handle,
    /// The key; null for the removal of all items.
    #[serde(borrow, default)]
    pub key: Option<DomString<'a>>,
    /// The value before.
    #[serde(borrow, default)]
    pub old_value: Option<DomString<'a>>,
    /// The value after.
    #[serde(borrow, default)]
    pub new_value: Option<DomString<'a>>,
    /// The URL of the document that is said to have made the change.
    #[serde(borrow, default)]
    pub url: Option<Cow<'a, str>>,
}

/// Params of `test/calls`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Calls {
    /// Whether the log begins anew; false if left out.
    #[serde(default)]
    pub clear: bool,
}

/// Result of `test/calls`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CallLog {
    /// The calls of this connection, oldest first, without those of `test/` methods.
    pub calls: Vec<Call>,
    /// How many more came before those and were forgotten.
    pub dropped: u64,
}

/// A call in the result of `test/calls`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Call {
    /// The method by its full name.
    pub method: &'static str,
    /// The params as they came.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub params: Option<Box<RawValue>>,
    /// The error that `test/fail` made of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<SimulatedError>,
}
