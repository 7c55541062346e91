//! What commands print: aligned columns for people, exact JSON for programs.

use std::borrow::Cow;
use std::io::{BufWriter, IsTerminal, Write};

use serde::Deserialize;
use serde_json::value::RawValue;
use webstorage_server::dom_string::{DomString, IllFormed, units, write_json};

use super::local::Entry;
use super::{Stop, screen};

/// Columns of a value that a list shows where its width is not known.
const PREVIEW: usize = 60;

/// The widest column of keys.
const MAX_KEY_WIDTH: usize = 40;

/// Columns of a size and of what is between it and its neighbours.
const SIZE_COLUMNS: usize = 12;

/// What a column has at least, however narrow the terminal is.
const LEAST_COLUMNS: usize = 8;

/// The output of a command.
pub struct Printer<W: Write> {
    out: BufWriter<W>,
    json: bool,
    ill_formed: IllFormed,
    screen: Screen,
    key_width: Option<usize>,
}

/// Where the output appears.
#[derive(Clone, Copy, Debug, Default)]
struct Screen {
    is_terminal: bool,
    colour: bool,
    columns: Option<usize>,
}

impl Screen {
    /// What standard output is.
    fn of_stdout() -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        let is_unset = |name| std::env::var_os(name).is_none_or(|value| value.is_empty());
        let colour = is_terminal && is_unset("NO_COLOR") && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb");
        Screen { is_terminal, colour, columns: screen::columns(&std::io::stdout()) }
    }
}

/// A bottle in the result of `storage/origins`.
#[derive(Deserialize)]
pub struct OriginRow {
    /// Its origin, if that can be read.
    pub origin: Option<String>,
    length: Option<u64>,
    usage: Option<u64>,
    size: u64,
    /// Its file.
    pub path: String,
    /// Why it cannot be read.
    pub problem: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow, default)]
    key: Option<DomString<'a>>,
    #[serde(borrow, default)]
    new_value: Option<DomString<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Import<'a> {
    dry_run: bool,
    #[serde(borrow)]
    areas: Vec<&'a RawValue>,
    ignored: Vec<String>,
}

#[derive(Deserialize)]
struct ImportedArea {
    origin: String,
    persistent: bool,
    added: u64,
    changed: u64,
    unchanged: u64,
    removed: u64,
}

/// The result of `storage/check`.
#[derive(Deserialize)]
pub struct Checked {
    origin: Option<String>,
    path: String,
    exists: bool,
    /// What is wrong with the storage.
    pub problems: Vec<String>,
    /// What was found damaged before and moved aside.
    pub damaged: Vec<Damaged>,
}

/// A file that was moved aside.
#[derive(Deserialize)]
pub struct Damaged {
    /// Its name.
    pub file: String,
}

impl<W: Write> Printer<W> {
    /// Prints to `out`, which is standard output: JSON or text, with lone surrogates as `ill_formed` says.
    pub fn new(out: W, json: bool, ill_formed: IllFormed) -> Self {
        Printer { out: BufWriter::new(out), json, ill_formed, screen: Screen::of_stdout(), key_width: None }
    }

