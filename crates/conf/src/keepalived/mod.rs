//! keepalived.conf.

pub(crate) mod ast;

use alloc::vec::Vec;

use crate::diagnostic::Diagnostic;
use crate::row::RowInfo;
use crate::source::{FileId, Files};

/// Every keyword.
pub fn rows() -> impl Iterator<Item = &'static RowInfo> {
    [].iter()
}

/// `word` begins a top-level block or directive.
pub(crate) fn is_top_level(word: &str) -> bool {
    ["global_defs", "vrrp_instance", "vrrp_sync_group", "virtual_server"].contains(&word)
}

/// Parses one file and adds what it says.
pub(crate) fn parse(
    _files: &Files,
    _file: FileId,
    _configuration: &mut ast::Configuration,
    _diagnostics: &mut Vec<Diagnostic>,
) {
}
