//! The one method table: every method's name, params, result and handler.
//!
//! A handler decodes nothing and encodes nothing; it takes the parsed params, calls the connection, and
//! returns the result.

#![allow(
    clippy::needless_pass_by_value,
    clippy::unnecessary_wraps,
    reason = "handlers have one shape, because the table calls them all the same way: params by value, a result"
)]

mod administration;
mod bulk;
mod copies;
mod errors;
mod lifecycle;
mod state_file;
mod test_controls;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::sync::Arc;

use jsonrpsee::core::server::{MethodCallback, MethodResponse, RpcModule};
use jsonrpsee::types::Id;
use parking_lot::Mutex;
use schemars::JsonSchema;

use self::errors::{COMMAND, FOR_TESTS, IMPORT, OPEN, OPEN_FOR_TESTS, PAGE, READ, RESTORE, TRANSACT, WRITE};
use crate::broadcast::Filter;
use crate::connection::{Connection, SubscriptionWish};
use crate::dom_string::DomString;
use crate::error::{Error, Result};
use crate::method::{Direction, Kind, Method, Said};
use crate::openrpc;
use crate::origin::Origin;
use crate::params;
use crate::protocol::{
    CallLog, Calls, CancelRequest, Checked, Code, Delay, DenyPersistence, Discovered, DispatchEvent, EntriesPage, Estimate, ExecuteCommand,
    Export, Exported, Fail, Flush, Import, ImportResult, Initialize, Initialized, Item, KeySize, Largest, NoParams, OfIndex, OfKey, OfKeys,
    OfOrigin, OfSnapshot, OfStorage, Open, Opened, OriginInfo, Page, Progress, Restore, Salvage, SalvageResult, SetItem, SetQuota,
    SetTrace, Snapshotted, StorageEvent, StorageOverflow, StorageQuota, Subscribe, Subscribed, Transact, Unsubscribe,
};
use crate::reply::Plain;

pub use lifecycle::PROTOCOL_VERSION;

/// Builds a row of the table. jsonrpsee's callbacks are given the id as its JSON text, disguised as a string
/// id, because jsonrpsee's own ids cannot hold every legal one; a notification comes with a null id.
macro_rules! method {
    ($name:literal $(| $alias:literal)?, $params:ty => $result:ty, $handler:path, $description:literal) => {
        Method {
            alias: [$(Some($alias),)? None][0],
            callback: Some(|context| {
                MethodCallback::Sync(Arc::new(move |id, given, _, _| {
                    let id = match &id {
                        Id::Str(text) => Some(&**text),
                        _ => None,
                    };
                    context.lock().answer(id, |connection| {
                        connection.begin_call($name, params::field_names::<$params>, given.as_str())?;
                        let mut whole = None;
                        $handler(connection, params::parse::<$params>(given.as_str()).or_else(|error| params::parse_written_whole(given.as_str(), &mut whole, error))?)
                    });
                    // The reply is written already; jsonrpsee has nothing to add.
                    MethodResponse::notification()
                }))
            }),
            ..row!($name, $params => $result, $description)
        }
    };
}

/// Builds the row of a message that is documented here and handled by the loop of the connection, or sent by
/// the server.
macro_rules! row {
    ($name:literal, $params:ty => $result:ty, $description:literal) => {
        Method {
            name: $name,
            alias: None,
            description: $description,
            direction: Direction::ClientToServer,
            kind: Kind::Call,
            params: |generator| <$params>::json_schema(generator),
            result: |generator| generator.subschema_for::<$result>(),
            errors: &[],
            example: None,
            callback: None,
        }
    };
}

