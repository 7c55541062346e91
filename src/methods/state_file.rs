//! Export and import.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use crate::area::ImportMode;
use crate::connection::{Connection, Target};
use crate::dom_string::IllFormed;
use crate::error::{Error, Result};
use crate::origin::Origin;
use crate::place::with_suffix;
use crate::protocol::{Export, Exported, Import, ImportInto, ImportResult, ImportedArea, StateFormat, Unreadable};
use crate::reply::Plain;
use crate::shed::own_files::follow_links;
use crate::sqlite::{is_interrupted, other_programs};
use crate::state_file::{self, Items, OriginState, Source, State};

/// The most bytes that are read of a file.
const MAX_FILE: u64 = 1 << 30;

pub(super) fn export(connection: &mut Connection, params: Export<'_>) -> Result<Plain<Exported>> {
    let path = params.path.as_deref().map(target).transpose()?;
    if let Some(path) = &path {
        connection.require_not_own(std::slice::from_ref(path))?;
        require_no_database(path)?;
    }
    let mut unreadable = Vec::new();
    let states = states(connection, &params, &mut unreadable)?;
    let count = |of: fn(&OriginState) -> Option<&Items>| {
        let found: Vec<usize> = states.iter().filter_map(of).map(Vec::len).collect();
        (found.len() as u64, found.iter().sum::<usize>() as u64)
    };
    let (local, session) = (count(|state| state.local.as_ref()), count(|state| state.session.as_ref()));
    let (areas, items) = (local.0 + session.0, local.1 + session.1);
    // A file is exact whatever its reader's JSON can do.
    let ill_formed = if path.is_some() { IllFormed::Escape } else { connection.replies.ill_formed() };
    let text = match params.format.unwrap_or_default() {
        StateFormat::StorageState => {
            let present = match &path {
                Some(path) if params.base.is_none() && path.exists() => Some(read_text(path)?).filter(|text| !text.trim().is_empty()),
                _ => None,
            };
            let base = params.base.map(|base| (Source::Param("base"), base.get()));
            let base = base.or(path.as_deref().zip(present.as_deref()).map(|(path, text)| (Source::File(path), text)));
            state_file::write_storage_state(base, &states, ill_formed).map_err(|error| and(error, " Nothing was written."))?
        }
        format => {
            let areas: Vec<&Items> = states.iter().flat_map(|state| [&state.local, &state.session]).flatten().collect();
            let [items] = areas[..] else {
                let why = format!("this form holds one area, found {}; name one with origins or storages", areas.len());
                return Err(Error::param("format", why));
            };
            match format {
                StateFormat::Flat => state_file::write_flat(items, ill_formed),
                _ => state_file::write_pairs(items, ill_formed),
            }
        }
    };
    progress(connection, params.work_done_token, "end", format_args!("{items} items"));
    if let Some(path) = path {
        write_private(&path, text.as_bytes())?;
        return Ok(Plain(Exported { state: None, path: params.path.map(Cow::into_owned), areas, items, unreadable }));
    }
    let state = RawValue::from_string(text).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(Plain(Exported { state: Some(state), path: None, areas, items, unreadable }))
}

/// Gathers what is to be exported, each origin once.
fn states(connection: &mut Connection, params: &Export<'_>, unreadable: &mut Vec<Unreadable>) -> Result<Vec<OriginState>> {
    progress(connection, params.work_done_token, "begin", format_args!(""));
    let mut states: Vec<OriginState> = Vec::new();
    for handle in params.storages.iter().flatten() {
        let new = connection.handle_state(*handle, unreadable)?;
        match states.iter_mut().find(|state| state.origin == new.origin) {
            None => states.push(new),
            Some(state) if state.local.is_none() && new.local.is_some() => state.local = new.local,
            Some(state) if state.session.is_none() && new.session.is_some() => state.session = new.session,
            Some(_) => {
                return Err(Error::param("storages", "two of the handles are of the same kind and origin; a state has room for one"));
            }
        }
    }
    let all = params.origins.is_none() && params.storages.is_none();
    let advise = |mut error: Error| {
        if let Error::DataCorruption { message, .. } | Error::Unknown { message, .. } | Error::NotSupported(message) = &mut error
            && all
        {
            message.push_str(" Nothing was exported; export the others by naming them.");
        }
        error
    };
    let origins = match (&params.origins, &params.storages) {
        (Some(origins), _) => origins.iter().map(|origin| Origin::parse(origin)).collect::<Result<Vec<_>>>()?,
        (None, Some(_)) => Vec::new(),
        (None, None) => connection.known_origins().map_err(advise)?,
    };
    for origin in origins {
        let new = connection.origin_state(&origin, unreadable).map_err(advise)?;
        progress(connection, params.work_done_token, "report", format_args!("{origin}"));
        match states.iter_mut().find(|state| state.origin == new.origin) {
            None => states.push(new),
            Some(state) => {
                state.local = state.local.take().or(new.local);
                state.session = state.session.take().or(new.session);
            }
        }
    }
    Ok(states)
}

