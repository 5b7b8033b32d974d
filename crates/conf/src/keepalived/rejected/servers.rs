//! Virtual servers and real servers.

use super::refused;
use crate::keepalived::keyword::KeywordRow;
use crate::keepalived::keyword::section::VIRTUAL_SERVER;

#[rustfmt::skip]
pub(super) const SCHEDULING: &[KeywordRow] = refused![&[VIRTUAL_SERVER], "remove it: persistence_timeout keeps an address on its server";
    "persistence_engine": "How persistence tells clients apart.",
];
