//! The wire types: params, results and error data of every method, as clients see them.
//!
//! Nothing here has logic and nothing elsewhere keeps these types. Params are objects or, in the order of
//! the fields, arrays. The doc comments become the descriptions in `schema/openrpc.json`.

mod administration;
mod bulk;
mod codes;
mod copies;
mod lifecycle;
mod state_file;
mod test_controls;

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use crate::dom_string::DomString;

pub use administration::{Checked, Damaged, Estimate, Flush, KeySize, Largest, NoParams, OfOrigin, OriginInfo, Salvage, SalvageResult};
pub use bulk::{EntriesPage, Held, Item, OfKeys, Transact};
pub use codes::Code;
pub use copies::{OfSnapshot, Restore, Snapshotted};
pub use lifecycle::{
    CancelRequest, Capabilities, Discovered, ExecuteCommand, ExecuteCommandProvider, Experimental, Id, IllFormedStrings,
    InitializationOptions, Initialize, Initialized, ServerInfo, SetTrace, TraceValue, WebStorage,
};
pub use state_file::{Export, Exported, Import, ImportInto, ImportResult, ImportedArea, Progress, ProgressValue, StateFormat, Unreadable};
pub use test_controls::{Call, CallLog, Calls, Delay, DenyPersistence, DispatchEvent, Fail, SetQuota, SimulatedError};

/// A handle: one `Storage` object. Valid on the connection that opened it, until it is closed.
pub type Handle = u32;

/// The id of a subscription. Valid on the connection that made it, until it is ended.
pub type SubscriptionId = u32;

/// The largest integer that every JSON reader keeps exact: 2^53 - 1.
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

impl JsonSchema for DomString<'_> {
    fn schema_name() -> Cow<'static, str> {
        "DOMString".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Any sequence of 16-bit units; a lone surrogate is written as its escape, such as \"\\ud800\"."
        })
    }
}

/// The schema of a string or null that must be given, which an `Option` need not be.
pub struct DomStringOrNull;

impl JsonSchema for DomStringOrNull {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "DOMStringOrNull".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [generator.subschema_for::<DomString<'_>>(), { "type": "null" }] })
    }
}

/// An integer with bounds that error messages tell.
macro_rules! bounded_integer {
    ($(#[doc = $doc:literal])* $name:ident, $max:expr, $expected:literal) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(pub u64);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Bounded;
                impl Visitor<'_> for Bounded {
                    type Value = $name;

                    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                        formatter.write_str($expected)
                    }

                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$name, E> {
                        if number > $max {
                            return Err(E::invalid_value(de::Unexpected::Unsigned(number), &self));
                        }
                        Ok($name(number))
                    }

                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$name, E> {
                        Err(E::invalid_value(de::Unexpected::Signed(number), &self))
                    }
                }
                deserializer.deserialize_u64(Bounded)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let description = [$($doc),*].concat();
                json_schema!({ "type": "integer", "minimum": 0, "maximum": $max, "description": description.trim() })
            }
        }
    };
}

bounded_integer! {
    /// A number of bytes, as quotas have: an integer from 0 to 2^53 - 1.
    ByteCount, MAX_SAFE_INTEGER, "an integer from 0 to 9007199254740991"
}

bounded_integer! {
    /// An index: WebIDL's `unsigned long`, already converted by the client.
    UnsignedLong, 4_294_967_295_u64, "an integer from 0 to 4294967295"
}

bounded_integer! {
    /// A number of items: an integer from 0 to 2^53 - 1.
    Count, MAX_SAFE_INTEGER, "an integer from 0 to 9007199254740991"
}

/// Params of `storage/open`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Open<'a> {
    /// Whether the area is persistent (a file, shared by all processes: `localStorage`) or lives in the memory
    /// of this connection (`sessionStorage`).
    pub persistent: bool,
    /// The origin whose area it is; the server's default origin if left out.
    #[serde(borrow, default)]
    pub origin: Option<Cow<'a, str>>,
    /// The new quota of the area in bytes, two for each UTF-16 unit of keys and values. If left out it stays as it is.
    #[serde(default)]
    pub quota: Option<ByteCount>,
    /// The URL of the document that opens the area, for the `url` of its storage events.
    #[serde(borrow, default)]
    pub url: Option<Cow<'a, str>>,
    /// A handle on any area, of which the new one is a copy as it is now. For session areas only: the copy is
    /// an area of its own, to which no other handle leads and which ends when this one is closed. Origin and
    /// quota are those of the original unless given.
    #[serde(default)]
    pub copy_of: Option<Handle>,
}

/// Result of `storage/open`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Opened {
    /// The handle that the other methods take.
    pub storage: Handle,
    /// Whether the area is persistent.
    pub persistent: bool,
    /// The origin as the URL standard serialises it.
    pub origin: String,
    /// The number of items.
    pub length: u64,
    /// Bytes in use.
    pub usage: u64,
    /// The quota in bytes.
    pub quota: u64,
}

/// Params of the methods that concern a whole area.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OfStorage {
    /// The handle.
    pub storage: Handle,
}

/// Params of the methods that concern one key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OfKey<'a> {
    /// The handle.
    pub storage: Handle,
    /// The key.
    #[serde(borrow)]
    pub key: DomString<'a>,
}

/// Params of `storage/setItem`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetItem<'a> {
    /// The handle.
    pub storage: Handle,
    /// The key.
    #[serde(borrow)]
    pub key: DomString<'a>,
    /// The new value.
    #[serde(borrow)]
    pub value: DomString<'a>,
}

/// Params of `storage/key`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OfIndex {
    /// The handle.
    pub storage: Handle,
    /// The place in key order, counted from 0.
    pub index: UnsignedLong,
}

