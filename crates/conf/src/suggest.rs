//! Did you mean ...? Edit distance over words that look alike to a scanner.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Longer words are not compared: nobody's typo, and the work is the product of the lengths.
const WORD_MAX: usize = 64;

/// The candidate that `word` was most likely meant to be, if one is near enough: first those that
/// only a scanner tells apart (`1b_kind` and `lb_kind`), then the smallest edit distance up to a
/// third of the word. The first of equals wins.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.is_empty() || word.len() > WORD_MAX {
        return None;
    }
    let shape = scanned_shape(word);
    let allowed = (word.chars().count() / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        if candidate.len() > WORD_MAX || candidate == word {
            continue;
        }
        let candidate_shape = scanned_shape(candidate);
        let distance =
            if candidate_shape == shape { 0 } else { distance(&shape, &candidate_shape) };
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// `did you mean "lb_kind"?` for the nearest candidate.
pub fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(word, candidates).map(|candidate| format!("did you mean \"{candidate}\"?"))
}

/// The word with everything that scanning confuses written one way: `1`, `I` and `|` are `l`,
/// `0` is `o`, `rn` is `m`, `-` and a blank are `_`, capitals are small.
fn scanned_shape(word: &str) -> Vec<char> {
    let word = word.to_owned().replace("rn", "m").replace('I', "l").to_lowercase();
    word.chars()
        .map(|c| match c {
            '1' | '|' => 'l',
            '0' => 'o',
            '-' | ' ' => '_',
            c => c,
        })
        .collect()
}

/// Edits (insert, delete, replace, swap two neighbours) that lead from one word to the other.
fn distance(from: &[char], to: &[char]) -> usize {
    let width = to.len() + 1;
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..width).collect();
    for (row, &a) in from.iter().enumerate() {
        let mut current = Vec::with_capacity(width);
        current.push(row + 1);
        for (column, &b) in to.iter().enumerate() {
            let replace = previous[column] + usize::from(a != b);
            let mut least = replace.min(previous[column + 1] + 1).min(current[column] + 1);
            let swapped =
                row > 0 && column > 0 && from[row - 1] == b && to[column - 1] == a && a != b;
            if swapped {
                least = least.min(before[column - 1] + 1);
            }
            current.push(least);
        }
        before = core::mem::replace(&mut previous, current);
    }
    previous[width - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scanning_confusions_cost_nothing() {
        assert_eq!(nearest("1b_kind", ["lb_algo", "lb_kind"]), Some("lb_kind"));
        assert_eq!(nearest("Ib_algo", ["lb_kind", "lb_algo"]), Some("lb_algo"));
        assert_eq!(nearest("pr0tocol", ["protocol"]), Some("protocol"));
        assert_eq!(nearest("tirneout", ["timeout"]), Some("timeout"));
    }

    #[test]
    fn short_words_allow_one_edit() {
        assert_eq!(nearest("wrx", ["rr", "wrr", "wlc"]), Some("wrr"));
        assert_eq!(nearest("xyz", ["rr", "wrr", "wlc"]), None);
        assert_eq!(distance(&['a', 'b'], &['b', 'a']), 1);
    }

    #[test]
    fn nothing_is_suggested_for_empty_and_endless_words() {
        assert_eq!(nearest("", ["rr"]), None);
        assert_eq!(nearest(&"r".repeat(65), ["rr"]), None);
        assert_eq!(did_you_mean("prioritty", ["priority"]).unwrap(), "did you mean \"priority\"?");
    }
}