pub(super) fn import(connection: &mut Connection, params: Import<'_>) -> Result<Plain<ImportResult>> {
    let read = match (params.state, params.path.as_deref()) {
        (Some(state), None) => state_file::parse(Source::Param("state"), state.get(), params.format),
        (None, Some(path)) => absolute(path).and_then(|path| read_file(connection, &path, params.format)),
        (None, None) => return Err(Error::param("state", "missing; pass either state or path")),
        (Some(_), Some(_)) => return Err(Error::param("path", "pass either state or path")),
    };
    let State { origins: state, others } = read.map_err(|error| and(error, " Nothing was imported."))?;
    let mode = ImportMode { replace: params.mode == ImportInto::Replace, dry_run: params.dry_run };
    let parts = targets(connection, &params, &state)?;
    progress(connection, params.work_done_token, "begin", format_args!(""));
    if parts.len() > 1 && !mode.dry_run {
        // Whether everything fits is found out before anything is changed.
        for (target, _, items) in &parts {
            connection.import(target, items, ImportMode { dry_run: true, ..mode }, &mut |_| {})?;
        }
    }
    let mut areas = Vec::with_capacity(parts.len());
    for (target, (origin, persistent), items) in &parts {
        let reporter = params.work_done_token.map(|token| connection.progress_reporter(token.get(), items.len()));
        let imported = connection.import(target, items, mode, &mut |done| {
            if let Some(report) = &reporter {
                report(done);
            }
        })?;
        areas.push(ImportedArea {
            origin: origin.to_string(),
            persistent: *persistent,
            added: imported.added,
            changed: imported.changed,
            unchanged: imported.unchanged,
            removed: imported.removed,
            length: imported.length,
            usage: imported.usage,
        });
    }
    progress(connection, params.work_done_token, "end", format_args!("{} areas", areas.len()));
    Ok(Plain(ImportResult { dry_run: params.dry_run, areas, ignored: others }))
}

/// Where the items go, whose area that is, and the items.
type Part<'s> = (Target, (Origin, bool), &'s Items);

fn targets<'s>(connection: &mut Connection, params: &Import<'_>, states: &'s [OriginState]) -> Result<Vec<Part<'s>>> {
    let mut parts = Vec::new();
    for state in states {
        let Some(origin) = &state.origin else {
            let items = state.local.as_ref().or(state.session.as_ref());
            let (target, of) = match (params.storage, &params.origin) {
                (Some(_), Some(_)) => return Err(Error::param("origin", "pass either storage or origin")),
                (Some(handle), None) => (Target::Handle(handle), connection.origin_of(handle)?),
                (None, origin) => {
                    let origin = origin.as_deref().map(Origin::parse).transpose()?;
                    let origin = origin.unwrap_or_else(|| connection.options.origin.clone());
                    (Target::Persistent(origin.clone()), (origin, true))
                }
            };
            parts.extend(items.map(|items| (target, of, items)));
            continue;
        };
        if let Some(param) = params.storage.map(|_| "storage").or(params.origin.as_ref().map(|_| "origin")) {
            return Err(Error::param(param, "the state names its origins itself"));
        }
        if let Some(items) = &state.local {
            parts.push((Target::Persistent(origin.clone()), (origin.clone(), true), items));
        }
        if let Some(items) = &state.session {
            parts.push((Target::Session(origin.clone()), (origin.clone(), false), items));
        }
    }
    Ok(parts)
}

/// With what an error about a file or a state means for the items.
fn and(mut error: Error, consequence: &str) -> Error {
    if let Error::InvalidParams { message, .. } | Error::Security(message) = &mut error {
        if !message.ends_with('.') {
            message.push('.');
        }
        message.push_str(consequence);
    }
    error
}

/// How a file begins that is a database.
const DATABASE: &[u8; 16] = b"SQLite format 3\0";

