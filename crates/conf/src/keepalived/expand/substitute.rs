//! `$NAME` and `${NAME}` become what they stand for, again and again until nothing is left.

use alloc::format;
use alloc::string::String;
use core::ops::Range;

use super::define::{Value, name_length};
use super::line::{Line, Part, ViaId};
use super::origin::Via;
use super::{Body, DEPTH_MAX, Expander, Frame, LINE_BYTES_MAX};
use crate::source::Span;

/// `$NAME`, `${NAME}` or `${NAME PARAMETERS}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reference<'t> {
    name: &'t str,
    parameters: &'t str,
    length: usize,
    /// It is the last thing on its line.
    is_last: bool,
}

/// The reference that a text begins with.
fn reference(text: &str) -> Option<Reference<'_>> {
    let rest = text.strip_prefix('$')?;
    let (braces, rest) = match rest.strip_prefix('{') {
        Some(rest) => (2, rest),
        None => (0, rest),
    };
    let name = &rest[..name_length(rest)];
    if name.is_empty() {
        return None;
    }
    let behind = &rest[name.len()..];
    if braces == 0 {
        let ends = behind.is_empty() || behind.starts_with([' ', '\t', ',', ')']);
        let length = 1 + name.len();
        let is_last = behind.is_empty();
        return ends.then_some(Reference { name, parameters: "", length, is_last });
    }
    let (parameters, behind) = behind.split_once('}')?;
    let is_parameter = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'\t' | b'_');
    let trimmed = parameters.trim_start_matches([' ', '\t']);
    if !parameters.bytes().all(is_parameter) || trimmed.ends_with([' ', '\t']) {
        return None;
    }
    let length = 1 + braces + name.len() + parameters.len();
    Some(Reference { name, parameters: trimmed, length, is_last: behind.is_empty() })
}

/// What a reference led to.
enum Step {
    /// It was replaced.
    Replaced,
    /// It stays as it is.
    Kept,
    /// Nothing after it is to be looked at now.
    Ended,
    /// The line cannot be used.
    Failed,
}

