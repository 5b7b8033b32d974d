//! The pattern that a page has to match, or must not (`regex`).

use alloc::format;
use alloc::string::String;

use fancy_regex::Regex;
use model::check::Pattern;

use super::words::Text;

/// Most of a body that is kept for a pattern, in bytes. What lies beyond is not searched, and the
/// result says so.
pub(super) const SEARCHED_MAX: usize = 1 << 20;

/// Whether the body is as the pattern wants it. `cut`: it went on beyond what is given.
///
/// It is read as UTF-8, every byte that is none as U+FFFD. Offsets are those of Keepalived: bytes
/// of the body; a match begins at `min_offset` or after it and before `max_offset`. The expression
/// is compiled anew for each page: forty thousand compiled ones would take gigabytes.
pub(super) fn judge(pattern: &Pattern, body: &[u8], cut: bool) -> Result<Text, Text> {
    let regex = Regex::new(&pattern.expression)
        .map_err(|error| Text::from(format!("pattern is not understood: {error}")))?;
    let text = String::from_utf8_lossy(body);
    let from = place(body, &text, pattern.min_offset);
    let until = pattern.max_offset.map(|offset| place(body, &text, offset));
    let found = regex
        .find_from_pos(&text, from)
        .map_err(|error| Text::from(format!("pattern cannot be searched for: {error}")))?
        .is_some_and(|found| until.is_none_or(|until| found.start() < until));
    match (found, pattern.negated) {
        (true, false) => Ok("pattern matches".into()),
        (true, true) => Err("pattern matches".into()),
        (false, true) => Ok(absent(cut)),
        (false, false) => Err(absent(cut)),
    }
}

fn absent(cut: bool) -> Text {
    if cut {
        format!("pattern does not match within the first {SEARCHED_MAX} bytes").into()
    } else {
        "pattern does not match".into()
    }
}

/// Where a byte of the body is in its text: at a character's beginning, and at most at the end.
fn place(body: &[u8], text: &str, offset: u32) -> usize {
    let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(body.len());
    let mut place = String::from_utf8_lossy(&body[..offset]).len().min(text.len());
    while !text.is_char_boundary(place) {
        place += 1;
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(expression: &str) -> Pattern {
        Pattern { expression: expression.into(), negated: false, min_offset: 0, max_offset: None }
    }

    #[test]
    fn a_page_matches_or_must_not() {
        let cases = [("wel+come", "hi, welcome", true), ("(?i)WELCOME", "welcome", true)];
        for (expression, body, found) in cases {
            let wanted = pattern(expression);
            assert_eq!(judge(&wanted, body.as_bytes(), false).is_ok(), found, "{expression}");
            let unwanted = Pattern { negated: true, ..wanted };
            assert_eq!(judge(&unwanted, body.as_bytes(), false).is_ok(), !found, "{expression}");
        }
        assert_eq!(judge(&pattern("x"), b"abc", true).unwrap_err(), absent(true));
    }

    #[test]
    fn a_match_begins_between_the_offsets() {
        let of = |min_offset, max_offset| {
            let bounded = Pattern { min_offset, max_offset, ..pattern("(?<=a)b+") };
            judge(&bounded, b"0ab3abb7", false).is_ok()
        };
        assert!(of(0, None) && of(2, Some(3)) && of(3, None) && of(5, Some(6)));
        assert!(!of(6, None), "no match begins there: the b behind the a was at 5");
        assert!(!of(3, Some(5)) && !of(0, Some(2)) && !of(100, None) && !of(0, Some(0)));
    }

    #[test]
    fn bytes_that_are_no_text_are_searched_all_the_same() {
        let body = b"\xff\xfe\xc3\xa4\xe2ok\x00\xf0\x9f";
        for offset in 0..=12 {
            let bounded = Pattern { min_offset: offset, ..pattern("ok") };
            assert_eq!(judge(&bounded, body, false).is_ok(), offset <= 5, "{offset}");
        }
    }

    #[test]
    fn an_expression_that_explodes_fails_instead_of_running_on() {
        let explosive = pattern(r"(a|a|ab)*(?>c)\1d");
        let result = judge(&explosive, &[b'a'; 4000], false);
        assert!(result.is_err());
    }
}
