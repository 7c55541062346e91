//! The statements on areas and their items.

use rusqlite::types::ValueRef;
use rusqlite::{OptionalExtension, params};

use super::stored::{LARGE, Stored};
use super::{Database, OUT_OF_ORDER, blob, corrupt, signed, unsigned};

/// A row of the table `area`: what is known of an area without looking at its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AreaRow {
    /// The quota in bytes.
    pub quota: u64,
    /// The sum of two bytes for each 16-bit unit of keys and values.
    pub usage: u64,
    /// The number of items.
    pub length: u64,
    /// The ordinal of the next new item.
    pub next: u64,
    /// The number of the newest change.
    pub sequence: u64,
}

/// No number that counts something here gets beyond this.
const MAX_COUNT: u64 = 1 << 53;

/// Is shown the id, the key and the value of an item, and says whether it wants to see the next one.
type Visit<'f> = dyn FnMut(i64, &[u8], &[u8]) -> bool + 'f;

impl Database {
    /// Reads an area's row.
    pub fn area(&self, area: i64) -> rusqlite::Result<AreaRow> {
        self.prepare("SELECT quota, usage, length, next, sequence FROM area WHERE id = ?1")?.query_row([area], |row| {
            let row = AreaRow {
                quota: unsigned(row, 0)?,
                usage: unsigned(row, 1)?,
                length: unsigned(row, 2)?,
                next: unsigned(row, 3)?,
                sequence: unsigned(row, 4)?,
            };
            // Each item has had an ordinal of its own, and only one can have no bytes.
            let greatest = row.usage.max(row.next).max(row.sequence);
            let is_sound = row.length <= row.next && row.length <= row.usage / 2 + 1 && greatest <= MAX_COUNT;
            if is_sound { Ok(row) } else { Err(corrupt("the counters of its area cannot be true")) }
        })
    }

