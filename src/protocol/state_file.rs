//! The wire types of export and import.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Handle;
use crate::dom_string::DomString;

/// The form of a state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "camelCase")]
pub enum StateFormat {
    /// Playwright's storageState: `{"cookies": […], "origins": [{"origin", "localStorage": [{"name", "value"}], "sessionStorage": […]}]}`.
    #[default]
    StorageState,
    /// The items of one area as an object: `{"key": "value"}`.
    Flat,
    /// The items of one area as pairs: `[["key", "value"]]`.
    Pairs,
}

/// Params of `storage/export`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Export<'a> {
    /// The origins whose persistent areas, and session areas of this connection, are exported; all if neither
    /// these nor handles are given.
    #[serde(borrow, default)]
    pub origins: Option<Vec<Cow<'a, str>>>,
    /// Handles whose areas are exported.
    #[serde(default)]
    pub storages: Option<Vec<Handle>>,
    /// The form; `storageState` if left out. The others hold one area, so exactly one origin or handle is
    /// needed.
    #[serde(default)]
    pub format: Option<StateFormat>,
    /// A storageState whose other parts, such as cookies, are kept.
    #[serde(borrow, default)]
    #[schemars(with = "Option<serde_json::Value>")]
    pub base: Option<&'a RawValue>,
    /// The file to write to, an absolute path, instead of returning the state. It is readable by its owner only afterwards,
    /// also if others could read what was there before. Where a storageState is written over one, its other parts are kept, and
    /// the entries of the exported origins are replaced in whatever spelling they are there. The other forms replace the whole
    /// file. A database and the files of a storage directory are not replaced.
    #[serde(borrow, default)]
    pub path: Option<Cow<'a, str>>,
    /// The token of LSP's `$/progress` notifications.
    #[serde(borrow, default)]
    #[schemars(with = "Option<serde_json::Value>")]
    pub work_done_token: Option<&'a RawValue>,
}

/// Result of `storage/export`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Exported {
    /// The state, unless it was written to a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub state: Option<Box<RawValue>>,
    /// The file it was written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The number of areas.
    pub areas: u64,
    /// The number of items.
    pub items: u64,
    /// The origins whose persistent areas are damaged, so that the state has only those of their items that could be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub unreadable: Vec<Unreadable>,
}

/// What an export could not read of one persistent area.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Unreadable {
    /// The origin.
    pub origin: String,
    /// What is damaged, and where its file is now.
    pub problem: String,
    /// The number of items that are missing, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<u64>,
    /// Keys of missing items that can be read, not more than 100.
    pub keys: Vec<DomString<'static>>,
}

/// What becomes of the items that an area has before an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "camelCase")]
pub enum ImportInto {
    /// They stay, except that values of imported keys change.
    #[default]
    Merge,
    /// They go: the area has exactly the imported items.
    Replace,
}

/// Params of `storage/import`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Import<'a> {
    /// The state, in any of the forms. Entries of one origin, in whatever spelling, count as one entry with the items of all.
    /// One key with two values in an area is refused, and so is all that is not as expected; nothing is imported then.
    #[serde(borrow, default)]
    #[schemars(with = "Option<serde_json::Value>")]
    pub state: Option<&'a RawValue>,
    /// Or a file, an absolute path: a state, the file of Node's `--localstorage-file`, or Deno's `local_storage`. The items
    /// of these come in the order in which the program's own `key(n)` gives them; a database that is not exactly as the
    /// program makes it is refused. A state must be JSON in UTF-8, and may begin with a byte order mark, which is no part of
    /// it. The files of a storage directory are refused.
    #[serde(borrow, default)]
    pub path: Option<Cow<'a, str>>,
    /// The form; found out if left out.
    #[serde(default)]
    pub format: Option<StateFormat>,
    /// What becomes of the items that are there; `merge` if left out.
    #[serde(default)]
    pub mode: ImportInto,
    /// Whether nothing is changed, but what would be is told.
    #[serde(default)]
    pub dry_run: bool,
    /// For forms that name no origin: the origin whose persistent area gets the items, the default origin if
    /// left out.
    #[serde(borrow, default)]
    pub origin: Option<Cow<'a, str>>,
    /// For forms that name no origin: a handle on the area that gets the items.
    #[serde(default)]
    pub storage: Option<Handle>,
    /// The token of LSP's `$/progress` notifications.
    #[serde(borrow, default)]
    #[schemars(with = "Option<serde_json::Value>")]
    pub work_done_token: Option<&'a RawValue>,
}

/// Result of `storage/import`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportResult {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// The areas in the order of the state. Each is changed as a whole or not at all; after a failure those
    /// before it stay changed.
    pub areas: Vec<ImportedArea>,
    /// The parts of the state that are not about Web Storage and were left alone.
    pub ignored: Vec<String>,
}

/// What an import has changed in one area.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ImportedArea {
    /// The origin.
    pub origin: String,
    /// Whether the area is persistent.
    pub persistent: bool,
    /// Items whose keys were not there.
    pub added: u64,
    /// Items that had another value.
    pub changed: u64,
    /// Items that were there as they are.
    pub unchanged: u64,
    /// Items that were there and no longer are.
    pub removed: u64,
    /// The number of items after.
    pub length: u64,
    /// Bytes in use after.
    pub usage: u64,
}

/// Params of the notification `$/progress`.
#[derive(Debug, JsonSchema)]
pub struct Progress<'a> {
    /// The token that the call was given.
    #[schemars(with = "serde_json::Value")]
    pub token: &'a RawValue,
    /// How far the call is.
    pub value: ProgressValue,
}

/// How far a call is.
#[derive(Debug, JsonSchema)]
pub struct ProgressValue {
    /// `begin`, `report` or `end`.
    pub kind: String,
    /// What is under way, when it begins.
    #[schemars(default)]
    pub title: Option<String>,
    /// What was done last.
    pub message: String,
    /// How much of the area at hand is done.
    #[schemars(default)]
    pub percentage: Option<u64>,
}
