//! Words and braces to blocks, and what to think when braces are lost.
//!
//! The file is cut at the keywords that only ever begin a top-level block. A stretch whose braces
//! match is taken as it is. One whose braces do not match is read again with an eye on keywords
//! and indentation ([`Mode::Recovering`]): a keyword that belongs to an enclosing block, or a
//! closing brace that lines up with one, says that the blocks in between were left open.

mod recovery;
mod tokens;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::vec::Vec;

use super::expand::Stretch;
use super::keyword::{KeywordRow, Keywords, section};
use super::lexer::{Piece, Word};
use crate::diagnostic::Diagnostic;
use crate::source::{Files, Span};
use crate::suggest;
use tokens::{Sign, Tokens};

/// One statement: words, and perhaps a block.
#[derive(Debug)]
pub(crate) struct Statement<'a> {
    /// The keyword and its arguments; a line of a list. Never empty.
    words: &'a [Word<'a>],
    /// What the keyword is.
    pub(crate) meaning: Meaning,
    /// The statements of its block.
    pub(crate) block: Option<Vec<Statement<'a>>>,
    /// The opening brace.
    pub(crate) open: Option<Span>,
}

/// What the first word of a statement is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meaning {
    /// A keyword of its block.
    Keyword(&'static KeywordRow),
    /// A line of a list.
    Item,
    /// Nothing known; probably this one was meant.
    Typo(&'static KeywordRow),
    /// Nothing known, or something that was reported already.
    Unknown,
}

impl<'a> Statement<'a> {
    /// The keyword as written.
    pub(crate) fn keyword(&self) -> &Word<'a> {
        &self.words[0]
    }

    /// What follows the keyword.
    pub(crate) fn arguments(&self) -> &[Word<'a>] {
        &self.words[1..]
    }

    /// All words: a line of a list.
    pub(crate) fn words(&self) -> &[Word<'a>] {
        self.words
    }

    /// Keyword and arguments.
    pub(crate) fn header(&self) -> Span {
        let first = self.words[0].span;
        self.words.last().map_or(first, |last| first.to(last.span))
    }

    /// The block it opens by its row.
    fn opens(&self) -> Option<&'static str> {
        match self.meaning {
            Meaning::Keyword(row) | Meaning::Typo(row) => row.parse.and_then(|rule| rule.opens),
            _ => None,
        }
    }
}

/// Reads a whole configuration, expanded, and hands it to `take` in parts: a large one as words
/// takes many times the room that its text takes.
pub(crate) fn read(
    keywords: &Keywords,
    files: &Files,
    stretches: &[Stretch],
    diagnostics: &mut Vec<Diagnostic>,
    mut take: impl FnMut(&[Statement<'_>], &mut Vec<Diagnostic>),
) {
    let mut suggestions_left = SUGGESTIONS_MAX;
    let mut tokens = Tokens::default();
    for chunk in chunks(keywords, files, stretches) {
        tokens.read(&chunk, diagnostics);
        let mut parser = Parser::new(keywords, Mode::Strict, suggestions_left);
        parser.run(&tokens);
        if parser.unbalanced {
            parser = Parser::new(keywords, Mode::Recovering, suggestions_left);
            parser.run(&tokens);
        }
        suggestions_left = parser.suggestions_left;
        diagnostics.append(&mut parser.diagnostics);
        take(&parser.root, diagnostics);
    }
}

/// Words compared with all keywords at most; a file that is no configuration has many.
const SUGGESTIONS_MAX: u32 = 200;

/// Pieces of the text in groups, each from one top-level block to the next.
fn chunks<'a>(keywords: &Keywords, files: &'a Files, stretches: &[Stretch]) -> Vec<Vec<Piece<'a>>> {
    let mut chunks = Vec::new();
    let mut chunk = Vec::new();
    for &Stretch { file, start, end } in stretches {
        let text = &files.file(file).text[start..end];
        let mut from = 0;
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let begun = line.trim_ascii_start();
            if keywords.may_begin_chunk(begun) && keywords.begins_chunk(first_word(begun)) {
                if at > from {
                    chunk.push(Piece { file, base: start + from, text: &text[from..at] });
                    from = at;
                }
                if !chunk.is_empty() {
                    chunks.push(core::mem::take(&mut chunk));
                }
            }
            at += line.len();
        }
        chunk.push(Piece { file, base: start + from, text: &text[from..] });
    }
    chunks.push(chunk);
    chunks
}

