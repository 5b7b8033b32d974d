//! Files in, Plan or every diagnostic out.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use model::Plan;

use crate::detect::detect;
use crate::diagnostic::{Diagnostic, Severity};
use crate::haproxy;
use crate::keepalived;
use crate::lower;
use crate::row::Language;
use crate::source::{FileId, Files, Source, Span};

/// Longest file read. Spans are 32-bit and 40,000 real servers are 12 MiB.
pub(crate) const FILE_BYTES_MAX: usize = 64 << 20;
/// Most diagnostics reported; one more says how many were left out.
pub(crate) const DIAGNOSTICS_MAX: usize = 500;

/// What loading gave.
#[derive(Debug)]
pub struct Loaded {
    /// The plan; absent when there is any error.
    pub plan: Option<Plan>,
    /// Every finding, sorted by file and position.
    pub diagnostics: Vec<Diagnostic>,
    /// The texts that the spans point into.
    pub files: Files,
    /// What the files define, also when there are errors.
    pub summary: Summary,
}

/// How much the files define.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// VRRP instances.
    pub vrrp_instances: usize,
    /// VRRP sync groups.
    pub sync_groups: usize,
    /// Virtual servers.
    pub virtual_servers: usize,
    /// Real servers.
    pub real_servers: usize,
    /// Frontends.
    pub frontends: usize,
    /// Backends.
    pub backends: usize,
    /// Servers of backends.
    pub servers: usize,
    /// Errors found.
    pub errors: usize,
    /// Warnings found.
    pub warnings: usize,
}

impl fmt::Display for Summary {
    /// `2 VRRP instances, 1 virtual server, 4 real servers`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.vrrp_instances, "VRRP instance"),
            (self.sync_groups, "sync group"),
            (self.virtual_servers, "virtual server"),
            (self.real_servers, "real server"),
            (self.frontends, "frontend"),
            (self.backends, "backend"),
            (self.servers, "server"),
            (self.errors, "error"),
            (self.warnings, "warning"),
        ];
        let mut parts = counts.iter().filter(|(count, _)| *count > 0).peekable();
        if parts.peek().is_none() {
            return f.write_str("nothing defined");
        }
        for (number, (count, name)) in parts.enumerate() {
            let comma = if number > 0 { ", " } else { "" };
            let plural = if *count == 1 { "" } else { "s" };
            write!(f, "{comma}{count} {name}{plural}")?;
        }
        Ok(())
    }
}

/// Loads configuration files together. A file without a language is told apart by its content.
pub fn load(source: &dyn Source, files: &[(String, Option<Language>)]) -> Loaded {
    let mut diagnostics = Vec::new();
    let mut texts = Files::default();
    let mut keepalived_files = Vec::new();
    let mut haproxy_files = Vec::new();
    for (path, language) in files {
        let file = read(source, path, &mut texts, &mut diagnostics);
        let Some(file) = file else { continue };
        match language.or_else(|| detect(&texts.file(file).text)) {
            Some(Language::Keepalived) => keepalived_files.push(file),
            Some(Language::Haproxy) => haproxy_files.push(file),
            None if texts.file(file).text.trim().is_empty() => {
                diagnostics.push(Diagnostic::error(start_of(file), format!("{path} is empty")));
            }
            None => diagnostics.push(
                Diagnostic::error(
                    start_of(file),
                    format!("cannot tell whether {path} is a keepalived.conf or a haproxy.cfg"),
                )
                .help("say which with --keepalived or --haproxy"),
            ),
        }
    }

    let surroundings = keepalived::Surroundings::new(source);
    let mut parsed = keepalived::ast::Configuration::default();
    let origins = keepalived::load(
        &surroundings,
        &mut texts,
        &keepalived_files,
        &mut parsed,
        &mut diagnostics,
    );
    let proxies = haproxy::load(source, &texts, &haproxy_files, &mut diagnostics);
    let mut plan = lower::lower(parsed, proxies, &mut diagnostics);
    plan.has_keepalived = !keepalived_files.is_empty();
    plan.has_haproxy = !haproxy_files.is_empty();

    for diagnostic in &mut diagnostics {
        origins.settle(&texts.file(FileId::EXPANSION).text, diagnostic);
    }
    texts.set_expansion(None);
    let mut summary = count(&plan);
    finish(&mut diagnostics, &mut summary);
    Loaded { plan: (summary.errors == 0).then_some(plan), diagnostics, files: texts, summary }
}

