//! The items of an area that were used lately, and the changes of them that the database does not have yet.
//!
//! Setting an item would otherwise be two statements, one to learn what the item was and one to write it. Here
//! the first is mostly a look into memory, and the second waits for the end of the transaction, when the
//! statement is prepared once for all changes and an item that was changed often is written once.

use std::collections::HashSet;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use crate::sqlite::{Database, ItemWriter};

/// Bytes that the entries of an area may take; then everything is written, and forgotten. The usual quota is less, so
/// that what most areas hold is read without SQLite.
pub const LIMIT: usize = 32 << 20;

/// Bytes of a key and its value above which an item is not kept: copying it costs more than reading it again.
const MAX_ITEM: usize = 8 << 10;

/// Keys up to which their hashes are kept when the cache is emptied.
const MAX_HASHES: usize = 1 << 18;

/// What an entry takes in memory besides its key and value, in bytes, about.
const ENTRY_BYTES: usize = 128;

/// An area's items as far as they are known, and what is still to be written.
#[derive(Debug)]
pub struct Cache {
    /// What is known of keys. The others are as the database says.
    entries: IndexMap<Box<[u8]>, Entry, RandomState>,
    /// The places of the entries that are not as the database says.
    unwritten: Vec<usize>,
    bytes: usize,
    /// Bytes that the entries may take.
    limit: usize,
    others: Others,
}

/// Which keys without an entry have items.
#[derive(Debug, Default)]
enum Others {
    /// Only the database can tell.
    #[default]
    Unknown,
    /// None.
    None,
    /// Those with these hashes, of which some may have been removed.
    Among(HashSet<u64, RandomState>),
}

#[derive(Debug)]
struct Entry {
    /// The id under which the database has the key's item.
    stored: Option<i64>,
    now: Now<Vec<u8>>,
    unwritten: bool,
}

/// What a key's item is now, with its value as a `V`.
#[derive(Debug)]
pub enum Now<V> {
    /// As the database says.
    Unknown,
    /// There is none.
    Absent,
    /// One that is too large to be kept.
    Large {
        /// Its id.
        id: i64,
        /// The length of its value in 16-bit units.
        units: u64,
    },
    /// This one.
    Item {
        /// Its id.
        id: i64,
        /// Its value.
        value: V,
    },
}

/// Whether an item is too large to be kept.
#[must_use]
pub fn is_large(key: &[u8], value: &[u8]) -> bool {
    key.len() + value.len() > MAX_ITEM
}

impl Cache {
    /// Keeps entries of up to `limit` bytes. Nothing is known; if the area `is_empty`, everything.
    #[must_use]
    pub fn new(limit: usize, is_empty: bool) -> Self {
        let others = if is_empty { Others::None } else { Others::Unknown };
        Cache { entries: IndexMap::default(), unwritten: Vec::new(), bytes: 0, limit, others }
    }

    /// Forgets everything, also what is not written.
    pub fn forget(&mut self, is_empty: bool) {
        *self = Cache::new(self.limit, is_empty);
    }

