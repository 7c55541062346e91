//! The command line: the library's methods for people and scripts, live beside running servers.

mod arguments;
mod examples;
pub mod flags;
mod local;
mod manual;
mod print;
mod replay;
mod screen;
mod watch;

use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::error::ErrorKind;
use serde::Deserialize;
use serde_json::value::RawValue;
use webstorage_server::dom_string::{DomString, IllFormed, is_wtf8, write_json};
use webstorage_server::origin::Origin;
use webstorage_server::protocol::{ImportInto, StateFormat};
use webstorage_server::server::Server;

use crate::Flags;
use arguments::Typed;
pub use arguments::{Command, EXIT_CODES};
use local::{Entry, Fault, Local, json};
use print::Printer;

/// Why a command did not do all it was asked.
#[derive(Debug)]
pub enum Stop {
    /// What was asked for is not there, or differs: exit code 1.
    NotFound(String),
    /// What was asked for is refused as it is: exit code 3.
    Refused(String),
    /// Something failed, and the same may work another time: exit code 4.
    Failed(String),
    /// A call has failed. Its code decides which of the three it is.
    Fault(Fault),
    /// Nobody reads the output any more.
    Closed,
}

impl Stop {
    /// The same in words of the command line, as [`Fault::in_words`].
    fn in_words(self, names: &[(&str, &str)]) -> Self {
        match self {
            Stop::Fault(fault) => Stop::Fault(fault.in_words(names)),
            other => other,
        }
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Stop::Closed,
            _ => Stop::Failed(error.to_string()),
        }
    }
}

/// Runs a command that uses storage and gives the exit code.
pub fn run(command: &Command, flags: &Flags, server: Arc<Server>) -> ExitCode {
    let mut printer = Printer::new(std::io::stdout().lock(), command.prints_json(), flags.ill_formed_strings);
    finish(work(command, flags.origin.as_deref(), server, &mut printer).and_then(|()| Ok(printer.flush()?)))
}

/// Runs a command that needs no storage.
pub fn run_alone(command: &Command) -> Option<ExitCode> {
    let mut out = std::io::stdout().lock();
    let done = match command {
        Command::Schema => {
            out.write_all(webstorage_server::openrpc::pretty(&webstorage_server::openrpc::document()).as_bytes()).map_err(Stop::from)
        }
        Command::Completions { shell } => out.write_all(completions(*shell).as_bytes()).map_err(Stop::from),
        Command::Man { command, directory } => match directory {
            Some(directory) => manual::write_pages(directory),
            None => manual::print_page(command.as_deref(), &mut out),
        },
        Command::Replay { file, flags } => replay::replay(file, flags, &mut out),
        _ => return None,
    };
    Some(finish(done.and_then(|()| Ok(out.flush()?))))
}

/// The completions of a shell.
fn completions(shell: clap_complete::Shell) -> String {
    const PROGRAM: &str = "webstorage-server";
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut flags::documented(), PROGRAM, &mut script);
    let script = String::from_utf8_lossy(&script);
    // For bash the generator makes two names of a program that has a hyphen in its own: one where it finds out which
    // command is completed, and another where it completes that.
    script.replace(&PROGRAM.replace('-', "__subcmd__"), &PROGRAM.replace('-', "__"))
}

fn finish(done: Result<(), Stop>) -> ExitCode {
    let (code, message) = match done {
        Ok(()) | Err(Stop::Closed) => return ExitCode::SUCCESS,
        Err(Stop::NotFound(message)) => (1, message),
        Err(Stop::Refused(message)) => (3, message),
        Err(Stop::Failed(message)) => (4, message),
        Err(Stop::Fault(Fault { code, message, .. })) => match code {
            8 => (1, message),
            9 | 11 | 18 | 22 | 102 | -32602 | -32601 | -32600 => (3, message),
            _ => (4, message),
        },
    };
    if !message.is_empty() {
        screen::say(&message);
    }
    ExitCode::from(code)
}

