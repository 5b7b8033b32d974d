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

/// A piece of text to read, in a row with others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    /// The file it is part of.
    pub(crate) file: FileId,
    /// Where it begins in the file.
    pub(crate) base: usize,
    /// Its text.
    pub(crate) text: &'a str,
}

/// Reads pieces of files, one after the other. A piece ends with its line.
#[derive(Debug)]
pub(crate) struct Lexer<'p, 'a> {
    /// The pieces after the current one.
    next: &'p [Piece<'a>],
    text: &'a str,
    file: FileId,
    /// Where the piece begins in the file.
    base: usize,
    /// The next byte, counted from the beginning of the piece.
    at: usize,
    /// Indentation of the current line while nothing but blanks was seen on it. Expanded text
    /// has none.
    indent: Option<u32>,
    /// How the words of the current statement are quoted; nothing before its first word.
    quoting: Option<Quoting>,
    /// What was wrong on the way.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl<'p, 'a> Lexer<'p, 'a> {
    /// A lexer for a row of pieces.
    pub(crate) fn new(pieces: &'p [Piece<'a>]) -> Lexer<'p, 'a> {
        Lexer {
            next: pieces,
            text: "",
            file: FileId(0),
            base: 0,
            at: 0,
            indent: None,
            quoting: None,
            diagnostics: Vec::new(),
        }
    }

    /// The next token, with its indentation when it is the first of its line.
    pub(crate) fn next(&mut self) -> Option<(Token<'a>, Option<u32>)> {
        loop {
            let start = self.at;
            let Some(&next) = self.text.as_bytes().get(start) else { return self.next_piece() };
            match next {
                b'\n' => {
                    self.at += 1;
                    self.begin_line();
                    return Some((Token::Newline, None));
                }
                b'\t' => {
                    self.at += 1;
                    self.indent = self.indent.map(|n| (n / TAB + 1) * TAB);
                }
                b' ' => {
                    let rest = &self.text.as_bytes()[start..];
                    let count = rest.iter().take_while(|byte| **byte == b' ').count();
                    self.at += count;
                    self.indent = self.indent.map(|n| n.saturating_add(count as u32));
                }
                b'#' | b'!' => self.skip_line(),
                b'{' | b'}' => {
                    self.at += 1;
                    self.quoting = None;
                    let span = self.span(start);
                    let token = if next == b'{' { Token::Open(span) } else { Token::Close(span) };
                    return Some((token, self.indent.take()));
                }
                _ if !is_ordinary(next) && self.peek().is_some_and(is_blank) => {
                    self.at += self.peek().map_or(0, char::len_utf8);
                    self.indent = self.indent.map(|n| n.saturating_add(1));
                }
                _ => {
                    let word = self.word();
                    self.quoting.get_or_insert_with(|| Quoting::after(&word.text));
                    return Some((Token::Word(word), self.indent.take()));
                }
            }
        }
    }

    fn begin_line(&mut self) {
        self.indent = (self.file != FileId::EXPANSION).then_some(0);
        self.quoting = None;
    }

    /// Goes on with the next piece, which begins a line.
    fn next_piece(&mut self) -> Option<(Token<'a>, Option<u32>)> {
        let (piece, rest) = self.next.split_first()?;
        self.next = rest;
        Piece { file: self.file, base: self.base, text: self.text } = *piece;
        self.at = 0;
        self.begin_line();
        Some((Token::Newline, None))
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

    fn word(&mut self) -> Word<'a> {
        match self.quoting {
            Some(Quoting::Escaped) => self.escaped_word(),
            Some(Quoting::Plain) | None => self.plain_word(),
        }
    }

    /// A word up to a blank or a quotation mark, or all between two such marks. It borrows the
    /// text unless a comment sign is escaped in it.
    fn plain_word(&mut self) -> Word<'a> {
        let start = self.at;
        if self.peek() == Some('"') {
            return self.plain_quotation();
        }
        let mut escapes = false;
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            self.at += rest.iter().take_while(|byte| is_ordinary(**byte)).count();
            let Some(c) = self.peek() else { break };
            match c {
                c if is_blank(c) || matches!(c, '\n' | '{' | '}' | '"') => break,
                '#' | '!' => {
                    self.warn_of_glued_comment(start, c);
                    break;
                }
                '\\' if self.text[self.at + 1..].starts_with(['#', '!']) => {
                    escapes = true;
                    self.at += 2;
                }
                '$' if self.text[self.at..].starts_with("${") => self.skip_parameter(),
                c => self.at += c.len_utf8(),
            }
        }
        let text = &self.text[start..self.at];
        let text = if escapes {
            Cow::Owned(text.replace("\\#", "#").replace("\\!", "!"))
        } else {
            Cow::Borrowed(text)
        };
        Word { text, span: self.span(start) }
    }

    fn plain_quotation(&mut self) -> Word<'a> {
        let start = self.at;
        let rest = &self.text[start + 1..];
        let end = rest.find(['"', '\n']).unwrap_or(rest.len());
        self.at = start + 1 + end;
        if rest[end..].starts_with('"') {
            self.at += 1;
        } else {
            self.report_unclosed('"', start);
        }
        Word { text: Cow::Borrowed(&rest[..end]), span: self.span(start) }
    }

    /// `${NAME}` is one piece: its braces are no block.
    fn skip_parameter(&mut self) {
        let start = self.at;
        let rest = &self.text[self.at..];
        let end = rest
            .find(['}', '\n'])
            .map_or(rest.len(), |n| n + usize::from(rest[n..].starts_with('}')));
        self.at += end;
        let diagnostic = Diagnostic::error(
            self.span(start),
            format!("no parameter {} is defined here", &rest[..end]),
        )
        .help("write $NAME=VALUE above, or put the word into \"...\" if it is meant literally");
        self.diagnostics.push(diagnostic);
    }

    fn warn_of_glued_comment(&mut self, start: usize, sign: char) {
        let diagnostic = glued_comment(self.span(start), &self.text[start..self.at], sign);
        self.diagnostics.push(diagnostic);
    }

    fn report_unclosed(&mut self, sign: char, at: usize) {
        let mut span = self.span(at);
        span.end = span.start + 1;
        self.diagnostics.push(
            Diagnostic::error(span, format!("this {sign} is never closed on its line"))
                .help("close the quotation"),
        );
    }

    /// A word with quotations of both kinds and escapes, as the keywords of [`Quoting::Escaped`]
    /// have them.
    fn escaped_word(&mut self) -> Word<'a> {
        let start = self.at;
        let mut bytes = Vec::new();
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
                (_, '\\') => self.escape(&mut bytes),
                (None, '$') if self.text[self.at..].starts_with("${") => {
                    let from = self.at;
                    self.skip_parameter();
                    bytes.extend_from_slice(&self.text.as_bytes()[from..self.at]);
                }
                (_, c) => {
                    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    self.at += c.len_utf8();
                }
            }
        }
        if let Some((sign, at)) = quote {
            self.report_unclosed(sign, at);
        }
        let span = self.span(start);
        Word { text: Cow::Owned(self.text_of(bytes, span)), span }
    }

    fn text_of(&mut self, bytes: Vec<u8>, span: Span) -> String {
        let text = match String::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => return text,
            Ok(text) => text.replace('\0', ""),
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        let message = "the escapes of this word do not make UTF-8 text without NUL bytes";
        self.diagnostics.push(Diagnostic::error(span, message).help("write the characters"));
        text
    }

    /// `\` and what follows it. Source: keepalived.conf(5), "Quoted strings".
    fn escape(&mut self, bytes: &mut Vec<u8>) {
        self.at += 1;
        let rest = &self.text[self.at..];
        let Some(c) = rest.chars().next().filter(|&c| c != '\n') else {
            let mut span = self.span(self.at - 1);
            span.end = span.start + 1;
            self.diagnostics.push(
                Diagnostic::error(span, "nothing follows this \\").help("remove it, or write \\\\"),
            );
            return;
        };
        let digits = |from: usize, most: usize, radix: u32| {
            rest[from..].chars().take(most).take_while(|c| c.is_digit(radix)).count()
        };
        let number = |text: &str, radix: u32| {
            let digits = text.chars().filter_map(|c| c.to_digit(radix));
            // Only the last byte counts, as in C.
            digits.fold(0u8, |sum, digit| sum.wrapping_mul(radix as u8).wrapping_add(digit as u8))
        };
        let (byte, length) = match c {
            'a' => (0x07, 1),
            'b' => (0x08, 1),
            'E' => (0x1b, 1),
            'f' => (0x0c, 1),
            'n' => (b'\n', 1),
            'r' => (b'\r', 1),
            't' => (b'\t', 1),
            'v' => (0x0b, 1),
            '0'..='7' => {
                let count = digits(0, 3, 8);
                (number(&rest[..count], 8), count)
            }
            'x' if digits(1, 1, 16) > 0 => {
                let count = digits(1, usize::MAX, 16);
                (number(&rest[1..=count], 16), 1 + count)
            }
            'c' if rest.as_bytes().get(1).is_some_and(|b| b.is_ascii_graphic()) => {
                (rest.as_bytes()[1] & 0x1f, 2)
            }
            c => {
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                self.at += c.len_utf8();
                return;
            }
        };
        bytes.push(byte);
        self.at += length;
    }
}

