//! An area: the algorithms of the HTML standard's `Storage` interface on one origin's items.
//!
//! An [`Area`] keeps the area's row, the items used lately and what is needed to find `key(n)` quickly. It holds
//! no database: the caller passes the one that the area's items are in, inside the right transaction, and says
//! with [`Area::load`] when another process may have changed them. What is set and removed reaches the database
//! with [`Area::save`] at the latest.

mod cache;
mod import;
mod key_order;
mod snapshot;
mod transact;

pub use import::{ImportMode, Imported};
pub use key_order::Entry;
pub use snapshot::Snapshot;
pub use transact::Changes;

use self::cache::{Cache, Now};
use self::key_order::Finger;
use crate::dom_string::units;
use crate::error::{Error, Result};
use crate::index::Index;
use crate::memory;
use crate::sqlite::{AreaRow, Database, Stored, corrupt, is_damage};

/// Ordinals an area can give out before its items would run into the next area's.
const ORDINALS: i64 = 1 << 40;

/// What is known of one area's items.
#[derive(Debug)]
pub struct Area {
    id: i64,
    row: AreaRow,
    saved: AreaRow,
    cache: Cache,
    /// Whether nobody else can have changed the area since it was last looked at.
    current: bool,
    finger: Finger,
    index: Option<Index>,
    /// Whether changes are kept in `changes`.
    recording: bool,
    changes: Vec<Change>,
}

/// An item that is about to be changed.
struct OldItem {
    id: i64,
    /// Whether it has the new value already.
    is_same: bool,
    /// The length of its value in 16-bit units.
    units: u64,
    /// Its value, if changes are kept.
    value: Option<Vec<u8>>,
    /// Whether its value is none that this program has written, so that what it counted in the usage is not known.
    is_broken: bool,
}

/// One change of an area: what the HTML standard broadcasts as a storage event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The number of the change; each change of a bottle has the next one.
    pub sequence: u64,
    /// The key, or `None` if all items were removed.
    pub key: Option<Vec<u8>>,
    /// The value before, if there was one.
    pub old_value: Option<Vec<u8>>,
    /// The value now, if there is one.
    pub new_value: Option<Vec<u8>>,
}

impl Area {
    /// The area with this id, as its row says, which nobody else can change.
    #[must_use]
    pub fn new(id: i64, row: AreaRow) -> Self {
        Area::with(id, row, true, cache::LIMIT)
    }

    /// The area with this id, as its row says, which others can change too.
    #[must_use]
    pub fn shared(id: i64, row: AreaRow) -> Self {
        Area::with(id, row, false, cache::LIMIT)
    }

    fn with(id: i64, row: AreaRow, current: bool, limit: usize) -> Self {
        Area {
            id,
            row,
            saved: row,
            cache: Cache::new(limit, is_new(&row)),
            current,
            finger: Finger { rank: 0, id: id * ORDINALS },
            index: None,
            recording: false,
            changes: Vec::new(),
        }
    }

    /// Whether what is known of a shared area can be relied on: from the moment when others' changes were taken over to
    /// the end of the transaction.
    pub fn set_current(&mut self, current: bool) {
        self.current = current;
    }

