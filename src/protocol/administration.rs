//! The wire types of the methods that administer storage.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Count, Handle};
use crate::dom_string::DomString;

/// Params that are empty.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoParams {}

/// Result of `storage/estimate`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Estimate {
    /// Bytes in use, two for each UTF-16 unit of keys and values.
    pub usage: u64,
    /// The quota in bytes.
    pub quota: u64,
    /// The number of items.
    pub length: u64,
    /// The size of the files of a persistent area, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// One bottle in the result of `storage/origins`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct OriginInfo {
    /// The origin; null if the file cannot be read.
    pub origin: Option<String>,
    /// The number of items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// Bytes in use, two for each UTF-16 unit of keys and values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<u64>,
    /// The quota in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<u64>,
    /// When the bottle was last changed, in milliseconds since 1970.
    pub changed: u64,
    /// The size of its files, in bytes.
    pub size: u64,
    /// Its database file.
    pub path: String,
    /// Why the file cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Params of the methods that concern the bottle of an origin.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OfOrigin<'a> {
    /// The origin.
    #[serde(borrow)]
    pub origin: Cow<'a, str>,
}

/// Params of `storage/flush`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flush {
    /// The handle; every open persistent area of this connection if left out.
    #[serde(default)]
    pub storage: Option<Handle>,
}

/// Params of `storage/largest`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Largest {
    /// The handle.
    pub storage: Handle,
    /// The most that are returned; 10 if left out.
    #[serde(default)]
    pub limit: Option<Count>,
}

/// One item in the result of `storage/largest`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct KeySize<'a> {
    /// The key.
    pub key: DomString<'a>,
    /// What the item counts in the usage: two bytes for each UTF-16 unit of its key and value.
    pub usage: u64,
}

/// Result of `storage/check`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Checked {
    /// The origin, serialised.
    pub origin: String,
    /// The database file.
    pub path: String,
    /// Whether there is one.
    pub exists: bool,
    /// What is wrong with it; empty if nothing is.
    pub problems: Vec<String>,
    /// Files of this origin that were found damaged before and moved aside, oldest first.
    pub damaged: Vec<Damaged>,
}

/// A file that was found damaged and moved aside.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Damaged {
    /// What `storage/salvage` takes.
    pub file: String,
    /// Where it is.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
}

/// Params of `storage/salvage`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Salvage<'a> {
    /// The damaged file, as `storage/check` names it.
    #[serde(borrow)]
    pub file: Cow<'a, str>,
}

/// Result of `storage/salvage`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SalvageResult<'a> {
    /// Whether these are all items that the file has had.
    pub complete: bool,
    /// The items, in key order.
    pub items: Vec<super::Item<'a>>,
}
