//! `include`, its stricter relatives, and `include_check`.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::line::Line;
use super::scan::is_blank;
use super::{Expander, FileFrame, Frame};
use crate::diagnostic::Diagnostic;
use crate::load::{FILE_BYTES_MAX, text_of};
use crate::source::glob::{self, is_wild};
use crate::source::{FileKind, parent};

/// Files included within each other at most.
pub(super) const INCLUDE_DEPTH_MAX: usize = 32;
/// Includes of one configuration at most.
pub(super) const INCLUDES_MAX: u32 = 20_000;

/// What must not go wrong with an include. Without a flag it is only warned of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checks {
    /// Files must be regular and readable.
    read: bool,
    /// A plain name must exist.
    r#match: bool,
    /// A pattern must match something.
    wildcard: bool,
    /// Every name of a brace expression must exist.
    brace: bool,
}

impl Checks {
    pub(super) const ALL: Checks =
        Checks { read: true, r#match: true, wildcard: true, brace: true };

    fn or(self, other: Checks) -> Checks {
        Checks {
            read: self.read || other.read,
            r#match: self.r#match || other.r#match,
            wildcard: self.wildcard || other.wildcard,
            brace: self.brace || other.brace,
        }
    }

    fn flag(&mut self, name: &str) -> Option<&mut bool> {
        match name {
            "read" => Some(&mut self.read),
            "match" => Some(&mut self.r#match),
            "wildcard_match" => Some(&mut self.wildcard),
            "brace_match" => Some(&mut self.brace),
            _ => None,
        }
    }

    /// What the letter behind `include` demands.
    fn of_letter(letter: &str) -> Option<Checks> {
        let none = Checks::default();
        match letter {
            "" => Some(none),
            "r" => Some(Checks { read: true, ..none }),
            "m" => Some(Checks { read: true, r#match: true, ..none }),
            "w" => Some(Checks { brace: false, ..Checks::ALL }),
            "b" => Some(Checks { read: true, brace: true, ..none }),
            "a" => Some(Checks::ALL),
            _ => None,
        }
    }
}

impl Expander<'_> {
    /// Takes the line if it includes files.
    pub(super) fn include(&mut self, line: &Line) -> bool {
        let text = line.text();
        let end = text.find(is_blank).unwrap_or(text.len());
        let Some(checks) = text[..end].strip_prefix("include").and_then(Checks::of_letter) else {
            return false;
        };
        let pattern = line.slice(end..text.len()).trimmed();
        if pattern.text().is_empty() {
            let message = format!("{} needs the name of a file", &text[..end]);
            self.fail(line, 0..end, message, "write a file name or a pattern after it");
            return true;
        }
        let checks = checks.or(self.checks);
        self.includes += 1;
        if self.includes > INCLUDES_MAX {
            self.stop(line, format!("more than {INCLUDES_MAX} files are included"));
            return true;
        }
        let paths = self.find_files(&pattern, checks);
        self.open(&pattern, paths, checks);
        true
    }

    /// The files a pattern names; reports what is missing.
    fn find_files(&mut self, line: &Line, checks: Checks) -> Vec<String> {
        let pattern = line.text();
        let directory = self.including_directory();
        let found = match glob::find(self.source, &directory, pattern) {
            Ok(found) => found,
            Err(problem) => {
                self.fail(line, 0..pattern.len(), problem, "write fewer alternatives");
                return Vec::new();
            }
        };
        let has_braces = pattern.contains('{');
        let (problem, is_error) = match (found.paths.is_empty(), found.is_missing) {
            (false, false) => return found.paths,
            (false, true) => (format!("some files of {pattern} are missing"), checks.brace),
            (true, true) if has_braces => (format!("{pattern} does not exist"), checks.brace),
            (true, true) => (format!("{pattern} does not exist"), checks.r#match),
            (true, false) => (format!("no file matches {pattern}"), checks.wildcard),
        };
        let help = if pattern.starts_with(['"', '\'']) {
            "quotation marks belong to the name here: leave them out"
        } else if is_error || is_wild(pattern) {
            "create it, or correct the name; names are relative to the file they stand in"
        } else {
            "nothing is included; create it, correct the name, or remove the line"
        };
        self.find_fault(line, problem, is_error, help);
        if is_error { Vec::new() } else { found.paths }
    }

    /// Puts files on the stack, so that the first one is read next.
    fn open(&mut self, line: &Line, paths: Vec<String>, checks: Checks) {
        let mut files = Vec::new();
        for path in paths {
            if let Some(problem) = unfit(self.source.kind(&path)) {
                let help = "only regular files that nobody may execute are read";
                self.find_fault(line, format!("{path} is {problem}"), checks.read, help);
                continue;
            }
            let identity = self.source.identity(&path);
            if !self.may_nest(line, &path, &identity) {
                return;
            }
            if let Some(frame) = self.read_file(line, path, identity, checks) {
                files.push(frame);
            }
        }
        files.reverse();
        self.push_frame(line, Frame::Files(files));
    }

    /// No file includes itself, and the nesting is bounded.
    fn may_nest(&mut self, line: &Line, path: &str, identity: &str) -> bool {
        let depth = self.open_files().count();
        let is_open = self.open_files().any(|file| file.identity == identity);
        let range = 0..line.text().len();
        if is_open {
            let message = format!("{path} is being read already: it would include itself");
            self.fail(line, range, message, "remove one of the includes");
        } else if depth >= INCLUDE_DEPTH_MAX {
            let message = format!("files include each other more than {INCLUDE_DEPTH_MAX} deep");
            self.fail(line, range, message, "include fewer files within each other");
        }
        !is_open && depth < INCLUDE_DEPTH_MAX
    }

    /// The text of a file, read once however often it is included.
    fn read_file(
        &mut self,
        line: &Line,
        path: String,
        identity: String,
        checks: Checks,
    ) -> Option<FileFrame> {
        let file = if let Some(&file) = self.read.get(&path) {
            file
        } else {
            let text = match text_of(self.source, &path) {
                Ok(text) => text,
                Err(problem) => {
                    let help = "let the program read it, or remove the line";
                    self.find_fault(line, problem, checks.read, help);
                    return None;
                }
            };
            self.bytes_read += text.len();
            if self.bytes_read > FILE_BYTES_MAX {
                let message = format!("included files have more than {FILE_BYTES_MAX} bytes");
                self.stop(line, message);
                return None;
            }
            let file = self.files.add(path.clone(), text);
            self.report_nul(file);
            self.read.insert(path, file);
            file
        };
        Some(FileFrame { file, identity, at: 0, checks: self.checks })
    }

    /// The directory that names of the file being read are relative to.
    fn including_directory(&self) -> String {
        let file = self.open_files().next();
        file.map_or_else(String::new, |file| parent(&self.files.file(file.file).path).to_owned())
    }

    /// The files being read, the innermost first.
    pub(super) fn open_files(&self) -> impl Iterator<Item = &FileFrame> {
        self.frames.iter().rev().filter_map(|frame| match frame {
            Frame::File(file) => Some(file),
            Frame::Files(_) | Frame::Body(_) | Frame::Sequence(_) | Frame::Rest(_) => None,
        })
    }

    fn find_fault(&mut self, line: &Line, message: String, is_error: bool, help: &str) {
        let range = 0..line.text().len();
        let (place, notes) = self.origins.explain(line.parts(range), line.text());
        let diagnostic = if is_error {
            Diagnostic::error(place, message)
        } else {
            Diagnostic::warning(place, message)
        };
        let mut diagnostic = diagnostic.help(help);
        diagnostic.related = notes;
        self.diagnostics.push(diagnostic);
    }

    /// `include_check [+|-]read|match|wildcard_match|brace_match...`: from here to the end of
    /// the file.
    pub(super) fn set_checks(&mut self, line: &Line) {
        let text = line.text();
        let code = text.split(['#', '!', '{', '}']).next().unwrap_or("");
        let mut words = words(code).skip(1).peekable();
        if words.peek().is_none() {
            self.checks = Checks::ALL;
            return;
        }
        let mut checks = self.checks;
        let mut problems = Vec::new();
        for (number, range) in words.enumerate() {
            let word = &code[range.clone()];
            let (sign, name) = match word.as_bytes()[0] {
                sign @ (b'+' | b'-') => (Some(sign), &word[1..]),
                _ => (None, word),
            };
            if sign.is_none() && number > 0 {
                problems
                    .push((range, format!("{word} needs a + or - because it is not the first")));
                continue;
            }
            if sign.is_none() {
                checks = Checks { read: true, ..Checks::default() };
            }
            match checks.flag(name) {
                Some(flag) => *flag = sign != Some(b'-'),
                None => problems.push((range, format!("\"{name}\" is no check of include"))),
            }
        }
        self.checks = checks;
        for (range, message) in problems {
            self.fail(line, range, message, "write read, match, wildcard_match or brace_match");
        }
    }
}

/// Ranges of the words of a text.
pub(super) fn words(text: &str) -> impl Iterator<Item = core::ops::Range<usize>> + '_ {
    let start = move |word: &str| word.as_ptr() as usize - text.as_ptr() as usize;
    text.split(is_blank)
        .filter(|word| !word.is_empty())
        .map(move |word| start(word)..start(word) + word.len())
}

/// Why a path cannot be included.
fn unfit(kind: FileKind) -> Option<&'static str> {
    match kind {
        FileKind::Regular | FileKind::Missing => None,
        FileKind::Executable => Some("executable and is passed over"),
        FileKind::Directory => Some("a directory and is passed over"),
        FileKind::Other => Some("no regular file and is passed over"),
    }
}