/// The methods, in the order in which people read about them.
#[must_use]
#[allow(clippy::too_many_lines, reason = "it is a table, read row by row")]
pub fn table() -> Vec<Method> {
    vec![
        method!("storage/open", Open<'_> => Opened, open, "Opens an area and gives a handle on it. Opening the same area twice gives two handles on one area.")
            .fails(OPEN)
            .example(r#"{"persistent":false}"#, r#"{"storage":1,"persistent":false,"origin":"http://localhost","length":0,"usage":0,"quota":10485760}"#),
        method!("storage/close", OfStorage => (), close, "Closes a handle. The items stay: those of a session area until the connection ends.")
            .fails(READ)
            .example_after(ITEMS, r#"{"storage":1}"#, "null"),
        method!("storage/getItem" | "getItem", OfKey<'_> => Option<DomString<'_>>, get_item, "The value of a key, or null if the area has no such item.")
            .fails(READ)
            .example_after(ITEMS, r#"{"storage":1,"key":"theme"}"#, r#""dark""#),
        method!("storage/setItem" | "setItem", SetItem<'_> => (), set_item, "Sets the value of a key. An item that exists keeps its place in key order.")
            .fails(WRITE)
            .example_after(ITEMS, r#"{"storage":1,"key":"theme","value":"light"}"#, "null"),
        method!("storage/removeItem" | "removeItem", OfKey<'_> => (), remove_item, "Removes an item, if there is one.")
            .fails(READ)
            .example_after(ITEMS, r#"{"storage":1,"key":"theme"}"#, "null"),
        method!("storage/clear" | "clear", OfStorage => (), clear, "Removes all items of the area.")
            .fails(READ)
            .example_after(ITEMS, r#"{"storage":1}"#, "null"),
        method!("storage/key" | "key", OfIndex => Option<DomString<'_>>, key, "The key at a place in key order, or null past the end.")
            .fails(READ)
            .example_after(ITEMS, r#"{"storage":1,"index":0}"#, r#""theme""#),
        method!("storage/length" | "length", OfStorage => u64, length, "The number of items.")
            .fails(READ)
            .example_after(ITEMS, r#"{"storage":1}"#, "2"),
        method!("storage/keys", Page<'_> => Vec<DomString<'_>>, keys, "The keys, in key order, all at once or page by page.")
            .fails(PAGE)
            .example_after(ITEMS, r#"{"storage":1,"after":"theme","limit":100}"#, r#"["font size"]"#),
        method!("storage/entries", EntriesPage<'_> => Vec<Item<'_>>, bulk::entries, "The items, in key order, all at once or page by page. Each page shows one moment's state; an item that is there from the first page to the last is on exactly one of them, whatever others write between the pages; only if they remove the key at which a page ended and set it again is what lies between passed over.")
            .fails(PAGE)
            .example_after(ITEMS, r#"{"storage":1,"limit":1}"#, r#"[{"key":"theme","value":"dark"}]"#),
        method!("storage/getItems", OfKeys<'_> => Vec<Option<DomString<'_>>>, bulk::get_items, "The values of several keys at one moment, in the order of the keys; null for those that have no item.")
            .fails(READ)
            .example_after(ITEMS, r#"{"storage":1,"keys":["theme","font"]}"#, r#"["dark",null]"#),
        method!("storage/transact", Transact<'_> => (), bulk::transact, "Checks conditions and makes several changes, all of them or none: first clear, then remove, then set. The quota concerns the outcome only.")
            .fails(TRANSACT)
            .example_after(ITEMS, r#"{"storage":1,"if":[{"key":"theme","value":"dark"}],"set":[{"key":"theme","value":"light"}],"remove":["font size"]}"#, "null"),
        method!("storage/subscribe", Subscribe<'_> => Subscribed, subscribe, "Sends an event for each change that other handles make to the area: for a persistent area those of every process. Changes come in order, each once, after they are stored.")
            .fails(READ)
            .example_after(ITEMS, r#"{"storage":1,"prefix":"font","includeSelf":true}"#, r#"{"subscription":1,"sequence":2,"gap":false}"#),
        method!("storage/unsubscribe", Unsubscribe => (), unsubscribe, "Ends a subscription.")
            .fails(&[Code::NotFoundError])
            .example_after(SUBSCRIBED, r#"{"subscription":1}"#, "null"),
        row!("storage/event", StorageEvent<'_> => (), "The area of a subscription has changed: the HTML standard's storage event.")
            .notification()
            .from_server()
            .example_after(CHANGED, r#"{"subscription":1,"storage":2,"sequence":1,"key":"theme","oldValue":null,"newValue":"dark","url":"http://localhost"}"#, ""),
        row!("storage/quota", StorageQuota => (), "The quota of the persistent area of a subscription has changed, or the number of other processes that listen to it. Sent to subscriptions that ask for it.")
            .notification()
            .from_server()
            .example_after(QUOTA_SET, r#"{"subscription":1,"storage":1,"sequence":0,"quota":5000000,"others":0}"#, ""),
        row!("storage/overflow", StorageOverflow => (), "Events of a subscription were dropped: more than 1 MiB waited, and more than 1 MiB of them, the largest aside, had come since the client last read 64 KiB; or 16 MiB waited. Other reasons: the file of the area was replaced, or the process was stopped for longer than the journal lasts.")
            .notification()
            .from_server()
            .example(r#"{"subscription":1,"storage":2,"sequence":70000}"#, ""),
        method!("storage/snapshot", OfStorage => Snapshotted, copies::snapshot, "Keeps the items of an area as they are now, in the memory of this connection.")
            .fails(READ)
            .example_after(ITEMS, r#"{"storage":1}"#, r#"{"snapshot":1,"length":2}"#),
        method!("storage/restore", Restore => (), copies::restore, "Makes the items of an area those of a snapshot again, in the same order. Only what differs is written; each item that is removed, changed or added is one event.")
            .fails(RESTORE)
            .example_after(KEPT, r#"{"storage":1,"snapshot":1}"#, "null"),
        method!("storage/discard", OfSnapshot => (), copies::discard, "Gives up a snapshot.")
            .fails(&[Code::NotFoundError])
            .example_after(KEPT, r#"{"snapshot":1}"#, "null"),
        method!("storage/estimate", OfStorage => Estimate, administration::estimate, "How much an area holds and may hold.")
            .fails(READ)
            .example_after(ITEMS, r#"{"storage":1}"#, r#"{"usage":40,"quota":10485760,"length":2}"#),
        method!("storage/largest", Largest => Vec<KeySize<'_>>, administration::largest, "The items that take the most of the quota, the largest first.")
            .fails(READ)
            .example_after(ITEMS, r#"{"storage":1,"limit":1}"#, r#"[{"key":"font size","usage":22}]"#),
        method!("storage/flush", Flush => (), administration::flush, "Makes everything that was acknowledged safe from a loss of power. Returns when the disk has it.")
            .fails(READ)
            .example("", "null"),
        method!("storage/origins", NoParams => Vec<OriginInfo>, administration::origins, "The origins that have persistent storage, in alphabetical order.")
            .fails(&[Code::NotSupportedError, Code::UnknownError])
            .example("", "[]"),
        method!("storage/delete", OfOrigin<'_> => bool, administration::delete, "Deletes the persistent storage of an origin; false if there was none. Whoever has it open sees an empty area, and an event.")
            .fails(OPEN)
            .example(r#"{"origin":"https://example.com"}"#, "false"),
        method!("storage/check", OfOrigin<'_> => Checked, administration::check, "Looks for damage in the persistent storage of an origin, and lists what was found damaged before and moved aside. Changes nothing.")
            .fails(OPEN)
            .example(r#"{"origin":"https://example.com"}"#, r#"{"origin":"https://example.com","path":"/home/me/.local/share/webstorage/bottles/https_example.com-100680ad546ce6a577f42f52df33b4cf.sqlite","exists":false,"problems":[],"damaged":[]}"#),
        method!("storage/salvage", Salvage<'_> => SalvageResult<'_>, administration::salvage, "Reads what is readable out of a damaged file that was moved aside. Changes nothing.")
            .fails(&[Code::NotSupportedError, Code::NotFoundError, Code::UnknownError])
            .example(r#"{"file":"https_example.com-100680ad546ce6a577f42f52df33b4cf-1767225600-0.sqlite"}"#, r#"{"complete":false,"items":[{"key":"theme","value":"dark"}]}"#),
        method!("storage/export", Export<'_> => Exported, state_file::export, "Writes the items of whole areas as Playwright's storageState with sessionStorage, as a flat object, or as pairs. Each area is as it was at one moment.")
            .fails(READ)
            .example_after(ITEMS, r#"{"storages":[1],"format":"pairs"}"#, r#"{"state":[["theme","dark"],["font size","12"]],"areas":1,"items":2}"#),
        method!("storage/import", Import<'_> => ImportResult, state_file::import, "Reads the items of whole areas from a state or from the files of Node and Deno. Each area gets all of its items or none.")
            .fails(IMPORT)
            .example_after(ITEMS, r#"{"storage":1,"state":{"theme":"light","sound":"off"}}"#, r#"{"dryRun":false,"areas":[{"origin":"http://localhost","persistent":false,"added":1,"changed":1,"unchanged":0,"removed":0,"length":3,"usage":58}],"ignored":[]}"#),
        row!("$/progress", Progress<'_> => (), "LSP's progress of a call that was given a workDoneToken.")
            .notification()
            .from_server()
            .example(r#"{"token":"export 1","value":{"kind":"report","message":"5000 of 100000 items","percentage":5}}"#, ""),
        method!("test/fail", Fail<'_> => (), test_controls::fail, "Makes the next calls fail. Like every test/ method only with --enable-test-methods.")
            .fails(FOR_TESTS)
            .example(r#"{"error":"QuotaExceededError","method":"storage/setItem","key":"user:*"}"#, "null"),
        method!("test/delay", Delay<'_> => (), test_controls::delay, "Makes the next calls wait.")
            .fails(FOR_TESTS)
            .example(r#"{"milliseconds":100,"method":"storage/getItem","count":3}"#, "null"),
        method!("test/setQuota", SetQuota => (), test_controls::set_quota, "Sets the quota of an area until test/reset, or until the handle or the connection ends.")
            .fails(OPEN_FOR_TESTS)
            .example_after(ITEMS, r#"{"storage":1,"quota":0}"#, "null"),
        method!("test/denyPersistence", DenyPersistence<'_> => (), test_controls::deny_persistence, "Makes opening persistent areas fail until test/reset, as if the server had no storage directory.")
            .fails(FOR_TESTS)
            .example(r#"{"reason":"the user has blocked it"}"#, "null"),
        method!("test/dispatchEvent", DispatchEvent<'_> => (), test_controls::dispatch_event, "Sends the listeners of this connection an event as if another document had made a change.")
            .fails(OPEN_FOR_TESTS)
            .example_after(ITEMS, r#"{"storage":1,"key":"theme","oldValue":"dark","newValue":"light","url":"https://example.com/other"}"#, "null"),
        method!("test/reset", NoParams => (), test_controls::reset, "Makes this connection as new, except that handles and subscriptions stay: session areas are emptied; snapshots, rules and the log of calls are gone; quotas and persistence are as they were. Persistent areas keep their items.")
            .fails(OPEN_FOR_TESTS)
            .example("", "null"),
        method!("test/calls", Calls => CallLog, test_controls::calls, "The storage calls that were made on this connection so far.")
            .fails(FOR_TESTS)
            .example_after(ITEMS, r#"{"clear":true}"#, r#"{"calls":[{"method":"storage/open","params":{"persistent":false}},{"method":"storage/setItem","params":{"storage":1,"key":"theme","value":"dark"}},{"method":"storage/setItem","params":{"storage":1,"key":"font size","value":"12"}}],"dropped":0}"#),
        method!("initialize", Initialize<'_> => Initialized, lifecycle::initialize, "LSP's initialize: tells what the server can do, and takes options. Optional; the first message if it is used.")
            .example(lifecycle::INITIALIZE, lifecycle::INITIALIZED),
        method!("initialized", Ignored => (), lifecycle::initialized, "LSP's initialized.").notification().example("{}", ""),
        method!("shutdown", Ignored => (), lifecycle::shutdown, "LSP's shutdown: everything is committed; only exit may follow.").example("", "null"),
        row!("exit", Ignored => (), "LSP's exit: ends the process, with exit code 0 after shutdown and 1 without. A script can close the input instead.")
            .notification()
            .example("", ""),
        row!("workspace/executeCommand", ExecuteCommand<'_> => serde_json::Value, "LSP's executeCommand: calls a method under its name as a command, for hosts that can send nothing else. The result and the errors are the method's.")
            .fails(COMMAND)
            .example_after(ITEMS, r#"{"command":"webstorage.getItem","arguments":[{"storage":1,"key":"theme"}]}"#, r#""dark""#),
        method!("$/cancelRequest", CancelRequest<'_> => (), ignore, "LSP's cancellation. A call that waits for another process, or for such a call before it, is answered with the error -32800 and has no effect; one that was answered already is not affected.")
            .notification()
            .example(r#"{"id":7}"#, ""),
        method!("$/setTrace", SetTrace => (), ignore, "LSP's setTrace. Accepted; this server sends no traces.").notification().example(r#"{"value":"off"}"#, ""),
        method!("rpc.discover", Ignored => Discovered, discover, "OpenRPC's discovery: this document.").example("", "{}"),
    ]
}

/// An area with two items, which most examples begin with.
const ITEMS: Said = &[
    ("storage/open", r#"{"persistent":false}"#),
    ("storage/setItem", r#"{"storage":1,"key":"theme","value":"dark"}"#),
    ("storage/setItem", r#"{"storage":1,"key":"font size","value":"12"}"#),
];

/// A snapshot of an area that has changed since.
const KEPT: Said = &[
    ("storage/open", r#"{"persistent":false}"#),
    ("storage/setItem", r#"{"storage":1,"key":"theme","value":"dark"}"#),
    ("storage/snapshot", r#"{"storage":1}"#),
    ("storage/clear", r#"{"storage":1}"#),
];

/// A subscription to an area.
const SUBSCRIBED: Said =
    &[("storage/open", r#"{"persistent":false}"#), ("storage/open", r#"{"persistent":false}"#), ("storage/subscribe", r#"{"storage":2}"#)];

/// A change by another handle than the one that listens.
const CHANGED: Said = &[
    ("storage/open", r#"{"persistent":false}"#),
    ("storage/open", r#"{"persistent":false}"#),
    ("storage/subscribe", r#"{"storage":2}"#),
    ("storage/setItem", r#"{"storage":1,"key":"theme","value":"dark"}"#),
];

/// A change of the quota, and a subscription that is told of it.
const QUOTA_SET: Said = &[
    ("storage/open", r#"{"persistent":true}"#),
    ("storage/subscribe", r#"{"storage":1,"quota":true}"#),
    ("storage/open", r#"{"persistent":true,"quota":5000000}"#),
];

/// The methods bound to one connection.
///
/// # Panics
/// If the table has a name twice.
pub fn module(connection: &Arc<Mutex<Connection>>) -> RpcModule<Mutex<Connection>> {
    let mut module = RpcModule::from_arc(Arc::clone(connection));
    for method in table() {
        for name in [Some(method.name), method.alias].into_iter().flatten() {
            if let Some(callback) = method.callback {
                module.verify_and_insert(name, callback(Arc::clone(connection))).expect("each name is in the table once");
            }
        }
    }
    module
}

/// The name of the method that a misspelled one most likely means: letters of the wrong case, up to two wrong ones,
/// or the part before the slash left out.
#[must_use]
pub fn nearest(module: &RpcModule<Mutex<Connection>>, method: &str) -> Option<String> {
    /// Names are shorter; comparing costs the product of the lengths.
    const LONGEST: usize = 64;
    const MOST_EDITS: usize = 2;
    if method.len() > LONGEST {
        return None;
    }
    let bare = |name: &str| name.rsplit('/').next().unwrap_or_default().to_lowercase();
    let meant = bare(method);
    let names = module.method_names().filter(|name| !name.starts_with("test/") || method.starts_with("test/"));
    let compared = names.map(|name| (strsim::osa_distance(&bare(name), &meant), Reverse(name.len()), name));
    let (edits, _, name) = compared.min()?;
    (edits <= MOST_EDITS && edits < meant.len() / 2).then(|| name.to_owned())
}

/// The method that a command of `workspace/executeCommand` stands for.
#[must_use]
pub fn method_of_command(command: &str) -> Option<String> {
    command.strip_prefix("webstorage.").map(|name| format!("storage/{name}"))
}

/// Params that are not looked at.
#[derive(Debug, JsonSchema)]
pub(crate) struct Ignored {}

impl<'de> serde::Deserialize<'de> for Ignored {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Ignored {})
    }
}

fn open(connection: &mut Connection, params: Open<'_>) -> Result<Plain<Opened>> {
    if params.copy_of.is_some() {
        return open_copy(connection, &params);
    }
    let origin = match &params.origin {
        Some(origin) => Origin::parse(origin)?,
        None => connection.options.origin.clone(),
    };
    let url = params.url.as_deref().unwrap_or(origin.as_str());
    let opened = connection.open(params.persistent, &origin, params.quota.map(|quota| quota.0), url)?;
    Ok(Plain(Opened {
        storage: opened.handle,
        persistent: params.persistent,
        origin: origin.to_string(),
        length: opened.length,
        usage: opened.usage,
        quota: opened.quota,
    }))
}

fn open_copy(connection: &mut Connection, params: &Open<'_>) -> Result<Plain<Opened>> {
    let Some(original) = params.copy_of.filter(|_| !params.persistent) else {
        return Err(Error::param("copyOf", "only a session area can be opened as a copy; pass persistent false"));
    };
    let origin = params.origin.as_deref().map(Origin::parse).transpose()?;
    let (opened, origin) = connection.open_copy(original, origin.as_ref(), params.quota.map(|quota| quota.0), params.url.as_deref())?;
    Ok(Plain(Opened {
        storage: opened.handle,
        persistent: false,
        origin: origin.to_string(),
        length: opened.length,
        usage: opened.usage,
        quota: opened.quota,
    }))
}

fn close(connection: &mut Connection, params: OfStorage) -> Result<()> {
    connection.close(params.storage)
}

fn get_item(connection: &mut Connection, params: OfKey<'_>) -> Result<Option<DomString<'static>>> {
    let value = connection.read_items(params.storage, |area, database| area.get_item(database, params.key.as_bytes()))?;
    Ok(value.map(DomString::from_wtf8))
}

fn set_item(connection: &mut Connection, params: SetItem<'_>) -> Result<()> {
    let (key, value) = (params.key.as_bytes(), params.value.as_bytes());
    connection.write(params.storage, key.len() + value.len(), |area, database| area.set_item(database, key, value))
}

fn remove_item(connection: &mut Connection, params: OfKey<'_>) -> Result<()> {
    connection.write(params.storage, 0, |area, database| area.remove_item(database, params.key.as_bytes()))
}

fn clear(connection: &mut Connection, params: OfStorage) -> Result<()> {
    /// Usage in bytes from which on the memory of a cleared session area is given back at once.
    const MUCH: u64 = 8 << 20;
    let much = connection.write(params.storage, 0, |area, database| {
        let much = area.row().usage > MUCH;
        area.clear(database).map(|()| much)
    })?;
    if much { connection.release_session_memory() } else { Ok(()) }
}

fn key(connection: &mut Connection, params: OfIndex) -> Result<Option<DomString<'static>>> {
    let key = connection.read(params.storage, |area, database| area.key(database, params.index.0))?;
    Ok(key.map(DomString::from_wtf8))
}

fn length(connection: &mut Connection, params: OfStorage) -> Result<u64> {
    Ok(connection.row(params.storage)?.length)
}

fn keys(connection: &mut Connection, params: Page<'_>) -> Result<Vec<DomString<'static>>> {
    let after = params.after.as_ref().map(DomString::as_bytes);
    let limit = params.limit.map_or(u64::MAX, |limit| limit.0);
    let mut keys = Vec::new();
    connection.read_items(params.storage, |area, database| {
        area.keys(database, after, limit, |key| keys.push(DomString::from_wtf8(key.to_vec())))
    })?;
    Ok(keys)
}

fn subscribe(connection: &mut Connection, params: Subscribe<'_>) -> Result<Plain<Subscribed>> {
    let filter = match (params.keys, params.prefix) {
        (Some(_), Some(_)) => return Err(Error::param("prefix", "expected keys or prefix, not both")),
        (Some(keys), None) => Filter::Keys(keys.into_iter().map(DomString::into_bytes).collect()),
        (None, Some(prefix)) => Filter::Prefix(prefix.into_bytes()),
        (None, None) => Filter::All,
    };
    let wish = SubscriptionWish {
        filter,
        values: params.values.unwrap_or(true),
        include_self: params.include_self.unwrap_or(false),
        since: params.since.map(|since| since.0),
        items: params.items.unwrap_or(false),
        quota: params.quota.unwrap_or(false),
    };
    let tells_quota = wish.quota;
    let (subscription, subscribed) = connection.subscribe(params.storage, wish)?;
    let item = |(key, value)| Item { key: DomString::from_wtf8(key), value: DomString::from_wtf8(value) };
    Ok(Plain(Subscribed {
        subscription,
        sequence: subscribed.sequence,
        gap: subscribed.gap,
        items: subscribed.items.map(|items| items.into_iter().map(item).collect()),
        quota: tells_quota.then_some(subscribed.quota),
        others: tells_quota.then_some(subscribed.others),
    }))
}

fn unsubscribe(connection: &mut Connection, params: Unsubscribe) -> Result<()> {
    connection.unsubscribe(params.subscription)
}

fn discover(_: &mut Connection, _: Ignored) -> Result<Plain<Discovered>> {
    Ok(Plain(Discovered(openrpc::document())))
}

fn ignore<P>(_: &mut Connection, _: P) -> Result<()> {
    Ok(())
}

/// The name under which a command's arguments are params: one object, or params by position.
///
/// # Errors
/// [`Error::InvalidParams`] if the arguments are no array.
pub fn params_of_arguments(arguments: Option<&str>) -> Result<Option<Cow<'_, str>>> {
    let Some(text) = arguments else { return Ok(None) };
    let members: Vec<&serde_json::value::RawValue> = serde_json::from_str(text)
        .map_err(|_| Error::param("arguments", "expected an array: the method's params as one object, or by position"))?;
    Ok(match members.as_slice() {
        [only] if only.get().starts_with('{') => Some(Cow::Borrowed(only.get())),
        _ => Some(Cow::Borrowed(text)),
    })
}
