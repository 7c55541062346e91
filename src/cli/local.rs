//! Calls to the method table in this process, as a client would make them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use jsonrpsee::core::server::{Extensions, MethodCallback, RpcModule};
use jsonrpsee::types::{Id, Params};
use parking_lot::Mutex;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use webstorage_server::connection::Connection;
use webstorage_server::dom_string::{DomString, IllFormed};
use webstorage_server::frame::Framing;
use webstorage_server::methods;
use webstorage_server::origin::Origin;
use webstorage_server::output::Output;
use webstorage_server::server::Server;
use webstorage_server::shed::DamagedFile;
use webstorage_server::wait::Wait;
use webstorage_server::wire_log::{Direction, WireLog};

use super::print::{self, OriginRow};
use super::{Stop, screen};

/// A connection in this process.
pub struct Local {
    connection: Arc<Mutex<Connection>>,
    module: RpcModule<Mutex<Connection>>,
    /// Where notifications come.
    notifications: BufReader<File>,
    /// The other end of that, and who writes to it.
    writer: OwnedFd,
    output: Output,
    opened: Option<u32>,
    calls: u64,
    trace: Option<Arc<WireLog>>,
}

/// A notification.
#[derive(Deserialize)]
struct Notification<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: &'a RawValue,
}

#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<Fault>,
}

/// The error of a call.
#[derive(Debug, Deserialize, Serialize)]
pub struct Fault {
    /// Its code.
    pub code: i32,
    /// What went wrong, in the words of the protocol.
    pub message: String,
    /// What it says for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
}

impl Fault {
    /// Whether a condition of a transaction was not met.
    pub fn is_unmet(&self) -> bool {
        self.code == 102
    }

    /// The same without the words that only a program's author knows: the message begins with the param that is to
    /// blame, for which `names` may have what stands for it on the command line.
    pub fn in_words(mut self, names: &[(&str, &str)]) -> Self {
        let rest = self.message.strip_prefix("Invalid params: ").unwrap_or(&self.message);
        let words = rest.split_once(": ").and_then(|(param, rest)| {
            // What comes after the param's name says where in it.
            let (name, place) = param.split_at(param.find(['.', '[']).unwrap_or(param.len()));
            let (_, own) = names.iter().find(|(known, _)| *known == name)?;
            let own = if rest.contains(own) { "" } else { own };
            let parts = [own, place.trim_start_matches('.'), rest];
            Some(parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": "))
        });
        self.message = words.unwrap_or_else(|| rest.to_owned());
        self
    }
}

/// The rest of the items of an area.
pub struct Pages {
    storage: u32,
    after: String,
    done: bool,
}

/// Some items, as JSON text.
pub struct Page(String);

/// An item, as JSON text.
#[derive(Deserialize)]
pub struct Entry<'a> {
    /// Its key.
    #[serde(borrow)]
    pub key: &'a RawValue,
    /// Its value.
    #[serde(borrow)]
    pub value: &'a RawValue,
}

impl Page {
    /// The items.
    pub fn entries(&self) -> Result<Vec<Entry<'_>>, Stop> {
        print::read(&self.0)
    }
}

impl Pages {
    /// The next items, so that any number of them takes little memory and the first come at once.
    pub fn next(&mut self, local: &mut Local) -> Result<Option<Page>, Stop> {
        const PAGE: usize = 1000;
        if self.done {
            return Ok(None);
        }
        let params = format!("{{\"storage\":{},\"limit\":{PAGE}{}}}", self.storage, self.after);
        let page = Page(local.call("storage/entries", &params)?);
        let entries = page.entries()?;
        match entries.last() {
            Some(last) if entries.len() == PAGE => self.after = format!(",\"after\":{}", last.key),
            _ => self.done = true,
        }
        Ok(Some(page))
    }
}

/// The members that are looked for in JSON objects, as JSON text.
#[derive(Default, Deserialize)]
pub struct Members<'a> {
    /// What was exported.
    #[serde(borrow)]
    pub state: Option<&'a RawValue>,
    /// What an export could not read.
    #[serde(borrow)]
    pub unreadable: Option<&'a RawValue>,
    /// The handle in a result or in params.
    #[serde(borrow)]
    pub storage: Option<&'a RawValue>,
}

