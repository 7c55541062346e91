//! Export and import: the items of whole areas, wherever they are.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Connection, Persistence, StorageArea, not_open};
use crate::area::{self, Area, ImportMode, Imported};
use crate::bottle::Bottle;
use crate::dom_string::DomString;
use crate::error::{Error, Result};
use crate::frame::{Framing, encode};
use crate::origin::Origin;
use crate::output::Output;
use crate::protocol::{Handle, Unreadable};
use crate::session::Session;
use crate::shed::{self, own_files};
use crate::sqlite::{self, AreaRow, Database, Salvaged};
use crate::state_file::{Items, OriginState};
use crate::wait::Wait;

/// Where imported items go.
#[derive(Debug)]
pub enum Target {
    /// The area of a handle.
    Handle(Handle),
    /// The persistent area of an origin.
    Persistent(Origin),
    /// The session area of an origin on this connection.
    Session(Origin),
}

impl Connection {
    /// Requires that none of these files, which somebody has named, belongs to a storage directory. Nothing is opened.
    ///
    /// # Errors
    /// [`Error::InvalidParams`] if one does; [`Error::Unknown`] if that cannot be told.
    pub fn require_not_own(&self, paths: &[PathBuf]) -> Result<()> {
        let mut known: Vec<PathBuf> = self.server.sheds.lock().values().map(|shed| shed.dir().to_owned()).collect();
        for persistence in [&self.persistence, &self.server.persistence] {
            match persistence {
                Persistence::In(dir) => known.push(dir.clone()),
                Persistence::Open(shed) => known.push(shed.dir().to_owned()),
                Persistence::Unavailable(_) => {}
            }
        }
        known.sort();
        known.dedup();
        let shown = paths.first().map(|path| path.display().to_string()).unwrap_or_default();
        match own_files::owner(paths, &known) {
            Ok(None) => Ok(()),
            Ok(Some(dir)) => {
                let dir = dir.display();
                let message = format!(
                    "{shown} is a file of the storage directory {dir}, or a link to one. It was not opened, because that would take the locks from those who use it; name a file elsewhere"
                );
                Err(Error::param("path", message))
            }
            Err(error) => Err(Error::Unknown {
                message: format!("{shown} was not opened: whether it is a file of a storage directory cannot be told ({error})"),
                sqlite_code: None,
            }),
        }
    }

    /// The origins that have persistent storage, or session storage on this connection.
    ///
    /// # Errors
    /// When a bottle cannot be read, so that nothing is left out silently.
    pub fn known_origins(&mut self) -> Result<Vec<Origin>> {
        self.end_group();
        let mut origins = self.session.as_ref().map(Session::origins).unwrap_or_default();
        match self.existing_shed() {
            Ok(Some(shed)) => {
                for bottle in shed.bottles(&self.wait)? {
                    origins.push(Origin::parse(&bottle.content?.0)?);
                }
            }
            Ok(None) | Err(Error::NotSupported(_)) => {}
            Err(error) => return Err(error),
        }
        origins.sort();
        origins.dedup();
        Ok(origins)
    }

    /// The items of an origin: of its persistent area, and if it has items of its session area. Of a damaged area it is
    /// what can be read, and what cannot is added to `unreadable`.
    ///
    /// # Errors
    /// Those of the database.
    pub fn origin_state(&mut self, origin: &Origin, unreadable: &mut Vec<Unreadable>) -> Result<OriginState> {
        self.end_group();
        let mut state = OriginState { origin: Some(origin.clone()), ..OriginState::default() };
        match self.existing_shed() {
            Ok(Some(shed)) if !origin.is_opaque() && shed.path(origin).exists() => {
                let (items, missing) = match shed.open(origin, self.options.quota, &self.wait) {
                    Ok(bottle) => self.readable_items(&bottle)?,
                    // It was found damaged just now, and is read where it was moved to.
                    Err(error @ Error::DataCorruption { moved_to: Some(_), .. }) => salvage_moved(origin, error, &self.wait)?,
                    Err(error) => return Err(error),
                };
                state.local = Some(items);
                unreadable.extend(missing);
            }
            Ok(_) | Err(Error::NotSupported(_)) => {}
            Err(error) => return Err(error),
        }
        if let Some(session) = &mut self.session
            && let Some(id) = session.id_of(origin)
        {
            let (area, database) = session.area(id)?;
            state.session = Some(items(area, database)?).filter(|items| !items.is_empty());
        }
        if state.session.is_none() {
            state.local.get_or_insert_default();
        }
        Ok(state)
    }

