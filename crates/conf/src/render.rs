//! Diagnostics for people (like rustc's, with annotate-snippets) and for programs (JSON).

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

use crate::diagnostic::{Diagnostic, Severity};
use crate::source::{FileId, Files, Span};

/// The diagnostics as text, each with `file:line:column`, the line itself and the way out.
pub fn text(files: &Files, diagnostics: &[Diagnostic], colours: bool) -> String {
    let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    let mut lines = Lines::default();
    for diagnostic in diagnostics {
        out += &renderer.render(&[group(files, &mut lines, diagnostic)]);
        out += "\n\n";
    }
    out
}

fn group<'a>(files: &'a Files, lines: &mut Lines, diagnostic: &'a Diagnostic) -> Group<'a> {
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
        level.primary_title(diagnostic.message.as_str()).elements(snippets(files, lines, &places));
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    group
}

type Place<'a> = (Span, AnnotationKind, Option<&'a str>);

/// Places of a file that are further apart than this are shown apart: all lines between them would
/// be looked at.
const APART: u32 = 64 << 10;

/// One snippet per file, or per neighbourhood of a large one; that of the finding itself first.
fn snippets<'a>(
    files: &'a Files,
    lines: &mut Lines,
    places: &[Place<'a>],
) -> Vec<Snippet<'a, annotate_snippets::Annotation<'a>>> {
    let mut order: Vec<Vec<Place<'a>>> = Vec::new();
    for place in places {
        let near = |other: &Place<'a>| {
            other.0.file == place.0.file && other.0.start.abs_diff(place.0.start) <= APART
        };
        match order.iter_mut().find(|together| together.iter().all(near)) {
            Some(together) => together.push(*place),
            None => order.push(alloc::vec![*place]),
        }
    }
    order
        .into_iter()
        .map(|here| {
            let id = here[0].0.file;
            let file = files.file(id);
            if file.text.is_empty() {
                // Unreadable or empty: there is no line to show.
                return Snippet::source("").path(file.path.as_str());
            }
            let window = window(&file.text, here.iter().map(|place| place.0));
            let first_line = lines.before(id, &file.text, window.start) + 1;
            let annotations = here.iter().map(|&(span, kind, caption)| {
                let range = clamp(&file.text, span);
                kind.span(range.start - window.start..range.end - window.start).label(caption)
            });
            let annotations: Vec<_> = annotations.collect();
            Snippet::source(&file.text[window])
                .path(file.path.as_str())
                .line_start(first_line)
                .annotations(annotations)
        })
        .collect()
}

/// Ends of lines before each block of each file, counted once.
#[derive(Default)]
struct Lines(BTreeMap<FileId, Vec<usize>>);

/// Bytes of a block.
const BLOCK: usize = 16 << 10;

impl Lines {
    /// Ends of lines before this place.
    fn before(&mut self, file: FileId, text: &str, at: usize) -> usize {
        let ends = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'\n').count();
        let blocks = self.0.entry(file).or_insert_with(|| {
            let before = text.as_bytes().chunks(BLOCK).scan(0, |sum, block| {
                let before = *sum;
                *sum += ends(block);
                Some(before)
            });
            before.collect()
        });
        let block = (at / BLOCK).min(blocks.len().saturating_sub(1));
        let before = blocks.get(block).copied().unwrap_or_default();
        before + ends(&text.as_bytes()[(block * BLOCK).min(at)..at])
    }
}

/// The lines that all spans cover: rendering one finding of a large file must not scan it all.
fn window(text: &str, spans: impl Iterator<Item = Span>) -> core::ops::Range<usize> {
    let mut start = text.len();
    let mut end = 0;
    for range in spans.map(|span| clamp(text, span)) {
        start = start.min(range.start);
        end = end.max(range.end);
    }
    let start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[end..].find('\n').map_or(text.len(), |newline| end + newline);
    start..end.max(start)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_far_apart_in_a_large_file_are_shown_with_their_lines() {
        let mut files = Files::default();
        let line = "# some words\n";
        let count = 20_000;
        let file = files.add("large.conf".into(), line.repeat(count));
        let span = |line_number: usize| {
            let start = (line_number * line.len()) as u32;
            Span { file, start, end: start + 6 }
        };
        let finding = Diagnostic::warning(span(count - 1), "here").related(span(1), "there");
        let shown = text(&files, &[finding], false);
        assert!(
            shown.contains("large.conf:20000:1") && shown.contains("large.conf:2:1"),
            "{shown}"
        );
        assert!(shown.lines().count() < 20, "{shown}");
    }
}