/// How the words of a statement are quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quoting {
    /// `"` encloses a word; `'` and `\` are characters like others.
    Plain,
    /// Words are joined of plain and quoted parts, with escapes, as in a shell.
    Escaped,
}

/// The keywords that name scripts, and patterns: their words are [`Quoting::Escaped`]. Observed from
/// Keepalived 2.2.7.
const ESCAPED: [&str; 19] = [
    "lvs_notify_fifo_script",
    "misc_path",
    "notify",
    "notify_backup",
    "notify_deleted",
    "notify_down",
    "notify_fault",
    "notify_fifo_script",
    "notify_master",
    "notify_master_rx_lower_pri",
    "notify_stop",
    "notify_up",
    "quorum_down",
    "quorum_up",
    "regex",
    "script",
    "shutdown_script",
    "startup_script",
    "vrrp_notify_fifo_script",
];

impl Quoting {
    /// The quoting of what follows a keyword.
    fn after(keyword: &str) -> Quoting {
        if ESCAPED.contains(&keyword) { Quoting::Escaped } else { Quoting::Plain }
    }
}

/// A comment sign that cuts a word in two is warned of.
pub(super) fn glued_comment(span: Span, word: &str, sign: char) -> Diagnostic {
    Diagnostic::warning(
        span,
        format!("`{sign}` begins a comment here, so the word is only \"{word}\""),
    )
    .help(format!("quote the word if `{sign}` belongs to it, or put a blank before the comment"))
}

