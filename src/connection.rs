//! The state of one RPC connection: its handles, its session database, its options, its place in LSP's
//! lifecycle, and the transaction that pipelined calls share.

mod administration;
mod copies;
mod group;
mod state_file;
mod subscriptions;
mod test_controls;

use std::sync::Arc;

use rustc_hash::FxHashMap;

use self::group::Group;
pub use self::state_file::Target;
pub use self::subscriptions::SubscriptionWish;
use crate::area::Area;
use crate::bottle::Bottle;
use crate::broadcast::Event;
use crate::dom_string::IllFormed;
use crate::error::{Error, Result};
use crate::origin::Origin;
use crate::output::Output;
use crate::protocol::{Handle, SubscriptionId};
use crate::reply::{Replies, WriteResult};
use crate::server::Server;
use crate::session::Session;
use crate::shed::Shed;
use crate::sqlite::{AreaRow, Database};
use crate::test_controls::Controls;
use crate::wait::Wait;

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
    /// How long the call that is being handled waits for others, and whether its client still wants it.
    pub wait: Wait,
    server: Arc<Server>,
    persistence: Persistence,
    session: Option<Session>,
    /// The number of this connection in its process.
    number: u64,
    output: Output,
    handles: FxHashMap<Handle, Storage>,
    next_handle: Handle,
    subscriptions: FxHashMap<SubscriptionId, Handle>,
    next_subscription: SubscriptionId,
    /// Subscriptions whose replies are not out yet.
    unreleased: Vec<SubscriptionId>,
    snapshots: copies::Snapshots,
    /// What tests ask for, if the server was started for tests.
    controls: Option<Box<Controls>>,
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
    /// What is written for lone surrogates.
    pub ill_formed: IllFormed,
}

/// Where a connection is in LSP's lifecycle. `initialize` is optional, so that a script can start with
/// `storage/open`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// `initialize` has not come.
    Uninitialized,
    /// `initialize` has come.
    Initialized,
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
    /// The URL of its document.
    url: Arc<str>,
}

/// The area a `Storage` object is bound to.
enum StorageArea {
    /// An area of the connection's session database.
    Session(i64),
    /// The area of a bottle.
    Persistent(Arc<Bottle>),
}

