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

use std::borrow::Cow;
use std::sync::Arc;

use jsonrpsee::core::server::{MethodCallback, MethodResponse, RpcModule};
use jsonrpsee::types::Id;
use parking_lot::Mutex;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::broadcast::Filter;
use crate::connection::{Connection, Phase, SubscriptionWish};
use crate::dom_string::{DomString, IllFormed};
use crate::error::{Error, Result};
use crate::origin::Origin;
use crate::params;
use crate::protocol::{
    Capabilities, Checked, EntriesPage, Estimate, ExecuteCommandProvider, Experimental, Flush, IllFormedStrings, Initialize, Initialized,
    Item, KeySize, Largest, NoParams, OfIndex, OfKey, OfKeys, OfOrigin, OfSnapshot, OfStorage, Open, Opened, OriginInfo, Page, Restore,
    Salvage, SalvageResult, ServerInfo, SetItem, Snapshotted, Subscribe, Subscribed, Transact, Unsubscribe, WebStorage,
};
use crate::reply::Plain;

/// One row of the method table.
pub struct Method {
    /// The name.
    pub name: &'static str,
    /// Another name: the bare one of a member of the `Storage` interface.
    pub alias: Option<&'static str>,
    /// What it does, for people.
    pub description: &'static str,
    /// The schema of its params.
    pub params: fn(&mut SchemaGenerator) -> Schema,
    /// The names of its params in the order of positions.
    pub param_names: fn() -> &'static [&'static str],
    /// The schema of its result.
    pub result: fn(&mut SchemaGenerator) -> Schema,
    callback: fn(Arc<Mutex<Connection>>) -> MethodCallback,
}

/// Builds a row of the table. jsonrpsee's callbacks are given the id as its JSON text, disguised as a string
/// id, because jsonrpsee's own ids cannot hold every legal one; a notification comes with a null id.
macro_rules! method {
    ($name:literal $(| $alias:literal)?, $params:ty => $result:ty, $handler:path, $description:literal) => {
        Method {
            name: $name,
            alias: [$(Some($alias),)? None][0],
            description: $description,
            params: |generator| <$params>::json_schema(generator),
            param_names: || params::field_names::<$params>(),
            result: |generator| <$result>::json_schema(generator),
            callback: |context| {
                MethodCallback::Sync(Arc::new(move |id, given, _, _| {
                    let id = match &id {
                        Id::Str(text) => Some(&**text),
                        _ => None,
                    };
                    context.lock().answer(id, |connection| $handler(connection, params::parse(given.as_str())?));
                    // The reply is written already; jsonrpsee has nothing to add.
                    MethodResponse::notification()
                }))
            },
        }
    };
}

