//! Calls to the method table in this process, as a client would make them.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::sync::Arc;

use jsonrpsee::core::server::{Extensions, MethodCallback, RpcModule};
use jsonrpsee::types::{Id, Params};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use webstorage_server::connection::Connection;
use webstorage_server::frame::Framing;
use webstorage_server::methods;
use webstorage_server::output::Output;
use webstorage_server::server::Server;
use webstorage_server::shed::DamagedFile;

use super::Stop;
use super::print::{self, OriginRow};

/// A connection in this process.
pub struct Local {
    connection: Arc<Mutex<Connection>>,
    module: RpcModule<Mutex<Connection>>,
    /// Where notifications come.
    notifications: BufReader<File>,
    opened: Option<u32>,
}

#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    code: i32,
    message: String,
}

/// The members that are looked for in JSON objects, as JSON text.
#[derive(Default, Deserialize)]
pub struct Members<'a> {
    /// Those of a notification.
    #[serde(borrow)]
    pub params: Option<&'a RawValue>,
    /// What was exported.
    #[serde(borrow)]
    pub state: Option<&'a RawValue>,
    /// The handle in a result or in params.
    #[serde(borrow)]
    pub storage: Option<&'a RawValue>,
}

impl Local {
    /// A new connection.
    pub fn new(server: Arc<Server>) -> Result<Self, Stop> {
        let (reader, writer) = rustix::pipe::pipe().map_err(std::io::Error::from)?;
        let output = Output::new(writer, 1, None);
        let connection = Arc::new(Mutex::new(Connection::new(server, output, 1)));
        connection.lock().replies.set_framing(Framing::Lines);
        let module = methods::module(&connection);
        Ok(Local { connection, module, notifications: BufReader::new(reader.into()), opened: None })
    }

    /// Calls a method and gives its result as JSON text.
    pub fn call(&mut self, method: &str, params: &str) -> Result<String, Stop> {
        let Some(MethodCallback::Sync(callback)) = self.module.method(method) else {
            if methods::table().iter().any(|row| row.name == method) {
                return Err(Stop::Refused(format!("{method} is for the connection of a server, and no call of the command line")));
            }
            let meant = methods::nearest(&self.module, method).map(|name| format!(" (did you mean {name:?}?)")).unwrap_or_default();
            return Err(Stop::Refused(format!("there is no method {method:?}{meant}; webstorage-server schema prints all of them")));
        };
        callback(Id::Str("1".into()), Params::new(Some(params)), usize::MAX, Extensions::new());
        let mut connection = self.connection.lock();
        connection.end_group();
        let reply = connection.replies.bytes().to_vec();
        connection.replies.clear();
        connection.release_subscriptions();
        let reply: Reply<'_> =
            serde_json::from_slice(&reply).map_err(|error| Stop::Failed(format!("the reply cannot be read: {error}")))?;
        match (reply.result, reply.error) {
            (_, Some(Fault { code: 8, message })) => Err(Stop::NotFound(message)),
            (_, Some(Fault { code: 102, message })) => Err(Stop::Unmet(message)),
            (_, Some(Fault { code: 9 | 11 | 18 | 22 | -32602 | -32601 | -32600, message })) => Err(Stop::Refused(message)),
            (_, Some(Fault { message, .. })) => Err(Stop::Failed(message)),
            (result, None) => Ok(result.map_or_else(|| "null".to_owned(), |result| result.get().to_owned())),
        }
    }

    /// A handle on the persistent area of the default origin.
    pub fn open(&mut self) -> Result<u32, Stop> {
        if let Some(storage) = self.opened {
            return Ok(storage);
        }
        let origin = self.connection.lock().options.origin.clone();
        if origin.is_opaque() {
            return Err(Stop::Refused(format!(
                "the origin {origin} (as of data: and file:) has no persistent storage; name another with --origin"
            )));
        }
        let opened = self.call("storage/open", "[true]")?;
        let storage = members(&opened).storage.and_then(|storage| storage.get().parse().ok());
        let storage = storage.ok_or_else(|| Stop::Failed("opening gave no handle".to_owned()))?;
        self.opened = Some(storage);
        Ok(storage)
    }

