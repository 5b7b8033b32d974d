//! Diagnostics are data with spans; renderers turn them into text or JSON.

use alloc::string::String;
use alloc::vec::Vec;

use crate::source::Span;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Good to know.
    Note,
    /// It loads, but probably does not do what was meant.
    Warning,
    /// It does not load.
    Error,
}

impl Severity {
    /// `error`, `warning` or `note`.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, one sentence without a full stop, beginning in lower case.
    pub message: String,
    /// Where.
    pub span: Span,
    /// Other places that matter, each with its caption (`first defined here`).
    pub related: Vec<(Span, String)>,
    /// The way out (`did you mean "lb_kind"?`).
    pub help: Option<String>,
    /// It loads in Keepalived too, but `keepalived -t` ends with 5 for it.
    pub fails_test: bool,
}

impl Diagnostic {
    fn new(severity: Severity, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity,
            message: message.into(),
            span,
            related: Vec::new(),
            help: None,
            fails_test: false,
        }
    }

    /// Something that does not load.
    pub fn error(span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Error, span, message)
    }

    /// Something that loads but is probably not meant.
    pub fn warning(span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Warning, span, message)
    }

    /// Something good to know.
    pub fn note(span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Note, span, message)
    }

    /// Adds the way out.
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// `keepalived -t` ends with 5 for it.
    pub fn failing_test(mut self) -> Diagnostic {
        self.fails_test = true;
        self
    }

    /// Adds another place that matters.
    pub fn related(mut self, span: Span, caption: impl Into<String>) -> Diagnostic {
        self.related.push((span, caption.into()));
        self
    }
}
