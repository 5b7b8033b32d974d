//! keepalived.conf: characters ([`lexer`]) to words and blocks ([`structure`]) to values
//! ([`reader`]), by the rows of [`keyword`], one file per keyword family.

mod addresses;
pub(crate) mod ast;
mod checker;
mod global;
mod keyword;
mod lexer;
mod reader;
mod rejected;
mod scripts;
mod structure;
mod surroundings;
mod timers;
mod virtual_server;
mod vrrp;

use alloc::vec::Vec;

use crate::diagnostic::Diagnostic;
use crate::row::RowInfo;
use crate::source::{FileId, Files};
use keyword::{Fill, Keywords, section};
use reader::Reader;

pub(crate) use surroundings::Surroundings;

pub(crate) use virtual_server::PERSISTENCE_DEFAULT;

/// Every keyword.
pub fn rows() -> impl Iterator<Item = &'static RowInfo> {
    keyword::rows().map(|row| &row.info)
}

/// `word` begins a top-level block or directive.
pub(crate) fn is_top_level(word: &str) -> bool {
    keyword::rows().any(|row| row.info.is_named(word) && row.info.is_within(section::TOP))
}

/// Parses one file and adds what it says.
pub(crate) fn parse(
    surroundings: &Surroundings<'_>,
    files: &Files,
    file: FileId,
    configuration: &mut ast::Configuration,
    diagnostics: &mut Vec<Diagnostic>,
) {
    if configuration.global.default_user.is_none() {
        configuration.global.default_user = scripts::default_user(surroundings.source);
    }
    let statements = structure::read(&Keywords::new(), file, &files.file(file).text, diagnostics);
    Reader { surroundings, diagnostics }.fields(&statements, |reader, statement, fill| {
        if let Fill::Top(parse) = fill {
            parse(reader, statement, configuration);
        }
    });
}
