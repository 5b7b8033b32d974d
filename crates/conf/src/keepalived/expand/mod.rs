//! What happens to a keepalived.conf before its words mean anything: files are included,
//! conditions hold or not, parameters are replaced and sequences written out.
//!
//! The expansion works on lines. A stack holds what is being read: files, the lines of a
//! parameter, sequences, and what stands behind a brace; the next line always comes from its top.
//! Lines with nothing to expand, which are nearly all, stay where they are: the result is a list
//! of [`Stretch`]es of the files themselves and, where something was replaced, of one text that
//! [`Origins`] knows the places of.

mod condition;
mod define;
mod include;
mod line;
mod origin;
mod random;
mod scan;
mod sequence;
mod substitute;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use crate::diagnostic::Diagnostic;
use crate::source::{FileId, Files, Source, Span};
use define::Definitions;
use include::Checks;
use line::{Line, ViaId};
pub(crate) use origin::Origins;
use random::Random;
use sequence::Sequence;

/// Parameters that refer to each other, and lines within lines, at most.
pub(super) const DEPTH_MAX: usize = 64;
/// Things being read at a time: files, parameters, sequences and rests of lines.
const FRAMES_MAX: usize = 4 * DEPTH_MAX;
/// Longest line that parameters may make. Keepalived's own bound is 1,023 bytes.
pub(super) const LINE_BYTES_MAX: usize = 16 << 10;
/// Most text that is written out.
const EXPANDED_BYTES_MAX: usize = 64 << 20;
/// Most lines that are looked at more closely.
const LINES_MAX: u64 = 4 << 20;
/// Most bytes moved to replace parameters: about a second.
const MOVED_BYTES_MAX: u64 = 4 << 30;

/// A piece of the configuration, in the order it is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// The file, or [`FileId::EXPANSION`].
    pub(crate) file: FileId,
    /// First byte.
    pub(crate) start: usize,
    /// One past the last byte.
    pub(crate) end: usize,
}

/// Expands a configuration. Included files are added to `files`, expanded text to `origins`.
pub(crate) fn expand(
    source: &dyn Source,
    files: &mut Files,
    root: FileId,
    origins: &mut Origins,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Stretch> {
    let found = diagnostics.len();
    let seed = source.random_seed();
    let mut expander = Expander::new(source, files, origins, diagnostics, seed);
    let stretches = expander.run(root);
    match expander.wanted_seed.filter(|&wanted| expander.random.drawn > 0 && wanted != seed) {
        // `random_seed` counts from the beginning, wherever it stands.
        Some(wanted) => {
            diagnostics.truncate(found);
            Expander::new(source, files, origins, diagnostics, wanted).run(root)
        }
        None => stretches,
    }
}

/// Something that lines come from.
enum Frame {
    File(FileFrame),
    /// Files to read one after the other, the first one last.
    Files(Vec<FileFrame>),
    Body(Body),
    Sequence(Sequence),
    /// What follows a brace.
    Rest(Line),
}

/// A file being read.
struct FileFrame {
    file: FileId,
    identity: String,
    /// The next byte.
    at: usize,
    /// The checks to go back to at its end.
    checks: Checks,
}

/// The other lines of a parameter.
struct Body {
    lines: Rc<[Line]>,
    next: usize,
    via: ViaId,
}

/// A line of a file without its comment.
struct FileLine {
    line: Line,
    is_continued: bool,
    is_nearly_continued: bool,
}

struct Expander<'e> {
    source: &'e dyn Source,
    files: &'e mut Files,
    origins: &'e mut Origins,
    diagnostics: &'e mut Vec<Diagnostic>,
    config_id: String,
    definitions: Definitions,
    frames: Vec<Frame>,
    checks: Checks,
    random: Random,
    wanted_seed: Option<u32>,
    stretches: Vec<Stretch>,
    /// Files by the path they were included by.
    read: BTreeMap<String, FileId>,
    includes: u32,
    bytes_read: usize,
    lines: u64,
    moved_bytes: u64,
    is_stopped: bool,
}