/// Runs a command; `origin` is what --origin names.
fn work(command: &Command, origin: Option<&str>, server: Arc<Server>, printer: &mut Printer<impl Write>) -> Result<(), Stop> {
    let mut local = Local::new(server)?;
    let done = match command {
        Command::Get { key, typed, .. } => get(&mut local, &string(key, typed)?, printer),
        Command::Set { key, value, typed } => set(&mut local, &string(key, typed)?, value.as_deref(), typed),
        Command::Remove { key, typed } => remove(&mut local, &string(key, typed)?),
        Command::Clear => clear(&mut local),
        Command::List { .. } => list(&mut local, printer),
        Command::Origins { .. } => origins(&mut local, origin, printer),
        Command::Delete { which } => delete(&mut local, one_origin(which.as_deref(), origin)),
        Command::Export { which, output, format, .. } => export(&mut local, &named(which, origin), output.as_ref(), *format, printer),
        Command::Import { file, format, mode, dry_run, .. } => {
            let params = import_params(file, *format, *mode, *dry_run, origin)?;
            let name = file.display().to_string();
            let name = if name == "-" { "standard input" } else { &name };
            let imported = local.call_showing_progress("storage/import", &params).map_err(|stop| in_file(stop, name, origin))?;
            printer.imported(&imported)
        }
        Command::Watch { prefix, count, typed, .. } => {
            let prefix = prefix.as_ref().map(|prefix| string(prefix, typed)).transpose()?;
            watch::watch(&mut local, prefix.as_deref(), *count, printer)
        }
        Command::Check { which, .. } => check(&mut local, &named(which, origin), printer),
        Command::Salvage { file, .. } => salvage(&mut local, file, printer),
        Command::Call { method, params, .. } => return call(&mut local, method, params, printer),
        Command::Replay { .. } | Command::Schema | Command::Serve | Command::Completions { .. } | Command::Man { .. } => Ok(()),
    };
    done.map_err(|stop| stop.in_words(&[("origin", ""), ("origins", "")]))
}

/// A key or value of the command line as JSON text.
fn string(text: &str, typed: &Typed) -> Result<String, Stop> {
    if !typed.json_input {
        return Ok(json(text));
    }
    // A string is only read exactly from what is known to be JSON.
    let json = serde_json::from_str::<&serde_json::value::RawValue>(text);
    match json.and_then(|json| serde_json::from_str::<DomString<'_>>(json.get())) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => {
            Err(Stop::Refused(format!("with --json-input keys, values and prefixes are JSON strings such as '\"theme\"'; {text}: {error}")))
        }
    }
}

fn get(local: &mut Local, key: &str, printer: &mut Printer<impl Write>) -> Result<(), Stop> {
    let storage = open_to_find(local, key)?;
    let value = local.call("storage/getItem", &format!("[{storage},{key}]"))?;
    if value == "null" {
        return Err(Stop::NotFound(format!("there is no item {key}")));
    }
    printer.string(&value)
}

fn set(local: &mut Local, key: &str, value: Option<&str>, typed: &Typed) -> Result<(), Stop> {
    let value = match value {
        Some(value) => string(value, typed)?,
        None if typed.json_input => string(read_stream(None, "the value", "standard input")?.trim(), typed)?,
        None => {
            let bytes = read_bytes(None, "the value", "standard input")?;
            if !is_wtf8(&bytes) {
                return Err(Stop::Refused("standard input is not UTF-8".to_owned()));
            }
            // As get writes lone surrogates, which are escapes here.
            let mut text = Vec::new();
            write_json(&bytes, IllFormed::Escape, &mut text);
            String::from_utf8_lossy(&text).into_owned()
        }
    };
    let storage = local.open()?;
    local.call("storage/setItem", &format!("[{storage},{key},{value}]")).map(drop)
}

/// Removes all items. An origin without storage gets none for that.
fn clear(local: &mut Local) -> Result<(), Stop> {
    if !local.has_storage() {
        return Ok(());
    }
    let storage = local.open()?;
    local.call("storage/clear", &format!("[{storage}]")).map(drop)
}

