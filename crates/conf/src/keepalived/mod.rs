//! keepalived.conf: files, conditions and parameters ([`expand`]), then characters ([`lexer`]) to words and blocks ([`structure`]) to values
//! ([`reader`]), by the rows of [`keyword`], one file per keyword family.

mod addresses;
pub(crate) mod ast;
mod bfd;
mod checkers;
mod expand;
mod global;
mod interfaces;
mod keyword;
mod language;
mod lexer;
mod options;
mod reader;
mod rejected;
mod routes;
mod rules;
mod scripts;
mod servers;
mod statics;
mod structure;
mod surroundings;
mod timers;
mod tracking;
mod virtual_server;
mod vrrp;

use alloc::vec::Vec;

use crate::diagnostic::Diagnostic;
use crate::row::RowInfo;
use crate::source::{FileId, Files};
use expand::Stretch;
use keyword::{Fill, Keywords, section};
use reader::{Firsts, Reader};

pub(crate) use expand::Origins;
pub(crate) use reader::Decimal;
pub(crate) use surroundings::Surroundings;
pub(crate) use virtual_server::PERSISTENCE_DEFAULT;

/// Every keyword.
pub fn rows() -> impl Iterator<Item = &'static RowInfo> {
    keyword::rows().map(|row| &row.info)
}

/// `word` begins a top-level block or directive.
pub(crate) fn is_top_level(word: &str) -> bool {
    let is_expanded = word.starts_with('$') || word.starts_with('@') || word.starts_with("~SEQ");
    is_expanded
        || keyword::rows().any(|row| {
            let is_top = row.info.is_within(section::TOP) || row.info.is_within(section::ANYWHERE);
            is_top && row.info.is_named(word)
        })
}

/// Reads files, with all they include, and adds what they say. Findings about text that was
/// expanded are to be settled by what is returned.
pub(crate) fn load(
    surroundings: &Surroundings<'_>,
    files: &mut Files,
    roots: &[FileId],
    configuration: &mut ast::Configuration,
    diagnostics: &mut Vec<Diagnostic>,
) -> Origins {
    let mut origins = Origins::default();
    let programs: Vec<Vec<Stretch>> = roots
        .iter()
        .map(|&root| expand::expand(surroundings.source, files, root, &mut origins, diagnostics))
        .collect();
    files.set_expansion(Some(origins.take_text()));
    if !roots.is_empty() && configuration.global.default_user.is_none() {
        configuration.global.default_user = scripts::default_user(surroundings.source);
    }
    let keywords = Keywords::new();
    for stretches in &programs {
        let mut firsts = Firsts::default();
        structure::read(&keywords, files, stretches, diagnostics, |statements, diagnostics| {
            let mut reader = Reader { surroundings, diagnostics };
            reader.more_fields(statements, &mut firsts, |reader, statement, fill| {
                if let Fill::Top(parse) = fill {
                    parse(reader, statement, configuration);
                }
            });
        });
    }
    origins
}