    /// What a key's item is.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Now<&[u8]> {
        match self.entries.get(key).map(|entry| &entry.now) {
            Some(Now::Item { id, value }) => Now::Item { id: *id, value },
            Some(Now::Absent) => Now::Absent,
            Some(Now::Large { id, units }) => Now::Large { id: *id, units: *units },
            Some(Now::Unknown) => Now::Unknown,
            None => match &self.others {
                Others::None => Now::Absent,
                Others::Among(hashes) if !hashes.contains(&self.entries.hasher().hash_one(key)) => Now::Absent,
                _ => Now::Unknown,
            },
        }
    }

    /// Makes room for an item before it is learned, set or removed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn make_room(&mut self, database: &Database, area: i64, key: &[u8], value: &[u8]) -> rusqlite::Result<()> {
        // Of a large item nothing is kept but its key.
        let kept = if is_large(key, value) { 0 } else { value.len() };
        if self.bytes + ENTRY_BYTES + key.len() + kept > self.limit {
            self.write_out(database, area)?;
            self.forget_entries();
        }
        Ok(())
    }

    /// Forgets the entries. Of an area that was empty when it was opened it stays known which keys have no item:
    /// whoever fills one with many items should not have to ask for each whether it is there.
    fn forget_entries(&mut self) {
        let mut hashes = match std::mem::take(&mut self.others) {
            Others::Unknown => None,
            Others::None => Some(HashSet::default()),
            Others::Among(hashes) => Some(hashes),
        };
        let state = self.entries.hasher().clone();
        let with_items = self.entries.drain(..).filter(|(_, entry)| !matches!(entry.now, Now::Absent));
        if let Some(hashes) = &mut hashes {
            hashes.extend(with_items.map(|(key, _)| state.hash_one(key)));
        }
        self.others = hashes.filter(|hashes| hashes.len() <= MAX_HASHES).map_or(Others::Unknown, Others::Among);
        self.bytes = 0;
    }

    /// Takes in what the database says of a key of which nothing was known.
    pub fn learn(&mut self, key: &[u8], item: Option<(i64, &[u8])>) {
        if is_large(key, item.map_or(&[], |(_, value)| value)) {
            return;
        }
        let stored = item.map(|(id, _)| id);
        let now = item.map_or(Now::Absent, |(id, value)| Now::Item { id, value: value.to_vec() });
        self.put(key, stored, now);
    }

    /// Sets a key's item, which must not be large. `stored` is the id of the item that the database has, if
    /// nothing is known of the key here.
    pub fn set(&mut self, key: &[u8], stored: Option<i64>, id: i64, value: &[u8]) {
        let place = match self.entries.get_full_mut(key) {
            Some((place, _, Entry { now: Now::Item { id: old_id, value: old }, .. })) => {
                self.bytes = self.bytes + value.len() - old.len();
                *old_id = id;
                old.clear();
                old.extend_from_slice(value);
                place
            }
            _ => self.put(key, stored, Now::Item { id, value: value.to_vec() }),
        };
        self.must_write(place);
    }

    /// Removes a key's item. `stored` as for [`Cache::set`].
    pub fn remove(&mut self, key: &[u8], stored: Option<i64>) {
        let place = self.put(key, stored, Now::Absent);
        self.must_write(place);
    }

    /// Writes what is to be written of one key and forgets the key, because the database is about to be changed.
    ///
    /// # Errors
    /// When the database fails.
    pub fn give_up(&mut self, database: &Database, area: i64, key: &[u8]) -> rusqlite::Result<()> {
        if let Some((_, key, entry)) = self.entries.get_full_mut(key) {
            entry.write(&mut database.item_writer(), area, key)?;
            entry.now = Now::Unknown;
        } else {
            // Without an entry a key could count as one without an item.
            self.put(key, None, Now::Unknown);
        }
        Ok(())
    }

    /// Takes in that the database has a large item, whose key was [given up](Cache::give_up) before.
    pub fn learn_large(&mut self, key: &[u8], id: i64, units: u64) {
        self.put(key, Some(id), Now::Large { id, units });
    }

    /// Writes what the database does not have yet.
    ///
    /// # Errors
    /// When the database fails. What was not written stays to be written.
    pub fn write_out(&mut self, database: &Database, area: i64) -> rusqlite::Result<()> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        let mut writer = database.item_writer();
        let mut written = 0;
        let mut wrote = Ok(());
        for place in &self.unwritten {
            let Some((key, entry)) = self.entries.get_index_mut(*place) else { continue };
            wrote = entry.write(&mut writer, area, key);
            if wrote.is_err() {
                break;
            }
            written += 1;
        }
        self.unwritten.drain(..written);
        wrote
    }

    /// Replaces what is known of a key. Returns its entry's place.
    fn put(&mut self, key: &[u8], stored: Option<i64>, now: Now<Vec<u8>>) -> usize {
        let size = |now: &Now<Vec<u8>>| if let Now::Item { value, .. } = now { value.len() } else { 0 };
        self.bytes += size(&now);
        if let Some((place, _, entry)) = self.entries.get_full_mut(key) {
            self.bytes -= size(&entry.now);
            if matches!(entry.now, Now::Unknown) {
                entry.stored = stored;
            }
            entry.now = now;
            return place;
        }
        self.bytes += ENTRY_BYTES + key.len();
        self.entries.insert_full(key.into(), Entry { stored, now, unwritten: false }).0
    }

    fn must_write(&mut self, place: usize) {
        let entry = &mut self.entries[place];
        if !std::mem::replace(&mut entry.unwritten, true) {
            self.unwritten.push(place);
        }
    }
}

