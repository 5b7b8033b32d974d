//! haproxy.cfg.

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
    [].iter()
}

/// Loads the files as one, in order.
pub(crate) fn load(
    _source: &dyn Source,
    _files: &Files,
    _ids: &[FileId],
    _diagnostics: &mut Vec<Diagnostic>,
) -> Part {
    Part::default()
}
