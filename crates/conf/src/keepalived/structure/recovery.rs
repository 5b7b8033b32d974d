//! What to think when braces are lost: left open, closed too early, or never opened.

use alloc::format;

use super::{Frame, Parser, Statement};
use crate::diagnostic::Diagnostic;
use crate::keepalived::keyword::section;

impl Parser<'_, '_> {
    /// The innermost block was never closed.
    pub(super) fn report_left_open(&mut self) {
        let Some(frame) = self.stack.last() else { return };
        let name = frame.statement.keyword().text.clone();
        let header = frame.statement.header();
        // The missing opening brace was reported already; the missing closing one is the same.
        if frame.statement.open.is_none() {
            return;
        }
        self.diagnostics.push(
            Diagnostic::error(header, format!("{name} is never closed"))
                .help(format!("write `}}` where {name} ends")),
        );
    }

    /// A word that has no meaning in the open block, but in one around it, says that the blocks
    /// in between were left open. One that has a meaning in the block closed just now says that
    /// its brace came too early.
    pub(super) fn recover_by_keyword(&mut self, word: &str) {
        let Some(top) = self.stack.last() else {
            self.reopen(section::TOP, word);
            return;
        };
        let is_known = match top.section {
            Some(list) if section::LISTS.contains(&list) => false,
            Some(section) => self.keywords.find(section, word).is_some(),
            None => false,
        };
        if is_known {
            return;
        }
        let around = self.stack[..self.stack.len() - 1].iter().rposition(|frame| {
            frame.section.is_some_and(|section| {
                !section::LISTS.contains(&section) && self.keywords.find(section, word).is_some()
            })
        });
        let keep = match around {
            Some(position) => position + 1,
            None if self.keywords.begins_chunk(word) => 0,
            None => {
                if let Some(section) = top.section {
                    self.reopen(section, word);
                }
                return;
            }
        };
        self.close_down_to(keep);
    }

    fn close_down_to(&mut self, keep: usize) {
        while self.stack.len() > keep {
            self.report_left_open();
            self.guessed += 1;
            self.pop();
        }
        self.last_close = None;
    }

    /// Takes back the last closing brace if `word` belongs into the block it closed.
    fn reopen(&mut self, section: &'static str, word: &str) {
        let Some((brace, indent)) = self.last_close else { return };
        let siblings = match self.stack.last_mut() {
            Some(frame) => &mut frame.children,
            None => &mut self.root,
        };
        let Some(closed) = siblings.last().and_then(Statement::opens) else { return };
        let belongs = self.keywords.find(closed, word).is_some()
            && self.keywords.find(section, word).is_none();
        if !belongs {
            return;
        }
        let Some(mut statement) = siblings.pop() else { return };
        let name = statement.keyword().text.clone();
        self.diagnostics.push(
            Diagnostic::error(brace, format!("this }} closes {name} too early"))
                .related(statement.header(), format!("{word} below belongs into this {name}"))
                .help("remove it, or look for a { that was lost above"),
        );
        let children = statement.block.take().unwrap_or_default();
        self.last_close = None;
        self.stack.push(Frame { statement, section: Some(closed), depth: 0, indent, children });
    }

    /// A closing brace that lines up with an outer block and not with the innermost one closes
    /// the outer one.
    pub(super) fn recover_by_indentation(&mut self, indent: Option<u32>) {
        let (Some(indent), Some(top)) = (indent, self.stack.last()) else { return };
        if top.indent.is_none_or(|inner| inner <= indent) {
            return;
        }
        if let Some(position) = self.stack.iter().rposition(|frame| frame.indent == Some(indent)) {
            self.close_down_to(position + 1);
        }
    }
}
