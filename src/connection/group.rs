//! Calls on a bottle: those that have been read together share a transaction, and a lone one has its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Connection;
use crate::area::Area;
use crate::bottle::{Bottle, BottleGuard};
use crate::broadcast::Event;
use crate::error::{Error, Result};
use crate::protocol::Handle;
use crate::sqlite::Database;

/// The most calls that share one transaction.
const MAX_GROUP_CALLS: u32 = 256;

/// For how long one group of calls may hold a bottle's write lock.
const MAX_GROUP_TIME: Duration = Duration::from_millis(20);

/// Bytes of keys and values that one group may write, and of replies it may hold back.
const MAX_GROUP_BYTES: u64 = 1 << 20;

/// The transaction that consecutive calls on one bottle share.
pub(super) struct Group {
    bottle: Arc<Bottle>,
    pub(super) file: BottleGuard,
    writing: bool,
    calls: u32,
    bytes: u64,
    began: Instant,
    /// The changes that its calls have made.
    events: Vec<Event>,
}

impl Group {
    /// Whether its transaction is to end before more calls come into it.
    pub(super) fn is_full(&self) -> bool {
        self.calls >= MAX_GROUP_CALLS
            || self.bytes >= MAX_GROUP_BYTES
            || (self.calls.is_multiple_of(16) && self.began.elapsed() >= MAX_GROUP_TIME)
    }
}

impl Connection {
    /// Commits the group's transaction. The replies that waited for it turn into errors if that fails.
    pub fn end_group(&mut self) {
        let Some(mut group) = self.group.take() else { return };
        match group.file.commit(&group.events) {
            Ok(()) => {
                self.replies.committed();
                group.bottle.checkpoint_if_due(&mut group.file);
            }
            Err(error) => {
                tracing::warn!(%error, calls = self.replies.uncommitted(), "a group of calls could not be committed");
                self.replies.fail_uncommitted(&error);
            }
        }
        // Replies of another length stand before the one that the current call is to have.
        self.call_start = self.replies.bytes().len();
    }

    pub(super) fn read_bottle<T>(&mut self, bottle: &Arc<Bottle>, read: impl FnOnce(&mut Area, &Database) -> Result<T>) -> Result<T> {
        if let Some(group) = self.enter_group(bottle, false)? {
            let wrote_before = group.writing;
            let (area, database) = group.file.area();
            let result = read(area, database).map_err(|error| group.file.explain(error));
            // What this call has read is true only if the writes before it are committed.
            self.awaits_commit = wrote_before && group.file.in_transaction();
            self.leave_lost_group(&result);
            return result;
        }
        let mut file = bottle.lock(&self.wait)?;
        file.begin_read()?;
        let (area, database) = file.area();
        match read(area, database) {
            Ok(done) => file.commit(&[]).map(|()| done),
            Err(error) => Err(file.abort(error)),
        }
    }

    pub(super) fn write_bottle<T>(
        &mut self,
        bottle: &Arc<Bottle>,
        bytes: u64,
        change: impl FnOnce(&mut Area, &Database) -> Result<T>,
        url: &Arc<str>,
        source: (u64, Handle),
    ) -> Result<T> {
        if let Some(group) = self.enter_group(bottle, true)? {
            group.bytes += bytes;
            let (area, database) = group.file.area();
            let result = change(area, database).map_err(|error| group.file.explain(error));
            let events = group.file.take_events(url, source);
            if result.is_ok() {
                group.events.extend(events);
            }
            self.awaits_commit = group.file.in_transaction();
            self.leave_lost_group(&result);
            return result;
        }
        let mut file = bottle.lock(&self.wait)?;
        file.begin_write()?;
        let (area, database) = file.area();
        match change(area, database) {
            Ok(done) => {
                let events = file.take_events(url, source);
                file.commit(&events)?;
                bottle.checkpoint_if_due(&mut file);
                Ok(done)
            }
            Err(error) => Err(file.abort(error)),
        }
    }

    /// Notices that an error made SQLite roll the group's whole transaction back, as one in reading can too. What
    /// the calls before this one have written in it is gone, and their replies turn into errors.
    fn leave_lost_group<T>(&mut self, result: &Result<T>) {
        let Err(error) = result else { return };
        let Some(mut group) = self.group.take_if(|group| !group.file.in_transaction()) else { return };
        let lost = Error::Unknown {
            message: format!(
                "A call after this one made the transaction that they shared fail, so this one changed nothing either: {error}"
            ),
            sqlite_code: None,
        };
        let lost = group.file.abort(lost);
        self.replies.fail_uncommitted(&lost);
        self.call_start = self.replies.bytes().len();
    }

    /// The group that a call on this bottle belongs to; `None` if it is to run in a transaction of its own,
    /// which is when no other call waits.
    fn enter_group(&mut self, bottle: &Arc<Bottle>, writing: bool) -> Result<Option<&mut Group>> {
        if self.group.as_ref().is_some_and(|group| !Arc::ptr_eq(&group.bottle, bottle) || (writing && !group.writing)) {
            self.end_group();
        }
        if self.group.is_none() {
            if !self.more_waiting {
                return Ok(None);
            }
            let mut file = bottle.lock(&self.wait)?;
            if writing {
                file.begin_write()?;
            } else {
                file.begin_read()?;
            }
            self.group =
                Some(Group { bottle: Arc::clone(bottle), file, writing, calls: 0, bytes: 0, began: Instant::now(), events: Vec::new() });
        }
        if let Some(group) = &mut self.group {
            group.calls += 1;
        }
        Ok(self.group.as_mut())
    }
}
