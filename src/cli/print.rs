//! What commands print: aligned columns for people, exact JSON for programs.

use std::io::{BufWriter, Write};

use serde::Deserialize;
use serde_json::value::RawValue;
use webstorage_server::dom_string::{DomString, units};

use super::Stop;

/// Characters of a value that a list shows.
const PREVIEW: usize = 60;

/// The widest column of keys.
const MAX_KEY_WIDTH: usize = 40;

/// The output of a command.
pub struct Printer<W: Write> {
    out: BufWriter<W>,
    json: bool,
    colour: bool,
    key_width: Option<usize>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    key: DomString<'a>,
    #[serde(borrow)]
    value: DomString<'a>,
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
    #[serde(default)]
    url: Option<String>,
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
    /// Prints to `out`: JSON, or text that may be coloured.
    pub fn new(out: W, json: bool, colour: bool) -> Self {
        Printer { out: BufWriter::new(out), json, colour, key_width: None }
    }

    /// Hands on what was printed.
    pub fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }

    /// Prints a line.
    pub fn line(&mut self, text: &str) -> Result<(), Stop> {
        Ok(writeln!(self.out, "{text}")?)
    }

    /// Prints a string that is given as JSON text.
    pub fn string(&mut self, text: &str) -> Result<(), Stop> {
        if self.json {
            return self.line(text);
        }
        let string: DomString<'_> = read(text)?;
        if std::str::from_utf8(string.as_bytes()).is_err() {
            eprintln!("webstorage-server: the value has lone surrogates, printed as U+FFFD; with --json it is printed exactly");
        }
        self.line(&string.to_string_lossy())
    }

    /// Prints a page of entries, and gives their number and the last key as JSON text.
    pub fn entries(&mut self, page: &str) -> Result<(usize, Option<String>), Stop> {
        let rows: Vec<&RawValue> = read(page)?;
        let mut last = None;
        let mut entries = Vec::with_capacity(rows.len());
        for row in &rows {
            if self.json {
                self.line(row.get())?;
            }
            entries.push(read::<Entry<'_>>(row.get())?);
        }
        if let Some(entry) = entries.last() {
            last = Some(format!("{:?}", entry.key));
        }
        if self.json {
            return Ok((rows.len(), last));
        }
        let width = *self
            .key_width
            .get_or_insert_with(|| entries.iter().map(|entry| shown(&entry.key, MAX_KEY_WIDTH).chars().count()).max().unwrap_or(0).max(3));
        for Entry { key, value } in &entries {
            let size = size(2 * (units(key.as_bytes()) + units(value.as_bytes())));
            let key = self.key(&shown(key, MAX_KEY_WIDTH), width);
            writeln!(self.out, "{key}  {size:>8}  {}", shown(value, PREVIEW))?;
        }
        Ok((rows.len(), last))
    }

    /// Prints the result of `storage/origins`.
    pub fn origins(&mut self, result: &str) -> Result<(), Stop> {
        if self.json {
            return read::<Vec<&RawValue>>(result)?.into_iter().try_for_each(|row| self.line(row.get()));
        }
        let rows: Vec<OriginRow> = read(result)?;
        let name = |row: &OriginRow| row.origin.clone().unwrap_or_else(|| row.path.clone());
        let width = rows.iter().map(|row| name(row).chars().count()).max().unwrap_or(0);
        for row in &rows {
            let origin = self.key(&name(row), width);
            match (row.length, row.usage) {
                (Some(length), Some(usage)) => {
                    let items = if length == 1 { "item " } else { "items" };
                    writeln!(self.out, "{origin}  {length:>8} {items}  {:>8} used  {:>8} on disk", size(usage), size(row.size))?;
                }
                _ => writeln!(self.out, "{origin}  {}", row.problem.as_deref().unwrap_or("cannot be read"))?,
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
        let what = match (&event.key, &event.new_value) {
            (None, _) if event.url.is_none() => "some changes were missed, because they came too fast".to_owned(),
            (None, _) => "cleared".to_owned(),
            (Some(key), None) => format!("removed  {}", self.key(&shown(key, MAX_KEY_WIDTH), 0)),
            (Some(key), Some(value)) => format!("set      {} = {}", self.key(&shown(key, MAX_KEY_WIDTH), 0), shown(value, PREVIEW)),
        };
        self.line(&what)
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
        let width = areas.iter().map(|area| area.origin.chars().count()).max().unwrap_or(0);
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
            writeln!(self.out, "left alone: {}", import.ignored.join(", "))?;
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
        let origin = self.key(checked.origin.as_ref().unwrap_or(&checked.path), 0);
        match &checked.problems[..] {
            [] if checked.exists => writeln!(self.out, "{origin}  sound")?,
            [] if checked.origin.is_some() => writeln!(self.out, "{origin}  no storage")?,
            problems => problems.iter().try_for_each(|problem| writeln!(self.out, "{origin}  {problem}"))?,
        }
        for damaged in &checked.damaged {
            let file = checked.origin.as_ref().map_or(String::new(), |_| format!(": {}", damaged.file));
            writeln!(self.out, "{origin}  found damaged before{file}")?;
        }
        Ok(checked)
    }

    fn key(&self, text: &str, width: usize) -> String {
        if self.colour { format!("\u{1b}[36m{text:width$}\u{1b}[0m") } else { format!("{text:width$}") }
    }
}

/// Reads a reply.
pub fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Stop> {
    serde_json::from_str(text).map_err(|error| Stop::Failed(format!("the reply cannot be read: {error}")))
}

/// A string on one line and not too long, with escapes for what a terminal would act on.
fn shown(string: &DomString<'_>, most: usize) -> String {
    let escaped = format!("{string:?}");
    let inner = &escaped[1..escaped.len() - 1];
    let mut text: String = inner.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).take(most).collect();
    if inner.chars().nth(most).is_some() {
        text.pop();
        text.push('…');
    }
    text
}

/// A number of bytes for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{}.{} kB", bytes / 1000, bytes / 100 % 10),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10),
    }
}