impl StorageArea {
    /// Whether both are the same area.
    fn is(&self, other: &StorageArea) -> bool {
        match (self, other) {
            (StorageArea::Session(one), StorageArea::Session(other)) => one == other,
            (StorageArea::Persistent(one), StorageArea::Persistent(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
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
    pub fn new(server: Arc<Server>, output: Output, number: u64) -> Self {
        let mut replies = Replies::new();
        replies.set_ill_formed(server.options.ill_formed);
        Connection {
            replies,
            more_waiting: false,
            options: server.options.clone(),
            phase: Phase::Uninitialized,
            wait: Wait::at_most(server.busy_timeout),
            persistence: server.persistence.clone(),
            controls: server.test_methods.then(Box::default),
            server,
            session: None,
            number,
            output,
            handles: FxHashMap::default(),
            next_handle: 1,
            subscriptions: FxHashMap::default(),
            next_subscription: 1,
            unreleased: Vec::new(),
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
        match handler(self) {
            Ok(result) => self.reply(id, Ok(&result)),
            Err(error) => self.reply(id, Err(&error)),
        }
    }

    /// Writes the reply to a call that was handled. There is one of this for all methods, because every copy of it
    /// makes the program larger.
    fn reply(&mut self, id: Option<&str>, result: std::result::Result<&dyn WriteResult, &Error>) {
        if let Err(error) = result {
            // The text of an error can quote what the client sent.
            tracing::debug!(
                code = error.code_and_data().0.number(),
                error = self.server.log_values.then(|| error.to_string()),
                "the call failed"
            );
        }
        let room = result.map_or(Ok(()), |result| self.replies.make_room(result.least_size()));
        let result = match &room {
            Ok(()) => result,
            Err(error) => Err(error),
        };
        if let Some(id) = id {
            let begun = self.replies.begin(id, result.map_or(0, WriteResult::least_size));
            match result {
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
        // It may have been writing its result.
        self.replies.undo(self.call_start);
        if let Some(mut group) = self.group.take() {
            let error = group.file.abort(error());
            self.replies.fail_uncommitted(&error);
        }
        if let Some(id) = id {
            let begun = self.replies.begin(id, 0);
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

    /// The shed, if the storage directory is there. Looking what there is must not create it.
    ///
    /// # Errors
    /// As [`Connection::shed`].
    pub fn existing_shed(&mut self) -> Result<Option<Arc<Shed>>> {
        match &self.persistence {
            Persistence::In(dir) if !Shed::is_in(dir) => Ok(None),
            _ => self.shed().map(Some),
        }
    }

    /// Uses another storage directory.
    pub fn set_storage_dir(&mut self, dir: std::path::PathBuf) {
        self.persistence = Persistence::In(dir);
    }

    /// Whether an area was ever opened.
    #[must_use]
    pub fn has_opened(&self) -> bool {
        self.next_handle > 1
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
    pub fn open(&mut self, persistent: bool, origin: &Origin, quota: Option<u64>, url: &str) -> Result<OpenedArea> {
        self.end_group();
        let default_quota = self.options.quota;
        let (area, row) = if persistent {
            if origin.is_opaque() {
                return Err(Error::Security("An opaque origin (\"null\", data:, file:) has no persistent storage; open it with persistent false, or name another origin.".to_owned()));
            }
            let bottle = self.shed()?.open(origin, quota.unwrap_or(default_quota), &self.wait)?;
            let mut file = bottle.lock(&self.wait)?;
            let row = if let Some(quota) = quota {
                file.begin_write()?;
                let (area, _) = file.area();
                area.set_quota(quota);
                let row = *area.row();
                file.commit(&[])?;
                row
            } else {
                file.begin_read()?;
                let row = *file.area().0.row();
                file.commit(&[])?;
                row
            };
            drop(file);
            (StorageArea::Persistent(bottle), row)
        } else {
            let session = self.session()?;
            let id = session.open(origin, quota, default_quota)?;
            (StorageArea::Session(id), *session.area(id)?.0.row())
        };
        Ok(self.add_handle(Storage { area, url: url.into() }, &row))
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
    /// [`Error::InvalidState`] if it is not open; [`Error::Timeout`] or [`Error::Cancelled`] if other connections
    /// kept the area of its subscriptions, and then it stays open.
    pub fn close(&mut self, handle: Handle) -> Result<()> {
        if !self.handles.contains_key(&handle) {
            return Err(not_open(handle));
        }
        self.end_subscriptions(handle, |_| true)?;
        self.restore_quotas(|restored| restored == handle)?;
        let Some(storage) = self.handles.remove(&handle) else { return Ok(()) };
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
            StorageArea::Persistent(bottle) if self.group.is_none() && !self.more_waiting => bottle.lock(&self.wait)?.read_items(read),
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

    /// An area's row.
    ///
    /// # Errors
    /// As [`Connection::read_items`].
    pub fn row(&mut self, handle: Handle) -> Result<AreaRow> {
        match &self.handles.get(&handle).ok_or_else(|| not_open(handle))?.area {
            StorageArea::Persistent(bottle) if self.group.is_none() && !self.more_waiting => bottle.lock(&self.wait)?.read_row(),
            _ => self.read(handle, |area, _| Ok(*area.row())),
        }
    }

    /// Changes an area, writing up to `bytes` bytes of keys and values.
    ///
    /// # Errors
    /// As [`Connection::read_items`], and those of the change. Nothing is changed then.
    pub fn write<T>(&mut self, handle: Handle, bytes: usize, change: impl FnOnce(&mut Area, &Database) -> Result<T>) -> Result<T> {
        let storage = self.handles.get(&handle).ok_or_else(|| not_open(handle))?;
        let source = (self.number, handle);
        match &storage.area {
            StorageArea::Session(id) => {
                let (id, url) = (*id, Arc::clone(&storage.url));
                self.write_session(id, bytes as u64, change, &url, source)
            }
            StorageArea::Persistent(bottle) => {
                let (bottle, url) = (Arc::clone(bottle), Arc::clone(&storage.url));
                self.write_bottle(&bottle, bytes as u64, change, &url, source)
            }
        }
    }

    /// Ends the connection: everything is committed, every handle closed, the session gone. What could be left to
    /// others is, once `wait` is over.
    pub fn end(&mut self, wait: &Wait) {
        self.wait = wait.clone();
        self.end_group();
        let listening: Vec<Handle> = self.subscriptions.values().copied().collect();
        for handle in listening {
            if let Err(error) = self.end_subscriptions(handle, |_| true) {
                tracing::warn!(%error, "a listener stays until its process ends");
            }
        }
        if let Err(error) = self.restore_quotas(|_| true) {
            tracing::warn!(%error, "the quota that a test has set stays");
        }
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

    fn session(&mut self) -> Result<&mut Session> {
        match &mut self.session {
            Some(session) => Ok(session),
            none => Ok(none.insert(Session::new()?)),
        }
    }

    fn write_session<T>(
        &mut self,
        id: i64,
        bytes: u64,
        change: impl FnOnce(&mut Area, &Database) -> Result<T>,
        url: &Arc<str>,
        source: (u64, Handle),
    ) -> Result<T> {
        let session = self.session()?;
        let done = session.write(id, bytes, change)?;
        let changes = session.take_changes(id);
        if !changes.is_empty() {
            session.deliver(id, &Event::from_changes(changes, url, source));
        }
        Ok(done)
    }
}

fn not_open(handle: Handle) -> Error {
    Error::InvalidState(format!("storage: {handle} is not an open handle of this connection; storage/open gives one"))
}
