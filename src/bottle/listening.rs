//! The listeners of a bottle in this process: how they come and go, and how they are told in one order of what
//! this process and others change.

use std::sync::Arc;

use super::BottleFile;
use crate::area::Entry;
use crate::broadcast::{Event, Listener, Listeners};
use crate::error::{Error, Result};
use crate::sqlite::AreaRow;
use crate::watch::Watch;

/// What a new listener learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribed {
    /// The number of the newest change; the listener hears of all after it.
    pub sequence: u64,
    /// Whether changes after the one it asked for are not known any more.
    pub gap: bool,
    /// The quota in bytes.
    pub quota: u64,
    /// The number of other processes that listen.
    pub others: u64,
    /// All items as of `sequence`, if they were asked for.
    pub items: Option<Vec<Entry>>,
}

/// Changes that are read from the journal at a time.
const PAGE_ROWS: usize = 1000;

/// Bytes of keys and values after which no more changes are read from the journal at a time.
const PAGE_BYTES: usize = 1 << 20;

impl BottleFile {
    /// Adds a listener, which hears of every change after the result's sequence, and of those after `since` that
    /// the journal still has. With `items` they are read in the same transaction, so that nothing can come between
    /// what they show and the first event. `watch` is held while there are listeners.
    ///
    /// # Errors
    /// As [`BottleFile::begin_read`].
    pub fn subscribe(&mut self, mut listener: Listener, since: Option<u64>, items: bool, watch: &Arc<Watch>) -> Result<Subscribed> {
        self.begin_write()?;
        let wants_values = listener.values || self.listeners.want_values();
        let entered = self.journal.enter(&self.database, watch.presence(), wants_values);
        let prepared = entered.and_then(|()| self.replay(&mut listener, since)).map_err(Error::Sqlite);
        let prepared = prepared.and_then(|gap| {
            let items = if items { Some(self.area.all_entries(&self.database)?) } else { None };
            let AreaRow { sequence, quota, .. } = *self.area.row();
            Ok(Subscribed { sequence, gap, quota, others: self.journal.others(), items })
        });
        let subscribed = match prepared {
            Ok(subscribed) => subscribed,
            Err(error) => return Err(self.abort(error)),
        };
        self.commit(&[])?;
        self.watch = Some(Arc::clone(watch));
        (self.delivered, self.replaced) = (subscribed.sequence, false);
        self.listeners.add(listener);
        Ok(subscribed)
    }

    /// Gives a listener the changes after `since`, if the journal has them all; whether it has not.
    fn replay(&self, listener: &mut Listener, since: Option<u64>) -> rusqlite::Result<bool> {
        let sequence = self.area.row().sequence;
        let Some(since) = since else { return Ok(false) };
        let mut gap = since > sequence || self.database.count_changes(since)? != sequence - since;
        if !gap {
            self.database.changes(since, |row| {
                gap = !listener.hold(&Event::from(row));
                !gap
            })?;
        }
        if gap {
            listener.hold_nothing();
        }
        Ok(gap)
    }

    /// Removes the listeners of one connection that `which` chooses. If nobody is left that listens, returns what
    /// the caller must drop once the file is not locked any more.
    #[must_use]
    pub fn unsubscribe(&mut self, connection: u64, which: impl Fn(&Listener) -> bool) -> Option<Arc<Watch>> {
        if self.listeners.is_empty() {
            return None;
        }
        let wanted_values = self.listeners.want_values();
        self.listeners.remove(connection, which);
        self.journal.keep(wanted_values);
        if !self.listeners.is_empty() {
            return None;
        }
        let watch = self.watch.take()?;
        let left = self.begin_write().and_then(|()| match watch.presence().leave(&self.database, wanted_values) {
            Ok(()) => self.commit(&[]),
            Err(error) => Err(self.abort(Error::Sqlite(error))),
        });
        if let Err(error) = left {
            // The row runs out once this process has ended.
            tracing::debug!(%error, "this process could not be removed from the listeners");
        }
        Some(watch)
    }

    /// The listeners of this process.
    pub fn listeners(&mut self) -> &mut Listeners {
        &mut self.listeners
    }

    /// Tells the listeners what other processes have changed since they were last told.
    ///
    /// # Errors
    /// As [`BottleFile::begin_read`].
    pub fn catch_up(&mut self) -> Result<bool> {
        if self.listeners.is_empty() {
            return Ok(false);
        }
        self.begin_read()?;
        if self.replaced || !self.journal.lists_own() {
            // Others keep changes for this process only once it has entered itself, which takes a transaction
            // that may write. It tells the listeners up to the change after which they do.
            self.commit(&[])?;
            let before = self.delivered;
            self.begin_write()?;
            self.commit(&[])?;
            return Ok(self.delivered != before);
        }
        let delivered = self.deliver_foreign();
        let committed = self.commit(&[]);
        let delivered = delivered.map_err(|error| self.explain(error.into()))?;
        committed.map(|()| delivered)
    }

    /// Tells the listeners of the changes that the journal has and they have not. `false` if there are none.
    pub(super) fn deliver_foreign(&mut self) -> rusqlite::Result<bool> {
        let newest = self.area.row().sequence;
        if (self.delivered == newest && !self.replaced) || self.listeners.is_empty() {
            return Ok(false);
        }
        // In another file, or in one that was set back, the numbers count other changes.
        let mut missed = std::mem::take(&mut self.replaced) || self.delivered > newest;
        while self.delivered < newest && !missed {
            let (mut events, mut bytes) = (Vec::new(), 0);
            self.database.changes(self.delivered, |row| {
                bytes += [&row.key, &row.old, &row.new].into_iter().flatten().map(Vec::len).sum::<usize>();
                events.push(Event::from(row));
                events.len() < PAGE_ROWS && bytes < PAGE_BYTES
            })?;
            // The first must be the next, and each follow the one before; what is missing was removed as too old
            // while this process was stopped.
            missed = events.is_empty() || (self.delivered + 1..).zip(&events).any(|(sequence, event)| event.change.sequence != sequence);
            if !missed {
                self.listeners.deliver(&events);
                self.delivered = events.last().map_or(newest, |event| event.change.sequence);
            }
        }
        if missed {
            self.listeners.deliver_overflow(newest);
            self.delivered = newest;
        }
        Ok(true)
    }

    /// Tells the listeners that want to know it if the quota or the number of other processes that listen has
    /// changed since they were last told.
    pub(super) fn deliver_quota(&mut self) {
        let now = (self.area.row().quota, self.journal.others());
        if std::mem::replace(&mut self.told, now) != now {
            self.listeners.deliver_quota(self.delivered, now.0, now.1);
        }
    }

    /// Enters this process as a listener if others have taken it out, or the file away.
    pub(super) fn enter_again(&mut self) -> rusqlite::Result<()> {
        match &self.watch {
            Some(watch) if !self.journal.lists_own() => self.journal.enter(&self.database, watch.presence(), self.listeners.want_values()),
            _ => Ok(()),
        }
    }
}
