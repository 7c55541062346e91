//! The methods that take or give several items at once.

use crate::area::Changes;
use crate::connection::Connection;
use crate::dom_string::DomString;
use crate::error::Result;
use crate::memory;
use crate::protocol::{EntriesPage, Item, OfKeys, Transact};

/// What an item takes in the database besides its key and value, about.
const ITEM_BYTES: usize = 128;

pub(super) fn get_items(connection: &mut Connection, params: OfKeys<'_>) -> Result<Vec<Option<DomString<'static>>>> {
    connection.read(params.storage, |area, database| {
        params.keys.iter().map(|key| Ok(area.get_item(database, key.as_bytes())?.map(DomString::from_wtf8))).collect()
    })
}

pub(super) fn transact(connection: &mut Connection, params: Transact<'_>) -> Result<()> {
    let changes = Changes {
        conditions: params.conditions.iter().map(|held| (held.key.as_bytes(), held.value.as_ref().map(DomString::as_bytes))).collect(),
        clear: params.clear,
        remove: params.remove.iter().map(DomString::as_bytes).collect(),
        set: params.set.iter().map(|item| (item.key.as_bytes(), item.value.as_bytes())).collect(),
    };
    let bytes = changes.set.iter().map(|(key, value)| key.len() + value.len() + ITEM_BYTES).sum();
    connection.write(params.storage, bytes, |area, database| area.transact(database, &changes))
}

pub(super) fn entries(connection: &mut Connection, params: EntriesPage<'_>) -> Result<Vec<Item<'static>>> {
    let after = params.after.as_ref().map(DomString::as_bytes);
    let limit = params.limit.map_or(u64::MAX, |limit| limit.0);
    let mut entries = Vec::new();
    connection.read(params.storage, |area, database| {
        area.entries(database, after, limit, |key, value| {
            memory::require(key.len() + value.len())?;
            entries.push(Item { key: DomString::from_wtf8(key.to_vec()), value: DomString::from_wtf8(value.to_vec()) });
            Ok(())
        })
    })?;
    Ok(entries)
}
