//! Where expanded text came from, and findings about it put back to where people wrote it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use super::line::{Line, Mark, Part, ViaId, parts};
use crate::diagnostic::Diagnostic;
use crate::source::{FileId, Span};

/// Notes added to a finding about expanded text.
const NOTES_MAX: usize = 4;
/// Characters of a value shown in such a note.
const SHOWN_MAX: usize = 60;

/// A reference that text came through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Via {
    /// Where the reference was written.
    pub(super) reference: Span,
    /// The definition it brought.
    pub(super) definition: u32,
    /// What brought the reference itself.
    pub(super) parent: ViaId,
}

/// All text that was expanded, line by line, and where its parts came from.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    vias: Vec<Via>,
    pub(super) text: String,
    marks: Vec<Mark>,
}

impl Origins {
    /// One more reference.
    pub(super) fn add_via(&mut self, via: Via) -> ViaId {
        self.vias.push(via);
        self.vias.len() as ViaId
    }

    /// The text, which findings are settled without.
    pub(crate) fn take_text(&mut self) -> String {
        core::mem::take(&mut self.text)
    }

    fn via(&self, id: ViaId) -> Option<&Via> {
        self.vias.get((id as usize).checked_sub(1)?)
    }

    /// The references that lead to a part, innermost first.
    pub(super) fn chain(&self, id: ViaId) -> impl Iterator<Item = &Via> {
        core::iter::successors(self.via(id), |via| self.via(via.parent))
    }

    /// Keeps an expanded line; returns its stretch of the whole text.
    pub(super) fn push(&mut self, line: &Line) -> Range<usize> {
        let start = self.text.len();
        for mark in line.marks() {
            self.marks.push(Mark { at: mark.at + start as u32, ..*mark });
        }
        self.text.push_str(line.text());
        self.text.push('\n');
        start..self.text.len()
    }

    /// Points a finding that is about expanded text to where people wrote that.
    pub(crate) fn settle(&self, text: &str, diagnostic: &mut Diagnostic) {
        if diagnostic.span.file == FileId::EXPANSION {
            let (place, notes) = self.written(text, diagnostic.span);
            diagnostic.span = place;
            diagnostic.related.extend(notes);
        }
        for (span, _) in &mut diagnostic.related {
            if span.file == FileId::EXPANSION {
                *span = self.written(text, *span).0;
            }
        }
    }

    fn written(&self, text: &str, span: Span) -> (Span, Vec<(Span, String)>) {
        let range = span.start as usize..span.end as usize;
        self.explain(parts(&self.marks, text.len(), range), text)
    }

    /// The place that parts of a text were written at, and what they came through.
    pub(super) fn explain(
        &self,
        parts: impl Iterator<Item = Part>,
        text: &str,
    ) -> (Span, Vec<(Span, String)>) {
        let mut place: Option<Span> = None;
        let mut notes: Vec<(Span, String)> = Vec::new();
        for part in parts {
            let used = self.chain(part.via).last().map_or(part.place, |via| via.reference);
            place = Some(place.map_or(used, |first| first.to(used)));
            if part.via != 0 && notes.len() < NOTES_MAX {
                let shown = text.get(part.start..part.end).unwrap_or("");
                let shown: String = shown.trim().chars().take(SHOWN_MAX).collect();
                let note = (part.place, format!("this gives \"{shown}\""));
                if part.place != used && !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
        (place.unwrap_or(Span { file: FileId(0), start: 0, end: 0 }), notes)
    }
}
