//! The command line: the library's methods for people and scripts, live beside running servers.

mod arguments;
mod local;
mod manual;
mod print;
mod replay;

use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::CommandFactory;
use webstorage_server::dom_string::DomString;
use webstorage_server::protocol::{ImportInto, StateFormat};
use webstorage_server::server::Server;

use crate::Arguments;
pub use arguments::{Command, Common, EXIT_CODES};
use local::{Local, json};
use print::Printer;

/// Why a command did not do all it was asked.
#[derive(Debug)]
pub enum Stop {
    /// What was asked for is not there, or differs: exit code 1.
    NotFound(String),
    /// The call is refused as it is: exit code 3.
    Refused(String),
    /// A condition is not met: exit code 3.
    Unmet(String),
    /// Something failed, and the same call may work another time: exit code 4.
    Failed(String),
    /// Nobody reads the output any more.
    Closed,
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
pub fn run(command: &Command, server: Arc<Server>) -> ExitCode {
    let json = command.common().is_some_and(|common| common.json);
    let mut printer = Printer::new(std::io::stdout().lock(), json, shows_colour());
    finish(work(command, server, &mut printer).and_then(|()| Ok(printer.flush()?)))
}

/// Whether the output is a terminal that shows colours, and nobody has asked for none.
fn shows_colour() -> bool {
    let is_unset = |name| std::env::var_os(name).is_none_or(|value| value.is_empty());
    std::io::stdout().is_terminal() && is_unset("NO_COLOR") && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}

/// Runs a command that needs no storage.
pub fn run_alone(command: &Command) -> Option<ExitCode> {
    let mut out = std::io::stdout().lock();
    let done = match command {
        Command::Schema => {
            out.write_all(webstorage_server::openrpc::pretty(&webstorage_server::openrpc::document()).as_bytes()).map_err(Stop::from)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "webstorage-server", &mut script);
            out.write_all(&script).map_err(Stop::from)
        }
        Command::Man { command, directory } => match directory {
            Some(directory) => manual::write_pages(directory),
            None => manual::print_page(command.as_deref(), &mut out),
        },
        Command::Replay { file, flags } => replay::replay(file, flags, &mut out),
        _ => return None,
    };
    Some(finish(done.and_then(|()| Ok(out.flush()?))))
}

fn finish(done: Result<(), Stop>) -> ExitCode {
    let (code, message) = match done {
        Ok(()) | Err(Stop::Closed) => return ExitCode::SUCCESS,
        Err(Stop::NotFound(message)) => (1, message),
        Err(Stop::Refused(message) | Stop::Unmet(message)) => (3, message),
        Err(Stop::Failed(message)) => (4, message),
    };
    if !message.is_empty() {
        eprintln!("webstorage-server: {message}");
    }
    ExitCode::from(code)
}

fn work(command: &Command, server: Arc<Server>, printer: &mut Printer<impl Write>) -> Result<(), Stop> {
    let mut local = Local::new(server)?;
    match command {
        Command::Get { key, common } => get(&mut local, &string(key, common)?, printer),
        Command::Set { key, value, common } => set(&mut local, &string(key, common)?, value.as_deref(), common),
        Command::Remove { key, common } => remove(&mut local, &string(key, common)?),
        Command::Clear { .. } => {
            let storage = local.open()?;
            local.call("storage/clear", &format!("[{storage}]")).map(drop)
        }
        Command::List { .. } => list(&mut local, printer),
        Command::Origins { .. } => printer.origins(&local.call("storage/origins", "{}")?),
        Command::Delete { which, common } => named(which.as_slice(), common).iter().try_for_each(|origin| delete(&mut local, origin)),
        Command::Export { which, output, format, common } => export(&mut local, &named(which, common), output.as_ref(), *format, printer),
        Command::Import { file, format, mode, dry_run, common } => {
            let params = import_params(file, *format, *mode, *dry_run, common)?;
            printer.imported(&local.call("storage/import", &params)?)
        }
        Command::Watch { prefix, count, common } => {
            let prefix = prefix.as_ref().map(|prefix| string(prefix, common)).transpose()?;
            watch(&mut local, prefix.as_deref(), *count, printer)
        }
        Command::Check { which, common } => check(&mut local, &named(which, common), printer),
        Command::Call { method, params, .. } => {
            let result = local.call_on_area(method, params)?;
            printer.line(&result)
        }
        Command::Replay { .. } | Command::Schema | Command::Serve(_) | Command::Completions { .. } | Command::Man { .. } => Ok(()),
    }
}

/// A key or value of the command line as JSON text.
fn string(text: &str, common: &Common) -> Result<String, Stop> {
    if !common.json {
        return Ok(json(text));
    }
    match serde_json::from_str::<DomString<'_>>(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(Stop::Refused(format!("with --json keys and values are JSON strings such as '\"theme\"'; {text}: {error}"))),
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