    /// The id in the table `area`.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.id
    }

    /// Quota, usage, length and sequence.
    #[must_use]
    pub fn row(&self) -> &AreaRow {
        &self.row
    }

    /// Takes over the row that the database holds now. If another process has changed items, or a
    /// transaction was rolled back, the row differs and what was known of the items' places is void.
    pub fn load(&mut self, row: AreaRow) {
        if row != self.row || row != self.saved {
            self.forget_places();
        }
        self.row = row;
        self.saved = row;
        self.cache.forget(is_new(&row));
        self.changes.clear();
    }

    /// Writes the items that the database does not have yet. Must come before their part of the database is looked
    /// at or changed by other means than [`Area::get_item`], [`Area::set_item`] and [`Area::remove_item`].
    ///
    /// # Errors
    /// When the database fails.
    pub fn write_out(&mut self, database: &Database) -> Result<()> {
        Ok(self.cache.write_out(database, self.id)?)
    }

    /// Writes everything that the database does not have yet. Must come before the commit of every transaction.
    ///
    /// # Errors
    /// When the database fails.
    pub fn save(&mut self, database: &Database) -> Result<()> {
        self.write_out(database)?;
        if self.row != self.saved {
            database.update_area(self.id, &self.row)?;
            self.saved = self.row;
        }
        Ok(())
    }

    /// Whether changes are to be kept for [`Area::take_changes`].
    pub fn record(&mut self, recording: bool) {
        self.recording = recording;
    }

    /// The changes since they were last taken.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// `Storage.getItem`.
    ///
    /// # Errors
    /// When the database fails.
    pub fn get_item(&mut self, database: &Database, key: &[u8]) -> Result<Option<Vec<u8>>> {
        if !self.current {
            return Ok(database.value(self.id, key)?);
        }
        match self.cache.get(key) {
            Now::Item { value, .. } => return Ok(Some(value.to_vec())),
            Now::Absent => return Ok(None),
            Now::Large { .. } | Now::Unknown => {}
        }
        let found = database.item(self.id, key, |value| database.read_all(value))?;
        let item = found.as_ref().map(|(id, value)| (*id, value.as_slice()));
        self.cache.make_room(database, self.id, key, item.map_or(&[], |(_, value)| value))?;
        self.cache.learn(key, item);
        Ok(found.map(|(_, value)| value))
    }

    /// `Storage.setItem`. An item that exists keeps its place.
    ///
    /// # Errors
    /// [`Error::QuotaExceeded`] if the area would grow beyond its quota: the old value stays.
    pub fn set_item(&mut self, database: &Database, key: &[u8], value: &[u8]) -> Result<()> {
        if self.recording {
            // The copies that listeners are told of.
            memory::require(2 * (key.len() + value.len()))?;
        }
        self.cache.make_room(database, self.id, key, value)?;
        match self.old_item(database, key, Some(value))? {
            // Setting the value that is there changes nothing and so broadcasts nothing.
            Some(OldItem { is_same: true, .. }) => Ok(()),
            Some(OldItem { id, units: old_units, value: old_value, is_broken, .. }) => {
                let new_units = units(value);
                let usage = self.fit(2 * old_units, 2 * new_units)?;
                self.store(database, key, Some(id), id, (value, new_units))?;
                self.row.usage = usage;
                if is_broken {
                    self.count_again(database)?;
                }
                self.changed(Some(key), old_value, Some(value));
                Ok(())
            }
            None => {
                let new_units = units(value);
                let usage = self.fit(0, 2 * (units(key) + new_units))?;
                // Giving all of them out would take years.
                let ordinal = i64::try_from(self.row.next).ok().filter(|ordinal| *ordinal < ORDINALS);
                let id = self.id * ORDINALS + ordinal.ok_or_else(|| corrupt("the area has given out all its ordinals"))?;
                self.store(database, key, None, id, (value, new_units))?;
                self.row.usage = usage;
                self.row.length += 1;
                self.row.next += 1;
                if let Some(index) = &mut self.index {
                    index.push(id);
                }
                self.changed(Some(key), None, Some(value));
                Ok(())
            }
        }
    }

    /// `Storage.removeItem`.
    ///
    /// # Errors
    /// When the database fails.
    pub fn remove_item(&mut self, database: &Database, key: &[u8]) -> Result<()> {
        self.cache.make_room(database, self.id, key, &[])?;
        let Some(OldItem { id, units: old_units, value: old_value, is_broken, .. }) = self.old_item(database, key, None)? else {
            return Ok(());
        };
        self.cache.remove(key, Some(id));
        self.row.usage = self.row.usage.saturating_sub(2 * (units(key) + old_units));
        self.row.length = self.row.length.saturating_sub(1);
        if id < self.finger.id {
            self.finger.rank = self.finger.rank.saturating_sub(1);
        }
        if let Some(index) = &mut self.index {
            index.remove(id);
        }
        if is_broken {
            self.count_again(database)?;
        }
        self.changed(Some(key), old_value, None);
        Ok(())
    }

    /// What a key's item is before it is changed; `new` is the value that it is to have.
    fn old_item(&self, database: &Database, key: &[u8], new: Option<&[u8]>) -> Result<Option<OldItem>> {
        let look = |value: &Stored<'_>| {
            let value_before = if self.recording { Some(database.read_all(value)?) } else { None };
            let mut rest = new.filter(|new| new.len() == value.len());
            let mut count = 0;
            value.for_each_piece(|piece| {
                rest = rest.and_then(|rest| rest.strip_prefix(piece));
                count += units(piece);
            })?;
            Ok((rest.is_some(), count, value_before))
        };
        let old = match self.cache.get(key) {
            Now::Item { id, value } => Some((id, look(&Stored::Small(value))?)),
            Now::Absent => None,
            // What has to be known of it is known, so that most of it need not be read.
            Now::Large { id, units } if !self.recording => {
                let is_same = new.map_or(Ok(false), |new| database.has_value(id, new))?;
                Some((id, (is_same, units, None)))
            }
            Now::Large { .. } | Now::Unknown => match database.item(self.id, key, look) {
                // A value that a fault of the disk has changed can be replaced and removed nevertheless.
                Err(error) if is_damage(&error) => {
                    let Some(item) = database.broken_item(self.id, key)? else { return Err(error.into()) };
                    let value = Some(item.value).filter(|_| self.recording);
                    return Ok(Some(OldItem { id: item.id, is_same: false, units: item.units, value, is_broken: true }));
                }
                found => found?,
            },
        };
        Ok(old.map(|(id, (is_same, units, value))| OldItem { id, is_same, units, value, is_broken: false }))
    }

    /// Counts the usage anew, because it was not known what an item that is gone has counted.
    fn count_again(&mut self, database: &Database) -> Result<()> {
        self.write_out(database)?;
        self.row.usage = database.usage(self.ids())?;
        Ok(())
    }

    /// Gives a key the item `id`. `old` is the id of the item that it had, which is the same one if it had any.
    /// The value comes with its length in 16-bit units.
    fn store(&mut self, database: &Database, key: &[u8], old: Option<i64>, id: i64, (value, units): (&[u8], u64)) -> Result<()> {
        if !cache::is_large(key, value) {
            self.cache.set(key, old, id, value);
            return Ok(());
        }
        self.cache.give_up(database, self.id, key)?;
        let mut writer = database.item_writer();
        match old {
            Some(id) => writer.update(id, value)?,
            None => writer.insert(id, self.id, key, value)?,
        }
        self.cache.learn_large(key, id, units);
        Ok(())
    }

    /// `Storage.clear`.
    ///
    /// # Errors
    /// When the database fails.
    pub fn clear(&mut self, database: &Database) -> Result<()> {
        if self.row.length == 0 && self.row.usage == 0 {
            return self.write_out(database);
        }
        if database.has_other_area(self.id)? {
            database.delete_items(self.ids())?;
        } else {
            database.delete_every_item()?;
        }
        self.row.usage = 0;
        self.row.length = 0;
        self.cache.forget(true);
        self.forget_places();
        self.changed(None, None, None);
        Ok(())
    }

    /// Sets the quota, in bytes. Items that are there stay, also when they no longer fit.
    pub fn set_quota(&mut self, quota: u64) {
        self.row.quota = quota;
    }

    /// Forgets the items, also those that are not written, because a transaction was rolled back.
    pub fn forget(&mut self) {
        self.cache.forget(false);
        self.forget_places();
    }

    /// Forgets where items are, because they may be elsewhere now.
    fn forget_places(&mut self) {
        self.finger = Finger { rank: 0, id: self.ids().start };
        self.index = None;
    }

    /// The ids of the area's items.
    fn ids(&self) -> std::ops::Range<i64> {
        ids(self.id)
    }

    /// The usage after `old` bytes are replaced by `new`. Only growth is checked, so that shrinking always works.
    fn fit(&self, old: u64, new: u64) -> Result<u64> {
        let usage = (self.row.usage + new).saturating_sub(old);
        if new > old && usage > self.row.quota {
            return Err(Error::QuotaExceeded { quota: self.row.quota, requested: usage, usage: self.row.usage });
        }
        Ok(usage)
    }

    fn changed(&mut self, key: Option<&[u8]>, old_value: Option<Vec<u8>>, new_value: Option<&[u8]>) {
        self.row.sequence += 1;
        if self.recording {
            self.changes.push(Change {
                sequence: self.row.sequence,
                key: key.map(<[u8]>::to_vec),
                old_value,
                new_value: new_value.map(<[u8]>::to_vec),
            });
        }
    }
}

/// Whether an area never had an item.
fn is_new(row: &AreaRow) -> bool {
    row.length == 0 && row.next == 0
}

/// The ids that items of an area can have.
#[must_use]
pub fn ids(area: i64) -> std::ops::Range<i64> {
    area * ORDINALS..(area + 1) * ORDINALS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All items of an area, in order.
    pub fn items(area: &mut Area, database: &Database) -> Vec<(Vec<u8>, Vec<u8>)> {
        area.all_entries(database).expect("the database can be read")
    }
}