fn start_of(file: FileId) -> Span {
    Span { file, start: 0, end: 0 }
}

/// The text of a file, without a byte order mark, which is no part of the first keyword.
pub(crate) fn text_of(source: &dyn Source, path: &str) -> Result<String, String> {
    let text = source.read(path)?;
    if text.len() > FILE_BYTES_MAX {
        let length = text.len();
        return Err(format!("cannot read {path}: {length} bytes are more than {FILE_BYTES_MAX}"));
    }
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_string(),
        None => text,
    })
}

fn read(
    source: &dyn Source,
    path: &str,
    texts: &mut Files,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<FileId> {
    let problem = match text_of(source, path) {
        Ok(text) => return Some(texts.add(path.to_string(), text)),
        Err(problem) => problem,
    };
    let file = texts.add(path.to_string(), String::new());
    diagnostics.push(Diagnostic::error(start_of(file), problem));
    None
}

fn count(plan: &Plan) -> Summary {
    Summary {
        vrrp_instances: plan.vrrp.instances.len(),
        sync_groups: plan.vrrp.sync_groups.len(),
        virtual_servers: plan.layer4.virtual_servers.len(),
        real_servers: plan.layer4.virtual_servers.iter().map(|v| v.real_servers.len()).sum(),
        frontends: plan.proxy.frontends.len(),
        backends: plan.proxy.backends.len(),
        servers: plan.proxy.backends.iter().map(|b| b.servers.len()).sum(),
        errors: 0,
        warnings: 0,
    }
}

/// Sorts, counts and bounds the diagnostics.
fn finish(diagnostics: &mut Vec<Diagnostic>, summary: &mut Summary) {
    let place = |d: &Diagnostic| (d.span.file, d.span.start, core::cmp::Reverse(d.severity));
    diagnostics.sort_by(|a, b| place(a).cmp(&place(b)).then_with(|| a.message.cmp(&b.message)));
    // A parameter used in many places, or a sequence, says the same thing many times.
    diagnostics.dedup_by(|a, b| a.span == b.span && a.message == b.message);
    let count = |severity| diagnostics.iter().filter(|d| d.severity == severity).count();
    summary.errors = count(Severity::Error);
    summary.warnings = count(Severity::Warning);
    bound(diagnostics, summary.errors);
}

/// Leaves out what is more than can be read, errors last.
fn bound(diagnostics: &mut Vec<Diagnostic>, errors: usize) {
    let Some(left_out) = diagnostics.len().checked_sub(DIAGNOSTICS_MAX).filter(|&n| n > 0) else {
        return;
    };
    let mut others_left = DIAGNOSTICS_MAX.saturating_sub(errors);
    diagnostics.retain(|diagnostic| {
        let is_error = diagnostic.severity == Severity::Error;
        if !is_error && others_left > 0 {
            others_left -= 1;
            return true;
        }
        is_error
    });
    diagnostics.truncate(DIAGNOSTICS_MAX);
    if let Some(last) = diagnostics.last() {
        let message = format!("{left_out} more findings left out");
        diagnostics.push(Diagnostic::note(last.span, message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_the_last_to_be_left_out() {
        let span = |start| Span { file: FileId(0), start, end: start };
        let mut diagnostics: Vec<Diagnostic> = (0..600)
            .map(|n| {
                let error = n >= 590;
                let new = if error { Diagnostic::error } else { Diagnostic::warning };
                new(span(n), "x".to_string())
            })
            .collect();
        let mut summary = Summary::default();
        finish(&mut diagnostics, &mut summary);
        assert_eq!((summary.errors, summary.warnings), (10, 590));
        assert_eq!(diagnostics.len(), DIAGNOSTICS_MAX + 1);
        assert_eq!(diagnostics.iter().filter(|d| d.severity == Severity::Error).count(), 10);
        assert_eq!(diagnostics[DIAGNOSTICS_MAX].message, "100 more findings left out");
    }

    #[test]
    fn a_summary_counts_what_there_is() {
        assert_eq!(Summary::default().to_string(), "nothing defined");
        let summary = Summary { vrrp_instances: 1, real_servers: 2, ..Summary::default() };
        assert_eq!(summary.to_string(), "1 VRRP instance, 2 real servers");
    }
}