    /// The items of a bottle, or if it is damaged those that can be read.
    fn readable_items(&mut self, bottle: &Arc<Bottle>) -> Result<(Items, Option<Unreadable>)> {
        let (salvaged, error) = match self.read_bottle(bottle, items_or_damage)? {
            Ok(items) => return Ok((items, None)),
            Err(damaged) => damaged,
        };
        let error = bottle.lock(&self.wait)?.explain(error.into());
        if salvaged.items.is_empty() {
            return Err(error);
        }
        let (items, unreadable) = divide(bottle.origin(), salvaged, &error);
        Ok((items, Some(unreadable)))
    }

    /// The items of a handle's area. Of a damaged one it is what can be read, and what cannot is added to `unreadable`.
    ///
    /// # Errors
    /// [`Error::InvalidState`] if the handle is not open; those of the database.
    pub fn handle_state(&mut self, handle: Handle, unreadable: &mut Vec<Unreadable>) -> Result<OriginState> {
        let (origin, persistent) = self.origin_of(handle)?;
        let items = Some(match &self.handles.get(&handle).ok_or_else(|| not_open(handle))?.area {
            StorageArea::Persistent(bottle) => {
                let bottle = Arc::clone(bottle);
                self.end_group();
                let (items, missing) = self.readable_items(&bottle)?;
                unreadable.extend(missing);
                items
            }
            StorageArea::Session(_) => self.read(handle, items)?,
        });
        let (local, session) = if persistent { (items, None) } else { (None, items) };
        Ok(OriginState { origin: Some(origin), local, session })
    }

    /// The origin of a handle's area, and whether that is persistent.
    ///
    /// # Errors
    /// [`Error::InvalidState`] if the handle is not open.
    pub fn origin_of(&mut self, handle: Handle) -> Result<(Origin, bool)> {
        if let Some(origin) = self.bottle_origin(handle)? {
            return Ok((origin, true));
        }
        match self.handles.get(&handle).map(|storage| &storage.area) {
            Some(StorageArea::Session(id)) => {
                let id = *id;
                Ok((self.session()?.origin(id)?, false))
            }
            _ => Err(not_open(handle)),
        }
    }

    /// Sets the items of an area, all or none.
    ///
    /// # Errors
    /// [`Error::QuotaExceeded`] if they do not fit; [`Error::Security`] for the persistent area of an opaque
    /// origin; [`Error::NotSupported`] without persistence; those of the database.
    pub fn import(&mut self, target: &Target, items: &Items, mode: ImportMode, progress: &mut dyn FnMut(u64)) -> Result<Imported> {
        /// What an item takes in the database besides its key and value, about.
        const ITEM_BYTES: usize = 128;
        let bytes: usize = items.iter().map(|(key, value)| key.len() + value.len() + ITEM_BYTES).sum();
        let change = |area: &mut Area, database: &Database| area.import(database, items, mode, progress);
        match target {
            Target::Handle(handle) => self.write(*handle, bytes, change),
            Target::Persistent(origin) => {
                self.end_group();
                if origin.is_opaque() {
                    return Err(Error::Security("An opaque origin has no persistent storage to import into.".to_owned()));
                }
                let shed = self.shed()?;
                if mode.dry_run && !shed.path(origin).exists() {
                    return import_into_nothing(self.options.quota, change);
                }
                let bottle = shed.open(origin, self.options.quota, &self.wait)?;
                let imported = self.write_bottle(&bottle, bytes as u64, change, &Arc::from(""), self.no_handle())?;
                self.end_group();
                Ok(imported)
            }
            Target::Session(origin) => {
                let quota = self.options.quota;
                if mode.dry_run && self.session()?.id_of(origin).is_none() {
                    return import_into_nothing(quota, change);
                }
                let id = self.session()?.open(origin, None, quota)?;
                let imported = self.write_session(id, bytes as u64, change, &Arc::from(""), self.no_handle());
                self.session()?.close(id, quota)?;
                imported
            }
        }
    }

