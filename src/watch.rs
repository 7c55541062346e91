//! Noticing what other processes write, for the listeners of this one.
//!
//! The operating system tells when a bottle's WAL is written. That is before the commit is visible, so after
//! each notice the bottle is looked at again and again for a short time. A slow poll finds what was not told,
//! and where the system tells nothing, or does not tell what the poll then finds, a fast one does.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::{Condvar, Mutex};

use crate::bottle::Bottle;
use crate::error::{Error, Result};
use crate::journal::Presence;
use crate::wait::Wait;

/// How often every bottle is looked at although nothing was told.
const SLOW_POLL: Duration = Duration::from_secs(1);

/// How often every bottle is looked at where the system tells nothing.
const FAST_POLL: Duration = Duration::from_millis(20);

/// So many polls in a row that find what was not told show that the system does not tell.
const UNTOLD: u32 = 2;

/// The first pause between looking at a bottle and looking again; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_micros(50);

/// The pause while this process itself writes, and so is told of its own writes. Each of them brings the
/// listeners up to date anyway.
const OWN_PAUSE: Duration = Duration::from_millis(2);

/// For how long notices of own writes are left to gather, so that they do not keep a core busy.
const GATHER: Duration = Duration::from_micros(500);

/// For how long a bottle that others use may hold up the looks at other bottles.
const TURN: Duration = Duration::from_millis(5);

/// For how long to look again after a notice: the commit may wait for a slow disk.
const SETTLE: Duration = Duration::from_millis(200);

/// This process as a listener to the bottles of a shed, for as long as it listens to any of them. Ends its
/// thread when it is dropped, so that nothing holds a bottle open after its last handle.
pub struct Watch {
    presence: Presence,
    bottles: Arc<Bottles>,
    notices: Arc<Notices>,
    /// Kept because the system stops telling when it is dropped; `None` if it never told.
    watcher: Option<RecommendedWatcher>,
    thread: Option<JoinHandle<()>>,
}

/// The bottles that are watched, each by the name of its WAL.
type Bottles = Mutex<HashMap<OsString, Weak<Bottle>>>;

/// What the system has told and nobody has looked at yet.
#[derive(Default)]
struct Notices {
    told: Mutex<Told>,
    changed: Condvar,
}

#[derive(Default)]
struct Told {
    /// The WALs that were written. A name is here once, however often it was told.
    names: HashSet<OsString>,
    /// Whether something was written and the system has forgotten what.
    anything: bool,
    stopped: bool,
}

/// A bottle whose WAL was written a short while ago.
struct Look {
    /// When the system last told of it.
    since: Instant,
    /// When to look next.
    next: Instant,
    pause: Duration,
    /// The commits of this process when the system last told of the bottle.
    own_commits: u64,
}

impl Look {
    /// Puts the next look off for longer than the last, but not for ever: own writes can keep a look going for as
    /// long as they last.
    fn put_off(&mut self) {
        self.pause = (self.pause * 2).min(SETTLE);
        self.next = Instant::now() + self.pause;
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Watch of {}", self.presence.name())
    }
}

impl Watch {
    /// Enters this process into `listeners_dir`, and watches `bottles_dir`.
    ///
    /// # Errors
    /// [`Error::Unknown`] if there is no file or no thread for it.
    pub fn new(listeners_dir: &Path, bottles_dir: &Path) -> Result<Self> {
        let presence = Presence::new(listeners_dir)?;
        let notices = Arc::<Notices>::default();
        let bottles = Arc::<Bottles>::default();
        let watcher = tell(bottles_dir, &bottles, &notices);
        if let Err(error) = &watcher {
            tracing::warn!(%error, "the system does not tell when files change; changes of other processes are noticed up to 20 ms late");
        }
        let (those, told) = (Arc::clone(&bottles), Arc::clone(&notices));
        let poll = if watcher.is_ok() { SLOW_POLL } else { FAST_POLL };
        let thread = std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || watch(&those, &told, poll))
            .map_err(|error| Error::Unknown { message: format!("no thread to watch for changes ({error})"), sqlite_code: None })?;
        Ok(Watch { presence, bottles, notices, watcher: watcher.ok(), thread: Some(thread) })
    }

    /// Watches a bottle for as long as it is open.
    pub fn add(&self, bottle: &Arc<Bottle>) {
        let mut bottles = self.bottles.lock();
        bottles.retain(|_, bottle| bottle.strong_count() > 0);
        bottles.insert(wal_name(bottle.path()), Arc::downgrade(bottle));
    }

    /// This process in the tables of listeners.
    #[must_use]
    pub fn presence(&self) -> &Presence {
        &self.presence
    }
}

impl Drop for Watch {
    /// Waits for the thread, which may be looking at a bottle: must not be called with a bottle locked.
    fn drop(&mut self) {
        self.watcher = None;
        self.notices.told.lock().stopped = true;
        self.notices.changed.notify_all();
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != std::thread::current().id())
            && thread.join().is_err()
        {
            tracing::error!("the thread that watches for changes has panicked");
        }
    }
}

impl Notices {
    /// Waits for a notice, at most that long, and takes all there are.
    fn wait(&self, limit: Duration) -> Told {
        let mut told = self.told.lock();
        if told.names.is_empty() && !told.anything && !told.stopped {
            self.changed.wait_for(&mut told, limit);
        }
        let stopped = told.stopped;
        Told { stopped, ..std::mem::take(&mut told) }
    }
}

