//! A line on its way through the expansion: its text, and for each part of it where that was
//! written.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use crate::source::{FileId, Span};

/// Number of a [`super::origin::Via`]; zero for text that stands where it was written.
pub(super) type ViaId = u32;

/// From `at` to the next mark, the text was written at `place`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// Where the part begins in the text.
    pub(super) at: u32,
    /// Where it was written. Byte by byte if the lengths are equal; as a whole otherwise.
    pub(super) place: Span,
    /// The reference that brought it here.
    pub(super) via: ViaId,
}

/// A line, or a part of one.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    text: String,
    marks: Vec<Mark>,
}

/// A part of a line and where it came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) place: Span,
    pub(super) via: ViaId,
}

impl Part {
    /// The place of a stretch of this part.
    pub(super) fn narrowed(mut self, range: Range<usize>) -> Part {
        let start = range.start.clamp(self.start, self.end);
        let end = range.end.clamp(start, self.end);
        if (self.place.end - self.place.start) as usize == self.end - self.start {
            self.place.end = self.place.start + (end - self.start) as u32;
            self.place.start += (start - self.start) as u32;
        }
        Part { start, end, ..self }
    }
}

/// The parts of `text_len` bytes under `marks` that touch `range`.
pub(super) fn parts(
    marks: &[Mark],
    text_len: usize,
    range: Range<usize>,
) -> impl Iterator<Item = Part> + '_ {
    let first = marks.partition_point(|mark| mark.at as usize <= range.start).saturating_sub(1);
    marks[first..]
        .iter()
        .enumerate()
        .map(move |(number, mark)| {
            let end = marks.get(first + number + 1).map_or(text_len, |next| next.at as usize);
            Part { start: mark.at as usize, end, place: mark.place, via: mark.via }
        })
        .take_while(move |part| part.start < range.end || part.start == range.start)
        .map(move |part| part.narrowed(range.clone()))
}

impl Line {
    /// Text as it stands in a file from byte `start` on.
    pub(super) fn verbatim(file: FileId, start: usize, text: &str) -> Line {
        let start = start as u32;
        let place = Span { file, start, end: start + text.len() as u32 };
        Line::written_at(text, place, 0)
    }

    /// Text that stands for what was written at `place`.
    pub(super) fn written_at(text: &str, place: Span, via: ViaId) -> Line {
        let mut line = Line::default();
        line.append_part(text, place, via);
        line
    }

    /// The text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Where its parts came from.
    pub(super) fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// The parts that touch a range.
    pub(super) fn parts(&self, range: Range<usize>) -> impl Iterator<Item = Part> + '_ {
        parts(&self.marks, self.text.len(), range)
    }

    /// The place of a file where all of it stands just so.
    pub(super) fn stands_at(&self) -> Option<Span> {
        match self.marks.as_slice() {
            [mark] if mark.via == 0 && mark.length() == self.text.len() => Some(mark.place),
            _ => None,
        }
    }

    fn append_part(&mut self, text: &str, place: Span, via: ViaId) {
        if text.is_empty() {
            return;
        }
        let continues = self.marks.last().is_some_and(|last| {
            last.via == via
                && last.place.file == place.file
                && last.place.end == place.start
                && last.length() == self.text.len() - last.at as usize
                && (place.end - place.start) as usize == text.len()
        });
        match self.marks.last_mut() {
            Some(last) if continues => last.place.end = place.end,
            _ => self.marks.push(Mark { at: self.text.len() as u32, place, via }),
        }
        self.text.push_str(text);
    }

    /// Puts another line behind this one; its parts came by `via` if that is given.
    pub(super) fn append(&mut self, other: &Line, via: Option<ViaId>) {
        for part in other.parts(0..other.text.len()) {
            let text = &other.text[part.start..part.end];
            self.append_part(text, part.place, via.unwrap_or(part.via));
        }
    }

    /// Cuts the line at a byte and returns what follows.
    pub(super) fn split_off(&mut self, at: usize) -> Line {
        let tail = self.slice(at..self.text.len());
        self.truncate(at);
        tail
    }

    /// Cuts the line at a byte.
    pub(super) fn truncate(&mut self, at: usize) {
        let Some(last) = self.parts(0..at).last().filter(|_| at > 0) else {
            *self = Line::default();
            return;
        };
        self.marks.retain(|mark| (mark.at as usize) < at);
        if let Some(mark) = self.marks.last_mut() {
            mark.place = last.place;
        }
        self.text.truncate(at);
    }

    /// A part of it.
    pub(super) fn slice(&self, range: Range<usize>) -> Line {
        let mut line = Line::default();
        for part in self.parts(range.clone()) {
            line.append_part(&self.text[part.start..part.end], part.place, part.via);
        }
        line
    }

    /// Without blanks at both ends.
    pub(super) fn trimmed(mut self) -> Line {
        let end = self.text.trim_end_matches(super::scan::is_blank).len();
        if end < self.text.len() {
            self.truncate(end);
        }
        let start = self.text.len() - self.text.trim_start_matches(super::scan::is_blank).len();
        if start > 0 { self.split_off(start) } else { self }
    }

    /// Replaces a stretch by another line.
    pub(super) fn replace(&mut self, range: Range<usize>, with: &Line, via: Option<ViaId>) {
        let tail = self.slice(range.end..self.text.len());
        self.truncate(range.start);
        self.append(with, via);
        self.append(&tail, None);
    }
}

impl Mark {
    fn length(&self) -> usize {
        (self.place.end - self.place.start) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(start: u32, end: u32) -> Span {
        Span { file: FileId(0), start, end }
    }

    #[test]
    fn a_replaced_stretch_keeps_the_places_around_it() {
        let mut line = Line::verbatim(FileId(0), 100, "ab${X}cd");
        line.replace(2..6, &Line::verbatim(FileId(0), 7, "value"), Some(3));
        assert_eq!(line.text(), "abvaluecd");
        let places: Vec<_> = line.parts(0..9).map(|part| (part.place, part.via)).collect();
        assert_eq!(places, [(place(100, 102), 0), (place(7, 12), 3), (place(106, 108), 0)]);
        assert_eq!(line.parts(3..4).next().map(|part| part.place), Some(place(8, 9)));
        assert_eq!(line.stands_at(), None);
    }

    #[test]
    fn what_is_cut_and_joined_again_stands_where_it_stood() {
        let mut line = Line::verbatim(FileId(0), 10, "  abcdef ").trimmed();
        assert_eq!((line.text(), line.stands_at()), ("abcdef", Some(place(12, 18))));
        let tail = line.split_off(2);
        assert_eq!(
            (line.stands_at(), tail.stands_at()),
            (Some(place(12, 14)), Some(place(14, 18)))
        );
        line.append(&tail, None);
        assert_eq!(line.stands_at(), Some(place(12, 18)));
        line.truncate(0);
        assert!(line.text().is_empty() && line.marks().is_empty());
    }
}
