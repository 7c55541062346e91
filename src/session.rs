//! A connection's session areas: one in-memory database that lives and ends with the connection.

use crate::area::{Area, Change};
use crate::broadcast::{Event, Listeners};
use crate::error::{Error, Result};
use crate::origin::Origin;
use crate::sqlite::{AreaRow, Database};

use rustc_hash::FxHashMap;

/// Writes after which the long transaction is committed and begun anew, which frees its journal: a copy of every
/// page that was changed.
const COMMIT_AFTER: u32 = 4096;

/// The same while the database has at most [`MAX_JOURNAL`] bytes. Copying pages is most of the cost of writing here
/// and there in a large area, so a page is better copied once for many writes.
const COMMIT_SMALL_AFTER: u32 = 16 * COMMIT_AFTER;

/// Bytes that the journal may take, about.
const MAX_JOURNAL: u64 = 16 << 20;

/// Memory that the database may take besides four times the quotas of its areas, in bytes. Many tiny items
/// need more memory than their quota counts.
const BASE_MEMORY: u64 = 32 << 20;

/// What writing one item can take in memory besides its bytes: pages that are split or not filled.
const ITEM_OVERHEAD: u64 = 20 << 10;

/// Free pages, in bytes, that are kept for reuse.
const MAX_FREE: u64 = 4 << 20;

/// The in-memory database of one connection and its areas.
///
/// The areas' items are always inside a write transaction, because beginning and committing one costs more
/// than a write.
#[derive(Debug)]
pub struct Session {
    database: Database,
    areas: FxHashMap<i64, SessionArea>,
    by_origin: FxHashMap<Origin, i64>,
    /// The sum of the quotas of all areas, in bytes.
    quotas: u64,
    next_area: i64,
    writes: u32,
    /// Bytes that can be written before the memory in use has to be looked at again.
    headroom: u64,
}

#[derive(Debug)]
struct SessionArea {
    area: Area,
    origin: Origin,
    handles: u32,
    listeners: Listeners,
}

