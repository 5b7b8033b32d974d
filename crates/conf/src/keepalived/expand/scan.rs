//! Signs of a line: comments, braces, and whether there is anything to expand at all.

/// What separates words within a line.
pub(super) fn is_blank(c: char) -> bool {
    c != '\n' && (c.is_whitespace() || c == '\u{feff}')
}

/// Words that matter to the expansion wherever a line begins.
const WORDS: [&[u8]; 2] = [b"include", b"random_seed"];

/// A line that means what it says: nothing in it is expanded, and nothing in it controls the
/// expansion.
pub(super) fn is_plain(line: &[u8]) -> bool {
    let is_continued = line.trim_ascii_end().ends_with(b"\\");
    let mut rest = past_blanks(line);
    if is_continued || matches!(rest, [b'#' | b'!', ..]) {
        return !is_continued;
    }
    loop {
        // The beginning of a line, or what follows a brace.
        match rest {
            [b'@' | b'~', ..] => return false,
            [b'i' | b'r', ..] if begins_with_word(rest) => return false,
            _ => {}
        }
        let sign = rest.iter().position(|byte| matches!(byte, b'$' | b'{' | b'}'));
        match sign.map(|at| rest.split_at(at)) {
            None => return true,
            Some((_, [b'$', ..])) => return false,
            Some((_, behind)) => rest = past_blanks(&behind[1..]),
        }
    }
}

fn past_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
    &text[blanks..]
}

fn begins_with_word(text: &[u8]) -> bool {
    WORDS.iter().any(|word| text.starts_with(word))
}

/// What a line is without its comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code {
    /// Where the comment begins, or the end of the line, or the sign that continues it.
    pub(super) end: usize,
    /// The comment sign.
    pub(super) comment: Option<char>,
    /// The last character is a `\`, also behind a comment.
    pub(super) is_continued: bool,
    /// The last sign is a `\`, but blanks follow it.
    pub(super) is_nearly_continued: bool,
}

/// Finds the comment of a line. `\` protects the sign behind it; so does `"` until the next one.
pub(super) fn code(text: &str) -> Code {
    let mut is_quoted = false;
    let mut comment = None;
    let mut is_continued = false;
    let mut chars = text.char_indices();
    let mut end = text.len();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' if comment.is_none() => is_quoted = !is_quoted,
            '\\' if chars.next().is_none() => {
                is_continued = true;
                if comment.is_none() {
                    end = at;
                }
            }
            '#' | '!' if !is_quoted && comment.is_none() => {
                comment = Some(c);
                end = at;
            }
            _ => {}
        }
    }
    let is_nearly_continued = !is_continued && text.trim_end_matches(is_blank).ends_with('\\');
    Code { end, comment, is_continued, is_nearly_continued }
}

/// Where a line is to be cut so that what follows a brace is read as a line of its own: behind
/// the first brace that something to expand follows.
pub(super) fn cut_behind_brace(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut is_quoted = false;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'"' => is_quoted = !is_quoted,
            b'#' | b'!' if !is_quoted => return None,
            b'$' if !is_quoted && bytes.get(at + 1) == Some(&b'{') => {
                let rest = &bytes[at..];
                at += rest.iter().position(|&b| b == b'}').unwrap_or(rest.len());
            }
            b'{' | b'}' if !is_quoted && !is_plain(&bytes[at + 1..]) => return Some(at + 1),
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_lines_are_plain() {
        for line in ["", "  a b # c", "} {", "x@y ~z", "# costs $5", "vrrp { a", "\"a\\\\b\""] {
            assert!(is_plain(line.as_bytes()), "{line}");
        }
        for line in ["@a b", " $X=1", "a ${X}", "~SEQ(", "} @a b", "includem x", "a \\", "#\\\r"] {
            assert!(!is_plain(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn a_comment_ends_the_code_but_not_in_quotes() {
        let ends = |text| (code(text).end, code(text).comment, code(text).is_continued);
        assert_eq!(ends("ab # c"), (3, Some('#'), false));
        assert_eq!(ends("\"a#b\" !"), (6, Some('!'), false));
        assert_eq!(ends("a\\#b"), (4, None, false));
        assert_eq!(ends("a \\"), (2, None, true));
        assert_eq!(ends("a # b \\"), (2, Some('#'), true));
        assert!(code("a \\ ").is_nearly_continued);
    }

    #[test]
    fn a_line_is_cut_where_something_follows_a_brace() {
        assert_eq!(cut_behind_brace("a { @b c }"), Some(3));
        assert_eq!(cut_behind_brace("a { b } c"), None);
        assert_eq!(cut_behind_brace("a { b } $X"), Some(3));
        assert_eq!(cut_behind_brace("a \"{ $X\""), None);
        assert_eq!(cut_behind_brace("a ${X} b"), None);
    }
}