/// Lets the system tell of each WAL that is written. Those of other bottles wake nobody.
fn tell(bottles_dir: &Path, bottles: &Arc<Bottles>, notices: &Arc<Notices>) -> notify::Result<RecommendedWatcher> {
    let (bottles, notices) = (Arc::clone(bottles), Arc::clone(notices));
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let event = match event {
            Ok(event) if !event.need_rescan() => event,
            // The system has forgotten what it had to tell, or cannot tell.
            Ok(_) | Err(_) => {
                notices.told.lock().anything = true;
                notices.changed.notify_all();
                return;
            }
        };
        if !matches!(event.kind, EventKind::Modify(_) | EventKind::Any | EventKind::Other) {
            return;
        }
        for name in event.paths.iter().filter_map(|path| path.file_name()) {
            if bottles.lock().contains_key(name) && notices.told.lock().names.insert(name.to_owned()) {
                notices.changed.notify_all();
            }
        }
    })?;
    watcher.watch(bottles_dir, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// Looks at each bottle for a while after its WAL was written, and now and then at all of them.
fn watch(bottles: &Bottles, notices: &Notices, mut poll: Duration) {
    let mut looks = HashMap::<OsString, Look>::new();
    let mut next_poll = Instant::now() + poll;
    let mut untold = 0;
    loop {
        let next = looks.values().map(|look| look.next).min().map_or(next_poll, |next| next.min(next_poll));
        let told = notices.wait(next.saturating_duration_since(Instant::now()));
        if told.stopped {
            return;
        }
        if !told.names.is_empty() {
            untold = 0;
        }
        let mut gather = FIRST_PAUSE;
        for name in told.names {
            let Some(bottle) = bottle(bottles, &name) else { continue };
            if note(&mut looks, name, bottle.commits()) {
                gather = GATHER;
            }
        }
        looks.retain(|name, look| {
            let Some(bottle) = bottle(bottles, name) else { return false };
            if Instant::now() >= look.next {
                if catch_up(&bottle).is_none() {
                    look.since = Instant::now();
                }
                look.put_off();
            }
            look.since.elapsed() < SETTLE
        });
        if told.anything || Instant::now() >= next_poll {
            let names: Vec<OsString> = bottles.lock().keys().filter(|name| !looks.contains_key(*name)).cloned().collect();
            let mut found = 0;
            for name in names {
                let Some(bottle) = bottle(bottles, &name) else { continue };
                match catch_up(&bottle) {
                    Some(new) => found += u32::from(new),
                    None => drop(note(&mut looks, name, bottle.commits())),
                }
            }
            next_poll = Instant::now() + poll;
            untold = if found > 0 && !told.anything { untold + 1 } else { untold };
            if untold >= UNTOLD && poll > FAST_POLL {
                tracing::warn!("the system does not tell of all changes of files; those of other processes are noticed up to 20 ms late");
                poll = FAST_POLL;
            }
        }
        if !looks.is_empty() {
            std::thread::sleep(gather);
        }
    }
}

/// Notes that the system has told of a bottle; whether that may have been for this process's own commits.
fn note(looks: &mut HashMap<OsString, Look>, name: OsString, own_commits: u64) -> bool {
    let now = Instant::now();
    let look = looks.entry(name).or_insert(Look { since: now, next: now, pause: FIRST_PAUSE, own_commits });
    look.since = now;
    let own = look.own_commits != own_commits;
    look.own_commits = own_commits;
    if own {
        look.next = look.next.min(now + OWN_PAUSE);
    } else {
        look.pause = FIRST_PAUSE;
        look.next = now;
    }
    own
}

fn bottle(bottles: &Bottles, name: &OsString) -> Option<Arc<Bottle>> {
    bottles.lock().get(name).and_then(Weak::upgrade)
}

/// Delivers what is new in a bottle; whether there was anything. `None` if others have it for longer than a moment:
/// it must be looked at again, and must not keep this thread from other bottles meanwhile.
fn catch_up(bottle: &Arc<Bottle>) -> Option<bool> {
    match bottle.lock(&Wait::at_most(TURN)).and_then(|mut file| file.catch_up()) {
        Ok(new) => Some(new),
        Err(Error::Timeout { .. }) => None,
        Err(error) => {
            tracing::warn!(%error, origin = %bottle.origin(), "changes of other processes cannot be read now");
            Some(false)
        }
    }
}

fn wal_name(path: &Path) -> OsString {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push("-wal");
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_own_writes_keep_going_is_not_put_off_for_ever() {
        let mut looks = HashMap::new();
        for commits in 0..1000 {
            note(&mut looks, "a-wal".into(), commits);
            looks.values_mut().for_each(Look::put_off);
            assert!(looks.values().all(|look| look.pause <= SETTLE));
        }
        assert!(note(&mut looks, "a-wal".into(), 1000), "these are its own");
        assert!(looks.values().all(|look| look.next <= Instant::now() + OWN_PAUSE));
        assert!(!note(&mut looks, "a-wal".into(), 1000), "this is another's");
        assert!(looks.values().all(|look| look.next <= Instant::now() && look.pause == FIRST_PAUSE));
    }
}