fn set(local: &mut Local, key: &str, value: Option<&str>, common: &Common) -> Result<(), Stop> {
    let value = if let Some(value) = value {
        string(value, common)?
    } else {
        let text = read_stream(None, "standard input")?;
        string(if common.json { text.trim() } else { &text }, common)?
    };
    let storage = local.open()?;
    local.call("storage/setItem", &format!("[{storage},{key},{value}]")).map(drop)
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
            Err(Stop::Unmet(_)) => {}
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

/// Lists page by page, so that any number of items takes little memory and the first come at once.
fn list(local: &mut Local, printer: &mut Printer<impl Write>) -> Result<(), Stop> {
    const PAGE: usize = 1000;
    if !local.has_storage() {
        return Ok(());
    }
    let storage = local.open()?;
    let mut after = String::new();
    loop {
        let page = local.call("storage/entries", &format!("{{\"storage\":{storage},\"limit\":{PAGE}{after}}}"))?;
        let (count, last) = printer.entries(&page)?;
        match last {
            Some(last) if count == PAGE => after = format!(",\"after\":{last}"),
            _ => return Ok(()),
        }
    }
}

/// The origins that are named, one after the other or with the flag.
fn named(which: &[String], common: &Common) -> Vec<String> {
    let flagged = common.origin.iter().filter(|origin| !which.contains(origin));
    which.iter().chain(flagged).cloned().collect()
}

fn delete(local: &mut Local, origin: &str) -> Result<(), Stop> {
    match local.call("storage/delete", &format!("[{}]", json(origin)))?.as_str() {
        "true" => Ok(()),
        _ => Err(Stop::NotFound(format!("{origin} has no storage"))),
    }
}

fn export(
    local: &mut Local,
    which: &[String],
    output: Option<&PathBuf>,
    format: StateFormat,
    printer: &mut Printer<impl Write>,
) -> Result<(), Stop> {
    let mut params = vec![format!("\"format\":{}", serde_json::json!(format))];
    if !which.is_empty() {
        params.push(format!("\"origins\":{}", serde_json::json!(which)));
    }
    if let Some(path) = output {
        if is_stream(path) {
            let path = path.display();
            return Err(Stop::Refused(format!("{path} is no regular file; leave --output out and redirect standard output to it")));
        }
        params.push(format!("\"path\":{}", json(&absolute(path)?)));
    }
    let params = format!("{{{}}}", params.join(","));
    let exported = local.call("storage/export", &params)?;
    match local::members(&exported).state {
        Some(state) => printer.line(state.get()),
        None => Ok(()),
    }
}

fn import_params(file: &PathBuf, format: Option<StateFormat>, mode: ImportInto, dry_run: bool, common: &Common) -> Result<String, Stop> {
    let mode = if mode == ImportInto::Replace { "replace" } else { "merge" };
    let mut params = vec![format!("\"mode\":\"{mode}\",\"dryRun\":{dry_run}")];
    let is_input = file.as_os_str() == "-";
    if is_input || is_stream(file) {
        let name = if is_input { "standard input".to_owned() } else { file.display().to_string() };
        let text = read_stream(if is_input { None } else { Some(file) }, &name)?;
        if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&text) {
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
    if let Some(origin) = &common.origin {
        params.push(format!("\"origin\":{}", json(origin)));
    }
    Ok(format!("{{{}}}", params.join(",")))
}

/// Whether something is there that is no regular file, such as a pipe of the shell.
fn is_stream(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_file())
}

/// Reads the text of a stream, which may never end: of a file, or of standard input.
fn read_stream(file: Option<&PathBuf>, name: &str) -> Result<String, Stop> {
    const MOST: usize = 64 << 20;
    let mut bytes = Vec::new();
    // Standard input is read by way of its file too.
    let stream = file.map_or_else(|| std::io::stdin().as_fd().try_clone_to_owned().map(File::from), File::open);
    let read = stream.and_then(|stream| stream.take(MOST as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|error| Stop::Failed(format!("{name} could not be read ({error})")))?;
    if bytes.len() > MOST {
        return Err(Stop::Refused(format!("{name} has more than the {MOST} bytes that are read of a stream")));
    }
    String::from_utf8(bytes).map_err(|_| Stop::Refused(format!("{name} is not UTF-8")))
}

fn absolute(path: &PathBuf) -> Result<String, Stop> {
    let path = std::path::absolute(path)?;
    path.to_str().map(str::to_owned).ok_or_else(|| Stop::Refused(format!("the name of {} is not UTF-8", path.display())))
}

fn watch(local: &mut Local, prefix: Option<&str>, count: Option<u64>, printer: &mut Printer<impl Write>) -> Result<(), Stop> {
    let storage = local.open()?;
    let prefix = prefix.map(|prefix| format!(",\"prefix\":{prefix}")).unwrap_or_default();
    local.call("storage/subscribe", &format!("{{\"storage\":{storage}{prefix}}}"))?;
    let mut left = count.unwrap_or(u64::MAX);
    while left > 0 {
        let Some(event) = local.next_notification()? else { return Ok(()) };
        printer.event(&event)?;
        printer.flush()?;
        left -= 1;
    }
    Ok(())
}

fn check(local: &mut Local, which: &[String], printer: &mut Printer<impl Write>) -> Result<(), Stop> {
    let all = which.is_empty();
    let origins = if all { local::origins(&local.call("storage/origins", "{}")?)? } else { which.iter().cloned().map(Ok).collect() };
    let (mut sound, mut failed, mut shown) = (true, None, Vec::new());
    for origin in origins {
        let report = origin.map_or_else(Ok, |origin| local.call("storage/check", &format!("[{}]", json(&origin))));
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
        let mut others = local.damaged_files()?.into_iter().filter(|(name, _)| !shown.contains(name));
        others.try_for_each(|(_, report)| printer.checked(&report).map(drop))?;
    }
    match failed {
        Some(stop) => Err(stop),
        None if sound => Ok(()),
        None => Err(Stop::NotFound(
            "there are problems. Nothing was changed. Write what can be read of such an origin to a file with export; delete and import begin it anew with that".to_owned(),
        )),
    }
}
