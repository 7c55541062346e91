//! Snapshots: the items of an area as they were at one moment, and the way back to them.

use super::{Area, ORDINALS};
use crate::dom_string::units;
use crate::error::{Error, Result};
use crate::sqlite::{AreaRow, Database};

/// The items of an area at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// In key order.
    items: Vec<SnapshotItem>,
    /// The ordinal that the next new item would have got.
    next: u64,
    /// Bytes of keys and values.
    bytes: usize,
}

#[derive(Debug)]
struct SnapshotItem {
    ordinal: i64,
    key: Box<[u8]>,
    value: Box<[u8]>,
}

/// What has to be done to get back to a snapshot. Ids are the area's present ones.
#[derive(Default)]
struct Difference<'s> {
    removed: Vec<(i64, Vec<u8>, Vec<u8>)>,
    changed: Vec<(i64, Vec<u8>, &'s SnapshotItem)>,
    added: Vec<&'s SnapshotItem>,
}

impl Snapshot {
    /// The memory it takes, about, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.bytes + self.items.len() * size_of::<SnapshotItem>()
    }

    /// The number of items.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.items.len() as u64
    }
}

impl Area {
    /// Copies all items.
    ///
    /// # Errors
    /// When the database fails.
    pub fn snapshot(&mut self, database: &Database) -> Result<Snapshot> {
        self.write_out(database)?;
        let mut snapshot = Snapshot { next: self.row.next, ..Snapshot::default() };
        let first = self.ids().start;
        database.items(self.ids(), u64::MAX, |id, key, value| {
            snapshot.bytes += key.len() + value.len();
            snapshot.items.push(SnapshotItem { ordinal: id - first, key: key.into(), value: value.into() });
            Ok::<(), Error>(())
        })?;
        Ok(snapshot)
    }

    /// Makes the items those of a snapshot again, in the same order. Only what differs is written, so that
    /// this costs little after few changes, whoever made them. A snapshot of another area will do as well.
    ///
    /// Each item that is removed, changed or added is one change. An item that was removed and added again
    /// has another place now, and so is removed and added.
    ///
    /// # Errors
    /// [`Error::QuotaExceeded`] if the quota is too small for the snapshot by now. Nothing is changed then.
    pub fn restore(&mut self, database: &Database, snapshot: &Snapshot) -> Result<()> {
        self.write_out(database)?;
        let difference = self.difference(database, snapshot)?;
        if difference.removed.is_empty() && difference.changed.is_empty() && difference.added.is_empty() {
            return Ok(());
        }
        self.all_or_nothing(database, |area| area.undo(database, snapshot, difference))
    }

    /// The area of this id that has the same items, copied in one step by the database that both are in.
    ///
    /// # Errors
    /// [`Error::QuotaExceeded`] if they do not fit into `quota`.
    pub fn copy(&mut self, database: &Database, id: i64, origin: &str, quota: u64) -> Result<Area> {
        let row = AreaRow { quota, sequence: 0, ..self.row };
        if row.usage > quota {
            return Err(Error::QuotaExceeded { quota, requested: row.usage, usage: 0 });
        }
        self.write_out(database)?;
        database.insert_area(id, origin, &row)?;
        database.copy_items(self.ids(), (id - self.id) * ORDINALS, id)?;
        Ok(Area::new(id, row))
    }

