//! The state of one RPC connection: its handles, its session database, its options, its place in LSP's
//! lifecycle, and the transaction that pipelined calls share.

mod administration;
mod copies;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use crate::area::Area;
use crate::bottle::{Bottle, BottleGuard};
use crate::error::{Error, Result};
use crate::origin::Origin;
use crate::protocol::Handle;
use crate::reply::{Replies, WriteResult};
use crate::server::Server;
use crate::session::Session;
use crate::shed::Shed;
use crate::sqlite::{AreaRow, Database};

/// The most calls that share one transaction.
const MAX_GROUP_CALLS: u32 = 256;

/// For how long one group of calls may hold a bottle's write lock.
const MAX_GROUP_TIME: Duration = Duration::from_millis(20);

/// Bytes of keys and values that one group may write, and of replies it may hold back.
const MAX_GROUP_BYTES: u64 = 1 << 20;

/// The state of one RPC connection.
pub struct Connection {
    /// The replies that were not handed to the output yet.
    pub replies: Replies,
    /// Whether another call has been read already and waits for this one.
    pub more_waiting: bool,
    /// The defaults of this connection.
    pub options: Options,
    /// Where the connection is in LSP's lifecycle.
    pub phase: Phase,
    server: Arc<Server>,
    persistence: Persistence,
    session: Option<Session>,
    handles: FxHashMap<Handle, Storage>,
    next_handle: Handle,
    snapshots: copies::Snapshots,
    group: Option<Group>,
    /// Whether the call that is being handled has written in the group's transaction.
    awaits_commit: bool,
    /// Where the replies ended before the call that is being handled.
    call_start: usize,
}

/// What a connection uses where a call does not say.
#[derive(Clone, Debug)]
pub struct Options {
    /// The origin of areas.
    pub origin: Origin,
    /// The quota of new areas, in bytes.
    pub quota: u64,
}

/// Where a connection is in LSP's lifecycle. `initialize` is optional, so that a script can start with
/// `storage/open`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing has come yet.
    New,
    /// Calls are handled.
    Open {
        /// Whether by way of `initialize`.
        initialized: bool,
    },
    /// `shutdown` was called; only `exit` is allowed.
    ShutDown,
}

/// Whether this connection can open persistent areas.
#[derive(Clone, Debug)]
pub enum Persistence {
    /// In this directory, once it is needed.
    In(std::path::PathBuf),
    /// In this shed.
    Open(Arc<Shed>),
    /// No, for this reason.
    Unavailable(String),
}

/// One `Storage` object: what a handle stands for.
struct Storage {
    area: StorageArea,
}

/// The area a `Storage` object is bound to.
enum StorageArea {
    /// An area of the connection's session database.
    Session(i64),
    /// The area of a bottle.
    Persistent(Arc<Bottle>),
}

/// The transaction that consecutive calls on one bottle share.
struct Group {
    bottle: Arc<Bottle>,
    file: BottleGuard,
    writing: bool,
    calls: u32,
    bytes: u64,
    began: Instant,
}

/// What opening an area tells.
pub struct OpenedArea {
    /// The new handle.
    pub handle: Handle,
    /// The number of items.
    pub length: u64,
    /// Bytes in use.
    pub usage: u64,
    /// The quota in bytes.
    pub quota: u64,
}

impl Connection {
    /// A new connection of `server`.
    #[must_use]
    pub fn new(server: Arc<Server>) -> Self {
        Connection {
            replies: Replies::new(),
            more_waiting: false,
            options: server.options.clone(),
            phase: Phase::New,
            persistence: server.persistence.clone(),
            server,
            session: None,
            handles: FxHashMap::default(),
            next_handle: 1,
            snapshots: copies::Snapshots::default(),
            group: None,
            awaits_commit: false,
            call_start: 0,
        }
    }

    /// Handles one call, or one notification if there is no id, and writes its reply.
    pub fn answer<R: WriteResult>(&mut self, id: Option<&str>, handler: impl FnOnce(&mut Connection) -> Result<R>) {
        self.call_start = self.replies.bytes().len();
        self.awaits_commit = false;
        let result = handler(self);
        if let Err(error) = &result {
            tracing::debug!(%error, "the call failed");
        }
        if let Some(id) = id {
            let begun = self.replies.begin(id);
            match &result {
                Ok(result) => self.replies.succeed(&begun, result),
                Err(error) => self.replies.fail(&begun, error),
            }
            if self.awaits_commit && self.group.is_some() {
                self.replies.await_commit(&begun);
            }
        }
        if self.group.as_ref().is_some_and(|group| !self.more_waiting || group.is_full()) {
            self.end_group();
        }
    }