    /// Hands on what was printed.
    pub fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }

    /// Whether JSON is printed.
    pub fn prints_json(&self) -> bool {
        self.json
    }

    /// JSON text with lone surrogates as they are to be written.
    pub fn written<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.ill_formed == IllFormed::Replace { well_formed(text) } else { Cow::Borrowed(text) }
    }

    /// Prints a line of JSON.
    pub fn line(&mut self, text: &str) -> Result<(), Stop> {
        // All that a terminal would act on is in strings, and there an escape means the same.
        let text = self.written(text);
        let text = if self.screen.is_terminal { Cow::Owned(screen::escaped(&text, true)) } else { text };
        Ok(writeln!(self.out, "{text}")?)
    }

    /// Prints a string that is given as JSON text: on a terminal so that it can be read, elsewhere exactly.
    pub fn string(&mut self, text: &str) -> Result<(), Stop> {
        if self.json {
            return self.line(text);
        }
        let string: DomString<'_> = read(text)?;
        let is_utf8 = std::str::from_utf8(string.as_bytes()).is_ok();
        if self.screen.is_terminal {
            let plain = string.to_string_lossy();
            let shown = screen::escaped(&plain, true);
            if shown != plain || !is_utf8 {
                screen::say("the value has characters that cannot be shown as they are; with --json it is shown exactly");
            }
            return Ok(writeln!(self.out, "{shown}")?);
        }
        if is_utf8 || self.ill_formed == IllFormed::Replace {
            return Ok(write!(self.out, "{}", string.to_string_lossy())?);
        }
        screen::say(
            "the value has lone surrogates, which UTF-8 cannot hold: it was written as WTF-8, which the command set reads. --ill-formed-strings replace writes U+FFFD for them, and --json prints their escapes",
        );
        Ok(self.out.write_all(string.as_bytes())?)
    }

    /// Prints some items.
    pub fn entries(&mut self, entries: &[Entry<'_>]) -> Result<(), Stop> {
        if self.json {
            return entries.iter().try_for_each(|Entry { key, value }| self.line(&format!(r#"{{"key":{key},"value":{value}}}"#)));
        }
        let items = entries.iter().map(|entry| Ok((read(entry.key.get())?, read(entry.value.get())?)));
        let items = items.collect::<Result<Vec<(DomString<'_>, DomString<'_>)>, Stop>>()?;
        let most = self
            .screen
            .columns
            .map_or(MAX_KEY_WIDTH, |columns| (columns.saturating_sub(SIZE_COLUMNS) / 2).clamp(LEAST_COLUMNS, MAX_KEY_WIDTH));
        let width = *self.key_width.get_or_insert_with(|| {
            let widths = items.iter().map(|(key, _)| screen::width(&shown(key, most)));
            widths.max().unwrap_or(0).max(3)
        });
        let left = self.screen.columns.map_or(PREVIEW, |columns| columns.saturating_sub(width + SIZE_COLUMNS).max(LEAST_COLUMNS));
        for (key, value) in &items {
            let size = size(2 * (units(key.as_bytes()) + units(value.as_bytes())));
            let key = self.key(&shown(key, width), width);
            writeln!(self.out, "{key}  {size:>8}  {}", shown(value, left))?;
        }
        Ok(())
    }

    /// Prints the result of `storage/origins`.
    pub fn origins(&mut self, result: &str) -> Result<(), Stop> {
        if self.json {
            return read::<Vec<&RawValue>>(result)?.into_iter().try_for_each(|row| self.line(row.get()));
        }
        let rows: Vec<OriginRow> = read(result)?;
        let name = |row: &OriginRow| screen::escaped(row.origin.as_ref().unwrap_or(&row.path), false);
        let width = rows.iter().map(|row| screen::width(&name(row))).max().unwrap_or(0);
        for row in &rows {
            let origin = self.key(&name(row), width);
            match (row.length, row.usage) {
                (Some(length), Some(usage)) => {
                    let items = if length == 1 { "item " } else { "items" };
                    writeln!(self.out, "{origin}  {length:>8} {items}  {:>8} used  {:>8} on disk", size(usage), size(row.size))?;
                }
                _ => writeln!(self.out, "{origin}  {}", screen::escaped(row.problem.as_deref().unwrap_or("cannot be read"), false))?,
            }
        }
        Ok(())
    }

    /// Prints an event.
    pub fn event(&mut self, params: &str) -> Result<(), Stop> {
        if self.json {
            return self.line(params);
        }
        let event: Event<'_> = read(params)?;
        let columns = self.screen.columns.unwrap_or(usize::MAX);
        let what = match (&event.key, &event.new_value) {
            (None, _) => "cleared".to_owned(),
            (Some(key), None) => format!("removed  {}", self.key(&shown(key, MAX_KEY_WIDTH.min(columns.saturating_sub(9))), 0)),
            (Some(key), Some(value)) => {
                let key = shown(key, MAX_KEY_WIDTH.min(columns / 2));
                let left = columns.saturating_sub(12 + screen::width(&key)).max(LEAST_COLUMNS);
                let left = if self.screen.columns.is_some() { left } else { PREVIEW };
                format!("set      {} = {}", self.key(&key, 0), shown(value, left))
            }
        };
        Ok(writeln!(self.out, "{what}")?)
    }

    /// Prints that changes up to the one with this number were missed.
    pub fn missed(&mut self, sequence: u64) -> Result<(), Stop> {
        if self.json {
            return self.line(&format!(r#"{{"overflow":true,"sequence":{sequence}}}"#));
        }
        Ok(writeln!(
            self.out,
            "some changes were missed: they were not read in time, are no longer kept, or the file was replaced; list shows what there is"
        )?)
    }

    /// Prints the result of `storage/import`.
    pub fn imported(&mut self, result: &str) -> Result<(), Stop> {
        let import: Import<'_> = read(result)?;
        let areas = import.areas.iter().map(|area| read(area.get())).collect::<Result<Vec<ImportedArea>, Stop>>()?;
        // What was put into a session area ends with the command, so that it is as if it had been left alone.
        if self.json {
            let (kept, left): (Vec<_>, Vec<_>) = import.areas.iter().zip(&areas).partition(|(_, area)| area.persistent);
            let kept: Vec<&str> = kept.into_iter().map(|(text, _)| text.get()).collect();
            let left = left.into_iter().map(|(_, area)| format!("sessionStorage of {}", area.origin));
            let ignored: Vec<String> = import.ignored.into_iter().chain(left).collect();
            let (kept, ignored) = (kept.join(","), serde_json::json!(ignored));
            return self.line(&format!(r#"{{"dryRun":{},"areas":[{kept}],"ignored":{ignored}}}"#, import.dry_run));
        }
        let width = areas.iter().map(|area| screen::width(&area.origin)).max().unwrap_or(0);
        for area in &areas {
            let origin = self.key(&area.origin, width);
            if !area.persistent {
                writeln!(self.out, "{origin}  session  left alone, because session storage lives only as long as a connection")?;
                continue;
            }
            let (added, changed, unchanged, removed) = (area.added, area.changed, area.unchanged, area.removed);
            writeln!(self.out, "{origin}  local    {added} added, {changed} changed, {removed} removed, {unchanged} as they were")?;
        }
        if !import.ignored.is_empty() {
            writeln!(self.out, "left alone: {}", screen::escaped(&import.ignored.join(", "), false))?;
        }
        if import.dry_run {
            writeln!(self.out, "nothing was changed (dry run)")?;
        }
        Ok(())
    }

    /// Prints the result of `storage/check`, and gives it.
    pub fn checked(&mut self, result: &str) -> Result<Checked, Stop> {
        let checked: Checked = read(result)?;
        if self.json {
            self.line(result)?;
            return Ok(checked);
        }
        // A file whose origin is not known stands for itself.
        let origin = self.key(&screen::escaped(checked.origin.as_ref().unwrap_or(&checked.path), false), 0);
        match &checked.problems[..] {
            [] if checked.exists => writeln!(self.out, "{origin}  sound")?,
            [] if checked.origin.is_some() => writeln!(self.out, "{origin}  no storage")?,
            problems => problems.iter().try_for_each(|problem| writeln!(self.out, "{origin}  {}", screen::escaped(problem, false)))?,
        }
        for damaged in &checked.damaged {
            let file = checked.origin.as_ref().map_or(String::new(), |_| format!(": {}", screen::escaped(&damaged.file, false)));
            writeln!(self.out, "{origin}  found damaged before{file}")?;
        }
        Ok(checked)
    }

    fn key(&self, text: &str, columns: usize) -> String {
        let padding = " ".repeat(columns.saturating_sub(screen::width(text)));
        if self.screen.colour { format!("\u{1b}[36m{text}{padding}\u{1b}[0m") } else { format!("{text}{padding}") }
    }
}

/// Reads a reply.
pub fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Stop> {
    serde_json::from_str(text).map_err(|error| Stop::Failed(format!("the reply cannot be read: {error}")))
}

/// A string on one line that takes at most so many columns, with escapes for what a terminal would act on.
fn shown(string: &DomString<'_>, columns: usize) -> String {
    let all = string.as_bytes();
    // Most characters take a column or more, and what is not shown need not be looked at.
    let mut end = all.len().min(columns.saturating_mul(4));
    while all.get(end).is_some_and(|byte| byte & 0xC0 == 0x80) {
        end += 1;
    }
    let mut json = Vec::new();
    write_json(&all[..end], IllFormed::Escape, &mut json);
    let escaped = screen::escaped(&String::from_utf8_lossy(&json[1..json.len() - 1]), false);
    screen::fitted(&escaped, columns, end < all.len())
}

/// JSON text with U+FFFD for the escapes of lone surrogates.
fn well_formed(text: &str) -> Cow<'_, str> {
    let unit = |at: usize| text.get(at..at + 6)?.strip_prefix("\\u").and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let (mut out, mut done, mut at) = (String::new(), 0, 0);
    while let Some(next) = text[at..].find('\\') {
        at += next;
        match (unit(at), unit(at + 6)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => at += 12,
            (Some(0xD800..=0xDFFF), _) => {
                out.push_str(&text[done..at]);
                out.push('\u{FFFD}');
                at += 6;
                done = at;
            }
            _ => at += 2,
        }
    }
    if done == 0 { Cow::Borrowed(text) } else { Cow::Owned(out + &text[done..]) }
}

/// A number of bytes for people, rounded.
fn size(bytes: u64) -> String {
    let tenths = |unit: u64| (bytes + unit / 20) / (unit / 10);
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..999_950 => format!("{}.{} kB", tenths(1000) / 10, tenths(1000) % 10),
        _ => format!("{}.{} MB", tenths(1_000_000) / 10, tenths(1_000_000) % 10),
    }
}
