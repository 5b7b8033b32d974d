//! `~SEQ(var, start, step, end)` and `~LST(var, value...)`: the rest of a line, once per value.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use super::line::Line;
use super::{Expander, Frame};

/// Most values of one sequence.
pub(super) const SEQUENCE_MAX: u64 = 1 << 20;

/// A sequence on its way.
#[derive(Clone, Debug)]
pub(super) struct Sequence {
    names: Vec<String>,
    values: Values,
    /// The specification: what its values are written as.
    specification: Line,
    /// What is repeated.
    rest: Line,
}

#[derive(Clone, Debug)]
enum Values {
    /// Numbers.
    Count { next: i64, step: i64, left: u64, is_hex: bool },
    /// Values for all names at once, the last set first.
    Sets(Vec<Vec<Line>>),
}

/// What is wrong with a specification, and the way out.
type Wrong = (String, &'static str);

const SEQ_HELP: &str = "write ~SEQ(VAR, START, STEP, END), ~SEQ(VAR, START, END) or ~SEQ(VAR, END)";
const LST_HELP: &str =
    "write ~LST(VAR, VALUE, VALUE...) or ~LST({VAR1, VAR2}, {VALUE1, VALUE2}, {...}...)";

impl Expander<'_> {
    /// Takes the line if it begins with a sequence.
    pub(super) fn begin_sequence(&mut self, line: &Line) -> bool {
        let text = line.text();
        let is_list = text.starts_with("~LST");
        if !is_list && !text.starts_with("~SEQ") {
            return false;
        }
        let begun = if is_list { list(line) } else { self.count(line) };
        match begun {
            Ok(sequence) => {
                self.push_frame(line, Frame::Sequence(sequence));
            }
            Err((message, help)) => self.fail(line, 0..text.len(), message, help),
        }
        true
    }

    /// Defines the next value; the line to read with it, or nothing after the last one.
    pub(super) fn next_of_sequence(&mut self) -> Option<Line> {
        let Some(Frame::Sequence(sequence)) = self.frames.last_mut() else { return None };
        let values = sequence.values.next(&sequence.specification)?;
        let names = sequence.names.clone();
        let rest = sequence.rest.clone();
        for (number, name) in names.iter().enumerate() {
            // Missing values are blank.
            let value = values.get(number).cloned().unwrap_or_default();
            self.set_counted(&rest, name, value);
        }
        Some(rest)
    }

    /// `~SEQ`, `~SEQx`
    fn count(&mut self, line: &Line) -> Result<Sequence, Wrong> {
        let wrong = || ("this sequence cannot be read".to_owned(), SEQ_HELP);
        let text = line.text();
        let mut cursor = Cursor { text, at: 4 };
        let is_hex = cursor.eat('x');
        cursor.skip_blanks();
        if !cursor.eat('(') {
            return Err(wrong());
        }
        let name = cursor.word();
        cursor.skip_blanks();
        if name.is_empty() || !cursor.eat(',') {
            return Err(wrong());
        }
        let end = text[cursor.at..].find(')').map(|n| cursor.at + n).ok_or_else(wrong)?;
        let mut bounds = line.slice(cursor.at..end);
        if self.substitute(&mut bounds).is_none() {
            return Err(wrong());
        }
        let numbers: Option<Vec<i64>> = bounds.text().split(',').map(number).collect();
        let numbers = numbers.ok_or_else(wrong)?;
        let (start, step, last) = match *numbers.as_slice() {
            [last] => (if last < 0 { -1 } else { 1 }, if last < 1 { -1 } else { 1 }, last),
            [start, last] => (start, if start <= last { 1 } else { -1 }, last),
            [start, step, last] => (start, step, last),
            _ => return Err(wrong()),
        };
        let left = steps(start, step, last)?;
        if is_hex && (start < 0 || last < 0) {
            return Err(("~SEQx does not count below zero".to_owned(), SEQ_HELP));
        }
        Ok(Sequence {
            names: alloc::vec![text[name].to_owned()],
            values: Values::Count { next: start, step, left, is_hex },
            specification: line.slice(0..end + 1),
            rest: line.slice(end + 1..text.len()).trimmed(),
        })
    }
}

/// How many values there are.
fn steps(start: i64, step: i64, last: i64) -> Result<u64, Wrong> {
    let is_away = (start < last && step < 0) || (start > last && step > 0);
    if step == 0 || is_away {
        return Err((format!("steps of {step} do not lead from {start} to {last}"), SEQ_HELP));
    }
    let left = (start.abs_diff(last) / step.unsigned_abs()).saturating_add(1);
    if left > SEQUENCE_MAX {
        let message = format!("this sequence has {left} values; at most {SEQUENCE_MAX} are read");
        return Err((message, "split it"));
    }
    Ok(left)
}