impl Local {
    /// A new connection.
    pub fn new(server: Arc<Server>) -> Result<Self, Stop> {
        let (reader, writer) = rustix::pipe::pipe().map_err(std::io::Error::from)?;
        let trace = server.wire_log.clone();
        let output = Output::new(writer.try_clone()?, 1, trace.clone());
        let connection = Arc::new(Mutex::new(Connection::new(server, output.clone(), 1)));
        connection.lock().replies.set_framing(Framing::Lines);
        // What is printed is made well-formed then: keys are asked for as they are.
        connection.lock().replies.set_ill_formed(IllFormed::Escape);
        let module = methods::module(&connection);
        let notifications = BufReader::new(reader.into());
        Ok(Local { connection, module, notifications, writer, output, opened: None, calls: 0, trace })
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
        self.calls += 1;
        let id = self.calls;
        if let Some(trace) = &self.trace {
            let message = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{},"params":{params}}}"#, json(method));
            trace.record(Direction::In, 1, message.as_bytes());
        }
        callback(Id::Str(id.to_string().into()), Params::new(Some(params)), usize::MAX, Extensions::new());
        let mut connection = self.connection.lock();
        connection.end_group();
        let reply = connection.replies.bytes().to_vec();
        connection.replies.clear();
        if let Some(trace) = &self.trace {
            trace.record(Direction::Out, 1, &reply);
        }
        connection.release_subscriptions();
        drop(connection);
        let reply: Reply<'_> =
            serde_json::from_slice(&reply).map_err(|error| Stop::Failed(format!("the reply cannot be read: {error}")))?;
        match reply.error {
            Some(fault) => Err(Stop::Fault(fault)),
            None => Ok(reply.result.map_or_else(|| "null".to_owned(), |result| result.get().to_owned())),
        }
    }

    /// Calls a method that may take long, and shows on a terminal how far it is. The params are those of an object,
    /// without its braces.
    pub fn call_showing_progress(&mut self, method: &str, params: &str) -> Result<String, Stop> {
        #[derive(Deserialize)]
        struct Params<'a> {
            #[serde(borrow)]
            value: Value<'a>,
        }
        #[derive(Deserialize)]
        struct Value<'a> {
            kind: &'a str,
            #[serde(borrow)]
            message: Cow<'a, str>,
        }
        if !std::io::stderr().is_terminal() {
            return self.call(method, &format!("{{{params}}}"));
        }
        let lines = BufReader::new(self.notifications.get_ref().try_clone()?).lines();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut line = screen::PassingLine::default();
                for text in lines.map_while(Result::ok).take_while(|text| !text.is_empty()) {
                    let value = print::read::<Notification<'_>>(&text).and_then(|told| print::read::<Params<'_>>(told.params.get()));
                    if let Ok(Params { value: Value { kind: "report", message } }) = value {
                        line.show(&message);
                    }
                }
            });
            let done = self.call(method, &format!("{{{params},\"workDoneToken\":1}}"));
            self.output.drain(None);
            // An empty line ends what is read, after all that the call has sent.
            rustix::io::write(&self.writer, b"\n").map_err(std::io::Error::from)?;
            done
        })
    }

    /// The default origin.
    pub fn origin(&self) -> Origin {
        self.connection.lock().options.origin.clone()
    }

    /// The items of the default origin's persistent area.
    pub fn pages(&mut self) -> Result<Pages, Stop> {
        Ok(Pages { storage: self.open()?, after: String::new(), done: false })
    }

    /// A handle on the persistent area of the default origin.
    pub fn open(&mut self) -> Result<u32, Stop> {
        if let Some(storage) = self.opened {
            return Ok(storage);
        }
        let origin = self.origin();
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
        let origin = self.origin();
        origin.is_opaque() || self.knows(&origin)
    }

    /// Whether an origin has storage, or it cannot be told.
    pub fn knows(&self, origin: &Origin) -> bool {
        match self.connection.lock().existing_shed() {
            Ok(shed) => shed.is_some_and(|shed| shed.path(origin).exists()),
            Err(_) => true,
        }
    }

    /// The name of a damaged file that is given by its name or its path.
    pub fn damaged_name(&self, given: &Path) -> Result<String, Stop> {
        let path = given.canonicalize().ok();
        let is_meant = |file: &DamagedFile| given.as_os_str() == file.name.as_str() || path.as_ref() == Some(&file.path);
        match self.damaged()?.into_iter().find(is_meant) {
            Some(file) => Ok(file.name),
            None => {
                Err(Stop::NotFound(format!("there is no damaged file {}; the command check names those that there are", given.display())))
            }
        }
    }

    /// The files of all origins that were found damaged and moved aside: the name of each, and what a check says of one
    /// whose origin has no storage.
    pub fn damaged_files(&self) -> Result<Vec<(String, String)>, Stop> {
        let report = |file: DamagedFile| {
            let path = file.path.to_string_lossy();
            let damaged = format!(r#"{{"file":{},"path":{},"size":{}}}"#, json(&file.name), json(&path), file.size);
            let report = report(&path, false, "", &damaged);
            (file.name, report)
        };
        Ok(self.damaged()?.into_iter().map(report).collect())
    }

    fn damaged(&self) -> Result<Vec<DamagedFile>, Stop> {
        let shed = self.connection.lock().existing_shed().map_err(|error| Stop::Failed(error.to_string()))?;
        shed.map_or(Ok(Vec::new()), |shed| shed.damaged_files(None)).map_err(|error| Stop::Failed(error.to_string()))
    }

    /// Calls a method; where it takes a handle and the params have none, on the area of the default origin. That is also
    /// the handle 1 where the params name one.
    pub fn call_on_area(&mut self, method: &str, params: &str) -> Result<String, Stop> {
        /// The params that are handles.
        const HANDLES: [&str; 3] = ["storage", "storages", "copyOf"];
        let not_json = |error| Stop::Refused(format!("the params are not JSON: {error}"));
        serde_json::from_str::<IgnoredAny>(params).map_err(not_json)?;
        let params = params.trim();
        let members: Option<BTreeMap<DomString<'_>, &RawValue>> = serde_json::from_str(params).ok();
        let positions: Vec<IgnoredAny> = serde_json::from_str(params).unwrap_or_default();
        let row = methods::table().into_iter().find(|row| row.name == method || row.alias == Some(method));
        let Some(row) = row else { return self.call(method, params) };
        let schema = (row.params)(&mut schemars::SchemaGenerator::default());
        let required = |name: &str| {
            let names = schema.get("required").and_then(|names| names.as_array());
            names.is_some_and(|names| names.iter().any(|required| required == name))
        };
        let names: Vec<&String> =
            schema.get("properties").and_then(|members| members.as_object()).into_iter().flat_map(|m| m.keys()).collect();
        let takes = |name: &str| names.iter().any(|known| *known == name);
        let is_given = |name: &str| match &members {
            Some(members) => members.contains_key(&DomString::from(name)),
            None => names.iter().position(|known| *known == name).is_some_and(|place| place < positions.len()),
        };
        if !HANDLES.iter().any(|name| takes(name) && (required(name) || is_given(name))) {
            return self.call(method, params);
        }
        let storage = self.open()?;
        match members {
            Some(members) if required("storage") && !is_given("storage") => {
                let comma = if members.is_empty() { "" } else { "," };
                self.call(method, &format!("{{\"storage\":{storage}{comma}{}", &params[1..]))
            }
            _ => self.call(method, params),
        }
    }

    /// Waits for the next notification and gives its method and params; `None` if none can come.
    pub fn next_notification(&mut self) -> Result<Option<(String, String)>, Stop> {
        let mut line = String::new();
        if self.notifications.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let Notification { method, params } = print::read(&line)?;
        Ok(Some((method.into_owned(), params.get().to_owned())))
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let mut connection = self.connection.lock();
        let wait = Wait::at_most(connection.server().busy_timeout);
        connection.end(&wait);
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