/// Most characters of most words: nothing begins or ends with them.
fn is_ordinary(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-' | b'/')
}

/// White space within a line. A byte order mark and a no-break space, both left by editors and
/// web pages, count as such.
fn is_blank(c: char) -> bool {
    c != '\n' && (c.is_whitespace() || c == '\u{feff}' || c == '\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> [Piece<'_>; 1] {
        [Piece { file: FileId(0), base: 0, text }]
    }

    fn words(text: &str) -> Vec<String> {
        let pieces = pieces(text);
        let mut lexer = Lexer::new(&pieces);
        let mut out = Vec::new();
        while let Some((token, _)) = lexer.next() {
            out.push(match token {
                Token::Word(word) => word.text.into(),
                Token::Open(_) => "{".into(),
                Token::Close(_) => "}".into(),
                Token::Newline => "\n".into(),
            });
        }
        assert_eq!(lexer.diagnostics, []);
        // A piece begins a line.
        out.split_off(1)
    }

    fn findings(text: &str) -> Vec<Diagnostic> {
        let pieces = pieces(text);
        let mut lexer = Lexer::new(&pieces);
        while lexer.next().is_some() {}
        lexer.diagnostics
    }

    #[test]
    fn keywords_of_escaped_words_are_found() {
        assert!(ESCAPED.is_sorted());
        assert!(ESCAPED.iter().all(|keyword| Quoting::after(keyword) == Quoting::Escaped));
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
    fn plain_words_are_quoted_by_double_marks_and_know_no_escapes() {
        assert_eq!(words(r#"a "b #{c" d"#), ["a", "b #{c", "d"]);
        assert_eq!(words(r#"a b"c d"e"#), ["a", "b", "c d", "e"]);
        assert_eq!(words(r#"a it's "x\ty" p\#q"#), ["a", "it's", r"x\ty", "p#q"]);
    }

    #[test]
    fn words_of_scripts_are_joined_and_escaped() {
        assert_eq!(words(r#"script abcd" efg h jkl "mnop"#), ["script", "abcd efg h jkl mnop"]);
        assert_eq!(words(r#"script a\ b 'c "d'"#), ["script", "a b", "c \"d"]);
        let text = r#"script "\a\b\E\f\n\r\t\v\x41\101\cA\\\"\'""#;
        let escapes = "\u{7}\u{8}\u{1b}\u{c}\n\r\t\u{b}AA\u{1}\\\"'";
        assert_eq!(words(text), ["script", escapes]);
        assert_eq!(words(r"script \xc3\xa9 \0637 \x"), ["script", "é", "37", "x"]);
    }

    #[test]
    fn escapes_that_make_no_text_are_reported() {
        for text in [r"script \xff", r"script a\0b", "script \"a\\\n\""] {
            assert!(!findings(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_quotation_ends_with_its_line_at_the_latest() {
        let found = findings("a \"b c\nd");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].span.start, found[0].span.end), (2, 3));
        assert_eq!(findings("notify 'b c\nd").len(), 1);
    }

    #[test]
    fn a_comment_sign_inside_a_word_is_warned_of() {
        assert!(findings("auth_pass pa!ss")[0].message.contains("only \"pa\""));
    }

    #[test]
    fn a_parameter_that_is_not_defined_is_an_error_outside_quotes() {
        assert!(findings("a b${C}d")[0].message.contains("${C}"));
        assert_eq!(findings("a \"b${C}d\" $E"), []);
    }

    #[test]
    fn indentation_is_that_of_the_first_token_of_a_line() {
        let pieces = pieces("  a b\n\t}");
        let mut lexer = Lexer::new(&pieces);
        let indents: Vec<_> = core::iter::from_fn(|| lexer.next()).map(|(_, i)| i).collect();
        assert_eq!(indents, [None, Some(2), None, None, Some(8)]);
    }
}