    /// Adds an area.
    pub fn insert_area(&self, area: i64, origin: &str, row: &AreaRow) -> rusqlite::Result<()> {
        self.prepare("INSERT INTO area (id, origin, quota, usage, length, next, sequence) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
            .execute(params![
                area,
                origin,
                signed(row.quota),
                signed(row.usage),
                signed(row.length),
                signed(row.next),
                signed(row.sequence)
            ])
            .map(drop)
    }

    /// Writes an area's row.
    pub fn update_area(&self, area: i64, row: &AreaRow) -> rusqlite::Result<()> {
        self.prepare("UPDATE area SET quota = ?2, usage = ?3, length = ?4, next = ?5, sequence = ?6 WHERE id = ?1")?
            .execute(params![area, signed(row.quota), signed(row.usage), signed(row.length), signed(row.next), signed(row.sequence)])
            .map(drop)
    }

    /// Forgets an area that has no items.
    pub fn delete_area(&self, area: i64) -> rusqlite::Result<()> {
        self.prepare("DELETE FROM area WHERE id = ?1")?.execute([area]).map(drop)
    }

    /// Whether any area but this one has a row.
    pub fn has_other_area(&self, area: i64) -> rusqlite::Result<bool> {
        self.prepare("SELECT EXISTS (SELECT 1 FROM area WHERE id <> ?1)")?.query_row([area], |row| row.get(0))
    }

    /// The value of a key.
    pub fn value(&self, area: i64, key: &[u8]) -> rusqlite::Result<Option<Vec<u8>>> {
        Ok(self.item(area, key, |value| self.read_all(value))?.map(|(_, value)| value))
    }

    /// The id of a key's item, and what `f` makes of its value.
    pub fn item<T>(&self, area: i64, key: &[u8], f: impl FnOnce(&Stored<'_>) -> rusqlite::Result<T>) -> rusqlite::Result<Option<(i64, T)>> {
        // A large value is not loaded by this. It is read while the statement is active, and so as of the same moment.
        self.prepare("SELECT id, CASE WHEN length(value) < ?3 THEN value END FROM item WHERE area = ?1 AND key = ?2")?
            .query_row(params![area, key, LARGE], |row| {
                let id = row.get(0)?;
                let value = match row.get_ref(1)? {
                    ValueRef::Null => Stored::Large(self.open_value(id, true)?),
                    value => Stored::Small(self.string(value.as_blob()?)?),
                };
                Ok((id, f(&value)?))
            })
            .optional()
    }

    /// The id of a key's item.
    pub fn item_id(&self, area: i64, key: &[u8]) -> rusqlite::Result<Option<i64>> {
        self.prepare("SELECT id FROM item WHERE area = ?1 AND key = ?2")?.query_row(params![area, key], |row| row.get(0)).optional()
    }

    /// The key of an item.
    pub fn key(&self, id: i64) -> rusqlite::Result<Option<Vec<u8>>> {
        self.prepare("SELECT key FROM item WHERE id = ?1")?.query_row([id], |row| self.owned_string(row, 0)).optional()
    }

    /// The item that follows `skip` others among those with ids in `ids`, in ascending order.
    pub fn nth_up(&self, ids: std::ops::Range<i64>, skip: i64) -> rusqlite::Result<Option<(i64, Vec<u8>)>> {
        self.prepare("SELECT id, key FROM item WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT 1 OFFSET ?3")?
            .query_row(params![ids.start, ids.end, skip], |row| Ok((row.get(0)?, self.owned_string(row, 1)?)))
            .optional()
    }

    /// The item that follows `skip` others among those with ids in `ids`, in descending order.
    pub fn nth_down(&self, ids: std::ops::Range<i64>, skip: i64) -> rusqlite::Result<Option<(i64, Vec<u8>)>> {
        self.prepare("SELECT id, key FROM item WHERE id >= ?1 AND id < ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3")?
            .query_row(params![ids.start, ids.end, skip], |row| Ok((row.get(0)?, self.owned_string(row, 1)?)))
            .optional()
    }

    /// All ids in `ids`, ascending.
    pub fn item_ids(&self, ids: std::ops::Range<i64>, mut f: impl FnMut(i64)) -> rusqlite::Result<()> {
        let mut statement = self.prepare("SELECT id FROM item WHERE id >= ?1 AND id < ?2 ORDER BY id")?;
        let mut rows = statement.query(params![ids.start, ids.end])?;
        while let Some(row) = rows.next()? {
            f(row.get(0)?);
        }
        Ok(())
    }

    /// At most `limit` keys of the items with ids in `ids`, in ascending order of ids.
    pub fn keys(&self, ids: std::ops::Range<i64>, limit: u64, mut f: impl FnMut(&[u8])) -> rusqlite::Result<()> {
        let mut statement = self.prepare("SELECT key FROM item WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3")?;
        let mut rows = statement.query(params![ids.start, ids.end, signed(limit)])?;
        while let Some(row) = rows.next()? {
            f(self.string(blob(row, 0)?)?);
        }
        Ok(())
    }

    /// Calls `f` with the ids, keys and values of at most `limit` items with ids in `ids`, in ascending order of ids,
    /// until it fails.
    pub fn items<E: From<rusqlite::Error>>(
        &self,
        ids: std::ops::Range<i64>,
        limit: u64,
        mut f: impl FnMut(i64, &[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut outcome = Ok(());
        self.each_item(ids, limit, &mut |id, key, value| {
            let both = self.string(key).and_then(|key| Ok((key, self.string(value)?)));
            outcome = both.map_err(E::from).and_then(|(key, value)| f(id, key, value));
            outcome.is_ok()
        })?;
        outcome
    }

    /// The same, whether keys and values are strings or not, for as long as `f` returns true.
    pub(super) fn each_item(&self, ids: std::ops::Range<i64>, limit: u64, f: &mut Visit<'_>) -> rusqlite::Result<()> {
        let mut statement = self.prepare("SELECT id, key, value FROM item WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3")?;
        let mut rows = statement.query(params![ids.start, ids.end, signed(limit)])?;
        let mut last = i64::MIN;
        while let Some(row) = rows.next()? {
            let id = row.get(0)?;
            if id <= std::mem::replace(&mut last, id) {
                return Err(corrupt(OUT_OF_ORDER));
            }
            if !f(id, blob(row, 1)?, blob(row, 2)?) {
                break;
            }
        }
        Ok(())
    }

    /// Copies all items of one area into another, with ids that are greater by `offset`.
    pub fn copy_items(&self, ids: std::ops::Range<i64>, offset: i64, area: i64) -> rusqlite::Result<()> {
        self.prepare(
            "INSERT INTO item (id, area, key, value) SELECT id + ?3, ?4, key, value FROM item WHERE id >= ?1 AND id < ?2 ORDER BY id",
        )?
        .execute(params![ids.start, ids.end, offset, area])
        .map(drop)
    }

    /// Removes all items whose ids are in `ids`.
    pub fn delete_items(&self, ids: std::ops::Range<i64>) -> rusqlite::Result<()> {
        self.prepare("DELETE FROM item WHERE id >= ?1 AND id < ?2")?.execute(params![ids.start, ids.end]).map(drop)
    }

    /// Removes every item of the database. SQLite does this page by page, not row by row.
    pub fn delete_every_item(&self) -> rusqlite::Result<()> {
        self.prepare("DELETE FROM item")?.execute([]).map(drop)
    }
}
