//! Lines into words, with HAProxy's quoting (configuration manual, 2.2 and 2.3).
//!
//! Spaces separate; `\` escapes; `"weak"` quotes keep spaces and expand `$NAME`, `${NAME-default}`
//! and `${NAME[*]}`; `'strong'` quotes keep everything; `#` begins a comment.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::section;
use crate::diagnostic::Diagnostic;
use crate::source::{File, FileId, Source, Span};

/// One word, quotes and escapes resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// What it says.
    pub(super) text: String,
    /// Where it was written, quotes included.
    pub(super) span: Span,
}

impl Word {
    /// The place of `part`, a slice of this word's text; the whole word when it was quoted.
    pub(super) fn place_of(&self, part: &str) -> Span {
        let offset = (part.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        let plain = self.text.len() == (self.span.end - self.span.start) as usize;
        if !plain || offset + part.len() > self.text.len() || part.is_empty() {
            return self.span;
        }
        let start = self.span.start + offset as u32;
        Span { file: self.span.file, start, end: start + part.len() as u32 }
    }
}

/// The words of one line; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    words: Vec<Word>,
    indent: u32,
}

impl Line {
    /// A line of these words, if there are any. `start` is the first byte of the line.
    fn new(words: Vec<Word>, start: u32) -> Option<Line> {
        let indent = words.first()?.span.start - start;
        Some(Line { words, indent })
    }

    /// Bytes before the first word.
    pub(super) fn indent(&self) -> u32 {
        self.indent
    }

    /// A word by number.
    pub(super) fn word(&self, number: usize) -> Option<&Word> {
        self.words.get(number)
    }

    /// The text of a word, empty beyond the last.
    pub(super) fn text(&self, number: usize) -> &str {
        self.words.get(number).map_or("", |word| &word.text)
    }

    /// The words from `number` on.
    pub(super) fn rest(&self, number: usize) -> &[Word] {
        self.words.get(number..).unwrap_or(&[])
    }

    /// From the first word to the last.
    pub(super) fn span(&self) -> Span {
        self.words[0].span.to(self.words[self.words.len() - 1].span)
    }

    /// The first `count` words.
    pub(super) fn head(&self, count: usize) -> Span {
        let last = count.clamp(1, self.words.len()) - 1;
        self.words[0].span.to(self.words[last].span)
    }

    /// The line without its first words, if any are left.
    pub(super) fn without(&self, count: usize) -> Option<Line> {
        let words = self.rest(count).to_vec();
        if words.is_empty() { None } else { Some(Line { words, indent: self.indent }) }
    }
}

/// All lines of a file that say something. Broken lines are reported and left out.
pub(super) fn lines(
    source: &dyn Source,
    id: FileId,
    file: &File,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut section = String::new();
    let mut start = 0;
    for (number, text) in file.text.split_inclusive('\n').enumerate() {
        let mut reader = Reader {
            source,
            file: id,
            path: &file.path,
            number: number + 1,
            section: &section,
            text: text.strip_suffix('\n').unwrap_or(text),
            at: 0,
            start,
            words: Vec::new(),
            word: None,
            diagnostics,
        };
        let line = reader.line().map(|()| Line::new(core::mem::take(&mut reader.words), start));
        match line {
            Ok(Some(line)) => {
                if section::is_section(line.text(0)) {
                    section = line.word(1).map_or(line.text(0), |word| &word.text).to_string();
                }
                lines.push(line);
            }
            Ok(None) => {}
            Err(diagnostic) => diagnostics.push(diagnostic),
        }
        start += text.len() as u32;
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        let end = file.text.len() as u32;
        let last = Span { file: id, start: end - last_line_length(&file.text), end };
        diagnostics.push(
            Diagnostic::warning(last, "the last line does not end in a newline")
                .help("the file may have been cut off; HAProxy refuses it"),
        );
    }
    lines
}

fn last_line_length(text: &str) -> u32 {
    text.rsplit('\n').next().map_or(0, |line| line.len() as u32)
}

/// Reads one line.
struct Reader<'a> {
    source: &'a dyn Source,
    file: FileId,
    path: &'a str,
    number: usize,
    section: &'a str,
    text: &'a str,
    at: usize,
    start: u32,
    words: Vec<Word>,
    word: Option<(String, usize)>,
    diagnostics: &'a mut Vec<Diagnostic>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quote {
    None,
    Weak,
    Strong,
}

