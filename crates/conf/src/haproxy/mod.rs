//! haproxy.cfg: text to [`ProxyPlan`].
//!
//! A file becomes lines of words ([`lexer`]); each line's keyword is looked up in the tables of
//! its family and fills a field of its section ([`reader`]); [`lower`] resolves names, defaults
//! and cross references.

mod acl;
mod bind;
mod checks;
mod criteria_refused;
mod general;
mod global;
mod global_refused;
mod lexer;
mod log;
mod lower;
mod options;
mod options_refused;
mod parameters_refused;
mod proxy;
mod proxy_refused;
mod reader;
mod rules;
mod section;
mod server;
mod table;
mod value;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::net::SocketAddr;

use model::proxy::ProxyPlan;

use crate::diagnostic::Diagnostic;
use crate::row::RowInfo;
use crate::source::{FileId, Files, Source, Span};

/// Words that begin a section, for telling the languages apart.
pub(crate) const SECTIONS: &[&str] =
    &["global", "defaults", "frontend", "backend", "listen", "userlist", "peers", "resolvers"];

/// What haproxy.cfg files say.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// The plan of the proxy role.
    pub(crate) plan: ProxyPlan,
    /// Every listening address: index of the frontend, index of its bind, address, place.
    pub(crate) binds: Vec<(usize, usize, SocketAddr, Span)>,
}

/// Every keyword.
pub fn rows() -> impl Iterator<Item = &'static RowInfo> {
    section::TABLE
        .infos()
        .chain(global::TABLE.infos())
        .chain(reader::PROXY.infos())
        .chain(bind::PARAMETERS.infos())
        .chain(server::PARAMETERS.infos())
        .chain(general::BALANCE.infos())
        .chain(acl::CRITERIA.infos())
        .chain(acl::METHODS.infos())
}

/// Loads the files as one, in order.
pub(crate) fn load(
    source: &dyn Source,
    files: &Files,
    ids: &[FileId],
    diagnostics: &mut Vec<Diagnostic>,
) -> Part {
    let document = reader::read(source, files, ids, diagnostics);
    checks::check(&document, diagnostics);
    lower::lower(document, source.processors().min(global::THREADS_MAX as u16))
}