/// Params of `storage/keys`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Page<'a> {
    /// The handle.
    pub storage: Handle,
    /// The last key of the page before; the first page if left out.
    #[serde(borrow, default)]
    pub after: Option<DomString<'a>>,
    /// The most that are returned; all if left out.
    #[serde(default)]
    pub limit: Option<Count>,
}

/// Params of `storage/subscribe`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Subscribe<'a> {
    /// The handle that is to hear of the changes that other handles on its area make.
    pub storage: Handle,
    /// Only changes of these keys, and of all keys at once.
    #[serde(borrow, default)]
    pub keys: Option<Vec<DomString<'a>>>,
    /// Only changes of keys that begin so, and of all keys at once.
    #[serde(borrow, default)]
    pub prefix: Option<DomString<'a>>,
    /// Whether the events carry the values; true if left out.
    #[serde(default)]
    pub values: Option<bool>,
    /// The sequence of the last change the client knows: those after it are sent too, if they are still known.
    #[serde(default)]
    pub since: Option<Count>,
    /// Whether the changes that this handle makes are sent too; false if left out.
    #[serde(default)]
    pub include_self: Option<bool>,
    /// Whether the result has all items, as they are at the moment from which on events come; false if left out.
    #[serde(default)]
    pub items: Option<bool>,
    /// Whether the result has the quota and the number of other processes that listen, and `storage/quota` tells
    /// of their changes; false if left out.
    #[serde(default)]
    pub quota: Option<bool>,
}

/// Result of `storage/subscribe`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Subscribed {
    /// The id of the subscription.
    pub subscription: SubscriptionId,
    /// The number of the area's newest change. Events come for every change after it.
    pub sequence: u64,
    /// Whether changes between `since` and `sequence` are not known any more. They are not sent then: read the
    /// area again.
    pub gap: bool,
    /// All items in key order, as they are at `sequence`: applying the events to them gives the area at every later
    /// moment. Absent unless asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<Item<'static>>>,
    /// The quota in bytes. Absent unless asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<u64>,
    /// The number of other processes that listen to the area; 0 for a session area. Absent unless asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub others: Option<u64>,
}

/// Params of `storage/unsubscribe`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unsubscribe {
    /// The id of the subscription.
    pub subscription: SubscriptionId,
}

/// Params of the notification `storage/event`: the area of a subscription has changed (HTML, `StorageEvent`).
#[derive(Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StorageEvent<'a> {
    /// The id of the subscription.
    pub subscription: SubscriptionId,
    /// The handle that listens.
    pub storage: Handle,
    /// The number of the change. Each change of an area has the next one.
    pub sequence: u64,
    /// The key, or null if all items were removed at once.
    #[schemars(with = "DomStringOrNull")]
    pub key: Option<DomString<'a>>,
    /// The value before, or null if there was none. Absent if the subscription is without values.
    #[schemars(default)]
    pub old_value: Option<DomString<'a>>,
    /// The value now, or null if there is none. Absent if the subscription is without values.
    #[schemars(default)]
    pub new_value: Option<DomString<'a>>,
    /// The URL of the document that made the change.
    pub url: String,
}

/// Params of the notification `storage/quota`: the quota of a persistent area, or the number of other processes that
/// listen to it, is another one than the subscription was last told. A client that writes without waiting for the
/// answers learns from it how much of the quota others may take meanwhile.
#[derive(Debug, JsonSchema)]
pub struct StorageQuota {
    /// The id of the subscription.
    pub subscription: SubscriptionId,
    /// The handle that listens.
    pub storage: Handle,
    /// The number of the newest change when that was so.
    pub sequence: u64,
    /// The quota in bytes.
    pub quota: u64,
    /// The number of other processes that listen to the area. One that was killed counts until that is noticed.
    pub others: u64,
}

/// Params of the notification `storage/overflow`: events were dropped, or it is not known which there were.
#[derive(Debug, JsonSchema)]
pub struct StorageOverflow {
    /// The id of the subscription. It goes on: events after `sequence` are sent again.
    pub subscription: SubscriptionId,
    /// The handle that listens.
    pub storage: Handle,
    /// The number of the newest change that was dropped. Read the area again to have all up to it.
    pub sequence: u64,
}

/// The `data` of an error.
#[derive(Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorData {
    /// The name of the error; that of a storage error is the name of the `DOMException` that a client should throw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<ErrorName>,
    /// The param that is to blame (code -32602).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
    /// The quota of the bottle, in bytes (`QuotaExceededError`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<u64>,
    /// What the usage would have been after the write, in bytes (`QuotaExceededError`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested: Option<u64>,
    /// The usage, in bytes (`QuotaExceededError`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<u64>,
    /// The keys that do not hold what the transaction's conditions say, and what they hold (`ConstraintError`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unmet: Option<Vec<Held<'static>>>,
    /// SQLite's extended result code (`UnknownError`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sqlite_code: Option<i32>,
    /// The damaged file (`DataCorruption`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Where the damaged file was moved to (`DataCorruption`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_to: Option<String>,
}

/// The names of the errors: JSON-RPC's and LSP's own, those of `DOMException`, and `DataCorruption`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub enum ErrorName {
    /// The bytes are no frame, or the frame is not JSON.
    ParseError,
    /// The JSON is no request, or one that is not allowed now.
    InvalidRequest,
    /// There is no method of this name.
    MethodNotFound,
    /// A param is missing, unknown, of the wrong type, or out of range.
    InvalidParams,
    /// A fault of the server.
    InternalError,
    /// The client has cancelled the call.
    RequestCancelled,
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
    /// The bottle's file is damaged.
    DataCorruption,
}
