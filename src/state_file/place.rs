//! Where in a state something is, for errors.

use std::path::Path;

use crate::error::{Error, Result};

/// Where the text of a state comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// The param of this name. It is part of a message, which is known to be JSON.
    Param(&'a str),
    /// A file, of which nothing is known but that it is UTF-8. A byte order mark was taken off.
    File(&'a Path),
}

/// A text and where it comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    pub(super) source: Source<'a>,
    pub(super) text: &'a str,
}

impl Text<'_> {
    /// Requires that a file is JSON.
    ///
    /// # Errors
    /// [`Error::InvalidParams`] with the line and column at which it is not.
    pub(super) fn require_json(self) -> Result<()> {
        let Source::File(_) = self.source else { return Ok(()) };
        serde_json::from_str::<serde::de::IgnoredAny>(self.text).map(drop).map_err(|error| {
            let lines: usize = self.text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
            let mut why = error.to_string();
            why.truncate(why.rfind(" at line").unwrap_or(why.len()));
            self.wrong_at(lines + error.column().saturating_sub(1), "", format_args!("not JSON ({why})"))
        })
    }

    /// An error about a part of the text, which must borrow from it. `entry` is the way to it, such as
    /// `origins[0].localStorage[3].value`, empty for the whole.
    #[cold]
    pub(super) fn wrong(self, part: &str, entry: &str, message: impl std::fmt::Display) -> Error {
        self.wrong_at(part.as_ptr().addr().saturating_sub(self.text.as_ptr().addr()), entry, message)
    }

    /// An error about the character at a byte of the text.
    #[cold]
    fn wrong_at(self, offset: usize, entry: &str, message: impl std::fmt::Display) -> Error {
        match self.source {
            Source::Param(name) if entry.is_empty() || entry.starts_with('[') => Error::param(&format!("{name}{entry}"), message),
            Source::Param(name) => Error::param(&format!("{name}.{entry}"), message),
            Source::File(path) => {
                let before = &self.text[..self.text.floor_char_boundary(offset.min(self.text.len()))];
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
                let entry = if entry.is_empty() { String::new() } else { format!("{entry}: ") };
                Error::InvalidParams {
                    param: Some("path".to_owned()),
                    message: format!("{}, line {line} column {column}: {entry}{message}", path.display()),
                }
            }
        }
    }

    /// The same error, as one that says that this origin can have no storage.
    #[cold]
    pub(super) fn insecure(self, part: &str, entry: &str, message: impl std::fmt::Display) -> Error {
        match self.wrong(part, entry, message) {
            Error::InvalidParams { message, .. } => Error::Security(message),
            other => other,
        }
    }

    /// What is found where something else was expected.
    pub(super) fn found(value: &str) -> String {
        /// The longest number that is shown.
        const MAX_SHOWN: usize = 30;
        match value.as_bytes().first() {
            Some(b'{') => "an object".to_owned(),
            Some(b'[') => "an array".to_owned(),
            Some(b'"') => "a string".to_owned(),
            _ if value.len() <= MAX_SHOWN => value.to_owned(),
            _ => "a number".to_owned(),
        }
    }
}