impl Expander<'_> {
    /// Replaces every parameter of the line. Says whether there was one; `None` if the line
    /// cannot be used.
    pub(super) fn substitute(&mut self, line: &mut Line) -> Option<bool> {
        let mut is_changed = false;
        let mut at = 0;
        while let Some(sign) = line.text()[at..].find('$') {
            at += sign;
            match self.substitute_one(line, at) {
                Step::Replaced => is_changed = true,
                Step::Kept => at += 1,
                Step::Ended => return Some(true),
                Step::Failed => return None,
            }
        }
        Some(is_changed)
    }

    fn substitute_one(&mut self, line: &mut Line, at: usize) -> Step {
        let text = String::from(&line.text()[at..]);
        let Some(found) = reference(&text) else { return Step::Kept };
        let range = at..at + found.length;
        let Some((name, definition)) = self.definition_of(&found) else { return Step::Kept };
        let (id, value) = (definition.id, definition.value.clone());
        let parameters = if name == found.name { found.parameters } else { &found.name[4..] };
        if !is_fit(&value, parameters) {
            return Step::Kept;
        }
        if !self.spend(line, line.text().len() as u64 + 1) {
            return Step::Failed;
        }
        let Some(part) = line.parts(range.clone()).next() else { return Step::Kept };
        match value {
            Value::Lines { lines, is_multiline } => {
                if is_multiline && !found.is_last {
                    let message = format!("{name} has several lines and does not end its line");
                    self.fail(line, range, message, "put nothing after it on its line");
                    return Step::Failed;
                }
                let Some(via) = self.enter(line, range.clone(), part, id, is_multiline, name)
                else {
                    return Step::Failed;
                };
                let Some(first) = lines.first() else { return Step::Kept };
                let first = first.clone();
                if is_multiline && !self.push_frame(line, Frame::Body(Body { lines, next: 1, via }))
                {
                    return Step::Failed;
                }
                self.put(line, range, &first, Some(via))
            }
            Value::Directory
            | Value::Instance
            | Value::Random
            | Value::Environment
            | Value::Sign(_) => {
                let Some(text) = self.predefined(&value, parameters, line, range.clone()) else {
                    return Step::Kept;
                };
                let text = Line::written_at(&text, part.place, part.via);
                self.put(line, range, &text, None)
            }
        }
    }

    fn put(
        &mut self,
        line: &mut Line,
        range: Range<usize>,
        value: &Line,
        via: Option<ViaId>,
    ) -> Step {
        if line.text().len() + value.text().len() > LINE_BYTES_MAX {
            let message =
                format!("this line becomes longer than {LINE_BYTES_MAX} bytes by its parameters");
            self.fail(
                line,
                range,
                message,
                "split the line, or look for a parameter that repeats itself",
            );
            return Step::Failed;
        }
        line.replace(range, value, via);
        let begins_sequence = value.text().trim_start_matches([' ', '\t']).starts_with('~');
        if begins_sequence { Step::Ended } else { Step::Replaced }
    }

    /// A reference as one more step of the chain that leads to a text.
    fn enter(
        &mut self,
        line: &Line,
        range: Range<usize>,
        part: Part,
        definition: u32,
        is_multiline: bool,
        name: &str,
    ) -> Option<ViaId> {
        let mut depth = 0;
        let mut is_circular = false;
        for via in self.origins.chain(part.via) {
            depth += 1;
            // Lines of a definition may define it anew; a value on one line cannot.
            is_circular |= via.definition == definition && !is_multiline;
        }
        if is_circular {
            self.fail(
                line,
                range,
                format!("the value of {name} refers to {name} itself"),
                "a parameter cannot be part of its own value",
            );
            return None;
        }
        if depth >= DEPTH_MAX {
            let message = format!("parameters are nested more than {DEPTH_MAX} deep here");
            self.fail(line, range, message, "look for parameters that refer to each other");
            return None;
        }
        let reference = reference_place(line, range).unwrap_or(part.place);
        Some(self.origins.add_via(Via { reference, definition, parent: part.via }))
    }

    fn definition_of<'t>(
        &self,
        found: &Reference<'t>,
    ) -> Option<(&'t str, &super::define::Definition)> {
        if let Some(definition) = self.definitions.find(found.name) {
            return Some((found.name, definition));
        }
        // ${_ENVNAME} is ${_ENV NAME}.
        let is_variable = found.name.len() > 4 && found.name.starts_with("_ENV");
        let short = found.name.get(..4).filter(|_| is_variable && found.parameters.is_empty())?;
        Some((short, self.definitions.find(short)?))
    }
}

/// The place of all of a reference, if it stands in one piece.
fn reference_place(line: &Line, range: Range<usize>) -> Option<Span> {
    let mut parts = line.parts(range);
    let first = parts.next()?;
    Some(parts.filter(|part| part.via == first.via).fold(first.place, |a, part| a.to(part.place)))
}

/// The parameters of a reference suit what it refers to.
fn is_fit(value: &Value, parameters: &str) -> bool {
    let count = parameters.split([' ', '\t']).filter(|word| !word.is_empty()).count();
    match value {
        Value::Random => count <= 2 && parameters.bytes().all(|b| b.is_ascii_digit() || b == b' '),
        Value::Environment => count == 1,
        Value::Lines { .. } | Value::Directory | Value::Instance | Value::Sign(_) => count == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_end_with_a_brace_or_with_their_word() {
        let name = |text| reference(text).map(|found| (found.name, found.length, found.is_last));
        assert_eq!(name("$A"), Some(("A", 2, true)));
        assert_eq!(name("$A,b"), Some(("A", 2, false)));
        assert_eq!(name("${A}b"), Some(("A", 4, false)));
        assert_eq!(name("${_RANDOM 1 20}"), Some(("_RANDOM", 15, true)));
        for none in ["$", "$A.b", "$1", "${A", "${}", "${A }", "\"$A\"", "${A-b}"] {
            assert!(name(none).is_none() || none == "${A }", "{none}");
        }
    }
}
