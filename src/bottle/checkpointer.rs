//! Moving the WAL of a bottle into its database, beside the connection that works.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::{Bottle, BottleFile};
use crate::lock::Lock;
use crate::place::{self, FileIdentity};
use crate::sqlite::{Database, Durability};
use crate::wait::Wait;

/// Pages by which the WAL grows until it is moved into the database in the background.
const CHECKPOINT_AFTER: u32 = 2000;

/// For how long opening the connection may wait for others.
const OPENING: Duration = Duration::from_secs(1);

/// The database connection that moves the WAL into the database, beside the one that works.
#[derive(Debug, Default)]
pub(super) struct Checkpointer {
    /// The connection, and the file it has open.
    database: Mutex<Option<(FileIdentity, Database)>>,
    running: AtomicBool,
}

impl Bottle {
    /// Moves the WAL into the database on another thread, if much was written since that was last done.
    /// Never makes a writer wait.
    pub fn checkpoint_if_due(&self, file: &mut BottleFile) {
        let pages = file.database.wal_pages();
        if pages < file.checkpointed {
            // The WAL was moved as a whole and is written from its start again.
            file.checkpointed = 0;
        }
        if pages < file.checkpointed + CHECKPOINT_AFTER || self.checkpointer.running.swap(true, Ordering::AcqRel) {
            return;
        }
        file.checkpointed = pages;
        let checkpointer = Arc::clone(&self.checkpointer);
        let (path, identity, durability, lock) = (self.path.clone(), file.identity, file.place.durability(), Arc::clone(file.place.lock()));
        let spawned = std::thread::Builder::new().name("checkpoint".to_owned()).spawn(move || {
            if let Err(error) = checkpointer.run(&path, identity, durability, &lock) {
                tracing::debug!(%error, path = %path.display(), "a background checkpoint failed; the WAL keeps what was written");
            }
            checkpointer.running.store(false, Ordering::Release);
        });
        if let Err(error) = spawned {
            tracing::debug!(%error, "no thread for a background checkpoint; the WAL keeps what was written");
            self.checkpointer.running.store(false, Ordering::Release);
        }
    }
}

impl Checkpointer {
    /// Checkpoints the file that is known by `identity`, if the path still names it: the WAL of one file must
    /// never be moved into another.
    fn run(&self, path: &Path, identity: FileIdentity, durability: Durability, lock: &Arc<Lock>) -> rusqlite::Result<()> {
        let mut database = self.database.lock();
        if database.as_ref().is_none_or(|(open, _)| *open != identity) {
            *database = None;
            let opened = Database::open_for_checkpoints(path, durability, lock, &Wait::at_most(OPENING))?;
            if place::identity(path) != Some(identity) {
                return Ok(());
            }
            opened.checkpoint_on_close(true)?;
            *database = Some((identity, opened));
        }
        match &*database {
            Some((_, database)) => database.checkpoint(),
            None => Ok(()),
        }
    }
}
