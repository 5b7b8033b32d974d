//! Text to Plan: the two configuration languages, their diagnostics, and the checks across files.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod detect;
pub mod diagnostic;
pub mod haproxy;
pub mod keepalived;
mod load;
mod lower;
pub mod render;
pub mod row;
mod short_list;
pub mod source;
pub mod suggest;

use alloc::string::String;

pub use detect::detect;
pub use diagnostic::{Diagnostic, Severity};
pub use load::{Loaded, Summary, load};
pub use row::{Language, RowInfo, Status};
pub use source::{FileId, Files, Source, Span, Spanned};

/// Every keyword of both languages.
pub fn rows() -> impl Iterator<Item = &'static RowInfo> {
    keepalived::rows().chain(haproxy::rows())
}

/// The keyword reference as Markdown, from the same rows as the parser.
pub fn reference_markdown() -> String {
    row::reference_markdown(rows())
}
