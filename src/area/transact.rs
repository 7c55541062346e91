//! Several changes of one area that happen all or not at all.

use super::Area;
use crate::error::{Error, Result};
use crate::sqlite::{AreaRow, Database};

/// Several changes of one area. They happen in the order of the fields.
#[derive(Clone, Debug, Default)]
pub struct Changes<'a> {
    /// What must be true before: a key and its value, or `None` for no item.
    pub conditions: Vec<(&'a [u8], Option<&'a [u8]>)>,
    /// Whether all items are removed.
    pub clear: bool,
    /// The keys that are removed.
    pub remove: Vec<&'a [u8]>,
    /// The keys and values that are set.
    pub set: Vec<(&'a [u8], &'a [u8])>,
}

impl Area {
    /// Makes all of `changes`, or none of them. The quota concerns the outcome only: what is removed makes
    /// room for what is set.
    ///
    /// # Errors
    /// [`Error::Constraint`] with every key that does not hold what it must; [`Error::QuotaExceeded`].
    pub fn transact(&mut self, database: &Database, changes: &Changes<'_>) -> Result<()> {
        let mut unmet = Vec::new();
        for (key, expected) in &changes.conditions {
            let held = self.get_item(database, key)?;
            if held.as_deref() != *expected {
                unmet.push((key.to_vec(), held));
            }
        }
        if !unmet.is_empty() {
            return Err(Error::Constraint { unmet });
        }
        self.all_or_nothing(database, |area| area.make(database, changes))
    }

    /// Runs a change that leaves no trace if it fails, also inside a transaction that holds the changes of
    /// others. The quota is checked at the end.
    ///
    /// # Errors
    /// Those of `change`; [`Error::QuotaExceeded`].
    pub fn all_or_nothing<T>(&mut self, database: &Database, change: impl FnOnce(&mut Area) -> Result<T>) -> Result<T> {
        // What was changed before stays also if this is undone.
        self.write_out(database)?;
        let before = self.row;
        let recorded = self.changes.len();
        self.row.quota = u64::MAX;
        let changed = database.in_part(|| {
            let done = change(self)?;
            self.check_growth(&before)?;
            Ok(done)
        });
        self.row.quota = before.quota;
        if changed.is_err() {
            self.row = before;
            self.forget();
            self.changes.truncate(recorded);
        }
        changed
    }

    /// Checks the quota after several changes. Only growth is checked, so that shrinking always works.
    pub(super) fn check_growth(&self, before: &AreaRow) -> Result<()> {
        if self.row.usage > before.quota && self.row.usage > before.usage {
            return Err(Error::QuotaExceeded { quota: before.quota, requested: self.row.usage, usage: before.usage });
        }
        Ok(())
    }

    fn make(&mut self, database: &Database, changes: &Changes<'_>) -> Result<()> {
        if changes.clear {
            self.clear(database)?;
        }
        for key in &changes.remove {
            self.remove_item(database, key)?;
        }
        for (key, value) in &changes.set {
            self.set_item(database, key, value)?;
        }
        Ok(())
    }
}
