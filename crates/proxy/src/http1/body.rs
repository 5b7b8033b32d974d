//! Where a message body ends, without keeping a byte of it.

use super::scan;

/// Longest run of chunk extensions and trailers accepted.
const EXTRAS_MAX: u16 = 8 * 1024;

/// The rest of a message body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body(State);

/// The body breaks the chunked coding (RFC 9112 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadBody;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Length(u64),
    UntilClose,
    Chunk(Chunk),
    Done,
}

/// Positions in a chunked body; `extras` counts extension and trailer bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    Size { size: u64, digits: u8, extras: u16 },
    Space { size: u64, extras: u16 },
    Extension { size: u64, extras: u16 },
    SizeEnd { size: u64, extras: u16 },
    Data { left: u64, extras: u16 },
    DataEnd { extras: u16 },
    DataEnd2 { extras: u16 },
    TrailerStart { extras: u16 },
    TrailerName { extras: u16 },
    Trailer { extras: u16 },
    TrailerEnd { extras: u16 },
    LastEnd,
}

impl Body {
    /// No body.
    pub const NONE: Body = Body(State::Done);
    /// Everything until the connection ends.
    pub const UNTIL_CLOSE: Body = Body(State::UntilClose);

    /// A body of so many bytes.
    pub fn length(bytes: u64) -> Body {
        Body(if bytes == 0 { State::Done } else { State::Length(bytes) })
    }

    /// A chunked body, at its start.
    pub fn chunked() -> Body {
        Body(State::Chunk(Chunk::Size { size: 0, digits: 0, extras: 0 }))
    }

    /// Its last byte was seen.
    pub fn is_done(&self) -> bool {
        self.0 == State::Done
    }

    /// It ends with the connection.
    pub fn is_until_close(&self) -> bool {
        self.0 == State::UntilClose
    }

    /// So many of the next bytes belong to it whatever they are.
    pub fn opaque(&self) -> u64 {
        match self.0 {
            State::Length(left) | State::Chunk(Chunk::Data { left, .. }) => left,
            State::UntilClose => u64::MAX,
            State::Chunk(_) | State::Done => 0,
        }
    }

    /// `count` bytes of [`opaque`](Self::opaque) went by unseen.
    pub fn skip(&mut self, count: u64) {
        match &mut self.0 {
            State::Length(left) => {
                *left = left.saturating_sub(count);
                if *left == 0 {
                    self.0 = State::Done;
                }
            }
            State::Chunk(Chunk::Data { left, extras }) => {
                *left = left.saturating_sub(count);
                if *left == 0 {
                    self.0 = State::Chunk(Chunk::DataEnd { extras: *extras });
                }
            }
            State::UntilClose | State::Chunk(_) | State::Done => {}
        }
    }

    /// How many of these bytes, which come next, belong to the body.
    pub fn consume(&mut self, bytes: &[u8]) -> Result<usize, BadBody> {
        let mut used = 0;
        while used < bytes.len() {
            let opaque = self.opaque();
            if opaque > 0 {
                let taken = opaque.min((bytes.len() - used) as u64);
                self.skip(taken);
                used += taken as usize;
                continue;
            }
            let State::Chunk(chunk) = self.0 else { break };
            self.0 = chunk.next(bytes[used])?;
            used += 1;
        }
        Ok(used)
    }
}