    /// Whether the default origin has storage. Looking for an item must not create any; what makes opening fail
    /// is left for opening to tell.
    pub fn has_storage(&self) -> bool {
        let mut connection = self.connection.lock();
        let origin = connection.options.origin.clone();
        match connection.existing_shed() {
            Ok(shed) => origin.is_opaque() || shed.is_some_and(|shed| shed.path(&origin).exists()),
            Err(_) => true,
        }
    }

    /// The files of all origins that were found damaged and moved aside: the name of each, and what a check says of one
    /// whose origin has no storage.
    pub fn damaged_files(&self) -> Result<Vec<(String, String)>, Stop> {
        let shed = self.connection.lock().existing_shed().map_err(|error| Stop::Failed(error.to_string()))?;
        let files = shed.map_or(Ok(Vec::new()), |shed| shed.damaged_files(None)).map_err(|error| Stop::Failed(error.to_string()))?;
        let report = |file: DamagedFile| {
            let path = file.path.to_string_lossy();
            let damaged = format!(r#"{{"file":{},"path":{},"size":{}}}"#, json(&file.name), json(&path), file.size);
            let report = report(&path, false, "", &damaged);
            (file.name, report)
        };
        Ok(files.into_iter().map(report).collect())
    }

    /// Calls a method; where it needs a handle and the params have none, on the area of the default origin.
    pub fn call_on_area(&mut self, method: &str, params: &str) -> Result<String, Stop> {
        if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(params) {
            return Err(Stop::Refused(format!("the params are not JSON: {error}")));
        }
        let needs_handle = methods::table().iter().any(|row| {
            let named = row.name == method || row.alias == Some(method);
            let required = (row.params)(&mut schemars::SchemaGenerator::default());
            named
                && required
                    .get("required")
                    .is_some_and(|names| names.as_array().is_some_and(|names| names.iter().any(|name| name == "storage")))
        });
        if !needs_handle {
            return self.call(method, params);
        }
        let storage = self.open()?;
        let params = params.trim();
        match params.strip_prefix('{') {
            Some("}") => self.call(method, &format!("{{\"storage\":{storage}}}")),
            Some(rest) if members(params).storage.is_none() => self.call(method, &format!("{{\"storage\":{storage},{rest}")),
            _ => self.call(method, params),
        }
    }

    /// Waits for the next notification and gives its params; `None` if none can come.
    pub fn next_notification(&mut self) -> Result<Option<String>, Stop> {
        let mut line = String::new();
        if self.notifications.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        Ok(members(&line).params.map(|params| params.get().to_owned()))
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.connection.lock().end();
    }
}

/// A JSON string.
pub fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The members of a JSON object that are looked for; none of text that is no object.
pub fn members(object: &str) -> Members<'_> {
    serde_json::from_str(object).unwrap_or_default()
}

/// The bottles in the result of `storage/origins`: the origin of each, or where that cannot be read what a check of
/// the file says.
pub fn origins(result: &str) -> Result<Vec<Result<String, String>>, Stop> {
    let rows: Vec<OriginRow> = print::read(result)?;
    let unreadable =
        |path: &str, problem: Option<String>| report(path, true, &json(&problem.unwrap_or_else(|| "cannot be read".to_owned())), "");
    Ok(rows.into_iter().map(|row| row.origin.ok_or_else(|| unreadable(&row.path, row.problem))).collect())
}

/// What a check says of a file whose origin is not known.
fn report(path: &str, exists: bool, problems: &str, damaged: &str) -> String {
    format!(r#"{{"origin":null,"path":{},"exists":{exists},"problems":[{problems}],"damaged":[{damaged}]}}"#, json(path))
}