    /// Walks through the items and the snapshot's in step: both are in the order of ordinals.
    fn difference<'s>(&self, database: &Database, snapshot: &'s Snapshot) -> Result<Difference<'s>> {
        let mut difference = Difference::default();
        let first = self.ids().start;
        let mut expected = snapshot.items.iter().peekable();
        database.items(self.ids(), u64::MAX, |id, key, value| {
            while let Some(missing) = expected.next_if(|item| item.ordinal < id - first) {
                difference.added.push(missing);
            }
            match expected.next_if(|item| item.ordinal == id - first) {
                Some(item) if *item.key == *key => {
                    if *item.value != *value {
                        difference.changed.push((id, value.to_vec(), item));
                    }
                }
                other => {
                    difference.removed.push((id, key.to_vec(), value.to_vec()));
                    difference.added.extend(other);
                }
            }
            Ok::<(), Error>(())
        })?;
        difference.added.extend(expected);
        Ok(difference)
    }

    fn undo(&mut self, database: &Database, snapshot: &Snapshot, difference: Difference<'_>) -> Result<()> {
        let first = self.ids().start;
        let mut writer = database.item_writer();
        self.cache.forget(false);
        // No two items may have one key at any time, so what goes, goes first.
        for (id, key, value) in difference.removed {
            writer.delete(id)?;
            self.row.usage = self.row.usage.saturating_sub(2 * (units(&key) + units(&value)));
            self.row.length = self.row.length.saturating_sub(1);
            self.changed(Some(&key), Some(value), None);
        }
        for (id, old, item) in difference.changed {
            writer.update(id, &item.value)?;
            self.row.usage = (self.row.usage + 2 * units(&item.value)).saturating_sub(2 * units(&old));
            self.changed(Some(&item.key), Some(old), Some(&item.value));
        }
        for item in difference.added {
            if item.ordinal >= ORDINALS {
                return Err(Error::Internal("a snapshot has an ordinal that no area can have given out".to_owned()));
            }
            writer.insert(first + item.ordinal, self.id, &item.key, &item.value)?;
            self.row.usage += 2 * (units(&item.key) + units(&item.value));
            self.row.length += 1;
            self.changed(Some(&item.key), None, Some(&item.value));
        }
        self.row.next = self.row.next.max(snapshot.next);
        self.forget_places();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::items;
    use super::*;

    fn area(id: i64, database: &Database) -> Area {
        let row = AreaRow { quota: 1 << 30, usage: 0, length: 0, next: 0, sequence: 0 };
        database.insert_area(id, "http://test", &row).expect("the database is new");
        Area::new(id, row)
    }

    #[test]
    fn any_changes_are_undone_in_order() {
        let mut random = fastrand::Rng::with_seed(5);
        let database = Database::open_memory().expect("there is memory");
        database.begin_write().expect("there is memory");
        let (mut area, mut other) = (area(1, &database), area(2, &database));
        for round in 0..60 {
            for _ in 0..random.usize(..40) {
                let key = random.u8(..30).to_string();
                match random.u8(..10) {
                    0 => area.clear(&database),
                    1..=3 => area.remove_item(&database, key.as_bytes()),
                    _ => area.set_item(&database, key.as_bytes(), random.u16(..).to_string().as_bytes()),
                }
                .expect("the change fits");
            }
            let snapshot = area.snapshot(&database).expect("the database can be read");
            let (before, row) = (items(&mut area, &database), *area.row());
            for _ in 0..random.usize(..40) {
                let key = random.u8(..30).to_string();
                match random.u8(..10) {
                    0 => area.clear(&database),
                    1..=3 => area.remove_item(&database, key.as_bytes()),
                    _ => area.set_item(&database, key.as_bytes(), b"other"),
                }
                .expect("the change fits");
            }
            area.restore(&database, &snapshot).expect("the snapshot fits");
            assert_eq!(items(&mut area, &database), before, "round {round}");
            assert_eq!((area.row().usage, area.row().length), (row.usage, row.length));
            // The places that were found before must not be used for other items now.
            for (n, (key, _)) in before.iter().enumerate() {
                assert_eq!(area.key(&database, n as u64).expect("the database can be read").as_ref(), Some(key));
            }
            other.restore(&database, &snapshot).expect("the snapshot fits");
            assert_eq!(items(&mut other, &database), before);
            assert_eq!((other.row().usage, other.row().length), (row.usage, row.length));
        }
    }

    #[test]
    fn restoring_gives_each_change() {
        let database = Database::open_memory().expect("there is memory");
        let mut area = area(1, &database);
        for (key, value) in [("a", "1"), ("b", "2"), ("c", "3")] {
            area.set_item(&database, key.as_bytes(), value.as_bytes()).expect("the item fits");
        }
        let snapshot = area.snapshot(&database).expect("the database can be read");
        area.set_item(&database, b"a", b"x").expect("the item fits");
        area.remove_item(&database, b"b").expect("the item is there");
        area.set_item(&database, b"d", b"4").expect("the item fits");
        area.record(true);
        area.restore(&database, &snapshot).expect("the snapshot fits");
        let changes: Vec<_> = area
            .take_changes()
            .into_iter()
            .map(|change| (change.sequence, change.key.unwrap_or_default(), change.old_value, change.new_value))
            .collect();
        let some = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(
            changes,
            [(7, b"d".to_vec(), some("4"), None), (8, b"a".to_vec(), some("x"), some("1")), (9, b"b".to_vec(), None, some("2"))]
        );
        area.restore(&database, &snapshot).expect("there is nothing to do");
        assert_eq!(area.take_changes(), []);
    }
}