impl Chunk {
    fn next(self, byte: u8) -> Result<State, BadBody> {
        use Chunk as C;
        let counted = |extras: u16| Some(extras + 1).filter(|&n| n <= EXTRAS_MAX).ok_or(BadBody);
        Ok(State::Chunk(match (self, byte) {
            (C::Size { digits: 1.., size, extras }, b'\r') => C::SizeEnd { size, extras },
            (C::Size { digits: 1.., size, extras }, b' ' | b'\t')
            | (C::Space { size, extras }, b' ' | b'\t') => {
                C::Space { size, extras: counted(extras)? }
            }
            (C::Size { digits: 1.., size, extras }, b';') | (C::Space { size, extras }, b';') => {
                C::Extension { size, extras: counted(extras)? }
            }
            // Zeros in front mean nothing, but are not endless.
            (C::Size { digits: 1, size: 0, extras }, b'0') => {
                C::Size { digits: 1, size: 0, extras: counted(extras)? }
            }
            (C::Size { size, digits, extras }, _) => {
                let digit = (byte as char).to_digit(16).ok_or(BadBody)?;
                // Sixty bits are plenty and cannot overflow (CVE-2025-11230 and its kin).
                if digits == 15 {
                    return Err(BadBody);
                }
                C::Size { size: size << 4 | u64::from(digit), digits: digits + 1, extras }
            }
            (C::Extension { size, extras } | C::Space { size, extras }, b'\r') => {
                C::SizeEnd { size, extras }
            }
            (C::Extension { size, extras }, b'\t' | b' '..=0x7e | 0x80..) => {
                C::Extension { size, extras: counted(extras)? }
            }
            (C::SizeEnd { size: 0, extras }, b'\n') => C::TrailerStart { extras },
            (C::SizeEnd { size, extras }, b'\n') => C::Data { left: size, extras },
            (C::DataEnd { extras }, b'\r') => C::DataEnd2 { extras },
            (C::DataEnd2 { extras }, b'\n') => C::Size { size: 0, digits: 0, extras },
            (C::TrailerStart { .. }, b'\r') => C::LastEnd,
            (C::TrailerStart { extras } | C::TrailerName { extras }, _) if scan::is_token(byte) => {
                C::TrailerName { extras: counted(extras)? }
            }
            (C::TrailerName { extras }, b':') => C::Trailer { extras: counted(extras)? },
            (C::Trailer { extras }, b'\r') => C::TrailerEnd { extras },
            (C::Trailer { extras }, b'\t' | b' '..=0x7e | 0x80..) => {
                C::Trailer { extras: counted(extras)? }
            }
            (C::TrailerEnd { extras }, b'\n') => C::TrailerStart { extras },
            (C::LastEnd, b'\n') => return Ok(State::Done),
            (
                C::Space { .. }
                | C::Extension { .. }
                | C::SizeEnd { .. }
                | C::Data { .. }
                | C::DataEnd { .. }
                | C::DataEnd2 { .. }
                | C::TrailerStart { .. }
                | C::TrailerName { .. }
                | C::Trailer { .. }
                | C::TrailerEnd { .. }
                | C::LastEnd,
                _,
            ) => return Err(BadBody),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_chunked_body_ends_behind_its_trailers() {
        let text = b"00000000000000000004 \r\nWiki\r\n5;x=\"y\"\r\npedia\r\n0\r\nX-Sum: 1\r\n\r\nGET /next";
        let mut body = Body::chunked();
        assert_eq!(body.consume(text), Ok(text.len() - 9));
        assert!(body.is_done());
    }

    #[test]
    fn broken_chunks_are_refused() {
        for text in [
            &b"\r\n"[..],
            b"g\r\n",
            b"-1\r\n",
            b"0x1\r\n",
            b"1\n",
            b"1\r\nab",
            b"1\r\na\nb",
            b";x\r\n",
            b" 1\r\n",
            b"1000000000000000\r\n",
            b"1;a\0\r\n",
            b"0\r\n\n",
            b"0\r\n folded\r\n",
            b"0\r\n:x\r\n",
            b"0\r\nno colon\r\n",
            b"0\r\nnocolon\r\n",
            b"5 5\r\n",
            b"1;a\nb\r\n",
        ] {
            assert_eq!(
                Body::chunked().consume(text),
                Err(BadBody),
                "{:?}",
                text.escape_ascii().to_string()
            );
        }
    }

    #[test]
    fn extensions_and_trailers_have_a_bound() {
        let mut endless = b"1;".to_vec();
        endless.resize(usize::from(EXTRAS_MAX) + 3, b'x');
        assert_eq!(Body::chunked().consume(&endless), Err(BadBody));
    }

    #[test]
    fn a_length_is_not_overrun() {
        let mut body = Body::length(3);
        assert_eq!(body.consume(b"abcdef"), Ok(3));
        assert!(body.is_done());
        assert_eq!(body.consume(b"def"), Ok(0));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_end(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..6), cuts in proptest::collection::vec(1usize..20, 1..80)) {
            let mut text = Vec::new();
            for chunk in &chunks {
                text.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                text.extend_from_slice(chunk);
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"0\r\n\r\n");
            let whole = text.len();
            text.extend_from_slice(b"tail");
            let mut body = Body::chunked();
            let mut rest = &text[..];
            let mut used = 0;
            for cut in cuts.iter().copied().cycle() {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                let took = body.consume(piece).unwrap();
                used += took;
                if took < piece.len() || after.is_empty() {
                    break;
                }
                rest = after;
            }
            prop_assert!(body.is_done());
            prop_assert_eq!(used, whole);
        }

        #[test]
        fn any_bytes_are_answered_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Body::chunked().consume(&bytes);
        }
    }
}
