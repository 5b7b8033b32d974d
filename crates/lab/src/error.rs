//! Why a rehearsal could not be held. A rehearsal that was held and failed is a report.

use std::fmt;
use std::io;

/// Why there is no report.
#[derive(Debug)]
pub enum LabError {
    /// The configuration cannot be rehearsed.
    Unsuitable(String),
    /// This machine cannot hold a rehearsal.
    Machine(String),
    /// Something did not work.
    Io {
        /// What was being done.
        doing: String,
        /// How it failed.
        error: io::Error,
    },
    /// Somebody asked for the end.
    Interrupted,
}

impl fmt::Display for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LabError::Unsuitable(reason) | LabError::Machine(reason) => f.write_str(reason),
            LabError::Io { doing, error } => write!(f, "{doing}: {error}"),
            LabError::Interrupted => f.write_str("interrupted; everything was removed"),
        }
    }
}

impl std::error::Error for LabError {}

/// Says what was being done when an error happened.
pub(crate) trait Doing<T> {
    /// Turns an I/O error into a [`LabError`].
    fn doing(self, doing: impl Into<String>) -> Result<T, LabError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: impl Into<String>) -> Result<T, LabError> {
        self.map_err(|error| LabError::Io { doing: doing.into(), error })
    }
}
