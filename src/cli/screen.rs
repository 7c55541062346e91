//! Text on a terminal: how wide it is, and what of it must not get there as it is.

use std::borrow::Cow;
use std::fmt::Write;
use std::io::IsTerminal;
use std::os::fd::AsFd;

use icu_properties::CodePointMapData;
use icu_properties::props::GeneralCategory;
use unicode_width::UnicodeWidthStr;

/// The columns of a terminal, if it is one and knows.
pub fn columns(stream: &(impl IsTerminal + AsFd)) -> Option<usize> {
    let size = stream.is_terminal().then(|| rustix::termios::tcgetwinsize(stream).ok())??;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// A line on the terminal that standard error is, which what comes next takes the place of, and nothing at the end.
#[derive(Default)]
pub struct PassingLine {
    is_shown: bool,
}

impl PassingLine {
    /// Shows this instead of what was shown.
    pub fn show(&mut self, text: &str) {
        let text = fitted(&escaped(text, false), columns(&std::io::stderr()).map_or(79, |columns| columns - 1), false);
        eprint!("\r{text}\u{1b}[K");
        self.is_shown = true;
    }

    /// Shows nothing, so that something else can stand there.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            eprint!("\r\u{1b}[K");
        }
    }
}

impl Drop for PassingLine {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The columns that a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text without what a terminal would act on instead of showing it: control characters, and those that turn the
/// direction of writing, begin a line or are not seen. In their place are JSON's escapes. With `lines`, line feeds and
/// tabs stay.
pub fn escaped(text: &str, lines: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if is_shown(character) || lines && matches!(character, '\n' | '\t') {
            out.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            write!(out, "\\u{unit:04x}").expect("a string takes everything");
        }
    }
    out
}

fn is_shown(character: char) -> bool {
    use GeneralCategory::{Control, Format, LineSeparator, ParagraphSeparator};
    let category = CodePointMapData::<GeneralCategory>::new().get(character);
    !matches!(category, Control | Format | LineSeparator | ParagraphSeparator)
}

/// The beginning of a text that takes at most so many columns, the last of which says that something is left out.
/// `more` says that there is more of it.
pub fn fitted(text: &str, columns: usize, more: bool) -> String {
    if !more && width(text) <= columns {
        return text.to_owned();
    }
    let mut ends = text.char_indices().map(|(end, _)| end).chain([text.len()]);
    let mut kept = "";
    while let Some(next) = ends.next().map(|end| &text[..end])
        && width(next) < columns
    {
        kept = next;
    }
    format!("{kept}…")
}

/// Text for a stream: as it is, or if that is a terminal so that nothing acts on it.
pub fn for_stream<'a>(text: &'a str, stream: &impl IsTerminal) -> Cow<'a, str> {
    if stream.is_terminal() { Cow::Owned(escaped(text, true)) } else { Cow::Borrowed(text) }
}

/// Says something about the command to whoever has started it.
pub fn say(message: &str) {
    eprintln!("webstorage-server: {}", for_stream(message, &std::io::stderr()));
}
