//! State files: items outside of a database, in the forms that people exchange.
//!
//! The default is Playwright's `storageState`, with `sessionStorage` beside `localStorage`. Besides there are
//! a flat object `{key: value}` and pairs `[[key, value], …]`. Strings stay exact, lone surrogates included,
//! and what is not about Web Storage stays as it was.
//!
//! What is read is exactly JSON (RFC 8259) in UTF-8: no raw control characters in strings, nothing after the value. A file may
//! begin with one byte order mark, which is no part of it. What is not fully understood is refused as a whole, with its
//! place: an item whose value is no string, a member of ours that is there twice, and one key with two values. Entries of one
//! origin, in whatever spelling, are one: their items come together in the order of the file.

mod place;
mod read;
mod write;

use crate::origin::Origin;
pub use crate::protocol::StateFormat as Format;
pub use place::Source;
pub use read::parse;
pub use write::{write_flat, write_pairs, write_storage_state};

/// Keys and values in key order.
pub type Items = Vec<(Vec<u8>, Vec<u8>)>;

/// The items of one origin. What is `None` is not spoken of.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct OriginState {
    /// The origin, if the form names it.
    pub origin: Option<Origin>,
    /// The items of the persistent area.
    pub local: Option<Items>,
    /// The items of the session area.
    pub session: Option<Items>,
}

/// What a state file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The origins in the order of the file, each once.
    pub origins: Vec<OriginState>,
    /// The parts that are not about Web Storage, such as `cookies`.
    pub others: Vec<String>,
}

#[cfg(test)]
mod tests;