/// Removes the item with the value that was seen, again if another process has changed it meanwhile: of several
/// processes that remove one item, one has removed it and the others found nothing.
fn remove(local: &mut Local, key: &str) -> Result<(), Stop> {
    let storage = open_to_find(local, key)?;
    loop {
        let held = local.call("storage/getItem", &format!("[{storage},{key}]"))?;
        if held == "null" {
            return Err(Stop::NotFound(format!("there is no item {key}")));
        }
        let changes = format!("{{\"storage\":{storage},\"if\":[{{\"key\":{key},\"value\":{held}}}],\"remove\":[{key}]}}");
        match local.call("storage/transact", &changes) {
            Err(Stop::Fault(fault)) if fault.is_unmet() => {}
            done => return done.map(drop),
        }
    }
}

fn open_to_find(local: &mut Local, key: &str) -> Result<u32, Stop> {
    if !local.has_storage() {
        return Err(Stop::NotFound(format!("there is no item {key}")));
    }
    local.open()
}

fn list(local: &mut Local, printer: &mut Printer<impl Write>) -> Result<(), Stop> {
    if !local.has_storage() {
        return Ok(());
    }
    let mut pages = local.pages()?;
    while let Some(page) = pages.next(local)? {
        printer.entries(&page.entries()?)?;
    }
    Ok(())
}

/// Lists all origins, or the one that is named.
fn origins(local: &mut Local, origin: Option<&str>, printer: &mut Printer<impl Write>) -> Result<(), Stop> {
    let listed = local.call("storage/origins", "{}")?;
    if origin.is_none() {
        return printer.origins(&listed);
    }
    let meant = local.origin();
    let rows: Vec<&RawValue> = print::read(&listed)?;
    for row in rows {
        if print::read::<print::OriginRow>(row.get())?.origin.as_deref() == Some(meant.as_str()) {
            return printer.origins(&format!("[{row}]"));
        }
    }
    Err(no_storage(meant.as_str()))
}

fn no_storage(origin: &str) -> Stop {
    Stop::NotFound(format!("{origin} has no storage"))
}

/// The origins that are named, one after the other or with the flag.
fn named(which: &[String], origin: Option<&str>) -> Vec<String> {
    let flagged = origin.map(str::to_owned).filter(|origin| !which.contains(origin));
    which.iter().cloned().chain(flagged).collect()
}

/// The origin that is named, either way. Another number of them is a wrong use of the program.
fn one_origin<'a>(which: Option<&'a str>, origin: Option<&'a str>) -> &'a str {
    match (which, origin) {
        (Some(origin), None) | (None, Some(origin)) => origin,
        (None, None) => {
            flags::command().error(ErrorKind::MissingRequiredArgument, "name the origin: webstorage-server delete <ORIGIN>").exit()
        }
        (Some(_), Some(_)) => flags::command()
            .error(ErrorKind::ArgumentConflict, "name one origin: the argument '<ORIGIN>' cannot be used with '--origin <ORIGIN>'")
            .exit(),
    }
}

fn delete(local: &mut Local, origin: &str) -> Result<(), Stop> {
    match local.call("storage/delete", &format!("[{}]", json(origin)))?.as_str() {
        "true" => Ok(()),
        _ => Err(no_storage(origin)),
    }
}

/// One call, whose error is told in full.
fn call(local: &mut Local, method: &str, params: &str, printer: &mut Printer<impl Write>) -> Result<(), Stop> {
    match local.call_on_area(method, params) {
        Ok(result) => printer.line(&result),
        Err(Stop::Fault(mut fault)) => {
            if printer.prints_json() {
                let error = serde_json::to_string(&fault).map_err(|error| Stop::Failed(error.to_string()))?;
                eprintln!("{}", screen::for_stream(&printer.written(&error), &std::io::stderr()));
                fault.message.clear();
            } else if let Some(data) = &fault.data {
                fault.message = format!("{}\n{}", fault.message, printer.written(data.get()));
            }
            Err(Stop::Fault(fault))
        }
        Err(other) => Err(other),
    }
}

/// Prints what can be read of a damaged file, as pairs.
fn salvage(local: &mut Local, file: &Path, printer: &mut Printer<impl Write>) -> Result<(), Stop> {
    #[derive(Deserialize)]
    struct Salvaged<'a> {
        complete: bool,
        #[serde(borrow)]
        items: Vec<Entry<'a>>,
    }
    let name = local.damaged_name(file)?;
    let result = local.call("storage/salvage", &format!("[{}]", json(&name)))?;
    let Salvaged { complete, items } = print::read(&result)?;
    if printer.prints_json() {
        printer.line(&result)?;
    } else {
        let pairs: Vec<String> = items.iter().map(|Entry { key, value }| format!("[{key},{value}]")).collect();
        printer.line(&format!("[{}]", pairs.join(",")))?;
        if !complete {
            screen::say(&format!("{} items could be read, and some may be missing: the rest of the file cannot be read", items.len()));
        }
    }
    Ok(())
}

