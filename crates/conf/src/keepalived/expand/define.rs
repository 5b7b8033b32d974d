//! `$NAME=VALUE`, over several lines too, and the parameters that are always there.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use super::line::Line;
use super::scan::is_blank;
use super::{Expander, Frame};

/// Most parameters that files may define.
const DEFINITIONS_MAX: usize = 1 << 20;

/// What a parameter stands for.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Lines as they were written. Parameters within them are replaced when they are used.
    Lines { lines: Rc<[Line]>, is_multiline: bool },
    /// `${_PWD}`: the directory of the file being read.
    Directory,
    /// `${_INSTANCE}`: the configuration id.
    Instance,
    /// `${_RANDOM [MIN [MAX]]}`
    Random,
    /// `${_ENV NAME}`: a variable of the environment.
    Environment,
    /// `${_HASH}` and `${_BANG}`.
    Sign(&'static str),
}

/// A parameter.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    /// Tells apart what one name stood for in the course of time.
    pub(super) id: u32,
    pub(super) value: Value,
}

/// All parameters by name.
#[derive(Debug)]
pub(super) struct Definitions {
    by_name: BTreeMap<String, Definition>,
    next_id: u32,
}

impl Definitions {
    /// The parameters that are always there.
    pub(super) fn new() -> Definitions {
        let mut definitions = Definitions { by_name: BTreeMap::new(), next_id: 0 };
        for (name, value) in [
            ("_PWD", Value::Directory),
            ("_INSTANCE", Value::Instance),
            ("_RANDOM", Value::Random),
            ("_ENV", Value::Environment),
            ("_HASH", Value::Sign("#")),
            ("_BANG", Value::Sign("!")),
        ] {
            definitions.set(name, value);
        }
        definitions
    }

    /// Defines a parameter, or defines it anew. False when there are too many.
    pub(super) fn set(&mut self, name: &str, value: Value) -> bool {
        self.next_id = self.next_id.wrapping_add(1);
        let definition = Definition { id: self.next_id, value };
        if let Some(known) = self.by_name.get_mut(name) {
            *known = definition;
        } else if self.by_name.len() < DEFINITIONS_MAX {
            self.by_name.insert(name.to_owned(), definition);
        } else {
            return false;
        }
        true
    }

    pub(super) fn find(&self, name: &str) -> Option<&Definition> {
        self.by_name.get(name)
    }
}

/// Length of the parameter name that a text begins with.
pub(super) fn name_length(text: &str) -> usize {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if text.as_bytes().first().is_none_or(u8::is_ascii_digit) {
        return 0;
    }
    text.bytes().take_while(|&b| is_name(b)).count()
}

/// Where the value begins, if the text is a definition.
fn value_start(text: &str) -> Option<(&str, usize)> {
    let rest = text.strip_prefix('$')?;
    let length = name_length(rest);
    let is_definition = length > 0 && rest[length..].starts_with('=');
    is_definition.then(|| (&rest[..length], length + 2))
}

impl Expander<'_> {
    /// Takes the line if it defines a parameter.
    pub(super) fn define(&mut self, line: &Line, is_continued: bool) -> bool {
        let Some((name, start)) = value_start(line.text()) else { return false };
        let first = line.slice(start..line.text().len()).trimmed();
        let name = name.to_owned();
        let is_multiline = is_continued && self.reads_file();
        let mut lines = alloc::vec![first];
        if is_multiline {
            if lines[0].text().is_empty() {
                lines.clear();
            }
            self.read_continuation(&name, &mut lines);
        }
        self.set(line, &name, lines, is_multiline);
        true
    }

    /// The other lines of a definition. A line that does not continue is the last; it counts
    /// unless there is nothing on it but a comment.
    fn read_continuation(&mut self, name: &str, lines: &mut Vec<Line>) {
        while let Some(next) = self.next_of_file() {
            if next.is_nearly_continued {
                let range = 0..next.line.text().len();
                let message = format!("blanks after the \\ end the definition of {name} here");
                self.warn(&next.line, range, message, "remove the blanks behind the \\");
            }
            if !next.line.text().is_empty() {
                lines.push(next.line);
            }
            if !next.is_continued {
                return;
            }
        }
    }

    fn set(&mut self, line: &Line, name: &str, lines: Vec<Line>, is_multiline: bool) {
        let is_multiline = is_multiline && !lines.is_empty();
        let lines = if lines.is_empty() { alloc::vec![Line::default()] } else { lines };
        let value = Value::Lines { lines: lines.into(), is_multiline };
        if !self.definitions.set(name, value) {
            self.stop(line, format!("more than {DEFINITIONS_MAX} parameters are defined"));
        }
    }

    /// Defines what a sequence counts.
    pub(super) fn set_counted(&mut self, line: &Line, name: &str, value: Line) {
        self.set(line, name, alloc::vec![value], false);
    }

    fn reads_file(&self) -> bool {
        matches!(self.frames.last(), Some(Frame::File(_)))
    }

    /// The text of a parameter that is always there; `None` after an error.
    pub(super) fn predefined(
        &mut self,
        value: &Value,
        parameters: &str,
        line: &Line,
        range: core::ops::Range<usize>,
    ) -> Option<String> {
        match value {
            Value::Lines { .. } => None,
            Value::Sign(sign) => Some((*sign).to_owned()),
            Value::Directory => Some(self.directory()),
            Value::Instance => Some(self.source.config_id()),
            Value::Random => self.random(parameters, line, range),
            Value::Environment => Some(self.variable(parameters, line, range)),
        }
    }

    fn variable(&mut self, name: &str, line: &Line, range: core::ops::Range<usize>) -> String {
        self.source.environment(name).unwrap_or_else(|| {
            self.warn(
                line,
                range,
                format!("the environment has no variable {name}; nothing is put here"),
                "set it where the program is started",
            );
            String::new()
        })
    }

    fn random(
        &mut self,
        parameters: &str,
        line: &Line,
        range: core::ops::Range<usize>,
    ) -> Option<String> {
        let mut bounds = [0u64, 32_767];
        for (bound, text) in bounds.iter_mut().zip(parameters.split(is_blank)) {
            if !text.is_empty() {
                *bound = text.parse().ok()?;
            }
        }
        let [least, most] = bounds;
        if least > most {
            let message =
                format!("the least random number, {least}, is more than the most, {most}");
            self.fail(line, range, message, "write ${_RANDOM MIN MAX} with MIN up to MAX");
        }
        Some(format!("{}", self.random.between(least, most)))
    }

    /// The directory of the file being read.
    fn directory(&self) -> String {
        self.open_files().next().map_or_else(String::new, |file| {
            self.source.directory_of(&self.files.file(file.file).path)
        })
    }
}
