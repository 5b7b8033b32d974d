//! The words of a stretch of text, all in one place: statements borrow theirs from here.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::diagnostic::Diagnostic;
use crate::keepalived::lexer::{Lexer, Piece, Token, Word};

/// Words, and what stands between those of two statements.
#[derive(Default)]
pub(super) struct Tokens<'t> {
    words: Vec<Word<'t>>,
    ends: Vec<End<'t>>,
}

/// The end of a statement's words, if there are any.
struct End<'t> {
    /// How many words there are up to here.
    words: usize,
    /// Indentation of the statement, when its first word began a line.
    indent: Option<u32>,
    sign: Sign<'t>,
}

/// What ends the words of a statement.
pub(super) enum Sign<'t> {
    /// `{`, as a word.
    Open(Word<'t>),
    /// `}` with its indentation, when it began a line.
    Close(Word<'t>, Option<u32>),
    /// A line, or the text.
    Newline,
}

impl<'t> Tokens<'t> {
    /// Reads a row of pieces, in the place of what was read before.
    pub(super) fn read(&mut self, pieces: &[Piece<'t>], diagnostics: &mut Vec<Diagnostic>) {
        self.words.clear();
        self.ends.clear();
        let mut lexer = Lexer::new(pieces);
        let (mut ended, mut begun) = (0, None);
        while let Some((token, indent)) = lexer.next() {
            let brace = |text, span| Word { text: Cow::Borrowed(text), span };
            let sign = match token {
                Token::Word(word) => {
                    if self.words.len() == ended {
                        begun = indent;
                    }
                    self.words.push(word);
                    continue;
                }
                Token::Open(span) => Sign::Open(brace("{", span)),
                Token::Close(span) => Sign::Close(brace("}", span), indent),
                Token::Newline if self.words.len() == ended => continue,
                Token::Newline => Sign::Newline,
            };
            ended = self.words.len();
            self.ends.push(End { words: ended, indent: begun, sign });
        }
        let rest = End { words: self.words.len(), indent: begun, sign: Sign::Newline };
        self.ends.push(rest);
        diagnostics.append(&mut lexer.diagnostics);
    }

    /// Words that stand together, perhaps none, their indentation, and what follows them.
    pub(super) fn statements(&self) -> impl Iterator<Item = (&[Word<'t>], Option<u32>, &Sign<'t>)> {
        let mut from = 0;
        self.ends.iter().map(move |end| {
            let words = &self.words[from..end.words];
            from = end.words;
            (words, end.indent, &end.sign)
        })
    }
}