impl Reader<'_> {
    fn line(&mut self) -> Result<(), Diagnostic> {
        let mut quote = Quote::None;
        let mut opened = 0;
        while let Some(c) = self.peek(0) {
            let here = self.at;
            match (quote, c) {
                (_, '\0') => {
                    return Err(Diagnostic::error(self.span(here, here + 1), "a NUL byte")
                        .help("is this a configuration file?"));
                }
                (Quote::None, '#') => break,
                (Quote::None, c) if c.is_ascii_whitespace() || c == '\u{b}' => {
                    self.end_word();
                    self.at += 1;
                }
                (Quote::None, '"' | '\'') => {
                    quote = if c == '"' { Quote::Weak } else { Quote::Strong };
                    opened = here;
                    self.begin_word();
                    self.at += 1;
                }
                (Quote::Weak, '"') | (Quote::Strong, '\'') => {
                    quote = Quote::None;
                    self.at += 1;
                }
                (Quote::None | Quote::Weak, '\\') => self.escape(quote)?,
                (Quote::Weak, '$') => self.variable()?,
                (_, c) => self.put(c),
            }
        }
        if quote != Quote::None {
            let span = self.span(opened, self.text.len());
            return Err(Diagnostic::error(span, "this quote is not closed on its line")
                .help("close it, or write a backslash before it if it is meant literally"));
        }
        self.end_word();
        Ok(())
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead..).and_then(|rest| rest.chars().next())
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let (start, end) = (start as u32, end.min(self.text.len()) as u32);
        Span { file: self.file, start: self.start + start, end: self.start + end }
    }

    fn begin_word(&mut self) -> &mut String {
        let at = self.at;
        &mut self.word.get_or_insert_with(|| (String::new(), at)).0
    }

    fn put(&mut self, c: char) {
        self.begin_word().push(c);
        self.at += c.len_utf8();
    }

    fn end_word(&mut self) {
        if let Some((text, start)) = self.word.take() {
            let span = self.span(start, self.at);
            self.words.push(Word { text, span });
        }
    }

    /// A backslash outside strong quotes.
    fn escape(&mut self, quote: Quote) -> Result<(), Diagnostic> {
        let replaced = match self.peek(1) {
            Some(c @ (' ' | '\t' | '\\' | '"' | '\'' | '#')) => c,
            Some('$') if quote == Quote::Weak => '$',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('x') => return self.hexadecimal(),
            _ => {
                self.put('\\');
                return Ok(());
            }
        };
        self.begin_word().push(replaced);
        self.at += 2;
        Ok(())
    }

    /// `\xNN`
    fn hexadecimal(&mut self) -> Result<(), Diagnostic> {
        let digits = self.text.get(self.at + 2..self.at + 4).unwrap_or("");
        let code = u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'));
        let here = self.at;
        match code {
            Some(code @ 1..=0x7f) => {
                self.begin_word().push(char::from(code));
                self.at += 4;
                Ok(())
            }
            Some(_) => Err(Diagnostic::error(
                self.span(here, here + 4),
                "`\\x` escapes from 01 to 7f only are supported by this version",
            )),
            None => Err(Diagnostic::error(
                self.span(here, here + 4),
                "`\\x` needs two hexadecimal digits after it",
            )),
        }
    }

    /// `$NAME`, `${NAME}`, `${NAME-default}`, `${NAME[*]}`.
    fn variable(&mut self) -> Result<(), Diagnostic> {
        let here = self.at;
        self.begin_word();
        let rest = &self.text[here + 1..];
        let (inner, length) = match rest.strip_prefix('{') {
            Some(inner) => match inner.find('}') {
                Some(end) => (&inner[..end], end + 3),
                None => {
                    return Err(Diagnostic::error(
                        self.span(here, self.text.len()),
                        "`${` without its `}`",
                    ));
                }
            },
            None => {
                let end = rest.find(|c| !is_name_character(c)).unwrap_or(rest.len());
                (&rest[..end], end + 1)
            }
        };
        let span = self.span(here, here + length);
        let (name, default) = match inner.split_once('-') {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        let (name, list) = match name.strip_suffix("[*]") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let proper = name.strip_prefix('.').unwrap_or(name);
        if proper.is_empty()
            || proper.starts_with(|c: char| c.is_ascii_digit())
            || !proper.chars().all(is_name_character)
        {
            return Err(Diagnostic::error(span, "`$` without the name of a variable")
                .help("write \\$ if a dollar sign is meant"));
        }
        let value = self.value(name, default, span);
        self.at += length;
        if list {
            for (number, part) in value.split_ascii_whitespace().enumerate() {
                if number > 0 {
                    self.end_word();
                }
                self.begin_word().push_str(part);
            }
        } else {
            self.begin_word().push_str(&value);
        }
        Ok(())
    }

    fn value(&mut self, name: &str, default: Option<&str>, span: Span) -> String {
        match name {
            ".FILE" => return self.path.to_string(),
            ".LINE" => return self.number.to_string(),
            ".SECTION" => return self.section.to_string(),
            _ => {}
        }
        match (self.source.environment(name), default) {
            (Some(value), _) => value,
            (None, Some(default)) => default.to_string(),
            (None, None) => {
                self.diagnostics.push(
                    Diagnostic::warning(
                        span,
                        format!("the environment variable {name} is not set; this is empty"),
                    )
                    .help(format!("a default can be given: ${{{name}-default}}")),
                );
                String::new()
            }
        }
    }
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::haproxy::testing::Machine;
    use crate::source::Files;

    fn words(text: &str) -> (Vec<Vec<String>>, Vec<Diagnostic>) {
        let mut files = Files::default();
        let id = files.add("a.cfg".into(), text.into());
        let mut diagnostics = Vec::new();
        let lines = lines(&Machine, id, files.file(id), &mut diagnostics);
        let texts = |line: &Line| line.rest(0).iter().map(|word| word.text.clone()).collect();
        (lines.iter().map(texts).collect(), diagnostics)
    }

    fn only(text: &str) -> Vec<String> {
        let (lines, diagnostics) = words(&format!("{text}\n"));
        assert_eq!(diagnostics, [], "{text}");
        assert_eq!(lines.len(), 1, "{text}");
        lines[0].clone()
    }

    #[test]
    fn the_manuals_equivalent_quotings_are_equivalent() {
        for text in [
            r#"log-format %{+Q}o\ %t\ %s\ %{-Q}r"#,
            r#"log-format "%{+Q}o %t %s %{-Q}r""#,
            r#"log-format '%{+Q}o %t %s %{-Q}r'"#,
            r#"log-format "%{+Q}o %t"' %s %{-Q}r'"#,
            r#"log-format "%{+Q}o %t"' %s'\ %{-Q}r # and a comment"#,
        ] {
            assert_eq!(only(text), ["log-format", "%{+Q}o %t %s %{-Q}r"]);
        }
    }

    #[test]
    fn escapes_mean_what_the_manual_says() {
        assert_eq!(
            only(r#"a\#b \\ \" \' \x41\t "\$x" $y a"" '\' \q"#),
            ["a#b", "\\", "\"", "'", "A\t", "$x", "$y", "a", "\\", "\\q"]
        );
        assert_eq!(only("a#b"), ["a"]);
        assert_eq!(only("a \"\""), ["a", ""]);
    }

    #[test]
    fn variables_expand_in_weak_quotes_only() {
        assert_eq!(
            only(r#"a "$HOME" '$HOME' $HOME "${HOME}s" "${NONE-x}""#),
            ["a", "/root", "$HOME", "$HOME", "/roots", "x"]
        );
        assert_eq!(only(r#"a "${LIST[*]}""#), ["a", "one", "two"]);
        assert_eq!(only("frontend x\n").len(), 2);
        assert_eq!(words("frontend x\n a \"${.LINE}${.SECTION}\"\n").0[1], ["a", "2x"]);
        assert_eq!(words("a \"$NONE\"\n").1.len(), 1);
    }

    #[test]
    fn broken_lines_are_named_and_left_out() {
        for (text, message) in [
            ("a \"b\n", "not closed"),
            ("a 'b\n", "not closed"),
            ("a \"${b\"\n", "without its"),
            ("a \"$-\"\n", "without the name"),
            ("a \\xg0\n", "two hexadecimal"),
            ("a \\xff\n", "01 to 7f"),
            ("a\0b\n", "NUL"),
        ] {
            let (lines, diagnostics) = words(text);
            assert!(lines.is_empty(), "{text}");
            assert!(diagnostics[0].message.contains(message), "{text}: {diagnostics:?}");
        }
    }
}
