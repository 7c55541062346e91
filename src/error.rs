//! What can go wrong, and the one place where each error gets its JSON-RPC code and its DOM name.

use std::path::PathBuf;

use thiserror::Error;

use crate::dom_string::DomString;
use crate::protocol::{Code, ErrorData, ErrorName, Held};

/// Why a call failed. The text of each says what happened, what it means for the caller's data, and where
/// there is something to do, what.
#[derive(Debug, Error)]
pub enum Error {
    /// The frame is not JSON.
    #[error("Parse error: {0}")]
    Parse(String),
    /// The message is no JSON-RPC request, or one that is not allowed now.
    #[error("Invalid request: {0}")]
    InvalidRequest(String),
    /// There is no such method.
    #[error("Method not found: {method:?}{}", .nearest.as_ref().map(|name| format!("; did you mean {name:?}?")).unwrap_or_default())]
    MethodNotFound {
        /// The name in the call.
        method: String,
        /// The name of a method that is much like it, if there is one.
        nearest: Option<String>,
    },
    /// A param is missing, of the wrong type, or out of range.
    #[error("Invalid params: {message}")]
    InvalidParams {
        /// Which param, where one is to blame.
        param: Option<String>,
        /// What was found and what was expected.
        message: String,
    },
    /// A fault of the server.
    #[error("Internal error: {0}. The call had no effect that was acknowledged; please report this.")]
    Internal(String),
    /// The caller cancelled the call.
    #[error("The call was cancelled before it took effect")]
    Cancelled,
    /// The write does not fit.
    #[error("The quota of {quota} bytes is exceeded: the area would need {requested} bytes (it uses {usage}). Nothing was changed.")]
    QuotaExceeded {
        /// The quota of the bottle, in bytes.
        quota: u64,
        /// What the usage would be after the write, in bytes.
        requested: u64,
        /// The usage, in bytes.
        usage: u64,
    },
    /// A condition of a transaction is not met.
    #[error("{}", describe(.unmet))]
    Constraint {
        /// The keys that do not hold what they must, and what they hold.
        unmet: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    },
    /// The origin has no persistent storage.
    #[error("{0}")]
    Security(String),
    /// What the call names does not exist.
    #[error("{0}")]
    NotFound(String),
    /// Not available in this server as it was started.
    #[error("{0}")]
    NotSupported(String),
    /// The handle is unknown or closed.
    #[error("{0}")]
    InvalidState(String),
    /// Another process kept the database locked.
    #[error("The storage of {origin} stayed locked by another process for {milliseconds} ms. Nothing was changed; try again.")]
    Timeout {
        /// The origin whose bottle is locked.
        origin: String,
        /// How long the call waited.
        milliseconds: u64,
    },
    /// The operating system or SQLite failed.
    #[error("{message}")]
    Unknown {
        /// What failed, and what that means for the data.
        message: String,
        /// SQLite's extended result code, where it has one.
        sqlite_code: Option<i32>,
    },
    /// SQLite failed, where nothing more is known than what it says itself.
    #[error("The database failed: {0}. The call changed nothing.")]
    Sqlite(#[from] rusqlite::Error),
    /// The bottle's file is damaged.
    #[error("{message}")]
    DataCorruption {
        /// What is damaged, and what was done.
        message: String,
        /// The damaged file.
        path: PathBuf,
        /// Where it was moved to, if it was.
        moved_to: Option<PathBuf>,
    },
}

/// The result of everything that can fail.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error about one param.
    #[must_use]
    pub fn param(name: &str, message: impl std::fmt::Display) -> Self {
        Error::InvalidParams { param: Some(name.to_owned()), message: format!("{name}: {message}") }
    }

    /// The JSON-RPC code and the `data` member of this error.
    ///
    /// What each code means, and which fields its `data` has, is said where the [codes](Code) are declared.
    #[must_use]
    pub fn code_and_data(&self) -> (Code, ErrorData) {
        let named = |name| ErrorData { name: Some(name), ..ErrorData::default() };
        match self {
            Error::Parse(_) => (Code::ParseError, named(ErrorName::ParseError)),
            Error::InvalidRequest(_) => (Code::InvalidRequest, named(ErrorName::InvalidRequest)),
            Error::MethodNotFound { .. } => (Code::MethodNotFound, named(ErrorName::MethodNotFound)),
            Error::InvalidParams { param, .. } => {
                (Code::InvalidParams, ErrorData { param: param.clone(), ..named(ErrorName::InvalidParams) })
            }
            Error::Internal(_) => (Code::InternalError, named(ErrorName::InternalError)),
            Error::Cancelled => (Code::RequestCancelled, named(ErrorName::RequestCancelled)),
            Error::NotFound(_) => (Code::NotFoundError, named(ErrorName::NotFoundError)),
            Error::NotSupported(_) => (Code::NotSupportedError, named(ErrorName::NotSupportedError)),
            Error::InvalidState(_) => (Code::InvalidStateError, named(ErrorName::InvalidStateError)),
            Error::Security(_) => (Code::SecurityError, named(ErrorName::SecurityError)),
            Error::QuotaExceeded { quota, requested, usage } => {
                let (quota, requested, usage) = (Some(*quota), Some(*requested), Some(*usage));
                (Code::QuotaExceededError, ErrorData { quota, requested, usage, ..named(ErrorName::QuotaExceededError) })
            }
            Error::Timeout { .. } => (Code::TimeoutError, named(ErrorName::TimeoutError)),
            Error::Unknown { sqlite_code, .. } => {
                (Code::UnknownError, ErrorData { sqlite_code: *sqlite_code, ..named(ErrorName::UnknownError) })
            }
            Error::Constraint { unmet } => {
                let owned = |bytes: &Vec<u8>| DomString::from_wtf8(bytes.clone());
                let unmet = unmet.iter().map(|(key, value)| Held { key: owned(key), value: value.as_ref().map(owned) }).collect();
                (Code::ConstraintError, ErrorData { unmet: Some(unmet), ..named(ErrorName::ConstraintError) })
            }
            Error::Sqlite(error) => {
                let sqlite_code = error.sqlite_error().map(|error| error.extended_code);
                (Code::UnknownError, ErrorData { sqlite_code, ..named(ErrorName::UnknownError) })
            }
            Error::DataCorruption { path, moved_to, .. } => {
                let path = Some(path.display().to_string());
                let moved_to = moved_to.as_ref().map(|path| path.display().to_string());
                (Code::DataCorruption, ErrorData { path, moved_to, ..named(ErrorName::DataCorruption) })
            }
        }
    }
}

/// Names the keys of unmet conditions, a few of them and each not at full length.
fn describe(unmet: &[(Vec<u8>, Option<Vec<u8>>)]) -> String {
    if unmet.is_empty() {
        return "The transaction changed nothing, because a condition was not met.".to_owned();
    }
    let mut text = String::from("The transaction changed nothing, because ");
    for (index, (key, value)) in unmet.iter().take(3).enumerate() {
        let key: String = format!("{:?}", DomString::from_wtf8(key.as_slice())).chars().take(60).collect();
        text.push_str(if index == 0 { "the key " } else { ", " });
        text.push_str(&key);
        text.push_str(if value.is_some() { " holds another value" } else { " has no item" });
    }
    if unmet.len() > 3 {
        let more = unmet.len() - 3;
        text.extend([", and ", &more.to_string(), " more conditions are not met"]);
    }
    text.push_str(". What the keys hold is in data.unmet; decide again with that.");
    text
}