impl Entry {
    fn write(&mut self, writer: &mut ItemWriter<'_>, area: i64, key: &[u8]) -> rusqlite::Result<()> {
        if !self.unwritten {
            return Ok(());
        }
        match (&self.now, self.stored) {
            (Now::Item { id, value }, Some(stored)) if *id == stored => writer.update(stored, value)?,
            (now, stored) => {
                // An item that was removed and set again has another place, and no two may have one key.
                if let Some(stored) = stored {
                    writer.delete(stored)?;
                    self.stored = None;
                }
                if let Now::Item { id, value } = now {
                    writer.insert(*id, area, key, value)?;
                    self.stored = Some(*id);
                }
            }
        }
        self.unwritten = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::items;
    use super::super::{Area, Changes};
    use super::*;
    use crate::error::Error;
    use crate::sqlite::AreaRow;

    /// The limit of the caches that are tested.
    const LITTLE: usize = 512 << 10;

    /// What is done to an area. Values are of a size class, so that some are too large to be kept and a few dozen
    /// of the others fill the cache.
    #[derive(Clone, Debug)]
    enum Step {
        Set(u8, usize, u8),
        /// Sets so many keys in turn that two of these do not fit into the cache.
        SetMany(u8, u8),
        Remove(u8),
        Get(u8),
        Key(usize),
        Entries,
        Clear,
        /// Removes and sets in one go, and fails at the end if a set is beyond the quota.
        Transact(Vec<u8>, Vec<(u8, usize, u8)>, bool),
        Commit,
        RollBack,
    }

    fn step() -> impl Strategy<Value = Step> {
        let size = prop_oneof![4 => 0_usize..20, 3 => Just(7000_usize), 1 => Just(9000_usize)];
        let key = 0_u8..120;
        prop_oneof![
            12 => (key.clone(), size.clone(), any::<u8>()).prop_map(|(key, size, fill)| Step::Set(key, size, fill)),
            1 => (0_u8..60, any::<u8>()).prop_map(|(first, fill)| Step::SetMany(first, fill)),
            4 => key.clone().prop_map(Step::Remove),
            4 => key.clone().prop_map(Step::Get),
            2 => (0_usize..100).prop_map(Step::Key),
            1 => Just(Step::Entries),
            1 => Just(Step::Clear),
            2 => (
                proptest::collection::vec(key.clone(), 0..4),
                proptest::collection::vec((key, size, any::<u8>()), 0..4),
                any::<bool>(),
            )
                .prop_map(|(removed, set, fails)| Step::Transact(removed, set, fails)),
            2 => Just(Step::Commit),
            1 => Just(Step::RollBack),
        ]
    }

    type Model = IndexMap<Vec<u8>, Vec<u8>>;

    fn item(key: u8, size: usize, fill: u8) -> (Vec<u8>, Vec<u8>) {
        (vec![b'k', key], vec![fill % 10 + b'0'; size])
    }

    fn transact(area: &mut Area, database: &Database, model: &mut Model, removed: &[u8], set: &[(u8, usize, u8)], fails: bool) {
        let removed: Vec<Vec<u8>> = removed.iter().map(|key| item(*key, 0, 0).0).collect();
        let mut set: Vec<_> = set.iter().map(|(key, size, fill)| item(*key, *size, *fill)).collect();
        if fails {
            set.push((vec![b'x'], vec![b'x'; 2 << 20]));
        }
        let changes = Changes {
            remove: removed.iter().map(Vec::as_slice).collect(),
            set: set.iter().map(|(key, value)| (key.as_slice(), value.as_slice())).collect(),
            ..Changes::default()
        };
        match area.transact(database, &changes) {
            Err(Error::QuotaExceeded { .. }) => assert!(fails, "all but the last fit"),
            done => {
                done.expect("the database works");
                assert!(!fails, "the last does not fit");
                for key in &removed {
                    model.shift_remove(key);
                }
                model.extend(set);
            }
        }
    }

    fn run(steps: &[Step]) {
        let database = Database::open_memory().expect("there is memory");
        let row = AreaRow { quota: 3 << 20, usage: 0, length: 0, next: 0, sequence: 0 };
        database.insert_area(1, "http://test", &row).expect("the database is new");
        database.begin_write().expect("no transaction is open");
        let (mut area, mut model) = (Area::with(1, row, false, LITTLE), Model::default());
        area.set_current(true);
        let mut committed = model.clone();
        for step in steps {
            match step {
                Step::Set(key, size, fill) => {
                    let (key, value) = item(*key, *size, *fill);
                    area.set_item(&database, &key, &value).expect("the quota is large");
                    model.insert(key, value);
                }
                Step::SetMany(first, fill) => {
                    for (key, value) in (*first..first + 60).map(|key| item(key, 7000, *fill)) {
                        area.set_item(&database, &key, &value).expect("the quota is large");
                        model.insert(key, value);
                    }
                }
                Step::Remove(key) => {
                    let (key, _) = item(*key, 0, 0);
                    area.remove_item(&database, &key).expect("the database works");
                    model.shift_remove(&key);
                }
                Step::Get(key) => {
                    let (key, _) = item(*key, 0, 0);
                    assert_eq!(area.get_item(&database, &key).expect("the database works").as_ref(), model.get(&key));
                }
                Step::Key(n) => {
                    let key = area.key(&database, *n as u64).expect("the database works");
                    assert_eq!(key.as_ref(), model.get_index(*n).map(|(key, _)| key));
                }
                Step::Entries => {
                    let expected: Vec<_> = model.clone().into_iter().collect();
                    assert!(items(&mut area, &database) == expected, "the items are those of the map");
                }
                Step::Clear => {
                    area.clear(&database).expect("the database works");
                    model.clear();
                }
                Step::Transact(removed, set, fails) => transact(&mut area, &database, &mut model, removed, set, *fails),
                Step::Commit => {
                    area.save(&database).expect("the database works");
                    database.commit().expect("a transaction is open");
                    database.begin_write().expect("no transaction is open");
                    committed = model.clone();
                }
                Step::RollBack => {
                    database.rollback();
                    area.load(database.area(1).expect("the area is there"));
                    database.begin_write().expect("no transaction is open");
                    model = committed.clone();
                }
            }
            assert_eq!(area.row().length, model.len() as u64);
        }
        let expected: Vec<_> = model.into_iter().collect();
        let usage: usize = expected.iter().map(|(key, value)| 2 * (key.len() + value.len())).sum();
        assert_eq!(area.row().usage, usage as u64);
        assert!(items(&mut area, &database) == expected, "the items are those of the map");
        area.save(&database).expect("the database works");
        let mut again = Area::new(1, database.area(1).expect("the area is there"));
        assert!(items(&mut again, &database) == expected, "the database has the items");
    }

    #[test]
    fn a_large_item_drives_nothing_out() {
        let database = Database::open_memory().expect("there is memory");
        let mut cache = Cache::new(LITTLE, true);
        cache.set(b"small", None, 1, b"x");
        cache.make_room(&database, 1, b"large", &vec![b'x'; 2 * LITTLE]).expect("there is nothing to write");
        assert!(matches!(cache.get(b"small"), Now::Item { value: b"x", .. }));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn an_area_behaves_as_an_ordered_map(steps in proptest::collection::vec(step(), 1..400)) {
            run(&steps);
        }
    }
}
