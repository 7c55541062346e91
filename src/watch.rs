//! Noticing what other processes write, for the listeners of this one.
//!
//! The operating system tells when a bottle's WAL is written. That is before the commit is visible, so after
//! each notice the bottle is looked at again and again for a short time. A slow poll finds what was not told,
//! and where the system tells nothing (its limit of watches is reached) a fast one does.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::Mutex;

use crate::bottle::Bottle;
use crate::error::{Error, Result};

/// How often every bottle is looked at although nothing was told.
const SLOW_POLL: Duration = Duration::from_secs(1);

/// How often every bottle is looked at where the system tells nothing.
const FAST_POLL: Duration = Duration::from_millis(20);

/// The first pause between looking at a bottle and looking again; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_micros(50);

/// For how long to look again if something was found: the commit that woke us may be a later one.
const AFTER_FINDING: Duration = Duration::from_millis(2);

/// For how long to look again if nothing was found: the commit may wait for a slow disk.
const WITHOUT_FINDING: Duration = Duration::from_millis(200);

/// Watches the bottles of a shed that have listeners.
pub struct Watch {
    bottles: Arc<Mutex<HashMap<OsString, Weak<Bottle>>>>,
    /// Kept because the system stops telling when it is dropped; `None` if it never told.
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Watches the directory of the bottles.
    ///
    /// # Errors
    /// [`Error::Unknown`] if there is no thread for it.
    pub fn new(bottles_dir: &Path) -> Result<Self> {
        let (told, notices) = channel();
        let watcher = tell(bottles_dir, told.clone());
        if let Err(error) = &watcher {
            tracing::warn!(%error, "the system does not tell when files change; changes of other processes are noticed up to 20 ms late");
        }
        let poll = if watcher.is_ok() { SLOW_POLL } else { FAST_POLL };
        let bottles: Arc<Mutex<HashMap<OsString, Weak<Bottle>>>> = Arc::default();
        let weak = Arc::downgrade(&bottles);
        std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || {
                // The sender lives as long as the loop, so that the channel does not close without a watcher.
                let _told = told;
                while let Some(bottles) = weak.upgrade() {
                    look(&bottles, &notices, poll);
                }
            })
            .map_err(|error| Error::Unknown { message: format!("no thread to watch for changes ({error})"), sqlite_code: None })?;
        Ok(Watch { bottles, _watcher: watcher.ok() })
    }

    /// Watches a bottle for as long as it is open.
    pub fn add(&self, bottle: &Arc<Bottle>) {
        let mut bottles = self.bottles.lock();
        bottles.retain(|_, bottle| bottle.strong_count() > 0);
        bottles.insert(wal_name(bottle.path()), Arc::downgrade(bottle));
    }
}

/// Lets the system send the name of each WAL that is written.
fn tell(bottles_dir: &Path, told: Sender<OsString>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        if !matches!(event.kind, EventKind::Modify(_) | EventKind::Any | EventKind::Other) {
            return;
        }
        for name in event.paths.iter().filter_map(|path| path.file_name()) {
            if name.to_string_lossy().ends_with("-wal") && told.send(name.to_owned()).is_err() {
                // Nobody watches any more, and the watcher is about to be dropped.
                return;
            }
        }
    })?;
    watcher.watch(bottles_dir, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// Waits for one notice, at most until the next poll, and looks at the bottles it may concern.
fn look(bottles: &Mutex<HashMap<OsString, Weak<Bottle>>>, notices: &Receiver<OsString>, poll: Duration) {
    match notices.recv_timeout(poll) {
        Ok(name) => follow(bottles, notices, name),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            let all: Vec<Arc<Bottle>> = bottles.lock().values().filter_map(Weak::upgrade).collect();
            for bottle in all {
                catch_up(&bottle);
            }
        }
    }
}

/// Looks at the bottles whose WALs are written until that has ceased.
fn follow(bottles: &Mutex<HashMap<OsString, Weak<Bottle>>>, notices: &Receiver<OsString>, first: OsString) {
    let mut active = HashMap::from([(first, (Instant::now(), FIRST_PAUSE, false))]);
    while !active.is_empty() {
        active.retain(|name, (since, pause, found)| {
            let Some(bottle) = bottles.lock().get(name).and_then(Weak::upgrade) else { return false };
            *found |= catch_up(&bottle);
            *pause *= 2;
            since.elapsed() < if *found { AFTER_FINDING } else { WITHOUT_FINDING }
        });
        let Some(pause) = active.values().map(|(_, pause, _)| *pause).min() else { return };
        let mut notice = notices.recv_timeout(pause).ok();
        while let Some(name) = notice {
            active.insert(name, (Instant::now(), FIRST_PAUSE, false));
            notice = notices.try_recv().ok();
        }
    }
}

/// Delivers what is new in a bottle; whether there was anything.
fn catch_up(bottle: &Arc<Bottle>) -> bool {
    bottle.lock().catch_up().unwrap_or_else(|error| {
        tracing::warn!(%error, origin = %bottle.origin(), "changes of other processes cannot be read now");
        false
    })
}

fn wal_name(path: &Path) -> OsString {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push("-wal");
    name
}