/// A number as C writes it: decimal, 0x hexadecimal or 0 octal. Nothing is zero.
fn number(text: &str) -> Option<i64> {
    let text = text.trim_matches([' ', '\t']);
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if text.is_empty() {
        return Some(0);
    }
    let hex = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (digits, radix) = match hex {
        Some(digits) => (digits, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        None => (digits, 10),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = i64::from_str_radix(digits, radix).ok()?;
    Some(if is_negative { -value } else { value })
}

/// `~LST`
fn list(line: &Line) -> Result<Sequence, Wrong> {
    let wrong = || ("this list cannot be read".to_owned(), LST_HELP);
    let text = line.text();
    let mut cursor = Cursor { text, at: 4 };
    cursor.skip_blanks();
    if !cursor.eat('(') {
        return Err(wrong());
    }
    let names = cursor.group(",").ok_or_else(wrong)?;
    cursor.skip_blanks();
    if !cursor.eat(',') {
        return Err(wrong());
    }
    let mut sets = Vec::new();
    loop {
        let values = cursor.group(",)").ok_or_else(wrong)?;
        if values.len() > names.len() {
            let message = format!("{} values for {} names", values.len(), names.len());
            return Err((message, "leave out values, or name more variables"));
        }
        sets.push(values.into_iter().map(|value| line.slice(value)).collect());
        if sets.len() as u64 > SEQUENCE_MAX {
            return Err((format!("a list has at most {SEQUENCE_MAX} values"), "split it"));
        }
        cursor.skip_blanks();
        if cursor.eat(')') {
            break;
        }
        if !cursor.eat(',') {
            return Err(wrong());
        }
    }
    sets.reverse();
    Ok(Sequence {
        names: names.into_iter().map(|name| text[name].to_owned()).collect(),
        values: Values::Sets(sets),
        specification: line.slice(0..cursor.at),
        rest: line.slice(cursor.at..text.len()).trimmed(),
    })
}

impl Values {
    fn next(&mut self, specification: &Line) -> Option<Vec<Line>> {
        match self {
            Values::Sets(sets) => sets.pop(),
            Values::Count { left: 0, .. } => None,
            Values::Count { next, step, left, is_hex } => {
                let text = if *is_hex { format!("{next:x}") } else { format!("{next}") };
                *next = next.saturating_add(*step);
                *left -= 1;
                let part = specification.parts(0..specification.text().len()).next()?;
                Some(alloc::vec![Line::written_at(&text, part.place, part.via)])
            }
        }
    }
}

/// Reads a specification.
struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl Cursor<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start_matches([' ', '\t']).len();
    }

    fn eat(&mut self, c: char) -> bool {
        let is_there = self.rest().starts_with(c);
        self.at += if is_there { c.len_utf8() } else { 0 };
        is_there
    }

    /// A name or value, perhaps empty.
    fn word(&mut self) -> Range<usize> {
        self.skip_blanks();
        let start = self.at;
        let end = self.rest().find([' ', '\t', ',', '}', ')']).unwrap_or(self.rest().len());
        self.at += end;
        start..self.at
    }

    /// One word before one of `ends`, or several in braces.
    fn group(&mut self, ends: &str) -> Option<Vec<Range<usize>>> {
        self.skip_blanks();
        if !self.eat('{') {
            let word = self.word();
            self.skip_blanks();
            return self.rest().starts_with(|c| ends.contains(c)).then(|| alloc::vec![word]);
        }
        let mut words = Vec::new();
        loop {
            words.push(self.word());
            self.skip_blanks();
            if self.eat('}') {
                return Some(words);
            }
            if !self.eat(',') {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_in_c() {
        for (text, value) in
            [("12", 12), (" -0x1F ", -31), ("010", 8), ("0", 0), ("", 0), ("+3", 3)]
        {
            assert_eq!(number(text), Some(value), "{text}");
        }
        for wrong in ["a", "08", "0x", "--1", "1 2", "99999999999999999999"] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_sequence_that_leads_nowhere_or_too_far_is_refused() {
        assert_eq!(steps(1, 2, 6).ok(), Some(3));
        assert_eq!(steps(3, -1, 1).ok(), Some(3));
        assert!(steps(1, 0, 3).is_err() && steps(1, -1, 3).is_err() && steps(3, 1, 1).is_err());
        assert!(steps(i64::MIN, 1, i64::MAX).is_err());
        assert!(steps(0, 1, 1 << 20).unwrap_err().0.contains("1048576"));
    }
}