/// The methods, in the order in which people read about them.
#[must_use]
pub fn table() -> Vec<Method> {
    vec![
        method!("storage/open", Open<'_> => Opened, open, "Opens an area and gives a handle on it. Opening the same area twice gives two handles on one area."),
        method!("storage/close", OfStorage => (), close, "Closes a handle. The items stay: those of a session area until the connection ends."),
        method!("storage/getItem" | "getItem", OfKey<'_> => Option<DomString<'_>>, get_item, "The value of a key, or null if the area has no such item."),
        method!("storage/setItem" | "setItem", SetItem<'_> => (), set_item, "Sets the value of a key. An item that exists keeps its place in key order."),
        method!("storage/removeItem" | "removeItem", OfKey<'_> => (), remove_item, "Removes an item, if there is one."),
        method!("storage/clear" | "clear", OfStorage => (), clear, "Removes all items of the area."),
        method!("storage/key" | "key", OfIndex => Option<DomString<'_>>, key, "The key at a place in key order, or null past the end."),
        method!("storage/length" | "length", OfStorage => u64, length, "The number of items."),
        method!("storage/keys", Page<'_> => Vec<DomString<'_>>, keys, "The keys, in key order, all at once or page by page."),
        method!("storage/entries", EntriesPage<'_> => Vec<Item<'_>>, bulk::entries, "The items, in key order, all at once or page by page. Each page shows one moment's state; an item that is there from the first page to the last is on exactly one of them, whatever others write between the pages."),
        method!("storage/getItems", OfKeys<'_> => Vec<Option<DomString<'_>>>, bulk::get_items, "The values of several keys at one moment, in the order of the keys; null for those that have no item."),
        method!("storage/transact", Transact<'_> => (), bulk::transact, "Checks conditions and makes several changes, all of them or none: first clear, then remove, then set. The quota concerns the outcome only."),
        method!("storage/subscribe", Subscribe<'_> => Subscribed, subscribe, "Sends an event for each change that other handles make to the area: for a persistent area those of every process. Changes come in order, each once, after they are stored."),
        method!("storage/unsubscribe", Unsubscribe => (), unsubscribe, "Ends a subscription."),
        method!("storage/snapshot", OfStorage => Snapshotted, copies::snapshot, "Keeps the items of an area as they are now, in the memory of this connection."),
        method!("storage/restore", Restore => (), copies::restore, "Makes the items of an area those of a snapshot again, in the same order. Only what differs is written; each item that is removed, changed or added is one event."),
        method!("storage/discard", OfSnapshot => (), copies::discard, "Gives up a snapshot."),
        method!("storage/estimate", OfStorage => Estimate, administration::estimate, "How much an area holds and may hold."),
        method!("storage/largest", Largest => Vec<KeySize<'_>>, administration::largest, "The items that take the most of the quota, the largest first."),
        method!("storage/flush", Flush => (), administration::flush, "Makes everything that was acknowledged safe from a loss of power. Returns when the disk has it."),
        method!("storage/origins", NoParams => Vec<OriginInfo>, administration::origins, "The origins that have persistent storage, in alphabetical order."),
        method!("storage/delete", OfOrigin<'_> => bool, administration::delete, "Deletes the persistent storage of an origin; false if there was none. Whoever has it open sees an empty area, and an event."),
        method!("storage/check", OfOrigin<'_> => Checked, administration::check, "Looks for damage in the persistent storage of an origin, and lists what was found damaged before and moved aside. Changes nothing."),
        method!("storage/salvage", Salvage<'_> => SalvageResult<'_>, administration::salvage, "Reads what is readable out of a damaged file that was moved aside. Changes nothing."),
        method!("initialize", Initialize<'_> => Initialized, initialize, "LSP's initialize. Optional; the first call if it is used."),
        method!("initialized", Ignored => (), initialized, "LSP's initialized."),
        method!("shutdown", Ignored => (), shutdown, "LSP's shutdown: everything is committed; only exit may follow."),
        method!("$/cancelRequest", Ignored => (), ignore, "LSP's cancellation. A call that was answered already is not affected."),
        method!("$/setTrace", Ignored => (), ignore, "LSP's setTrace."),
    ]
}

/// The methods bound to one connection.
///
/// # Panics
/// If the table has a name twice.
pub fn module(connection: &Arc<Mutex<Connection>>) -> RpcModule<Mutex<Connection>> {
    let mut module = RpcModule::from_arc(Arc::clone(connection));
    for method in table() {
        for name in [Some(method.name), method.alias].into_iter().flatten() {
            module.verify_and_insert(name, (method.callback)(Arc::clone(connection))).expect("each name is in the table once");
        }
    }
    module
}

/// The method that a command of `workspace/executeCommand` stands for.
#[must_use]
pub fn method_of_command(command: &str) -> Option<String> {
    command.strip_prefix("webstorage.").map(|name| format!("storage/{name}"))
}

/// Params that are not looked at.
#[derive(Debug, JsonSchema)]
struct Ignored {}

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
    connection.read(params.storage, |area, _| Ok(area.row().length))
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
    };
    let (subscription, subscribed) = connection.subscribe(params.storage, wish)?;
    Ok(Plain(Subscribed { subscription, sequence: subscribed.sequence, gap: subscribed.gap }))
}

fn unsubscribe(connection: &mut Connection, params: Unsubscribe) -> Result<()> {
    connection.unsubscribe(params.subscription)
}

fn initialize(connection: &mut Connection, params: Initialize<'_>) -> Result<Plain<Initialized>> {
    if connection.phase != Phase::Uninitialized || connection.has_opened() {
        return Err(Error::InvalidRequest("initialize must come once, and before an area is opened".to_owned()));
    }
    let options = params.initialization_options.unwrap_or_default();
    if let Some(origin) = options.origin {
        connection.options.origin = Origin::parse(&origin).map_err(|error| match error {
            Error::InvalidParams { message, .. } => Error::InvalidParams {
                param: Some("initializationOptions.origin".to_owned()),
                message: format!("initializationOptions.{message}"),
            },
            other => other,
        })?;
    }
    if let Some(dir) = options.storage_dir {
        let dir = std::path::PathBuf::from(dir.into_owned());
        if !dir.is_absolute() {
            return Err(Error::param("initializationOptions.storageDir", "expected an absolute path"));
        }
        connection.set_storage_dir(dir);
    }
    if let Some(quota) = options.quota {
        connection.options.quota = quota.0;
    }
    if let Some(ill_formed) = options.ill_formed_strings {
        connection.replies.set_ill_formed(match ill_formed {
            IllFormedStrings::Escape => IllFormed::Escape,
            IllFormedStrings::Replace => IllFormed::Replace,
        });
    }
    if let Some(process) = params.process_id {
        connection.server().watch_process(process);
    }
    connection.phase = Phase::Initialized;
    let methods = table();
    let shed = connection.shed();
    Ok(Plain(Initialized {
        capabilities: Capabilities {
            execute_command_provider: ExecuteCommandProvider {
                commands: methods
                    .iter()
                    .filter_map(|method| method.name.strip_prefix("storage/"))
                    .map(|name| format!("webstorage.{name}"))
                    .collect(),
            },
            experimental: Experimental {
                web_storage: WebStorage {
                    protocol_version: PROTOCOL_VERSION,
                    persistent: shed.is_ok(),
                    persistent_unavailable: shed.as_ref().err().map(ToString::to_string),
                    storage_dir: shed.ok().map(|shed| shed.dir().display().to_string()),
                    origin: connection.options.origin.to_string(),
                    quota: connection.options.quota,
                    max_message_size: connection.server().options_max_message_size(),
                    methods: methods.iter().map(|method| method.name).collect(),
                },
            },
        },
        server_info: ServerInfo { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") },
    }))
}

/// The version of the protocol, semantic: a client written for one works with every later one of the same
/// major version.
pub const PROTOCOL_VERSION: &str = "1.0.0";

fn initialized(connection: &mut Connection, _: Ignored) -> Result<()> {
    tracing::debug!(phase = ?connection.phase, "the client is initialized");
    Ok(())
}

fn shutdown(connection: &mut Connection, _: Ignored) -> Result<()> {
    connection.end_group();
    connection.phase = Phase::ShutDown;
    Ok(())
}

fn ignore(_: &mut Connection, _: Ignored) -> Result<()> {
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