impl<'e> Expander<'e> {
    fn new(
        source: &'e dyn Source,
        files: &'e mut Files,
        origins: &'e mut Origins,
        diagnostics: &'e mut Vec<Diagnostic>,
        seed: u32,
    ) -> Expander<'e> {
        Expander {
            source,
            files,
            origins,
            diagnostics,
            config_id: source.config_id(),
            definitions: Definitions::new(),
            frames: Vec::new(),
            checks: if source.must_find_includes() { Checks::ALL } else { Checks::default() },
            random: Random::new(seed),
            wanted_seed: None,
            stretches: Vec::new(),
            read: BTreeMap::new(),
            includes: 0,
            bytes_read: 0,
            lines: 0,
            moved_bytes: 0,
            is_stopped: false,
        }
    }

    fn run(&mut self, root: FileId) -> Vec<Stretch> {
        self.report_nul(root);
        let identity = self.source.identity(&self.files.file(root).path);
        let checks = self.checks;
        self.frames.push(Frame::File(FileFrame { file: root, identity, at: 0, checks }));
        while let Some((line, is_continued)) = self.next_line() {
            self.lines += 1;
            if self.lines > LINES_MAX {
                self.stop(&line, format!("more than {LINES_MAX} lines are written out"));
            } else {
                self.handle_line(line, is_continued);
            }
        }
        if self.is_stopped {
            // Half of a configuration has errors of its own, perhaps millions.
            self.stretches.clear();
        }
        core::mem::take(&mut self.stretches)
    }

    /// The next line that is more than it seems; those that are not go to the result at once.
    fn next_line(&mut self) -> Option<(Line, bool)> {
        loop {
            match self.frames.last_mut()? {
                Frame::File(_) => {
                    self.pass_plain_lines();
                    if let Some(next) = self.next_of_file() {
                        return Some((next.line, next.is_continued));
                    }
                    self.end_file();
                }
                Frame::Files(files) => match files.pop() {
                    Some(file) => self.frames.push(Frame::File(file)),
                    None => {
                        self.frames.pop();
                    }
                },
                Frame::Body(body) => {
                    let next = body.lines.get(body.next).map(|line| (line, body.via));
                    body.next += 1;
                    if let Some((line, via)) = next {
                        let mut whole = Line::default();
                        whole.append(line, Some(via));
                        return Some((whole, false));
                    }
                    self.frames.pop();
                }
                Frame::Sequence(_) => {
                    if let Some(line) = self.next_of_sequence() {
                        return Some((line, false));
                    }
                    self.frames.pop();
                }
                Frame::Rest(line) => {
                    let line = core::mem::take(line);
                    self.frames.pop();
                    return Some((line, false));
                }
            }
        }
    }

    fn end_file(&mut self) {
        if let Some(Frame::File(file)) = self.frames.pop() {
            self.checks = file.checks;
        }
    }

    /// Puts all lines up to the next one with something to expand into the result.
    fn pass_plain_lines(&mut self) {
        let Some(Frame::File(frame)) = self.frames.last_mut() else { return };
        let text = &self.files.file(frame.file).text;
        let start = frame.at;
        for line in text[start..].split_inclusive('\n') {
            if !scan::is_plain(line.as_bytes()) {
                break;
            }
            frame.at += line.len();
        }
        let stretch = Stretch { file: frame.file, start, end: frame.at };
        self.add(stretch);
    }

    /// The next line of the file on top, whatever it is.
    fn next_of_file(&mut self) -> Option<FileLine> {
        let Some(Frame::File(frame)) = self.frames.last_mut() else { return None };
        let (file, start) = (frame.file, frame.at);
        let rest = &self.files.file(file).text[start..];
        let raw = rest.split_inclusive('\n').next()?;
        frame.at += raw.len();
        let text = raw.trim_end_matches(['\n', '\r']);
        let code = scan::code(text);
        let line = Line::verbatim(file, start, &text[..code.end]);
        let found = FileLine {
            is_continued: code.is_continued,
            is_nearly_continued: code.is_nearly_continued && code.comment.is_none(),
            line: line.trimmed(),
        };
        let sign = code.comment.filter(|_| !text[..code.end].ends_with(scan::is_blank));
        if let Some(sign) = sign.filter(|_| code.end > 0) {
            self.warn_of_glued_comment(&found.line, sign);
        }
        Some(found)
    }

    fn warn_of_glued_comment(&mut self, line: &Line, sign: char) {
        let text = line.text();
        let start = text.rfind([' ', '\t', '{', '}']).map_or(0, |blank| blank + 1);
        if start < text.len() {
            let (place, _) = self.origins.explain(line.parts(start..text.len()), text);
            let diagnostic = super::lexer::glued_comment(place, &text[start..], sign);
            self.diagnostics.push(diagnostic);
        }
    }

    fn handle_line(&mut self, mut line: Line, is_continued: bool) {
        loop {
            line = line.trimmed();
            if line.text().starts_with('@') {
                let Some(rest) = condition::apply(&mut line, &self.config_id) else { return };
                line = rest;
                continue;
            }
            if self.define(&line, is_continued) || self.begin_sequence(&line) {
                return;
            }
            if line.text().starts_with('~') || !line.text().contains('$') {
                break;
            }
            match self.substitute(&mut line) {
                Some(true) => {}
                Some(false) => break,
                None => return,
            }
        }
        if line.text().is_empty() {
            return;
        }
        if is_continued {
            self.warn(
                &line,
                0..line.text().len(),
                String::from("a \\ at the end of a line continues definitions ($NAME=...) only"),
                "remove it",
            );
        }
        if !self.include(&line) {
            self.emit(line);
        }
    }

    /// Puts a line into the result, up to a brace that something to expand follows.
    fn emit(&mut self, mut line: Line) {
        let rest = scan::cut_behind_brace(line.text()).map(|at| line.split_off(at).trimmed());
        if let Some(rest) = rest.filter(|rest| !rest.text().is_empty()) {
            self.push_frame(&line, Frame::Rest(rest));
        }
        self.control(&line);
        let stretch = match line.stands_at() {
            Some(place) => {
                Stretch { file: place.file, start: place.start as usize, end: place.end as usize }
            }
            None => {
                let range = self.origins.push(&line);
                Stretch { file: FileId::EXPANSION, start: range.start, end: range.end }
            }
        };
        self.add(stretch);
        if self.origins.text.len() > EXPANDED_BYTES_MAX {
            self.stop(&line, format!("more than {EXPANDED_BYTES_MAX} bytes are written out"));
        }
    }

    /// Lines that are also about the expansion itself.
    fn control(&mut self, line: &Line) {
        let mut words = include::words(line.text());
        let Some(first) = words.next() else { return };
        match &line.text()[first] {
            "include_check" => self.set_checks(line),
            "random_seed" => {
                let seed = words.next().and_then(|word| line.text()[word].parse().ok());
                self.wanted_seed = seed.or(self.wanted_seed);
            }
            _ => {}
        }
    }

    fn add(&mut self, stretch: Stretch) {
        if stretch.start == stretch.end {
            return;
        }
        match self.stretches.last_mut() {
            Some(last) if last.file == stretch.file && last.end == stretch.start => {
                last.end = stretch.end;
            }
            _ => self.stretches.push(stretch),
        }
    }

    /// Lines come from `frame` next. False when too much is nested.
    fn push_frame(&mut self, line: &Line, frame: Frame) -> bool {
        if self.is_stopped {
            return false;
        }
        if self.frames.len() >= FRAMES_MAX {
            let message =
                format!("more than {FRAMES_MAX} definitions, sequences and files are nested");
            self.stop(line, message);
            return false;
        }
        self.frames.push(frame);
        true
    }

    /// Accounts for work. False when there was too much of it.
    fn spend(&mut self, line: &Line, bytes: u64) -> bool {
        self.moved_bytes = self.moved_bytes.saturating_add(bytes);
        if self.moved_bytes > MOVED_BYTES_MAX {
            self.stop(line, format!("more than {MOVED_BYTES_MAX} bytes are moved by parameters"));
        }
        !self.is_stopped
    }

    /// Gives up: a bound was passed.
    fn stop(&mut self, line: &Line, message: String) {
        if !self.is_stopped {
            self.is_stopped = true;
            let help = "look for definitions, sequences or files that repeat each other";
            self.fail(line, 0..line.text().len(), message, help);
        }
        self.frames.clear();
    }

    fn fail(&mut self, line: &Line, range: Range<usize>, message: String, help: &str) {
        let diagnostic = self.about(line, range, message);
        self.diagnostics.push(diagnostic.help(help));
    }

    fn warn(&mut self, line: &Line, range: Range<usize>, message: String, help: &str) {
        let error = self.about(line, range, message);
        let mut diagnostic = Diagnostic::warning(error.span, error.message).help(help);
        diagnostic.related = error.related;
        self.diagnostics.push(diagnostic);
    }

    fn about(&self, line: &Line, range: Range<usize>, message: String) -> Diagnostic {
        let (place, notes) = self.origins.explain(line.parts(range), line.text());
        let mut diagnostic = Diagnostic::error(place, message);
        diagnostic.related = notes;
        diagnostic
    }

    /// Keepalived reads a line only up to a NUL byte; nobody means that.
    fn report_nul(&mut self, file: FileId) {
        let text = &self.files.file(file).text;
        let Some(first) = text.find('\0') else { return };
        let count = text.bytes().filter(|&b| b == 0).count();
        let start = first as u32;
        let diagnostic = Diagnostic::error(
            Span { file, start, end: start + 1 },
            format!("{count} NUL bytes in this file, the first one here"),
        )
        .help("save the file as UTF-8 text; a damaged disk or UTF-16 looks like this");
        self.diagnostics.push(diagnostic);
    }
}