    /// Sends LSP's `$/progress` notification for a token, a JSON text.
    pub fn send_progress(&self, token: &str, value: &str) {
        send_progress(&self.output, self.replies.framing(), token, value);
    }

    /// What sends a report of how many items of `all` are done.
    pub fn progress_reporter(&self, token: &str, all: usize) -> impl Fn(u64) + use<> {
        let (output, framing, token) = (self.output.clone(), self.replies.framing(), token.to_owned());
        move |done| {
            let percentage = done * 100 / (all as u64).max(1);
            let value = format!(r#"{{"kind":"report","message":"{done} of {all} items","percentage":{percentage}}}"#);
            send_progress(&output, framing, &token, &value);
        }
    }
}

/// Nobody waits for progress: a client that is too slow gets only the newest once it reads.
fn send_progress(output: &Output, framing: Framing, token: &str, value: &str) {
    let message = format!(r#"{{"jsonrpc":"2.0","method":"$/progress","params":{{"token":{token},"value":{value}}}}}"#);
    let mut framed = Vec::new();
    encode(framing, message.as_bytes(), &mut framed);
    if let Err(closed) = output.try_send(framing, &framed, u64::MAX, || framed.clone()) {
        tracing::debug!(?closed, "nobody reads the progress");
    }
}

/// Tries an import where there is no area yet, without making one.
fn import_into_nothing(quota: u64, change: impl FnOnce(&mut Area, &Database) -> Result<Imported>) -> Result<Imported> {
    let database = Database::open_memory()?;
    database.begin_write()?;
    let row = AreaRow { quota, usage: 0, length: 0, next: 0, sequence: 0 };
    database.insert_area(1, "null", &row)?;
    change(&mut Area::new(1, row), &database)
}

/// What of a damaged area can be read, and how that it is damaged was noticed.
type Damaged = (Salvaged, rusqlite::Error);

/// The items of an area, or what is left of them.
fn items_or_damage(area: &mut Area, database: &Database) -> Result<std::result::Result<Items, Damaged>> {
    match items(area, database) {
        Ok(items) => Ok(Ok(items)),
        Err(Error::Sqlite(error)) if sqlite::is_damage(&error) => {
            let salvaged = database.salvage(area.id(), area::ids(area.id()));
            Ok(Err((salvaged, error)))
        }
        Err(error) => Err(error),
    }
}

/// What can be read of an origin's file that `error` says was moved aside.
fn salvage_moved(origin: &Origin, error: Error, wait: &Wait) -> Result<(Items, Option<Unreadable>)> {
    let Error::DataCorruption { moved_to: Some(path), .. } = &error else { return Err(error) };
    let Ok(salvaged) = shed::salvage(path, wait) else { return Err(error) };
    let (items, unreadable) = divide(origin, salvaged, &error);
    Ok((items, Some(unreadable)))
}

/// Tells the items that are as they were written from the others.
fn divide(origin: &Origin, salvaged: Salvaged, problem: &Error) -> (Items, Unreadable) {
    /// Keys that are named.
    const MAX_KEYS: usize = 100;
    let (whole, broken): (Vec<_>, Vec<_>) = salvaged.items.into_iter().partition(|item| item.is_whole);
    let unreadable = Unreadable {
        origin: origin.to_string(),
        problem: problem.to_string(),
        items: salvaged.counted.map(|counted| counted.saturating_sub(whole.len() as u64)),
        keys: broken.into_iter().take(MAX_KEYS).map(|item| DomString::from_wtf8(item.key)).collect(),
    };
    (whole.into_iter().map(|item| (item.key, item.value)).collect(), unreadable)
}

fn items(area: &mut Area, database: &Database) -> Result<Items> {
    let mut items = Items::new();
    area.entries(database, None, u64::MAX, |key, value| {
        items.push((key.to_vec(), value.to_vec()));
        Ok(())
    })?;
    Ok(items)
}
