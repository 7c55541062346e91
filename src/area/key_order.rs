//! The items of an area in key order: `key(n)`, and pages of keys and entries.

use super::Area;
use crate::error::{Error, Result};
use crate::index::Index;
use crate::sqlite::{Database, corrupt};

/// How many items a search for `key(n)` steps over before it builds an [`Index`].
const MAX_STEPS: u64 = 8;

/// What is said where items are missing.
const MISCOUNTED: &str = "it does not have as many items as it counts";

/// A place between items: `rank` items have ids below `id`. Walking through the keys moves it step by step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finger {
    pub(super) rank: u64,
    pub(super) id: i64,
}

/// The key and the value of an item.
pub type Entry = (Vec<u8>, Vec<u8>);

impl Area {
    /// `Storage.key`.
    ///
    /// # Errors
    /// When the database fails.
    pub fn key(&mut self, database: &Database, n: u64) -> Result<Option<Vec<u8>>> {
        if n >= self.row.length {
            return Ok(None);
        }
        self.write_out(database)?;
        let ids = self.ids();
        let (from_start, from_finger, from_end) = (n, n.abs_diff(self.finger.rank), self.row.length - 1 - n);
        let nearest = from_start.min(from_finger).min(from_end);
        let found = if nearest > MAX_STEPS {
            let index = match &mut self.index {
                Some(index) => index,
                none => none.insert(Index::build(|push| database.item_ids(ids, push))?),
            };
            match index.get(n) {
                Some(id) => database.key(id)?.map(|key| (id, key)),
                None => None,
            }
        } else if nearest == from_finger {
            let finger = self.finger;
            let steps = i64::try_from(nearest).unwrap_or(i64::MAX);
            if n >= finger.rank {
                database.nth_up(finger.id..ids.end, steps)?
            } else {
                database.nth_down(ids.start..finger.id, steps - 1)?
            }
        } else if nearest == from_start {
            database.nth_up(ids, i64::try_from(n).unwrap_or(i64::MAX))?
        } else {
            database.nth_down(ids, i64::try_from(from_end).unwrap_or(i64::MAX))?
        };
        let (id, key) = found.ok_or_else(|| corrupt(MISCOUNTED))?;
        self.finger = Finger { rank: n, id };
        Ok(Some(key))
    }

    /// Calls `f` with at most `limit` keys in key order, from the one after `after` on.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no item `after`.
    pub fn keys(&mut self, database: &Database, after: Option<&[u8]>, limit: u64, f: impl FnMut(&[u8])) -> Result<()> {
        self.write_out(database)?;
        Ok(database.keys(self.ids_after(database, after)?, limit, f)?)
    }

    /// Calls `f` with the key and value of at most `limit` items in key order, from the one after `after` on. Needs a
    /// transaction, in which the area is up to date.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no item `after`; those of `f`.
    pub fn entries(
        &mut self,
        database: &Database,
        after: Option<&[u8]>,
        limit: u64,
        mut f: impl FnMut(&[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        self.write_out(database)?;
        let mut count = 0;
        database.items(self.ids_after(database, after)?, limit, |_, key, value| {
            count += 1;
            f(key, value)
        })?;
        // An item whose number a fault of the disk has changed can be where none is looked for.
        if after.is_none() && count < limit && count != self.row.length {
            return Err(Error::Sqlite(corrupt(MISCOUNTED)));
        }
        Ok(())
    }

    /// Every item's key and value, in key order.
    ///
    /// # Errors
    /// When the database fails.
    pub fn all_entries(&mut self, database: &Database) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        self.entries(database, None, u64::MAX, |key, value| {
            entries.push((key.to_vec(), value.to_vec()));
            Ok(())
        })?;
        Ok(entries)
    }

    /// The ids of the items after the one with key `after`.
    fn ids_after(&self, database: &Database, after: Option<&[u8]>) -> Result<std::ops::Range<i64>> {
        let Some(after) = after else { return Ok(self.ids()) };
        match database.item_id(self.id, after)? {
            Some(id) => Ok(id + 1..self.ids().end),
            None => Err(Error::NotFound(
                "after: the area has no item with this key (any more), so where to go on is not known; read the keys from the start"
                    .to_owned(),
            )),
        }
    }
}