fn first_word(line: &str) -> &str {
    let line = line.trim_start();
    let end = line.find(|c: char| c.is_whitespace() || c == '{').unwrap_or(line.len());
    &line[..end]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Braces are right.
    Strict,
    /// Braces were lost.
    Recovering,
}

/// An open block.
#[derive(Debug)]
struct Frame<'a> {
    statement: Statement<'a>,
    /// Its name; absent for a block that is skipped.
    section: Option<&'static str>,
    /// Open braces within a skipped block.
    depth: u32,
    /// Indentation of its keyword, when that began a line.
    indent: Option<u32>,
    children: Vec<Statement<'a>>,
}

struct Parser<'k, 'a> {
    keywords: &'k Keywords,
    mode: Mode,
    /// Braces do not match.
    unbalanced: bool,
    root: Vec<Statement<'a>>,
    stack: Vec<Frame<'a>>,
    /// A statement whose brace may still come.
    pending: Option<(Statement<'a>, Option<u32>)>,
    /// The closing brace of the last block that was closed in the current one.
    last_close: Option<(Span, Option<u32>)>,
    /// Blocks taken as left open although a brace that closes them may still come.
    guessed: u32,
    suggestions_left: u32,
    diagnostics: Vec<Diagnostic>,
}

impl<'k, 'a> Parser<'k, 'a> {
    fn new(keywords: &'k Keywords, mode: Mode, suggestions_left: u32) -> Parser<'k, 'a> {
        Parser {
            keywords,
            mode,
            unbalanced: false,
            root: Vec::new(),
            stack: Vec::new(),
            pending: None,
            last_close: None,
            guessed: 0,
            suggestions_left,
            diagnostics: Vec::new(),
        }
    }

    fn run(&mut self, tokens: &'a Tokens<'a>) {
        for (words, indent, sign) in tokens.statements() {
            if !words.is_empty() {
                self.handle_words(words, indent);
            }
            match sign {
                Sign::Open(brace) => self.handle_open(brace),
                Sign::Close(brace, indent) => self.handle_close(brace.span, *indent),
                Sign::Newline => {}
            }
        }
        self.finish_pending(None);
        self.unbalanced |= !self.stack.is_empty();
        while !self.stack.is_empty() {
            self.report_left_open();
            self.pop();
        }
    }

    fn section(&self) -> Option<&'static str> {
        self.stack.last().map_or(Some(section::TOP), |frame| frame.section)
    }

