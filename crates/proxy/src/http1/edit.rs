//! Changing a head where it lies: lines cut, text added behind the last header.

use core::ops::Range;

use super::head::Lines;

/// Free bytes a buffer must have in front of a head that is to be edited.
pub const HEADROOM: usize = 512;
/// Free bytes a buffer must have behind a head that is to be edited.
pub const TAILROOM: usize = 512;

/// Edits the head at `head` of `buffer`: cuts `lines` (given relative to the head) and adds
/// `insert` (whole header lines, at most [`HEADROOM`] and [`TAILROOM`]) before its empty line.
/// Whatever follows the head up to `filled` stays where it is when it is there at all.
///
/// Returns where the edited message, bytes behind it included, lies now.
pub fn apply(
    buffer: &mut [u8],
    head: Range<usize>,
    filled: usize,
    lines: impl DoubleEndedIterator<Item = Range<usize>>,
    insert: &[u8],
) -> Range<usize> {
    let mut start = head.start;
    // Cutting moves what is before a line up to it: nothing behind the head ever moves. The last
    // line goes first, so that the ranges of those before it are off by what was cut, uniformly.
    let mut cut = 0;
    for line in lines.rev() {
        let from = head.start + line.start + cut;
        buffer.copy_within(start..from, start + line.len());
        start += line.len();
        cut += line.len();
    }
    if insert.is_empty() {
        return start..filled;
    }
    let empty_line = head.end - 2;
    if filled == head.end {
        // Nothing follows: write over the empty line and put another behind it.
        buffer[empty_line..empty_line + insert.len()].copy_from_slice(insert);
        let end = empty_line + insert.len();
        buffer[end..end + 2].copy_from_slice(b"\r\n");
        return start..end + 2;
    }
    buffer.copy_within(start..empty_line, start - insert.len());
    start -= insert.len();
    buffer[empty_line - insert.len()..empty_line].copy_from_slice(insert);
    start..filled
}

/// The whole of [`Lines`] or none of it.
pub fn lines_if(wanted: bool, lines: &Lines) -> impl DoubleEndedIterator<Item = Range<usize>> + '_ {
    lines.iter().filter(move |_| wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{Parsed, parse_request};
    use proptest::prelude::*;

    fn edited(text: &str, behind: &str, insert: &str) -> String {
        let Parsed::Complete(request) = parse_request(text.as_bytes()) else { panic!("{text:?}") };
        let mut buffer = vec![b'.'; HEADROOM];
        buffer.extend_from_slice(text.as_bytes());
        let head = HEADROOM..buffer.len();
        buffer.extend_from_slice(behind.as_bytes());
        let filled = buffer.len();
        buffer.resize(filled + TAILROOM, b'.');
        let lines = request.head.connection_lines;
        let range = apply(&mut buffer, head, filled, lines.iter(), insert.as_bytes());
        String::from_utf8(buffer[range].to_vec()).unwrap()
    }

    #[test]
    fn connection_lines_go_and_the_body_stays() {
        let text = "POST / HTTP/1.1\r\nConnection: close\r\nHost: a\r\nKeep-Alive: 5\r\nContent-Length: 4\r\n\r\n";
        let expected = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nX: y\r\n\r\n";
        assert_eq!(edited(text, "", "X: y\r\n"), expected);
        assert_eq!(edited(text, "body", "X: y\r\n"), format!("{expected}body"));
        assert_eq!(edited("GET / HTTP/1.1\r\n\r\n", "", ""), "GET / HTTP/1.1\r\n\r\n");
    }

    proptest! {
        #[test]
        fn edits_in_place_are_edits_of_lines(
            lines in proptest::collection::vec(prop_oneof![Just("Connection: close"), Just("Keep-Alive: 1"), Just("A: b"), Just("Host-X: 123")], 0..4),
            behind in "[a-z]{0,20}",
            insert in prop_oneof![Just(""), Just("X-Forwarded-For: 10.0.0.1\r\n")],
        ) {
            let join = |keep: &dyn Fn(&str) -> bool| lines.iter().filter(|l| keep(l)).map(|l| format!("{l}\r\n")).collect::<String>();
            let text = format!("GET / HTTP/1.1\r\n{}\r\n", join(&|_| true));
            let kept = join(&|l| !l.starts_with("Connection") && !l.starts_with("Keep"));
            prop_assert_eq!(edited(&text, &behind, insert), format!("GET / HTTP/1.1\r\n{kept}{insert}\r\n{behind}"));
        }
    }
}
