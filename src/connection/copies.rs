//! Copies of areas: session areas that begin as a copy, and snapshots to return to.

use rustc_hash::FxHashMap;

use super::{Connection, OpenedArea, Storage, StorageArea, not_open};
use crate::area::{Area, Snapshot};
use crate::error::{Error, Result};
use crate::origin::Origin;
use crate::protocol::Handle;

/// Bytes that the snapshots of one connection may take.
const MAX_SNAPSHOTS: usize = 256 << 20;

/// The snapshots of one connection.
#[derive(Default)]
pub(super) struct Snapshots {
    taken: FxHashMap<u32, Snapshot>,
    last: u32,
    memory: usize,
}

impl Connection {
    /// Opens a session area of its own that begins as a copy of any area: no other handle leads to it, also
    /// not one of the same origin, and it ends with this one. What is not given is as in the original.
    ///
    /// # Errors
    /// [`Error::InvalidState`] if the handle is not open; [`Error::QuotaExceeded`] if `quota` or the memory
    /// of this connection is too small.
    pub fn open_copy(
        &mut self,
        of: Handle,
        origin: Option<&Origin>,
        quota: Option<u64>,
        url: Option<&str>,
    ) -> Result<(OpenedArea, Origin)> {
        self.end_group();
        let storage = &self.handles.get(&of).ok_or_else(|| not_open(of))?.area;
        let (original, own_origin) = match storage {
            StorageArea::Session(id) => (Some(*id), None),
            StorageArea::Persistent(bottle) => (None, Some(bottle.origin().clone())),
        };
        let (id, origin) = if let Some(original) = original {
            self.session()?.copy(original, origin, quota)?
        } else {
            let (snapshot, row) = self.read(of, |area, database| Ok((area.snapshot(database)?, *area.row())))?;
            let origin = origin.cloned().or(own_origin).unwrap_or_else(|| self.options.origin.clone());
            let session = self.session()?;
            let id = session.open_separate(&origin, quota.unwrap_or(row.quota))?;
            let copied = session.write(id, snapshot.memory() as u64, |area, database| area.restore(database, &snapshot));
            if let Err(error) = copied {
                session.close(id, 0)?;
                return Err(error);
            }
            (id, origin)
        };
        let row = *self.session()?.area(id)?.0.row();
        let opened = self.add_handle(Storage { area: StorageArea::Session(id), url: url.unwrap_or(origin.as_str()).into() }, &row);
        Ok((opened, origin))
    }

    /// Keeps the items of an area as they are now. Returns the snapshot's number and how many items it has.
    ///
    /// # Errors
    /// [`Error::InvalidState`] if the handle is not open, or there is no room for the snapshot.
    pub fn take_snapshot(&mut self, handle: Handle) -> Result<(u32, u64)> {
        let snapshot = self.read(handle, Area::snapshot)?;
        if self.snapshots.memory + snapshot.memory() > MAX_SNAPSHOTS {
            return Err(Error::InvalidState(format!(
                "The snapshots of this connection would take more than {MAX_SNAPSHOTS} bytes; storage/discard gives up one that is no longer needed."
            )));
        }
        let length = snapshot.length();
        self.snapshots.last += 1;
        self.snapshots.memory += snapshot.memory();
        self.snapshots.taken.insert(self.snapshots.last, snapshot);
        Ok((self.snapshots.last, length))
    }

    /// Makes the items of an area those of a snapshot again.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such snapshot; [`Error::InvalidState`] if the handle is not open;
    /// [`Error::QuotaExceeded`].
    pub fn restore_snapshot(&mut self, handle: Handle, number: u32) -> Result<()> {
        // Taken out for the moment, because writing needs the whole connection.
        let snapshot = self.snapshots.taken.remove(&number).ok_or_else(|| no_snapshot(number))?;
        let restored = self.write(handle, snapshot.memory(), |area, database| area.restore(database, &snapshot));
        self.snapshots.taken.insert(number, snapshot);
        restored
    }

    /// Gives up a snapshot.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such snapshot.
    pub fn discard_snapshot(&mut self, number: u32) -> Result<()> {
        let snapshot = self.snapshots.taken.remove(&number).ok_or_else(|| no_snapshot(number))?;
        self.snapshots.memory -= snapshot.memory();
        Ok(())
    }
}

fn no_snapshot(number: u32) -> Error {
    Error::NotFound(format!("snapshot: this connection has no snapshot {number}; storage/snapshot takes one"))
}