fn export(
    local: &mut Local,
    which: &[String],
    output: Option<&PathBuf>,
    format: StateFormat,
    printer: &mut Printer<impl Write>,
) -> Result<(), Stop> {
    let mut params = vec![format!("\"format\":{}", serde_json::json!(format))];
    let mut origins = Vec::new();
    for text in which {
        // What is no origin is left for the call to refuse.
        if let Ok(origin) = Origin::parse(text)
            && !origin.is_opaque()
            && !local.knows(&origin)
        {
            return Err(Stop::NotFound(format!("{origin} has no storage; nothing was written")));
        }
        origins.push(text.clone());
    }
    if format != StateFormat::StorageState {
        let found = if origins.is_empty() { local::origins(&local.call("storage/origins", "{}")?)?.len() } else { origins.len() };
        if found != 1 {
            return Err(Stop::Refused(format!("this --format holds the items of one origin, found {found}; name one with --origin")));
        }
    }
    if !origins.is_empty() {
        params.push(format!("\"origins\":{}", serde_json::json!(origins)));
    }
    if let Some(path) = output {
        if is_stream(path) {
            let path = path.display();
            return Err(Stop::Refused(format!("{path} is no regular file; leave --output out and redirect standard output to it")));
        }
        params.push(format!("\"path\":{}", json(&absolute(path)?)));
    }
    let params = params.join(",");
    let name = output.map(|path| path.display().to_string()).unwrap_or_default();
    let exported = local.call_showing_progress("storage/export", &params).map_err(|stop| in_file(stop, &name, None))?;
    let local::Members { state, unreadable, .. } = local::members(&exported);
    if let Some(state) = state {
        printer.line(state.get())?;
    }
    match unreadable.map(|unreadable| serde_json::from_str::<Vec<Unreadable<'_>>>(unreadable.get())) {
        Some(Ok(unreadable)) if !unreadable.is_empty() => Err(Stop::Failed(describe_unreadable(&unreadable))),
        _ => Ok(()),
    }
}

/// An area of which not everything could be exported, in the result of the export.
#[derive(serde::Deserialize)]
struct Unreadable<'a> {
    origin: String,
    problem: String,
    items: Option<u64>,
    #[serde(borrow)]
    keys: Vec<DomString<'a>>,
}

fn describe_unreadable(areas: &[Unreadable<'_>]) -> String {
    let mut text = "what can be read was exported, but not everything can.".to_owned();
    for Unreadable { origin, problem, items, keys } in areas {
        let missing = items.map_or_else(|| "Items".to_owned(), |items| format!("{items} items"));
        text.extend([" ", &missing, " of ", origin, " are missing"]);
        for (index, key) in keys.iter().take(5).enumerate() {
            text.push_str(if index == 0 { ", among them " } else { ", " });
            text.extend(format!("{key:?}").chars().take(60));
        }
        text.extend([". ", problem]);
    }
    text
}

/// An error about a file that is read or written, which is a param of the call.
///
/// An origin that is wrong is the one of the flag, if that is given, or one in the file.
fn in_file(stop: Stop, name: &str, flagged: Option<&str>) -> Stop {
    let origin = flagged.map_or(name, |_| "--origin");
    stop.in_words(&[("path", name), ("state", name), ("origin", origin), ("format", "--format")])
}

/// The params of an import, as the members of an object.
fn import_params(
    file: &PathBuf,
    format: Option<StateFormat>,
    mode: ImportInto,
    dry_run: bool,
    origin: Option<&str>,
) -> Result<String, Stop> {
    let mode = if mode == ImportInto::Replace { "replace" } else { "merge" };
    let mut params = vec![format!("\"mode\":\"{mode}\",\"dryRun\":{dry_run}")];
    let is_input = file.as_os_str() == "-";
    if is_input || is_stream(file) {
        let name = if is_input { "standard input".to_owned() } else { file.display().to_string() };
        let text = read_stream(if is_input { None } else { Some(file) }, "the state", &name)?;
        // As in a file, a byte order mark is no part of the JSON.
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
        if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
            return Err(Stop::Refused(format!("{name} is not JSON: {error}")));
        }
        params.push(format!("\"state\":{text}"));
    } else {
        if !file.try_exists().unwrap_or(true) {
            return Err(Stop::NotFound(format!("there is no file {}", file.display())));
        }
        params.push(format!("\"path\":{}", json(&absolute(file)?)));
    }
    if let Some(format) = format {
        params.push(format!("\"format\":{}", serde_json::json!(format)));
    }
    if let Some(origin) = origin {
        params.push(format!("\"origin\":{}", json(origin)));
    }
    Ok(params.join(","))
}