/// Reads a state, or the database of another program.
fn read_file(connection: &Connection, path: &Path, format: Option<StateFormat>) -> Result<State> {
    require_regular(path)?;
    // SQLite also opens what lies beside a database, not beside a link to it.
    let database = follow_links(path);
    connection.require_not_own(&["", "-wal", "-shm", "-journal"].map(|suffix| with_suffix(&database, suffix)))?;
    let mut start = [0; DATABASE.len()];
    let length = File::open(path).and_then(|mut file| file.read(&mut start)).map_err(|error| no_file(path, &error))?;
    if start[..length] == *DATABASE {
        let read = other_programs::read_items(path, &connection.wait).map_err(|error| {
            if is_interrupted(&error) { Error::Cancelled } else { Error::param("path", format_args!("{}: {error}", path.display())) }
        })?;
        let items = read.map_err(|why| Error::param("path", format_args!("{}: {why}", path.display())))?;
        return Ok(State { origins: vec![OriginState { local: Some(items), ..OriginState::default() }], others: Vec::new() });
    }
    state_file::parse(Source::File(path), &read_text(path)?, format)
}

/// Reads a file of text, without the byte order mark at its beginning.
fn read_text(path: &Path) -> Result<String> {
    let size = fs::metadata(path).map_err(|error| no_file(path, &error))?.len();
    if size > MAX_FILE {
        return Err(Error::param("path", format_args!("{} has {size} bytes, more than the {MAX_FILE} that are read", path.display())));
    }
    let bytes = fs::read(path).map_err(|error| no_file(path, &error))?;
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.split(|byte| *byte == b'\n').count();
        Error::param("path", format_args!("{} is not UTF-8 (in line {line})", path.display()))
    })?;
    if text.starts_with('\u{FEFF}') {
        text.drain(..'\u{FEFF}'.len_utf8());
    }
    Ok(text)
}

/// Refuses to replace a database, of whatever program: what it holds would be lost, and who uses it would go on with half of it.
fn require_no_database(path: &Path) -> Result<()> {
    let mut start = [0; DATABASE.len()];
    match File::open(path).and_then(|mut file| file.read_exact(&mut start)) {
        Ok(()) if start == *DATABASE => {
            Err(Error::param("path", format_args!("{} is a database, which an export does not replace; name another file", path.display())))
        }
        _ => Ok(()),
    }
}

fn no_file(path: &Path, error: &std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::InvalidInput {
        return Error::param("path", format_args!("no file can have the name {}", serde_json::Value::from(path.to_string_lossy())));
    }
    if error.kind() == std::io::ErrorKind::NotFound {
        return Error::NotFound(format!("path: there is no file {}", path.display()));
    }
    Error::Unknown { message: format!("{} could not be read ({error})", path.display()), sqlite_code: None }
}

fn absolute(path: &str) -> Result<PathBuf> {
    let path = PathBuf::from(path);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(Error::param("path", format_args!("expected an absolute path, found {}", path.display())))
    }
}

/// Refuses what is there and is no regular file: reading it would wait, and a file that took its name would replace it.
/// Opening it is no way to find out, because some devices act on that.
fn require_regular(path: &Path) -> Result<()> {
    if fs::metadata(path).map_err(|error| no_file(path, &error))?.is_file() {
        return Ok(());
    }
    Err(Error::param("path", format_args!("{} is no regular file", path.display())))
}

/// The file that an export to a path replaces. Where the path is a symbolic link it is what that points to, also if
/// nothing is there yet.
fn target(path: &str) -> Result<PathBuf> {
    let path = absolute(path)?;
    match require_regular(&path) {
        Ok(()) => fs::canonicalize(&path).map_err(|error| no_file(&path, &error)),
        Err(Error::NotFound(_)) => Ok(follow_links(&path)),
        Err(error) => Err(error),
    }
}

/// Writes a file that only its owner can read, at once: readers see the old content or the new.
fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{:016x}.new", fastrand::u64(..)));
    let new = PathBuf::from(name);
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).and_then(|mut file| {
        file.write_all(bytes)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&new, path)
    });
    written.map_err(|error| {
        if let Err(error) = fs::remove_file(&new) {
            tracing::debug!(%error, "there is no new file to remove");
        }
        Error::Unknown { message: format!("{} could not be written ({error}); it is as it was", path.display()), sqlite_code: None }
    })
}

fn progress(connection: &Connection, token: Option<&RawValue>, kind: &str, message: std::fmt::Arguments<'_>) {
    let Some(token) = token else { return };
    let title = if kind == "begin" { ",\"title\":\"web storage\"" } else { "" };
    let message = serde_json::Value::String(message.to_string());
    connection.send_progress(token.get(), &format!("{{\"kind\":\"{kind}\"{title},\"message\":{message}}}"));
}
