//! What a connection does with whole bottles.

use std::sync::Arc;

use super::{Connection, StorageArea, not_open};
use crate::area::Area;
use crate::bottle::Bottle;
use crate::error::{Error, Result};
use crate::origin::Origin;
use crate::protocol::Handle;
use crate::shed::Removal;

impl Connection {
    /// The origin of a handle's bottle; `None` for a session area.
    ///
    /// # Errors
    /// [`Error::InvalidState`] if the handle is not open.
    pub fn bottle_origin(&self, handle: Handle) -> Result<Option<Origin>> {
        Ok(match &self.handles.get(&handle).ok_or_else(|| not_open(handle))?.area {
            StorageArea::Session(_) => None,
            StorageArea::Persistent(bottle) => Some(bottle.origin().clone()),
        })
    }

    /// Makes everything that was acknowledged safe from a loss of power: of one handle's area, or of all.
    ///
    /// # Errors
    /// [`Error::InvalidState`] if the handle is not open; [`Error::Timeout`]; those of the database.
    pub fn flush(&mut self, handle: Option<Handle>) -> Result<()> {
        self.end_group();
        let bottle = |area: &StorageArea| match area {
            StorageArea::Session(_) => None,
            StorageArea::Persistent(bottle) => Some(Arc::clone(bottle)),
        };
        let mut bottles: Vec<Arc<Bottle>> = match handle {
            Some(handle) => bottle(&self.handles.get(&handle).ok_or_else(|| not_open(handle))?.area).into_iter().collect(),
            None => self.handles.values().filter_map(|storage| bottle(&storage.area)).collect(),
        };
        bottles.sort_by_key(Arc::as_ptr);
        bottles.dedup_by(|a, b| Arc::ptr_eq(a, b));
        bottles.iter().try_for_each(|bottle| bottle.lock(&self.wait)?.flush())
    }

    /// The source of changes that come from no handle, so that every handle of this connection hears of them.
    pub(super) fn no_handle(&self) -> (u64, Handle) {
        (self.number, 0)
    }

    /// Deletes the persistent storage of an origin. Whoever has it open sees an empty area and an event.
    /// `false` if there was none.
    ///
    /// # Errors
    /// [`Error::NotSupported`] without persistence; [`Error::Security`] for an opaque origin; those of the
    /// file system and the database.
    pub fn delete(&mut self, origin: &Origin) -> Result<bool> {
        self.end_group();
        if origin.is_opaque() {
            return Err(Error::Security("An opaque origin has no persistent storage that could be deleted.".to_owned()));
        }
        let shed = self.shed()?;
        match shed.remove(origin, &self.wait)? {
            Removal::Absent => Ok(false),
            Removal::Removed => Ok(true),
            Removal::InUse => {
                let bottle = shed.open(origin, self.options.quota, &self.wait)?;
                self.write_bottle(&bottle, 0, Area::clear, &origin.as_str().into(), self.no_handle())?;
                self.end_group();
                Ok(true)
            }
        }
    }
}
