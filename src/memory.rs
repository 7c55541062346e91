//! Memory whose size a client decides: it is asked for before anything is done, so that a process with a bound on its
//! memory refuses one call and goes on, where the standard library would abort.

use crate::error::{Error, Result};

/// Bytes that are asked for without a look: what every call may take.
const SMALL: usize = 64 << 10;

/// Bytes that must be left besides, for what is allocated meanwhile without a question.
const RESERVE: usize = 4 << 20;

/// Whether so many bytes can be had in one piece now, and some besides.
#[must_use]
pub fn is_left(bytes: usize) -> bool {
    bytes < SMALL || Vec::<u8>::new().try_reserve_exact(bytes.saturating_add(RESERVE)).is_ok()
}

/// Asks for so many bytes before something is done that takes them.
///
/// # Errors
/// [`Error::Unknown`] if they cannot be had.
pub fn require(bytes: usize) -> Result<()> {
    if is_left(bytes) { Ok(()) } else { Err(exhausted(bytes)) }
}

/// The error of a call for which there is not enough memory.
#[cold]
#[must_use]
pub fn exhausted(bytes: usize) -> Error {
    Error::Unknown {
        message: format!("There is not enough memory for this call: {bytes} bytes could not be had. Nothing was changed."),
        sqlite_code: None,
    }
}

/// Room for `more` bytes at the end of a vector.
///
/// # Errors
/// [`Error::Unknown`] if they cannot be had; the vector is as it was.
pub fn reserve(vector: &mut Vec<u8>, more: usize) -> Result<()> {
    vector.try_reserve(more).or_else(|_| vector.try_reserve_exact(more)).map_err(|_| exhausted(more))
}