impl Session {
    /// A new empty session.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn new() -> Result<Self> {
        let database = Database::open_memory()?;
        database.begin_write()?;
        Ok(Session {
            database,
            areas: FxHashMap::default(),
            by_origin: FxHashMap::default(),
            quotas: 0,
            next_area: 1,
            writes: 0,
            headroom: 0,
        })
    }

    /// Opens the area of an origin, with `quota` if that is given. Returns its id.
    ///
    /// # Errors
    /// When the database fails.
    pub fn open(&mut self, origin: &Origin, quota: Option<u64>, default_quota: u64) -> Result<i64> {
        if let Some(id) = self.by_origin.get(origin)
            && let Some(area) = self.areas.get_mut(id)
        {
            area.handles += 1;
            if let Some(quota) = quota {
                self.quotas = self.quotas.saturating_sub(area.area.row().quota).saturating_add(quota);
                self.headroom = 0;
                area.area.set_quota(quota);
            }
            return Ok(*id);
        }
        let id = self.next_area;
        let row = AreaRow { quota: quota.unwrap_or(default_quota), usage: 0, length: 0, next: 0, sequence: 0 };
        self.database.insert_area(id, origin.as_str(), &row)?;
        self.next_area += 1;
        self.quotas = self.quotas.saturating_add(row.quota);
        self.areas
            .insert(id, SessionArea { area: Area::new(id, row), origin: origin.clone(), handles: 1, listeners: Listeners::default() });
        self.by_origin.insert(origin.clone(), id);
        Ok(id)
    }

    /// Opens an area that no other handle leads to. Returns its id.
    ///
    /// # Errors
    /// When the database fails.
    pub fn open_separate(&mut self, origin: &Origin, quota: u64) -> Result<i64> {
        let id = self.next_area;
        let row = AreaRow { quota, usage: 0, length: 0, next: 0, sequence: 0 };
        self.database.insert_area(id, origin.as_str(), &row)?;
        self.add_separate(Area::new(id, row), origin.clone());
        Ok(id)
    }

    /// Opens an area that no other handle leads to and that begins as a copy of the area `original`. Returns
    /// its id and its origin.
    ///
    /// # Errors
    /// [`Error::QuotaExceeded`] if `quota` or the memory of this connection is too small.
    pub fn copy(&mut self, original: i64, origin: Option<&Origin>, quota: Option<u64>) -> Result<(i64, Origin)> {
        let Some(SessionArea { area, origin: own_origin, .. }) = self.areas.get(&original) else {
            return Err(Error::Internal("a handle names a session area that is not open".to_owned()));
        };
        let (row, origin) = (*area.row(), origin.unwrap_or(own_origin).clone());
        // The copy brings its own allowance of memory, but must not use up that of the others.
        self.reserve(original, row.usage.saturating_mul(2).saturating_add(row.length.saturating_mul(128)))?;
        let id = self.next_area;
        let (original, database) = self.area(original)?;
        let copied = database.in_part(|| original.copy(database, id, origin.as_str(), quota.unwrap_or(row.quota)));
        match copied {
            Ok(area) => {
                self.add_separate(area, origin.clone());
                self.count_write()?;
                Ok((id, origin))
            }
            Err(Error::Sqlite(error)) if !self.database.in_transaction() => Err(self.recover(&error)),
            Err(error) => Err(error),
        }
    }

    fn add_separate(&mut self, area: Area, origin: Origin) {
        self.next_area += 1;
        self.quotas = self.quotas.saturating_add(area.row().quota);
        self.areas.insert(area.id(), SessionArea { area, origin, handles: 1, listeners: Listeners::default() });
    }

    /// Closes one handle on an area. An area without items is forgotten with its last handle; one with items
    /// lives as long as the connection, as session storage does, unless no other handle can lead to it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn close(&mut self, id: i64, default_quota: u64) -> Result<()> {
        let Some(area) = self.areas.get_mut(&id) else { return Ok(()) };
        area.handles -= 1;
        let row = *area.area.row();
        let separate = self.by_origin.get(&area.origin) != Some(&id);
        if area.handles == 0 && (separate || (row.length == 0 && row.quota == default_quota)) {
            area.area.clear(&self.database)?;
            self.quotas = self.quotas.saturating_sub(row.quota);
            self.headroom = 0;
            if !separate {
                self.by_origin.remove(&area.origin);
            }
            self.areas.remove(&id);
            self.database.delete_area(id)?;
            // What the journal keeps of the area is of no use.
            self.commit()?;
        }
        Ok(())
    }

    /// The area that opening this origin leads to.
    #[must_use]
    pub fn id_of(&self, origin: &Origin) -> Option<i64> {
        self.by_origin.get(origin).copied()
    }

    /// The origins whose areas have items.
    #[must_use]
    pub fn origins(&self) -> Vec<Origin> {
        let has_items = |id: &i64| self.areas.get(id).is_some_and(|area| area.area.row().length > 0);
        self.by_origin.iter().filter(|(_, id)| has_items(id)).map(|(origin, _)| origin.clone()).collect()
    }

    /// The origin of an area.
    ///
    /// # Errors
    /// [`Error::Internal`] if no such area is open.
    pub fn origin(&self, id: i64) -> Result<Origin> {
        let area = self.areas.get(&id);
        area.map(|area| area.origin.clone()).ok_or_else(|| Error::Internal("a handle names a session area that is not open".to_owned()))
    }

    /// The ids of all areas.
    #[must_use]
    pub fn ids(&self) -> Vec<i64> {
        self.areas.keys().copied().collect()
    }

    /// An area, and the database its items are in, for reading.
    ///
    /// # Errors
    /// [`Error::Internal`] if no such area is open.
    pub fn area(&mut self, id: i64) -> Result<(&mut Area, &Database)> {
        match self.areas.get_mut(&id) {
            Some(area) => Ok((&mut area.area, &self.database)),
            None => Err(Error::Internal("a handle names a session area that is not open".to_owned())),
        }
    }

    /// Runs a change of an area that writes up to `bytes` bytes of keys and values.
    ///
    /// # Errors
    /// Those of the change; [`Error::QuotaExceeded`] if the memory of this connection is used up.
    pub fn write<T>(&mut self, id: i64, bytes: u64, change: impl FnOnce(&mut Area, &Database) -> Result<T>) -> Result<T> {
        self.reserve(id, bytes.saturating_mul(2).saturating_add(ITEM_OVERHEAD))?;
        let (area, database) = self.area(id)?;
        let changed = change(area, database);
        if changed.is_err() {
            area.take_changes();
        }
        match changed {
            Ok(done) => {
                self.count_write()?;
                Ok(done)
            }
            Err(Error::Sqlite(error)) if !self.database.in_transaction() => Err(self.recover(&error)),
            Err(error) => Err(error),
        }
    }

    /// The changes of the last write, if anybody listens.
    pub fn take_changes(&mut self, id: i64) -> Vec<Change> {
        self.areas.get_mut(&id).map(|area| area.area.take_changes()).unwrap_or_default()
    }

    /// Tells the area's listeners of events.
    pub fn deliver(&mut self, id: i64, events: &[Event]) {
        if let Some(area) = self.areas.get_mut(&id) {
            area.listeners.deliver(events);
        }
    }

    /// Changes who listens to an area.
    pub fn listen<T>(&mut self, id: i64, change: impl FnOnce(&mut Listeners) -> T) -> Option<T> {
        let area = self.areas.get_mut(&id)?;
        let done = change(&mut area.listeners);
        area.area.record(!area.listeners.is_empty());
        Some(done)
    }

    /// Makes sure that a write cannot run into the end of memory half-way.
    fn reserve(&mut self, id: i64, bytes: u64) -> Result<()> {
        if bytes <= self.headroom {
            self.headroom -= bytes;
            return Ok(());
        }
        let limit = self.quotas.saturating_mul(4).saturating_add(BASE_MEMORY);
        for area in self.areas.values_mut() {
            area.area.write_out(&self.database)?;
        }
        let (free, all) = self.database.free_and_all_bytes()?;
        let left = limit.saturating_sub(all - free);
        if bytes > left {
            let (area, _) = self.area(id)?;
            return Err(Error::QuotaExceeded {
                quota: area.row().quota,
                requested: area.row().usage.saturating_add(bytes),
                usage: area.row().usage,
            });
        }
        self.headroom = left - bytes;
        Ok(())
    }

    /// Commits now and then, and gives memory back that removed items have left.
    fn count_write(&mut self) -> Result<()> {
        self.writes += 1;
        if !self.writes.is_multiple_of(COMMIT_AFTER) {
            return Ok(());
        }
        let (_, all) = self.database.free_and_all_bytes()?;
        if all > MAX_JOURNAL || self.writes >= COMMIT_SMALL_AFTER { self.commit() } else { Ok(()) }
    }

    /// Commits what was written and gives memory back if most of it is free.
    ///
    /// # Errors
    /// When the database fails.
    pub fn commit(&mut self) -> Result<()> {
        self.writes = 0;
        for area in self.areas.values_mut() {
            area.area.save(&self.database)?;
        }
        self.database.commit()?;
        let (free, all) = self.database.free_and_all_bytes()?;
        if free > MAX_FREE && free > all / 4 * 3 {
            self.database.vacuum()?;
        }
        self.database.begin_write()?;
        Ok(())
    }

    /// Goes on after an error that made SQLite roll the long transaction back. For a database in memory only
    /// the end of memory does that.
    fn recover(&mut self, error: &rusqlite::Error) -> Error {
        self.writes = 0;
        for (id, area) in &mut self.areas {
            match self.database.area(*id) {
                Ok(row) => area.area.load(row),
                Err(_) => area.area.forget(),
            }
        }
        if let Err(error) = self.database.begin_write() {
            tracing::error!(%error, "the session database cannot be written any more");
        }
        Error::Unknown {
            message: format!(
                "The session database failed ({error}): the newest writes to session areas of this connection are lost. Check that memory is left and set them again."
            ),
            sqlite_code: error.sqlite_error().map(|error| error.extended_code),
        }
    }
}
