//! Characters to words and braces. keepalived.conf is a language of lines: a statement ends with
//! its line, or at a brace.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::diagnostic::Diagnostic;
use crate::source::{FileId, Span};

/// Columns between tab stops, for comparing indentations.
const TAB: u32 = 8;

/// A word without its quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word<'a> {
    /// Its text.
    pub(crate) text: Cow<'a, str>,
    /// Where it stands, quotes included.
    pub(crate) span: Span,
}

/// What the lexer finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// A word.
    Word(Word<'a>),
    /// `{`
    Open(Span),
    /// `}`
    Close(Span),
    /// End of a line.
    Newline,
}

/// Reads one stretch of a file.
#[derive(Debug)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    file: FileId,
    /// Where the stretch begins in the file.
    base: usize,
    /// The next byte, counted from the beginning of the stretch.
    at: usize,
    /// Indentation of the current line while nothing but blanks was seen on it.
    indent: Option<u32>,
    /// What was wrong on the way.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl<'a> Lexer<'a> {
    /// A lexer for `text`, which begins at byte `base` of the file.
    pub(crate) fn new(file: FileId, text: &'a str, base: usize) -> Lexer<'a> {
        Lexer { text, file, base, at: 0, indent: Some(0), diagnostics: Vec::new() }
    }

    /// The next token, with its indentation when it is the first of its line.
    pub(crate) fn next(&mut self) -> Option<(Token<'a>, Option<u32>)> {
        loop {
            let start = self.at;
            let next = self.peek()?;
            match next {
                '\n' => {
                    self.at += 1;
                    self.indent = Some(0);
                    return Some((Token::Newline, None));
                }
                '\t' => {
                    self.at += 1;
                    self.indent = self.indent.map(|n| (n / TAB + 1) * TAB);
                }
                c if is_blank(c) => {
                    self.at += c.len_utf8();
                    self.indent = self.indent.map(|n| n.saturating_add(1));
                }
                '#' | '!' => self.skip_line(),
                '{' | '}' => {
                    self.at += 1;
                    let span = self.span(start);
                    let token = if next == '{' { Token::Open(span) } else { Token::Close(span) };
                    return Some((token, self.indent.take()));
                }
                _ => {
                    let word = self.word();
                    return Some((Token::Word(word), self.indent.take()));
                }
            }
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn span(&self, start: usize) -> Span {
        let place = |byte: usize| u32::try_from(self.base + byte).unwrap_or(u32::MAX);
        Span { file: self.file, start: place(start), end: place(self.at) }
    }

    fn skip_line(&mut self) {
        self.at = self.text[self.at..].find('\n').map_or(self.text.len(), |n| self.at + n);
    }

    /// Plain words borrow the text; the first quote or backslash makes a copy.
    fn word(&mut self) -> Word<'a> {
        let start = self.at;
        while let Some(c) = self.peek() {
            match c {
                c if is_blank(c) || matches!(c, '\n' | '{' | '}') => break,
                '#' | '!' => {
                    self.warn_of_glued_comment(start, c);
                    break;
                }
                '"' | '\'' => return self.quoted_word(start),
                '$' if self.text[self.at..].starts_with("${") => self.skip_parameter(),
                c => self.at += c.len_utf8(),
            }
        }
        Word { text: Cow::Borrowed(&self.text[start..self.at]), span: self.span(start) }
    }

    /// `${NAME}` is one piece: its braces are no block.
    fn skip_parameter(&mut self) {
        let rest = &self.text[self.at..];
        let end = rest
            .find(['}', '\n'])
            .map_or(rest.len(), |n| n + usize::from(rest[n..].starts_with('}')));
        self.at += end;
    }

    fn warn_of_glued_comment(&mut self, start: usize, sign: char) {
        let word = &self.text[start..self.at];
        let diagnostic = Diagnostic::warning(
            self.span(start),
            format!("`{sign}` begins a comment here, so the word is only \"{word}\""),
        )
        .help(format!(
            "quote the word if `{sign}` belongs to it, or put a blank before the comment"
        ));
        self.diagnostics.push(diagnostic);
    }

    fn quoted_word(&mut self, start: usize) -> Word<'a> {
        let mut text = String::from(&self.text[start..self.at]);
        let mut quote = None;
        while let Some(c) = self.peek() {
            match (quote, c) {
                (_, '\n') => break,
                (None, c) if is_blank(c) || matches!(c, '{' | '}') => break,
                (None, '#' | '!') => {
                    self.warn_of_glued_comment(start, c);
                    break;
                }
                (None, '"' | '\'') => {
                    quote = Some((c, self.at));
                    self.at += 1;
                }
                (Some((open, _)), c) if c == open => {
                    quote = None;
                    self.at += 1;
                }
                (Some(_), '\\') => self.escape(&mut text),
                (_, c) => {
                    text.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
        if let Some((sign, at)) = quote {
            let mut span = self.span(at);
            span.end = span.start + 1;
            self.diagnostics.push(
                Diagnostic::error(span, format!("this {sign} is never closed on its line"))
                    .help("close the quotation"),
            );
        }
        Word { text: Cow::Owned(text), span: self.span(start) }
    }

    fn escape(&mut self, text: &mut String) {
        let start = self.at;
        self.at += 1;
        let Some(c) = self.peek().filter(|&c| c != '\n') else { return };
        self.at += c.len_utf8();
        match c {
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            'a' | 'b' | 'c' | 'E' | 'f' | 'v' | 'x' | '0'..='7' => {
                let span = self.span(start);
                self.diagnostics.push(
                    Diagnostic::error(
                        span,
                        format!("the escape \\{c} is not supported by this version"),
                    )
                    .help(
                        "write the character itself; \\n, \\r, \\t, \\\\ and \\\" are understood",
                    ),
                );
            }
            c => text.push(c),
        }
    }
}

/// White space within a line. A byte order mark and a no-break space, both left by editors and
/// web pages, count as such.
fn is_blank(c: char) -> bool {
    c != '\n' && (c.is_whitespace() || c == '\u{feff}' || c == '\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut lexer = Lexer::new(FileId(0), text, 0);
        let mut out = Vec::new();
        while let Some((token, _)) = lexer.next() {
            out.push(match token {
                Token::Word(word) => word.text.into(),
                Token::Open(_) => "{".into(),
                Token::Close(_) => "}".into(),
                Token::Newline => "\n".into(),
            });
        }
        out
    }

    #[test]
    fn braces_need_no_blanks_around_them() {
        assert_eq!(words("a 80{b}c"), ["a", "80", "{", "b", "}", "c"]);
    }

    #[test]
    fn comments_begin_with_a_sharp_or_an_exclamation_mark() {
        assert_eq!(words("! x\na b # c\n#d"), ["\n", "a", "b", "\n"]);
    }

    #[test]
    fn quotes_join_and_protect() {
        assert_eq!(words(r#"abcd" efg h jkl "mnop"#), ["abcd efg h jkl mnop"]);
        assert_eq!(words(r#"a '#!{} "' "\"\\""#), ["a", "#!{} \"", "\"\\"]);
    }

    #[test]
    fn a_quotation_ends_with_its_line_at_the_latest() {
        let mut lexer = Lexer::new(FileId(0), "a \"b c\nd", 0);
        while lexer.next().is_some() {}
        assert_eq!(lexer.diagnostics.len(), 1);
        assert_eq!((lexer.diagnostics[0].span.start, lexer.diagnostics[0].span.end), (2, 3));
    }

    #[test]
    fn a_comment_sign_inside_a_word_is_warned_of() {
        let mut lexer = Lexer::new(FileId(0), "auth_pass pa!ss", 0);
        while lexer.next().is_some() {}
        assert!(lexer.diagnostics[0].message.contains("only \"pa\""));
    }

    #[test]
    fn indentation_is_that_of_the_first_token_of_a_line() {
        let mut lexer = Lexer::new(FileId(0), "  a b\n\t}", 0);
        let indents: Vec<_> = core::iter::from_fn(|| lexer.next()).map(|(_, i)| i).collect();
        assert_eq!(indents, [Some(2), None, None, Some(8)]);
    }
}