    /// Puts things in order after a handler has panicked, and answers its call.
    pub fn answer_panic(&mut self, id: Option<&str>) {
        let error = || Error::Internal("the handler of this call failed unexpectedly".to_owned());
        if let Some(mut group) = self.group.take() {
            let error = group.file.abort(error());
            self.replies.fail_uncommitted(&error);
        }
        if let Some(id) = id {
            let begun = self.replies.begin(id);
            self.replies.fail(&begun, &error());
        }
    }

    /// Whether persistent areas can be opened; the shed if so.
    ///
    /// # Errors
    /// [`Error::NotSupported`] with the reason if not.
    pub fn shed(&mut self) -> Result<Arc<Shed>> {
        match &self.persistence {
            Persistence::Open(shed) => Ok(Arc::clone(shed)),
            Persistence::Unavailable(reason) => {
                Err(Error::NotSupported(format!("localStorage is not supported in this context: {reason}")))
            }
            Persistence::In(dir) => {
                let shed = self.server.shed(dir)?;
                self.persistence = Persistence::Open(Arc::clone(&shed));
                Ok(shed)
            }
        }
    }

    /// Uses another storage directory.
    pub fn set_storage_dir(&mut self, dir: std::path::PathBuf) {
        self.persistence = Persistence::In(dir);
    }

    /// The server whose connection this is.
    #[must_use]
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Opens an area.
    ///
    /// # Errors
    /// [`Error::Security`] for the persistent area of an opaque origin; those of [`Connection::shed`] and
    /// [`Shed::open`].
    pub fn open(&mut self, persistent: bool, origin: &Origin, quota: Option<u64>) -> Result<OpenedArea> {
        self.end_group();
        let default_quota = self.options.quota;
        let (area, row) = if persistent {
            if origin.is_opaque() {
                return Err(Error::Security("An opaque origin (\"null\", data:, file:) has no persistent storage; open it with persistent false, or name another origin.".to_owned()));
            }
            let bottle = self.shed()?.open(origin, quota.unwrap_or(default_quota))?;
            let mut file = bottle.lock();
            let row = if let Some(quota) = quota {
                file.begin_write()?;
                let (area, _) = file.area();
                area.set_quota(quota);
                let row = *area.row();
                file.commit()?;
                row
            } else {
                file.begin_read()?;
                let row = *file.area().0.row();
                file.commit()?;
                row
            };
            drop(file);
            (StorageArea::Persistent(bottle), row)
        } else {
            let session = self.session()?;
            let id = session.open(origin, quota, default_quota)?;
            (StorageArea::Session(id), *session.area(id)?.0.row())
        };
        Ok(self.add_handle(Storage { area }, &row))
    }

    fn add_handle(&mut self, storage: Storage, row: &AreaRow) -> OpenedArea {
        let handle = self.next_handle;
        self.next_handle += 1;
        self.handles.insert(handle, storage);
        OpenedArea { handle, length: row.length, usage: row.usage, quota: row.quota }
    }

    /// Closes a handle.
    ///
    /// # Errors
    /// [`Error::InvalidState`] if it is not open.
    pub fn close(&mut self, handle: Handle) -> Result<()> {
        let storage = self.handles.remove(&handle).ok_or_else(|| not_open(handle))?;
        match storage.area {
            StorageArea::Session(id) => {
                let default_quota = self.options.quota;
                self.session()?.close(id, default_quota)
            }
            StorageArea::Persistent(_) => {
                self.end_group();
                Ok(())
            }
        }
    }

    /// Reads items of an area. What is known of the area besides its items may be out of date.
    ///
    /// # Errors
    /// [`Error::InvalidState`] if the handle is not open; those of the database.
    pub fn read_items<T>(&mut self, handle: Handle, read: impl FnOnce(&mut Area, &Database) -> Result<T>) -> Result<T> {
        match &self.handles.get(&handle).ok_or_else(|| not_open(handle))?.area {
            StorageArea::Session(id) => {
                let id = *id;
                let (area, database) = self.session()?.area(id)?;
                read(area, database)
            }
            StorageArea::Persistent(bottle) if self.group.is_none() && !self.more_waiting => {
                // One statement sees one moment's state by itself; a transaction around it costs as much again.
                let mut file = bottle.lock();
                file.reopen_if_replaced()?;
                let (area, database) = file.area();
                read(area, database).map_err(|error| file.explain(error))
            }
            StorageArea::Persistent(bottle) => {
                let bottle = Arc::clone(bottle);
                self.read_bottle(&bottle, read)
            }
        }
    }

    /// Reads an area, of which everything is up to date.
    ///
    /// # Errors
    /// As [`Connection::read_items`].
    pub fn read<T>(&mut self, handle: Handle, read: impl FnOnce(&mut Area, &Database) -> Result<T>) -> Result<T> {
        match &self.handles.get(&handle).ok_or_else(|| not_open(handle))?.area {
            StorageArea::Session(_) => self.read_items(handle, read),
            StorageArea::Persistent(bottle) => {
                let bottle = Arc::clone(bottle);
                self.read_bottle(&bottle, read)
            }
        }
    }

