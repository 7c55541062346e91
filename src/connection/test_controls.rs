//! What tests may do with a connection.

use super::{Connection, Persistence, StorageArea, not_open};
use crate::area::{Area, Change};
use crate::broadcast::Event;
use crate::error::{Error, Result};
use crate::protocol::Handle;
use crate::test_controls::Controls;

impl Connection {
    /// What a test has asked of this connection.
    ///
    /// # Errors
    /// [`Error::NotSupported`] unless the server was started for tests.
    pub fn controls(&mut self) -> Result<&mut Controls> {
        self.controls.as_deref_mut().ok_or_else(|| {
            Error::NotSupported("The test methods are off; start the server with --enable-test-methods to use them.".to_owned())
        })
    }

    /// Does what a test has asked for this call, before it is handled.
    ///
    /// # Errors
    /// The error that the test has asked for.
    pub fn begin_call(&mut self, method: &'static str, param_names: fn() -> &'static [&'static str], given: Option<&str>) -> Result<()> {
        match &mut self.controls {
            Some(controls) if method.starts_with("storage/") => controls.begin_call(method, param_names(), given, &self.wait),
            _ => Ok(()),
        }
    }

    /// Sets the quota of an area until [`Connection::reset_for_test`], or the end of the handle or the connection.
    ///
    /// # Errors
    /// [`Error::InvalidState`] if the handle is not open; those of the database.
    pub fn override_quota(&mut self, handle: Handle, quota: u64) -> Result<()> {
        let before = self.write(handle, 0, |area, _| {
            let before = area.row().quota;
            area.set_quota(quota);
            Ok(before)
        })?;
        // Of several handles on one area the first has met the quota that is to be again.
        let is_same = |other: &Handle| match (self.handles.get(other), self.handles.get(&handle)) {
            (Some(one), Some(other)) => one.area.is(&other.area),
            _ => false,
        };
        if !self.controls.iter().any(|controls| controls.quotas.keys().any(is_same)) {
            self.controls()?.quotas.insert(handle, before);
        }
        Ok(())
    }

    /// Gives the areas of the handles that `which` chooses the quota that they had before a test set another: that
    /// of a bottle is kept in its file and would stay.
    ///
    /// # Errors
    /// Those of the database.
    pub(super) fn restore_quotas(&mut self, which: impl Fn(Handle) -> bool) -> Result<()> {
        let Some(controls) = &mut self.controls else { return Ok(()) };
        let restored: Vec<_> = controls.quotas.extract_if(|handle, _| which(*handle)).collect();
        restored.into_iter().try_for_each(|(handle, quota)| {
            self.write(handle, 0, |area, _| {
                area.set_quota(quota);
                Ok(())
            })
        })
    }

    /// Makes opening persistent areas fail until [`Connection::reset_for_test`]. Those that are open stay.
    ///
    /// # Errors
    /// [`Error::NotSupported`] unless the server was started for tests.
    pub fn deny_persistence(&mut self, reason: String) -> Result<()> {
        self.controls()?;
        let before = std::mem::replace(&mut self.persistence, Persistence::Unavailable(reason));
        self.controls()?.denied.get_or_insert(before);
        Ok(())
    }

    /// Sends the listeners of this connection an event of a change that nobody made, with the number of the
    /// newest change.
    ///
    /// # Errors
    /// [`Error::InvalidState`] if the handle is not open; those of the database.
    pub fn dispatch_event(&mut self, handle: Handle, change: Change, url: &str) -> Result<()> {
        self.end_group();
        let sequence = self.row(handle)?.sequence;
        let event = Event { change: Change { sequence, ..change }, url: url.into(), source: None };
        let number = self.number;
        match &self.handles.get(&handle).ok_or_else(|| not_open(handle))?.area {
            StorageArea::Session(id) => {
                let id = *id;
                self.session()?.listen(id, |listeners| listeners.deliver_within(number, &[event]));
            }
            StorageArea::Persistent(bottle) => bottle.lock(&self.wait)?.listeners().deliver_within(number, &[event]),
        }
        Ok(())
    }

    /// Makes this connection as new, except that handles and subscriptions stay: session areas are emptied,
    /// snapshots, rules and the log of calls are gone, quotas and persistence as they were. Persistent areas
    /// keep their items.
    ///
    /// # Errors
    /// [`Error::NotSupported`] unless the server was started for tests; those of the database.
    pub fn reset_for_test(&mut self) -> Result<()> {
        self.end_group();
        let controls = self.controls()?;
        controls.reset();
        if let Some(before) = controls.denied.take() {
            self.persistence = before;
        }
        self.restore_quotas(|_| true)?;
        self.snapshots = super::copies::Snapshots::default();
        let areas = self.session.as_ref().map(super::Session::ids).unwrap_or_default();
        for id in areas {
            self.write_session(id, 0, Area::clear, &"".into(), self.no_handle())?;
        }
        Ok(())
    }
}