    fn handle_words(&mut self, words: &'a [Word<'a>], indent: Option<u32>) {
        let first = words[0].text.as_ref();
        self.finish_pending(Some(first));
        if self.mode == Mode::Recovering && indent.is_some() {
            self.recover_by_keyword(first);
        }
        let Some(section) = self.section() else { return };
        let meaning = if section::LISTS.contains(&section) {
            Meaning::Item
        } else if let Some(row) = self.keywords.find(section, first) {
            Meaning::Keyword(row)
        } else {
            self.explain(section, words)
        };
        let statement = Statement { words, meaning, block: None, open: None };
        self.pending = Some((statement, indent));
    }

    /// What a word that is no keyword here may be; reports it.
    fn explain(&mut self, section: &'static str, words: &[Word<'a>]) -> Meaning {
        let word = &words[0];
        if let Some(help) = unexpanded(&word.text) {
            let message = format!("\"{}\" stands for nothing here", word.text);
            self.diagnostics.push(Diagnostic::error(word.span, message).help(help));
            return Meaning::Unknown;
        }
        let place = if section == section::TOP {
            "at the top level".to_owned()
        } else {
            format!("in {section}")
        };
        let elsewhere = self.keywords.sections_of(&word.text);
        if !elsewhere.is_empty() {
            self.diagnostics.push(
                Diagnostic::error(word.span, format!("{} cannot stand {place}", word.text))
                    .help(format!("it belongs into {}", elsewhere.join(" or "))),
            );
            return Meaning::Unknown;
        }
        let message = format!("unknown keyword \"{}\" {place}", word.text);
        let mut diagnostic = Diagnostic::error(word.span, message);
        let mut meaning = Meaning::Unknown;
        if self.suggestions_left > 0 {
            self.suggestions_left -= 1;
            let near = suggest::nearest(&word.text, self.keywords.words_in(section));
            let anywhere = || suggest::nearest(&word.text, self.keywords.words());
            if let Some(near) = near.or_else(anywhere) {
                diagnostic = diagnostic.help(format!("did you mean \"{near}\"?"));
                let row = self.keywords.find(section, near);
                if let Some(row) = row.filter(|row| row.parse.is_some()) {
                    meaning = Meaning::Typo(row);
                }
            }
        }
        self.diagnostics.push(diagnostic);
        meaning
    }

    fn handle_open(&mut self, brace: &'a Word<'a>) {
        let span = brace.span;
        if let Some((mut statement, indent)) = self.pending.take() {
            statement.open = Some(span);
            let section = statement.opens();
            if section.is_none() {
                self.report_needless_block(&statement, span);
            }
            self.push(statement, section, indent);
        } else if let Some(frame) = self.stack.last_mut().filter(|frame| frame.section.is_none()) {
            frame.depth += 1;
        } else {
            let diagnostic = Diagnostic::error(span, "this { follows no keyword")
                .help("remove it, or write the keyword whose block begins here");
            self.diagnostics.push(diagnostic);
            let words = core::slice::from_ref(brace);
            let statement =
                Statement { words, meaning: Meaning::Unknown, block: None, open: Some(span) };
            self.push(statement, None, None);
        }
    }

    fn report_needless_block(&mut self, statement: &Statement<'a>, span: Span) {
        let name = &statement.keyword().text;
        let supported = match statement.meaning {
            Meaning::Keyword(row) | Meaning::Typo(row) => row.parse.is_some(),
            Meaning::Item => true,
            Meaning::Unknown => false,
        };
        if supported {
            self.diagnostics.push(Diagnostic::error(span, format!("{name} takes no block")));
        }
    }

    fn push(
        &mut self,
        statement: Statement<'a>,
        section: Option<&'static str>,
        indent: Option<u32>,
    ) {
        self.last_close = None;
        self.stack.push(Frame { statement, section, depth: 0, indent, children: Vec::new() });
    }

    /// The innermost block becomes a statement of the one around it.
    fn pop(&mut self) {
        let Some(mut frame) = self.stack.pop() else { return };
        frame.statement.block = Some(frame.children);
        self.add(frame.statement);
    }

    fn add(&mut self, statement: Statement<'a>) {
        match self.stack.last_mut() {
            Some(frame) => frame.children.push(statement),
            None => self.root.push(statement),
        }
    }

    fn handle_close(&mut self, span: Span, indent: Option<u32>) {
        self.finish_pending(None);
        if let Some(frame) = self.stack.last_mut().filter(|frame| frame.depth > 0) {
            frame.depth -= 1;
            return;
        }
        if self.mode == Mode::Recovering {
            self.recover_by_indentation(indent);
        }
        let Some(frame) = self.stack.last() else {
            self.handle_stray(span);
            return;
        };
        let indent = frame.indent;
        self.pop();
        self.last_close = Some((span, indent));
    }

    fn handle_stray(&mut self, span: Span) {
        self.unbalanced = true;
        // A block that was taken as left open had its brace after all.
        if self.guessed > 0 {
            self.guessed -= 1;
            return;
        }
        self.diagnostics.push(
            Diagnostic::error(span, "this } closes nothing")
                .help("remove it, or look for a { that was lost above"),
        );
    }

    /// The statement before is complete: nothing opened a block. `next` is the word that follows.
    fn finish_pending(&mut self, next: Option<&str>) {
        let Some((mut statement, indent)) = self.pending.take() else { return };
        self.last_close = None;
        let Some(opens) = statement.opens() else {
            self.add(statement);
            return;
        };
        self.unbalanced = true;
        let name = statement.keyword().text.clone();
        let diagnostic =
            Diagnostic::error(statement.header(), format!("{name} has no opening brace"))
                .help(format!("write `{{` after it: {name} opens a block"));
        self.diagnostics.push(diagnostic);
        let goes_on = next.is_some_and(|word| {
            section::LISTS.contains(&opens) || self.keywords.find(opens, word).is_some()
        });
        if goes_on && self.mode == Mode::Recovering {
            self.push(statement, Some(opens), indent);
        } else {
            statement.block = Some(Vec::new());
            self.add(statement);
        }
    }
}

/// What to do about a word that the expansion left as it was.
fn unexpanded(word: &str) -> Option<&'static str> {
    match word.as_bytes().first()? {
        b'@' => Some("@ID begins a line, and a blank follows it"),
        b'$' => Some("define the parameter above: $NAME=VALUE"),
        b'~' => Some("write ~SEQ(VAR, START, STEP, END), ~SEQx(...) or ~LST(VAR, VALUE...)"),
        _ => None,
    }
}
