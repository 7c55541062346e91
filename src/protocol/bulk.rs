//! The wire types of the methods that take or give several items at once.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Count, DomStringOrNull, Handle};
use crate::dom_string::DomString;

/// An item. Keys are never names of JSON members, because some hosts cannot hold every string there.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Item<'a> {
    /// The key.
    #[serde(borrow)]
    pub key: DomString<'a>,
    /// The value.
    #[serde(borrow)]
    pub value: DomString<'a>,
}

/// What a key holds, or is to hold: a value, or null if there is no such item.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Held<'a> {
    /// The key.
    #[serde(borrow)]
    pub key: DomString<'a>,
    /// The value, or null for no item.
    #[serde(borrow, deserialize_with = "given")]
    #[schemars(with = "DomStringOrNull")]
    pub value: Option<DomString<'a>>,
}

/// Null must be given: a forgotten value is not to mean that there must be no item.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DomString<'de>>, D::Error> {
    Option::deserialize(deserializer)
}

/// Params of `storage/getItems`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OfKeys<'a> {
    /// The handle.
    pub storage: Handle,
    /// The keys.
    #[serde(borrow)]
    pub keys: Vec<DomString<'a>>,
}

/// Params of `storage/transact`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transact<'a> {
    /// The handle.
    pub storage: Handle,
    /// What must be true of the items before; otherwise nothing is changed and the call fails with a
    /// `ConstraintError` that says what the keys hold.
    #[serde(borrow, default, rename = "if")]
    pub conditions: Vec<Held<'a>>,
    /// The items to set, after everything else and in this order.
    #[serde(borrow, default)]
    pub set: Vec<Item<'a>>,
    /// The keys to remove, before any item is set. A key that has no item is no error.
    #[serde(borrow, default)]
    pub remove: Vec<DomString<'a>>,
    /// Whether all items are removed first.
    #[serde(default)]
    pub clear: bool,
}

/// Params of `storage/entries`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EntriesPage<'a> {
    /// The handle.
    pub storage: Handle,
    /// The last key of the page before; the first page if left out.
    #[serde(borrow, default)]
    pub after: Option<DomString<'a>>,
    /// The most that are returned; all if left out.
    #[serde(default)]
    pub limit: Option<Count>,
}
