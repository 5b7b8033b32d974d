//! A machine for this folder's tests.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::Part;
use super::lexer::Word;
use crate::diagnostic::{Diagnostic, Severity};
use crate::source::{FileId, Files, Source, Span};

/// Knows a few names and no files.
pub(super) struct Machine;

impl Source for Machine {
    fn read(&self, path: &str) -> Result<String, String> {
        Err(path.to_owned())
    }
    fn environment(&self, name: &str) -> Option<String> {
        match name {
            "HOME" => Some("/root".to_owned()),
            "LIST" => Some("one two".to_owned()),
            _ => None,
        }
    }
    fn host_name(&self) -> String {
        "lb1".to_owned()
    }
    fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        match host {
            "localhost" => Ok(vec!["::1".parse().unwrap(), "127.0.0.1".parse().unwrap()]),
            "six" => Ok(vec!["2001:db8::6".parse().unwrap()]),
            _ => Err("unknown host".to_owned()),
        }
    }
    fn user_id(&self, name: &str) -> Option<u32> {
        (name == "haproxy").then_some(99)
    }
    fn primary_group(&self, _: &str) -> Option<u32> {
        None
    }

    fn group_id(&self, name: &str) -> Option<u32> {
        (name == "haproxy").then_some(98)
    }
}

/// A word as if written plainly.
pub(super) fn word(text: &str) -> Word {
    Word {
        text: text.to_string(),
        span: Span { file: FileId(0), start: 0, end: text.len() as u32 },
    }
}

/// Loads one text.
pub(super) fn load(text: &str) -> (Part, Vec<Diagnostic>) {
    let mut files = Files::default();
    let id = files.add("haproxy.cfg".into(), text.into());
    let mut diagnostics = Vec::new();
    let part = super::load(&Machine, &files, &[id], &mut diagnostics);
    (part, diagnostics)
}

/// The plan of a text without any finding.
pub(super) fn clean(text: &str) -> Part {
    let (part, diagnostics) = load(text);
    assert_eq!(diagnostics, [], "{text}");
    part
}

/// Findings as `12: error: message; help`.
pub(super) fn findings(text: &str) -> Vec<String> {
    let (_, diagnostics) = load(text);
    let mut files = Files::default();
    let id = files.add("haproxy.cfg".into(), text.into());
    diagnostics
        .iter()
        .map(|diagnostic| {
            let line = files.position(id, diagnostic.span.start).line;
            let severity = match diagnostic.severity {
                Severity::Note => "note",
                Severity::Warning => "warning",
                Severity::Error => "error",
            };
            let help = diagnostic.help.as_deref().unwrap_or("-");
            alloc::format!("{line}: {severity}: {}; {help}", diagnostic.message)
        })
        .collect()
}
