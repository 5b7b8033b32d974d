//! Diagnostics for people (like rustc's, with annotate-snippets) and for programs (JSON).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

use crate::diagnostic::{Diagnostic, Severity};
use crate::source::{Files, Span};

/// The diagnostics as text, each with `file:line:column`, the line itself and the way out.
pub fn text(files: &Files, diagnostics: &[Diagnostic], colours: bool) -> String {
    let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for diagnostic in diagnostics {
        out += &renderer.render(&[group(files, diagnostic)]);
        out += "\n\n";
    }
    out
}

fn group<'a>(files: &'a Files, diagnostic: &'a Diagnostic) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let mut places = alloc::vec![(diagnostic.span, AnnotationKind::Primary, None)];
    for (span, caption) in &diagnostic.related {
        places.push((*span, AnnotationKind::Context, Some(caption.as_str())));
    }
    let mut group =
        level.primary_title(diagnostic.message.as_str()).elements(snippets(files, &places));
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    group
}

type Place<'a> = (Span, AnnotationKind, Option<&'a str>);

/// One snippet per file, the file of the finding itself first.
fn snippets<'a>(
    files: &'a Files,
    places: &[Place<'a>],
) -> Vec<Snippet<'a, annotate_snippets::Annotation<'a>>> {
    let mut order = Vec::new();
    for (span, _, _) in places {
        if !order.contains(&span.file) {
            order.push(span.file);
        }
    }
    order
        .into_iter()
        .map(|id| {
            let file = files.file(id);
            if file.text.is_empty() {
                // Unreadable or empty: there is no line to show.
                return Snippet::source("").path(file.path.as_str());
            }
            let here = || places.iter().filter(|place| place.0.file == id);
            let (window, first_line) = window(&file.text, here().map(|place| place.0));
            let annotations = here().map(|&(span, kind, caption)| {
                let range = clamp(&file.text, span);
                kind.span(range.start - window.start..range.end - window.start).label(caption)
            });
            Snippet::source(&file.text[window.clone()])
                .path(file.path.as_str())
                .line_start(first_line)
                .annotations(annotations)
        })
        .collect()
}

/// The lines that all spans cover: rendering one finding of a large file must not scan it all.
fn window(text: &str, spans: impl Iterator<Item = Span>) -> (core::ops::Range<usize>, usize) {
    let mut start = text.len();
    let mut end = 0;
    for range in spans.map(|span| clamp(text, span)) {
        start = start.min(range.start);
        end = end.max(range.end);
    }
    let start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[end..].find('\n').map_or(text.len(), |newline| end + newline);
    let line = text[..start].bytes().filter(|&b| b == b'\n').count() + 1;
    (start..end.max(start), line)
}

/// The span as a range of character boundaries within the text.
fn clamp(text: &str, span: Span) -> core::ops::Range<usize> {
    let floor = |mut byte: usize| {
        byte = byte.min(text.len());
        while !text.is_char_boundary(byte) {
            byte -= 1;
        }
        byte
    };
    let start = floor(span.start as usize);
    start..floor(span.end as usize).max(start)
}

/// One finding in the JSON form. Lines and columns count from 1; the end is one past the last
/// character.
#[derive(Serialize)]
struct JsonFinding<'a> {
    file: &'a str,
    line: u32,
    column: u32,
    end_line: u32,
    end_column: u32,
    severity: &'static str,
    message: &'a str,
    help: Option<&'a str>,
    related: Vec<JsonPlace<'a>>,
}

#[derive(Serialize)]
struct JsonPlace<'a> {
    file: &'a str,
    line: u32,
    column: u32,
    end_line: u32,
    end_column: u32,
    message: &'a str,
}

/// The diagnostics as a JSON array.
pub fn json(files: &Files, diagnostics: &[Diagnostic]) -> String {
    let findings: Vec<JsonFinding<'_>> = diagnostics
        .iter()
        .map(|diagnostic| {
            let span = diagnostic.span;
            let (start, end) =
                (files.position(span.file, span.start), files.position(span.file, span.end));
            JsonFinding {
                file: &files.file(span.file).path,
                line: start.line,
                column: start.column,
                end_line: end.line,
                end_column: end.column,
                severity: diagnostic.severity.name(),
                message: &diagnostic.message,
                help: diagnostic.help.as_deref(),
                related: diagnostic
                    .related
                    .iter()
                    .map(|(span, caption)| json_place(files, *span, caption))
                    .collect(),
            }
        })
        .collect();
    // Strings and numbers only: cannot fail.
    serde_json::to_string_pretty(&findings).unwrap_or_else(|error| format!("\"{error}\""))
}

fn json_place<'a>(files: &'a Files, span: Span, message: &'a str) -> JsonPlace<'a> {
    let (start, end) = (files.position(span.file, span.start), files.position(span.file, span.end));
    JsonPlace {
        file: &files.file(span.file).path,
        line: start.line,
        column: start.column,
        end_line: end.line,
        end_column: end.column,
        message,
    }
}