/// Whether something is there that is no regular file, such as a pipe of the shell.
fn is_stream(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_file())
}

/// Reads the text of a stream, which may never end: of a file, or of standard input.
fn read_stream(file: Option<&PathBuf>, what: &str, name: &str) -> Result<String, Stop> {
    String::from_utf8(read_bytes(file, what, name)?).map_err(|_| Stop::Refused(format!("{name} is not UTF-8")))
}

fn read_bytes(file: Option<&PathBuf>, what: &str, name: &str) -> Result<Vec<u8>, Stop> {
    const MOST: usize = 64 << 20;
    if file.is_none() && std::io::stdin().is_terminal() {
        screen::say(&format!("reading {what} from this terminal; Ctrl-D on a line of its own ends it"));
    }
    let mut bytes = Vec::new();
    // Standard input is read by way of its file too.
    let stream = file.map_or_else(|| std::io::stdin().as_fd().try_clone_to_owned().map(File::from), File::open);
    let read = stream.and_then(|stream| stream.take(MOST as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|error| Stop::Failed(format!("{name} could not be read ({error})")))?;
    if bytes.len() > MOST {
        return Err(Stop::Refused(format!("{name} has more than the {MOST} bytes that are read of a stream")));
    }
    Ok(bytes)
}

fn absolute(path: &PathBuf) -> Result<String, Stop> {
    let path = std::path::absolute(path)?;
    path.to_str().map(str::to_owned).ok_or_else(|| Stop::Refused(format!("the name of {} is not UTF-8", path.display())))
}

fn check(local: &mut Local, which: &[String], printer: &mut Printer<impl Write>) -> Result<(), Stop> {
    let all = which.is_empty();
    let origins = if all { local::origins(&local.call("storage/origins", "{}")?)? } else { which.iter().cloned().map(Ok).collect() };
    let (mut sound, mut failed, mut shown) = (true, None, Vec::new());
    let mut progress = screen::PassingLine::default();
    for origin in origins {
        if let Ok(origin) = &origin
            && std::io::stderr().is_terminal()
        {
            progress.show(&format!("looking at {origin}"));
        }
        let report = origin.map_or_else(Ok, |origin| local.call("storage/check", &format!("[{}]", json(&origin))));
        progress.clear();
        match report {
            Ok(report) => {
                let checked = printer.checked(&report)?;
                sound &= checked.problems.is_empty();
                shown.extend(checked.damaged.into_iter().map(|damaged| damaged.file));
            }
            // What cannot be checked does not hide the others.
            Err(stop) => {
                if let Some(before) = failed.replace(stop) {
                    finish(Err(before));
                }
            }
        }
    }
    if all {
        for (name, report) in local.damaged_files()? {
            if !shown.contains(&name) {
                printer.checked(&report)?;
                shown.push(name);
            }
        }
    }
    if let (Some(file), false) = (shown.first(), printer.prints_json()) {
        screen::say(&format!("what can be read of a file that was found damaged is printed by: webstorage-server salvage {file}"));
    }
    match failed {
        Some(stop) => Err(stop),
        None if sound => Ok(()),
        None => Err(Stop::NotFound(
            "there are problems. Nothing was changed. Write what can be read of such an origin to a file with export; delete and import begin it anew with that".to_owned(),
        )),
    }
}
