//! The errors that methods can give, as lists for the rows of the table.

use crate::protocol::Code;

/// The errors of methods that read, or change without growing.
pub(super) const READ: &[Code] = &[
    Code::InvalidStateError,
    Code::TimeoutError,
    Code::UnknownError,
    Code::DataCorruption,
    Code::NotSupportedError,
    Code::RequestCancelled,
];

/// The errors of methods that read page by page.
pub(super) const PAGE: &[Code] = &[
    Code::InvalidStateError,
    Code::NotFoundError,
    Code::TimeoutError,
    Code::UnknownError,
    Code::DataCorruption,
    Code::NotSupportedError,
    Code::RequestCancelled,
];

/// The errors of methods that write.
pub(super) const WRITE: &[Code] = &[
    Code::InvalidStateError,
    Code::QuotaExceededError,
    Code::TimeoutError,
    Code::UnknownError,
    Code::DataCorruption,
    Code::NotSupportedError,
    Code::RequestCancelled,
];

/// The errors of transactions.
pub(super) const TRANSACT: &[Code] = &[
    Code::InvalidStateError,
    Code::ConstraintError,
    Code::QuotaExceededError,
    Code::TimeoutError,
    Code::UnknownError,
    Code::DataCorruption,
    Code::NotSupportedError,
    Code::RequestCancelled,
];

/// The errors of opening an area.
pub(super) const OPEN: &[Code] = &[
    Code::SecurityError,
    Code::NotSupportedError,
    Code::InvalidStateError,
    Code::QuotaExceededError,
    Code::TimeoutError,
    Code::UnknownError,
    Code::DataCorruption,
    Code::RequestCancelled,
];

/// The errors of commands: those of every method.
pub(super) const COMMAND: &[Code] = &[
    Code::NotFoundError,
    Code::NotSupportedError,
    Code::InvalidStateError,
    Code::SecurityError,
    Code::QuotaExceededError,
    Code::TimeoutError,
    Code::UnknownError,
    Code::DataCorruption,
    Code::ConstraintError,
    Code::RequestCancelled,
];

/// What putting a state into areas can give.
pub(super) const IMPORT: &[Code] = &[
    Code::InvalidStateError,
    Code::NotFoundError,
    Code::QuotaExceededError,
    Code::SecurityError,
    Code::TimeoutError,
    Code::UnknownError,
    Code::DataCorruption,
    Code::NotSupportedError,
    Code::RequestCancelled,
];

/// The errors of the controls for tests.
pub(super) const FOR_TESTS: &[Code] = &[Code::NotSupportedError];

/// The errors of the controls for tests that concern an area.
pub(super) const OPEN_FOR_TESTS: &[Code] = &[
    Code::NotSupportedError,
    Code::InvalidStateError,
    Code::TimeoutError,
    Code::UnknownError,
    Code::DataCorruption,
    Code::RequestCancelled,
];

/// The errors of going back to a snapshot.
pub(super) const RESTORE: &[Code] = &[
    Code::InvalidStateError,
    Code::NotFoundError,
    Code::QuotaExceededError,
    Code::TimeoutError,
    Code::UnknownError,
    Code::DataCorruption,
    Code::NotSupportedError,
    Code::RequestCancelled,
];
