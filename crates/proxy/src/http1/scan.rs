//! Looking at many bytes at a time.

/// Bytes allowed in methods and header names (RFC 9110 5.6.2 `tchar`).
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0usize;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte += 1;
    }
    table
};

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// A byte of methods and header names.
pub(super) fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// Length of the token at the start of `bytes`.
pub(super) fn token(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| !TOKEN[usize::from(byte)]).unwrap_or(bytes.len())
}

/// Index of the first byte that ends a field value or is not allowed in one: any control
/// character but the horizontal tab, DEL included. `bytes.len()` when there is none.
pub(super) fn value_end(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            let word = u64::from_le_bytes(*chunk);
            // A byte below 0x20 borrows into its own high bit; the highest one set may be false,
            // the lowest one set is always true.
            let below = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
            let del = word ^ (ONES * 0x7f);
            let equal = del.wrapping_sub(ONES) & !del & HIGHS;
            let found = below | equal;
            if found != 0 {
                at += (found.trailing_zeros() / 8) as usize;
                break;
            }
            at += 8;
        }
        while let Some(&byte) = bytes.get(at) {
            if byte < 0x20 || byte == 0x7f {
                break;
            }
            at += 1;
        }
        if bytes.get(at) != Some(&b'\t') {
            return at;
        }
        at += 1;
    }
}

/// Length of the run of bytes allowed in a request target: printable ASCII without space and
/// `#` (a fragment never travels, and let rules and servers disagree: CVE-2023-45539).
pub(super) fn target(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|&byte| !(0x21..0x7f).contains(&byte) || byte == b'#')
        .unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_at_a_time_find_what_bytes_at_a_time_find(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let slow = bytes
                .iter()
                .position(|&b| (b < 0x20 && b != b'\t') || b == 0x7f)
                .unwrap_or(bytes.len());
            prop_assert_eq!(value_end(&bytes), slow);
        }

        #[test]
        fn text_with_one_odd_byte_ends_there(before in "[ -~\t\u{80}-\u{ff}]{0,40}", odd in 0u8..=0x1f) {
            prop_assume!(odd != b'\t');
            let mut bytes = before.into_bytes();
            let expected = bytes.len();
            bytes.push(odd);
            bytes.extend_from_slice(b"rest of the line");
            prop_assert_eq!(value_end(&bytes), expected);
        }
    }
}
