//! Many items into an area at once.

use super::Area;
use crate::error::{Error, Result};
use crate::sqlite::Database;

/// How items are to be put into an area that may have some already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportMode {
    /// Whether the items that are there go, rather than stay where no new one has their key.
    pub replace: bool,
    /// Whether nothing is to be changed.
    pub dry_run: bool,
}

/// What an import has changed, or would.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Items whose keys were not there.
    pub added: u64,
    /// Items that had another value.
    pub changed: u64,
    /// Items that were there as they are.
    pub unchanged: u64,
    /// Items that were there and no longer are.
    pub removed: u64,
    /// The number of items after.
    pub length: u64,
    /// Bytes in use after.
    pub usage: u64,
}

impl Area {
    /// Sets items, all or none. `progress` is called with the number of items done, now and then.
    ///
    /// Replacing gives the area exactly these items in this order; if it has them already nothing changes.
    ///
    /// # Errors
    /// [`Error::QuotaExceeded`] if they do not fit.
    pub fn import(
        &mut self,
        database: &Database,
        items: &[(Vec<u8>, Vec<u8>)],
        mode: ImportMode,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Imported> {
        let mut outcome = None;
        let before = self.row;
        let done = self.all_or_nothing(database, |area| {
            let imported = area.put(database, items, mode.replace, progress)?;
            outcome = Some(imported);
            if mode.dry_run {
                area.check_growth(&before)?;
                // An error is what undoes a part of a transaction.
                return Err(Error::Cancelled);
            }
            Ok(imported)
        });
        match (done, outcome) {
            (Err(Error::Cancelled), Some(outcome)) => Ok(outcome),
            (done, _) => done,
        }
    }

    fn put(&mut self, database: &Database, items: &[(Vec<u8>, Vec<u8>)], replace: bool, progress: &mut dyn FnMut(u64)) -> Result<Imported> {
        let mut imported = Imported::default();
        if replace && self.row.length > 0 {
            if self.has_exactly(database, items)? {
                let Area { row, .. } = self;
                return Ok(Imported { unchanged: row.length, length: row.length, usage: row.usage, ..imported });
            }
            let mut seen = rustc_hash::FxHashSet::default();
            for (key, value) in items.iter().rev().filter(|(key, _)| seen.insert(key)) {
                match self.get_item(database, key)? {
                    None => {}
                    Some(old) if old == *value => imported.unchanged += 1,
                    Some(_) => imported.changed += 1,
                }
            }
            imported.removed = self.row.length.saturating_sub(imported.unchanged + imported.changed);
            self.clear(database)?;
        }
        let kept = imported.unchanged + imported.changed;
        for (done, (key, value)) in (0_u64..).zip(items) {
            if done > 0 && done.is_multiple_of(PROGRESS_STEP) {
                progress(done);
            }
            let (length, sequence) = (self.row.length, self.row.sequence);
            self.set_item(database, key, value)?;
            if self.row.length > length {
                imported.added += 1;
            } else if !replace && self.row.sequence > sequence {
                imported.changed += 1;
            } else if !replace {
                imported.unchanged += 1;
            }
        }
        imported.added -= kept.min(if replace { imported.added } else { 0 });
        Ok(Imported { length: self.row.length, usage: self.row.usage, ..imported })
    }

    fn has_exactly(&mut self, database: &Database, items: &[(Vec<u8>, Vec<u8>)]) -> Result<bool> {
        if self.row.length != items.len() as u64 {
            return Ok(false);
        }
        let mut expected = items.iter();
        let mut same = true;
        self.entries(database, None, u64::MAX, |key, value| {
            same &= expected.next().is_some_and(|item| *item.0 == *key && *item.1 == *value);
            Ok(())
        })?;
        Ok(same)
    }
}

/// Items between two calls of `progress`.
const PROGRESS_STEP: u64 = 5000;
