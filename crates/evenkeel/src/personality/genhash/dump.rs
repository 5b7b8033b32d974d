//! What genhash prints when it is verbose.

use std::fmt::Write;

use super::hex;

const HEAD: &str = "-----------------------[    HTTP Header Buffer    ]-----------------------\n";
const HEAD_TEXT: &str =
    "-----------------------[ HTTP Header Ascii Buffer ]-----------------------\n";
const BODY: &str = "-----------------------[        HTML Buffer        ]-----------------------\n";
const DIGEST: &str =
    "-----------------------[    HTML hash resulting    ]-----------------------\n";
const FINAL: &str = "-----------------------[ HTML hash final resulting ]-----------------------\n";

/// What stands before each read until the head is there.
pub(super) fn awaiting_head() -> String {
    HEAD.to_owned()
}

/// The head, and the part of the body that came with it.
pub(super) fn head(head: &[u8], body: &[u8]) -> String {
    let mut text = hexadecimal(head);
    text.push_str(HEAD_TEXT);
    // Printed as a C string.
    let end = head.iter().position(|&byte| byte == 0).unwrap_or(head.len());
    text.push_str(&String::from_utf8_lossy(&head[..end]));
    text.push('\n');
    if !body.is_empty() {
        text.push_str(BODY);
        text.push_str(&hexadecimal(body));
    }
    text
}

/// The digest, before the line that has it alone.
pub(super) fn digest(digest: [u8; 16]) -> String {
    format!("\n{DIGEST}{}{FINAL}", hexadecimal(&digest))
}

/// Sixteen bytes to a line: where they begin, in hexadecimal, as text.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (number, line) in bytes.chunks(16).enumerate() {
        let _ = write!(text, "{:04} ", (number * 16) & 0xffff);
        for at in 0..16 {
            match line.get(at) {
                Some(&byte) => text.extend([" ", &hex(&[byte])]),
                None => text.push_str("   "),
            }
            if at == 7 {
                text.push_str(" -");
            }
        }
        text.push_str("   ");
        let printable = |byte: u8| if (0x20..=0x7e).contains(&byte) { byte.into() } else { '.' };
        text.extend((0..16).map(|at| line.get(at).map_or(' ', |&byte| printable(byte))));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_look_as_genhash_prints_them() {
        let expected = "\
0000  48 54 54 50 2f 31 2e 31 - 20 32 30 30 20 4f 4b 0d   HTTP/1.1 200 OK.
0016  0a 68 65                -                           .he             
";
        assert_eq!(hexadecimal(b"HTTP/1.1 200 OK\r\nhe"), expected);
        assert_eq!(hexadecimal(b""), "");
    }
}
