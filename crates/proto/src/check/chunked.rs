//! Chunked bodies (RFC 9112 7.1), decoded as they arrive.

/// Longest chunk-size or trailer line accepted.
const LINE_MAX: u32 = 4096;

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// In the digits of a chunk size, having seen this value; `None` before the first digit.
    Size(Option<u64>),
    /// In what follows the digits, up to the line feed.
    Extension(u64),
    /// This many bytes of data left.
    Data(u64),
    /// Before the line end that follows the data.
    DataEnd,
    /// At a trailer line; true when it is empty so far.
    Trailer(bool),
    Done,
}

/// The bytes break the coding.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    line: u32,
}

impl Chunked {
    pub(super) fn new() -> Chunked {
        Chunked { state: State::Size(None), line: 0 }
    }

    /// Takes bytes and gives the data among them to `sink`. When the body is complete: how many of
    /// the bytes do not belong to it any more.
    pub(super) fn decode(
        &mut self,
        mut bytes: &[u8],
        mut sink: impl FnMut(&[u8]),
    ) -> Result<Option<usize>, Malformed> {
        while let Some((&first, rest)) = bytes.split_first() {
            match self.state {
                State::Data(left) => {
                    let here = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    let (data, after) = bytes.split_at(here);
                    sink(data);
                    bytes = after;
                    let left = left - here as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                    continue;
                }
                State::Done => return Ok(Some(bytes.len())),
                State::Size(_) | State::Extension(_) | State::DataEnd | State::Trailer(_) => {
                    self.handle_line_byte(first)?;
                    bytes = rest;
                }
            }
        }
        Ok((self.state == State::Done).then_some(0))
    }

    fn handle_line_byte(&mut self, byte: u8) -> Result<(), Malformed> {
        self.line += 1;
        if self.line > LINE_MAX {
            return Err(Malformed);
        }
        self.state = match (&self.state, byte) {
            (&State::Size(value), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = (byte as char).to_digit(16).map_or(0, u64::from);
                let value = value.unwrap_or(0).checked_mul(16).ok_or(Malformed)?;
                State::Size(Some(value | digit))
            }
            (State::Size(None), _) => return Err(Malformed),
            (&State::Size(Some(size)) | &State::Extension(size), b'\n') => self.line_end(size),
            (&State::Size(Some(size)), b'\r' | b';' | b' ' | b'\t') => State::Extension(size),
            (State::Size(Some(_)), _) => return Err(Malformed),
            (&State::Extension(size), _) => State::Extension(size),
            (State::DataEnd, b'\r') => State::DataEnd,
            (State::DataEnd, b'\n') => {
                self.line = 0;
                State::Size(None)
            }
            (State::DataEnd, _) => return Err(Malformed),
            (State::Trailer(true), b'\n') => State::Done,
            (State::Trailer(false), b'\n') => State::Trailer(true),
            (&State::Trailer(empty), b'\r') => State::Trailer(empty),
            (State::Trailer(_), _) => State::Trailer(false),
            (State::Data(_) | State::Done, _) => return Err(Malformed),
        };
        Ok(())
    }

    fn line_end(&mut self, size: u64) -> State {
        self.line = 0;
        if size == 0 { State::Trailer(true) } else { State::Data(size) }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn decoded(wire: &[u8], step: usize) -> Result<(Vec<u8>, bool), Malformed> {
        let mut chunked = Chunked::new();
        let mut body = Vec::new();
        let mut done = false;
        for part in wire.chunks(step) {
            done = chunked.decode(part, |data| body.extend_from_slice(data))?.is_some();
        }
        Ok((body, done))
    }

    #[test]
    fn data_comes_out_the_same_however_it_is_cut() {
        let wire = b"5\r\nhello\r\n6;name=value\r\n world\r\n0\r\nTrailer: x\r\n\r\n";
        for step in 1..=wire.len() {
            assert_eq!(decoded(wire, step), Ok((b"hello world".to_vec(), true)), "step {step}");
        }
        for short in 0..wire.len() {
            assert!(!decoded(&wire[..short], 3).unwrap().1, "{short} bytes");
        }
    }

    #[test]
    fn what_follows_the_last_chunk_is_left_over() {
        let mut chunked = Chunked::new();
        assert_eq!(chunked.decode(b"1\r\na\r\n0\r\n\r\nmore", |_| {}), Ok(Some(4)));
        assert_eq!(chunked.decode(b"more", |_| {}), Ok(Some(4)));
    }

    #[test]
    fn a_bad_size_an_overflow_and_an_endless_line_are_malformed() {
        assert_eq!(decoded(b"xyz\r\n", 9), Err(Malformed));
        assert_eq!(decoded(b"\r\n", 9), Err(Malformed));
        assert_eq!(decoded(b"ffffffffffffffff0\r\n", 99), Err(Malformed));
        assert_eq!(decoded(b"2\r\nabX", 9), Err(Malformed));
        let endless: Vec<u8> = b"1;".iter().copied().chain([b'x'; 5000]).collect();
        assert_eq!(decoded(&endless, 100), Err(Malformed));
    }
}