    /// Changes an area, writing up to `bytes` bytes of keys and values.
    ///
    /// # Errors
    /// As [`Connection::read_items`], and those of the change. Nothing is changed then.
    pub fn write<T>(&mut self, handle: Handle, bytes: usize, change: impl FnOnce(&mut Area, &Database) -> Result<T>) -> Result<T> {
        match &self.handles.get(&handle).ok_or_else(|| not_open(handle))?.area {
            StorageArea::Session(id) => {
                let id = *id;
                self.session()?.write(id, bytes as u64, change)
            }
            StorageArea::Persistent(bottle) => {
                let bottle = Arc::clone(bottle);
                self.write_bottle(&bottle, bytes as u64, change)
            }
        }
    }

    /// Ends the connection: everything is committed, every handle closed, the session gone.
    pub fn end(&mut self) {
        self.end_group();
        self.handles.clear();
        self.session = None;
        self.snapshots = copies::Snapshots::default();
        self.persistence = Persistence::Unavailable("the connection has ended".to_owned());
    }

    /// Commits what was written to session areas, so that memory that is free now is given back.
    ///
    /// # Errors
    /// When the database fails.
    pub fn release_session_memory(&mut self) -> Result<()> {
        self.session.as_mut().map_or(Ok(()), Session::commit)
    }

    /// Commits the group's transaction. The replies that waited for it turn into errors if that fails.
    pub fn end_group(&mut self) {
        let Some(mut group) = self.group.take() else { return };
        match group.file.commit() {
            Ok(_) => {
                self.replies.committed();
                group.bottle.checkpoint_if_due(&mut group.file);
            }
            Err(error) => {
                tracing::warn!(%error, calls = self.replies.uncommitted(), "a group of calls could not be committed");
                self.replies.fail_uncommitted(&error);
            }
        }
    }

    fn session(&mut self) -> Result<&mut Session> {
        match &mut self.session {
            Some(session) => Ok(session),
            none => Ok(none.insert(Session::new()?)),
        }
    }

    fn read_bottle<T>(&mut self, bottle: &Arc<Bottle>, read: impl FnOnce(&mut Area, &Database) -> Result<T>) -> Result<T> {
        if let Some(group) = self.enter_group(bottle, false)? {
            let wrote_before = group.writing;
            let (area, database) = group.file.area();
            let result = read(area, database).map_err(|error| group.file.explain(error));
            // What this call has read is true only if the writes before it are committed.
            self.awaits_commit = wrote_before;
            return result;
        }
        let mut file = bottle.lock();
        file.begin_read()?;
        let (area, database) = file.area();
        match read(area, database) {
            Ok(done) => file.commit().map(|_| done),
            Err(error) => Err(file.abort(error)),
        }
    }

    fn write_bottle<T>(&mut self, bottle: &Arc<Bottle>, bytes: u64, change: impl FnOnce(&mut Area, &Database) -> Result<T>) -> Result<T> {
        if let Some(group) = self.enter_group(bottle, true)? {
            group.bytes += bytes;
            let (area, database) = group.file.area();
            let result = change(area, database).map_err(|error| group.file.explain(error));
            if group.file.in_transaction() {
                self.awaits_commit = true;
            } else if let (Err(error), Some(mut group)) = (&result, self.group.take()) {
                // The error made SQLite roll the whole transaction back, with the calls before this one.
                let lost = Error::Unknown {
                    message: format!(
                        "A call after this one made the transaction that they shared fail, so this one changed nothing either: {error}"
                    ),
                    sqlite_code: None,
                };
                let lost = group.file.abort(lost);
                self.replies.fail_uncommitted(&lost);
            }
            return result;
        }
        let mut file = bottle.lock();
        file.begin_write()?;
        let (area, database) = file.area();
        match change(area, database) {
            Ok(done) => {
                file.commit()?;
                bottle.checkpoint_if_due(&mut file);
                Ok(done)
            }
            Err(error) => Err(file.abort(error)),
        }
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
            let mut file = bottle.lock();
            if writing {
                file.begin_write()?;
            } else {
                file.begin_read()?;
            }
            self.group = Some(Group { bottle: Arc::clone(bottle), file, writing, calls: 0, bytes: 0, began: Instant::now() });
        }
        if let Some(group) = &mut self.group {
            group.calls += 1;
        }
        Ok(self.group.as_mut())
    }
}

impl Group {
    fn is_full(&self) -> bool {
        self.calls >= MAX_GROUP_CALLS
            || self.bytes >= MAX_GROUP_BYTES
            || (self.calls.is_multiple_of(16) && self.began.elapsed() >= MAX_GROUP_TIME)
    }
}

fn not_open(handle: Handle) -> Error {
    Error::InvalidState(format!("storage: {handle} is not an open handle of this connection; storage/open gives one"))
}
